/* SPDX-License-Identifier: MIT */
/* BROKER CLIENT, CHANNELS and PATTERNS on whole shards: the figures, the bounds, and what happens meanwhile. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pubsub/access.h"
#include "resp/writer.h"
#include "shard/client.h"
#include "shard/gather.h"
#include "shard/inspect.h"
#include "shard/policy.h"
#include "shard/state.h"
#include "support/cluster.h"
#include "support/suite.h"
#include "util/buffer.h"
#include "util/clock.h"

static struct cluster cl;
static const unsigned shard_counts[] = { 1, 3 };

#define ADMIN 1000 /* the owner of the cluster's shards */

static const struct policy policy = { .limits = { .request_bytes = 1 << 20,
                                                  .query_bytes = 5000,
                                                  .output_hard = 1 << 20,
                                                  .output_soft = 5000,
                                                  .output_soft_ns = 60 * NSEC_PER_SEC,
                                                  .subscriptions = 1000,
                                                  .patterns = 3,
                                                  .messages = 100 } };
static const struct policy narrow = { .limits = { .request_bytes = 1 << 20, .output_hard = 20000 } };

static void start_with(unsigned n_shards, const struct policy *p)
{
        cluster_init(&cl, &(struct cluster_options){ .n_shards = n_shards,
                                                     .capacity = 4,
                                                     .backlog_bytes = 4000,
                                                     .drain_budget = 3,
                                                     .policy = p });
}

static void start(unsigned n_shards)
{
        start_with(n_shards, &policy);
}

/* ------------------------------------------------------------------ replies as text: {a:1 b:[x y] c:-} */

static const char *show(struct buffer *to, const char *p);

static const char *show_items(struct buffer *to, const char *p, unsigned n, bool map)
{
        buffer_put(to, map ? "{" : "[", 1);
        for (unsigned i = 0; i < n; i++) {
                if (i)
                        buffer_put(to, " ", 1);
                p = show(to, p);
                if (map) {
                        buffer_put(to, ":", 1);
                        p = show(to, p);
                }
        }
        buffer_put(to, map ? "}" : "]", 1);
        return p;
}

static const char *show(struct buffer *to, const char *p)
{
        const char *line = p + 1, *end = strstr(p, "\r\n");
        unsigned n = (unsigned)strtoul(line, NULL, 10);

        ck_assert_ptr_nonnull(end);
        switch (*p) {
        case '%':
        case '*':
                return show_items(to, end + 2, n, *p == '%');
        case '$':
                buffer_put(to, end + 2, n);
                return end + 2 + n + 2;
        case '_':
                buffer_put(to, "-", 1);
                return end + 2;
        default:
                buffer_put(to, line - (*p == '-'), (size_t)(end - line) + (*p == '-'));
                return end + 2;
        }
}

static char *heard(unsigned shard, int fd)
{
        char *reply = cluster_hear(&cl, shard, fd);
        struct buffer text = { 0 };
        const char *p = reply;
        char *copy;

        while (*p)
                p = show(&text, p);
        buffer_put(&text, "", 1);
        copy = strdup((const char *)buffer_view(&text).p);
        buffer_deinit(&text);
        free(reply);
        return copy;
}

static char *answer(unsigned shard, int fd, const char *say)
{
        cluster_say(&cl, shard, fd, say);
        cluster_settle(&cl);
        return heard(shard, fd);
}

/* All of these are in the reply. */
static void check(unsigned shard, int fd, const char *say, const char *const *parts)
{
        char *text = answer(shard, fd, say);

        for (; *parts; parts++)
                ck_assert_msg(strstr(text, *parts), "\"%s\" is not in %s", *parts, text);
        free(text);
}

#define CHECK(_shard, _fd, _say, ...) check(_shard, _fd, _say, (const char *const[]){ __VA_ARGS__, NULL })

static void say(unsigned shard, int fd, const char *text)
{
        free(answer(shard, fd, text));
}

static int admin(unsigned shard)
{
        int fd = cluster_connect(&cl, shard, ADMIN);

        say(shard, fd, "HELLO 3\r\n");
        return fd;
}

/* ------------------------------------------------------------------ BROKER CLIENT */

static uint64_t id_of(unsigned shard, int fd)
{
        return client_of_stream(fake_stream(cl.fakes[shard], fd)->stream)->id;
}

