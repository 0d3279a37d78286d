/* SPDX-License-Identifier: MIT */

#include "broker/config.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/config_option.h"
#include "broker/manual.h"
#include "support/suite.h"
#include "util/log.h"

/* What a text gives: a configuration, or the errors that were printed. */
struct result {
        struct config *config;
        char *errors;
};

static struct result parse_bytes(const char *bytes, size_t n)
{
        struct result result = { 0 };
        size_t size;
        FILE *errors = open_memstream(&result.errors, &size);
        int r = config_parse(&result.config, "b.yaml", bytes, n, errors);

        fclose(errors);
        ck_assert_int_eq(r, result.config ? 0 : CONFIG_E_INVALID);
        ck_assert_int_eq(size == 0, r == 0);
        return result;
}

static struct result parse(const char *text)
{
        return parse_bytes(text, strlen(text));
}

static void result_deinit(struct result *result)
{
        config_free(result->config);
        free(result->errors);
}

static void expect_errors(const char *text, const char *errors)
{
        struct result result = parse(text);

        ck_assert_str_eq(result.errors, errors);
        result_deinit(&result);
}

static void expect_has(const char *text, const char *part)
{
        struct result result = parse(text);

        ck_assert_msg(strstr(result.errors, part), "not in the errors: %s\n%s", part, result.errors);
        result_deinit(&result);
}

static void expect_good(const char *text)
{
        struct result result = parse(text);

        ck_assert_msg(!!result.config, "%s", result.errors);
        result_deinit(&result);
}

static char *dump(const struct config *config)
{
        char *text;
        size_t size;
        FILE *out = open_memstream(&text, &size);

        config_dump(config, out);
        fclose(out);
        return text;
}

#define LISTENERS "listeners: [{path: /x}]\n"

START_TEST(the_sample_of_the_manual_loads_as_it_stands)
{
        struct result r = parse("shards: 3\n"
                                "reactor: libev\n"
                                "listeners:\n"
                                "  - path: /run/x.sock\n"
                                "    mode: 0600\n");

        ck_assert_ptr_nonnull(r.config);
        ck_assert_str_eq(r.config->file, "b.yaml");
        ck_assert_uint_eq(r.config->shards, 3);
        ck_assert_int_eq(r.config->cpus, CONFIG_CPUS_AUTO);
        ck_assert_int_eq(r.config->reactor, CONFIG_REACTOR_LIBEV);
        ck_assert_uint_eq(r.config->n_listeners, 1);
        ck_assert_str_eq(r.config->listeners[0].path, "/run/x.sock");
        ck_assert_uint_eq(r.config->listeners[0].mode, 0600);
        ck_assert(r.config->listeners[0].owner == (uid_t)-1);
        ck_assert(r.config->listeners[0].group == (gid_t)-1);
        ck_assert_uint_eq(r.config->listeners[0].backlog, 4096);
        ck_assert_uint_eq(r.config->listeners[0].line, 4);
        ck_assert_ptr_null(r.config->admin);
        ck_assert_uint_eq(r.config->ring_capacity, 1024);
        ck_assert_uint_eq(r.config->backlog_bytes, 16 << 20);
        ck_assert_uint_eq(r.config->spin_ns, 20000);
        ck_assert_uint_eq(r.config->io_uring_entries, 256);
        ck_assert_uint_eq(r.config->io_uring_buffers, 64);
        ck_assert_int_eq(r.config->io_uring_receive, CONFIG_RECEIVE_AUTO);
        ck_assert_int_eq(r.config->listeners[0].authentication, CONFIG_AUTHENTICATION_NONE);
        ck_assert_uint_eq(r.config->max_clients, 10000);
        ck_assert_uint_eq(r.config->max_clients_per_user, 0);
        ck_assert_uint_eq(r.config->max_connects_per_user, 0);
        ck_assert_uint_eq(r.config->max_message_bytes, 0);
        ck_assert_uint_eq(r.config->max_query_bytes, UINT64_C(1) << 30);
        ck_assert_uint_eq(r.config->max_input_per_user, 0);
        ck_assert_uint_eq(r.config->max_subscriptions, 0);
        ck_assert_uint_eq(r.config->max_subscriptions_per_user, 0);
        ck_assert_uint_eq(r.config->max_patterns, 0);
        ck_assert_uint_eq(r.config->max_patterns_per_user, 0);
        ck_assert_uint_eq(r.config->max_channels, 0);
        ck_assert_uint_eq(r.config->publish_rate, 0);
        ck_assert_uint_eq(r.config->publish_rate_per_user, 0);
        ck_assert_uint_eq(r.config->publish_bytes, 0);
        ck_assert_uint_eq(r.config->publish_bytes_per_user, 0);
        ck_assert_uint_eq(r.config->max_output_bytes, 32 << 20);
        ck_assert_uint_eq(r.config->soft_output_bytes, 8 << 20);
        ck_assert_uint_eq(r.config->soft_output_time_ns, 60 * UINT64_C(1000000000));
        ck_assert_uint_eq(r.config->max_output_per_user, 0);
        ck_assert_uint_eq(r.config->max_output_total, 0);
        ck_assert_uint_eq(r.config->handshake_timeout_ns, 0);
        ck_assert_uint_eq(r.config->request_timeout_ns, 0);
        ck_assert_uint_eq(r.config->idle_timeout_ns, 0);
        ck_assert_uint_eq(r.config->n_slow_consumers, 0);
        ck_assert_uint_eq(r.config->n_access, 0);
        ck_assert_int_eq(r.config->access_default, true);
        ck_assert_ptr_null(r.config->secrets);
        ck_assert(r.config->user == (uid_t)-1);
        ck_assert_uint_eq(r.config->max_request_bytes, 512 << 20);
        ck_assert_int_eq(r.config->log.level, LOG_LEVEL_INFO);
        ck_assert_int_eq(r.config->log.format, LOG_FORMAT_HUMAN);
        ck_assert_str_eq(r.config->log.target, "stderr");
        result_deinit(&r);
}
END_TEST

START_TEST(a_dump_loads_to_the_same_dump)
{
        struct result first, second;
        char *a, *b;

        first = parse("cpus: [3, 0, 1023]\n"
                      "shards: 2\n"
                      "listeners:\n"
                      "  - path: \"/run/\\\"q\\\\ \\u00e4\\u65e5\\u2028\\U0001f600: #'\"\n"
                      "    owner: 7\n"
                      "    group: 0\n"
                      "    mode: 0o660\n"
                      "  - path: '@name'\n"
                      "    backlog: 3\n"
                      "admin: /run/a.sock\n"
                      "ring_capacity: 2\n"
                      "backlog_bytes: 1\n"
                      "spin: 1500ns\n"
                      "io_uring_buffers: 8\n"
                      "io_uring_receive: single\n"
                      "max_request_bytes: 3 MiB\n"
                      "log: {level: debug, target: /var/log//x y.log}\n");
        ck_assert_msg(!!first.config, "%s", first.errors);
        a = dump(first.config);
        second = parse(a);
        ck_assert_msg(!!second.config, "%s\n%s", a, second.errors);
        b = dump(second.config);
        ck_assert_str_eq(a, b);
        ck_assert_str_eq(a, "shards: 2\n"
                            "cpus: [3, 0, 1023]\n"
                            "reactor: auto\n"
                            "listeners:\n"
                            "  - path: \"/run/\\\"q\\\\ ä日\\u2028😀: #'\"\n"
                            "    mode: 0660\n"
                            "    owner: 7\n"
                            "    group: 0\n"
                            "    backlog: 4096\n"
                            "    authentication: none\n"
                            "  - path: \"@name\"\n"
                            "    backlog: 3\n"
                            "    authentication: none\n"
                            "admin: /run/a.sock\n"
                            "ring_capacity: 2\n"
                            "backlog_bytes: 1\n"
                            "spin: 1500ns\n"
                            "io_uring_entries: 256\n"
                            "io_uring_buffers: 8\n"
                            "io_uring_receive: single\n"
                            "max_clients: 10000\n"
                            "max_clients_per_user: none\n"
                            "max_connects_per_user: none\n"
                            "max_request_bytes: 3MiB\n"
                            "max_message_bytes: none\n"
                            "max_query_bytes: 1GiB\n"
                            "max_input_per_user: none\n"
                            "max_subscriptions: none\n"
                            "max_subscriptions_per_user: none\n"
                            "max_patterns: none\n"
                            "max_patterns_per_user: none\n"
                            "max_channels: none\n"
                            "publish_rate: none\n"
                            "publish_rate_per_user: none\n"
                            "publish_bytes: none\n"
                            "publish_bytes_per_user: none\n"
                            "max_output_bytes: 32MiB\n"
                            "soft_output_bytes: 8MiB\n"
                            "soft_output_time: 1min\n"
                            "max_output_per_user: none\n"
                            "max_output_total: none\n"
                            "handshake_timeout: none\n"
                            "request_timeout: none\n"
                            "idle_timeout: none\n"
                            "slow_consumers: []\n"
                            "access: []\n"
                            "access_default: allow\n"
                            "secrets: none\n"
                            "user: none\n"
                            "log:\n"
                            "  target: \"/var/log/x y.log\"\n"
                            "  format: human\n"
                            "  level: debug\n");
        ck_assert_str_eq(first.config->listeners[0].path, "/run/\"q\\ ä日\xe2\x80\xa8😀: #'");
        ck_assert_str_eq(second.config->listeners[0].path, first.config->listeners[0].path);
        free(a);
        free(b);
        result_deinit(&first);
        result_deinit(&second);
}
END_TEST

