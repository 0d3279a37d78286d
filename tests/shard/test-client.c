/* SPDX-License-Identifier: MIT */
/* CLIENT, on whole shards with fake reactors: what a connection says about itself and about the others. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "shard/client.h"
#include "shard/roster.h"
#include "shard/state.h"
#include "support/cluster.h"
#include "support/suite.h"
#include "util/clock.h"
#include "util/mem.h"

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

/* Says something and lets everything happen. Return: what comes back; the caller frees it. */
static char *answer(unsigned shard, int fd, const char *say)
{
        cluster_say(&cl, shard, fd, say);
        cluster_settle(&cl);
        return cluster_hear(&cl, shard, fd);
}

static void check(unsigned shard, int fd, const char *say, const char *expected)
{
        char *heard = answer(shard, fd, say);

        ck_assert_str_eq(heard, expected);
        free(heard);
}

/* ------------------------------------------------------------------ CLIENT REPLY */

#define SUBSCRIBED_A "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"

/* What redis-server 7.0.15 answers to the same bytes, except to INFO. */
static const struct {
        const char *say, *expected;
} replies[] = {
        { "PING\r\nCLIENT REPLY OFF\r\nPING\r\nFOO\r\nPUBLISH x y\r\nCLIENT REPLY foo\r\nSUBSCRIBE\r\n"
          "CLIENT REPLY ON\r\nECHO x\r\n",
          "+PONG\r\n+OK\r\n$1\r\nx\r\n" },
        { "PING\r\nCLIENT REPLY SKIP\r\nPING\r\nECHO x\r\n", "+PONG\r\n$1\r\nx\r\n" },
        { "CLIENT REPLY SKIP\r\nCLIENT REPLY SKIP\r\nPING\r\nECHO x\r\n", "$1\r\nx\r\n" },
        { "CLIENT REPLY SKIP\r\nCLIENT REPLY ON\r\nPING\r\n", "+OK\r\n+PONG\r\n" },
        { "CLIENT REPLY SKIP\r\nCLIENT REPLY OFF\r\nPING\r\nECHO x\r\n", "" },
        { "CLIENT REPLY SKIP\r\nCLIENT REPLY foo\r\nCLIENT REPLY foo\r\n", "-ERR syntax error\r\n" },
        { "CLIENT REPLY SKIP\r\nFOO\r\nECHO x\r\n", "$1\r\nx\r\n" },
        { "CLIENT REPLY SKIP\r\nPUBLISH x y\r\nPUBLISH x y\r\n", ":0\r\n" },
        { "CLIENT REPLY SKIP\r\nINFO\r\nECHO x\r\n", "$1\r\nx\r\n" },
        { "CLIENT REPLY OFF\r\nINFO\r\nCLIENT REPLY ON\r\n", "+OK\r\n" },
        { "CLIENT REPLY OFF\r\nCLIENT REPLY SKIP\r\nECHO x\r\nECHO y\r\nCLIENT REPLY ON\r\n", "+OK\r\n" },
        { "CLIENT REPLY SKIP\r\nSUBSCRIBE a\r\nPING\r\n", SUBSCRIBED_A "*2\r\n$4\r\npong\r\n$0\r\n\r\n" },
        { "CLIENT REPLY SKIP\r\nRESET\r\nECHO x\r\n", "$1\r\nx\r\n" },
        { "CLIENT REPLY OFF\r\nSUBSCRIBE a\r\nRESET\r\nECHO x\r\n", SUBSCRIBED_A "+RESET\r\n$1\r\nx\r\n" },
        { "CLIENT REPLY OFF\r\nHELLO 3\r\nCLIENT REPLY ON\r\nCLIENT GETNAME\r\n", "+OK\r\n_\r\n" },
        { "CLIENT REPLY OFF\r\nSSUBSCRIBE s\r\nPING\r\nSUNSUBSCRIBE\r\nSPUBLISH x y\r\nCLIENT REPLY ON\r\n",
          "*3\r\n$10\r\nssubscribe\r\n$1\r\ns\r\n:1\r\n*3\r\n$12\r\nsunsubscribe\r\n$1\r\ns\r\n:0\r\n+OK\r\n" },
        { "CLIENT REPLY OFF\r\n*1\r\n!\r\n", "" },
        { "CLIENT REPLY OFF\r\nQUIT\r\n", "" },
        { "CLIENT REPLY OFF\r\nPING\r\nSUBSCRIBE a\r\nSUBSCRIBE a\r\nPING\r\nSUBSCRIBE\r\nPSUBSCRIBE a*\r\n"
          "UNSUBSCRIBE\r\nPING\r\nPUNSUBSCRIBE\r\nPUNSUBSCRIBE\r\nCLIENT REPLY ON\r\n",
          SUBSCRIBED_A SUBSCRIBED_A "*3\r\n$10\r\npsubscribe\r\n$2\r\na*\r\n:2\r\n"
                                    "*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:1\r\n"
                                    "*3\r\n$12\r\npunsubscribe\r\n$2\r\na*\r\n:0\r\n"
                                    "*3\r\n$12\r\npunsubscribe\r\n$-1\r\n:0\r\n+OK\r\n" },
};

#define REPLIES_N (int)(sizeof(replies) / sizeof(*replies))

