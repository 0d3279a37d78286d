/* SPDX-License-Identifier: MIT */
/*
 * Known failure 40: memory that runs out inside of any allocation of a command. The allocator is the C
 * library's behind a budget in bytes: what is above it fails, and what is freed goes back to it. So a reserve
 * that is given up is memory again, as with a real limit.
 */

#include <check.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "shard/state.h"
#include "support/cluster.h"
#include "support/suite.h"
#include "util/mem.h"

static struct {
        bool on;
        size_t left;   /* bytes */
        uint64_t once; /* this allocation fails whatever is left; 0: none */
        uint64_t n;    /* allocations since it was armed */
        uint64_t failed;
} budget;

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void __real_free(void *p);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void __wrap_free(void *p);

static bool budget_denies(size_t n)
{
        if (!budget.on)
                return false;
        if (++budget.n != budget.once && n <= budget.left)
                return false;
        budget.failed++;
        return true;
}

static void *budget_take(void *p)
{
        size_t n = p ? malloc_usable_size(p) : 0;

        if (budget.on)
                budget.left -= n < budget.left ? n : budget.left;
        return p;
}

void *__wrap_malloc(size_t n)
{
        return budget_denies(n) ? NULL : budget_take(__real_malloc(n));
}

void *__wrap_calloc(size_t n, size_t size)
{
        return budget_denies(n * size) ? NULL : budget_take(__real_calloc(n, size));
}

void *__wrap_realloc(void *p, size_t n)
{
        if (budget_denies(n))
                return NULL;
        if (budget.on && p)
                budget.left += malloc_usable_size(p);
        return budget_take(__real_realloc(p, n));
}

void __wrap_free(void *p)
{
        if (budget.on && p)
                budget.left += malloc_usable_size(p);
        __real_free(p);
}

static struct cluster cl;

static void start(unsigned n_shards)
{
        cluster_init(&cl, &(struct cluster_options){ .n_shards = n_shards,
                                                     .capacity = 64,
                                                     .backlog_bytes = 1 << 20,
                                                     .output_max = 1 << 20,
                                                     .drain_budget = 100 });
}

/* With the budget on, if one is set. Check's own allocations are none of its. */
static void settle(bool limited)
{
        budget.on = limited;
        cluster_settle(&cl);
        budget.on = false;
}

static char *answer(int fd, const char *say, bool limited)
{
        cluster_say(&cl, 0, fd, say);
        settle(limited);
        return cluster_hear(&cl, 0, fd);
}

static void expect(int fd, const char *say, const char *expected, bool limited)
{
        char *heard = answer(fd, say, limited);

        ck_assert_str_eq(heard, expected);
        free(heard);
}

#define OOM "-OOM command not allowed when the broker is short of memory\r\n"

static const char *const commands[] = {
        "SUBSCRIBE some-channel\r\n",
        "PSUBSCRIBE some-pattern.* *.other [ab]*\r\n",
        "SSUBSCRIBE some-shard-channel\r\n",
        "PUBLISH heard 0123456789\r\n",
        "MULTI\r\nSUBSCRIBE a\r\nPUBLISH heard x\r\nEXEC\r\n",
};

static const unsigned shard_counts[] = { 1, 3 };

/* Whether all of a command's replies are there, whatever they are. */
static bool is_answered(const char *heard)
{
        return *heard && !strcmp(heard + strlen(heard) - 2, "\r\n");
}

/* One allocation fails, then the next, and so on: the reserve covers it. */
START_TEST(any_one_allocation_may_fail)
{
        unsigned n_shards = shard_counts[_i % 2];
        const char *say = commands[_i / 2];
        uint64_t n_failed = 0;

        for (uint64_t n = 1; n < 200; n++) {
                char *heard;
                int fd, sub;

                start(n_shards);
                sub = cluster_connect(&cl, n_shards - 1, 7);
                cluster_say(&cl, n_shards - 1, sub, "SUBSCRIBE heard\r\n");
                cluster_settle(&cl);
                fd = cluster_connect(&cl, 0, 7);
                cluster_say(&cl, 0, fd, say);
                budget = (typeof(budget)){ .left = SIZE_MAX / 2, .once = n };
                settle(true);
                n_failed += budget.failed;
                heard = cluster_hear(&cl, 0, fd);
                ck_assert_msg(is_answered(heard), "allocation %llu: %s", (unsigned long long)n, heard);
                ck_assert_ptr_null(strstr(heard, "OOM"));
                free(heard);
                cluster_deinit(&cl);
        }
        ck_assert_uint_ge(n_failed, 3); /* there are so many in the command */
}
END_TEST