START_TEST(all_errors_are_reported_in_one_pass_in_the_order_of_the_file)
{
        expect_errors(
                "shards: 4zz\n"
                "max_cleints: 200\n"
                "listeners:\n"
                "  - pth: /run/x.sock\n"
                "    mode: 0680\n",
                "b.yaml:1:9: error: bad value for \"shards\": got \"4zz\", expected an integer 1..63 or "
                "\"auto\"\n"
                "    1 | shards: 4zz\n"
                "      |         ^~~\n"
                "b.yaml:2:1: error: unknown key \"max_cleints\"; did you mean \"max_clients\"?\n"
                "    2 | max_cleints: 200\n"
                "      | ^~~~~~~~~~~\n"
                "b.yaml:4:5: error: unknown key \"pth\" in \"listeners[0]\"; did you mean \"path\"?\n"
                "    4 |   - pth: /run/x.sock\n"
                "      |     ^~~\n"
                "b.yaml:5:11: error: bad value for \"listeners[0].mode\": got \"0680\", expected an octal "
                "mode 0000..0777 (such as 0600)\n"
                "    5 |     mode: 0680\n"
                "      |           ^~~~\n"
                "brokerd: 4 errors in b.yaml; configuration not loaded\n");
}
END_TEST

START_TEST(a_key_is_suggested_within_two_edits_and_a_third_of_its_length)
{
        expect_has("max_cleints: 1\n", "unknown key \"max_cleints\"; did you mean \"max_clients\"?");
        expect_has("shard: 1\n", "did you mean \"shards\"?");
        expect_has("Shards: 1\n", "did you mean \"shards\"?");
        expect_has("SHARDS: 1\n", "did you mean \"shards\"?");
        expect_has("max-clients: 1\n", "did you mean \"max_clients\"?");
        expect_has("listners: 1\n", "did you mean \"listeners\"?");
        expect_has("cpu: 1\n", "did you mean \"cpus\"?");
        expect_has("max_cliexyz: 1\n", "unknown key \"max_cliexyz\"; known here are");
        expect_has("cp: 1\n", "unknown key \"cp\"; known here are shards, cpus,");
        expect_has("threads: 1\n", "unknown key \"threads\"; known here are shards, cpus,");
        expect_has("max_request: 1\n", "did you mean \"max_request_bytes\"?");
        expect_has("listeners: [{pth: /x}]\n",
                   "unknown key \"pth\" in \"listeners[0]\"; did you mean \"path\"?");
        expect_has("listeners: [{path: /x}, {path: /y, own: 1}]\n",
                   "unknown key \"own\" in \"listeners[1]\"; did you mean \"owner\"?");
        expect_has("listeners: [{socket: /x}]\n",
                   "known here are path, mode, owner, group, backlog, authentication\n");
        expect_has("mode: 0600\n", "unknown key \"mode\"; it belongs to an item of \"listeners\"\n");
        expect_has("listeners: [{path: /x, shards: 3}]\n",
                   "unknown key \"shards\" in \"listeners[0]\"; it belongs to the top level\n");
        expect_has("reactor: libve\n", "expected \"auto\", \"io_uring\" or \"libev\"; did you mean \"libev\"?");
        expect_has("reactor: iouring\n", "did you mean \"io_uring\"?");
        expect_has("log: {level: warn}\n", "did you mean \"warning\"?");
        expect_has("log: {target: sterr}\n", "did you mean \"stderr\"?");
        expect_has("log: {tarted: stderr}\n", "unknown key \"tarted\" in \"log\"; did you mean \"target\"?");
        expect_has("log_level: info\n", "b.yaml:1:1: error: unknown key \"log_level\"; it is \"level\" in "
                                        "\"log\" now: log: {level: info}\n");
        expect_has("listeners:\n  - path: /x\n    log_level: info\n",
                   "unknown key \"log_level\" in \"listeners[0]\"; known");
        expect_has("format: json\n", "unknown key \"format\"; it belongs to \"log\"\n");
        expect_has("log: {level: info, level: info}\n", "duplicate key \"level\"");
        expect_has("log: debug\n",
                   "bad value for \"log\": got \"debug\", expected a mapping of \"target\", \"format\" and "
                   "\"level\" (such as {level: debug})\n");
        expect_has("shards: Auto\n", "did you mean \"auto\"?");
}
END_TEST

START_TEST(a_mistyped_key_is_not_missing_as_well)
{
        expect_errors("listner: []\n",
                      "b.yaml:1:1: error: unknown key \"listner\"; did you mean \"listeners\"?\n"
                      "    1 | listner: []\n"
                      "      | ^~~~~~~\n"
                      "brokerd: 1 error in b.yaml; configuration not loaded\n");
}
END_TEST

/* An option with a value just inside its range, and just outside of it. */
static const struct bound {
        const char *option, *good, *bad;
} bounds[] = {
        { "shards", "1", "0" },
        { "shards", "63", "64" },
        { "shards", "auto", "none" },
        { "shards", "\"3\"", "-1" },
        { "shards", "3 # comment", "+3" },
        { "shards", "10", "010" },
        { "shards", "9", "3.0" },
        { "shards", "8", "18446744073709551617" },
        { "shards", "7", "55340232221128654851" }, /* 3 * 2^64 + 3 */
        { "cpus", "auto", "all" },
        { "cpus", "none", "0" },
        { "cpus", "[0]", "[]" },
        { "cpus", "[1023]", "[1024]" },
        { "cpus", "[3, 2]", "[3, [2]]" },
        { "reactor", "auto", "epoll" },
        { "reactor", "libev", "[libev]" },
        { "reactor", "io_uring", "io-uring" },
        { "admin", "none", "admin.sock" },
        { "admin", "/a", "\"@a\"" },
        { "admin", "/a.b-c_d", "/" },
        { "ring_capacity", "2", "1" },
        { "ring_capacity", "65536", "131072" },
        { "ring_capacity", "1024", "1000" },
        { "ring_capacity", "4", "0" },
        { "backlog_bytes", "1", "0" },
        { "backlog_bytes", "64G", "65G" },
        { "backlog_bytes", "68719476736", "68719476737" },
        { "backlog_bytes", "1k", "1KB" },
        { "backlog_bytes", "1 MiB", "1  MiB" },
        { "backlog_bytes", "1B", "1T" },
        { "backlog_bytes", "2GiB", "17179869185G" }, /* 2^64 + 2^30 */
        { "spin", "0", "1" },
        { "spin", "1ms", "1001us" },
        { "spin", "1000000ns", "1000001ns" },
        { "spin", "20 us", "20s" },
        { "spin", "0us", "us" },
        { "io_uring_entries", "2", "1" },
        { "io_uring_entries", "8192", "16384" },
        { "io_uring_entries", "256", "257" },
        { "io_uring_buffers", "1", "0" },
        { "io_uring_buffers", "4096", "8192" },
        { "io_uring_receive", "multishot", "multi" },
        { "io_uring_receive", "single", "1" },
        { "io_uring_receive", "auto", "none" },
        { "max_clients", "1", "0" },
        { "max_clients", "1000000", "1000001" },
        { "max_request_bytes", "64", "63" },
        { "max_request_bytes", "1GiB", "1073741825" },
        { "max_clients_per_user", "1", "0" },
        { "max_clients_per_user", "10000", "1000001" },
        { "max_clients_per_user", "none", "all" },
        { "max_connects_per_user", "1", "0" },
        { "max_connects_per_user", "1000000", "1000001" },
        { "max_connects_per_user", "none", "off" },
        { "max_message_bytes", "1", "0" },
        { "max_message_bytes", "512MiB", "1073741825" },
        { "max_message_bytes", "none", "any" },
        { "max_query_bytes", "64", "63" },
        { "max_query_bytes", "64GiB", "68719476737" },
        { "max_query_bytes", "none", "0" },
        { "max_input_per_user", "64", "63" },
        { "max_input_per_user", "1024GiB", "1025GiB" },
        { "max_input_per_user", "none", "0" },
        { "max_subscriptions", "1", "0" },
        { "max_subscriptions", "1000000000", "1000000001" },
        { "max_subscriptions", "none", "-1" },
        { "max_subscriptions_per_user", "1", "0" },
        { "max_subscriptions_per_user", "1000000000", "1000000001" },
        { "max_subscriptions_per_user", "none", "no" },
        { "max_patterns", "1", "0" },
        { "max_patterns", "1000000000", "1000000001" },
        { "max_patterns", "none", "[none]" },
        { "max_patterns_per_user", "1", "0" },
        { "max_patterns_per_user", "1000000000", "1000000001" },
        { "max_patterns_per_user", "none", "null" },
        { "max_channels", "1", "0" },
        { "max_channels", "1000000000", "1000000001" },
        { "max_channels", "none", "1k" },
        { "publish_rate", "1", "0" },
        { "publish_rate", "1000000000", "1000000001" },
        { "publish_rate", "none", "1/s" },
        { "publish_rate_per_user", "1", "0" },
        { "publish_rate_per_user", "1000000000", "1000000001" },
        { "publish_rate_per_user", "none", "0.5" },
        { "publish_bytes", "1", "0" },
        { "publish_bytes", "64GiB", "65GiB" },
        { "publish_bytes", "none", "1MiB/s" },
        { "publish_bytes_per_user", "1", "0" },
        { "publish_bytes_per_user", "64GiB", "68719476737" },
        { "publish_bytes_per_user", "none", "1T" },
        { "max_output_bytes", "1KiB", "1023" },
        { "max_output_bytes", "64GiB", "68719476737" },
        { "max_output_bytes", "32MiB", "none" },
        { "soft_output_bytes", "1", "0" },
        { "soft_output_bytes", "33554431", "64GB" },
        { "soft_output_bytes", "none", "never" },
        { "soft_output_time", "1ms", "999us" },
        { "soft_output_time", "24h", "86400001ms" },
        { "soft_output_time", "60s", "60" },
        { "soft_output_time", "1 min", "none" },
        { "max_output_per_user", "1KiB", "1023" },
        { "max_output_per_user", "1024G", "1099511627777" },
        { "max_output_per_user", "none", "0" },
        { "max_output_total", "1KiB", "1023" },
        { "max_output_total", "1024G", "1099511627777" },
        { "max_output_total", "none", "0" },
        { "handshake_timeout", "1ms", "0" },
        { "handshake_timeout", "24h", "25h" },
        { "handshake_timeout", "none", "1d" },
        { "request_timeout", "1ms", "999999ns" },
        { "request_timeout", "1440min", "1441min" },
        { "request_timeout", "none", "5m" },
        { "idle_timeout", "1ms", "0s" },
        { "idle_timeout", "1000h", "3600001s" },
        { "idle_timeout", "none", "300" },
        { "slow_consumers", "[]", "none" },
        { "slow_consumers", "[{policy: block}]", "{policy: block}" },
        { "access", "[]", "none" },
        { "access", "[{allow: all}]", "{allow: all}" },
        { "access_default", "allow", "all" },
        { "access_default", "deny", "none" },
        { "secrets", "none", "secrets" },
        { "secrets", "/etc/brokerd/secrets", "\"@secrets\"" },
        { "secrets", "/a", "/a/" },
        { "user", "root", "no-such-user-here" },
        { "user", "4294967294", "4294967295" },
        { "user", "none", "0-1" },
};

