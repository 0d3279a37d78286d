/* SPDX-License-Identifier: MIT */
/* BROKER TAP and MONITOR, on whole shards with fake reactors. */

#include "shard/tap.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pubsub/access.h"
#include "shard/client.h"
#include "shard/message.h"
#include "shard/policy.h"
#include "shard/state.h"
#include "support/cluster.h"
#include "support/suite.h"
#include "util/clock.h"

#define ADMIN 1000 /* the broker's own uid in a cluster */

static struct cluster cl;
static const unsigned shard_counts[] = { 1, 3 };

static const struct policy limited = { .limits = { .request_bytes = 4 << 20, .output_hard = 100 << 20 } };

static void start(unsigned n_shards)
{
        cluster_init(&cl, &(struct cluster_options){ .n_shards = n_shards,
                                                     .capacity = 4,
                                                     .backlog_bytes = 1000,
                                                     .drain_budget = 3,
                                                     .policy = &limited });
}

static void say(unsigned shard, int fd, const char *text)
{
        cluster_say(&cl, shard, fd, text);
        cluster_settle(&cl);
}

static unsigned last(void)
{
        return cl.n_shards - 1;
}

/* What a client heard, with a '#' in place of what differs from run to run: the time, ids and pids. */
static char *hear(unsigned shard, int fd)
{
        char *text = cluster_hear(&cl, shard, fd), *to = text;

        for (const char *p = text; *p;) {
                size_t digits = strspn(p, "0123456789.");

                if (digits >= 17) {
                        *to++ = '#';
                        p += digits;
                } else {
                        *to++ = *p++;
                }
        }
        *to = 0;
        return text;
}

static void expect(unsigned shard, int fd, const char *expected)
{
        char *text = hear(shard, fd);

        ck_assert_str_eq(text, expected);
        free(text);
}

static size_t count(const char *text, const char *what)
{
        size_t n = 0;

        for (const char *p = text; (p = strstr(p, what)); p++)
                n++;
        return n;
}

/* Events that were shown and skipped, of all that was heard since the last call. */
static void hear_sums(unsigned shard, int fd, uint64_t *shownp, uint64_t *skippedp)
{
        char *text = cluster_hear(&cl, shard, fd);

        *shownp += count(text, "$3\r\ntap\r\n");
        for (const char *p = text; (p = strstr(p, "tap-skipped\r\n:")); p++)
                *skippedp += strtoull(p + strlen("tap-skipped\r\n:"), NULL, 10);
        free(text);
}

/* A client that taps: by BROKER TAP and the words, in RESP2. */
static int tap(unsigned shard, const char *words)
{
        int fd = cluster_connect(&cl, shard, ADMIN);
        char line[128];

        snprintf(line, sizeof(line), "%s\r\n", words);
        say(shard, fd, line);
        expect(shard, fd, "+OK\r\n");
        return fd;
}

static void assert_no_taps(void)
{
        for (unsigned i = 0; i < cl.n_shards; i++) {
                ck_assert(list_empty(&cl.shards[i]->taps.all));
                ck_assert(list_empty(&cl.shards[i]->taps.tappers));
                ck_assert(!cl.shards[i]->tapped && !cl.shards[i]->monitored);
                ck_assert_uint_eq(cl.shards[i]->status.taps, 0);
        }
}

/* ------------------------------------------------------------------ what is shown */