static const char *ask_client(uint64_t id)
{
        static char text[64];

        snprintf(text, sizeof(text), "BROKER CLIENT %" PRIu64 "\r\n", id);
        return text;
}

START_TEST(a_client_is_described)
{
        static const uint32_t groups[] = { 7, 8 };
        unsigned last = shard_counts[_i] - 1;
        int a, c;

        start(shard_counts[_i]);
        a = admin(0);
        c = cluster_connect_as(
                &cl, last, &(struct message_adopt){ .path = CLUSTER_PATH, .uid = 77, .gid = 5, .n_groups = 2 },
                groups);
        say(last, c, "HELLO 3 SETNAME probe\r\nCLIENT SETINFO lib-name lib\r\nCLIENT SETINFO lib-ver 9\r\n");
        say(last, c, "PUBLISH x 12345\r\nPUBLISH x 123\r\nSUBSCRIBE x y\r\nPSUBSCRIBE n*\r\nSSUBSCRIBE s\r\n");
        say(0, a, "PUBLISH x hello\r\n");
        cluster_advance(1500 * NSEC_PER_MSEC);
        CHECK(0, a, ask_client(id_of(last, c)), last ? " shard:2 " : " shard:0 ", " listener:" CLUSTER_PATH " ",
              " by_admin_socket:f ",
              " pid:1 uid:77 gid:5 groups:[7 8] user:default authenticated:f admin:f name:probe "
              "lib_name:lib lib_ver:9 resp:3 ",
              " age_ms:1500 idle_ms:1500 state:open waits_for:nothing command:ssubscribe replies:on ",
              "{channels:{total:2 names:[x y]} patterns:{total:1 names:[n*]} "
              "shard_channels:{total:1 names:[s]}}",
              " input_bytes:0 output_bytes:0 ", " published:2 published_bytes:8 delivered:1 lost:0 denied:0 ",
              "max_subscriptions:{now:4 limit:1000}", "max_patterns:{now:1 limit:3}",
              "publish_rate:{now:0 limit:100}", "publish_bytes:{now:0 limit:-}",
              "max_output_bytes:{now:0 limit:1048576}",
              "user_limits:{max_subscriptions_per_user:{here:4 limit:-} max_patterns_per_user:{here:1 "
              "limit:-} ",
              "publish_rate_per_user:{limit:-}");
        cluster_deinit(&cl);
}
END_TEST

START_TEST(the_sent_bytes_are_what_was_sent)
{
        char expected[64];
        int a, c;

        start(shard_counts[_i]);
        a = admin(0);
        c = cluster_connect(&cl, 0, 77);
        say(0, c, "PING\r\nPING\r\n");
        snprintf(expected, sizeof(expected), " sent_bytes:%zu ", 2 * strlen("+PONG\r\n"));
        CHECK(0, a, ask_client(id_of(0, c)), expected);
        cluster_deinit(&cl);
}
END_TEST

START_TEST(what_waits_for_it_and_for_what_it_waits)
{
        unsigned last = shard_counts[_i] - 1;
        int a, c, p;

        start(shard_counts[_i]);
        a = admin(0);
        c = cluster_connect(&cl, last, 77);
        p = cluster_connect(&cl, 0, 78);
        say(last, c, "SUBSCRIBE x\r\n");
        fake_accept(cl.fakes[last], c, 0);
        for (int i = 0; i < 60; i++)
                say(0, p,
                    "PUBLISH x "
                    "01234567890123456789012345678901234567890123456789012345678901234567890123456789\r\n");
        cluster_advance(20 * NSEC_PER_SEC);
        /* each frame is "*3 $7 message $1 x $80 ..." */
        CHECK(0, a, ask_client(id_of(last, c)), " delivered:60 ", "max_output_bytes:{now:6660 limit:1048576}",
              "soft_output_bytes:{now:6660 limit:5000}", "soft_output_time_ms:{now:20000 limit:60000}");
        for (int i = 0; i < 50; i++)
                cluster_say(&cl, 0, p, "PUBLISH nobody x\r\nPUBLISH nobody x\r\nPUBLISH nobody x\r\n");
        cluster_settle(&cl);
        CHECK(0, a, ask_client(id_of(0, p)), " waits_for:its rate ", " published:160 ",
              "publish_rate:{now:100 limit:100}", "max_query_bytes:{now:900 limit:5000}");
        cluster_deinit(&cl);
}
END_TEST