/* Of the mapping log. */
static const struct {
        const char *option, *good, *bad;
} log_bounds[] = {
        { "level", "error", "err" },       { "level", "debug", "7" },   { "format", "human", "text" },
        { "format", "logfmt", "ltsv" },    { "format", "json", "xml" }, { "target", "stderr", "stdout" },
        { "target", "journal", "syslog" }, { "target", "/a/b", "/a/" },
};

START_TEST(each_option_of_the_log_takes_its_range_and_nothing_beyond)
{
        char text[256];

        for (size_t i = 0; i < sizeof(log_bounds) / sizeof(*log_bounds); i++) {
                snprintf(text, sizeof(text), LISTENERS "log:\n  %s: %s\n", log_bounds[i].option,
                         log_bounds[i].good);
                expect_good(text);
                snprintf(text, sizeof(text), LISTENERS "log:\n  %s: %s\n", log_bounds[i].option,
                         log_bounds[i].bad);
                expect_has(text, "b.yaml:3:");
                expect_has(text, "error: bad value for \"log.");
                expect_has(text, "brokerd: 1 error in");
        }
        expect_good(LISTENERS "log: {}\n");
        expect_has(LISTENERS "log:\n", "bad value for \"log\": got nothing, expected a mapping");
        expect_has(LISTENERS "log: []\n", "bad value for \"log\": got an empty list, expected a mapping");
}
END_TEST

START_TEST(each_option_takes_its_range_and_nothing_beyond)
{
        char text[256];

        for (size_t i = 0; i < sizeof(bounds) / sizeof(*bounds); i++) {
                snprintf(text, sizeof(text), LISTENERS "%s: %s\n", bounds[i].option, bounds[i].good);
                expect_good(text);
                snprintf(text, sizeof(text), LISTENERS "%s: %s\n", bounds[i].option, bounds[i].bad);
                expect_has(text, "b.yaml:2:");
                expect_has(text, ", expected ");
                expect_has(text, "brokerd: 1 error in");
                snprintf(text, sizeof(text), LISTENERS "%s:\n", bounds[i].option);
                expect_has(text, "\": got nothing, expected ");
                snprintf(text, sizeof(text), LISTENERS "%s: {}\n", bounds[i].option);
                expect_has(text, "\": got a mapping, expected ");
        }
}
END_TEST

static const struct bound listener_bounds[] = {
        { "mode", "0", "01000" },
        { "mode", "0777", "0778" },
        { "mode", "660", "0x1b0" },
        { "mode", "\"0660\"", "rw" },
        { "mode", "0o660", "0o" },
        { "owner", "root", "no-such-user-here" },
        { "owner", "0", "-1" },
        { "owner", "4294967294", "4294967295" },
        { "group", "root", "no such group" },
        { "group", "4294967294", "4294967295" },
        { "backlog", "1", "0" },
        { "backlog", "65535", "65536" },
        { "authentication", "none", "no" },
};

static const struct bound slow_bounds[] = {
        { "channels", "\"\"", "{}" },
        { "channels", "a.*", "[]" },
        { "channels", "[a, \"*\"]", "[a, []]" },
        { "channels", "[\"\", x]", "[a, {}]" },
        { "listener", "/x", "/y" },
        { "listener", "//x", "x" },
        { "bytes", "1", "0" },
        { "bytes", "32MiB", "64GB" },
        { "timeout", "1ms", "999us" },
        { "timeout", "1h", "61min" },
        { "timeout", "1s", "1" },
};

static const struct bound access_bounds[] = {
        { "channels", "\"\"", "{}" },
        { "channels", "[a, b]", "[a, []]" },
        { "user", "root", "no-such-user-here" },
        { "user", "0", "-1" },
        { "user", "4294967294", "4294967295" },
        { "user", "0-4294967294", "0-4294967295" },
        { "user", "7-7", "8-7" },
        { "user", "[root, 7, 1000-1999]", "[root, 7, 1000-]" },
        { "user", "[0]", "01-2" },
        { "user", "\"1-2\"", "1-2-3" },
        { "group", "root", "no-such-group-here" },
        { "group", "4294967294", "4294967295" },
        { "group", "[0, 1]", "0-1" },
        { "listener", "/x", "/xx" },
        { "name", "ui", "\"\"" },
        { "name", "[a, \"b c\"]", "\"a\\n\"" },
};

START_TEST(each_option_of_a_listener_takes_its_range_and_nothing_beyond)
{
        char text[256];

        for (size_t i = 0; i < sizeof(listener_bounds) / sizeof(*listener_bounds); i++) {
                const struct bound *b = &listener_bounds[i];

                snprintf(text, sizeof(text), "listeners:\n  - path: /x\n    %s: %s\n", b->option, b->good);
                expect_good(text);
                snprintf(text, sizeof(text), "listeners:\n  - path: /x\n    %s: %s\n", b->option, b->bad);
                expect_has(text, "b.yaml:3:");
                expect_has(text, ", expected ");
                expect_has(text, "brokerd: 1 error in");
        }
}
END_TEST

static void check_bounds(const char *head, const struct bound *bounds_, size_t n)
{
        char text[256];

        for (size_t i = 0; i < n; i++) {
                const struct bound *b = &bounds_[i];

                snprintf(text, sizeof(text), "%s    %s: %s\n", head, b->option, b->good);
                expect_good(text);
                snprintf(text, sizeof(text), "%s    %s: %s\n", head, b->option, b->bad);
                expect_has(text, "b.yaml:5:");
                expect_has(text, ", expected ");
                expect_has(text, "brokerd: 1 error in");
                snprintf(text, sizeof(text), "%s    %s:\n", head, b->option);
                expect_has(text, "\": got nothing, expected ");
        }
}

START_TEST(each_option_of_a_rule_takes_its_range_and_nothing_beyond)
{
        check_bounds(LISTENERS "secrets: /s\nslow_consumers:\n  - policy: block\n", slow_bounds,
                     sizeof(slow_bounds) / sizeof(*slow_bounds));
        check_bounds(LISTENERS "secrets: /s\naccess:\n  - allow: publish\n", access_bounds,
                     sizeof(access_bounds) / sizeof(*access_bounds));
}
END_TEST

/* A value that is one word or a list of words. */
START_TEST(a_rule_has_a_policy_and_either_allows_or_denies)
{
        static const char *const policies[] = { "disconnect", "drop-oldest", "drop-newest", "conflate",
                                                "block" };
        static const char *const actions[] = { "publish", "subscribe", "psubscribe", "admin", "all" };
        char text[256];

        for (size_t i = 0; i < 5; i++) {
                snprintf(text, sizeof(text), LISTENERS "slow_consumers: [{policy: %s}]\n", policies[i]);
                expect_good(text);
                for (int deny = 0; deny < 2; deny++) {
                        const char *key = deny ? "deny" : "allow";

                        snprintf(text, sizeof(text), LISTENERS "access: [{%s: %s}]\n", key, actions[i]);
                        expect_good(text);
                        snprintf(text, sizeof(text), LISTENERS "access: [{%s: [%s, publish]}]\n", key,
                                 actions[i]);
                        if (i)
                                expect_good(text);
                        else
                                expect_has(text, "\" lists a value twice; it is listed before, at b.yaml:2:");
                }
        }
        expect_has(
                LISTENERS "slow_consumers: [{policy: drop_oldest}]\n",
                "bad value for \"slow_consumers[0].policy\": got \"drop_oldest\", expected \"disconnect\", "
                "\"drop-oldest\", \"drop-newest\", \"conflate\" or \"block\"; did you mean \"drop-oldest\"?\n");
        expect_has(LISTENERS "slow_consumers: [{policy: [block]}]\n", "got a list, expected \"disconnect\"");
        expect_has(LISTENERS "slow_consumers: [{channels: a}]\n",
                   "b.yaml:2:18: error: the key \"policy\" is missing in \"slow_consumers[0]\", expected "
                   "\"disconnect\",");
        expect_has(LISTENERS "slow_consumers: [{polcy: block}]\n",
                   "unknown key \"polcy\" in \"slow_consumers[0]\"; did you mean \"policy\"?\n");
        expect_has(LISTENERS "access: [{allow: publsh}]\n",
                   "bad value for \"access[0].allow\": got \"publsh\", expected \"publish\", \"subscribe\", "
                   "\"psubscribe\", \"admin\" or \"all\", or a list of these; did you mean \"publish\"?\n");
        expect_has(LISTENERS "access: [{allow: []}]\n", "got an empty list, expected \"publish\",");
        expect_errors(
                LISTENERS "access:\n"
                          "  - user: root\n"
                          "  - deny: all\n"
                          "    allow: all\n"
                          "  - alow: all\n"
                          "  - publish\n",
                "b.yaml:3:5: error: the key \"allow\" or \"deny\" is missing in \"access[0]\"\n"
                "    3 |   - user: root\n"
                "      |     ^\n"
                "b.yaml:5:5: error: \"access[1]\" either allows or denies; it has the other key, too, at "
                "b.yaml:4:5\n"
                "    5 |     allow: all\n"
                "      |     ^~~~~\n"
                "b.yaml:6:5: error: unknown key \"alow\" in \"access[2]\"; did you mean \"allow\"?\n"
                "    6 |   - alow: all\n"
                "      |     ^~~~\n"
                "b.yaml:7:5: error: bad value for \"access[3]\": got \"publish\", expected a mapping such as "
                "\"allow: publish\"\n"
                "    7 |   - publish\n"
                "      |     ^~~~~~~\n"
                "brokerd: 4 errors in b.yaml; configuration not loaded\n");
}
END_TEST