/* On 1 and 3 shards, and with the words in one piece and byte by byte. */
START_TEST(replies_fall_silent_and_pushes_do_not)
{
        int c;

        for (unsigned split = 0; split < 2; split++) {
                start(shard_counts[_i / REPLIES_N]);
                fake_split(cl.fakes[0], split);
                c = cluster_connect(&cl, 0, 77);
                check(0, c, replies[_i % REPLIES_N].say, replies[_i % REPLIES_N].expected);
                cluster_deinit(&cl);
        }
}
END_TEST

START_TEST(a_client_that_ends_in_silence_is_closed)
{
        static const char *const end[] = { "CLIENT REPLY OFF\r\nQUIT\r\n", "CLIENT REPLY SKIP\r\nQUIT\r\n",
                                           "CLIENT REPLY OFF\r\n*1\r\n!\r\n" };
        int c;

        start(1);
        c = cluster_connect(&cl, 0, 77);
        check(0, c, end[_i], "");
        ck_assert(!cluster_is_open(&cl, 0, c));
        cluster_deinit(&cl);
}
END_TEST

START_TEST(a_silent_subscriber_hears_messages_and_its_own_too)
{
        int c, pub;

        start(shard_counts[_i]);
        c = cluster_connect(&cl, 0, 77);
        pub = cluster_connect(&cl, cl.n_shards - 1, 77);
        free(answer(0, c, "HELLO 3\r\nCLIENT REPLY OFF\r\n"));
        check(0, c, "SUBSCRIBE x\r\nPUBLISH x 1\r\nPUBLISH x 2\r\nPING\r\n",
              ">3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n>3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\n1\r\n"
              ">3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\n2\r\n");
        check(cl.n_shards - 1, pub, "PUBLISH x 3\r\n", ":1\r\n");
        check(0, c, "", ">3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\n3\r\n");
        cluster_deinit(&cl);
}
END_TEST

START_TEST(a_publish_that_waits_is_skipped_in_the_end)
{
        int pub, sub;

        start(2);
        sub = cluster_connect(&cl, 1, 77);
        pub = cluster_connect(&cl, 0, 77);
        free(answer(1, sub, "SUBSCRIBE x\r\n"));
        for (int i = 0; i < 100; i++)
                cluster_say(&cl, 0, pub, "CLIENT REPLY SKIP\r\nPUBLISH x 0123456789\r\n");
        for (int i = 0; i < 5; i++)
                cluster_turn(&cl, 0);
        ck_assert(client_find(cl.shards[0], (uint64_t)pub)->wait == CLIENT_GATED);
        check(0, pub, "PING\r\n", "+PONG\r\n");
        cluster_deinit(&cl);
}
END_TEST

/* ------------------------------------------------------------------ CLIENT INFO and LIST */

/* The value of a field in a line; the caller frees it. */
static char *field(const char *line, const char *name)
{
        char with[32];
        const char *p;

        snprintf(with, sizeof(with), " %s=", name);
        p = strstr(line, with);
        ck_assert_msg(p != NULL, "no %s in %s", name, line);
        p += strlen(with);
        return strndup(p, strcspn(p, " \n"));
}

static void check_field(const char *line, const char *name, const char *expected)
{
        char *value = field(line, name);

        ck_assert_msg(!strcmp(value, expected), "%s is %s instead of %s in %s", name, value, expected, line);
        free(value);
}

static unsigned long number(const char *line, const char *name)
{
        char *value = field(line, name);
        unsigned long n = strtoul(value, NULL, 10);

        free(value);
        return n;
}

/* The ids in the lines that come back, each with a blank behind it. */
static void check_ids(unsigned shard, int fd, const char *say, const char *expected)
{
        char *heard = answer(shard, fd, say), ids[256] = "";
        size_t n = 0;

        ck_assert_int_eq(heard[0], '$');
        for (const char *p = heard; (p = strstr(p, "\nid=")); p++)
                n += (size_t)snprintf(ids + n, sizeof(ids) - n, "%.*s ", (int)strcspn(p + 4, " "), p + 4);
        ck_assert_str_eq(ids, expected);
        free(heard);
}

/* What its line says of a client, as another one sees it; the caller frees it. */
static char *line_of(int asker, int fd)
{
        char say[64];

        snprintf(say, sizeof(say), "CLIENT LIST ID %d\r\n", fd);
        return answer(0, asker, say);
}

static void check_own_line(int fd, bool resp3, const char *format)
{
        uint64_t sent = fake_stream(cl.fakes[0], fd)->stream->out.sent;
        size_t memory = sizeof(struct client) + cl.shards[0]->ops->stream_size;
        char line[1024], expected[1200];

        snprintf(line, sizeof(line), format, fd, fd, memory, sent);
        snprintf(expected, sizeof(expected), "%c%zu\r\n%s%s\r\n", resp3 ? '=' : '$',
                 strlen(line) + (resp3 ? 4 : 0), resp3 ? "txt:" : "", line);
        check(0, fd, "CLIENT INFO\r\n", expected);
}