START_TEST(the_subscriptions_that_are_listed_are_bounded)
{
        char text[64];
        int a, c;

        start(shard_counts[_i]);
        a = admin(0);
        c = cluster_connect(&cl, 0, 77);
        for (int i = 0; i < 250; i++) {
                snprintf(text, sizeof(text), "SUBSCRIBE c%03d\r\n", i);
                cluster_say(&cl, 0, c, text);
        }
        say(0, c, "SSUBSCRIBE s\r\n");
        CHECK(0, a, ask_client(id_of(0, c)), "channels:{total:250 names:[c000 c001 ", " c099]}",
              "shard_channels:{total:1 names:[s]}");
        cluster_deinit(&cl);
}
END_TEST

START_TEST(who_is_not_there_is_an_error)
{
        int a;

        start(shard_counts[_i]);
        a = admin(0);
        CHECK(0, a, "BROKER CLIENT 4242\r\n", "-ERR No such client");
        CHECK(0, a, "BROKER CLIENT x\r\n", "-ERR Invalid client ID");
        CHECK(0, a, "BROKER CLIENT 0\r\n", "-ERR Invalid client ID");
        CHECK(0, a, "BROKER CLIENT\r\n", "-ERR wrong number");
        CHECK(0, a, "BROKER CHANNELS a b\r\n", "-ERR syntax error");
        CHECK(0, a, "BROKER CHANNELS a LIMIT 0\r\n", "-ERR LIMIT should be from 1 to 10000");
        CHECK(0, a, "BROKER CHANNELS LIMIT 10001\r\n", "-ERR LIMIT should");
        CHECK(0, a, "BROKER PATTERNS LIMIT x\r\n", "-ERR LIMIT should");
        cluster_deinit(&cl);
}
END_TEST

START_TEST(it_needs_the_right_to_administer)
{
        int c;

        start(shard_counts[_i]);
        c = cluster_connect(&cl, 0, 77);
        CHECK(0, c, "BROKER CLIENT 1\r\n", "-NOPERM");
        CHECK(0, c, "BROKER CHANNELS\r\n", "-NOPERM");
        CHECK(0, c, "BROKER PATTERNS\r\n", "-NOPERM");
        cluster_deinit(&cl);
}
END_TEST

/* ------------------------------------------------------------------ BROKER CHANNELS, PATTERNS */

START_TEST(channels_have_their_figures)
{
        unsigned last = shard_counts[_i] - 1;
        int a, c, d;
        char expected[256];

        start(shard_counts[_i]);
        a = admin(0);
        c = cluster_connect(&cl, last, 77);
        d = cluster_connect(&cl, 0, 78);
        say(last, c, "CLIENT SETNAME panel\r\nSUBSCRIBE news other\r\nPSUBSCRIBE n*\r\nSSUBSCRIBE news\r\n");
        say(0, d, "SUBSCRIBE news\r\nPSUBSCRIBE *s n*\r\n");
        say(0, a, "PUBLISH news 12345\r\nPUBLISH news 1\r\nSPUBLISH news xyz\r\n");
        cluster_advance(1700 * NSEC_PER_MSEC);
        snprintf(expected, sizeof(expected), "{name:news subscribers:2 by_shard:%s clients:[{id:%" PRIu64,
                 last ? "[1 0 1]" : "[2]", id_of(last ? 0 : last, last ? d : c));
        CHECK(0, a, "BROKER CHANNELS\r\n", " total:3 channels:[{name:news ", expected, "uid:77 name:panel}",
              "uid:78 name:}", "] kind:channel messages:2 bytes:6 last_ms:1700 matching:2 patterns:[{name:",
              "{name:n* subscribers:2}", "{name:*s subscribers:1}",
              "kind:shard messages:1 bytes:3 last_ms:1700 matching:0 patterns:[]", "{name:other subscribers:1 ",
              "kind:channel messages:0 bytes:0 last_ms:- matching:0 patterns:[]");
        CHECK(0, a, "BROKER CHANNELS *ther\r\n", "total:1 channels:[{name:other ");
        CHECK(0, a, "BROKER CHANNELS nobody*\r\n", "total:0 channels:[]");
        cluster_deinit(&cl);
}
END_TEST

