/* SPDX-License-Identifier: MIT */
/* Commands about the server, on whole shards with fake reactors: what they count, show and answer. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shard/client.h"
#include "shard/command.h"
#include "shard/counts.h"
#include "shard/foreign.h"
#include "shard/state.h"
#include "support/cluster.h"
#include "support/suite.h"

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

/* The lines of a section of INFO. */
static void check_section(int fd, const char *section, const char *lines)
{
        char say[64], *heard, *text;

        snprintf(say, sizeof(say), "INFO %s\r\n", section);
        heard = answer(0, fd, say);
        text = strchr(heard, '#');
        ck_assert_ptr_nonnull(text);
        text = strchr(text, '\n') + 1;
        ck_assert_uint_ge(strlen(text), 2);
        text[strlen(text) - 2] = 0;
        ck_assert_str_eq(text, lines);
        free(heard);
}

/* A line of INFO that is a number. */
static unsigned long long number(int fd, const char *name)
{
        char *heard = answer(0, fd, "INFO everything\r\n"), *at, key[64];
        unsigned long long n;

        snprintf(key, sizeof(key), "\n%s:", name);
        at = strstr(heard, key);
        ck_assert_msg(at != NULL, "no %s in %s", name, heard);
        n = strtoull(at + strlen(key), NULL, 10);
        free(heard);
        return n;
}

/* ------------------------------------------------------------------ counters */

START_TEST(rows_of_commands_have_numbers_without_gaps)
{
        const struct command *command, *parent, *last = NULL;
        unsigned n = 0;

        for (; (command = command_at(n, &parent)); n++) {
                ck_assert_uint_eq(command_number(command, parent), n);
                ck_assert_ptr_nonnull(command->name);
                if (!parent) {
                        ck_assert_ptr_eq(command_find(bytes_str(command->name)), command);
                        ck_assert(!last || strcmp(last->name, command->name) < 0);
                        last = command;
                }
        }
        ck_assert_uint_gt(n, 20);
        ck_assert_uint_le(n, COUNTS_COMMANDS_MAX);
        ck_assert_ptr_null(command_at(n + 1, &parent));
}
END_TEST