START_TEST(a_client_reads_its_own_line)
{
        int c;

        start(shard_counts[_i]);
        c = cluster_connect(&cl, 0, 77);
        cluster_advance(3 * NSEC_PER_SEC);
        check_own_line(
                c, false,
                "id=%d addr=/run/test:0 laddr=/run/test:0 fd=%d name= age=3 idle=0 flags=U db=0 sub=0 psub=0 "
                "ssub=0 multi=-1 qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem=0 "
                "tot-mem=%zu events=r cmd=client|info user=default redir=-1 resp=2 lib-name= lib-ver= pid=1 "
                "uid=77 gid=5 lost=0 shard=0 pub=0 pub-bytes=0 dlv=0 sent=%" PRIu64 "\n");
        free(answer(0, c, "HELLO 3\r\n"));
        check_own_line(
                c, true,
                "id=%d addr=/run/test:0 laddr=/run/test:0 fd=%d name= age=3 idle=0 flags=U db=0 sub=0 psub=0 "
                "ssub=0 multi=-1 qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem=0 "
                "tot-mem=%zu events=r cmd=client|info user=default redir=-1 resp=3 lib-name= lib-ver= pid=1 "
                "uid=77 gid=5 lost=0 shard=0 pub=0 pub-bytes=0 dlv=0 sent=%" PRIu64 "\n");
        cluster_deinit(&cl);
}
END_TEST

START_TEST(a_line_tells_what_its_client_did)
{
        int asker, c;
        unsigned long before;
        char *line;

        start(shard_counts[_i]);
        asker = cluster_connect(&cl, 0, 0);
        c = cluster_connect(&cl, cl.n_shards - 1, 77);
        line = line_of(asker, c);
        check_field(line, "cmd", "NULL");
        before = number(line, "tot-mem");
        free(line);
        free(answer(cl.n_shards - 1, c,
                    "HELLO 3 SETNAME me\r\nCLIENT SETINFO LIB-NAME lib\r\nCLIENT SETINFO LIB-VER 1.2\r\n"
                    "CLIENT NO-EVICT on\r\nCLIENT NO-TOUCH on\r\nSUBSCRIBE a b\r\nPSUBSCRIBE p*\r\nSSUBSCRIBE "
                    "s t u\r\n"));
        line = line_of(asker, c);
        check_field(line, "name", "me");
        check_field(line, "lib-name", "lib");
        check_field(line, "lib-ver", "1.2");
        check_field(line, "flags", "PUeT");
        check_field(line, "sub", "2");
        check_field(line, "psub", "1");
        check_field(line, "ssub", "3");
        check_field(line, "resp", "3");
        check_field(line, "cmd", "ssubscribe");
        ck_assert_uint_gt(number(line, "tot-mem"), before);
        free(line);
        free(answer(cl.n_shards - 1, c, "RESET\r\nNoSuch\r\n"));
        line = line_of(asker, c);
        check_field(line, "name", "");
        check_field(line, "flags", "U");
        check_field(line, "resp", "2");
        check_field(line, "cmd", "NULL");
        free(line);
        free(answer(cl.n_shards - 1, c, "ECHO x\r\nPUBLISH nobody x\r\n"));
        line = line_of(asker, c);
        check_field(line, "cmd", "publish");
        free(line);
        free(answer(cl.n_shards - 1, c, "SPUBLISH nobody x\r\n"));
        line = line_of(asker, c);
        check_field(line, "cmd", "spublish");
        free(line);
        cluster_deinit(&cl);
}
END_TEST

START_TEST(a_line_tells_what_waits)
{
        int asker, c, pub;
        char *line;

        start(shard_counts[_i]);
        asker = cluster_connect(&cl, 0, 0);
        pub = cluster_connect(&cl, 0, 0);
        c = cluster_connect(&cl, cl.n_shards - 1, 77);
        free(answer(cl.n_shards - 1, c, "SUBSCRIBE x\r\n"));
        fake_accept(cl.fakes[cl.n_shards - 1], c, 0);
        free(answer(0, pub, "PUBLISH x 0123456789\r\n"));
        free(answer(cl.n_shards - 1, c, "*1\r\n$4\r\nPI"));
        line = line_of(asker, c);
        check_field(line, "omem", "41");
        check_field(line, "oll", "1");
        check_field(line, "qbuf", "10");
        check_field(line, "events", "rw");
        free(line);
        cluster_deinit(&cl);
}
END_TEST

START_TEST(a_line_tells_since_when)
{
        int asker, c, pub;
        char *line;

        start(shard_counts[_i]);
        asker = cluster_connect(&cl, 0, 0);
        c = cluster_connect(&cl, cl.n_shards - 1, 77);
        cluster_advance(5 * NSEC_PER_SEC);
        free(answer(cl.n_shards - 1, c, "SUBSCRIBE x\r\n"));
        cluster_advance(7 * NSEC_PER_SEC);
        pub = cluster_connect(&cl, 0, 0);
        line = line_of(asker, c);
        check_field(line, "age", "12");
        check_field(line, "idle", "7");
        free(line);
        cluster_say(&cl, cl.n_shards - 1, c, "UNSUBSCRIBE");
        cluster_settle(&cl);
        cluster_advance(2 * NSEC_PER_SEC);
        line = line_of(asker, c);
        check_field(line, "idle", "2");
        free(line);
        free(answer(0, pub, "PUBLISH x 1\r\n")); /* what it takes shows that it lives, too */
        line = line_of(asker, c);
        check_field(line, "age", "14");
        check_field(line, "idle", "0");
        free(line);
        cluster_deinit(&cl);
}
END_TEST