/* Each shard counts what its own clients publish; the answer is the sum. */
START_TEST(messages_of_all_shards_are_added)
{
        int a, c, p[3];

        start(3);
        a = admin(1);
        c = cluster_connect(&cl, 0, 77);
        say(0, c, "SUBSCRIBE x\r\n");
        for (unsigned i = 0; i < 3; i++) {
                p[i] = cluster_connect(&cl, i, 78);
                for (unsigned k = 0; k <= i; k++)
                        say(i, p[i], "PUBLISH x 12\r\n");
                cluster_advance(NSEC_PER_SEC);
        }
        CHECK(1, a, "BROKER CHANNELS\r\n", "messages:6 bytes:12 last_ms:1000 ");
        cluster_deinit(&cl);
}
END_TEST

START_TEST(what_only_patterns_want_is_a_channel_as_well)
{
        unsigned last = shard_counts[_i] - 1;
        int a, c;

        start(shard_counts[_i]);
        a = admin(0);
        c = cluster_connect(&cl, last, 77);
        say(last, c, "PSUBSCRIBE n*\r\n");
        say(0, a, "PUBLISH news 12345\r\nPUBLISH other x\r\n");
        CHECK(0, a, "BROKER CHANNELS\r\n", "total:0 channels:[{name:news subscribers:0 ",
              " messages:1 bytes:5 ", "matching:1 patterns:[{name:n* subscribers:1}]}]}");
        say(last, c, "PUNSUBSCRIBE\r\n");
        CHECK(0, a, "BROKER CHANNELS\r\n", "total:0 channels:[]}");
        cluster_deinit(&cl);
}
END_TEST

START_TEST(patterns_have_their_channels)
{
        unsigned last = shard_counts[_i] - 1;
        int a, c, d;

        start(shard_counts[_i]);
        a = admin(0);
        c = cluster_connect(&cl, last, 77);
        d = cluster_connect(&cl, 0, 78);
        say(last, c, "CLIENT SETNAME panel\r\nSUBSCRIBE na nb ob\r\nSSUBSCRIBE nc\r\nPSUBSCRIBE n* z*\r\n");
        say(0, d, "PSUBSCRIBE n*\r\n");
        for (int i = 0; i < 2; i++) /* the count begins anew */
                CHECK(0, a, "BROKER PATTERNS\r\n",
                      "total:2 patterns:[{name:n* subscribers:2 by_shard:", "uid:77 name:panel}",
                      " channels:2} {name:z* subscribers:1 ", " channels:0}]}");
        CHECK(0, a, "BROKER PATTERNS z\\* LIMIT 1\r\n", "total:1 patterns:[{name:z* ");
        cluster_deinit(&cl);
}
END_TEST

/* ------------------------------------------------------------------ bounds, and what happens meanwhile */

static void subscribe_many(unsigned shard, int fd, int first, int n)
{
        char text[64];

        for (int i = first; i < first + n; i++) {
                snprintf(text, sizeof(text), "SUBSCRIBE c%05d\r\n", i);
                cluster_say(&cl, shard, fd, text);
                if (i % 50 == 0)
                        cluster_settle(&cl);
        }
        cluster_settle(&cl);
        free(cluster_hear(&cl, shard, fd));
}

static const struct policy wide = { .limits = { .request_bytes = 1 << 20, .output_hard = 1 << 24 } };

START_TEST(a_list_has_the_first_names_in_order)
{
        unsigned n_shards = shard_counts[_i];
        char text[64], *list;
        int a, c;

        start_with(n_shards, &wide);
        a = admin(0);
        for (unsigned i = 0; i < n_shards; i++) {
                c = cluster_connect(&cl, i, 77);
                subscribe_many(i, c, (int)(600 * (n_shards - i)), 600);
        }
        snprintf(text, sizeof(text), "total:%u channels:[{name:c00600 ", 600 * n_shards);
        CHECK(0, a, "BROKER CHANNELS LIMIT 700\r\n", text, "{name:c00601 ");
        list = answer(0, a, "BROKER CHANNELS LIMIT 7\r\n");
        for (int i = 600; i < 606; i++) {
                char *at;

                snprintf(text, sizeof(text), "{name:c%05d ", i);
                at = strstr(list, text);
                snprintf(text, sizeof(text), "{name:c%05d ", i + 1);
                ck_assert(at && strstr(list, text) > at);
        }
        ck_assert_ptr_null(strstr(list, "c00607"));
        free(list);
        cluster_deinit(&cl);
}
END_TEST

