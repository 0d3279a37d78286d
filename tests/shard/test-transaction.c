/* SPDX-License-Identifier: MIT */
/* MULTI .. EXEC on whole shards with fake reactors: what clients see, in which order, and what is left behind.
 */

#include "shard/transaction.h"

#include <errno.h>
#include <stdio.h>

#include "shard/gather.h"
#include "shard/message.h"
#include "shard/state.h"
#include "support/cluster.h"
#include "support/suite.h"
#include "util/clock.h"

static struct cluster cl;

static const unsigned shard_counts[] = { 1, 3 };

static void start(unsigned n_shards)
{
        struct cluster_options options = { .n_shards = n_shards,
                                           .capacity = 2,
                                           .backlog_bytes = 400,
                                           .output_max = 100000,
                                           .drain_budget = 3 };

        cluster_init(&cl, &options);
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

static void check_heard(unsigned shard, int fd, const char *expected)
{
        char *heard = hear(shard, fd);

        ck_assert_str_eq(heard, expected);
        free(heard);
}

/* Says something, lets everything happen, and checks what comes back. */
static void check(unsigned shard, int fd, const char *say, const char *expected)
{
        cluster_say(&cl, shard, fd, say);
        cluster_settle(&cl);
        check_heard(shard, fd, expected);
}

static int connect_resp3(unsigned shard)
{
        int fd = cluster_connect(&cl, shard, 0);

        cluster_say(&cl, shard, fd, "HELLO 3\r\n");
        cluster_settle(&cl);
        free(cluster_hear(&cl, shard, fd));
        return fd;
}

/* The client of this id, as its shard knows it; NULL: none. */
static struct client *client_of(unsigned shard, int fd)
{
        list_for_each (i, &cl.shards[shard]->clients) {
                struct client *c = container_of(i, struct client, all);

                if (c->stream.fd == fd)
                        return c;
        }
        return NULL;
}

/* No shard knows of a subscription, and the clients that are left have no transaction. */
static void check_nothing_is_left(void)
{
        for (unsigned i = 0; i < cl.n_shards; i++) {
                ck_assert_uint_eq(topics_count(cl.shards[i]->topics, TOPIC_CHANNEL), 0);
                ck_assert_uint_eq(topics_count(cl.shards[i]->topics, TOPIC_PATTERN), 0);
                ck_assert_uint_eq(topics_count(cl.shards[i]->topics, TOPIC_SHARD), 0);
                ck_assert_uint_eq(cl.shards[i]->status.subscriptions, 0);
                list_for_each (k, &cl.shards[i]->clients)
                        ck_assert(!container_of(k, struct client, all)->transaction);
        }
}

/* ------------------------------------------------------------------ replies */

START_TEST(commands_are_queued_and_answered_in_one_array)
{
        int c;

        start(shard_counts[_i]);
        c = cluster_connect(&cl, 0, 0);
        check(0, c, "MULTI\r\n", "+OK ");
        check(0, c, "PING\r\nECHO x\r\nPUBLISH nobody y\r\nCLIENT GETNAME\r\nPUBSUB HELP\r\n",
              "+QUEUED +QUEUED +QUEUED +QUEUED +QUEUED ");
        cluster_say(&cl, 0, c, "EXEC\r\nPING\r\n");
        cluster_settle(&cl);
        {
                char *heard = hear(0, c);

                ck_assert(!strncmp(heard, "*5 +PONG $1 x :0 $-1 *", strlen("*5 +PONG $1 x :0 $-1 *")));
                ck_assert_str_eq(heard + strlen(heard) - 35, "+HELP +    Prints this help. +PONG ");
                free(heard);
        }
        check(0, c, "MULTI\r\nEXEC\r\n", "+OK *0 ");
        check(0, c, "MULTI\r\nUNWATCH\r\nSELECT 9\r\nPING a b\r\nPING\r\nEXEC\r\n",
              "+OK +QUEUED +QUEUED +QUEUED +QUEUED *4 +OK -ERR DB index is out of range "
              "-ERR wrong number of arguments for 'ping' command +PONG ");
        check_nothing_is_left();
        cluster_deinit(&cl);
}
END_TEST

START_TEST(what_is_wrong_is_answered_as_by_redis)
{
        static const char *const rows[][2] = {
                { "EXEC", "-ERR EXEC without MULTI " },
                { "DISCARD", "-ERR DISCARD without MULTI " },
                { "WATCH a b", "+OK " },
                { "UNWATCH", "+OK " },
                { "WATCH", "-ERR wrong number of arguments for 'watch' command " },
                { "UNWATCH x", "-ERR wrong number of arguments for 'unwatch' command " },
                { "DISCARD x", "-ERR wrong number of arguments for 'discard' command " },
                { "MULTI x", "-ERR wrong number of arguments for 'multi' command " },
                { "EXEC x", "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' "
                            "command " },
                /* these do not spoil it */
                { "MULTI", "+OK " },
                { "MULTI", "-ERR MULTI calls can not be nested " },
                { "WATCH a", "-ERR WATCH inside MULTI is not allowed " },
                { "EXEC", "*0 " },
                /* a spoilt one still says QUEUED, and ends */
                { "MULTI", "+OK " },
                { "PING", "+QUEUED " },
                { "NOSUCH a", "-ERR unknown command 'NOSUCH', with args beginning with: 'a'  " },
                { "PING", "+QUEUED " },
                { "EXEC", "-EXECABORT Transaction discarded because of previous errors. " },
                { "PING", "+PONG " },
                { "MULTI", "+OK " },
                { "ECHO", "-ERR wrong number of arguments for 'echo' command " },
                { "EXEC", "-EXECABORT Transaction discarded because of previous errors. " },
                { "MULTI", "+OK " },
                { "CLIENT NOPE", "-ERR unknown subcommand 'NOPE'. Try CLIENT HELP. " },
                { "EXEC", "-EXECABORT Transaction discarded because of previous errors. " },
                { "MULTI", "+OK " },
                { "CLIENT", "-ERR wrong number of arguments for 'client' command " },
                { "EXEC", "-EXECABORT Transaction discarded because of previous errors. " },
                { "MULTI", "+OK " },
                { "MULTI x", "-ERR wrong number of arguments for 'multi' command " },
                { "EXEC", "-EXECABORT Transaction discarded because of previous errors. " },
                { "MULTI", "+OK " },
                { "DISCARD x", "-ERR wrong number of arguments for 'discard' command " },
                { "EXEC", "-EXECABORT Transaction discarded because of previous errors. " },
                { "MULTI", "+OK " },
                { "SHUTDOWN", "-ERR Command not allowed inside a transaction " },
                { "EXEC", "-EXECABORT Transaction discarded because of previous errors. " },
                /* a refused EXEC ends it at once */
                { "MULTI", "+OK " },
                { "PING", "+QUEUED " },
                { "EXEC x", "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' "
                            "command " },
                { "EXEC", "-ERR EXEC without MULTI " },
                { "MULTI", "+OK " },
                { "NOSUCH", "-ERR unknown command 'NOSUCH', with args beginning with:  " },
                { "DISCARD", "+OK " },
                { "EXEC", "-ERR EXEC without MULTI " },
                /* denied in their place, and the rest is executed */
                { "MULTI", "+OK " },
                { "SSUBSCRIBE a", "+QUEUED " },
                { "MONITOR", "+QUEUED " },
                { "PING", "+QUEUED " },
                { "EXEC", "*3 -ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client "
                          "-ERR MONITOR isn't allowed for DENY BLOCKING client +PONG " },
        };
        int c;

        start(shard_counts[_i]);
        c = cluster_connect(&cl, 0, 0);
        for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
                char line[64];

                snprintf(line, sizeof(line), "%s\r\n", rows[i][0]);
                check(0, c, line, rows[i][1]);
        }
        check_nothing_is_left();
        ck_assert_uint_eq(cl.n_shutdowns, 0);
        cluster_deinit(&cl);
}
END_TEST