START_TEST(a_message_is_shown_with_who_and_how_many)
{
        char expected[512];
        int t, c;

        start(shard_counts[_i]);
        t = tap(last(), "BROKER TAP n* SIZE 3");
        c = cluster_connect(&cl, 0, 7);
        say(0, c, "CLIENT SETNAME me\r\nSUBSCRIBE news\r\n");
        free(cluster_hear(&cl, 0, c));
        c = cluster_connect(&cl, 0, 8);
        say(0, c, "CLIENT SETNAME you\r\nPUBLISH news hello\r\nPUBLISH other x\r\nSPUBLISH now a\r\n");
        snprintf(expected, sizeof(expected),
                 "*2\r\n$3\r\ntap\r\n*20\r\n$4\r\ntime\r\n$17\r\n#\r\n$2\r\nid\r\n:%llu\r\n$3\r\nuid\r\n:8\r\n$"
                 "3\r\npid\r\n"
                 ":%d\r\n$4\r\nname\r\n$3\r\nyou\r\n$7\r\ncommand\r\n$7\r\npublish\r\n$7\r\nchannel\r\n$"
                 "4\r\nnews\r\n"
                 "$4\r\nsize\r\n:5\r\n$9\r\nreceivers\r\n:1\r\n$7\r\npayload\r\n$3\r\nhel\r\n",
                 (unsigned long long)client_of_stream(fake_stream(cl.fakes[0], c)->stream)->id,
                 (int)client_of_stream(fake_stream(cl.fakes[0], c)->stream)->pid);
        {
                char *text = hear(last(), t);

                ck_assert_msg(!strncmp(text, expected, strlen(expected)), "%s", text);
                ck_assert_uint_eq(count(text, "$3\r\ntap\r\n"), 2);
                ck_assert_ptr_nonnull(strstr(text, "$8\r\nspublish\r\n$7\r\nchannel\r\n$3\r\nnow\r\n"));
                free(text);
        }
        cluster_deinit(&cl);
}
END_TEST

START_TEST(in_resp3_it_is_a_push_and_everything_is_allowed)
{
        char *text;
        int t;

        start(shard_counts[_i]);
        t = cluster_connect(&cl, 0, ADMIN);
        say(0, t, "HELLO 3\r\nBROKER TAP\r\n");
        free(cluster_hear(&cl, 0, t));
        say(0, t, "PUBLISH a b\r\n");
        text = cluster_hear(&cl, 0, t);
        ck_assert_msg(!strncmp(text, ":0\r\n>2\r\n$3\r\ntap\r\n%10\r\n", 22), "%s", text);
        free(text);
        say(0, t, "HELLO 2\r\n");
        free(cluster_hear(&cl, 0, t));
        say(0, t, "PUBLISH a b\r\nSUBSCRIBE a\r\nGET x\r\nPING\r\n");
        expect(0, t,
               "-ERR Can't execute 'publish': only PING / QUIT / RESET are allowed while it taps, in RESP2\r\n"
               "-ERR Can't execute 'subscribe': only PING / QUIT / RESET are allowed while it taps, in "
               "RESP2\r\n"
               "-ERR unknown command 'GET', with args beginning with: 'x' (brokerd is a publish/subscribe "
               "broker "
               "and has no keys)\r\n+PONG\r\n");
        cluster_deinit(&cl);
}
END_TEST

START_TEST(what_is_wrong_is_refused)
{
        int t;

        start(1);
        t = cluster_connect(&cl, 0, ADMIN);
        say(0, t,
            "BROKER TAP a LIMIT\r\nBROKER TAP a LIMIT x\r\nBROKER TAP SIZE 65537\r\nMULTI\r\nBROKER TAP\r\n");
        expect(0, t,
               "-ERR syntax error: expected BROKER TAP [pattern] [LIMIT n] [SIZE n]\r\n"
               "-ERR LIMIT takes a number from 0 to 1000000000\r\n-ERR SIZE takes a number from 0 to 65536\r\n"
               "+OK\r\n-ERR Command not allowed inside a transaction\r\n");
        say(0, t, "RESET\r\nBROKER TAP limit\r\nBROKER TAP\r\n");
        expect(0, t,
               "+RESET\r\n+OK\r\n-ERR Can't execute 'broker|tap': only PING / QUIT / RESET are allowed while "
               "it "
               "taps, in RESP2\r\n");
        t = cluster_connect(&cl, 0, 7);
        say(0, t, "BROKER TAP\r\nMONITOR\r\n");
        expect(0, t,
               "-NOPERM User default has no permissions to run the 'broker|tap' command\r\n"
               "-NOPERM User default has no permissions to run the 'monitor' command\r\n");
        cluster_deinit(&cl);
}
END_TEST

