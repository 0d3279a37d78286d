/* SPDX-License-Identifier: MIT */
/* Policies that drop messages for a subscriber that does not read: which, and what it hears of it. */

#include "shard/spool.h"

#include <errno.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>

#include "pubsub/access.h"
#include "shard/client.h"
#include "shard/loss.h"
#include "shard/state.h"
#include "support/cluster.h"
#include "support/suite.h"
#include "util/clock.h"
#include "util/log.h"

static struct cluster cl;

static struct slow_rule rules[3];
static struct policy policy, other_policy;

/* What a case runs with: by its index. */
static enum slow_action action;
static bool resp3;
static unsigned last; /* shard of the subscriber; publishers are on shard 0 */

#define VARIANTS 12

static void start_with(const struct policy_limits *limits)
{
        policy = (struct policy){ .limits = *limits, .slow = rules, .n_slow = 1 };
        policy.limits.request_bytes = 1 << 20;
        cluster_init(&cl, &(struct cluster_options){ .n_shards = last + 1,
                                                     .capacity = 2,
                                                     .backlog_bytes = 400,
                                                     .drain_budget = 3,
                                                     .policy = &policy });
}

static void start(unsigned variant, uint64_t bytes)
{
        action = (enum slow_action[]){ SLOW_DROP_OLDEST, SLOW_DROP_NEWEST, SLOW_CONFLATE }[variant % 3];
        resp3 = variant / 3 % 2;
        last = variant / 6 ? 2 : 0;
        rules[0] = (struct slow_rule){ .action = action, .bytes = bytes };
        start_with(&(struct policy_limits){ .output_hard = 100000 });
}

static void say(unsigned shard, int fd, const char *text)
{
        cluster_say(&cl, shard, fd, text);
        cluster_settle(&cl);
}

static void take(int fd, size_t bytes)
{
        fake_accept(cl.fakes[last], fd, bytes);
        cluster_settle(&cl);
}

/* What the client hears, with blanks in place of line ends; the caller frees it. */
static char *hear(unsigned shard, int fd)
{
        char *heard = cluster_hear(&cl, shard, fd), *to = heard;

        for (char *from = heard; *from; from++) {
                if (*from == '\r')
                        continue;
                *to++ = (char)(*from == '\n' ? ' ' : *from);
        }
        *to = 0;
        return heard;
}

static void check_heard(int fd, const char *expected)
{
        char *heard = hear(last, fd);

        ck_assert_str_eq(heard, expected);
        free(heard);
}

static struct client *client_of(int fd)
{
        list_for_each (i, &cl.shards[last]->clients) {
                struct client *c = container_of(i, struct client, all);

                if (c->stream.fd == fd)
                        return c;
        }
        return NULL;
}

/* A client that hears of its losses in the way of its protocol. */
static int listener(const char *subscriptions)
{
        int fd = cluster_connect(&cl, last, 7);

        say(last, fd, resp3 ? "HELLO 3\r\nCLIENT LOSS ON\r\n" : "SUBSCRIBE " LOSS_TOPIC "\r\n");
        say(last, fd, subscriptions);
        free(hear(last, fd));
        return fd;
}

static void publish(int publisher, const char *channel, unsigned number)
{
        char line[100];

        snprintf(line, sizeof(line), "PUBLISH %s %02u\r\n", channel, number);
        say(0, publisher, line);
}

/* ------------------------------------------------------------------ what it should hear */

static char expected[100000];

static void expect(const char *format, ...)
{
        size_t at = strlen(expected);
        va_list args;

        va_start(args, format);
        vsnprintf(expected + at, sizeof(expected) - at, format, args);
        va_end(args);
}

static char sign(void)
{
        return resp3 ? '>' : '*';
}

static void expect_message(const char *channel, unsigned number)
{
        expect("%c3 $7 message $%zu %s $2 %02u ", sign(), strlen(channel), channel, number);
}

static void expect_loss_for(const char *channel, unsigned n, const char *reason)
{
        char text[100];

        if (!n)
                return;
        if (resp3) {
                expect(">4 $4 loss $%zu %s :%u $%zu %s ", strlen(channel), channel, n, strlen(reason), reason);
                return;
        }
        snprintf(text, sizeof(text), "%u %s %s", n, reason, channel);
        expect("*3 $7 message $16 __brokerd__:loss $%zu %s ", strlen(text), text);
}

static void expect_loss(const char *channel, unsigned n)
{
        expect_loss_for(channel, n, loss_reason(action));
}

static void expect_pong(void)
{
        expect(resp3 ? "+PONG " : "*2 $4 pong $0  ");
}

static void check_expected(int fd)
{
        check_heard(fd, expected);
        *expected = 0;
}

/* How many messages the text has. */
static unsigned count_messages(const char *text)
{
        unsigned n = 0;

        for (; (text = strstr(text, " message $4 ")); text++)
                n++;
        return n;
}

/* ------------------------------------------------------------------ the policies */

#define FRAME_BYTES 35 /* of a message to "news" with two digits */

/* What the policy keeps of messages first .. n - 1, `kept` of them. */
static void expect_by_policy(unsigned first, unsigned n, unsigned kept)
{
        if (action == SLOW_CONFLATE)
                ck_assert_uint_eq(kept, 1);
        if (action != SLOW_DROP_NEWEST)
                expect_loss("news", n - first - kept);
        for (unsigned i = 0; i < kept; i++)
                expect_message("news", action == SLOW_DROP_NEWEST ? first + i : n - kept + i);
        if (action == SLOW_DROP_NEWEST)
                expect_loss("news", n - first - kept);
}