START_TEST(a_key_that_is_known_elsewhere_is_sent_there)
{
        expect_has(LISTENERS "access: [{allow: all, path: /x}]\n",
                   "unknown key \"path\" in \"access[0]\"; it belongs to an item of \"listeners\"\n");
        expect_has(LISTENERS "channels: a\n",
                   "unknown key \"channels\"; it belongs to an item of \"slow_consumers\" or \"access\"\n");
        expect_has(LISTENERS "policy: block\n",
                   "unknown key \"policy\"; it belongs to an item of \"slow_consumers\"\n");
        expect_has(LISTENERS "group: 7\n",
                   "unknown key \"group\"; it belongs to an item of \"listeners\" or \"access\"\n");
        expect_has(
                LISTENERS "slow_consumers: [{policy: block, user: 7}]\n",
                "unknown key \"user\" in \"slow_consumers[0]\"; it belongs to the top level or to an item of "
                "\"access\"\n");
        expect_has("listener: /x\n", "unknown key \"listener\"; did you mean \"listeners\"?\n");
}
END_TEST

/* Pairs of limits, with their values and their bound. */
static const struct {
        const char *less, *greater, *value, *same;
} pairs[] = {
        { "max_output_per_user", "max_output_total", "65M", "64M" },
        { "max_output_bytes", "max_output_total", "65M", "64M" },
        { "max_output_bytes", "max_output_per_user", "65M", "64M" },
        { "max_query_bytes", "max_input_per_user", "1025M", "1G" },
        { "max_request_bytes", "max_query_bytes", "601M", "600M" },
        { "max_message_bytes", "max_request_bytes", "17M", "16M" },
        { "max_clients_per_user", "max_clients", "6", "5" },
        { "max_subscriptions", "max_subscriptions_per_user", "6", "5" },
        { "max_patterns_per_user", "max_subscriptions_per_user", "6", "5" },
        { "max_patterns", "max_patterns_per_user", "6", "5" },
        { "max_patterns", "max_subscriptions", "6", "5" },
        { "publish_rate", "publish_rate_per_user", "6", "5" },
        { "publish_bytes", "publish_bytes_per_user", "6K", "5K" },
};

START_TEST(what_a_client_may_is_at_most_what_a_user_and_all_may)
{
        char text[256], expected[256];

        for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++) {
                snprintf(text, sizeof(text), LISTENERS "%s: %s\n%s: %s\n", pairs[i].less, pairs[i].same,
                         pairs[i].greater, pairs[i].same);
                expect_good(text);
                snprintf(text, sizeof(text), LISTENERS "%s: %s\n%s: %s\n", pairs[i].less, pairs[i].value,
                         pairs[i].greater, pairs[i].same);
                snprintf(expected, sizeof(expected), "b.yaml:2:%zu: error: \"%s\" is ",
                         strlen(pairs[i].less) + 3, pairs[i].less);
                expect_has(text, expected);
                snprintf(expected, sizeof(expected), ", at b.yaml:3:%zu\n", strlen(pairs[i].greater) + 3);
                expect_has(text, expected);
                snprintf(expected, sizeof(expected), ", more than \"%s\" with ", pairs[i].greater);
                expect_has(text, expected);
                expect_has(text, "brokerd: 1 error in");
        }
        expect_has(LISTENERS "max_output_bytes: 2M\nsoft_output_bytes: 2M\n",
                   "b.yaml:3:20: error: \"soft_output_bytes\" is 2MiB, not less than \"max_output_bytes\" with "
                   "2MiB, "
                   "at b.yaml:2:19\n");
        expect_good(LISTENERS "max_output_bytes: 2M\nsoft_output_bytes: 2097151\n");
        expect_has(LISTENERS "max_clients_per_user: 10001\n",
                   "b.yaml:2:23: error: \"max_clients_per_user\" is 10001, more than \"max_clients\" with "
                   "10000, the "
                   "default\n");
        expect_has(
                LISTENERS "soft_output_bytes: 32M\n",
                "\"soft_output_bytes\" is 32MiB, not less than \"max_output_bytes\" with 32MiB, the default\n");
        expect_good(LISTENERS "max_patterns: 7\nmax_subscriptions: none\nmax_patterns_per_user: none\n");
}
END_TEST

START_TEST(a_bad_limit_is_not_compared)
{
        expect_has(LISTENERS "max_clients: 1x\nmax_clients_per_user: 20000\n", "brokerd: 1 error in");
        expect_has(LISTENERS "max_clints: 7\nmax_clients_per_user: 20000\n", "brokerd: 1 error in");
        expect_has(LISTENERS "max_clients_per_user: 20000\nmax_clients 30000\n", "brokerd: 1 error in");
        expect_has(LISTENERS "max_output_bytes: 1\nslow_consumers: [{policy: block, bytes: 1G}]\n",
                   "brokerd: 1 error in");
        expect_has(LISTENERS "secrets: x\naccess: [{allow: all, name: x}]\n", "brokerd: 1 error in");
        expect_has("listeners: [{mode: 0600}]\naccess: [{allow: all, listener: /x}]\n", "brokerd: 1 error in");
        expect_has(LISTENERS "slow_consumers: [{policy: blck, timeout: 1s}]\n", "brokerd: 1 error in");
}
END_TEST

/* So that a small limit can be given alone. */
START_TEST(a_default_gives_way_to_a_smaller_limit_that_is_given)
{
        struct result r = parse(LISTENERS "max_output_total: 4M\n"
                                          "max_input_per_user: 1M\n"
                                          "slow_consumers:\n"
                                          "  - policy: drop-oldest\n"
                                          "  - policy: block\n"
                                          "  - policy: conflate\n");

        ck_assert_msg(!!r.config, "%s", r.errors);
        ck_assert_uint_eq(r.config->max_output_bytes, 4 << 20);
        ck_assert_uint_eq(r.config->max_output_per_user, 0);
        ck_assert_uint_eq(r.config->soft_output_bytes, 1 << 20);
        ck_assert_uint_eq(r.config->max_query_bytes, 1 << 20);
        ck_assert_uint_eq(r.config->max_request_bytes, 1 << 20);
        ck_assert_uint_eq(r.config->slow_consumers[0].bytes, 1 << 20);
        ck_assert_uint_eq(r.config->slow_consumers[0].timeout_ns, 0);
        ck_assert_uint_eq(r.config->slow_consumers[1].bytes, 512 << 10);
        ck_assert_uint_eq(r.config->slow_consumers[1].timeout_ns, 1000000000);
        ck_assert_uint_eq(r.config->slow_consumers[2].bytes, 0);
        result_deinit(&r);
        r = parse(LISTENERS "slow_consumers: [{policy: drop-newest}, {policy: block}]\nmax_output_bytes: 9M\n");
        ck_assert_msg(!!r.config, "%s", r.errors);
        ck_assert_uint_eq(r.config->soft_output_bytes, 8 << 20);
        ck_assert_uint_eq(r.config->slow_consumers[0].bytes, 9 << 18);
        ck_assert_uint_eq(r.config->slow_consumers[1].bytes, 9 << 17);
        result_deinit(&r);
        r = parse(LISTENERS
                  "slow_consumers: [{policy: drop-newest}, {policy: block}]\nmax_output_bytes: 64M\n");
        ck_assert_msg(!!r.config, "%s", r.errors);
        ck_assert_uint_eq(r.config->slow_consumers[0].bytes, 8 << 20);
        ck_assert_uint_eq(r.config->slow_consumers[1].bytes, 4 << 20);
        result_deinit(&r);
}
END_TEST

START_TEST(keys_that_a_rule_has_no_use_for_are_refused_with_the_reason)
{
        expect_errors(
                LISTENERS "slow_consumers:\n"
                          "  - {policy: disconnect, bytes: 1M}\n"
                          "  - {policy: conflate, bytes: 1M}\n"
                          "  - {policy: drop-oldest, timeout: 1s}\n"
                          "  - {policy: drop-newest, bytes: 33M}\n"
                          "max_output_bytes: 32M\n",
                "b.yaml:3:26: error: \"slow_consumers[0].bytes\" is not allowed: \"disconnect\" goes by "
                "max_output_bytes and soft_output_bytes\n"
                "    3 |   - {policy: disconnect, bytes: 1M}\n"
                "      |                          ^~~~~\n"
                "b.yaml:4:24: error: \"slow_consumers[1].bytes\" is not allowed: \"conflate\" keeps the newest "
                "message of each channel, however large\n"
                "    4 |   - {policy: conflate, bytes: 1M}\n"
                "      |                        ^~~~~\n"
                "b.yaml:5:27: error: \"slow_consumers[2].timeout\" is not allowed: only with \"block\" does "
                "anybody wait\n"
                "    5 |   - {policy: drop-oldest, timeout: 1s}\n"
                "      |                           ^~~~~~~\n"
                "b.yaml:6:34: error: \"slow_consumers[3].bytes\" is 33MiB, more than \"max_output_bytes\" with "
                "32MiB, at b.yaml:7:19\n"
                "    6 |   - {policy: drop-newest, bytes: 33M}\n"
                "      |                                  ^~~\n"
                "brokerd: 4 errors in b.yaml; configuration not loaded\n");
        expect_has(LISTENERS "access: [{allow: admin, channels: a}]\n",
                   "b.yaml:2:25: error: \"access[0].channels\" is not allowed: to administer has no channel; "
                   "\"admin\" needs a rule of its own\n");
        expect_has(LISTENERS "access: [{deny: [publish, admin], channels: a}]\n", "needs a rule of its own\n");
        expect_has(LISTENERS "access: [{deny: all, name: [a, b]}]\n",
                   "b.yaml:2:22: error: \"access[0].name\" is not allowed: nobody has a name, since "
                   "\"secrets\" is "
                   "not given\n");
        expect_has(
                "listeners: [{path: /x, authentication: required}]\n",
                "b.yaml:1:24: error: \"listeners[0].authentication\" is not allowed: nobody can authenticate "
                "himself, since \"secrets\" is not given\n");
        expect_good("listeners: [{path: /x, authentication: required}]\nsecrets: /s\n");
}
END_TEST