START_TEST(others_are_served_while_a_list_is_made)
{
        unsigned turns = 0;
        int a, c, d;
        char *text;

        start_with(1, &wide);
        a = admin(0);
        c = cluster_connect(&cl, 0, 77);
        d = cluster_connect(&cl, 0, 77);
        subscribe_many(0, c, 0, 5000);
        cluster_say(&cl, 0, a, "BROKER CHANNELS *9999\r\n");
        cluster_turn(&cl, 0);
        cluster_say(&cl, 0, d, "PING\r\n");
        cluster_turn(&cl, 0);
        text = heard(0, d);
        ck_assert_str_eq(text, "PONG");
        free(text);
        for (text = heard(0, a); !*text; text = heard(0, a), turns++) {
                free(text);
                cluster_turn(&cl, 0);
        }
        ck_assert_uint_ge(turns, 2);
        ck_assert_ptr_nonnull(strstr(text, "channels:[]"));
        free(text);
        cluster_deinit(&cl);
}
END_TEST

/* What was there all the time is in the list, though much comes and goes meanwhile. */
START_TEST(channels_come_and_go_while_a_list_is_made)
{
        int a, c, d;
        char *text;

        start_with(shard_counts[_i], &wide);
        a = admin(0);
        c = cluster_connect(&cl, 0, 77);
        d = cluster_connect(&cl, 0, 77);
        subscribe_many(0, c, 20000, 700); /* the walk comes here last */
        subscribe_many(0, d, 30000, 900); /* here it stands after the first turn */
        subscribe_many(0, c, 40000, 200);
        cluster_say(&cl, 0, a, "BROKER CHANNELS c* LIMIT 2000\r\n");
        cluster_turn(&cl, 0);
        cluster_say(&cl, 0, d, "UNSUBSCRIBE\r\n");
        cluster_turn(&cl, 0);
        subscribe_many(0, d, 50000, 500);
        text = heard(0, a);
        for (int i = 0; i < 900; i++) {
                char name[32];

                snprintf(name, sizeof(name), "{name:c%05d ", i < 700 ? 20000 + i : 40000 + i - 700);
                ck_assert_msg(strstr(text, name), "%s is missing", name);
        }
        free(text);
        cluster_deinit(&cl);
}
END_TEST

START_TEST(who_asked_may_go)
{
        int a, b, c;

        start_with(shard_counts[_i], &wide);
        a = admin(0);
        b = admin(0);
        c = cluster_connect(&cl, 0, 77);
        subscribe_many(0, c, 0, 3000);
        cluster_say(&cl, 0, a, "BROKER CHANNELS\r\n");
        cluster_say(&cl, 0, b, "BROKER CHANNELS LIMIT 1\r\n");
        cluster_turn(&cl, 0);
        fake_fail(cl.fakes[0], a, ECONNRESET);
        cluster_settle(&cl);
        ck_assert(!cluster_is_open(&cl, 0, a));
        CHECK(0, b, "", "total:3000 channels:[{name:c00000 ");
        ck_assert(!inspect_is_behind(cl.shards[0]));
        cluster_deinit(&cl);
}
END_TEST

START_TEST(a_stop_does_not_wait_for_a_list)
{
        int a, c;

        start_with(shard_counts[_i], &wide);
        a = admin(0);
        c = cluster_connect(&cl, 0, 77);
        subscribe_many(0, c, 0, 5000);
        cluster_say(&cl, 0, a, "BROKER CHANNELS\r\n");
        cluster_turn(&cl, 0);
        ck_assert(inspect_is_behind(cl.shards[0]));
        cluster_deinit(&cl);
}
END_TEST

START_TEST(a_list_that_is_too_long_is_refused)
{
        int a, c;

        start_with(shard_counts[_i], &narrow);
        a = admin(0);
        c = cluster_connect(&cl, shard_counts[_i] - 1, 77);
        subscribe_many(shard_counts[_i] - 1, c, 0, 400);
        CHECK(0, a, "BROKER CHANNELS\r\n", "-ERR the list is longer than the output that may wait");
        CHECK(0, a, "BROKER CHANNELS LIMIT 20\r\n", "total:400 channels:[{name:c00000 ");
        cluster_deinit(&cl);
}
END_TEST