/* Clients 1 to 6, dealt out to the shards in turns; 2 and 5 subscribe, 3 and 6 are of another user. */
static void start_six(unsigned n_shards)
{
        start(n_shards);
        for (unsigned i = 0; i < 6; i++)
                ck_assert_int_eq(cluster_connect(&cl, i % n_shards, i % 3 == 2 ? 78 : 77), (int)i + 1);
        free(answer(1 % n_shards, 2, "SUBSCRIBE a\r\n"));
        free(answer(4 % n_shards, 5, "PSUBSCRIBE a*\r\n"));
}

START_TEST(a_list_is_in_order_and_holds_what_is_asked_for)
{
        unsigned n = shard_counts[_i];
        int root;

        start_six(n);
        root = cluster_connect(&cl, 1 % n, 0);
        ck_assert_int_eq(root, 7);
        check_ids(1 % n, root, "CLIENT LIST\r\n", "1 2 3 4 5 6 7 ");
        check_ids(1 % n, root, "client list type NORMAL\r\n", "1 3 4 6 7 ");
        check_ids(1 % n, root, "CLIENT LIST TYPE pubsub\r\n", "2 5 ");
        check_ids(1 % n, root, "CLIENT LIST TYPE master\r\n", "");
        check_ids(1 % n, root, "CLIENT LIST TYPE replica\r\n", "");
        check_ids(1 % n, root, "CLIENT LIST TYPE slave\r\n", "");
        check_ids(1 % n, root, "CLIENT LIST ID 6 1 99 -3 0 3 6\r\n", "6 1 3 6 ");
        check_ids(1 % n, root, "CLIENT LIST ID 99\r\n", "");
        check(1 % n, root, "CLIENT LIST ID\r\n", "-ERR syntax error\r\n");
        check(1 % n, root, "CLIENT LIST TYPE\r\n", "-ERR syntax error\r\n");
        check(1 % n, root, "CLIENT LIST foo\r\n", "-ERR syntax error\r\n");
        check(1 % n, root, "CLIENT LIST TYPE normal ID 1\r\n", "-ERR syntax error\r\n");
        check(1 % n, root, "CLIENT LIST TYPE foo\r\n", "-ERR Unknown client type 'foo'\r\n");
        check(1 % n, root, "CLIENT LIST ID 1 x\r\n", "-ERR Invalid client ID\r\n");
        cluster_deinit(&cl);
}
END_TEST

START_TEST(others_are_seen_by_administrators_only)
{
        unsigned n = shard_counts[_i];
        int owner;

        start_six(n);
        owner = cluster_connect(&cl, 0, 1000);
        check_ids(0, 1, "CLIENT LIST\r\n", "1 2 4 5 ");
        check_ids(2 % n, 3, "CLIENT LIST\r\n", "3 6 ");
        check_ids(2 % n, 3, "CLIENT LIST ID 1 2 3 4 5 6\r\n", "3 6 ");
        check_ids(2 % n, 3, "CLIENT LIST TYPE pubsub\r\n", "");
        check_ids(0, owner, "CLIENT LIST\r\n", "1 2 3 4 5 6 7 ");
        cluster_deinit(&cl);
}
END_TEST

START_TEST(a_list_keeps_its_place_in_a_pipeline)
{
        char *heard;
        int c, n = 0;

        start(shard_counts[_i]);
        c = cluster_connect(&cl, 0, 77);
        heard = answer(
                0, c,
                "HELLO 3\r\nSUBSCRIBE x\r\nCLIENT LIST TYPE master\r\nPUBLISH x 1\r\nCLIENT LIST ID 9\r\n");
        sscanf(strstr(heard, ">3"), ">3 $9 subscribe $1 x :1 =4 txt: :1 >3 $7 message $1 x $1 1 =4 txt: %n",
               &n);
        ck_assert_msg(n > 0 && !strstr(heard, ">3")[n], "%s", heard);
        free(heard);
        cluster_deinit(&cl);
}
END_TEST

/* Known failure 31: a list that would cost its client the connection is refused instead. */
START_TEST(a_list_longer_than_the_output_bound_is_refused)
{
        static const char error[] =
                "-ERR the list is longer than the output that may wait for a client; name a "
                "TYPE or IDs\r\n";
        struct message_roster all = { .any_uid = true };
        struct buffer part = { 0 };
        char *heard;
        int c = 0;

        start(shard_counts[_i]);
        for (unsigned i = 0; i < 500; i++)
                c = cluster_connect(&cl, i % cl.n_shards, 77);
        heard = answer(499 % cl.n_shards, c, "CLIENT LIST\r\nPING\r\n");
        ck_assert_int_eq(strncmp(heard, error, strlen(error)), 0);
        ck_assert_str_eq(heard + strlen(error), "+PONG\r\n");
        free(heard);
        check_ids(499 % cl.n_shards, c, "CLIENT LIST ID 1 500\r\n", "1 500 ");
        roster_answer(cl.shards[0], QUERY_LIST, bytes_of(&all, sizeof(all)), &part);
        ck_assert_uint_lt(buffer_size(&part), 100000 + 1000); /* no shard goes on for nothing */
        buffer_deinit(&part);
        cluster_deinit(&cl);
}
END_TEST