/* Cut at every byte: the frame of which a part was sent comes whole, and then what the policy kept. */
START_TEST(what_is_dropped_is_told_in_its_place_behind_a_frame_that_was_cut)
{
        for (size_t cut = 0; cut <= FRAME_BYTES; cut++) {
                unsigned n = 80, whole = cut ? 1 : 0, kept;
                int publisher, fd;
                char *heard;

                start(_i, 1500);
                publisher = cluster_connect(&cl, 0, 7);
                fd = listener("SUBSCRIBE news\r\n");
                fake_accept(cl.fakes[last], fd, cut);
                for (unsigned i = 0; i < n; i++)
                        publish(publisher, "news", i);
                spool_assert(client_of(fd));
                ck_assert_uint_eq(cl.shards[last]->deliver.stage[resp3]->refs, 1); /* it pins none */
                ck_assert_uint_le(client_output(client_of(fd)), 1900);             /* a gap may come on top */
                say(last, fd, "PING\r\n");
                take(fd, SIZE_MAX);
                ck_assert(!client_of(fd)->spool);
                heard = hear(last, fd);
                kept = count_messages(heard) - whole;
                ck_assert_uint_gt(kept, 0);
                ck_assert_uint_lt(kept, n - 30);
                if (whole)
                        expect_message("news", 0);
                expect_by_policy(whole, n, kept);
                expect_pong();
                ck_assert_str_eq(heard, expected);
                ck_assert_uint_eq(client_of(fd)->lost, n - whole - kept);
                *expected = 0;
                free(heard);
                cluster_deinit(&cl);
        }
}
END_TEST

/* Nothing is dropped while the kernel takes everything, or below the rule's bytes. */
START_TEST(who_reads_loses_nothing)
{
        int publisher, fd;

        start(_i, 800);
        publisher = cluster_connect(&cl, 0, 7);
        fd = listener("SUBSCRIBE news\r\n");
        for (unsigned i = 0; i < 100; i++) {
                publish(publisher, "news", i % 100);
                expect_message("news", i % 100);
                ck_assert(!client_of(fd)->spool);
        }
        check_expected(fd);
        if (action != SLOW_CONFLATE) {
                fake_accept(cl.fakes[last], fd, 0);
                for (unsigned i = 0; i < 4; i++) {
                        publish(publisher, "news", i);
                        expect_message("news", i);
                }
                take(fd, SIZE_MAX);
                check_expected(fd);
        }
        ck_assert_uint_eq(client_of(fd)->lost, 0);
        cluster_deinit(&cl);
}
END_TEST

/* Replies and acknowledgements are not dropped, and keep their place; losses stay in front of what came behind.
 */
START_TEST(replies_stay_where_they_are)
{
        int publisher, fd;

        start(_i, 1);
        publisher = cluster_connect(&cl, 0, 7);
        fd = listener("SUBSCRIBE news other\r\n");
        fake_accept(cl.fakes[last], fd, 0);
        publish(publisher, "news", 0);
        publish(publisher, "news", 1);
        say(last, fd, "PING\r\n");
        publish(publisher, "news", 2);
        say(last, fd, "UNSUBSCRIBE news\r\nPING\r\n");
        publish(publisher, "news", 3);
        publish(publisher, "other", 4);
        take(fd, SIZE_MAX);
        /* nothing fits into one byte; conflate keeps the newest of each, and moved 2 behind the first PONG */
        expect_loss("news", 2);
        expect_pong();
        if (action == SLOW_CONFLATE)
                expect_message("news", 2);
        else
                expect_loss("news", 1);
        expect("%c3 $11 unsubscribe $4 news :%u ", sign(), resp3 ? 1 : 2);
        expect_pong();
        if (action == SLOW_CONFLATE)
                expect_message("other", 4);
        else
                expect_loss("other", 1);
        check_expected(fd);
        cluster_deinit(&cl);
}
END_TEST

/* A message that matches several subscriptions is as many messages. */
START_TEST(each_copy_by_a_pattern_counts)
{
        int publisher, fd;

        start(_i, 1);
        publisher = cluster_connect(&cl, 0, 7);
        fd = listener("SUBSCRIBE news\r\nPSUBSCRIBE n*\r\nSSUBSCRIBE news\r\n");
        fake_accept(cl.fakes[last], fd, 0);
        for (unsigned i = 0; i < 3; i++)
                publish(publisher, "news", i);
        say(0, publisher, "SPUBLISH news x\r\n");
        take(fd, SIZE_MAX);
        if (action == SLOW_CONFLATE) {
                expect_loss("news", 4);
                expect_message("news", 2);
                expect("%c4 $8 pmessage $2 n* $4 news $2 02 ", sign());
                expect("%c3 $8 smessage $4 news $1 x ", sign());
        } else {
                expect_loss("news", 7);
        }
        check_expected(fd);
        ck_assert_uint_eq(client_of(fd)->lost, action == SLOW_CONFLATE ? 4 : 7);
        cluster_deinit(&cl);
}
END_TEST

