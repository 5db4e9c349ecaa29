/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A harness in the manner of kselftest's: TAP, a process and a time limit per test, exit status 4 for a skip.
 *
 *	TEST(pipe_keeps_unread_bytes) { EXPECT_EQ(0, roundtrip(holds_unread_bytes)); }
 *
 * A program runs all of its tests, or those whose names hold one of its arguments; --list only tells them.
 */
#ifndef HARNESS_H
#define HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define TEST_SKIP 4	/* exit status, as in kselftest */

struct test {
	const char *name;
	void (*run)(void);
	unsigned int seconds;	/* before it is killed; 0: the default */
	struct test *next;
};

void test_register(struct test *test);

#define TEST_LIMIT(test_name, limit)							\
	static void test_##test_name(void);						\
	static struct test def_##test_name = { #test_name, test_##test_name, limit, NULL };	\
	__attribute__((constructor)) static void reg_##test_name(void)			\
	{										\
		test_register(&def_##test_name);					\
	}										\
	static void test_##test_name(void)

#define TEST(test_name) TEST_LIMIT(test_name, 0)

/* How many times longer things may take here than usual: $PATIENCE, for slow kernels. */
int test_patience(void);

/* A diagnostic line of TAP. */
void test_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Something that was expected did not happen; the test goes on. */
void test_failed(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Ends the test. */
void test_skip(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
void test_give_up(void) __attribute__((noreturn));

#define EXPECT_EQ(want, have) ({							\
	long long __want = (want), __have = (have);					\
	if (__want != __have)								\
		test_failed(__FILE__, __LINE__, "%s is %lld, not %lld", #have, __have, __want); \
	__want == __have; })

#define EXPECT_TRUE(cond) ({								\
	bool __true = (cond);								\
	if (!__true)									\
		test_failed(__FILE__, __LINE__, "%s is not so (errno: %m)", #cond);	\
	__true; })

/* For what the rest of the test cannot do without. */
#define ASSERT_EQ(want, have) ({ if (!EXPECT_EQ(want, have)) test_give_up(); })
#define ASSERT_TRUE(cond) ({ if (!EXPECT_TRUE(cond)) test_give_up(); })

/* The folder of this test; it goes away with all it holds, as do cgroups below test_cgroup_root(). */
const char *test_folder(void);
const char *test_path(const char *name);	/* in that folder; never freed */
const char *test_new_cgroup(void);		/* a fresh one; never freed */

/* TIER=long: all that there is; else a sample that is done soon. */
bool test_is_long(void);

#endif