START_TEST(what_is_kept_of_a_client_is_bounded)
{
        static char say[CLIENT_TEXT_MAX + 64];
        int c;

        start(1);
        c = cluster_connect(&cl, 0, 77);
        snprintf(say, sizeof(say), "CLIENT SETNAME %0*d\r\n", CLIENT_TEXT_MAX, 0);
        check(0, c, say, "+OK\r\n");
        snprintf(say, sizeof(say), "CLIENT SETNAME %0*d\r\n", CLIENT_TEXT_MAX + 1, 0);
        check(0, c, say, "-ERR Client names cannot be longer than 1024 bytes.\r\n");
        snprintf(say, sizeof(say), "CLIENT SETINFO lib-ver %0*d\r\n", CLIENT_TEXT_MAX + 1, 0);
        check(0, c, say, "-ERR lib-ver cannot be longer than 1024 bytes.\r\n");
        cluster_deinit(&cl);
}
END_TEST

START_TEST(ids_in_a_list_are_bounded)
{
        static char say[(ROSTER_IDS_MAX + 16) * 8];
        size_t n;
        int c;

        start(shard_counts[_i]);
        c = cluster_connect(&cl, 0, 77);
        for (unsigned more = 0; more < 2; more++) {
                n = (size_t)snprintf(say, sizeof(say), "*%u\r\n$6\r\nCLIENT\r\n$4\r\nLIST\r\n$2\r\nID\r\n",
                                     3 + ROSTER_IDS_MAX + more);
                for (unsigned i = 0; i < ROSTER_IDS_MAX + more; i++)
                        n += (size_t)snprintf(say + n, sizeof(say) - n, "$1\r\n9\r\n");
                check(0, c, say, more ? "-ERR more than 16384 client IDs\r\n" : "$0\r\n\r\n");
        }
        cluster_deinit(&cl);
}
END_TEST

/* ------------------------------------------------------------------ CLIENT KILL */

static const struct {
        const char *say, *expected;
} kills[] = {
        { "CLIENT KILL\r\n", "-ERR wrong number of arguments for 'client|kill' command\r\n" },
        { "CLIENT KILL /run/test:0\r\n", "-ERR all clients of a Unix socket have the same address, and all "
                                         "would be killed; use CLIENT KILL ID "
                                         "client-id\r\n" },
        { "CLIENT KILL ID x\r\n", "-ERR client-id should be greater than 0\r\n" },
        { "CLIENT KILL ID 0\r\n", "-ERR client-id should be greater than 0\r\n" },
        { "CLIENT KILL ID 1 TYPE\r\n", "-ERR syntax error\r\n" },
        { "CLIENT KILL FOO 1\r\n", "-ERR syntax error\r\n" },
        { "CLIENT KILL SKIPME maybe\r\n", "-ERR syntax error\r\n" },
        { "CLIENT KILL TYPE foo\r\n", "-ERR Unknown client type 'foo'\r\n" },
        { "CLIENT KILL USER nobody\r\n", "-ERR No such user 'nobody'\r\n" },
        { "CLIENT KILL MAXAGE x\r\n", "-ERR maxage is not an integer or out of range\r\n" },
        { "CLIENT KILL MAXAGE 0\r\n", "-ERR maxage should be greater than 0\r\n" },
        { "CLIENT KILL MAXAGE 100\r\n", ":0\r\n" },
        { "CLIENT KILL ID 99\r\n", ":0\r\n" },
        { "CLIENT KILL ID 1 ID 99\r\n", ":0\r\n" },
        { "CLIENT KILL ID 7\r\n", ":0\r\n" }, /* it asks itself, and is left out */
        { "CLIENT KILL ID 1 TYPE pubsub\r\n", ":0\r\n" },
        { "CLIENT KILL TYPE master\r\n", ":0\r\n" },
        { "CLIENT KILL TYPE replica SKIPME no\r\n", ":0\r\n" },
        { "CLIENT KILL ADDR /run/test\r\n", ":0\r\n" },
        { "CLIENT KILL ADDR /run/tes_:0\r\n", ":0\r\n" },
        { "CLIENT KILL LADDR /run/test:00\r\n", ":0\r\n" },
        { "CLIENT KILL ADDR /run/test:0 LADDR /run/other:0\r\n", ":0\r\n" },
        { "CLIENT PAUSE 1\r\n",
          "-ERR CLIENT PAUSE is not supported: brokerd has no keys, and no commands that block\r\n" },
        { "CLIENT UNPAUSE\r\n",
          "-ERR CLIENT UNPAUSE is not supported: brokerd has no keys, and no commands that block\r\n" },
        { "CLIENT UNBLOCK 1\r\n",
          "-ERR CLIENT UNBLOCK is not supported: brokerd has no keys, and no commands that block\r\n" },
        { "CLIENT TRACKING on\r\n",
          "-ERR CLIENT TRACKING is not supported: brokerd has no keys, and no commands that block\r\n" },
        { "CLIENT CACHING yes\r\n",
          "-ERR CLIENT CACHING is not supported: brokerd has no keys, and no commands that block\r\n" },
        { "CLIENT GETREDIR\r\n", ":-1\r\n" },
        { "CLIENT NO-EVICT foo\r\n", "-ERR syntax error\r\n" },
        { "CLIENT NO-EVICT off\r\n", "+OK\r\n" },
        { "CLIENT NO-TOUCH foo\r\n", "-ERR syntax error\r\n" },
        { "CLIENT NO-TOUCH ON\r\n", "+OK\r\n" },
        { "CLIENT TRACKINGINFO\r\n",
          "*6\r\n$5\r\nflags\r\n*1\r\n$3\r\noff\r\n$8\r\nredirect\r\n:-1\r\n$8\r\nprefixes\r\n*0\r\n" },
};