START_TEST(discard_reset_and_quit_end_it_at_once)
{
        int c, other;

        start(shard_counts[_i]);
        c = cluster_connect(&cl, 0, 0);
        other = cluster_connect(&cl, cl.n_shards - 1, 0);
        check(0, c, "MULTI\r\nSUBSCRIBE a\r\nDISCARD\r\nEXEC\r\n", "+OK +QUEUED +OK -ERR EXEC without MULTI ");
        check(0, c, "MULTI\r\nSUBSCRIBE a\r\nRESET\r\nEXEC\r\n", "+OK +QUEUED +RESET -ERR EXEC without MULTI ");
        check(cl.n_shards - 1, other, "PUBLISH a x\r\n", ":0 ");
        check(0, c, "MULTI\r\nSUBSCRIBE a\r\nQUIT\r\nEXEC\r\n", "+OK +QUEUED +OK ");
        ck_assert(!cluster_is_open(&cl, 0, c));
        check_nothing_is_left();
        cluster_deinit(&cl);
}
END_TEST

/* A command that administers is refused to who may not, and spoils the transaction. */
START_TEST(a_command_without_the_right_to_it_spoils_it)
{
        int c;

        start(1);
        c = cluster_connect(&cl, 0, 77);
        check(0, c, "MULTI\r\nBROKER STATUS\r\nEXEC\r\n",
              "+OK -NOPERM User default has no permissions to run the 'broker|status' command "
              "-EXECABORT Transaction discarded because of previous errors. ");
        cluster_deinit(&cl);
}
END_TEST

/* ------------------------------------------------------------------ subscriptions in it */

START_TEST(a_subscription_in_it_counts_and_its_messages_come_behind_the_array)
{
        int two, three;

        start(shard_counts[_i]);
        two = cluster_connect(&cl, 0, 0);
        three = connect_resp3(cl.n_shards - 1);
        check(0, two,
              "MULTI\r\nSUBSCRIBE a b\r\nPUBLISH a x\r\nPING\r\nUNSUBSCRIBE b\r\nPUBLISH b y\r\nPUBLISH a z\r\n"
              "EXEC\r\nPING\r\n",
              "+OK +QUEUED +QUEUED +QUEUED +QUEUED +QUEUED +QUEUED *6 *3 $9 subscribe $1 a :1 "
              "*3 $9 subscribe $1 b :2 :1 *2 $4 pong $0  *3 $11 unsubscribe $1 b :1 :0 :1 "
              "*3 $7 message $1 a $1 x *3 $7 message $1 a $1 z *2 $4 pong $0  ");
        check(cl.n_shards - 1, three,
              "MULTI\r\nPSUBSCRIBE a* b*\r\nPUBLISH a 1\r\nPUBLISH b 2\r\nPUNSUBSCRIBE\r\nPUBLISH b "
              "3\r\nEXEC\r\n",
              "+OK +QUEUED +QUEUED +QUEUED +QUEUED +QUEUED *5 >3 $10 psubscribe $2 a* :1 "
              ">3 $10 psubscribe $2 b* :2 :2 :1 >3 $12 punsubscribe $2 a* :1 >3 $12 punsubscribe $2 b* :0 :0 "
              ">4 $8 pmessage $2 a* $1 a $1 1 >4 $8 pmessage $2 b* $1 b $1 2 ");
        check_heard(0, two, "*3 $7 message $1 a $1 1 ");
        check(0, two, "UNSUBSCRIBE\r\n", "*3 $11 unsubscribe $1 a :0 ");
        check_nothing_is_left();
        cluster_deinit(&cl);
}
END_TEST