/* Up to 64 channels have a number each, and more only one for all. */
START_TEST(losses_of_many_channels_are_summed_up)
{
        int publisher, fd;
        char name[16];

        for (unsigned n = 63; n <= 66; n++) {
                start(_i % 6, 1);
                if (action == SLOW_CONFLATE) {
                        cluster_deinit(&cl);
                        return;
                }
                publisher = cluster_connect(&cl, 0, 7);
                fd = listener("PSUBSCRIBE *\r\n");
                fake_accept(cl.fakes[last], fd, 0);
                for (unsigned i = 0; i < n; i++) {
                        snprintf(name, sizeof(name), "c%u", i);
                        publish(publisher, name, i);
                        publish(publisher, name, i);
                        if (n <= LOSS_CHANNELS_MAX)
                                expect_loss(name, 2);
                }
                take(fd, SIZE_MAX);
                if (n > LOSS_CHANNELS_MAX && resp3)
                        expect(">4 $4 loss _ :%u $11 %s ", 2 * n, loss_reason(action));
                else if (n > LOSS_CHANNELS_MAX)
                        expect("*3 $7 message $16 __brokerd__:loss $15 %u %s ", 2 * n, loss_reason(action));
                check_expected(fd);
                cluster_deinit(&cl);
        }
}
END_TEST

/* The first rule that fits, of the client's listener. */
START_TEST(each_channel_has_its_rule)
{
        static const struct bytes a[] = { BYTES_LITERAL("x"), BYTES_LITERAL("a*") },
                                  b[] = { BYTES_LITERAL("*b") };
        int publisher, fd;

        start(_i, 1);
        rules[0] = (struct slow_rule){ .action = SLOW_DROP_OLDEST, .bytes = 1, .listener = "/run/another" };
        rules[1] = (struct slow_rule){ .action = SLOW_DROP_NEWEST, .bytes = 1, .channels = a, .n_channels = 2 };
        rules[2] = (struct slow_rule){
                .action = SLOW_CONFLATE, .channels = b, .n_channels = 1, .listener = CLUSTER_PATH
        };
        other_policy = policy;
        other_policy.n_slow = 3;
        cluster_set_policy(&cl, &other_policy);
        publisher = cluster_connect(&cl, 0, 7);
        fd = listener("SUBSCRIBE ab bb cc\r\n");
        fake_accept(cl.fakes[last], fd, 0);
        for (unsigned i = 0; i < 2; i++) {
                publish(publisher, "ab", i);
                publish(publisher, "bb", i);
                publish(publisher, "cc", i);
        }
        take(fd, SIZE_MAX);
        /* neighbours, though nothing of either was left between them */
        expect_loss_for("ab", 1, "drop-newest");
        expect_loss_for("bb", 1, "conflate");
        expect_message("cc", 0);
        expect_loss_for("ab", 1, "drop-newest");
        expect_message("bb", 1);
        expect_message("cc", 1);
        check_expected(fd);
        cluster_deinit(&cl);
}
END_TEST

/* ------------------------------------------------------------------ who is told */

START_TEST(client_loss_is_for_resp3)
{
        int fd;

        start(_i, 1);
        fd = cluster_connect(&cl, last, 7);
        say(last, fd, "CLIENT LOSS ON\r\nCLIENT LOSS OFF\r\nHELLO 3\r\n");
        free(hear(last, fd));
        say(last, fd, "HELLO 2\r\nCLIENT LOSS ON\r\n");
        {
                char *heard = hear(last, fd);

                ck_assert_ptr_nonnull(strstr(heard,
                                             "-ERR CLIENT LOSS needs RESP3 (HELLO 3); with RESP2, subscribe to "
                                             "__brokerd__:loss "));
                free(heard);
        }
        say(last, fd, "HELLO 3\r\n");
        free(hear(last, fd));
        say(last, fd, "CLIENT LOSS\r\nCLIENT LOSS maybe\r\nCLIENT LOSS on\r\nclient loss Off\r\n");
        check_heard(fd, "-ERR wrong number of arguments for 'client|loss' command -ERR syntax error +OK +OK ");
        cluster_deinit(&cl);
}
END_TEST

/* Who did not ask is told nothing, and it is counted all the same. */
START_TEST(nobody_is_told_who_did_not_ask)
{
        static const char *const ends[] = { "", "CLIENT LOSS OFF\r\n", "HELLO 2\r\n", "RESET\r\nHELLO 3\r\n" };

        for (unsigned i = 0; i < 4; i++) {
                int publisher, fd;

                start(_i, 1);
                publisher = cluster_connect(&cl, 0, 7);
                fd = cluster_connect(&cl, last, 7);
                if (i)
                        say(last, fd,
                            "HELLO 3\r\nCLIENT LOSS ON\r\nSUBSCRIBE __brokerd__:loss\r\nUNSUBSCRIBE\r\n");
                say(last, fd, ends[i]);
                say(last, fd, "SUBSCRIBE news\r\n");
                free(hear(last, fd));
                fake_accept(cl.fakes[last], fd, 0);
                publish(publisher, "news", 0);
                publish(publisher, "news", 1);
                take(fd, SIZE_MAX);
                resp3 = i == 1 || i == 3;
                if (action == SLOW_CONFLATE)
                        expect_message("news", 1);
                check_expected(fd);
                ck_assert_uint_eq(client_of(fd)->lost, action == SLOW_CONFLATE ? 1 : 2);
                cluster_deinit(&cl);
        }
}
END_TEST