START_TEST(a_monitor_shows_commands_in_their_order)
{
        int m, c;

        start(shard_counts[_i]);
        m = cluster_connect(&cl, last(), ADMIN);
        say(last(), m, "MONITOR\r\n");
        expect(last(), m, "+OK\r\n");
        c = cluster_connect(&cl, 0, ADMIN);
        say(0, c,
            "echo \"a\\n\\\"\\\\\\x01\\a\"\r\nAUTH secret\r\nHELLO 3 AUTH default secret SETNAME x\r\nCONFIG "
            "GET x\r\n"
            "NOSUCH\r\nPUBLISH\r\nCLIENT ID\r\nCLIENT LIST\r\nMULTI\r\nPUBLISH a "
            "b\r\nPING\r\nEXEC\r\nEXEC\r\nRESET\r\n"
            "QUIT\r\n");
#define LINE(_text) "+# [0 unix:" CLUSTER_PATH "] " _text "\r\n"
        expect(last(), m,
               LINE("\"echo\" \"a\\n\\\"\\\\\\x01\\a\"") LINE("\"AUTH\" \"(redacted)\"")
                       LINE("\"HELLO\" \"3\" \"AUTH\" \"(redacted)\" \"(redacted)\" \"SETNAME\" \"x\"")
                               LINE("\"CLIENT\" \"ID\"") LINE("\"MULTI\"") LINE("\"PUBLISH\" \"a\" \"b\"")
                                       LINE("\"PING\"") LINE("\"EXEC\"") LINE("\"EXEC\"") LINE("\"RESET\""));
        say(last(), m, "PING\r\n");
        expect(last(), m, "+PONG\r\n" LINE("\"PING\""));
        say(last(), m, "RESET\r\n");
        expect(last(), m, "+RESET\r\n");
        assert_no_taps();
        cluster_deinit(&cl);
}
END_TEST

START_TEST(a_command_that_is_too_long_for_a_monitor_is_counted)
{
        char *long_text = malloc(TAP_ARGS_MAX + 100);
        size_t n;
        int m, c;

        start(shard_counts[_i]);
        m = cluster_connect(&cl, last(), ADMIN);
        say(last(), m, "MONITOR\r\n");
        expect(last(), m, "+OK\r\n");
        c = cluster_connect(&cl, 0, 7);
        n = (size_t)sprintf(long_text, "*3\r\n$7\r\nPUBLISH\r\n$1\r\na\r\n$%d\r\n", TAP_ARGS_MAX);
        memset(long_text + n, 'x', TAP_ARGS_MAX);
        strcpy(long_text + n + TAP_ARGS_MAX, "\r\nPING\r\n");
        say(0, c, long_text);
        expect(last(), m, LINE("\"(skipped)\" \"1\"") LINE("\"PING\""));
        free(long_text);
        cluster_deinit(&cl);
}
END_TEST

/* ------------------------------------------------------------------ bounds */

START_TEST(above_its_rate_it_skips_and_says_so)
{
        uint64_t shown = 0, skipped = 0;
        int t, c[3];

        start(shard_counts[_i]);
        t = tap(last(), "BROKER TAP LIMIT 10");
        for (unsigned i = 0; i < cl.n_shards; i++)
                c[i] = cluster_connect(&cl, i, 7);
        for (int k = 0; k < 30; k++)
                for (unsigned i = 0; i < cl.n_shards; i++)
                        say(i, c[i], "PUBLISH a b\r\n");
        hear_sums(last(), t, &shown, &skipped);
        ck_assert_uint_eq(shown, 10);
        cluster_advance(200 * NSEC_PER_MSEC);
        cluster_settle(&cl);
        cluster_advance(200 * NSEC_PER_MSEC);
        cluster_settle(&cl);
        hear_sums(last(), t, &shown, &skipped);
        ck_assert_uint_eq(shown, 10);
        ck_assert_uint_eq(skipped, 30 * cl.n_shards - 10);
        ck_assert_uint_eq(cl.shards[last()]->status.tap_events, shown);
        ck_assert_uint_eq(cl.shards[last()]->status.tap_skipped, skipped);
        cluster_deinit(&cl);
}
END_TEST

