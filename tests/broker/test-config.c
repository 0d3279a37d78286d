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

static void add(TCase *cases)
{
        tcase_add_test(cases, the_sample_of_the_manual_loads_as_it_stands);
        tcase_add_test(cases, a_dump_loads_to_the_same_dump);
        tcase_add_test(cases, all_errors_are_reported_in_one_pass_in_the_order_of_the_file);
        (void)expect_has, (void)expect_good;
}

int main(void)
{
        return suite_run("config", add);
}