START_TEST(nobody_is_killed_by_mistake)
{
        int root;

        start_six(shard_counts[_i]);
        root = cluster_connect(&cl, 0, 0);
        for (unsigned i = 0; i < sizeof(kills) / sizeof(*kills); i++)
                check(0, root, kills[i].say, kills[i].expected);
        check_ids(0, root, "CLIENT LIST\r\n", "1 2 3 4 5 6 7 ");
        cluster_deinit(&cl);
}
END_TEST

/* By whom, what it says, what is answered, and who is left. Administrator is 7 alone. */
static const struct {
        int asker;
        const char *say, *expected, *left;
} killed[] = {
        { 7, "CLIENT KILL ID 1\r\n", ":1\r\n", "2 3 4 5 6 7 " },
        { 7, "CLIENT KILL ID 2\r\nCLIENT KILL ID 3\r\n", ":1\r\n:1\r\n", "1 4 5 6 7 " },
        { 7, "CLIENT KILL ID 99 ID 2\r\n", ":1\r\n", "1 3 4 5 6 7 " },
        { 7, "CLIENT KILL TYPE pubsub\r\n", ":2\r\n", "1 3 4 6 7 " },
        { 7, "CLIENT KILL TYPE normal\r\n", ":4\r\n", "2 5 7 " },
        { 7, "CLIENT KILL USER default TYPE normal SKIPME yes\r\n", ":4\r\n", "2 5 7 " },
        { 7, "CLIENT KILL USER default\r\n", ":6\r\n", "7 " },
        { 7, "CLIENT KILL ADDR /run/test:0\r\n", ":6\r\n", "7 " },
        { 7, "CLIENT KILL LADDR /run/test:0 ADDR /run/test:0 ID 5\r\n", ":1\r\n", "1 2 3 4 6 7 " },
        { 7, "CLIENT KILL MAXAGE 20\r\n", ":0\r\n", "1 2 3 4 5 6 7 " },
        { 7, "CLIENT KILL MAXAGE 19\r\n", ":6\r\n", "7 " },
        { 7, "CLIENT KILL SKIPME no ID 4\r\n", ":1\r\n", "1 2 3 5 6 7 " },
        { 7, "CLIENT KILL ID 6\r\nCLIENT KILL ID 6\r\n", ":1\r\n:0\r\n", "1 2 3 4 5 7 " },
        { 1, "CLIENT KILL ID 3\r\n", ":0\r\n", "1 2 3 4 5 6 7 " },
        { 1, "CLIENT KILL ID 7\r\n", ":0\r\n", "1 2 3 4 5 6 7 " },
        { 1, "CLIENT KILL ID 4\r\n", ":1\r\n", "1 2 3 5 6 7 " },
        { 1, "CLIENT KILL USER default\r\n", ":3\r\n", "1 3 6 7 " },
};

#define KILLED_N (int)(sizeof(killed) / sizeof(*killed))

START_TEST(those_who_fit_are_killed)
{
        unsigned n = shard_counts[_i / KILLED_N];
        int i = _i % KILLED_N;

        start_six(n);
        cluster_advance(19 * NSEC_PER_SEC);
        ck_assert_int_eq(cluster_connect(&cl, 0, 0), 7);
        check(0, killed[i].asker, killed[i].say, killed[i].expected);
        check_ids(0, 7, "CLIENT LIST\r\n", killed[i].left);
        for (int fd = 1; fd < 8; fd++)
                ck_assert(cluster_is_open(&cl, (unsigned)(fd - 1) % n * (fd < 7), fd) ==
                          (strchr(killed[i].left, '0' + fd) != NULL));
        cluster_deinit(&cl);
}
END_TEST

START_TEST(a_client_that_kills_itself_gets_its_reply_first)
{
        static const char *const say[] = { "PING\r\nCLIENT KILL ID 1 SKIPME no\r\nPING\r\n",
                                           "PING\r\nCLIENT KILL SKIPME no USER default\r\nPING\r\n" };
        int c, other;

        for (int silent = 0; silent < 2; silent++) {
                start(shard_counts[_i / 2]);
                c = cluster_connect(&cl, 0, 77);
                other = cluster_connect(&cl, cl.n_shards - 1, 77);
                if (silent)
                        free(answer(0, c, "CLIENT REPLY OFF\r\n"));
                check(0, c, say[_i % 2], silent ? "" : _i % 2 ? "+PONG\r\n:2\r\n" : "+PONG\r\n:1\r\n");
                ck_assert(!cluster_is_open(&cl, 0, c));
                ck_assert(cluster_is_open(&cl, cl.n_shards - 1, other) == !(_i % 2));
                cluster_deinit(&cl);
        }
}
END_TEST

static void state_idle(int fd)
{
        (void)fd;
}