/* Notices begin behind the reply to CLIENT LOSS ON and end in front of that to OFF, whenever something is
 * dropped. */
START_TEST(notices_are_told_between_on_and_off)
{
        int publisher, fd;

        start(_i, 1);
        resp3 = true;
        publisher = cluster_connect(&cl, 0, 7);
        fd = cluster_connect(&cl, last, 7);
        say(last, fd, "HELLO 3\r\nSUBSCRIBE news\r\n");
        free(hear(last, fd));
        fake_accept(cl.fakes[last], fd, 0);
        publish(publisher, "news", 0);
        say(last, fd, "CLIENT LOSS ON\r\n");
        publish(publisher, "news", 1);
        say(last, fd, "CLIENT LOSS OFF\r\n");
        publish(publisher, "news", 2);
        take(fd, SIZE_MAX);
        expect("+OK ");
        expect_loss("news", 1);
        expect("+OK ");
        if (action == SLOW_CONFLATE)
                expect_message("news", 2);
        check_expected(fd);
        ck_assert_uint_eq(client_of(fd)->lost, action == SLOW_CONFLATE ? 2 : 3);
        cluster_deinit(&cl);
}
END_TEST

/* The same of a client that was not slow yet: what it has waiting was queued before it asked. */
START_TEST(what_waited_before_it_asked_is_not_told)
{
        int publisher, fd;

        start(_i, 1500);
        resp3 = true;
        publisher = cluster_connect(&cl, 0, 7);
        fd = cluster_connect(&cl, last, 7);
        say(last, fd, "HELLO 3\r\nSUBSCRIBE news\r\n");
        free(hear(last, fd));
        fake_accept(cl.fakes[last], fd, 0);
        publish(publisher, "news", 0);
        say(last, fd, "CLIENT LOSS ON\r\n");
        for (unsigned i = 1; i < 90; i++)
                publish(publisher, "news", i);
        take(fd, SIZE_MAX);
        {
                char *heard = hear(last, fd);
                unsigned kept = count_messages(heard);

                if (action == SLOW_DROP_NEWEST && kept)
                        expect_message("news", 0);
                expect("+OK ");
                if (action == SLOW_DROP_NEWEST)
                        expect_by_policy(1, 90, kept - (kept > 0));
                else
                        expect_by_policy(1, 90, kept);
                ck_assert_str_eq(heard, expected);
                *expected = 0;
                free(heard);
        }
        cluster_deinit(&cl);
}
END_TEST

/* By a push and by the channel, in the protocol of the messages around. */
START_TEST(both_ways_may_be_asked_for)
{
        int publisher, fd;

        start(_i, 1);
        resp3 = true;
        publisher = cluster_connect(&cl, 0, 7);
        fd = listener("SUBSCRIBE __brokerd__:loss news\r\n");
        fake_accept(cl.fakes[last], fd, 0);
        publish(publisher, "news", 0);
        publish(publisher, "news", 1);
        take(fd, SIZE_MAX);
        expect_loss("news", action == SLOW_CONFLATE ? 1 : 2);
        expect(">3 $7 message $16 __brokerd__:loss $%zu %u %s news ", strlen(loss_reason(action)) + 7,
               action == SLOW_CONFLATE ? 1 : 2, loss_reason(action));
        if (action == SLOW_CONFLATE)
                expect_message("news", 1);
        check_expected(fd);
        cluster_deinit(&cl);
}
END_TEST

/* Whatever the rules of access say: it tells of nobody else. */
START_TEST(everybody_may_hear_of_its_own_losses)
{
        struct access *access = access_new(NULL, 0, false);
        int fd;

        start(_i, 1);
        other_policy = policy;
        other_policy.access = access;
        fd = cluster_connect(&cl, last, 7);
        say(last, fd, "SUBSCRIBE __brokerd__:loss\r\n");
        check_heard(fd, "*3 $9 subscribe $16 __brokerd__:loss :1 ");
        cluster_set_policy(&cl, &other_policy);
        say(last, fd, "UNSUBSCRIBE\r\nSUBSCRIBE __brokerd__:loss\r\n");
        check_heard(fd, "*3 $11 unsubscribe $16 __brokerd__:loss :0 *3 $9 subscribe $16 __brokerd__:loss :1 ");
        ck_assert(client_of(fd)->loss_channel);
        cluster_deinit(&cl);
        access_free(access);
}
END_TEST

/* ------------------------------------------------------------------ transactions, ends, limits */

/* Messages that an EXEC holds back are dropped behind its reply. */
START_TEST(what_a_transaction_holds_comes_behind_its_reply)
{
        int fd;

        start(_i, 1);
        resp3 = true;
        fd = listener("SUBSCRIBE news\r\n");
        fake_accept(cl.fakes[last], fd, 0);
        say(last, fd, "PUBLISH news 00\r\nMULTI\r\nPUBLISH news 01\r\nPING\r\nPUBLISH news 02\r\nEXEC\r\n");
        take(fd, SIZE_MAX);
        expect(":1 ");
        expect_loss("news", 1);
        expect("+OK +QUEUED +QUEUED +QUEUED *3 :1 +PONG :1 ");
        expect_loss("news", action == SLOW_CONFLATE ? 1 : 2);
        if (action == SLOW_CONFLATE)
                expect_message("news", 2);
        check_expected(fd);
        cluster_deinit(&cl);
}
END_TEST