/* What was subscribed to before may end, begin again and end in it; the others know in the end. */
START_TEST(a_name_may_come_and_go_in_it)
{
        static const struct row {
                const char *before, *queue, *answer;
                unsigned left; /* subscriptions to "a" in the end */
        } rows[] = {
                { "", "SUBSCRIBE a\r\nUNSUBSCRIBE a\r\n",
                  "*2 >3 $9 subscribe $1 a :1 >3 $11 unsubscribe $1 a :0 ", 0 },
                { "", "UNSUBSCRIBE a\r\nSUBSCRIBE a\r\n",
                  "*2 >3 $11 unsubscribe $1 a :0 >3 $9 subscribe $1 a :1 ", 1 },
                { "", "SUBSCRIBE a a\r\nSUBSCRIBE a\r\nUNSUBSCRIBE\r\nSUBSCRIBE a\r\n",
                  "*4 >3 $9 subscribe $1 a :1 >3 $9 subscribe $1 a :1 >3 $9 subscribe $1 a :1 "
                  ">3 $11 unsubscribe $1 a :0 >3 $9 subscribe $1 a :1 ",
                  1 },
                { "SUBSCRIBE a\r\n", "UNSUBSCRIBE a\r\nSUBSCRIBE a\r\n",
                  "*2 >3 $11 unsubscribe $1 a :0 >3 $9 subscribe $1 a :1 ", 1 },
                { "SUBSCRIBE a\r\n", "SUBSCRIBE a\r\nUNSUBSCRIBE a\r\n",
                  "*2 >3 $9 subscribe $1 a :1 >3 $11 unsubscribe $1 a :0 ", 0 },
                { "SUBSCRIBE a\r\n", "UNSUBSCRIBE\r\nPUNSUBSCRIBE\r\n",
                  "*2 >3 $11 unsubscribe $1 a :0 >3 $12 punsubscribe _ :0 ", 0 },
                { "SUBSCRIBE a\r\n", "UNSUBSCRIBE b a b\r\n",
                  "*1 >3 $11 unsubscribe $1 b :1 >3 $11 unsubscribe $1 a :0 >3 $11 unsubscribe $1 b :0 ", 0 },
        };
        char say[200], expected[8];

        for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
                int c, other;

                start(shard_counts[_i]);
                c = connect_resp3(0);
                other = cluster_connect(&cl, cl.n_shards - 1, 0);
                cluster_say(&cl, 0, c, rows[i].before);
                snprintf(say, sizeof(say), "MULTI\r\n%s", rows[i].queue);
                cluster_say(&cl, 0, c, say);
                cluster_settle(&cl);
                free(cluster_hear(&cl, 0, c));
                check(0, c, "EXEC\r\n", rows[i].answer);
                snprintf(expected, sizeof(expected), ":%u ", rows[i].left);
                check(cl.n_shards - 1, other, "PUBLISH a x\r\n", expected);
                check_heard(0, c, rows[i].left ? ">3 $7 message $1 a $1 x " : "");
                cluster_say(&cl, 0, c, "UNSUBSCRIBE\r\n");
                cluster_settle(&cl);
                check_nothing_is_left();
                cluster_deinit(&cl);
        }
}
END_TEST

/* SSUBSCRIBE is denied in it; the rest of the shard channels is not. */
START_TEST(shard_channels_may_end_in_it)
{
        int c, other;

        start(shard_counts[_i]);
        c = connect_resp3(0);
        other = connect_resp3(cl.n_shards - 1);
        check(0, c, "SSUBSCRIBE s t\r\nSUBSCRIBE s\r\n",
              ">3 $10 ssubscribe $1 s :1 >3 $10 ssubscribe $1 t :2 >3 $9 subscribe $1 s :1 ");
        check(cl.n_shards - 1, other, "SSUBSCRIBE t\r\n", ">3 $10 ssubscribe $1 t :1 ");
        check(0, c,
              "MULTI\r\nSPUBLISH s 1\r\nSUNSUBSCRIBE s\r\nSPUBLISH s 2\r\nPUBLISH s 3\r\nSSUBSCRIBE "
              "u\r\nSPUBLISH t 4\r\n"
              "SUNSUBSCRIBE\r\nEXEC\r\n",
              "+OK +QUEUED +QUEUED +QUEUED +QUEUED +QUEUED +QUEUED +QUEUED *7 :1 >3 $12 sunsubscribe $1 s :1 "
              ":0 :1 "
              "-ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client :2 >3 $12 sunsubscribe $1 t :0 "
              ">3 $8 smessage $1 s $1 1 >3 $7 message $1 s $1 3 >3 $8 smessage $1 t $1 4 ");
        check(cl.n_shards - 1, other, "SPUBLISH s 5\r\nSPUBLISH t 6\r\nSUNSUBSCRIBE\r\n",
              ">3 $8 smessage $1 t $1 4 :0 :1 >3 $8 smessage $1 t $1 6 >3 $12 sunsubscribe $1 t :0 ");
        check(0, c, "UNSUBSCRIBE\r\n", ">3 $11 unsubscribe $1 s :0 ");
        check_nothing_is_left();
        cluster_deinit(&cl);
}
END_TEST

/* The last one on the shard must be told so, whoever else comes and goes there while an EXEC is under way. */
START_TEST(others_on_its_shard_keep_their_interest)
{
        int a, b, pub;

        start(2);
        a = connect_resp3(0);
        b = connect_resp3(0);
        pub = cluster_connect(&cl, 1, 0);
        cluster_say(&cl, 0, a, "MULTI\r\nSUBSCRIBE x\r\nUNSUBSCRIBE x\r\nEXEC\r\n");
        cluster_turn(&cl, 0); /* a promises */
        cluster_say(&cl, 0, b, "SUBSCRIBE x\r\n");
        cluster_settle(&cl);
        check(1, pub, "PUBLISH x 1\r\n", ":1 ");
        cluster_say(&cl, 0, a, "MULTI\r\nSUBSCRIBE x\r\nEXEC\r\n");
        cluster_say(&cl, 0, b, "UNSUBSCRIBE x\r\n");
        cluster_settle(&cl);
        check(1, pub, "PUBLISH x 2\r\n", ":1 ");
        cluster_say(&cl, 0, a, "UNSUBSCRIBE x\r\n");
        cluster_settle(&cl);
        check(1, pub, "PUBLISH x 3\r\n", ":0 ");
        check_nothing_is_left();
        cluster_deinit(&cl);
}
END_TEST

/* A message of another shard that comes while the removals are told waits for the array. */
START_TEST(messages_of_others_wait_for_the_array)
{
        int c, pub;

        start(3);
        c = connect_resp3(0);
        pub = cluster_connect(&cl, 1, 0);
        cluster_say(&cl, 0, c, "SUBSCRIBE a b\r\nMULTI\r\nUNSUBSCRIBE b\r\nPUBLISH a own\r\n");
        cluster_settle(&cl);
        free(cluster_hear(&cl, 0, c));
        cluster_say(&cl, 0, c, "EXEC\r\nPING\r\n");
        cluster_turn(&cl, 0);
        ck_assert_int_eq(client_of(0, c)->transaction->step, TRANSACTION_ENDS);
        cluster_say(&cl, 1, pub, "PUBLISH a other\r\n");
        cluster_turn(&cl, 1); /* answers, and has the message behind the answer or in front */
        cluster_turn(&cl, 0);
        ck_assert_int_eq(client_of(0, c)->transaction->step, TRANSACTION_ENDS);
        check_heard(0, c, "");
        cluster_settle(&cl);
        check_heard(0, c,
                    "*2 >3 $11 unsubscribe $1 b :1 :1 >3 $7 message $1 a $3 own >3 $7 message $1 a $5 other "
                    "+PONG ");
        cluster_deinit(&cl);
}
END_TEST