START_TEST(a_rule_names_a_listener_by_its_path)
{
        struct result r = parse("listeners: [{path: /run/a.sock}, {path: \"@b\"}]\n"
                                "slow_consumers: [{policy: block, listener: //run/./a.sock}]\n"
                                "access: [{allow: all, listener: \"@b\"}]\n");

        ck_assert_msg(!!r.config, "%s", r.errors);
        ck_assert_str_eq(r.config->slow_consumers[0].listener, "/run/a.sock");
        ck_assert_str_eq(r.config->access[0].listener, "@b");
        result_deinit(&r);
        expect_has(
                "access: [{allow: all, listener: /run/b.sock}]\nlisteners: [{path: /run/a.sock}]\n",
                "b.yaml:1:33: error: bad value for \"access[0].listener\": got \"/run/b.sock\", expected the "
                "\"path\" of one of the listeners; did you mean \"/run/a.sock\"?\n");
        expect_has(LISTENERS "admin: /a\nslow_consumers: [{policy: block, listener: /a}]\n",
                   "expected the \"path\" of one of the listeners");
}
END_TEST

START_TEST(a_pattern_of_channels_is_any_bytes_that_yaml_can_write)
{
        struct result r = parse(LISTENERS "access:\n"
                                          "  - deny: publish\n"
                                          "    channels: [\"\", \"\\0\", \"a\\0b\\n\", '\\*[a]?', ä.*]\n");
        static const struct bytes expected[] = { BYTES_LITERAL(""), BYTES_LITERAL("\0"),
                                                 BYTES_LITERAL("a\0b\n"), BYTES_LITERAL("\\*[a]?"),
                                                 BYTES_LITERAL("ä.*") };
        struct result again;
        char *text;

        ck_assert_msg(!!r.config, "%s", r.errors);
        text = dump(r.config);
        again = parse(text);
        ck_assert_msg(!!again.config, "%s\n%s", text, again.errors);
        for (int i = 0; i < 2; i++) {
                const struct config_access *rule = i ? again.config->access : r.config->access;

                ck_assert_uint_eq(rule->n_channels, 5);
                for (size_t j = 0; j < 5; j++)
                        ck_assert(bytes_equal(rule->channels[j], expected[j]));
        }
        free(text);
        result_deinit(&r);
        result_deinit(&again);
        expect_has(LISTENERS "access: [{deny: all, channels: *}]\n",
                   "b.yaml:2:32: error: a value that starts with \"*\" must be put in quotes\n");
        expect_has(
                LISTENERS "access: [{deny: all, channels: *a}]\n",
                "b.yaml:2:32: error: aliases (*name) are not supported; write the value out, in quotes if it "
                "starts with \"*\"\n");
        expect_has(LISTENERS "access: [{deny: all, channels: [a, \"\", b, '']}]\n",
                   "b.yaml:2:43: error: \"access[0].channels\" lists a value twice; it is listed before, at "
                   "b.yaml:2:36\n");
}
END_TEST

/* A rule of a list, n times. */
static char *many_rules(const char *key, const char *rule, unsigned n)
{
        char *text;
        size_t size;
        FILE *out = open_memstream(&text, &size);

        fprintf(out, LISTENERS "%s:\n", key);
        for (unsigned i = 0; i < n; i++)
                fprintf(out, "- %s\n", rule);
        fclose(out);
        return text;
}

static void check_many(const char *key, const char *rule, unsigned most)
{
        char *text = many_rules(key, rule, most), expected[64];

        expect_good(text);
        free(text);
        text = many_rules(key, rule, most + 1);
        snprintf(expected, sizeof(expected), "got a list, expected a list of 0..%u rules, each with ", most);
        expect_has(text, expected);
        free(text);
}

START_TEST(rules_and_values_have_a_number_that_they_may_be)
{
        char text[4096];
        size_t n;

        check_many("slow_consumers", "{policy: drop-oldest, channels: a, listener: /x}", 256);
        check_many("access", "{deny: all, user: 1-7, channels: [\"a*\", b], group: 7}", 1024);
        for (unsigned most = 256; most <= 257; most++) {
                n = (size_t)sprintf(text, LISTENERS "access: [{allow: publish, user: [0");
                for (unsigned i = 1; i < most; i++)
                        n += (size_t)sprintf(text + n, ", %u", i);
                sprintf(text + n, "]}]\n");
                if (most == 256)
                        expect_good(text);
                else
                        expect_has(text,
                                   "got a list, expected a user's name, a uid or a range of uids (such as "
                                   "1000-1999), or a list of 1..256 of them\n");
        }
}
END_TEST

START_TEST(a_name_has_at_most_255_bytes)
{
        char name[257], text[512];

        for (unsigned n = 255; n <= 256; n++) {
                memset(name, 'n', n);
                name[n] = 0;
                snprintf(text, sizeof(text), LISTENERS "secrets: /s\naccess: [{allow: all, name: %s}]\n", name);
                if (n == 255)
                        expect_good(text);
                else
                        expect_has(text, "; the name has 256 bytes\n");
        }
}
END_TEST

START_TEST(no_limit_is_a_word)
{
        expect_has(LISTENERS "max_clients_per_user: 0\n",
                   "got \"0\", expected an integer 1..1000000 or \"none\"; no limit is written \"none\"\n");
        expect_has(LISTENERS "idle_timeout: 0\n", "; no limit is written \"none\"\n");
        expect_has(LISTENERS "idle_timeout: 7\n", "; a unit is missing: ns, us, ms, s, min or h\n");
        expect_has(LISTENERS "max_output_bytes: none\n", "got \"none\", expected a size 1KiB..64GiB (such as");
}
END_TEST

static void check_key(const char *dumped, const char *list, const char *name)
{
        const char *from = list ? strstr(dumped, list) : dumped;
        char key[64];

        snprintf(key, sizeof(key), list ? " %s: " : "%s:", name);
        ck_assert_msg(from && strstr(from, key), "%s\n%s", key, dumped);
}

/* With a value that is not the default, or the test would not see it. */
START_TEST(a_dump_of_every_key_loads_to_the_same_dump)
{
        struct config *config = NULL;
        struct result again;
        char *a, *b;

        ck_assert_int_eq(config_load(&config, TOP_SRCDIR "/tests/fuzz/corpus/config/all-options.yaml", stderr),
                         0);
        a = dump(config);
        for (size_t i = 0; i < config_n_options; i++) {
                const struct config_option *o = &config_options[i];
                const struct config_table *table = config_option_table(o);

                check_key(a, NULL, o->name);
                for (size_t j = 0; table && j < table->n_options; j++)
                        check_key(a, o->name, table->options[j].name);
        }
        ck_assert_ptr_null(strstr(a, ": none"));
        again = parse(a);
        ck_assert_msg(!!again.config, "%s\n%s", a, again.errors);
        b = dump(again.config);
        ck_assert_str_eq(a, b);
        free(a);
        free(b);
        config_free(config);
        result_deinit(&again);
}
END_TEST

START_TEST(a_mode_is_octal_however_it_is_written)
{
        struct result r = parse("listeners:\n"
                                "  - {path: /a, mode: 0660}\n"
                                "  - {path: /b, mode: 660}\n"
                                "  - {path: /c, mode: 0o660}\n"
                                "  - {path: /d, mode: \"0660\"}\n");

        ck_assert_msg(!!r.config, "%s", r.errors);
        ck_assert_uint_eq(r.config->n_listeners, 4);
        for (unsigned i = 0; i < 4; i++)
                ck_assert_uint_eq(r.config->listeners[i].mode, 0660);
        result_deinit(&r);
}
END_TEST

START_TEST(a_path_has_at_most_107_bytes_and_the_error_says_how_many_it_has)
{
        char path[128], text[256];

        for (unsigned n = 106; n <= 109; n++) {
                memset(path, 'p', n);
                path[n] = 0;
                for (int abstract = 0; abstract < 2; abstract++) {
                        path[0] = abstract ? '@' : '/';
                        snprintf(text, sizeof(text), "listeners: [{path: \"%s\"}]\n", path);
                        if (n <= 107) {
                                expect_good(text);
                                continue;
                        }
                        expect_has(text, "of at most 107 bytes; the name has 10");
                        expect_has(text, n == 108 ? "has 108 bytes\n" : "has 109 bytes\n");
                }
                snprintf(text, sizeof(text), LISTENERS "admin: /%s\n", path + 1);
                if (n <= 107)
                        expect_good(text);
                else
                        expect_has(text, "the name has 10");
        }
}
END_TEST

START_TEST(a_path_that_cannot_be_a_socket_is_refused)
{
        expect_has("listeners: [{path: x.sock}]\n",
                   "got \"x.sock\", expected an absolute file name or \"@name\", of "
                   "at most 107 bytes; it must start with \"/\"\n");
        expect_has("listeners: [{path: /run/}]\n", "it must not end with \"/\"\n");
        expect_has("listeners: [{path: \"\"}]\n", "got \"\", expected");
        expect_has("listeners: [{path: \"@\"}]\n", "the name behind the \"@\" is missing\n");
        expect_has("listeners: [{path: \"/a\\0b\"}]\n", "got \"/a\\x00b\", expected");
        expect_has("listeners: [{path: \"/a\\nb\"}]\n", "the name contains a control character\n");
        expect_has("listeners: [{path: [/x]}]\n", "got a list, expected");
}
END_TEST