START_TEST(what_was_skipped_is_told_in_its_place)
{
        char *text;
        int t, c;

        start(shard_counts[_i]);
        t = tap(last(), "BROKER TAP LIMIT 1");
        c = cluster_connect(&cl, 0, 7);
        say(0, c, "PUBLISH one x\r\nPUBLISH two x\r\nPUBLISH three x\r\n");
        cluster_advance(NSEC_PER_SEC);
        say(0, c, "PUBLISH four x\r\n");
        text = cluster_hear(&cl, last(), t);
        ck_assert_uint_eq(count(text, "$3\r\ntap\r\n"), 2);
        ck_assert(strstr(text, "one") < strstr(text, "tap-skipped\r\n:2"));
        ck_assert(strstr(text, "tap-skipped\r\n:2") < strstr(text, "four"));
        free(text);
        cluster_deinit(&cl);
}
END_TEST

/* Its memory is bounded, nobody waits, nothing is encoded for it any more; and all of it is told in the end. */
START_TEST(one_that_does_not_read_costs_its_bound)
{
        static char line[60000];
        uint64_t shown = 0, skipped = 0, published = 0;
        struct client *tapper;
        int t, c;

        start(shard_counts[_i]);
        memset(line, 'x', sizeof(line));
        memcpy(line, "PUBLISH a ", 10);
        memcpy(line + sizeof(line) - 3, "\r\n", 3);
        t = tap(last(), "BROKER TAP LIMIT 0 SIZE 65536");
        tapper = client_of_stream(fake_stream(cl.fakes[last()], t)->stream);
        fake_accept(cl.fakes[last()], t, 0);
        c = cluster_connect(&cl, 0, 7);
        for (int i = 0; i < 200; i++) {
                uint64_t sent = port_stats(cl.shards[0]->port)->sent;

                say(0, c, line);
                published++;
                ck_assert_uint_le(client_output_all(tapper), TAP_OUTPUT_MAX);
                if (i > 100)
                        ck_assert_uint_eq(port_stats(cl.shards[0]->port)->sent, sent);
        }
        ck_assert_int_eq(client_of_stream(fake_stream(cl.fakes[0], c)->stream)->wait, CLIENT_RUNS);
        {
                char *text = cluster_hear(&cl, 0, c);

                ck_assert_uint_eq(count(text, ":0\r\n"), published);
                free(text);
        }
        fake_accept(cl.fakes[last()], t, SIZE_MAX);
        for (int i = 0; i < 10; i++) {
                cluster_advance(NSEC_PER_SEC);
                say(0, c, "PING\r\n");
                say(last(), t, "PING\r\n");
        }
        hear_sums(last(), t, &shown, &skipped);
        ck_assert_uint_gt(shown, 10);
        ck_assert_uint_gt(skipped, 100);
        ck_assert_uint_eq(shown + skipped, published);
        say(0, c, "PUBLISH a again\r\n");
        hear_sums(last(), t, &shown, &skipped);
        ck_assert_uint_eq(shown + skipped, published + 1);
        cluster_deinit(&cl);
}
END_TEST

/* ------------------------------------------------------------------ ends */

START_TEST(several_see_what_each_wants)
{
        uint64_t all = 0, some = 0, skipped = 0;
        int a, b, c;

        start(3);
        a = tap(0, "BROKER TAP");
        b = tap(1, "BROKER TAP b*");
        c = cluster_connect(&cl, 2, 7);
        say(2, c, "PUBLISH a x\r\nPUBLISH b x\r\nPUBLISH b2 x\r\nPUBLISH c x\r\nPUBLISH b x\r\n");
        hear_sums(0, a, &all, &skipped);
        hear_sums(1, b, &some, &skipped);
        ck_assert_uint_eq(all, 5);
        ck_assert_uint_eq(some, 3);
        fake_end(cl.fakes[0], a);
        cluster_settle(&cl);
        ck_assert(!cluster_is_open(&cl, 0, a));
        say(2, c, "PUBLISH b x\r\n");
        hear_sums(1, b, &some, &skipped);
        ck_assert_uint_eq(some, 4);
        say(1, b, "QUIT\r\n");
        say(2, c, "PUBLISH b x\r\n");
        assert_no_taps();
        cluster_deinit(&cl);
}
END_TEST