/* Who ends while it is slow still gets what is left, if it takes it; nothing of it stays behind. */
START_TEST(a_slow_client_ends_in_any_way)
{
        for (unsigned how = 0; how < 7; how++) {
                int publisher, killer, fd;
                char text[64];
                bool gets_rest = how < 2;

                start(_i, 600);
                publisher = cluster_connect(&cl, 0, 7);
                killer = cluster_connect(&cl, 0, 7);
                fd = listener("SUBSCRIBE news\r\n");
                fake_accept(cl.fakes[last], fd, 7);
                for (unsigned i = 0; i < 30; i++)
                        publish(publisher, "news", i);
                ck_assert_ptr_nonnull(client_of(fd)->spool);
                ck_assert_uint_gt(client_of(fd)->lost, 0);
                switch (how) {
                case 0:
                        say(last, fd, "QUIT\r\n");
                        break;
                case 1:
                        fake_end(cl.fakes[last], fd);
                        break;
                case 2:
                        fake_fail(cl.fakes[last], fd, ECONNRESET);
                        break;
                case 3:
                        snprintf(text, sizeof(text), "CLIENT KILL ID %d\r\n", fd);
                        say(0, killer, text);
                        break;
                case 4:
                        fake_fail(cl.fakes[last], fd, EPIPE);
                        publish(publisher, "news", 0);
                        break;
                case 5: /* it never takes the rest */
                        say(last, fd, "QUIT\r\n");
                        cluster_advance(2 * NSEC_PER_SEC);
                        break;
                case 6: /* the broker stops */
                        break;
                }
                cluster_settle(&cl);
                if (how == 6) {
                        cluster_deinit(&cl);
                        continue;
                }
                if (gets_rest) {
                        char *heard;

                        ck_assert(cluster_is_open(&cl, last, fd));
                        take(fd, SIZE_MAX);
                        heard = hear(last, fd);
                        ck_assert_ptr_nonnull(strstr(heard, loss_reason(action)));
                        ck_assert(how || !strcmp(heard + strlen(heard) - 4, "+OK "));
                        free(heard);
                }
                ck_assert(!cluster_is_open(&cl, last, fd));
                ck_assert_uint_eq(cl.shards[last]->chunks.n_live, 0);
                cluster_deinit(&cl);
        }
}
END_TEST

/* Known failure 31 (CVE-2025-21605): what is not dropped counts, whatever it is. */
START_TEST(replies_of_a_stalled_client_end_at_the_hard_limit)
{
        static char line[9000];
        int publisher, fd;

        start(_i, 1 << 20);
        other_policy = policy;
        other_policy.limits.output_hard = 2 << 20;
        cluster_set_policy(&cl, &other_policy);
        publisher = cluster_connect(&cl, 0, 7);
        fd = listener("SUBSCRIBE news\r\n");
        fake_accept(cl.fakes[last], fd, 0);
        snprintf(line, sizeof(line), "PUBLISH news %08000d\r\n", 0);
        for (unsigned i = 0; i < 50; i++)
                say(0, publisher, line);
        ck_assert(client_of(fd)->spool->stalled);
        snprintf(line, sizeof(line), "PING %08000d\r\n", 0);
        for (unsigned i = 0; i < 2 << 20; i += 8000) {
                if (!cluster_is_open(&cl, last, fd))
                        break;
                ck_assert_uint_le(client_output(client_of(fd)), 2 << 20);
                say(last, fd, line);
        }
        ck_assert(!cluster_is_open(&cl, last, fd));
        cluster_deinit(&cl);
}
END_TEST

START_TEST(replies_of_a_slow_client_end_at_the_hard_limit)
{
        static const char *const what[] = { "PING\r\n", "NOSUCH\r\n", "SUBSCRIBE news\r\n", "CLIENT INFO\r\n" };

        for (unsigned i = 0; i < 4; i++) {
                int publisher, fd;

                start(_i, 600);
                publisher = cluster_connect(&cl, 0, 7);
                fd = listener("SUBSCRIBE news\r\n");
                fake_accept(cl.fakes[last], fd, 0);
                for (unsigned k = 0; k < 20; k++)
                        publish(publisher, "news", k);
                for (unsigned k = 0; k < 5000 && cluster_is_open(&cl, last, fd); k++) {
                        say(last, fd, what[i]);
                        if (cluster_is_open(&cl, last, fd))
                                ck_assert_uint_le(client_output(client_of(fd)), 100000);
                }
                ck_assert(!cluster_is_open(&cl, last, fd));
                ck_assert_uint_eq(cl.shards[last]->status.output_limit_closed, 1);
                cluster_deinit(&cl);
        }
}
END_TEST