START_TEST(an_abstract_socket_has_no_mode_owner_or_group)
{
        expect_errors(
                "listeners:\n"
                "  - path: \"@x\"\n"
                "    mode: 0600\n"
                "    backlog: 7\n"
                "    owner: root\n"
                "    group: 0\n",
                "b.yaml:3:5: error: \"listeners[0].mode\" is not allowed: the abstract socket \"@x\" has no "
                "file\n"
                "    3 |     mode: 0600\n"
                "      |     ^~~~\n"
                "b.yaml:5:5: error: \"listeners[0].owner\" is not allowed: the abstract socket \"@x\" has no "
                "file\n"
                "    5 |     owner: root\n"
                "      |     ^~~~~\n"
                "b.yaml:6:5: error: \"listeners[0].group\" is not allowed: the abstract socket \"@x\" has no "
                "file\n"
                "    6 |     group: 0\n"
                "      |     ^~~~~\n"
                "brokerd: 3 errors in b.yaml; configuration not loaded\n");
}
END_TEST

START_TEST(two_sockets_of_one_name_are_refused_with_both_places)
{
        expect_errors(
                "listeners:\n"
                "  - path: /run/x\n"
                "  - path: /run//./x\n"
                "admin: /run/x\n",
                "b.yaml:3:11: error: \"listeners[1].path\" is \"/run//./x\", which \"listeners[0].path\" has "
                "taken at b.yaml:2:11\n"
                "    3 |   - path: /run//./x\n"
                "      |           ^~~~~~~~~\n"
                "b.yaml:4:8: error: \"admin\" is \"/run/x\", which \"listeners[0].path\" has taken at "
                "b.yaml:2:11\n"
                "    4 | admin: /run/x\n"
                "      |        ^~~~~~\n"
                "brokerd: 2 errors in b.yaml; configuration not loaded\n");
        expect_good("listeners: [{path: /x}, {path: \"@/x\"}, {path: /x/y}, {path: /x.}, {path: /.x}]\n");
}
END_TEST

START_TEST(a_duplicate_key_names_the_first_place)
{
        expect_errors(LISTENERS "shards: 3\n"
                                "shards: 4zz\n",
                      "b.yaml:3:1: error: duplicate key \"shards\"; it is given before, at b.yaml:2:1\n"
                      "    3 | shards: 4zz\n"
                      "      | ^~~~~~\n"
                      "brokerd: 1 error in b.yaml; configuration not loaded\n");
        expect_has("listeners: [{path: /x, path: /y}]\n",
                   "b.yaml:1:24: error: duplicate key \"path\"; it is given before, at b.yaml:1:14\n");
        expect_has(LISTENERS "cpus: [1, 2, 1]\n",
                   "b.yaml:2:14: error: \"cpus\" lists a CPU twice; it is listed before, at b.yaml:2:8\n");
}
END_TEST

START_TEST(there_must_be_a_listener_with_a_path)
{
        static const char whole[] =
                "b.yaml:1:1: error: the key \"listeners\" is missing, expected a list of 0..64 "
                "listeners, each with a \"path\"\n";

        expect_has("shards: 3\n", whole);
        expect_has("{}", whole);
        expect_has("", "b.yaml:1:1: error: the file is empty; the key \"listeners\" is missing\n");
        expect_has("# nothing\n", "the file is empty");
        expect_has("---\n", "the file is empty");
        expect_good("listeners: []\n"); /* for sockets that are passed */
        expect_has("listeners:\n", "got nothing, expected a list");
        expect_has("listeners: /x\n", "got \"/x\", expected a list");
        expect_has("listeners: {path: /x}\n", "got a mapping, expected a list");
        expect_has("listeners: [/x]\n",
                   "b.yaml:1:13: error: bad value for \"listeners[0]\": got \"/x\", expected a mapping such as "
                   "\"path: /run/x.sock\"\n");
        expect_errors(
                "listeners:\n"
                "  - mode: 0600\n",
                "b.yaml:2:5: error: the key \"path\" is missing in \"listeners[0]\", expected an absolute file "
                "name or \"@name\", of at most 107 bytes\n"
                "    2 |   - mode: 0600\n"
                "      |     ^\n"
                "brokerd: 1 error in b.yaml; configuration not loaded\n");
}
END_TEST

START_TEST(with_passed_sockets_there_need_be_no_listener)
{
        static const char *const good[] = { "", "# nothing\n", "shards: 3\n", "listeners: []\n" };
        struct config *config = NULL;

        for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
                ck_assert_int_eq(config_parse_as(&config, "b.yaml", good[i], strlen(good[i]),
                                                 CONFIG_LOAD_SOCKETS, stderr),
                                 0);
                ck_assert_uint_eq(config->n_listeners, 0);
                ck_assert_uint_eq(config->max_clients, 10000);
                config = config_free(config);
        }
        ck_assert_int_eq(config_parse_as(&config, "b.yaml", "listeners:\n", 11, CONFIG_LOAD_SOCKETS, stderr),
                         CONFIG_E_INVALID);
}
END_TEST

START_TEST(more_than_64_listeners_are_refused)
{
        char text[4096] = "listeners:\n";
        size_t n = strlen(text);

        for (unsigned i = 0; i < 64; i++)
                n += (size_t)snprintf(text + n, sizeof(text) - n, " - path: /%u\n", i);
        expect_good(text);
        snprintf(text + n, sizeof(text) - n, " - path: /64\n");
        expect_has(text, "expected a list of 0..64 listeners");
}
END_TEST

/* What libyaml stumbles over, and what is said about it: the first line of the errors. */
static const struct {
        const char *text, *error;
} slips[] = {
        { "shards: 1\n\treactor: auto\n",
          "2:1: error: a tab character may not be used as indentation; use spaces" },
        { "listeners:\n\t- path: /x\n",
          "2:1: error: a tab character may not be used as indentation; use spaces" },
        { "\tshards: 1\n", "1:1: error: a tab character may not be used as indentation; use spaces" },
        { "cpus: [1, 2\nshards: 3\n", "1:7: error: the list opened here is never closed" },
        { "cpus: [1, 2", "1:7: error: the list opened here is never closed" },
        { "cpus: [1 2}\n", "1:11: error: expected \",\" or \"]\" here" },
        { "listeners: [{path: /x]\n", "1:22: error: expected \",\" or \"}\" here" },
        { "listeners: [{path: /x\n", "1:13: error: the mapping opened here is never closed" },
        { "shards: 1\n  reactor: auto\n",
          "2:3: error: unexpected indent: \"reactor\" is deeper than its sibling \"shards\"" },
        { "listeners:\n  - path: /x\n      mode: 0600\n",
          "3:7: error: unexpected indent: \"mode\" is deeper than its sibling \"path\"" },
        { "listeners:\n  - path: /x\n   mode: 0600\n",
          "3:4: error: wrong indentation: \"mode\" does not line up with what it belongs to above" },
        { "listeners:\n  - path: /x\n mode: 0600\n",
          "3:2: error: wrong indentation: \"mode\" does not line up with what it belongs to above" },
        { "shards: 1\n- path: /x\n", "2:1: error: a list item is not expected here" },
        { "listeners: - path: /x\n", "1:12: error: a list item must start on a line of its own" },
        { "shards 3\nreactor: auto\n", "1:1: error: expected \"key: value\", but there is no \":\"" },
        { "reactor: auto\nshards 3\n", "2:1: error: expected \"key: value\", but there is no \":\"" },
        { "reactor: auto\nshards:3\nspin: 0\n", "2:7: error: a space is missing after the \":\"" },
        { "listeners:\n  - path /x\n    mode: 0600\n",
          "2:5: error: expected \"key: value\", but there is no \":\"" },
        { "listeners: [{path: /x}]\nshards: 3\n  reactor libev\n",
          "3:3: error: \"reactor libev\" continues the value of the line above; is a \":\" missing, or the "
          "indentation wrong?" },
        { "listeners:\n  - path: /x\n    mode 0600\n",
          "3:5: error: expected \"key: value\", but there is no \":\"" },
        { "admin: \"/x\nshards: 3\n", "1:8: error: the string opened here is never closed" },
        { "admin: '/x\nshards: 3\n", "1:8: error: the string opened here is never closed" },
        { "admin: \"/x\nreactor: \"auto\"\n",
          "1:8: error: the string opened here is not closed on its line; a value is one line" },
        { LISTENERS "admin: \"/x\n y\"\n",
          "2:8: error: the string opened here is not closed on its line; a value is one line" },
        { "admin: /x: y\n", "1:10: error: a value that contains \": \" must be put in quotes" },
        { "admin: \"/x\" y\n", "1:13: error: unexpected text behind the value; put the whole value in quotes" },
        { "admin: @x\n", "1:8: error: a value that starts with \"@\" must be put in quotes" },
        { "admin: %x\n", "1:8: error: a value that starts with \"%\" must be put in quotes" },
        { "admin: `x\n", "1:8: error: a value that starts with \"`\" must be put in quotes" },
        { "admin: & x\n", "1:8: error: a value that starts with \"&\" must be put in quotes" },
        { "admin: * x\n", "1:8: error: a value that starts with \"*\" must be put in quotes" },
        { "admin: \"\\q\"\n",
          "1:9: error: unknown escape in a double-quoted string; write \\\\ for a backslash" },
        { "admin: \"\\xzz\"\n", "1:11: error: expected hexadecimal digits in this escape" },
        { "admin: \"\\ud800\"\n", "1:11: error: this escape stands for no character" },
        { ": 3\n", "1:1: error: a key is missing before the \":\"" },
        { "{a:,b: 1}\n", "1:3: error: this \":\" needs a space behind it, or the value needs quotes" },
        { "shards: ]\n", "1:9: error: expected a value here" },
        { LISTENERS "admin: |\n  /x\n",
          "2:8: error: block text (| or >) is not supported; write the value on one line" },
        { LISTENERS "admin: >\n  /x\n",
          "2:8: error: block text (| or >) is not supported; write the value on one line" },
        { "admin: |0\n /x\n", "1:8: error: block text (| or >) is not supported; write the value on one line" },
        { LISTENERS "shards: !!int 3\n", "2:9: error: tags (!name) are not supported" },
        { LISTENERS "shards: ! 3\n", "2:9: error: tags (!name) are not supported" },
        { "shards: !e!int 3\n", "1:9: error: tags (!name) are not supported" },
        { "shards: !<x 3\n", "1:9: error: tags (!name) are not supported" },
        { LISTENERS "shards: &a 3\n", "2:9: error: anchors (&name) are not supported" },
        { LISTENERS "shards: *a\n", "2:9: error: aliases (*name) are not supported; write the value out, in "
                                    "quotes if it starts with \"*\"" },
        { LISTENERS "<<: *a\n", "2:1: error: unknown key \"<<\"; known here" },
        { "%YAML 1.1\n---\n" LISTENERS, "1:1: error: directives (%) are not supported" },
        { "%FOO\n---\n" LISTENERS, "1:1: error: directives (%) are not supported" },
        { "%YAML 3.0\n---\n" LISTENERS, "1:1: error: directives (%) are not supported" },
        { LISTENERS "---\nshards: 3\n", "2:1: error: a second document; a configuration is one document" },
        { LISTENERS "...\nshards: 3\n", "3:1: error: nothing may follow the end of the document" },
        { LISTENERS "? [a]\n: b\n", "2:3: error: a key must be a word, not a list or mapping" },
        { "- a\n", "1:1: error: expected lines of \"key: value\", got a list" },
        { "shards\n", "1:1: error: expected lines of \"key: value\", got a value alone" },
};