/* So that no shard is made to hold, or to send, more than that. */
START_TEST(a_part_that_is_too_long_is_not_sent)
{
        const struct client *asker;
        int a, c;

        start_with(3, &narrow);
        a = admin(0);
        c = cluster_connect(&cl, 1, 77);
        subscribe_many(1, c, 0, 400);
        asker = client_of_stream(fake_stream(cl.fakes[0], a)->stream);
        cluster_say(&cl, 0, a, "BROKER CHANNELS\r\n");
        for (int i = 0; i < 40; i++) {
                cluster_turn(&cl, 0);
                cluster_turn(&cl, 1);
        }
        ck_assert_ptr_nonnull(asker->gather); /* shard 2 has not answered */
        for (int i = 0; i < 2; i++)
                ck_assert_uint_eq(buffer_size(&asker->gather->inspect->parts[i]), sizeof(struct inspect_part));
        CHECK(0, a, "", "-ERR the list is longer");
        cluster_deinit(&cl);
}
END_TEST

/* Which channels only patterns want, the shards know that published to them. */
START_TEST(what_only_some_shards_know_is_in_its_place)
{
        static const struct {
                unsigned shard;
                const char *publish;
        } published[] = { { 1, "PUBLISH n1 x\r\n" },
                          { 2, "PUBLISH n2 x\r\n" },
                          { 1, "PUBLISH n3 x\r\n" },
                          { 0, "PUBLISH n0 x\r\n" },
                          { 2, "PUBLISH n1 x\r\n" } };
        char *text;
        const char *rest;
        int a, c;

        start(3);
        a = admin(0);
        c = cluster_connect(&cl, 0, 77);
        say(0, c, "PSUBSCRIBE n*\r\n");
        for (unsigned i = 0; i < 5; i++)
                say(published[i].shard, cluster_connect(&cl, published[i].shard, 77), published[i].publish);
        text = answer(0, a, "BROKER CHANNELS\r\n");
        rest = text;
        for (unsigned i = 0; i < 4; i++) {
                char row[128];

                snprintf(row, sizeof(row),
                         "{name:n%u subscribers:0 by_shard:[0 0 0] clients:[] kind:channel messages:%d ", i,
                         i == 1 ? 2 : 1);
                rest = strstr(rest, row);
                ck_assert_msg(rest, "%s is not next in %s", row, text);
                rest++;
        }
        ck_assert_ptr_null(strstr(rest, "{name:n0 s"));
        free(text);
        cluster_deinit(&cl);
}
END_TEST

START_TEST(one_client_is_looked_at_before_long_lists)
{
        int a, b, c;
        char *text;

        start_with(1, &wide);
        a = admin(0);
        b = admin(0);
        c = cluster_connect(&cl, 0, 77);
        subscribe_many(0, c, 0, 5000);
        cluster_say(&cl, 0, a, "BROKER CHANNELS\r\n");
        cluster_turn(&cl, 0);
        cluster_say(&cl, 0, b, ask_client(id_of(0, c)));
        cluster_turn(&cl, 0);
        text = heard(0, b);
        ck_assert_ptr_nonnull(strstr(text, "total:5000"));
        free(text);
        text = heard(0, a);
        ck_assert_str_eq(text, "");
        free(text);
        cluster_deinit(&cl);
}
END_TEST

START_TEST(in_a_transaction_it_is_answered_in_its_place)
{
        int a, c;

        start(shard_counts[_i]);
        a = admin(0);
        c = cluster_connect(&cl, shard_counts[_i] - 1, 77);
        say(shard_counts[_i] - 1, c, "PSUBSCRIBE n*\r\n");
        CHECK(0, a, "MULTI\r\nECHO 1\r\nBROKER PATTERNS\r\nECHO 2\r\nBROKER CLIENT 99\r\nEXEC\r\n",
              "[1 {time_us:", "patterns:[{name:n* ", "}]} 2 -ERR No such client]");
        cluster_deinit(&cl);
}
END_TEST