/* Where rules keep more than the limits allow, the limits hold. */
START_TEST(the_soft_and_the_hard_limit_hold)
{
        struct policy_limits soft = { .output_hard = 100000,
                                      .output_soft = 1000,
                                      .output_soft_ns = 60 * NSEC_PER_SEC };
        struct policy_limits hard = { .output_hard = 3000 };
        int publisher, fd;

        for (unsigned i = 0; i < 3; i++) {
                start(_i, 1);
                cluster_deinit(&cl);
                rules[0].bytes = 50000;
                start_with(i < 2 ? &soft : &hard);
                publisher = cluster_connect(&cl, 0, 7);
                fd = listener("PSUBSCRIBE *\r\n");
                fake_accept(cl.fakes[last], fd, 0);
                for (unsigned k = 0; k < 120; k++) {
                        char name[16];

                        snprintf(name, sizeof(name), "c%u", k);
                        publish(publisher, name, k);
                }
                if (i == 1) { /* drained in time */
                        cluster_advance(59 * NSEC_PER_SEC);
                        take(fd, SIZE_MAX);
                        ck_assert(!timer_is_started(&client_of(fd)->timers[CLIENT_TIMER_SOFT]));
                }
                if (i < 2) {
                        cluster_advance(60 * NSEC_PER_SEC);
                        cluster_settle(&cl);
                }
                ck_assert_int_eq(cluster_is_open(&cl, last, fd), i == 1);
                cluster_deinit(&cl);
        }
}
END_TEST

/* Who takes a little now and then, as much as a frame, is above the soft limit all the time. */
START_TEST(the_soft_limit_holds_for_who_takes_a_little)
{
        int publisher, fd;

        start(_i, 1);
        cluster_deinit(&cl);
        rules[0].bytes = 50000;
        start_with(&(struct policy_limits){
                .output_hard = 100000, .output_soft = 1000, .output_soft_ns = 60 * NSEC_PER_SEC });
        publisher = cluster_connect(&cl, 0, 7);
        fd = listener("PSUBSCRIBE *\r\n");
        fake_accept(cl.fakes[last], fd, 0);
        for (unsigned k = 0; k < 300; k++) {
                char name[16];

                snprintf(name, sizeof(name), "c%u", k);
                publish(publisher, name, k % 100);
        }
        ck_assert_ptr_nonnull(client_of(fd)->spool);
        for (unsigned i = 0; i < 59; i++) {
                cluster_advance(NSEC_PER_SEC);
                take(fd, 40);
                ck_assert(cluster_is_open(&cl, last, fd));
        }
        cluster_advance(NSEC_PER_SEC);
        cluster_settle(&cl);
        ck_assert(!cluster_is_open(&cl, last, fd));
        cluster_deinit(&cl);
}
END_TEST

/* Also of a client that no rule is for, since a reload may bring one: just the frame that was cut is kept
 * whole. */
START_TEST(what_was_sent_is_not_kept)
{
        char line[100 * 24] = "";
        int publisher, fd;

        start(_i, 100000);
        publisher = cluster_connect(&cl, 0, 7);
        fd = listener("SUBSCRIBE news\r\n");
        for (unsigned i = 0; i < 90; i++)
                snprintf(line + strlen(line), sizeof(line) - strlen(line), "PUBLISH news %02u\r\n", i);
        fake_accept(cl.fakes[last], fd, 50 * FRAME_BYTES + 3);
        say(0, publisher, line);
        if (action == SLOW_CONFLATE) {
                ck_assert_uint_eq(client_of(fd)->stream.out.bytes, FRAME_BYTES - 3);
        } else {
                ck_assert(!client_of(fd)->spool);
                ck_assert_uint_eq(client_of(fd)->stream.out.cut, 3);
                ck_assert_uint_eq(client_of(fd)->stream.out.bytes, 40 * FRAME_BYTES - 3);
        }
        cluster_deinit(&cl);
}
END_TEST

/* ------------------------------------------------------------------ another policy, counters, memory */

START_TEST(a_new_policy_holds_for_what_waits)
{
        int publisher, fd;

        start(_i, 100000);
        publisher = cluster_connect(&cl, 0, 7);
        rules[0].action = SLOW_DROP_NEWEST;
        rules[1] = (struct slow_rule){ .action = SLOW_CONFLATE };
        rules[2] = (struct slow_rule){ .action = SLOW_DISCONNECT };
        fd = listener("SUBSCRIBE news other\r\n");
        fake_accept(cl.fakes[last], fd, 0);
        rules[0].bytes = 4; /* so that it is spooled */
        publish(publisher, "news", 0);
        rules[0].bytes = 100000;
        for (unsigned i = 1; i < 6; i++) {
                publish(publisher, "news", i);
                if (i == 3)
                        publish(publisher, "other", i);
        }
        ck_assert_uint_le(client_of(fd)->lost, 1);
        other_policy = policy;
        other_policy.slow = &rules[1];
        cluster_set_policy(&cl, &other_policy);
        spool_assert(client_of(fd));
        publish(publisher, "other", 6);
        policy.slow = &rules[2];
        cluster_set_policy(&cl, &policy);
        spool_assert(client_of(fd));
        publish(publisher, "other", 7);
        publish(publisher, "other", 8);
        take(fd, SIZE_MAX);
        {
                char *heard = hear(last, fd);

                expect_loss_for("news", 1, "drop-newest"); /* 0: nothing fits into 4 bytes */
                expect_loss_for("news", 4, "conflate");
                expect_loss_for("other", 1, "conflate");
                expect_message("news", 5);
                expect_message("other", 6);
                expect_message("other", 7);
                expect_message("other", 8);
                ck_assert_str_eq(heard, expected);
                *expected = 0;
                free(heard);
        }
        policy.slow = rules;
        cluster_deinit(&cl);
}
END_TEST