START_TEST(a_slip_of_syntax_is_called_by_its_name_at_its_place)
{
        char expected[256];

        for (size_t i = 0; i < sizeof(slips) / sizeof(*slips); i++) {
                struct result r = parse(slips[i].text);

                snprintf(expected, sizeof(expected), "b.yaml:%s", slips[i].error);
                ck_assert_msg(!r.config && strncmp(r.errors, expected, strlen(expected)) == 0,
                              "%s\nexpected\n%s\ngot\n%s", slips[i].text, expected, r.errors);
                result_deinit(&r);
        }
}
END_TEST

START_TEST(a_slip_of_syntax_hides_no_error_before_it_and_makes_none_up)
{
        expect_errors("shards: 64\n"
                      "listeners:\n"
                      "  - pth: /x\n"
                      "    mode: 0600\n"
                      "   owner: root\n",
                      "b.yaml:1:9: error: bad value for \"shards\": got \"64\", expected an integer 1..63 or "
                      "\"auto\"\n"
                      "    1 | shards: 64\n"
                      "      |         ^~\n"
                      "b.yaml:3:5: error: unknown key \"pth\" in \"listeners[0]\"; did you mean \"path\"?\n"
                      "    3 |   - pth: /x\n"
                      "      |     ^~~\n"
                      "b.yaml:5:4: error: wrong indentation: \"owner\" does not line up with what it belongs "
                      "to above\n"
                      "    5 |    owner: root\n"
                      "      |    ^~~~~\n"
                      "brokerd: 3 errors in b.yaml; configuration not loaded\n");
        expect_errors("listeners:\n"
                      "  - mode: 0600\n"
                      "   path: /x\n",
                      "b.yaml:3:4: error: wrong indentation: \"path\" does not line up with what it belongs to "
                      "above\n"
                      "    3 |    path: /x\n"
                      "      |    ^~~~\n"
                      "brokerd: 1 error in b.yaml; configuration not loaded\n");
}
END_TEST

START_TEST(columns_are_characters_and_the_caret_stands_below_the_place)
{
        /* a byte order mark and CRLF; ä is one column, 日本 four, a tab is kept */
        expect_errors(
                "\xef\xbb\xbf{shards: 64,\tä: \"日本\", spin: 1}\r\n" LISTENERS,
                "b.yaml:1:10: error: bad value for \"shards\": got \"64\", expected an integer 1..63 or "
                "\"auto\"\n"
                "    1 | {shards: 64,\tä: \"日本\", spin: 1}\n"
                "      |          ^~\n"
                "b.yaml:1:14: error: unknown key \"ä\"; known here are shards, cpus, reactor, listeners, "
                "admin, "
                "ring_capacity, backlog_bytes, spin, io_uring_entries, io_uring_buffers, "
                "io_uring_receive, max_clients, max_clients_per_user, max_connects_per_user, "
                "max_request_bytes, max_message_bytes, max_query_bytes, max_input_per_user, "
                "max_subscriptions, max_subscriptions_per_user, max_patterns, max_patterns_per_user, "
                "max_channels, publish_rate, publish_rate_per_user, publish_bytes, publish_bytes_per_user, "
                "max_output_bytes, soft_output_bytes, soft_output_time, max_output_per_user, "
                "max_output_total, handshake_timeout, request_timeout, idle_timeout, slow_consumers, access, "
                "access_default, secrets, user, log\n"
                "    1 | {shards: 64,\tä: \"日本\", spin: 1}\n"
                "      |             \t^\n"
                "b.yaml:1:29: error: bad value for \"spin\": got \"1\", expected a time 0..1ms (such as "
                "20us); a "
                "unit is missing: ns, us, ms, s, min or h\n"
                "    1 | {shards: 64,\tä: \"日本\", spin: 1}\n"
                "      |             \t                 ^\n"
                "b.yaml:2:1: error: nothing may follow the end of the document\n"
                "    2 | listeners: [{path: /x}]\n"
                "      | ^\n"
                "brokerd: 4 errors in b.yaml; configuration not loaded\n");
}
END_TEST

START_TEST(what_could_disturb_a_terminal_is_escaped)
{
        expect_errors(LISTENERS "admin: \"/\xe2\x80\xae\" \x1b[31m\n",
                      "b.yaml:2:13: error: the character U+001B is not allowed here\n"
                      "    2 | admin: \"/\\u202e\" \\x1b[31m\n"
                      "      |                  ^~~~\n"
                      "brokerd: 1 error in b.yaml; configuration not loaded\n");
        expect_has(LISTENERS "admin: x\xff\n", "b.yaml:2:9: error: the byte 0xff is not UTF-8\n"
                                               "    2 | admin: x\\xff\n");
        expect_has(LISTENERS "admin: \"\\e[31m\"\n", "got \"\\x1b[31m\", expected");
        expect_has(LISTENERS "\"\\e\": 1\n", "unknown key \"\\x1b\"; known here");
        expect_has(LISTENERS "admin: /\xc0\xaf\n", "b.yaml:2:9: error: the byte 0xc0 is not UTF-8\n");
        expect_has(LISTENERS "admin: /\xe2\x80\xa8\n",
                   "b.yaml:2:9: error: the character U+2028 is not allowed here\n");
        expect_has(LISTENERS "admin: /\xc2\x85\n",
                   "b.yaml:2:9: error: the character U+0085 is not allowed here\n");
        expect_has("a: 1\rb: 2\n", "b.yaml:1:5: error: the character U+000D is not allowed here\n");
        expect_has("\xff\xfe\0\0", "b.yaml: error: the file is UTF-16, expected UTF-8\n");
}
END_TEST

START_TEST(a_long_line_is_cut_around_its_error)
{
        char text[1024], *line;
        struct result r;

        memset(text, ' ', sizeof(text));
        memcpy(text, "{", 1);
        memcpy(text + 500, "shards: 64,", 11);
        memcpy(text + sizeof(text) - 30, LISTENERS, strlen(LISTENERS));
        text[sizeof(text) - 2] = '}';
        text[sizeof(text) - 1] = '\n';
        text[sizeof(text) - 30 + strlen(LISTENERS) - 1] = ' ';
        r = parse_bytes(text, sizeof(text));
        ck_assert_msg(strstr(r.errors, "b.yaml:1:509: error: bad value for \"shards\""), "%s", r.errors);
        line = strstr(r.errors, "    1 | ");
        ck_assert_ptr_nonnull(line);
        ck_assert_int_eq(strncmp(line, "    1 | ...      ", 17), 0);
        ck_assert_uint_eq(strcspn(line, "\n"), 8 + 3 + 100 + 3);
        ck_assert_ptr_eq(strchr(line, '^'), line + strcspn(line, "\n") + 1 + 8 + 3 + 40);
        result_deinit(&r);
}
END_TEST

START_TEST(at_most_20_errors_are_shown_and_all_are_counted)
{
        char text[1024] = LISTENERS;
        struct result r;
        unsigned n = 0;

        for (unsigned i = 0; i < 25; i++)
                sprintf(text + strlen(text), "key%u: x\n", i);
        r = parse(text);
        for (const char *s = r.errors; (s = strstr(s, ": error: ")); s++)
                n++;
        ck_assert_uint_eq(n, CONFIG_ERRORS_MAX);
        ck_assert_ptr_nonnull(strstr(r.errors, "b.yaml:21:1: error: unknown key \"key19\""));
        ck_assert_ptr_nonnull(strstr(r.errors, "\nbrokerd: 25 errors in b.yaml (the first 20 are shown); "
                                               "configuration not loaded\n"));
        result_deinit(&r);
}
END_TEST

/* Known failure 56. */
START_TEST(an_alias_bomb_is_refused_alias_by_alias)
{
        expect_has("a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n",
                   "b.yaml:4:9: error: aliases (*name) are not supported; write the value out, in quotes if it "
                   "starts with \"*\"\n");
}
END_TEST

/* Known failure 56. */
START_TEST(deep_nesting_is_refused_at_the_ninth_level)
{
        static char text[60000];

        expect_has("[[[[[[[[x]]]]]]]]", "b.yaml:1:1: error: expected lines of \"key: value\", got a list\n");
        expect_has("[[[[[[[[[x]]]]]]]]]", "b.yaml:1:9: error: nested deeper than 8 levels\n");
        memset(text, '[', sizeof(text) - 1);
        expect_has(text, "b.yaml:1:9: error: nested deeper than 8 levels\n");
        memset(text, '{', sizeof(text) - 1);
        expect_has(text, "b.yaml:1:9: error: nested deeper than 8 levels\n");
        for (size_t i = 0; i + 2 < sizeof(text); i += 2)
                memcpy(text + i, "- ", 2);
        expect_has(text, "b.yaml:1:17: error: nested deeper than 8 levels\n");
}
END_TEST