START_TEST(commands_are_counted_on_every_shard)
{
        int c, other, plain;
        unsigned last;

        start(shard_counts[_i]);
        last = cl.n_shards - 1;
        c = cluster_connect(&cl, 0, 77);
        other = cluster_connect(&cl, last, 77);
        plain = cluster_connect(&cl, last, 77);
        check(0, c, "HELLO 2 AUTH x y\r\n",
              "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
        check(0, c, "PING\r\nPUBLISH a b\r\nclient ID\r\n", "+PONG\r\n:0\r\n:1\r\n");
        check(last, plain, "publish a b\r\nPING\r\nPUBLISH a b\r\n", ":0\r\n+PONG\r\n:0\r\n");
        free(answer(last, other, "SUBSCRIBE x\r\nPUBLISH a b\r\nPING\r\nUNSUBSCRIBE\r\n"));
        free(answer(last, other,
                    "ECHO\r\nCLIENT SETNAME\r\nCLIENT\r\nBROKER STATUS\r\nSELECT 7\r\nPING a b\r\n"));
        free(answer(last, other, "CLIENT HELP\r\nNOSUCH\r\nCLIENT NOSUCH\r\nHELLO 4\r\n"));
        check_section(
                c, "commandstats",
                "cmdstat_client:calls=0,usec=0,usec_per_call=0.00,rejected_calls=1,failed_calls=0\r\n"
                "cmdstat_echo:calls=0,usec=0,usec_per_call=0.00,rejected_calls=1,failed_calls=0\r\n"
                "cmdstat_hello:calls=2,usec=0,usec_per_call=0.00,rejected_calls=0,failed_calls=2\r\n"
                "cmdstat_ping:calls=4,usec=0,usec_per_call=0.00,rejected_calls=0,failed_calls=1\r\n"
                "cmdstat_publish:calls=3,usec=0,usec_per_call=0.00,rejected_calls=1,failed_calls=0\r\n"
                "cmdstat_select:calls=1,usec=0,usec_per_call=0.00,rejected_calls=0,failed_calls=1\r\n"
                "cmdstat_subscribe:calls=1,usec=0,usec_per_call=0.00,rejected_calls=0,failed_calls=0\r\n"
                "cmdstat_unsubscribe:calls=1,usec=0,usec_per_call=0.00,rejected_calls=0,failed_calls=0\r\n"
                "cmdstat_broker|status:calls=0,usec=0,usec_per_call=0.00,rejected_calls=1,failed_calls=0\r\n"
                "cmdstat_client|id:calls=1,usec=0,usec_per_call=0.00,rejected_calls=0,failed_calls=0\r\n"
                "cmdstat_client|setname:calls=0,usec=0,usec_per_call=0.00,rejected_calls=1,failed_calls=0\r\n"
                "cmdstat_client|help:calls=1,usec=0,usec_per_call=0.00,rejected_calls=0,failed_calls=0\r\n");
        check_section(c, "errorstats",
                      "errorstat_ERR:count=8\r\nerrorstat_NOPERM:count=1\r\nerrorstat_NOPROTO:count=1\r\n"
                      "errorstat_WRONGPASS:count=1\r\n");
        ck_assert_uint_eq(number(c, "total_error_replies"), 11);
        ck_assert_uint_eq(number(c, "total_commands_processed"), 14 + 3);
        cluster_deinit(&cl);
}
END_TEST

START_TEST(a_protocol_error_counts_as_an_error)
{
        int c, bad;

        start(shard_counts[_i]);
        c = cluster_connect(&cl, 0, 77);
        bad = cluster_connect(&cl, cl.n_shards - 1, 77);
        free(answer(cl.n_shards - 1, bad, "*x\r\n"));
        check_section(c, "errorstats", "errorstat_ERR:count=1\r\n");
        cluster_deinit(&cl);
}
END_TEST

/* A PUBLISH that waits for room is counted once. */
START_TEST(a_command_that_waits_is_counted_once)
{
        static const char say[] = "PUBLISH x 1234567890123456789012345678901234567890\r\n";
        const struct count_command *count;
        int c, pub, sub;

        start(3);
        count = &cl.shards[0]->counts.commands[command_number(command_find(bytes_str("publish")), NULL)];
        c = cluster_connect(&cl, 0, 77);
        sub = cluster_connect(&cl, 1, 77);
        pub = cluster_connect(&cl, 0, 77);
        free(answer(1, sub, "SUBSCRIBE x\r\n"));
        for (int i = 0; i < 50; i++)
                cluster_say(&cl, 0, pub, say);
        cluster_turn(&cl, 0);
        cluster_turn(&cl, 0);
        ck_assert_uint_lt(buffer_size(&fake_stream(cl.fakes[0], pub)->out), 50 * strlen(":1\r\n"));
        cluster_settle(&cl);
        ck_assert_uint_eq(buffer_size(&fake_stream(cl.fakes[0], pub)->out), 50 * strlen(":1\r\n"));
        ck_assert_uint_eq(count->calls, 50);
        ck_assert_uint_eq(number(c, "messages_in"), 50);
        cluster_deinit(&cl);
}
END_TEST

/* By clients that are here and by those that left; what is queued is not sent yet. */
START_TEST(bytes_that_clients_took_are_counted)
{
        unsigned long long before;
        unsigned last;
        int c, other;

        start(shard_counts[_i]);
        last = cl.n_shards - 1;
        c = cluster_connect(&cl, 0, 77);
        other = cluster_connect(&cl, last, 77);
        before = number(c, "total_net_output_bytes");
        ck_assert_uint_eq(before, 0);
        before = number(c, "total_net_output_bytes");
        ck_assert_uint_gt(before, 100);
        check(last, other, "ECHO 1234567890\r\n", "$10\r\n1234567890\r\n");
        fake_accept(cl.fakes[last], other, 7);
        check(last, other, "ECHO 1234567890\r\n", "$10\r\n12");
        ck_assert_uint_eq(cl.shards[last]->status.bytes_out, 0);
        list_for_each (i, &cl.shards[last]->clients) {
                struct client *client = container_of(i, struct client, all);

                if (client->stream.fd == other)
                        ck_assert_uint_eq(client->stream.out.sent, 17 + 7);
        }
        fake_accept(cl.fakes[last], other, SIZE_MAX);
        check(last, other, "QUIT\r\n", "34567890\r\n+OK\r\n");
        ck_assert(!cluster_is_open(&cl, last, other));
        ck_assert_uint_eq(cl.shards[last]->status.bytes_out, 17 + 17 + 5);
        cluster_deinit(&cl);
}
END_TEST

START_TEST(memory_and_cpu_are_those_of_the_process)
{
        int c;

        start(1);
        c = cluster_connect(&cl, 0, 77);
        ck_assert_uint_gt(number(c, "used_memory_rss"), 100000);
        ck_assert_uint_gt(number(c, "total_system_memory"), number(c, "used_memory_rss"));
        ck_assert_uint_le(number(c, "used_memory"), 1 << 30); /* 0 with the allocator of a sanitizer */
        ck_assert_uint_eq(number(c, "maxmemory"), 0);
        ck_assert_uint_lt(number(c, "used_cpu_user") + number(c, "used_cpu_sys"), 100);
        cluster_deinit(&cl);
}
END_TEST

static void add_counters(TCase *cases)
{
        tcase_add_test(cases, rows_of_commands_have_numbers_without_gaps);
        tcase_add_loop_test(cases, commands_are_counted_on_every_shard, 0, 2);
        tcase_add_loop_test(cases, a_protocol_error_counts_as_an_error, 0, 2);
        tcase_add_test(cases, a_command_that_waits_is_counted_once);
        tcase_add_loop_test(cases, bytes_that_clients_took_are_counted, 0, 2);
        tcase_add_test(cases, memory_and_cpu_are_those_of_the_process);
}

/* ------------------------------------------------------------------ CONFIG */

static const struct policy_setting settings[] = {
        { "maxclients", "100" }, { "maxmemory", "0" }, { "save", "" }, { "max_clients", "200" }
};

static void start_with_settings(unsigned n_shards)
{
        struct cluster_options options = { .n_shards = n_shards,
                                           .capacity = 2,
                                           .backlog_bytes = 400,
                                           .output_max = 100000,
                                           .drain_budget = 3,
                                           .settings = settings,
                                           .n_settings = sizeof(settings) / sizeof(*settings) };

        cluster_init(&cl, &options);
}

START_TEST(a_policy_is_used_from_the_message_on_that_brings_it)
{
        static const struct policy_setting more[] = { { "maxclients", "300" } };
        struct policy policy = { .limits = { .request_bytes = 64, .output_hard = 1000 },
                                 .settings = more,
                                 .n_settings = 1 };
        int c;

        start_with_settings(3);
        c = cluster_connect(&cl, 1, 0);
        check(1, c, "CONFIG GET max*s\r\n",
              "*4\r\n$10\r\nmaxclients\r\n$3\r\n100\r\n$11\r\nmax_clients\r\n$3\r\n200\r\n");
        cluster_set_policy(&cl, &policy);
        ck_assert_uint_eq(cl.n_policies, 3);
        check(1, c, "CONFIG GET max*s\r\n", "*2\r\n$10\r\nmaxclients\r\n$3\r\n300\r\n");
        check(1, c, "*1\r\n$65\r\n", "-ERR Protocol error: invalid bulk length\r\n");
        cluster_deinit(&cl);
}
END_TEST

START_TEST(config_get_finds_settings_by_name_and_pattern)
{
        char long_pattern[400];
        int c;

        start_with_settings(1);
        c = cluster_connect(&cl, 0, 0);
        check(0, c, "CONFIG GET maxclients\r\n", "*2\r\n$10\r\nmaxclients\r\n$3\r\n100\r\n");
        check(0, c, "config get MaxClients SAVE maxclients\r\n",
              "*4\r\n$10\r\nMaxClients\r\n$3\r\n100\r\n$4\r\nSAVE\r\n$0\r\n\r\n");
        check(0, c, "CONFIG GET max*CL* nosuch S[a-b]ve\r\n",
              "*6\r\n$10\r\nmaxclients\r\n$3\r\n100\r\n$4\r\nsave\r\n$0\r\n\r\n"
              "$11\r\nmax_clients\r\n$3\r\n200\r\n");
        check(0, c, "CONFIG GET nosuch max \"\"\r\n", "*0\r\n");
        snprintf(long_pattern, sizeof(long_pattern), "CONFIG GET %s%0300d\r\n", "*", 0);
        check(0, c, long_pattern, "*0\r\n");
        free(answer(0, c, "HELLO 3\r\n"));
        check(0, c, "CONFIG GET maxm*\r\n", "%1\r\n$9\r\nmaxmemory\r\n$1\r\n0\r\n");
        cluster_deinit(&cl);
}
END_TEST

#define NOPERM(_command) "-NOPERM User default has no permissions to run the '" _command "' command\r\n"

START_TEST(config_is_read_only_and_for_administrators)
{
        int c, other;

        start_with_settings(1);
        c = cluster_connect(&cl, 0, 0);
        other = cluster_connect(&cl, 0, 77);
        check(0, c, "CONFIG SET maxCLIENTS 5\r\n",
              "-ERR CONFIG SET failed (possibly related to argument 'maxclients') - can't set immutable "
              "config: "
              "brokerd reads its configuration from its file, at the start and at SIGHUP\r\n");
        check(0, c, "CONFIG SET nosuch 5\r\n",
              "-ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'\r\n");
        check(0, c, "CONFIG SET maxclients 5 save\r\n", "-ERR syntax error\r\n");
        check(0, c, "CONFIG SET maxclients\r\n", "-ERR wrong number of arguments for 'config|set' command\r\n");
        check(0, c, "CONFIG REWRITE\r\n",
              "-ERR Rewriting config file: brokerd does not write its configuration, which changes "
              "by its file only\r\n");
        check(0, c, "CONFIG HELP x\r\n", "-ERR wrong number of arguments for 'config|help' command\r\n");
        check(0, other, "CONFIG GET *\r\n", NOPERM("config|get"));
        check(0, other, "CONFIG SET maxclients 5\r\n", NOPERM("config|set"));
        check(0, other, "CONFIG REWRITE\r\n", NOPERM("config|rewrite"));
        check(0, other, "CONFIG RESETSTAT\r\n", NOPERM("config|resetstat"));
        cluster_deinit(&cl);
}
END_TEST

/* On every shard, whichever is asked; what is there now stays, and so does what BROKER STATUS counts. */
START_TEST(config_resetstat_sets_the_counters_of_all_shards_to_0)
{
        static const char *const zero[] = { "messages_in", "messages_out", "output_limit_closed",
                                            "protocol_errors", "total_error_replies" };
        char *heard;
        int c, root, pub, bad;
        unsigned last;

        start(shard_counts[_i]);
        last = cl.n_shards - 1;
        c = cluster_connect(&cl, 0, 77);
        root = cluster_connect(&cl, last, 0);
        pub = cluster_connect(&cl, last, 77);
        bad = cluster_connect(&cl, 0, 77);
        free(answer(0, c, "HELLO 3\r\nSUBSCRIBE x\r\nNOSUCH\r\n"));
        check(last, pub, "PUBLISH x 1\r\nPUBLISH x 2\r\n", ":1\r\n:1\r\n");
        free(answer(0, bad, "*x\r\n"));
        free(answer(0, c, ""));
        ck_assert_uint_eq(number(c, "messages_out"), 2);
        ck_assert_uint_eq(number(c, "protocol_errors"), 1);
        check(last, root, "CONFIG RESETSTAT\r\n", "+OK\r\n");
        check_section(c, "errorstats", "");
        for (unsigned i = 0; i < sizeof(zero) / sizeof(*zero); i++)
                ck_assert_uint_eq(number(c, zero[i]), 0);
        ck_assert_uint_eq(number(c, "total_commands_processed"), 1 + 1 + sizeof(zero) / sizeof(*zero));
        ck_assert_uint_lt(number(c, "total_net_input_bytes"), 300);
        ck_assert_uint_lt(number(c, "total_net_output_bytes"), 20000);
        ck_assert_uint_eq(number(c, "connected_clients"), 3);
        ck_assert_uint_eq(number(c, "pubsub_channels"), 1);
        check(last, pub, "PUBLISH x 3\r\n", ":1\r\n");
        free(answer(0, c, ""));
        ck_assert_uint_eq(number(c, "messages_in"), 1);
        ck_assert_uint_eq(number(c, "messages_out"), 1);
        heard = answer(last, root, "BROKER STATUS\r\n");
        ck_assert_ptr_nonnull(strstr(heard, "$11\r\nmessages_in\r\n:3\r\n"));
        ck_assert_ptr_nonnull(strstr(heard, "$15\r\nprotocol_errors\r\n:1\r\n"));
        free(heard);
        cluster_deinit(&cl);
}
END_TEST

static void add_config(TCase *cases)
{
        tcase_add_test(cases, a_policy_is_used_from_the_message_on_that_brings_it);
        tcase_add_test(cases, config_get_finds_settings_by_name_and_pattern);
        tcase_add_test(cases, config_is_read_only_and_for_administrators);
        tcase_add_loop_test(cases, config_resetstat_sets_the_counters_of_all_shards_to_0, 0, 2);
}

/* ------------------------------------------------------------------ a server without keys */

/* What asks for keys is refused, and whoever reads the error knows why. */
START_TEST(commands_of_redis_are_told_apart_from_unknown_ones)
{
        int c;

        start(1);
        c = cluster_connect(&cl, 0, 77);
        check(0, c, "GETT x\r\n", "-ERR unknown command 'GETT', with args beginning with: 'x' \r\n");
        check(0, c, "get x\r\n",
              "-ERR unknown command 'get', with args beginning with: 'x' (brokerd is a publish/subscribe "
              "broker and "
              "has no keys)\r\n");
        check(0, c, "ZUNIONSTORE\r\n",
              "-ERR unknown command 'ZUNIONSTORE', with args beginning with: (brokerd is a publish/subscribe "
              "broker "
              "and has no keys)\r\n");
        check(0, c, "*1\r\n$0\r\n\r\n", "-ERR unknown command '', with args beginning with: \r\n");
        check(0, c, "\"get set\"\r\n", "-ERR unknown command 'get set', with args beginning with: \r\n");
        cluster_deinit(&cl);
}
END_TEST

START_TEST(no_command_of_the_table_is_foreign)
{
        const struct command *command, *parent;

        for (unsigned i = 0; (command = command_at(i, &parent)) && !parent; i++)
                ck_assert_msg(!foreign_reason(bytes_str(command->name)), "%s", command->name);
        ck_assert_str_eq(foreign_reason(BYTES_LITERAL("Append")),
                         "is a publish/subscribe broker and has no keys");
        ck_assert_ptr_null(foreign_reason(BYTES_LITERAL("appen")));
        ck_assert_ptr_null(foreign_reason(BYTES_LITERAL("appendd")));
        ck_assert_ptr_null(foreign_reason(BYTES_LITERAL("")));
}
END_TEST

/* Known failure 31: a small request must not make the broker write without bounds. */
START_TEST(a_list_of_commands_stops_at_the_limit_of_output)
{
        static const char *const heads[] = { "*70002\r\n$7\r\nCOMMAND\r\n$4\r\nINFO\r\n",
                                             "*70002\r\n$7\r\nCOMMAND\r\n$4\r\nDOCS\r\n" };
        static const char arg[] = "$6\r\nclient\r\n";
        char *say, *heard;
        int c, other;

        start(1);
        c = cluster_connect(&cl, 0, 77);
        other = cluster_connect(&cl, 0, 77);
        say = malloc(strlen(heads[_i]) + 70000 * strlen(arg) + 1);
        strcpy(say, heads[_i]);
        for (size_t i = 0, n = strlen(say); i < 70000; i++, n += strlen(arg))
                strcpy(say + n, arg);
        cluster_say(&cl, 0, c, say);
        cluster_settle(&cl);
        ck_assert(!cluster_is_open(&cl, 0, c));
        heard = cluster_hear(&cl, 0, c);
        ck_assert_uint_eq(strlen(heard), 0);
        ck_assert_uint_lt(cl.shards[0]->reply.cap, 1 << 20);
        ck_assert_uint_eq(cl.shards[0]->status.output_limit_closed, 1);
        check(0, other, "PING\r\n", "+PONG\r\n");
        free(heard);
        free(say);
        cluster_deinit(&cl);
}
END_TEST

/* It ends at the first line that tells, and what stands behind it is not executed. */
START_TEST(who_speaks_http_is_hung_up_on)
{
        static const char *const says[] = { "POST / HTTP/1.1\r\nPUBLISH x 1\r\n",
                                            "hOsT: x\r\nPUBLISH x 1\r\n" };
        char *heard;
        int c, other;

        start(1);
        c = cluster_connect(&cl, 0, 77);
        other = cluster_connect(&cl, 0, 77);
        cluster_say(&cl, 0, c, says[_i]);
        cluster_settle(&cl);
        heard = cluster_hear(&cl, 0, c);
        ck_assert_str_eq(heard, "");
        ck_assert(!cluster_is_open(&cl, 0, c));
        ck_assert_uint_eq(number(other, "messages_in"), 0);
        free(heard);
        cluster_deinit(&cl);
}
END_TEST

static void add_no_keys(TCase *cases)
{
        tcase_add_loop_test(cases, who_speaks_http_is_hung_up_on, 0, 2);
        tcase_add_test(cases, commands_of_redis_are_told_apart_from_unknown_ones);
        tcase_add_test(cases, no_command_of_the_table_is_foreign);
        tcase_add_loop_test(cases, a_list_of_commands_stops_at_the_limit_of_output, 0, 2);
}

static void add(TCase *cases)
{
        add_counters(cases);
        add_config(cases);
        add_no_keys(cases);
}

int main(void)
{
        return suite_run("server", add);
}
