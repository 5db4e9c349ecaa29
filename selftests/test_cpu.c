// SPDX-License-Identifier: GPL-2.0
/* Registers of a task that never leaves user mode: it spins on a word of memory with all of them in use. */
#include <asm/prctl.h>
#include <fenv.h>
#include <immintrin.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "job.h"

/*
 * A second thread spins while the first one makes the trip and then lets it go. What the spinner has in its
 * registers was loaded before and is stored after, with nothing in between but the loop.
 */
uint32_t let_go, spinning;	/* named in assembly, so not static */

struct spin {
	void (*run)(struct spin *spin);
	int bad;
};

static void *spin_thread(void *arg)
{
	struct spin *spin = arg;

	spin->run(spin);
	return NULL;
}

static int spins_through(void (*run)(struct spin *))
{
	struct spin spin = { .run = run };
	pthread_t thread;

	let_go = spinning = 0;
	JOB_SETUP(!pthread_create(&thread, NULL, spin_thread, &spin));
	while (!__atomic_load_n(&spinning, __ATOMIC_SEQ_CST))
		sched_yield();
	job_roundtrip();
	__atomic_store_n(&let_go, 1, __ATOMIC_SEQ_CST);
	JOB_CHECK(!pthread_join(thread, NULL));
	if (spin.bad)
		dprintf(2, "%d value(s) differ\n", spin.bad);
	return spin.bad ? 1 : 0;
}

/* Loop that tells that it spins, and ends when it is let go. Uses no register and leaves no flag but the six. */
#define SPIN				\
	"movl $1, spinning(%%rip)\n"	\
	"1: pause\n"			\
	"cmpl $0, let_go(%%rip)\n"	\
	"je 1b\n"

/* ---- general registers ---- */

uint64_t gp_in[14], gp_out[14], gp_bp = 0x1122334455667788, gp_bp_out, gp_sp, gp_sp_out;

static void spin_gp(struct spin *spin)
{
	int i;

	asm volatile("push %%rbx\n push %%rbp\n"
		     "mov %%rsp, gp_sp(%%rip)\n"
		     "mov gp_in+0(%%rip), %%rax\n mov gp_in+8(%%rip), %%rbx\n mov gp_in+16(%%rip), %%rcx\n"
		     "mov gp_in+24(%%rip), %%rdx\n mov gp_in+32(%%rip), %%rsi\n mov gp_in+40(%%rip), %%rdi\n"
		     "mov gp_in+48(%%rip), %%r8\n mov gp_in+56(%%rip), %%r9\n mov gp_in+64(%%rip), %%r10\n"
		     "mov gp_in+72(%%rip), %%r11\n mov gp_in+80(%%rip), %%r12\n mov gp_in+88(%%rip), %%r13\n"
		     "mov gp_in+96(%%rip), %%r14\n mov gp_in+104(%%rip), %%r15\n mov gp_bp(%%rip), %%rbp\n"
		     SPIN
		     "mov %%rax, gp_out+0(%%rip)\n mov %%rbx, gp_out+8(%%rip)\n mov %%rcx, gp_out+16(%%rip)\n"
		     "mov %%rdx, gp_out+24(%%rip)\n mov %%rsi, gp_out+32(%%rip)\n mov %%rdi, gp_out+40(%%rip)\n"
		     "mov %%r8, gp_out+48(%%rip)\n mov %%r9, gp_out+56(%%rip)\n mov %%r10, gp_out+64(%%rip)\n"
		     "mov %%r11, gp_out+72(%%rip)\n mov %%r12, gp_out+80(%%rip)\n mov %%r13, gp_out+88(%%rip)\n"
		     "mov %%r14, gp_out+96(%%rip)\n mov %%r15, gp_out+104(%%rip)\n mov %%rbp, gp_bp_out(%%rip)\n"
		     "mov %%rsp, gp_sp_out(%%rip)\n mov gp_sp(%%rip), %%rsp\n"
		     "pop %%rbp\n pop %%rbx\n"
		     ::: "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
		     "memory", "cc");
	for (i = 0; i < 14; i++)
		spin->bad += gp_in[i] != gp_out[i];
}


static int gp(uint64_t first)
{
	int i, ret;

	for (i = 0; i < 14; i++)
		gp_in[i] = first ^ (i * 0x0101010101010101);
	ret = spins_through(spin_gp);
	JOB_CHECK(gp_bp == gp_bp_out && gp_sp == gp_sp_out);
	return ret;
}

static int gp_ones(void)
{
	return gp(~0ULL);
}

static int gp_any(void)
{
	return gp(0x8123456789abcdef);
}

/* What the kernel takes for the results of interrupted system calls. */
static int gp_like_restarts(void)
{
	return gp(-512LL & ~0xffULL) ?: gp(-516);
}

TEST(cpu_general_registers)
{
	EXPECT_EQ(0, roundtrip(gp_ones));
	EXPECT_EQ(0, roundtrip(gp_any));
	EXPECT_EQ(0, roundtrip(gp_like_restarts));
}