START_TEST(a_file_has_at_most_64_KiB)
{
        static char text[65537];
        struct result r;

        memset(text, '#', sizeof(text));
        memcpy(text, LISTENERS, strlen(LISTENERS));
        r = parse_bytes(text, 65536);
        ck_assert_msg(!!r.config, "%s", r.errors);
        result_deinit(&r);
        r = parse_bytes(text, 65537);
        ck_assert_str_eq(r.errors, "b.yaml: error: the file is larger than 64 KiB\n"
                                   "brokerd: 1 error in b.yaml; configuration not loaded\n");
        result_deinit(&r);
}
END_TEST

static void expect_file_error(const char *file, const char *expected)
{
        struct config *config = NULL;
        char *text, errors[512];
        size_t size;
        FILE *f = open_memstream(&text, &size);

        ck_assert_int_eq(config_load(&config, file, f), CONFIG_E_INVALID);
        fclose(f);
        ck_assert_ptr_null(config);
        snprintf(errors, sizeof(errors),
                 "%s: error: %s\n"
                 "brokerd: 1 error in %s; configuration not loaded\n",
                 file, expected, file);
        ck_assert_str_eq(text, errors);
        free(text);
}

START_TEST(a_file_that_cannot_be_read_gives_the_reason_of_the_system)
{
        char name[] = "test-config-XXXXXX";
        int fd = mkstemp(name);

        ck_assert_int_ge(fd, 0);
        close(fd);
        expect_file_error("/nonexistent/broker.yaml",
                          "cannot open the configuration file: No such file or directory");
        expect_file_error("/", "cannot read the configuration file: Is a directory");
        expect_file_error("/dev/zero", "the file is larger than 64 KiB");
        if (geteuid() != 0) {
                ck_assert_int_eq(chmod(name, 0), 0);
                expect_file_error(name, "cannot open the configuration file: Permission denied");
        }
        unlink(name);
}
END_TEST

START_TEST(a_pipe_is_a_file_as_well)
{
        struct config *config = NULL;
        char name[64];
        int fds[2];

        ck_assert_int_eq(pipe(fds), 0);
        ck_assert_int_eq(write(fds[1], LISTENERS, strlen(LISTENERS)), (ssize_t)strlen(LISTENERS));
        close(fds[1]);
        snprintf(name, sizeof(name), "/proc/self/fd/%d", fds[0]);
        ck_assert_int_eq(config_load(&config, name, stderr), 0);
        ck_assert_str_eq(config->file, name);
        config_free(config);
        close(fds[0]);
}
END_TEST

START_TEST(the_example_that_is_installed_loads)
{
        struct config *config = NULL;

        ck_assert_int_eq(config_load(&config, TOP_SRCDIR "/etc/broker.yaml", stderr), 0);
        ck_assert_uint_eq(config->n_listeners, 1);
        ck_assert_str_eq(config->listeners[0].path, "/run/brokerd/brokerd.sock");
        ck_assert_uint_eq(config->listeners[0].mode, 0600);
        ck_assert_str_eq(config->admin, "/run/brokerd/admin.sock");
        config_free(config);
}
END_TEST

/* Lines that start with "#" and no blank are what the comment above them is about. */
START_TEST(the_example_that_is_installed_loads_with_what_is_commented_out)
{
        char *text = manual_read(TOP_SRCDIR "/etc/broker.yaml");
        struct result r;

        for (char *at = text; (at = strstr(at, "\n#"));)
                if (at[2] != ' ' && at[2] != '\n')
                        memmove(at + 1, at + 2, strlen(at + 2) + 1);
                else
                        at++;
        for (char *at = text; (at = strstr(at, "\n#  "));)
                memmove(at + 1, at + 2, strlen(at + 2) + 1);
        ck_assert_uint_eq(manual_number_names(text), 4);
        r = parse(text);
        ck_assert_msg(!!r.config, "%s\n%s", text, r.errors);
        ck_assert_uint_eq(r.config->n_slow_consumers, 2);
        ck_assert_uint_eq(r.config->n_access, 3);
        ck_assert_uint_eq(r.config->max_output_per_user, 256 << 20);
        ck_assert(r.config->user == 4000003);
        result_deinit(&r);
        free(text);
}
END_TEST

START_TEST(the_examples_of_the_manual_load)
{
        char *manual = manual_read(TOP_SRCDIR "/man/broker.yaml.5"), *rest = manual;
        unsigned n = 0, n_rules = 0, n_slow = 0, n_names = 0;

        for (char *text; (text = manual_next_example(&rest)); n++) {
                struct result r;

                n_names += manual_number_names(text);
                r = parse(text);
                ck_assert_msg(!!r.config, "%s\n%s", text, r.errors);
                n_rules += r.config->n_access;
                n_slow += r.config->n_slow_consumers;
                result_deinit(&r);
        }
        ck_assert_uint_ge(n, 6);
        ck_assert_uint_eq(n_names, 5);
        ck_assert_uint_eq(n_rules, 4);
        ck_assert_uint_eq(n_slow, 2);
        free(manual);
}
END_TEST

START_TEST(the_manual_lists_the_options_that_the_table_has)
{
        char *manual = manual_read(TOP_SRCDIR "/man/broker.yaml.5"), *begin, *end, *list;
        size_t size;
        FILE *out;

        begin = strstr(manual, "options: begin\n");
        end = strstr(manual, ".\\\" options: end\n");
        ck_assert(begin && end);
        *end = 0;
        out = open_memstream(&list, &size);
        config_print_mdoc(out);
        fclose(out);
        ck_assert_msg(strcmp(strchr(begin, '\n') + 1, list) == 0,
                      "man/broker.yaml.5 is not what the table of options says: make update-man");
        free(list);
        free(manual);
}
END_TEST

START_TEST(auto_takes_half_of_the_cpus_but_one_to_four)
{
        static const unsigned shards[] = { 1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 4 };

        for (unsigned i = 0; i < sizeof(shards) / sizeof(*shards); i++)
                ck_assert_uint_eq(config_shards_auto(i), shards[i]);
        ck_assert_uint_eq(config_shards_auto(1024), 4);
}
END_TEST

static void add(TCase *cases)
{
        tcase_add_test(cases, the_sample_of_the_manual_loads_as_it_stands);
        tcase_add_test(cases, a_dump_loads_to_the_same_dump);
        tcase_add_test(cases, all_errors_are_reported_in_one_pass_in_the_order_of_the_file);
        tcase_add_test(cases, a_key_is_suggested_within_two_edits_and_a_third_of_its_length);
        tcase_add_test(cases, a_mistyped_key_is_not_missing_as_well);
        tcase_add_test(cases, each_option_takes_its_range_and_nothing_beyond);
        tcase_add_test(cases, each_option_of_the_log_takes_its_range_and_nothing_beyond);
        tcase_add_test(cases, each_option_of_a_listener_takes_its_range_and_nothing_beyond);
        tcase_add_test(cases, each_option_of_a_rule_takes_its_range_and_nothing_beyond);
        tcase_add_test(cases, a_rule_has_a_policy_and_either_allows_or_denies);
        tcase_add_test(cases, a_key_that_is_known_elsewhere_is_sent_there);
        tcase_add_test(cases, what_a_client_may_is_at_most_what_a_user_and_all_may);
        tcase_add_test(cases, a_bad_limit_is_not_compared);
        tcase_add_test(cases, a_default_gives_way_to_a_smaller_limit_that_is_given);
        tcase_add_test(cases, keys_that_a_rule_has_no_use_for_are_refused_with_the_reason);
        tcase_add_test(cases, a_rule_names_a_listener_by_its_path);
        tcase_add_test(cases, a_pattern_of_channels_is_any_bytes_that_yaml_can_write);
        tcase_add_test(cases, rules_and_values_have_a_number_that_they_may_be);
        tcase_add_test(cases, a_name_has_at_most_255_bytes);
        tcase_add_test(cases, no_limit_is_a_word);
        tcase_add_test(cases, a_dump_of_every_key_loads_to_the_same_dump);
        tcase_add_test(cases, a_mode_is_octal_however_it_is_written);
        tcase_add_test(cases, a_path_has_at_most_107_bytes_and_the_error_says_how_many_it_has);
        tcase_add_test(cases, a_path_that_cannot_be_a_socket_is_refused);
        tcase_add_test(cases, an_abstract_socket_has_no_mode_owner_or_group);
        tcase_add_test(cases, two_sockets_of_one_name_are_refused_with_both_places);
        tcase_add_test(cases, a_duplicate_key_names_the_first_place);
        tcase_add_test(cases, there_must_be_a_listener_with_a_path);
        tcase_add_test(cases, with_passed_sockets_there_need_be_no_listener);
        tcase_add_test(cases, more_than_64_listeners_are_refused);
        tcase_add_test(cases, a_slip_of_syntax_is_called_by_its_name_at_its_place);
        tcase_add_test(cases, a_slip_of_syntax_hides_no_error_before_it_and_makes_none_up);
        tcase_add_test(cases, columns_are_characters_and_the_caret_stands_below_the_place);
        tcase_add_test(cases, what_could_disturb_a_terminal_is_escaped);
        tcase_add_test(cases, a_long_line_is_cut_around_its_error);
        tcase_add_test(cases, at_most_20_errors_are_shown_and_all_are_counted);
        tcase_add_test(cases, an_alias_bomb_is_refused_alias_by_alias);
        tcase_add_test(cases, deep_nesting_is_refused_at_the_ninth_level);
        tcase_add_test(cases, a_file_has_at_most_64_KiB);
        tcase_add_test(cases, a_file_that_cannot_be_read_gives_the_reason_of_the_system);
        tcase_add_test(cases, a_pipe_is_a_file_as_well);
        tcase_add_test(cases, the_example_that_is_installed_loads);
        tcase_add_test(cases, the_example_that_is_installed_loads_with_what_is_commented_out);
        tcase_add_test(cases, the_examples_of_the_manual_load);
        tcase_add_test(cases, the_manual_lists_the_options_that_the_table_has);
        tcase_add_test(cases, auto_takes_half_of_the_cpus_but_one_to_four);
}

int main(int argc, char **argv)
{
        if (argc == 2 && strcmp(argv[1], "--print-mdoc") == 0) {
                config_print_mdoc(stdout);
                return 0;
        }
        return suite_run("config", add);
}