static void state_gathers(int fd)
{
        cluster_say(&cl, 0, fd, "SUBSCRIBE more\r\nPING\r\n");
        cluster_turn(&cl, 0);
}

static void state_lists(int fd)
{
        cluster_say(&cl, 0, fd, "CLIENT LIST\r\nPING\r\n");
        cluster_turn(&cl, 0);
}

static void state_gated(int fd)
{
        for (int i = 0; i < 1000; i++)
                cluster_say(&cl, 0, fd, "PUBLISH far 0123456789\r\n");
        for (int i = 0; i < 5; i++)
                cluster_turn(&cl, 0);
}

static void state_yields(int fd)
{
        for (int i = 0; i < 100; i++)
                cluster_say(&cl, 0, fd, "COMMAND DOCS\r\n");
        cluster_turn(&cl, 0);
}

static void state_stuck(int fd)
{
        fake_accept(cl.fakes[0], fd, 0);
        cluster_say(&cl, 0, fd, "PING\r\n");
        cluster_turn(&cl, 0);
}

static void state_finishing(int fd)
{
        state_stuck(fd);
        cluster_say(&cl, 0, fd, "QUIT\r\n");
        cluster_turn(&cl, 0);
        fake_accept(cl.fakes[0], fd, 1); /* it would earn more time by that */
}

static void state_failed(int fd)
{
        fake_fail(cl.fakes[0], fd, ECONNRESET);
}

static void state_ended(int fd)
{
        fake_end(cl.fakes[0], fd);
}

static void (*const states[])(int) = { state_idle,  state_gathers,   state_lists,  state_gated, state_yields,
                                       state_stuck, state_finishing, state_failed, state_ended };

static const enum client_wait waits[] = { CLIENT_RUNS,  CLIENT_GATHERS, CLIENT_GATHERS,
                                          CLIENT_GATED, CLIENT_YIELDS,  CLIENT_RUNS,
                                          CLIENT_RUNS,  CLIENT_RUNS,    CLIENT_RUNS };

#define STATES_N (int)(sizeof(states) / sizeof(*states))

/* Known failure 25: in whatever state it is, and whoever kills it, it is closed and takes everything along. */
START_TEST(a_client_is_killed_in_every_state)
{
        bool far = _i >= STATES_N, failed = states[_i % STATES_N] == state_failed,
             ended = states[_i % STATES_N] == state_ended;
        int killer, c, neighbour, sub;
        size_t n;

        start(3);
        killer = cluster_connect(&cl, far ? 2 : 0, 0);
        c = cluster_connect(&cl, 0, 77);
        ck_assert_int_eq(c, 2);
        neighbour = cluster_connect(&cl, 0, 77);
        sub = cluster_connect(&cl, 1, 77);
        free(answer(0, neighbour, "HELLO 3\r\n"));
        free(answer(1, sub, "SUBSCRIBE far\r\n"));
        free(answer(0, c, "HELLO 3\r\nSUBSCRIBE a b\r\nPSUBSCRIBE a*\r\n"));
        states[_i % STATES_N](c);
        if (waits[_i % STATES_N] != CLIENT_RUNS)
                states[_i % STATES_N](neighbour);
        ck_assert_int_eq(client_find(cl.shards[0], 2)->wait, waits[_i % STATES_N]);
        cluster_say(&cl, far ? 2 : 0, killer, "CLIENT KILL ID 2\r\n");
        if (!far)
                cluster_turn(&cl, 0);
        n = fake_stream(cl.fakes[0], c)->out.end;
        cluster_settle(&cl);
        if (!far && !failed && !ended)
                ck_assert_uint_le(fake_stream(cl.fakes[0], c)->out.end, n); /* nothing was executed any more */
        ck_assert(!cluster_is_open(&cl, 0, c));
        for (int i = 0; i < 1000 && client_find(cl.shards[0], 3)->wait != CLIENT_RUNS; i++)
                cluster_settle(&cl);
        free(cluster_hear(&cl, 0, neighbour));
        check(0, neighbour, "RESET\r\n", "+RESET\r\n"); /* it waits no more */
        check(far ? 2 : 0, killer, "PUBLISH a x\r\nPUBSUB NUMPAT\r\nPUBSUB CHANNELS\r\n",
              far && (failed || ended) ? ":0\r\n:0\r\n:0\r\n*1\r\n$3\r\nfar\r\n"
                                       : ":1\r\n:0\r\n:0\r\n*1\r\n$3\r\nfar\r\n");
        ck_assert_uint_eq(cl.shards[0]->status.subscriptions, 0);
        cluster_deinit(&cl);
}
END_TEST

/* What a reactor may still report of a stream that was paused, and what comes after that. */
static void speak_on(int fd)
{
        struct client *c = client_find(cl.shards[0], (uint64_t)fd);

        client_on_data(c, BYTES_LITERAL("PUBLISH heard x\r\n"));
        client_on_hangup(c, 0);
        client_on_hangup(c, ECONNRESET);
        cluster_say(&cl, 0, fd, "PUBLISH heard x\r\n");
}