/* ---- flags ---- */

uint64_t flags_in, flags_out;

static void spin_flags(struct spin *spin)
{
	asm volatile("push flags_in(%%rip)\n popfq\n" SPIN "pushfq\n cld\n pop flags_out(%%rip)\n"
		     "pushfq\n andq $~0x40000, (%%rsp)\n popfq\n" ::: "memory", "cc");
	/* The last cmp of the loop changes the six arithmetic flags: look at DF, AC and ID. */
	spin->bad = (flags_in ^ flags_out) & 0x240400 ? 1 : 0;
}

static int flags_set(void)
{
	flags_in = 0x240400 | 0x202;
	return spins_through(spin_flags);
}

static int flags_clear(void)
{
	flags_in = 0x202;
	return spins_through(spin_flags);
}

TEST(cpu_flags)
{
	EXPECT_EQ(0, roundtrip(flags_set));
	EXPECT_EQ(0, roundtrip(flags_clear));
}

/* ---- x87 and MMX ---- */

static void spin_x87(struct spin *spin)
{
	static const double in[8] = { 1.5, -2.25, 3e300, -4e-300, 5, -6, 7.125, 0.1 };
	uint16_t cw_in = 0x0b7f, cw_out = 0;	/* rounds up, extended precision */
	double out[8];
	int i;

	asm volatile("fninit\n fldcw %[cw_in]\n"
		     "fldl 56(%[in])\n fldl 48(%[in])\n fldl 40(%[in])\n fldl 32(%[in])\n"
		     "fldl 24(%[in])\n fldl 16(%[in])\n fldl 8(%[in])\n fldl 0(%[in])\n"
		     SPIN
		     "fstpl 0(%[out])\n fstpl 8(%[out])\n fstpl 16(%[out])\n fstpl 24(%[out])\n"
		     "fstpl 32(%[out])\n fstpl 40(%[out])\n fstpl 48(%[out])\n fstpl 56(%[out])\n"
		     "fnstcw %[cw_out]\n fninit\n"
		     : [cw_out] "=m" (cw_out) : [in] "r" (in), [out] "r" (out), [cw_in] "m" (cw_in) : "memory", "cc");
	for (i = 0; i < 8; i++)
		spin->bad += in[i] != out[i];
	spin->bad += cw_in != cw_out;
}

static int x87(void)
{
	return spins_through(spin_x87);
}

TEST(cpu_x87)
{
	EXPECT_EQ(0, roundtrip(x87));
}

static void spin_mmx(struct spin *spin)
{
	static const uint64_t in[8] = { 1, ~0ULL, 3ULL << 60, 4, 0x5555555555555555, 6, 7, 0x8000000000000000 };
	uint64_t out[8];
	int i;

	asm volatile("movq 0(%[in]), %%mm0\n movq 8(%[in]), %%mm1\n movq 16(%[in]), %%mm2\n movq 24(%[in]), %%mm3\n"
		     "movq 32(%[in]), %%mm4\n movq 40(%[in]), %%mm5\n movq 48(%[in]), %%mm6\n movq 56(%[in]), %%mm7\n"
		     SPIN
		     "movq %%mm0, 0(%[out])\n movq %%mm1, 8(%[out])\n movq %%mm2, 16(%[out])\n movq %%mm3, 24(%[out])\n"
		     "movq %%mm4, 32(%[out])\n movq %%mm5, 40(%[out])\n movq %%mm6, 48(%[out])\n movq %%mm7, 56(%[out])\n"
		     "emms\n" :: [in] "r" (in), [out] "r" (out) : "memory", "cc");
	for (i = 0; i < 8; i++)
		spin->bad += in[i] != out[i];
}

static int mmx(void)
{
	return spins_through(spin_mmx);
}

TEST(cpu_mmx)
{
	EXPECT_EQ(0, roundtrip(mmx));
}

/* ---- SSE and AVX ---- */

static void spin_sse(struct spin *spin)
{
	static uint8_t in[16][16] __attribute__((aligned(16))), out[16][16] __attribute__((aligned(16)));
	uint32_t csr = 0x5f80, csr_out = 0, usual = 0x1f80;	/* rounds up */
	int i;

	for (i = 0; i < 256; i++)
		in[i / 16][i % 16] = i * 7 + 1;
#define MOV_IN(n) "movdqa 16*" #n "(%[in]), %%xmm" #n "\n"
#define MOV_OUT(n) "movdqa %%xmm" #n ", 16*" #n "(%[out])\n"
#define EACH(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
	asm volatile("ldmxcsr %[csr]\n" EACH(MOV_IN) SPIN EACH(MOV_OUT) "stmxcsr %[csr_out]\n ldmxcsr %[usual]\n"
		     : [csr_out] "=m" (csr_out)
		     : [in] "r" (in), [out] "r" (out), [csr] "m" (csr), [usual] "m" (usual) : "memory", "cc");
	spin->bad = memcmp(in, out, sizeof(in)) ? 1 : 0;
	spin->bad += csr != csr_out;
}