/* HELLO in it counts from there on: for acknowledgements, for the answers of other shards, and for messages. */
START_TEST(the_protocol_may_change_in_it)
{
        char *heard;
        int c, n = 0;

        start(shard_counts[_i]);
        c = cluster_connect(&cl, 0, 0);
        cluster_say(&cl, 0, c,
                    "MULTI\r\nSUBSCRIBE a\r\nPUBLISH a 1\r\nINFO nosuch\r\nHELLO 3\r\nINFO nosuch\r\nSUBSCRIBE "
                    "b\r\n"
                    "PUBLISH a 2\r\nEXEC\r\n");
        cluster_settle(&cl);
        heard = hear(0, c);
        sscanf(heard,
               "+OK +QUEUED +QUEUED +QUEUED +QUEUED +QUEUED +QUEUED +QUEUED *7 *3 $9 subscribe $1 a :1 :1 $0 "
               "%%7 "
               "$6 server $7 brokerd $7 version $4 test $5 proto :3 $2 id :%*d $4 mode $10 standalone $4 role "
               "$6 master $7 modules *0 =4 txt: >3 $9 subscribe $1 b :2 :1 *3 $7 message $1 a $1 1 "
               ">3 $7 message $1 a $1 2 %n",
               &n);
        ck_assert_msg(n > 0 && !heard[n], "%s", heard);
        free(heard);
        cluster_deinit(&cl);
}
END_TEST

/* As Redis does it: each reply is silent or not by what was said before it, the array's head by what was before
 * EXEC. */
START_TEST(client_reply_reaches_into_it)
{
        static const char *const rows[][2] = {
                { "MULTI\r\nCLIENT REPLY SKIP\r\nPING\r\nECHO a\r\nEXEC\r\nPING\r\nECHO b\r\n",
                  "+OK +QUEUED +QUEUED +QUEUED *3 +PONG $1 a $1 b " },
                { "MULTI\r\nCLIENT REPLY OFF\r\nPING\r\nCLIENT REPLY ON\r\nEXEC\r\nPING\r\n",
                  "+OK +QUEUED +QUEUED +QUEUED *3 +OK +PONG " },
                { "CLIENT REPLY OFF\r\nMULTI\r\nPING\r\nINFO no\r\nEXEC\r\nCLIENT REPLY ON\r\nPING\r\n",
                  "+OK +PONG " },
                { "CLIENT REPLY SKIP\r\nMULTI\r\nPING\r\nEXEC\r\n", "+QUEUED *1 +PONG " },
                /* one that waits for other shards, and messages, which are no replies */
                { "MULTI\r\nSUBSCRIBE a\r\nCLIENT REPLY SKIP\r\nPUBLISH a x\r\nINFO "
                  "no\r\nUNSUBSCRIBE\r\nEXEC\r\n"
                  "PING\r\nECHO b\r\n",
                  "+OK +QUEUED +QUEUED +QUEUED +QUEUED +QUEUED *5 >3 $9 subscribe $1 a :1 :1 =4 txt: "
                  ">3 $11 unsubscribe $1 a :0 >3 $7 message $1 a $1 x $1 b " },
        };

        for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
                int c;

                start(shard_counts[_i]);
                c = connect_resp3(0);
                check(0, c, rows[i][0], rows[i][1]);
                cluster_deinit(&cl);
        }
}
END_TEST

START_TEST(client_info_shows_it)
{
        char *heard;
        int c, other;

        start(shard_counts[_i]);
        c = cluster_connect(&cl, 0, 0);
        other = cluster_connect(&cl, cl.n_shards - 1, 0);
        check(0, c, "MULTI\r\nPING\r\nCLIENT INFO\r\n", "+OK +QUEUED +QUEUED ");
        cluster_say(&cl, cl.n_shards - 1, other, "CLIENT LIST\r\n");
        cluster_settle(&cl);
        heard = hear(cl.n_shards - 1, other);
        ck_assert(strstr(heard, "flags=xU ") && strstr(heard, " multi=2 ") && strstr(heard, " multi=-1 "));
        ck_assert(strstr(heard, " multi-mem=0 ") && strncmp(strstr(heard, " multi-mem="), " multi-mem=0 ", 13));
        free(heard);
        cluster_say(&cl, 0, c, "EXEC\r\n");
        cluster_settle(&cl);
        heard = hear(0, c);
        ck_assert(strstr(heard, "flags=xU ") && strstr(heard, " multi=2 ") && strstr(heard, " cmd=exec "));
        free(heard);
        cluster_deinit(&cl);
}
END_TEST

/* ------------------------------------------------------------------ order and waiting */

/* Nothing of the same shard comes between its messages, whatever else is said there. */
START_TEST(its_messages_are_in_one_piece)
{
        int c, other, near, far;
        char *heard;

        start(shard_counts[_i]);
        c = cluster_connect(&cl, 0, 0);
        other = cluster_connect(&cl, 0, 0);
        near = cluster_connect(&cl, 0, 0);
        far = cluster_connect(&cl, cl.n_shards - 1, 0);
        cluster_say(&cl, 0, near, "SUBSCRIBE a b\r\n");
        cluster_say(&cl, cl.n_shards - 1, far, "PSUBSCRIBE *\r\n");
        cluster_settle(&cl);
        free(cluster_hear(&cl, 0, near));
        free(cluster_hear(&cl, cl.n_shards - 1, far));
        cluster_say(&cl, 0, c, "MULTI\r\nSUBSCRIBE q\r\n");
        for (int i = 0; i < 5; i++) {
                char line[64];

                snprintf(line, sizeof(line), "PUBLISH %s %d\r\nINFO nosuch\r\n", i % 2 ? "a" : "b", i);
                cluster_say(&cl, 0, c, line);
        }
        cluster_say(&cl, 0, c, "EXEC\r\n");
        for (int i = 0; i < 100; i++) {
                cluster_say(&cl, 0, other, "PUBLISH a .\r\n");
                for (unsigned k = 0; k < cl.n_shards; k++)
                        cluster_turn(&cl, k);
        }
        cluster_settle(&cl);
        heard = hear(0, near);
        ck_assert(strstr(heard, "*3 $7 message $1 b $1 0 *3 $7 message $1 a $1 1 *3 $7 message $1 b $1 2 "
                                "*3 $7 message $1 a $1 3 *3 $7 message $1 b $1 4 "));
        free(heard);
        heard = hear(cl.n_shards - 1, far);
        ck_assert(strstr(heard, "$1 b $1 0 *4 $8 pmessage $1 * $1 a $1 1 *4 $8 pmessage $1 * $1 b $1 2 "
                                "*4 $8 pmessage $1 * $1 a $1 3 *4 $8 pmessage $1 * $1 b $1 4 "));
        free(heard);
        heard = hear(0, c);
        ck_assert(strstr(heard, "*11 *3 $9 subscribe $1 q :1 :2 $0  :2 $0  :2 $0  :2 $0  :2 $0  "));
        free(heard);
        cluster_deinit(&cl);
}
END_TEST