static uint64_t number_behind(const char *text, const char *name)
{
        const char *at = strstr(text, name);

        ck_assert_msg(at, "no %s in %s", name, text);
        return strtoull(at + strlen(name), NULL, 10);
}

START_TEST(losses_are_counted)
{
        static const char *const names[] = { [SLOW_DROP_OLDEST] = "lost_drop_oldest",
                                             [SLOW_DROP_NEWEST] = "lost_drop_newest",
                                             [SLOW_CONFLATE] = "lost_conflate" };
        int publisher, fd, admin;
        char text[64], *heard;
        uint64_t lost;

        start(_i, 600);
        publisher = cluster_connect(&cl, 0, 7);
        admin = cluster_connect(&cl, last, 0);
        fd = listener("SUBSCRIBE news\r\n");
        fake_accept(cl.fakes[last], fd, 0);
        for (unsigned i = 0; i < 30; i++)
                publish(publisher, "news", i);
        lost = client_of(fd)->lost;
        ck_assert_uint_gt(lost, 10);
        snprintf(text, sizeof(text), "CLIENT LIST ID %d\r\n", fd);
        say(last, admin, text);
        heard = hear(last, admin);
        ck_assert_uint_eq(number_behind(heard, " lost="), lost);
        ck_assert_uint_eq(number_behind(heard, " omem="), client_output(client_of(fd)));
        free(heard);
        say(last, admin, "INFO broker\r\n");
        heard = hear(last, admin);
        for (unsigned a = SLOW_DROP_OLDEST; a <= SLOW_CONFLATE; a++) {
                snprintf(text, sizeof(text), "%s:", names[a]);
                ck_assert_uint_eq(number_behind(heard, text), a == action ? lost : 0);
        }
        ck_assert_uint_eq(number_behind(heard, "spooled_clients:"), 1);
        ck_assert_uint_eq(number_behind(heard, "spooled_bytes:"), spool_bytes(client_of(fd)->spool));
        ck_assert_uint_eq(number_behind(heard, "output_bytes:"), client_output(client_of(fd)));
        free(heard);
        say(last, admin, "BROKER STATUS\r\n");
        heard = hear(last, admin);
        snprintf(text, sizeof(text), "%s :", names[action]);
        if (last) /* what the last shard, where the subscriber is, says */
                ck_assert_uint_eq(number_behind(heard, text), 0);
        else
                ck_assert_uint_eq(number_behind(heard, text), lost);
        free(heard);
        take(fd, SIZE_MAX);
        free(hear(last, fd));
        say(last, admin, "INFO broker\r\nCONFIG RESETSTAT\r\nINFO broker\r\n");
        heard = hear(last, admin);
        snprintf(text, sizeof(text), "%s:", names[action]);
        ck_assert_uint_eq(number_behind(heard, "spooled_clients:"), 0);
        ck_assert_uint_eq(number_behind(heard, text), lost);
        ck_assert_uint_eq(number_behind(strstr(heard, "+OK"), text), 0);
        free(heard);
        cluster_deinit(&cl);
}
END_TEST

/* What is counted is what memory really costs. */
START_TEST(memory_is_counted_as_it_is_allocated)
{
        static const char *const channels[] = { "news", "a", "b", "c" };
        char line[3000];
        int publisher, fd;
        size_t real = 0;
        struct spool *spool;

        start(_i, 60000);
        publisher = cluster_connect(&cl, 0, 7);
        fd = listener("SUBSCRIBE news a b c\r\n");
        fake_accept(cl.fakes[last], fd, 0);
        for (unsigned i = 0; i < 2000; i++) {
                snprintf(line, sizeof(line), "PUBLISH %s %0*d\r\n", channels[i * 7 % 11 % 4],
                         (int)(i % 50 ? i * 37 % 100 : i % 1400), 0);
                cluster_say(&cl, 0, publisher, line);
                if (i % 8 == 0)
                        cluster_settle(&cl);
                if (i % 500 == 0)
                        say(last, fd, "PING\r\n");
        }
        cluster_settle(&cl);
        spool = client_of(fd)->spool;
        spool_assert(client_of(fd));
        list_for_each (i, &spool->entries) {
                struct spool_entry *e = container_of(i, struct spool_entry, link);

                real += malloc_usable_size(e) + sizeof(size_t);
                if (e->stage)
                        real += malloc_usable_size(e->stage) + sizeof(size_t);
        }
        ck_assert_uint_le(real, spool->bytes);
        if (action != SLOW_CONFLATE) {
                ck_assert_uint_le(client_output(client_of(fd)), 64000); /* the gaps come on top */
                ck_assert_uint_gt(client_output(client_of(fd)), 55000);
        }
        cluster_deinit(&cl);
}
END_TEST

/* Whether the numbers of the messages to "news" and those that notices tell are all in their turn. Return: how
 * many there are. */
static unsigned account(const char *heard)
{
        unsigned next = 0;

        for (; *heard; heard += strcspn(heard, " ")) {
                unsigned n;

                if (!strncmp(heard, " loss $4 news :", 15)) {
                        next += (unsigned)atoi(heard + 15);
                } else if (!strncmp(heard, " __brokerd__:loss $", 19)) {
                        next += (unsigned)atoi(strchr(heard + 19, ' '));
                } else if (!strncmp(heard, " news $", 7)) {
                        ck_assert_int_eq(sscanf(heard, " news $%*u number%u", &n), 1);
                        ck_assert_uint_eq(n, next);
                        next++;
                }
                heard++;
        }
        return next;
}