static int sse(void)
{
	return spins_through(spin_sse);
}

TEST(cpu_sse_and_mxcsr)
{
	EXPECT_EQ(0, roundtrip(sse));
}

__attribute__((target("avx"))) static void spin_avx(struct spin *spin)
{
	static uint8_t in[16][32] __attribute__((aligned(32))), out[16][32] __attribute__((aligned(32)));
	int i;

	for (i = 0; i < 512; i++)
		in[i / 32][i % 32] = i * 11 + 3;
#define YMM_IN(n) "vmovdqa 32*" #n "(%[in]), %%ymm" #n "\n"
#define YMM_OUT(n) "vmovdqa %%ymm" #n ", 32*" #n "(%[out])\n"
	asm volatile(EACH(YMM_IN) SPIN EACH(YMM_OUT) "vzeroupper\n" :: [in] "r" (in), [out] "r" (out) : "memory", "cc");
	spin->bad = memcmp(in, out, sizeof(in)) ? 1 : 0;
}

static int avx(void)
{
	if (!__builtin_cpu_supports("avx"))
		return job_skip("this CPU has no AVX");
	return spins_through(spin_avx);
}

TEST(cpu_avx)
{
	EXPECT_EQ(0, roundtrip(avx));
}

/* The first thread, asleep in a system call, has vector state, too. */
static int rounding(void)
{
	volatile double one = 1, three = 3;
	double up;

	JOB_SETUP(!fesetround(FE_UPWARD));
	up = one / three;
	job_roundtrip();
	JOB_CHECK(fegetround() == FE_UPWARD && one / three == up);
	fesetround(FE_DOWNWARD);
	JOB_CHECK(one / three < up);
	return 0;
}

TEST(cpu_rounding_mode)
{
	EXPECT_EQ(0, roundtrip(rounding));
}

/* ---- segment bases ---- */

static __thread int own;

static int bases(void)
{
	static uint64_t there = 0x1234567890;
	unsigned long fs, fs_now, gs, got;

	own = 77;
	JOB_SETUP(!syscall(SYS_arch_prctl, ARCH_GET_FS, &fs));
	JOB_SETUP(!syscall(SYS_arch_prctl, ARCH_SET_GS, &there));
	job_roundtrip();
	JOB_CHECK(!syscall(SYS_arch_prctl, ARCH_GET_FS, &fs_now) && fs == fs_now);
	JOB_CHECK(!syscall(SYS_arch_prctl, ARCH_GET_GS, &gs) && gs == (unsigned long)&there);
	asm volatile("mov %%gs:0, %0" : "=r" (got));
	JOB_CHECK(got == there && own == 77);
	return 0;
}

TEST(cpu_segment_bases)
{
	EXPECT_EQ(0, roundtrip(bases));
}

/* Values of the first bytes below the stack pointer, which belong to the function there. */
uint64_t red_out;

static void spin_red_zone(struct spin *spin)
{
	asm volatile("sub $256, %%rsp\n movq $0x5a5a5a, -8(%%rsp)\n movq $0x6b6b6b, -128(%%rsp)\n"
		     SPIN
		     "mov -8(%%rsp), %%rax\n xor -128(%%rsp), %%rax\n mov %%rax, red_out(%%rip)\n add $256, %%rsp\n"
		     ::: "rax", "memory", "cc");
	spin->bad = red_out != (0x5a5a5a ^ 0x6b6b6b);
}

static int red_zone(void)
{
	return spins_through(spin_red_zone);
}

TEST(cpu_nothing_written_below_the_stack_pointer)
{
	EXPECT_EQ(0, roundtrip(red_zone));
}

/* What the frame of any signal tells about the last exception. */
static sigjmp_buf after_fault;
static greg_t told_cr2, told_trap, told_error;

static void on_fault(int sig)
{
	siglongjmp(after_fault, sig);
}

static void on_usr1(int sig, siginfo_t *info, void *context)
{
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;

	(void)sig;
	(void)info;
	told_cr2 = regs[REG_CR2];
	told_trap = regs[REG_TRAPNO];
	told_error = regs[REG_ERR];
}

static int last_exception(void)
{
	struct sigaction action = { .sa_sigaction = on_usr1, .sa_flags = SA_SIGINFO };
	volatile char *none = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	JOB_SETUP(none != MAP_FAILED && signal(SIGSEGV, on_fault) != SIG_ERR && !sigaction(SIGUSR1, &action, NULL));
	if (!sigsetjmp(after_fault, 1))
		none[77] = 1;
	job_roundtrip();
	raise(SIGUSR1);
	JOB_CHECK(told_cr2 == (greg_t)(none + 77));
	JOB_CHECK(told_trap == 14);		/* page fault */
	JOB_CHECK((told_error & 6) == 6);	/* a write by user mode */
	return 0;
}

TEST(cpu_last_exception)
{
	EXPECT_EQ(0, roundtrip(last_exception));
}
