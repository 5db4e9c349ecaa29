# SPDX-License-Identifier: GPL-2.0
# The front door. "make help" lists what there is.

VERSION := $(shell sed -n 's/^project.kckpt VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
KERNELS := $(shell awk '!/^\#/ { print $$1 }' selftests/vm/kernels)

# One that looks for mistakes in what runs on it; see selftests/vm/debug.config.
DEBUG_KERNEL := $(firstword $(KERNELS))-debug

# For vm, demo and vmtest: make vm KERNEL=6.12
KERNEL ?= $(firstword $(KERNELS))
# 1: the module has a hook that makes the nth allocation fail. Never in what is installed.
FAULTS ?= 1
# How thorough the tests in VMs are: ci or long.
TIER ?= ci
PREFIX ?= /usr/local
DESTDIR ?=

RESULTS := build/results
TOOL := $(CURDIR)/build/userspace/kckpt
MODULE := $(CURDIR)/build/kmod-$(KERNEL)/kckpt.ko

PACKAGES := qemu-system-x86 busybox-static kmod e2fsprogs xz-utils python3 gcc g++ make cmake libelf-dev libbpf-dev \
	libcli11-dev libmnl-dev libxxhash-dev libfmt-dev nlohmann-json3-dev libgtest-dev scdoc
LINT_PACKAGES := sparse shellcheck codespell clang-format
DEMO_PACKAGES := criu
DEBUG_PACKAGES := flex bison bc libssl-dev

.PHONY: all
all: module userspace ## module for all supported kernels, and the tool (default)

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo 'Supported kernels: $(KERNELS)'

.PHONY: deps
deps: ## install the Debian packages that are missing
	@selftests/vm/need-packages $(PACKAGES)

#
# Build
#
.PHONY: module
module: $(KERNELS:%=module-%) ## the kernel module, in build/kmod-VERSION/

# kbuild writes next to the sources it is given: links to them, one set per kernel, keep the kernels apart.
# The dangling ones, of files that are gone, would still be built.
define build_module # what runs make in the headers of the kernel, folder to build in, what else is good
	@mkdir -p $(2)
	@cp -rsf $(CURDIR)/kmod/. $(2)/
	@find $(2) -xtype l -delete
	+@$(1) M=$(CURDIR)/$(2) modules KCKPT_VERSION=$(VERSION) KCKPT_FAULTS=$(FAULTS) CONFIG_DEBUG_INFO_BTF_MODULES= \
		$(if $(3),|| { rm -f $(2)/kckpt.ko; $(3); })
endef

build/include: # where Kbuild looks for it
	@mkdir -p build
	@ln -sfn ../include $@

.PHONY: debug-deps
debug-deps: deps
	@selftests/vm/need-packages $(DEBUG_PACKAGES)

.PHONY: $(KERNELS:%=module-%) module-$(DEBUG_KERNEL)
module-$(DEBUG_KERNEL): debug-deps
$(KERNELS:%=module-%) module-$(DEBUG_KERNEL): module-%: deps | build/include
	$(call build_module,selftests/vm/kbuild $*,build/kmod-$*,selftests/vm/untested $*)

.PHONY: userspace
userspace: build/userspace/CMakeCache.txt ## the tool, in build/userspace/
	@cmake --build build/userspace --parallel $(shell nproc)

build/userspace/CMakeCache.txt: CMakeLists.txt | deps
	cmake -S . -B build/userspace

# Each test_FAMILY.c is one program, with all of selftests/lib.
TEST_PROGRAMS := $(patsubst selftests/%.c,build/selftests/%,$(wildcard selftests/test_*.c))
TEST_LIB := $(patsubst selftests/%.c,build/selftests/%.o,$(wildcard selftests/lib/*.c))
TEST_HEADERS := $(wildcard selftests/lib/*.h include/kckpt/* include/kckpt/*/*)
TEST_CFLAGS := -std=gnu11 -D_GNU_SOURCE -O2 -g -Wall -Wextra -Werror -Iinclude -Iselftests/lib -pthread
TEST_LDLIBS := -lm -lutil -lxxhash

$(TEST_LIB): build/selftests/%.o: selftests/%.c $(TEST_HEADERS) | deps
	@mkdir -p $(@D)
	$(CC) $(TEST_CFLAGS) -c -o $@ $<

build/selftests/%: selftests/%.c $(TEST_LIB) $(TEST_HEADERS) | deps
	@mkdir -p $(@D)
	$(CC) $(TEST_CFLAGS) -o $@ $< $(TEST_LIB) $(TEST_LDLIBS)

BENCH_PROGRAMS := $(addprefix build/selftests/,load limits took)
build/selftests/took: TEST_CFLAGS += -static

$(BENCH_PROGRAMS): build/selftests/%: selftests/bench/%.c | deps
	@mkdir -p $(@D)
	$(CC) $(TEST_CFLAGS) -o $@ $<

# What uses libkckpt.so as others do: its test, and the example.
LIBKCKPT := build/userspace/libkckpt.so
LIBKCKPT_LDLIBS := -Lbuild/userspace -lkckpt -Wl,-rpath,$(CURDIR)/build/userspace

$(LIBKCKPT): $(wildcard userspace/libkckpt/* include/kckpt/* include/kckpt/*/*) | userspace
	@touch $@

build/selftests/test_lib: TEST_LDLIBS += $(LIBKCKPT_LDLIBS)
build/selftests/test_lib: $(LIBKCKPT)

EXAMPLES := $(patsubst docs/examples/%.c,build/examples/%,$(wildcard docs/examples/*.c))

build/examples/%: docs/examples/%.c $(LIBKCKPT) | deps
	@mkdir -p $(@D)
	$(CC) -std=c11 -O2 -g -Wall -Wextra -Wpedantic -Werror -Iinclude -o $@ $< $(LIBKCKPT_LDLIBS)

#
# Test
#
include userspace/tests/fuzz/fuzz.mk

.PHONY: unit
unit: userspace build/fuzz/replay
	@mkdir -p $(RESULTS) && rm -f $(RESULTS)/unit.xml
	-@KCKPT_BTF="$$(selftests/vm/get-btf $(KERNELS))" ctest --test-dir build/userspace --output-on-failure --output-junit $(CURDIR)/$(RESULTS)/unit.xml

# The debug kernel takes long, to build and to test with.
CHECKED := $(KERNELS) $(if $(filter long,$(TIER)),$(DEBUG_KERNEL))

.PHONY: check
check: unit $(CHECKED:%=module-%) $(TEST_PROGRAMS) $(EXAMPLES) ## all tests: unit tests, then those in VMs; the last line tells the result
	@TIER=$(TIER) selftests/vm/run-tests $(RESULTS) $(CHECKED)
	@$(if $(filter long,$(TIER)),,echo 'skipped: the debug kernel (make check-debug, or TIER=long)')
	@selftests/summary $(RESULTS) unit $(CHECKED)

.PHONY: check-debug
check-debug: module-$(DEBUG_KERNEL) userspace $(TEST_PROGRAMS) $(EXAMPLES) ## the tests in a VM whose kernel looks for mistakes, and is built first; TESTS='pipe mm'
	@TIER=$(TIER) TESTS='$(TESTS)' selftests/vm/run-tests $(RESULTS) $(DEBUG_KERNEL)
	@selftests/summary $(RESULTS) $(DEBUG_KERNEL)

.PHONY: vmtest
vmtest: module-$(KERNEL) userspace $(TEST_PROGRAMS) $(EXAMPLES) ## the tests in one VM; TESTS='pipe mm' for some families only
	@TIER=$(TIER) TESTS='$(TESTS)' selftests/vm/run-tests $(RESULTS) $(KERNEL)
	@selftests/summary $(RESULTS) $(KERNEL)

.PHONY: vm
vm: module-$(KERNEL) userspace ## a shell in a VM, with the module loaded and the tool in PATH
	@selftests/vm/vm --kernel $(KERNEL) --module $(MODULE) --shell --env PATH=$(dir $(TOOL)):$$PATH

.PHONY: demo
demo: module-$(KERNEL) userspace ## dump, kill and restore three programs, beside CRIU; PROGRAMS='count' for some only
	@selftests/vm/need-packages --optional $(DEMO_PACKAGES)
	@selftests/vm/vm --kernel $(KERNEL) --module $(MODULE) --env KCKPT=$(TOOL) -- \
		$(CURDIR)/selftests/demo/demo $(PROGRAMS)

# With another CRIU: make bench CRIU=/path/of/criu. TIERS='small memory:256': not all. memory:4096 wants BENCH_MEM=17G.
BENCH_MEM ?= 6G
BENCH_TIMEOUT ?= 5400
BENCH_JSON ?= bench-$(KERNEL).json
BENCH_OPTIONS ?=
.PHONY: bench
bench: module-$(KERNEL) userspace $(BENCH_PROGRAMS) ## measure dump and restore of jobs of many sizes, beside CRIU
	@selftests/vm/need-packages --optional $(DEMO_PACKAGES)
	@mkdir -p $(RESULTS)
	@selftests/vm/vm --kernel $(KERNEL) --mem $(BENCH_MEM) --disk 8G --timeout $(BENCH_TIMEOUT) --module $(MODULE) \
		--env KCKPT=$(TOOL) $(if $(CRIU),--env CRIU=$(CRIU)) --env TOOK=$(CURDIR)/build/selftests/took \
		--share $(CURDIR)/$(RESULTS) -- $(CURDIR)/selftests/bench/bench \
		--load $(CURDIR)/build/selftests/load --limits $(CURDIR)/build/selftests/limits --json /share/$(BENCH_JSON) \
		$(BENCH_OPTIONS) $(TIERS)

.PHONY: figures
figures: ## a few small cases of "make bench", without CRIU: that it works rather than how fast anything is
	@$(MAKE) --no-print-directory bench BENCH_MEM=2G BENCH_TIMEOUT=600 BENCH_JSON=figures.json \
		BENCH_OPTIONS='--alone --repeat 2' \
		TIERS='processes:10 threads:10 memory:16 huge:16 busy:16 steps:16 descriptors:500 areas:500 files:16'

.PHONY: performance
performance: ## what "make bench" has measured last, in docs/performance.md
	@selftests/vm/need-packages python3-matplotlib
	@selftests/bench/report $(RESULTS)/bench-$(KERNEL).json docs/performance.md

# Those of a format stay as they are for ever. For a new one: make golden, and commit what is new.
GOLDEN := userspace/tests/golden/$(shell awk '/define KCKPT_IMAGE_M..OR/ { printf "%s%s", dot, $$3; dot = "." }' include/kckpt/image.h)
.PHONY: golden
golden: module-$(KERNEL) userspace ## images of the current format, for tests of later versions; not over those that are there
	@[ ! -e $(GOLDEN) ] || { echo '$(GOLDEN) is there already'; false; }
	$(CC) -std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -static -pthread -o build/golden-job selftests/golden/job.c
	@mkdir -p $(GOLDEN)
	@selftests/vm/vm --kernel $(KERNEL) --module $(MODULE) --env KCKPT=$(TOOL) --share $(CURDIR)/$(GOLDEN) -- \
		$(CURDIR)/selftests/golden/make-images $(CURDIR)/build/golden-job /share || { rm -r $(GOLDEN); false; }

.PHONY: lint
lint: ## coding style, spelling, and the rules that only grep can see
	@selftests/vm/need-packages $(PACKAGES) $(LINT_PACKAGES)
	@selftests/vm/lint

#
# Install
#
SOURCES := $(DESTDIR)/usr/src/kckpt-$(VERSION)
RUNNING := $(shell uname -r)

define DKMS_CONF
PACKAGE_NAME="kckpt"
PACKAGE_VERSION="$(VERSION)"
BUILT_MODULE_NAME[0]="kckpt"
BUILT_MODULE_LOCATION[0]="kmod"
DEST_MODULE_LOCATION[0]="/extra"
MAKE[0]="make -C $${kernel_source_dir} M=$${dkms_tree}/kckpt/$(VERSION)/build/kmod KCKPT_VERSION=$(VERSION) CONFIG_DEBUG_INFO_BTF_MODULES="
CLEAN="make -C $${kernel_source_dir} M=$${dkms_tree}/kckpt/$(VERSION)/build/kmod clean"
AUTOINSTALL="yes"
endef

.PHONY: install
install: FAULTS := 0
install: userspace | build/include ## the tool, library, man pages, headers; the module's sources for DKMS, and the module if it can be built
	DESTDIR=$(DESTDIR) cmake --install build/userspace --prefix $(PREFIX)
	[ -n "$(DESTDIR)" ] || ldconfig
	install -d $(SOURCES)
	cp -r kmod include $(SOURCES)/
	$(file >build/dkms.conf,$(DKMS_CONF))
	install -m 644 build/dkms.conf $(SOURCES)/
ifneq ($(wildcard /lib/modules/$(RUNNING)/build/Makefile),)
	$(call build_module,$(MAKE) --no-print-directory -C /lib/modules/$(RUNNING)/build,build/kmod-running)
	install -D -m 644 build/kmod-running/kckpt.ko $(DESTDIR)/lib/modules/$(RUNNING)/extra/kckpt.ko
	[ -n "$(DESTDIR)" ] || depmod
else
	@echo 'No headers of the running kernel here: build the module with "dkms install kckpt/$(VERSION)".'
endif

.PHONY: clean
clean: ## remove build/; fetched kernels stay in the cache
	rm -rf build