/* Deliveries that are looked at one by one are counted as well, and only those that are made. */
START_TEST(what_the_rules_refuse_is_counted)
{
        static const struct bytes all[] = { BYTES_LITERAL("*") }, secret[] = { BYTES_LITERAL("n2") };
        static const struct access_range alice = { 77, 77 };
        const struct access_rule rules[] = {
                { .deny = true,
                  .actions = 1u << ACCESS_SUBSCRIBE,
                  .users = &alice,
                  .n_users = 1,
                  .channels = secret,
                  .n_channels = 1 },
                { .actions = 1u << ACCESS_PUBLISH | 1u << ACCESS_SUBSCRIBE | 1u << ACCESS_PSUBSCRIBE,
                  .channels = all,
                  .n_channels = 1 },
                { .actions = 1u << ACCESS_ADMIN,
                  .users = &(const struct access_range){ ADMIN, ADMIN },
                  .n_users = 1 },
        };
        struct policy strict = wide;
        struct access *access = access_new(rules, 3, false);
        int a, c;

        strict.access = access;
        start_with(shard_counts[_i], &strict);
        a = admin(0);
        c = cluster_connect(&cl, 0, 77);
        say(0, c, "SUBSCRIBE n2\r\nBROKER PATTERNS\r\nPSUBSCRIBE n*\r\n");
        say(0, a, "PUBLISH n1 x\r\nPUBLISH n2 x\r\nPUBLISH n1 x\r\n");
        CHECK(0, a, ask_client(id_of(0, c)), " delivered:2 lost:0 denied:2 ", " patterns:{total:1 names:[n*]}",
              "{channels:{total:0 ");
        cluster_deinit(&cl);
        access_free(access);
}
END_TEST

START_TEST(the_lines_of_all_clients_have_the_counters)
{
        char expected[128];
        int c, d;

        start(shard_counts[_i]);
        c = cluster_connect(&cl, 0, ADMIN);
        d = cluster_connect(&cl, 0, ADMIN);
        say(0, d, "SUBSCRIBE x\r\n");
        say(0, c, "PUBLISH x 12345\r\nPUBLISH x 12345\r\n");
        snprintf(expected, sizeof(expected), " lost=0 shard=0 pub=2 pub-bytes=10 dlv=0 sent=%zu\n",
                 2 * strlen(":1\r\n"));
        CHECK(0, c, "CLIENT LIST\r\n", expected, " lost=0 shard=0 pub=0 pub-bytes=0 dlv=2 sent=");
        cluster_deinit(&cl);
}
END_TEST

static void add(TCase *cases)
{
        tcase_add_loop_test(cases, a_client_is_described, 0, 2);
        tcase_add_loop_test(cases, the_sent_bytes_are_what_was_sent, 0, 2);
        tcase_add_loop_test(cases, what_waits_for_it_and_for_what_it_waits, 0, 2);
        tcase_add_loop_test(cases, the_subscriptions_that_are_listed_are_bounded, 0, 2);
        tcase_add_loop_test(cases, who_is_not_there_is_an_error, 0, 2);
        tcase_add_loop_test(cases, it_needs_the_right_to_administer, 0, 2);
        tcase_add_loop_test(cases, channels_have_their_figures, 0, 2);
        tcase_add_test(cases, messages_of_all_shards_are_added);
        tcase_add_loop_test(cases, what_only_patterns_want_is_a_channel_as_well, 0, 2);
        tcase_add_loop_test(cases, patterns_have_their_channels, 0, 2);
        tcase_add_loop_test(cases, a_list_has_the_first_names_in_order, 0, 2);
        tcase_add_test(cases, others_are_served_while_a_list_is_made);
        tcase_add_loop_test(cases, channels_come_and_go_while_a_list_is_made, 0, 2);
        tcase_add_loop_test(cases, who_asked_may_go, 0, 2);
        tcase_add_loop_test(cases, a_stop_does_not_wait_for_a_list, 0, 2);
        tcase_add_loop_test(cases, a_list_that_is_too_long_is_refused, 0, 2);
        tcase_add_test(cases, a_part_that_is_too_long_is_not_sent);
        tcase_add_test(cases, what_only_some_shards_know_is_in_its_place);
        tcase_add_test(cases, one_client_is_looked_at_before_long_lists);
        tcase_add_loop_test(cases, in_a_transaction_it_is_answered_in_its_place, 0, 2);
        tcase_add_loop_test(cases, what_the_rules_refuse_is_counted, 0, 2);
        tcase_add_loop_test(cases, the_lines_of_all_clients_have_the_counters, 0, 2);
}

int main(void)
{
        return suite_run("inspect", add);
}