/* At the bound of a backlog it waits before it did anything; behind it everything is done at once. */
START_TEST(it_waits_whole_at_the_bound_of_a_backlog)
{
        int sub, pub, c, other;

        start(2);
        sub = cluster_connect(&cl, 1, 0);
        pub = cluster_connect(&cl, 0, 0);
        c = connect_resp3(0);
        other = cluster_connect(&cl, 0, 0);
        cluster_say(&cl, 1, sub, _i ? "SUBSCRIBE x\r\nSSUBSCRIBE x\r\n" : "SUBSCRIBE x\r\n");
        check(0, c,
              _i ? "SUBSCRIBE near\r\nMULTI\r\nPUBLISH near 1\r\nSPUBLISH x last\r\n"
                 : "SUBSCRIBE near\r\nMULTI\r\nPUBLISH near 1\r\nPUBLISH x last\r\n",
              ">3 $9 subscribe $4 near :1 +OK +QUEUED +QUEUED ");
        for (int i = 0; i < 100; i++)
                cluster_say(&cl, 0, pub, "PUBLISH x 0123456789\r\n");
        for (int i = 0; i < 5; i++)
                cluster_turn(&cl, 0); /* shard 1 does nothing */
        ck_assert(port_gated(cl.shards[0]->port));
        cluster_say(&cl, 0, c, "EXEC\r\nPING\r\n");
        for (int i = 0; i < 5; i++)
                cluster_turn(&cl, 0);
        ck_assert_int_eq(client_of(0, c)->wait, CLIENT_GATED);
        check_heard(0, c, "");
        cluster_say(&cl, 0, other, "PING\r\n");
        cluster_turn(&cl, 0);
        check_heard(0, other, "+PONG ");
        cluster_settle(&cl);
        check_heard(0, c, "*2 :1 :1 >3 $7 message $4 near $1 1 +PONG ");
        cluster_deinit(&cl);
}
END_TEST

/* A message that another client published in the same turn, before it ran, comes before its reply. */
START_TEST(what_was_published_before_comes_before_the_array)
{
        int sub, pub, a, c;

        start(2);
        sub = cluster_connect(&cl, 1, 0);
        pub = cluster_connect(&cl, 0, 0);
        a = cluster_connect(&cl, 0, 0);
        c = connect_resp3(0);
        cluster_say(&cl, 1, sub, "SUBSCRIBE x far\r\n");
        check(0, c, "SUBSCRIBE x\r\nMULTI\r\nUNSUBSCRIBE x\r\nPUBLISH far .\r\n",
              ">3 $9 subscribe $1 x :1 +OK +QUEUED +QUEUED ");
        for (int i = 0; i < 100; i++)
                cluster_say(&cl, 0, pub, "PUBLISH far 0123456789\r\n");
        for (int i = 0; i < 5; i++)
                cluster_turn(&cl, 0); /* shard 1 does nothing */
        cluster_say(&cl, 0, a, "PUBLISH x before\r\n");
        cluster_turn(&cl, 0);
        ck_assert_int_eq(client_of(0, a)->wait, CLIENT_GATED);
        cluster_say(&cl, 0, c, "EXEC\r\n");
        cluster_turn(&cl, 0);
        ck_assert_int_eq(client_of(0, c)->wait, CLIENT_GATED);
        cluster_settle(&cl);
        check_heard(0, a, ":2 ");
        check_heard(0, c, ">3 $7 message $1 x $6 before *2 >3 $11 unsubscribe $1 x :0 :1 ");
        cluster_deinit(&cl);
}
END_TEST

/* One that starts runs to its end, over the bound that it passes itself. */
START_TEST(it_runs_whole_over_the_bound)
{
        int sub, c;
        char *heard;
        size_t n = 0;

        start(2);
        sub = cluster_connect(&cl, 1, 0);
        c = cluster_connect(&cl, 0, 0);
        cluster_say(&cl, 1, sub, "SUBSCRIBE x\r\n");
        cluster_say(&cl, 0, c, "MULTI\r\n");
        for (int i = 0; i < 100; i++)
                cluster_say(&cl, 0, c, "PUBLISH x 0123456789\r\n");
        cluster_settle(&cl);
        free(cluster_hear(&cl, 0, c));
        cluster_say(&cl, 0, c, "EXEC\r\n");
        cluster_turn(&cl, 0);
        heard = hear(0, c);
        ck_assert_uint_eq(strlen(heard), strlen("*100 ") + 100 * strlen(":1 "));
        free(heard);
        cluster_settle(&cl);
        heard = hear(1, sub);
        for (char *p = heard; (p = strstr(p, "$10 ")); p++)
                n++;
        ck_assert_uint_eq(n, 100);
        free(heard);
        cluster_deinit(&cl);
}
END_TEST

/* Questions to other shards are put when all is executed; their answers stand where they belong. */
START_TEST(answers_of_other_shards_stand_in_their_places)
{
        char *heard;
        int c, n = 0;

        start(shard_counts[_i]);
        c = cluster_connect(&cl, 0, 0);
        cluster_say(&cl, 0, c,
                    "PING\r\nMULTI\r\nINFO nosuch\r\nECHO a\r\nINFO clients\r\nINFO nosuch\r\nSUBSCRIBE s\r\n"
                    "UNSUBSCRIBE s\r\nECHO b\r\nEXEC\r\nECHO c\r\n");
        cluster_settle(&cl);
        heard = hear(0, c);
        sscanf(heard,
               "+PONG +OK +QUEUED +QUEUED +QUEUED +QUEUED +QUEUED +QUEUED +QUEUED *7 $0 $1 a $%*d # Clients "
               "connected_clients:1 maxclients:%*d $0 *3 $9 subscribe $1 s :1 *3 $11 unsubscribe $1 s :0 $1 b "
               "$1 c %n",
               &n);
        ck_assert_msg(n > 0 && !heard[n], "%s", heard);
        free(heard);
        check_nothing_is_left();
        cluster_deinit(&cl);
}
END_TEST