/* Where much may wait, a client that takes nothing is left alone, and refers to what is kept for all. */
START_TEST(a_stalled_client_shares_what_others_get)
{
        static char pad[3000];
        char line[3100], *heard;
        struct client *c;
        int publisher, fd;
        unsigned n = 0, refers = 0;

        start(_i, 1 << 20);
        other_policy = policy;
        other_policy.limits.output_hard = 4 << 20;
        cluster_set_policy(&cl, &other_policy);
        publisher = cluster_connect(&cl, 0, 7);
        fd = listener("SUBSCRIBE news\r\n");
        c = client_of(fd);
        memset(pad, 'x', sizeof(pad) - 1);
        for (unsigned round = 0; round < 12; round++) {
                /* frames of one size and of many, and one that has a stage of its own */
                fake_accept(cl.fakes[last], fd, round % 3 ? 0 : 200000 + 77 * round);
                for (unsigned i = 0; i < 500; i++) {
                        snprintf(line, sizeof(line), "PUBLISH news number%u:%.*s\r\n", n++,
                                 (int)(round % 2 ? 900 : i * 37 % 1900), pad);
                        cluster_say(&cl, 0, publisher, line);
                }
                cluster_settle(&cl);
                if (c->spool) {
                        spool_assert(c);
                        ck_assert(c->spool->stalled == (c->stream.writing && c->spool != NULL));
                        ck_assert_uint_le(client_output(c), (1 << 20) + 3 * DELIVER_STAGE_BYTES);
                        list_for_each (k, &c->spool->entries) {
                                const struct spool_entry *e = container_of(k, struct spool_entry, link);

                                refers += e->stage && e->stage->shared;
                        }
                }
                if (round % 4 == 3)
                        say(last, fd, "PING\r\n");
        }
        if (action == SLOW_CONFLATE)
                ck_assert_uint_eq(refers, 0);
        else
                ck_assert_uint_gt(refers, 10);
        take(fd, SIZE_MAX);
        for (unsigned i = 0; i < 10 && c->spool; i++)
                cluster_settle(&cl); /* which ends although it goes on turn by turn */
        heard = hear(last, fd);
        ck_assert_uint_eq(account(heard), n);
        free(heard);
        ck_assert_uint_gt(c->lost, 1000);
        ck_assert(!c->spool);
        cluster_deinit(&cl);
}
END_TEST

static void add(TCase *cases)
{
        tcase_add_loop_test(cases, what_is_dropped_is_told_in_its_place_behind_a_frame_that_was_cut, 0,
                            VARIANTS);
        tcase_add_loop_test(cases, who_reads_loses_nothing, 0, VARIANTS);
        tcase_add_loop_test(cases, replies_stay_where_they_are, 0, VARIANTS);
        tcase_add_loop_test(cases, each_copy_by_a_pattern_counts, 0, VARIANTS);
        tcase_add_loop_test(cases, losses_of_many_channels_are_summed_up, 0, VARIANTS);
        tcase_add_loop_test(cases, each_channel_has_its_rule, 0, VARIANTS);
        tcase_add_loop_test(cases, client_loss_is_for_resp3, 0, VARIANTS);
        tcase_add_loop_test(cases, nobody_is_told_who_did_not_ask, 0, VARIANTS);
        tcase_add_loop_test(cases, notices_are_told_between_on_and_off, 0, VARIANTS);
        tcase_add_loop_test(cases, what_waited_before_it_asked_is_not_told, 0, VARIANTS);
        tcase_add_loop_test(cases, both_ways_may_be_asked_for, 0, VARIANTS);
        tcase_add_loop_test(cases, everybody_may_hear_of_its_own_losses, 0, VARIANTS);
        tcase_add_loop_test(cases, what_a_transaction_holds_comes_behind_its_reply, 0, VARIANTS);
        tcase_add_loop_test(cases, a_slow_client_ends_in_any_way, 0, VARIANTS);
        tcase_add_loop_test(cases, replies_of_a_stalled_client_end_at_the_hard_limit, 0, VARIANTS);
        tcase_add_loop_test(cases, replies_of_a_slow_client_end_at_the_hard_limit, 0, VARIANTS);
        tcase_add_loop_test(cases, the_soft_and_the_hard_limit_hold, 0, VARIANTS);
        tcase_add_loop_test(cases, the_soft_limit_holds_for_who_takes_a_little, 0, VARIANTS);
        tcase_add_loop_test(cases, what_was_sent_is_not_kept, 0, VARIANTS);
        tcase_add_loop_test(cases, a_new_policy_holds_for_what_waits, 0, VARIANTS);
        tcase_add_loop_test(cases, losses_are_counted, 0, VARIANTS);
        tcase_add_loop_test(cases, a_stalled_client_shares_what_others_get, 0, VARIANTS);
        tcase_add_loop_test(cases, memory_is_counted_as_it_is_allocated, 0, VARIANTS);
}

int main(void)
{
        log_set_level(LOG_LEVEL_ERROR);
        return suite_run("spool", add);
}
