/* SPDX-License-Identifier: MIT */

#include "broker/config.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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
        ck_assert_uint_eq(r.config->max_clients, 10000);
        ck_assert_uint_eq(r.config->max_request_bytes, 512 << 20);
        ck_assert_int_eq(r.config->log_level, LOG_LEVEL_INFO);
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
                      "log_level: debug\n");
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
                            "  - path: \"@name\"\n"
                            "    backlog: 3\n"
                            "admin: /run/a.sock\n"
                            "ring_capacity: 2\n"
                            "backlog_bytes: 1\n"
                            "spin: 1500ns\n"
                            "io_uring_entries: 256\n"
                            "io_uring_buffers: 8\n"
                            "io_uring_receive: single\n"
                            "max_clients: 10000\n"
                            "max_request_bytes: 3MiB\n"
                            "log_level: debug\n");
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
        expect_has("listeners: [{socket: /x}]\n", "known here are path, mode, owner, group, backlog\n");
        expect_has("mode: 0600\n", "unknown key \"mode\"; it belongs to an item of \"listeners\"\n");
        expect_has("listeners: [{path: /x, shards: 3}]\n",
                   "unknown key \"shards\" in \"listeners[0]\"; it belongs to the top level\n");
        expect_has("reactor: libve\n", "expected \"auto\", \"io_uring\" or \"libev\"; did you mean \"libev\"?");
        expect_has("reactor: iouring\n", "did you mean \"io_uring\"?");
        expect_has("log_level: warn\n", "did you mean \"warning\"?");
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
        { "log_level", "error", "err" },
        { "log_level", "debug", "7" },
};

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
                "b.yaml:1:1: error: the key \"listeners\" is missing, expected a list of 1..64 "
                "listeners, each with a \"path\"\n";

        expect_has("shards: 3\n", whole);
        expect_has("{}", whole);
        expect_has("", "b.yaml:1:1: error: the file is empty; the key \"listeners\" is missing\n");
        expect_has("# nothing\n", "the file is empty");
        expect_has("---\n", "the file is empty");
        expect_has("listeners: []\n",
                   "got an empty list, expected a list of 1..64 listeners, each with a \"path\"\n");
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

START_TEST(more_than_64_listeners_are_refused)
{
        char text[4096] = "listeners:\n";
        size_t n = strlen(text);

        for (unsigned i = 0; i < 64; i++)
                n += (size_t)snprintf(text + n, sizeof(text) - n, " - path: /%u\n", i);
        expect_good(text);
        snprintf(text + n, sizeof(text) - n, " - path: /64\n");
        expect_has(text, "expected a list of 1..64 listeners");
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
        { "admin: \"/x\nlog_level: \"info\"\n",
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
        { LISTENERS "shards: *a\n", "2:9: error: aliases (*name) are not supported; write the value out" },
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
        expect_errors("\xef\xbb\xbf{shards: 64,\tä: \"日本\", spin: 1}\r\n" LISTENERS,
                      "b.yaml:1:10: error: bad value for \"shards\": got \"64\", expected an integer 1..63 or "
                      "\"auto\"\n"
                      "    1 | {shards: 64,\tä: \"日本\", spin: 1}\n"
                      "      |          ^~\n"
                      "b.yaml:1:14: error: unknown key \"ä\"; known here are shards, cpus, reactor, listeners, "
                      "admin, "
                      "ring_capacity, backlog_bytes, spin, io_uring_entries, io_uring_buffers, "
                      "io_uring_receive, max_clients, max_request_bytes, log_level\n"
                      "    1 | {shards: 64,\tä: \"日本\", spin: 1}\n"
                      "      |             \t^\n"
                      "b.yaml:1:29: error: bad value for \"spin\": got \"1\", expected a time 0..1ms (such as "
                      "20us); a "
                      "unit is missing: ns, us or ms\n"
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
                   "b.yaml:4:9: error: aliases (*name) are not supported; write the value out\n");
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

START_TEST(the_manual_lists_the_options_that_the_table_has)
{
        static char manual[65536];
        FILE *f = fopen(TOP_SRCDIR "/man/broker.yaml.5", "r"), *out;
        char *begin, *end, *list;
        size_t size;

        ck_assert_ptr_nonnull(f);
        size = fread(manual, 1, sizeof(manual) - 1, f);
        fclose(f);
        manual[size] = 0;
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
        tcase_add_test(cases, each_option_of_a_listener_takes_its_range_and_nothing_beyond);
        tcase_add_test(cases, a_mode_is_octal_however_it_is_written);
        tcase_add_test(cases, a_path_has_at_most_107_bytes_and_the_error_says_how_many_it_has);
        tcase_add_test(cases, a_path_that_cannot_be_a_socket_is_refused);
        tcase_add_test(cases, an_abstract_socket_has_no_mode_owner_or_group);
        tcase_add_test(cases, two_sockets_of_one_name_are_refused_with_both_places);
        tcase_add_test(cases, a_duplicate_key_names_the_first_place);
        tcase_add_test(cases, there_must_be_a_listener_with_a_path);
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