START_TEST(splitting_input_and_output_changes_nothing)
{
        static const char say[] = "*1\r\n$5\r\nMULTI\r\nSUBSCRIBE "
                                  "x\r\n*3\r\n$7\r\nPUBLISH\r\n$1\r\nx\r\n$3\r\na\r\n\r\nINFO no\r\n"
                                  "UNSUBSCRIBE\r\nEXEC\r\nPING\r\n";
        static const char expected[] = "+OK +QUEUED +QUEUED +QUEUED +QUEUED *4 *3 $9 subscribe $1 x :1 :1 $0  "
                                       "*3 $11 unsubscribe $1 x :0 "
                                       "*3 $7 message $1 x $3 a  +PONG ";
        int c;

        for (size_t split = 1; split < sizeof(say); split++) {
                start(shard_counts[_i]);
                c = cluster_connect(&cl, 0, 0);
                fake_split(cl.fakes[0], split);
                cluster_say(&cl, 0, c, say);
                for (int turn = 0; turn < 400; turn++) {
                        fake_accept(cl.fakes[0], c, split % 7 + 1);
                        for (unsigned i = 0; i < cl.n_shards; i++)
                                cluster_turn(&cl, i);
                        cluster_control(&cl);
                }
                fake_accept(cl.fakes[0], c, SIZE_MAX);
                cluster_settle(&cl);
                check_heard(0, c, expected);
                cluster_deinit(&cl);
        }
}
END_TEST

/* ------------------------------------------------------------------ bounds */

START_TEST(the_queue_is_bounded)
{
        char *line = calloc(1, 200100), *heard;
        int c;

        start(1);
        c = cluster_connect(&cl, 0, 0);
        sprintf(line, "*2\r\n$4\r\nECHO\r\n$200000\r\n");
        memset(line + strlen(line), 'x', 200000);
        strcat(line, "\r\n");
        check(0, c, "MULTI\r\n", "+OK ");
        for (int i = 0; i < 5; i++)
                check(0, c, line, "+QUEUED ");
        check(0, c, line, "-ERR the commands of the transaction take more memory than one request may ");
        ck_assert_uint_eq(client_of(0, c)->transaction->bytes, 0);
        check(0, c, "PING\r\nEXEC\r\n",
              "+QUEUED -EXECABORT Transaction discarded because of previous errors. ");
        /* also of commands without arguments */
        cluster_say(&cl, 0, c, "MULTI\r\n");
        for (int i = 0; i < 50000; i++)
                cluster_say(&cl, 0, c, "PING\r\n");
        cluster_say(&cl, 0, c, "EXEC\r\n");
        cluster_settle(&cl);
        heard = hear(0, c);
        ck_assert(strstr(heard, "-EXECABORT"));
        free(heard);
        ck_assert(cluster_is_open(&cl, 0, c));
        free(line);
        cluster_deinit(&cl);
}
END_TEST

/* What waits behind the reply counts as output, whatever it is. */
START_TEST(what_is_held_back_is_bounded)
{
        static const char *const commands[] = { "COMMAND\r\n", "INFO\r\n", "PUBLISH own 0123456789\r\n" };
        int c, good;

        start(3);
        c = connect_resp3(0);
        good = cluster_connect(&cl, 0, 0);
        cluster_say(&cl, 0, c, "SUBSCRIBE own gone\r\nMULTI\r\nUNSUBSCRIBE gone\r\n");
        for (int i = 0; i < 4000; i++)
                cluster_say(&cl, 0, c, commands[_i]);
        cluster_settle(&cl);
        ck_assert(cluster_is_open(&cl, 0, c));
        cluster_say(&cl, 0, c, "EXEC\r\n");
        cluster_turn(&cl, 0);
        ck_assert_uint_eq(cl.shards[0]->status.output_limit_closed, 1);
        cluster_settle(&cl);
        ck_assert(!cluster_is_open(&cl, 0, c));
        check_nothing_is_left();
        check(0, good, "PING\r\n", "+PONG ");
        cluster_deinit(&cl);
}
END_TEST

/* What other shards answer is longer than what is known when they are asked. */
START_TEST(long_answers_of_other_shards_are_bounded)
{
        int c;

        start(3);
        c = cluster_connect(&cl, 0, 0);
        for (int i = 0; i < 50; i++)
                cluster_connect(&cl, 1, 0);
        cluster_say(&cl, 0, c, "MULTI\r\n");
        for (int i = 0; i < 40; i++)
                cluster_say(&cl, 0, c, "CLIENT LIST\r\n");
        cluster_say(&cl, 0, c, "EXEC\r\n");
        for (int i = 0; i < 400 && cluster_is_open(&cl, 0, c); i++) {
                const struct client *client;

                for (unsigned k = 0; k < cl.n_shards; k++)
                        cluster_turn(&cl, k);
                cluster_control(&cl);
                client = client_of(0, c);
                ck_assert(!client || transaction_holds(client) < 150000);
        }
        ck_assert(!cluster_is_open(&cl, 0, c));
        ck_assert_uint_eq(cl.shards[0]->status.output_limit_closed, 1);
        cluster_deinit(&cl);
}
END_TEST

/* Messages that come while it waits are bounded as well, and pin no stage that others share. */
START_TEST(messages_held_back_are_bounded_and_pin_nothing)
{
        int c, pub;

        start(3);
        c = connect_resp3(0);
        pub = cluster_connect(&cl, 0, 0);
        cluster_say(&cl, 0, c, "SUBSCRIBE x gone\r\nMULTI\r\nUNSUBSCRIBE gone\r\n");
        cluster_settle(&cl);
        cluster_say(&cl, 0, c, "EXEC\r\n");
        cluster_turn(&cl, 0); /* the others do nothing from now on */
        ck_assert_int_eq(client_of(0, c)->transaction->step, TRANSACTION_ENDS);
        for (int i = 0; i < 1000; i++) {
                cluster_say(&cl, 0, pub, "PUBLISH x 01234567890123456789\r\n");
                cluster_turn(&cl, 0);
                ck_assert_uint_eq(cl.shards[0]->stages.n_live, 1);
                ck_assert_uint_eq(cl.shards[0]->deliver.stage[1]->used, 0);
        }
        ck_assert(client_of(0, c)->transaction->messages.bytes > 1000 * 20);
        for (int i = 0; i < 3000; i++)
                cluster_say(&cl, 0, pub, "PUBLISH x 01234567890123456789\r\n");
        for (int i = 0; i < 10; i++)
                cluster_turn(&cl, 0);
        ck_assert_uint_eq(cl.shards[0]->status.output_limit_closed, 1);
        cluster_settle(&cl);
        ck_assert(!cluster_is_open(&cl, 0, c));
        check_nothing_is_left();
        cluster_deinit(&cl);
}
END_TEST

