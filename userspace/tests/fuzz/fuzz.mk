# SPDX-License-Identifier: GPL-2.0
# The module's sources as a program, with the headers of the oldest kernel: see docs/debugging.md. Part of the top Makefile.

FUZZ := userspace/tests/fuzz
FUZZ_SECONDS ?= 60
FUZZ_PACKAGES := clang
# The kernel's memcpy() may get NULL with a length of 0.
FUZZ_SANITIZE := -fsanitize=address,undefined -fno-sanitize=nonnull-attribute -fno-sanitize-recover=all

# All of it but what needs a kernel that is there: its symbols, and to be loaded.
FUZZ_MODULE := $(filter-out ksym main,$(notdir $(basename $(wildcard kmod/*.c))))
FUZZ_OBJECTS := $(FUZZ_MODULE:%=kmod-%.o) kernel.o module.o seal.o hash.o

# The kernel's own headers want to know that they are the kernel's; -w, since their build is what looks for warnings.
FUZZ_CFLAGS := -std=gnu11 -O1 -g -fno-PIE -fno-omit-frame-pointer -MMD -Iinclude
FUZZ_KERNEL_CFLAGS := $(FUZZ_CFLAGS) @build/fuzz/headers -Ikmod -w -fno-strict-aliasing -fno-strict-overflow \
	-fno-delete-null-pointer-checks -ftrivial-auto-var-init=pattern -D__KERNEL__ -DMODULE -DCC_USING_FENTRY \
	-DKBUILD_MODNAME='"kckpt"' -DKBUILD_BASENAME='"kckpt"' -D__KBUILD_MODNAME=kmod_kckpt -DKCKPT_VERSION='"$(VERSION)"'

# What nobody has is at address 0. What is wrapped is in module.c.
FUZZ_LDFLAGS := -no-pie -Wl,--unresolved-symbols=ignore-all -Wl,--wrap=kckpt_pages_pin,--wrap=kckpt_share_apply,--wrap=kckpt_recbuf_reserve

build/fuzz/headers: selftests/vm/kernels $(FUZZ)/fuzz.mk | deps
	@mkdir -p build/fuzz/gcc build/fuzz/clang
	@to=$$(selftests/vm/get-kernel $(firstword $(KERNELS)))/build && \
		from=$$(sed -n 's,^include \(.*\)/Makefile$$,\1,p' "$$to/Makefile") && { echo -nostdinc; \
		for dir in arch/x86/include include arch/x86/include/uapi include/uapi; do \
			echo "-I$$from/$$dir -I$$to/$$(echo $$dir | sed 's,^arch/x86/include,&/generated,; s,^include/uapi,include/generated/uapi,')"; \
		done; for file in compiler-version kconfig compiler_types; do echo "-include $$from/include/linux/$$file.h"; done; } >$@

define fuzz_rules # compiler, options
build/fuzz/$(1)/kmod-%.o: kmod/%.c build/fuzz/headers
	$(1) $$(FUZZ_KERNEL_CFLAGS) $(2) -c -o $$@ $$<

build/fuzz/$(1)/kernel.o build/fuzz/$(1)/module.o: build/fuzz/$(1)/%.o: $(FUZZ)/%.c build/fuzz/headers
	$(1) $$(FUZZ_KERNEL_CFLAGS) $(2) -c -o $$@ $$<

build/fuzz/$(1)/%.o: $(FUZZ)/%.c build/fuzz/headers
	$(1) $$(FUZZ_CFLAGS) -D_GNU_SOURCE -Wall -Wextra -Werror $(2) -c -o $$@ $$<

-include $(wildcard build/fuzz/$(1)/*.d)
endef
$(eval $(call fuzz_rules,gcc,$(FUZZ_SANITIZE)))
$(eval $(call fuzz_rules,clang,$(FUZZ_SANITIZE) -fsanitize=fuzzer-no-link))

build/fuzz/replay: $(addprefix build/fuzz/gcc/,$(FUZZ_OBJECTS) replay.o)
	gcc $(FUZZ_SANITIZE) $(FUZZ_LDFLAGS) -o $@ $^ -lxxhash

build/fuzz/fuzz: $(addprefix build/fuzz/clang/,$(FUZZ_OBJECTS) mutate.o)
	clang $(FUZZ_SANITIZE) -fsanitize=fuzzer $(FUZZ_LDFLAGS) -o $@ $^ -lxxhash

.PHONY: fuzz-packages
fuzz-packages:
	@selftests/vm/need-packages $(FUZZ_PACKAGES)

$(addprefix build/fuzz/clang/,$(FUZZ_OBJECTS) mutate.o): | fuzz-packages

# What it finds on its way stays in build/fuzz/found; what crashed it, in build/fuzz.
.PHONY: fuzz
fuzz: build/fuzz/fuzz ## feed the module's reader of images, as a program, with broken ones; FUZZ_SECONDS=3600
	@mkdir -p build/fuzz/found
	build/fuzz/fuzz -max_total_time=$(FUZZ_SECONDS) -max_len=60000 -timeout=20 -dict=$(FUZZ)/images.dict \
		-artifact_prefix=build/fuzz/ build/fuzz/found $(FUZZ)/corpus