/* Known failure 36: the ends of many subscriptions are spread over turns, but nobody is heard meanwhile. */
START_TEST(a_crowd_is_killed_over_several_turns)
{
        char say[64], *heard;
        int killer, c[30], sub;
        unsigned open = 30, turns = 0, before;

        start(1);
        killer = cluster_connect(&cl, 0, 77);
        for (int i = 0; i < 30; i++) {
                c[i] = cluster_connect(&cl, 0, 77);
                cluster_say(&cl, 0, c[i], "HELLO 3\r\n");
                for (int k = 0; k < 100; k++) {
                        snprintf(say, sizeof(say), "SUBSCRIBE %d-%d\r\n", i, k);
                        cluster_say(&cl, 0, c[i], say);
                }
        }
        cluster_settle(&cl);
        sub = cluster_connect(&cl, 0, 1000);
        free(answer(0, sub, "SUBSCRIBE heard\r\n"));
        cluster_say(&cl, 0, killer, "CLIENT KILL TYPE pubsub ID 99\r\nCLIENT KILL TYPE pubsub\r\n");
        for (; open; turns++) {
                cluster_turn(&cl, 0);
                before = open;
                open = 0;
                for (int i = 0; i < 30; i++) {
                        if (cluster_is_open(&cl, 0, c[i])) {
                                open++;
                                speak_on(c[i]);
                        }
                }
                ck_assert_uint_le(before - open, 10);
                ck_assert_uint_lt(turns, 10);
        }
        ck_assert_uint_ge(turns, 3);
        check(0, killer, "PUBSUB CHANNELS\r\n", ":0\r\n:30\r\n*1\r\n$5\r\nheard\r\n");
        heard = cluster_hear(&cl, 0, sub);
        ck_assert_str_eq(heard, "");
        free(heard);
        cluster_deinit(&cl);
}
END_TEST

/* An answer that comes for a killed client makes it go on with nothing. */
START_TEST(a_killed_client_is_not_resumed_by_an_answer)
{
        int killer, c = 0, sub;
        char say[64], *heard;

        start(2);
        killer = cluster_connect(&cl, 0, 0);
        sub = cluster_connect(&cl, 1, 0);
        for (int i = 0; i < 12; i++) {
                c = cluster_connect(&cl, 0, 77);
                cluster_say(&cl, 0, c, "HELLO 3\r\n");
                for (int k = 0; k < 100; k++) {
                        snprintf(say, sizeof(say), "SUBSCRIBE %d-%d\r\n", i, k);
                        cluster_say(&cl, 0, c, say);
                }
        }
        cluster_settle(&cl);
        free(answer(1, sub, "HELLO 3\r\nSUBSCRIBE heard\r\n"));
        cluster_say(&cl, 0, c, "SUBSCRIBE more\r\nPUBLISH heard x\r\n");
        cluster_turn(&cl, 0);
        cluster_turn(&cl, 1);
        cluster_say(&cl, 0, killer, "CLIENT KILL TYPE pubsub\r\n");
        cluster_turn(&cl, 0);
        ck_assert(cluster_is_open(&cl, 0, c));
        cluster_settle(&cl);
        ck_assert(!cluster_is_open(&cl, 0, c));
        heard = cluster_hear(&cl, 1, sub);
        ck_assert_str_eq(heard, "");
        free(heard);
        check(0, killer, "PUBSUB CHANNELS\r\n", ":13\r\n*0\r\n");
        cluster_deinit(&cl);
}
END_TEST

static void add(TCase *cases)
{
        tcase_add_loop_test(cases, a_client_reads_its_own_line, 0, 2);
        tcase_add_loop_test(cases, a_line_tells_what_its_client_did, 0, 2);
        tcase_add_loop_test(cases, a_line_tells_what_waits, 0, 2);
        tcase_add_loop_test(cases, a_line_tells_since_when, 0, 2);
        tcase_add_loop_test(cases, a_list_is_in_order_and_holds_what_is_asked_for, 0, 2);
        tcase_add_loop_test(cases, others_are_seen_by_administrators_only, 0, 2);
        tcase_add_loop_test(cases, a_list_keeps_its_place_in_a_pipeline, 0, 2);
        tcase_add_loop_test(cases, a_list_longer_than_the_output_bound_is_refused, 0, 2);
        tcase_add_test(cases, what_is_kept_of_a_client_is_bounded);
        tcase_add_loop_test(cases, ids_in_a_list_are_bounded, 0, 2);
        tcase_add_loop_test(cases, nobody_is_killed_by_mistake, 0, 2);
        tcase_add_loop_test(cases, those_who_fit_are_killed, 0, 2 * KILLED_N);
        tcase_add_loop_test(cases, a_client_that_kills_itself_gets_its_reply_first, 0, 4);
        tcase_add_test(cases, a_publish_that_waits_is_skipped_in_the_end);
        tcase_add_test(cases, a_killed_client_is_not_resumed_by_an_answer);
        tcase_add_test(cases, a_crowd_is_killed_over_several_turns);
        tcase_add_loop_test(cases, a_client_is_killed_in_every_state, 0, 2 * STATES_N);
        tcase_add_loop_test(cases, replies_fall_silent_and_pushes_do_not, 0, 2 * REPLIES_N);
        tcase_add_loop_test(cases, a_client_that_ends_in_silence_is_closed, 0, 3);
        tcase_add_loop_test(cases, a_silent_subscriber_hears_messages_and_its_own_too, 0, 2);
}

int main(void)
{
        return suite_run("client", add);
}