/* ------------------------------------------------------------------ ends */

static void reach_queue(int c)
{
        cluster_say(&cl, 0, c, "MULTI\r\nSUBSCRIBE a\r\nPUBLISH a x\r\nINFO\r\n");
        cluster_turn(&cl, 0);
        ck_assert_int_eq(client_of(0, c)->transaction->step, TRANSACTION_QUEUES);
}

/* Nothing but that is to be waited for. */
static void reach_last_promise(int c)
{
        cluster_say(&cl, 0, c, "MULTI\r\nSUBSCRIBE a\r\nPUBLISH a x\r\nEXEC\r\n");
        cluster_turn(&cl, 0);
        ck_assert_int_eq(client_of(0, c)->transaction->step, TRANSACTION_PROMISES);
}

static void reach_promise(int c)
{
        cluster_say(&cl, 0, c,
                    "MULTI\r\nSUBSCRIBE a b\r\nPSUBSCRIBE a*\r\nPUBLISH a x\r\nUNSUBSCRIBE b\r\nEXEC\r\n");
        cluster_turn(&cl, 0);
        ck_assert_int_eq(client_of(0, c)->transaction->step, TRANSACTION_PROMISES);
        ck_assert_int_eq(client_of(0, c)->wait, CLIENT_GATHERS);
}

/* Promised, and then the gate of its PUBLISH is closed. */
static void reach_gate(int c)
{
        int pub = cluster_connect(&cl, 0, 0), sub = cluster_connect(&cl, 1, 0);

        cluster_say(&cl, 1, sub, "SUBSCRIBE far\r\n");
        cluster_settle(&cl);
        cluster_say(&cl, 0, c, "MULTI\r\nSUBSCRIBE a b\r\nPUBLISH far x\r\nEXEC\r\n");
        cluster_turn(&cl, 0);
        for (unsigned i = 1; i < cl.n_shards; i++)
                cluster_turn(&cl, i); /* they answer */
        for (int i = 0; i < 100; i++)
                cluster_say(&cl, 0, pub, "PUBLISH far 0123456789\r\n");
        for (int i = 0; i < 5; i++)
                cluster_turn(&cl, 0);
        ck_assert_int_eq(client_of(0, c)->transaction->step, TRANSACTION_PROMISES);
        ck_assert_int_eq(client_of(0, c)->wait, CLIENT_GATED);
        fake_end(cl.fakes[0], pub);
        fake_end(cl.fakes[1], sub);
}

static void reach_removal(int c)
{
        cluster_say(&cl, 0, c, "SUBSCRIBE a b\r\n");
        cluster_settle(&cl);
        cluster_say(&cl, 0, c, "MULTI\r\nUNSUBSCRIBE b\r\nPUBLISH a x\r\nINFO\r\nEXEC\r\nPING\r\n");
        cluster_turn(&cl, 0);
        ck_assert_int_eq(client_of(0, c)->transaction->step, TRANSACTION_ENDS);
        ck_assert_int_eq(client_of(0, c)->gather->kind, GATHER_UNSUBSCRIBE);
}

static void reach_question(int c)
{
        cluster_say(&cl, 0, c, "SUBSCRIBE a b\r\n");
        cluster_settle(&cl);
        cluster_say(&cl, 0, c, "MULTI\r\nINFO\r\nPUBLISH a x\r\nINFO\r\nEXEC\r\nPING\r\n");
        cluster_turn(&cl, 0);
        ck_assert_int_eq(client_of(0, c)->transaction->step, TRANSACTION_ENDS);
        ck_assert_int_eq(client_of(0, c)->gather->kind, GATHER_STATUS);
}

static void (*const reaches[])(int c) = { reach_queue, reach_last_promise, reach_promise,
                                          reach_gate,  reach_removal,      reach_question };

static void end_reset(int c)
{
        fake_fail(cl.fakes[0], c, ECONNRESET);
}

static void end_eof(int c)
{
        fake_end(cl.fakes[0], c);
}

static void end_limit(int c)
{
        client_close_at_limit(client_of(0, c));
}

static void end_kill(int c)
{
        client_kill(client_of(0, c));
        cl.shards[0]->busy = true; /* as in the turn of the command */
}

static void (*const ends_in_step[])(int c) = { end_reset, end_eof, end_limit, end_kill };

#define N_REACHES (int)(sizeof(reaches) / sizeof(*reaches))
#define N_ENDS    (int)(sizeof(ends_in_step) / sizeof(*ends_in_step))

START_TEST(a_client_that_dies_in_a_step_gives_everything_back)
{
        int c;

        start(3);
        c = connect_resp3(0);
        reaches[_i / N_ENDS](c);
        ends_in_step[_i % N_ENDS](c);
        cluster_settle(&cl);
        ck_assert(!cluster_is_open(&cl, 0, c));
        check_nothing_is_left();
        for (unsigned i = 0; i < cl.n_shards; i++)
                ck_assert_uint_eq(cl.shards[i]->status.clients, 0);
        cluster_deinit(&cl);
}
END_TEST

/* An end of file is served: what was said before it is executed and answered. */
START_TEST(an_end_of_file_behind_exec_comes_after_its_reply)
{
        char *heard;
        int c;

        start(3);
        c = connect_resp3(0);
        reach_removal(c);
        fake_end(cl.fakes[0], c);
        cluster_settle(&cl);
        ck_assert(!cluster_is_open(&cl, 0, c));
        heard = hear(0, c);
        ck_assert(strstr(heard, "*3 >3 $11 unsubscribe $1 b :1 :1 =") && strstr(heard, "$1 x +PONG "));
        free(heard);
        cluster_deinit(&cl);
}
END_TEST