/* At any point between the request and its answer. */
START_TEST(one_that_dies_leaves_nothing)
{
        for (unsigned turns = 0; turns < 12; turns++) {
                int t, c;

                start(3);
                t = cluster_connect(&cl, 1, ADMIN);
                c = cluster_connect(&cl, 0, 7);
                cluster_settle(&cl);
                cluster_say(&cl, 1, t, "BROKER TAP\r\n");
                cluster_say(&cl, 0, c, "PUBLISH a b\r\nPUBLISH a b\r\n");
                for (unsigned i = 0; i < turns; i++)
                        cluster_turn(&cl, (i + 1) % 3);
                fake_fail(cl.fakes[1], t, 104);
                cluster_settle(&cl);
                ck_assert(!cluster_is_open(&cl, 1, t));
                say(0, c, "PUBLISH a b\r\n");
                assert_no_taps();
                cluster_deinit(&cl);
        }
}
END_TEST

START_TEST(who_may_not_administer_any_more_is_disconnected)
{
        static const struct access_rule nobody = { .deny = true, .actions = 1u << ACCESS_ADMIN };
        struct policy denied = limited;
        struct access *access = access_new(&nobody, 1, true);
        int t, m;

        start(shard_counts[_i]);
        t = tap(last(), "BROKER TAP");
        m = tap(0, "MONITOR");
        denied.access = access;
        cluster_set_policy(&cl, &denied);
        ck_assert(!cluster_is_open(&cl, last(), t));
        ck_assert(!cluster_is_open(&cl, 0, m));
        assert_no_taps();
        cluster_deinit(&cl);
        access_free(access);
}
END_TEST

START_TEST(a_stop_ends_it)
{
        int t, c;

        start(shard_counts[_i]);
        t = tap(last(), "BROKER TAP");
        c = cluster_connect(&cl, 0, 7);
        cluster_say(&cl, 0, c, "PUBLISH a b\r\n");
        cluster_turn(&cl, 0);
        ck_assert(cluster_is_open(&cl, last(), t));
        cluster_deinit(&cl);
}
END_TEST

START_TEST(a_silent_client_hears_messages_and_no_monitor)
{
        uint64_t shown = 0, skipped = 0;
        int t, m, c;

        start(shard_counts[_i]);
        t = cluster_connect(&cl, 0, ADMIN);
        m = cluster_connect(&cl, 0, ADMIN);
        say(0, t, "HELLO 3\r\nCLIENT REPLY OFF\r\nBROKER TAP\r\n");
        say(0, m, "CLIENT REPLY OFF\r\nMONITOR\r\n");
        free(cluster_hear(&cl, 0, t));
        c = cluster_connect(&cl, last(), 7);
        say(last(), c, "PUBLISH a b\r\n");
        hear_sums(0, t, &shown, &skipped);
        ck_assert_uint_eq(shown, 1);
        expect(0, m, "");
        cluster_deinit(&cl);
}
END_TEST

static void add(TCase *cases)
{
        tcase_add_loop_test(cases, a_message_is_shown_with_who_and_how_many, 0, 2);
        tcase_add_loop_test(cases, in_resp3_it_is_a_push_and_everything_is_allowed, 0, 2);
        tcase_add_test(cases, what_is_wrong_is_refused);
        tcase_add_loop_test(cases, a_monitor_shows_commands_in_their_order, 0, 2);
        tcase_add_loop_test(cases, a_command_that_is_too_long_for_a_monitor_is_counted, 0, 2);
        tcase_add_loop_test(cases, above_its_rate_it_skips_and_says_so, 0, 2);
        tcase_add_loop_test(cases, what_was_skipped_is_told_in_its_place, 0, 2);
        tcase_add_loop_test(cases, one_that_does_not_read_costs_its_bound, 0, 2);
        tcase_add_test(cases, several_see_what_each_wants);
        tcase_add_test(cases, one_that_dies_leaves_nothing);
        tcase_add_loop_test(cases, who_may_not_administer_any_more_is_disconnected, 0, 2);
        tcase_add_loop_test(cases, a_stop_ends_it, 0, 2);
        tcase_add_loop_test(cases, a_silent_client_hears_messages_and_no_monitor, 0, 2);
}

int main(void)
{
        return suite_run("tap", add);
}