/* From some allocation on all fail: the command ends, the next is refused, and with memory all is well again.
 */
START_TEST(all_allocations_may_fail_from_any_on)
{
        unsigned n_shards = shard_counts[_i % 2];
        const char *say = commands[_i / 2];
        unsigned n_refused = 0;

        for (size_t left = 0; left < 8000; left += 40) {
                char *heard;
                int fd, other;

                start(n_shards);
                fd = cluster_connect(&cl, 0, 7);
                other = cluster_connect(&cl, 0, 7);
                budget = (typeof(budget)){ .left = left };
                heard = answer(fd, say, true);
                ck_assert_msg(is_answered(heard), "%zu bytes: %s", left, heard);
                free(heard);
                if (mem_is_short()) {
                        n_refused++;
                        expect(other, "SUBSCRIBE x\r\n", OOM, true);
                        expect(other, "PUBLISH x y\r\n", OOM, true);
                        expect(other, "PING\r\n", "+PONG\r\n", true);
                }
                expect(other, "SUBSCRIBE x\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n", false);
                expect(other, "UNSUBSCRIBE x\r\n", "*3\r\n$11\r\nunsubscribe\r\n$1\r\nx\r\n:0\r\n", false);
                expect(other, "PUBSUB NUMSUB x\r\n", "*2\r\n$1\r\nx\r\n:0\r\n", false);
                cluster_deinit(&cl);
        }
        ck_assert_uint_ge(n_refused, 10);
}
END_TEST

/* What cannot be had is not begun. */
START_TEST(a_command_that_needs_much_is_refused_before_it_begins)
{
        static char many[400000], large[400000];
        size_t n;
        int fd;

        start(3);
        fd = cluster_connect(&cl, 0, 7);
        n = (size_t)sprintf(many, "*10001\r\n$9\r\nSUBSCRIBE\r\n");
        for (unsigned i = 0; i < 10000; i++)
                n += (size_t)sprintf(many + n, "$12\r\nchannel-%04u\r\n", i);
        n = (size_t)sprintf(large, "*3\r\n$7\r\nPUBLISH\r\n$1\r\nx\r\n$300000\r\n");
        memset(large + n, 'x', 300000);
        strcpy(large + n + 300000, "\r\n");
        budget = (typeof(budget)){ .left = 1400000 };
        expect(fd, many, OOM, true);
        budget.left = 1400000;
        expect(fd, large, OOM, true);
        ck_assert(!mem_is_short());
        expect(fd, "SUBSCRIBE x\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n", true);
        expect(fd, "UNSUBSCRIBE x\r\n", "*3\r\n$11\r\nunsubscribe\r\n$1\r\nx\r\n:0\r\n", true);
        expect(fd, large, ":0\r\n", false);
        expect(fd, "PUBSUB CHANNELS\r\n", "*0\r\n", false);
        cluster_deinit(&cl);
}
END_TEST

START_TEST(who_does_not_read_is_disconnected_when_it_cannot_be_kept)
{
        int sub, pub;

        start(1);
        sub = cluster_connect(&cl, 0, 7);
        pub = cluster_connect(&cl, 0, 7);
        free(answer(sub, "SUBSCRIBE x\r\n", false));
        expect(pub, "PUBLISH x 0\r\n", ":1\r\n", false);
        fake_accept(cl.fakes[0], sub, 0);
        mem_use_reserve();
        budget = (typeof(budget)){ .left = 20000 };
        expect(pub, "PUBLISH x 0123456789\r\n", ":1\r\n", true);
        ck_assert(!cluster_is_open(&cl, 0, sub));
        ck_assert_uint_eq(cl.shards[0]->status.memory_closed, 1);
        cluster_deinit(&cl);
}
END_TEST

static void add(TCase *cases)
{
        int n = 2 * (int)(sizeof(commands) / sizeof(*commands));

        tcase_add_loop_test(cases, any_one_allocation_may_fail, 0, n);
        tcase_add_loop_test(cases, all_allocations_may_fail_from_any_on, 0, n);
        tcase_add_test(cases, a_command_that_needs_much_is_refused_before_it_begins);
        tcase_add_test(cases, who_does_not_read_is_disconnected_when_it_cannot_be_kept);
}

int main(void)
{
        return suite_run("memory", add);
}