START_TEST(a_client_may_kill_itself_and_others_in_it)
{
        char say[200];
        int c, near, far;

        start(shard_counts[_i]);
        c = connect_resp3(0);
        near = cluster_connect(&cl, 0, 0);
        far = cluster_connect(&cl, cl.n_shards - 1, 0);
        snprintf(say, sizeof(say),
                 "SUBSCRIBE a\r\nMULTI\r\nPUBLISH a 1\r\nCLIENT KILL ID %d\r\nUNSUBSCRIBE\r\nCLIENT KILL ID "
                 "%d\r\n"
                 "CLIENT KILL ID %d SKIPME no\r\nPUBLISH a 2\r\nPING\r\nEXEC\r\nPING\r\n",
                 near, far, c);
        check(0, c, say,
              ">3 $9 subscribe $1 a :1 +OK +QUEUED +QUEUED +QUEUED +QUEUED +QUEUED +QUEUED +QUEUED "
              "*7 :1 :1 >3 $11 unsubscribe $1 a :0 :1 :1 :0 +PONG >3 $7 message $1 a $1 1 ");
        ck_assert(!cluster_is_open(&cl, 0, c) && !cluster_is_open(&cl, 0, near));
        ck_assert(!cluster_is_open(&cl, cl.n_shards - 1, far));
        check_nothing_is_left();
        cluster_deinit(&cl);
}
END_TEST

START_TEST(a_command_that_ends_its_client_does_so_behind_the_array)
{
        int c;

        start(3);
        c = connect_resp3(0);
        ck_assert(!transaction_puts_off_end(client_of(0, c)));
        check(0, c, "SUBSCRIBE a b\r\nMULTI\r\nUNSUBSCRIBE b\r\nPUBLISH a x\r\n",
              ">3 $9 subscribe $1 a :1 >3 $9 subscribe $1 b :2 +OK +QUEUED +QUEUED ");
        ck_assert(!transaction_puts_off_end(client_of(0, c)));
        cluster_say(&cl, 0, c, "EXEC\r\nPING\r\n");
        cluster_turn(&cl, 0);
        ck_assert(transaction_puts_off_end(client_of(0, c)));
        cluster_settle(&cl);
        check_heard(0, c, "*2 >3 $11 unsubscribe $1 b :1 :1 >3 $7 message $1 a $1 x ");
        ck_assert(!cluster_is_open(&cl, 0, c));
        check_nothing_is_left();
        cluster_deinit(&cl);
}
END_TEST

static void stop(void)
{
        for (unsigned i = 0; i < cl.n_shards; i++) {
                struct message_stop *message =
                        port_send(cl.control, i, MESSAGE_STOP, sizeof(*message), PORT_UNCOUNTED);

                message->deadline = UINT64_MAX / 2;
        }
        port_flush(cl.control);
}

/* What was not executed when the stop came is not; what was is answered, unless others had to be asked for it.
 */
START_TEST(a_stop_ends_it_in_every_step)
{
        char *heard;
        int c;

        start(3);
        c = connect_resp3(0);
        reaches[_i](c);
        free(cluster_hear(&cl, 0, c));
        stop();
        cluster_settle(&cl);
        for (unsigned i = 0; i < cl.n_shards; i++)
                ck_assert(cl.stopped[i]);
        heard = hear(0, c);
        ck_assert_str_eq(heard, "");
        free(heard);
        cluster_deinit(&cl);
}
END_TEST

START_TEST(a_stop_while_removals_are_told_leaves_the_reply)
{
        int c;

        start(3);
        c = connect_resp3(0);
        check(0, c, "SUBSCRIBE a b\r\nMULTI\r\nUNSUBSCRIBE b\r\nPUBLISH a x\r\n",
              ">3 $9 subscribe $1 a :1 >3 $9 subscribe $1 b :2 +OK +QUEUED +QUEUED ");
        cluster_say(&cl, 0, c, "EXEC\r\nPING\r\n");
        cluster_turn(&cl, 0);
        stop();
        cluster_settle(&cl);
        check_heard(0, c, "*2 >3 $11 unsubscribe $1 b :1 :1 >3 $7 message $1 a $1 x ");
        cluster_deinit(&cl);
}
END_TEST

static void add(TCase *cases)
{
        tcase_add_loop_test(cases, commands_are_queued_and_answered_in_one_array, 0, 2);
        tcase_add_loop_test(cases, what_is_wrong_is_answered_as_by_redis, 0, 2);
        tcase_add_loop_test(cases, discard_reset_and_quit_end_it_at_once, 0, 2);
        tcase_add_test(cases, a_command_without_the_right_to_it_spoils_it);
        tcase_add_loop_test(cases, a_subscription_in_it_counts_and_its_messages_come_behind_the_array, 0, 2);
        tcase_add_loop_test(cases, a_name_may_come_and_go_in_it, 0, 2);
        tcase_add_loop_test(cases, shard_channels_may_end_in_it, 0, 2);
        tcase_add_test(cases, others_on_its_shard_keep_their_interest);
        tcase_add_test(cases, messages_of_others_wait_for_the_array);
        tcase_add_loop_test(cases, the_protocol_may_change_in_it, 0, 2);
        tcase_add_loop_test(cases, its_messages_are_in_one_piece, 0, 2);
        tcase_add_loop_test(cases, it_waits_whole_at_the_bound_of_a_backlog, 0, 2);
        tcase_add_test(cases, what_was_published_before_comes_before_the_array);
        tcase_add_test(cases, it_runs_whole_over_the_bound);
        tcase_add_loop_test(cases, answers_of_other_shards_stand_in_their_places, 0, 2);
        tcase_add_loop_test(cases, splitting_input_and_output_changes_nothing, 0, 2);
        tcase_add_test(cases, the_queue_is_bounded);
        tcase_add_loop_test(cases, what_is_held_back_is_bounded, 0, 3);
        tcase_add_test(cases, messages_held_back_are_bounded_and_pin_nothing);
        tcase_add_loop_test(cases, a_client_that_dies_in_a_step_gives_everything_back, 0, N_REACHES * N_ENDS);
        tcase_add_test(cases, an_end_of_file_behind_exec_comes_after_its_reply);
        tcase_add_loop_test(cases, a_client_may_kill_itself_and_others_in_it, 0, 2);
        tcase_add_loop_test(cases, client_reply_reaches_into_it, 0, 2);
        tcase_add_loop_test(cases, client_info_shows_it, 0, 2);
        tcase_add_test(cases, long_answers_of_other_shards_are_bounded);
        tcase_add_test(cases, a_command_that_ends_its_client_does_so_behind_the_array);
        tcase_add_loop_test(cases, a_stop_ends_it_in_every_step, 0, N_REACHES);
        tcase_add_test(cases, a_stop_while_removals_are_told_leaves_the_reply);
}

int main(void)
{
        return suite_run("transaction", add);
}
