/* SPDX-License-Identifier: MIT */
/* Verbs about the configuration: the file, what runs, and how they differ. */

#include <stdio.h>
#include <string.h>

#include "ctl/checker.h"
#include "ctl/json.h"
#include "ctl/outcome.h"
#include "ctl/say.h"
#include "ctl/text.h"
#include "ctl/verbs.h"

#define CONFIG_DEFAULT_FILE SYSCONFDIR "/brokerd/broker.yaml"

/* ---------------------------------------------------------------- config check */

/* Excerpts of the file and the count of errors are for people. */
static bool config_is_error(struct bytes line)
{
        return line.n && !memchr(" 0123456789", line.p[0], 11) &&
               (line.n < 9 || memcmp(line.p, "brokerd: ", 9) != 0);
}

static void config_json_errors(struct json *json, struct bytes text)
{
        json_list(json, "errors");
        while (text.n) {
                const uint8_t *end = memchr(text.p, '\n', text.n);
                size_t n = end ? (size_t)(end - text.p) : text.n;

                if (config_is_error(bytes_of(text.p, n)))
                        json_bytes(json, NULL, bytes_of(text.p, n));
                n += end != NULL;
                text = bytes_of(text.p + n, text.n - n);
        }
        json_close(json);
}

static int config_check_json(const char *file)
{
        struct buffer errors = { 0 };
        struct json json;
        int r = checker_run(file, &errors), e = CTL_OK;

        if (r >= 0) {
                json_begin(&json, stdout, "brokerctl.config-check/1");
                json_string(&json, "file", file);
                json_bool(&json, "ok", r == CTL_OK);
                config_json_errors(&json, buffer_view(&errors));
                json_end(&json);
                e = say_flush();
        }
        buffer_deinit(&errors);
        return r ? CTL_FAILED : e;
}

int verb_config_check(const struct ctl_request *request)
{
        const char *file = request->n_operands ? request->operands[0] : CONFIG_DEFAULT_FILE;

        return request->json ? config_check_json(file) : checker_become(file);
}

/* ---------------------------------------------------------------- config show */

/* YAML keeps its lines and its own backslashes; nothing else in it drives a terminal. */
static void config_print_yaml(struct bytes yaml)
{
        for (size_t i = 0; i < yaml.n;) {
                size_t n = i;

                while (n < yaml.n && yaml.p[n] != '\n' && yaml.p[n] != '\\')
                        n++;
                text_escape(stdout, bytes_of(yaml.p + i, n - i));
                if (n < yaml.n)
                        putchar(yaml.p[n]);
                i = n + 1;
        }
}

static int config_show(const struct ctl_request *request, const struct link *link, const redisReply *reply)
{
        struct json json;

        if (reply->type != REDIS_REPLY_STRING)
                return verb_strange(link);
        if (request->json) {
                json_begin(&json, stdout, "brokerctl.config-show/1");
                json_bool(&json, "defaults", request->defaults);
                json_bytes(&json, "yaml", bytes_of(reply->str, reply->len));
                json_end(&json);
        } else {
                config_print_yaml(bytes_of(reply->str, reply->len));
        }
        return say_flush();
}

int verb_config_show(const struct ctl_request *request)
{
        struct bytes words[] = { BYTES_LITERAL("BROKER"), BYTES_LITERAL("CONFIG"), BYTES_LITERAL("SHOW"),
                                 BYTES_LITERAL("CHANGED") };
        redisReply *reply;
        struct link link;
        int r = link_ask(&link, request, words, request->defaults ? 3 : 4, &reply);

        if (!r) {
                r = config_show(request, &link, reply);
                freeReplyObject(reply);
        }
        link_close(&link);
        return r;
}

/* ---------------------------------------------------------------- config diff, config reload */

/* same: what to say when nothing differs. */
static int config_outcome(const struct ctl_request *request, const redisReply *reply, const char *schema,
                          const char *same)
{
        struct json json;
        int r;

        if (request->json) {
                json_begin(&json, stdout, schema);
                outcome_json(&json, reply);
                json_end(&json);
        } else {
                outcome_print(stdout, reply);
        }
        r = say_flush();
        if (!outcome_ok(reply)) {
                outcome_explain(reply);
                return CTL_FAILED;
        }
        if (!outcome_changes(reply))
                say_note(request, "%s", same);
        return r;
}

static int config_ask(const struct ctl_request *request, struct bytes verb, const char *schema,
                      const char *same)
{
        struct bytes words[] = { BYTES_LITERAL("BROKER"), BYTES_LITERAL("CONFIG"), verb };
        redisReply *reply;
        struct link link;
        int r = link_ask(&link, request, words, 3, &reply);

        if (!r) {
                r = outcome_valid(reply) ? config_outcome(request, reply, schema, same) : verb_strange(&link);
                freeReplyObject(reply);
        }
        link_close(&link);
        return r;
}

int verb_config_diff(const struct ctl_request *request)
{
        return config_ask(request, BYTES_LITERAL("DIFF"), "brokerctl.config-diff/1",
                          "the file and what runs are the same");
}

int verb_config_reload(const struct ctl_request *request)
{
        if (request->dry_run)
                return verb_config_diff(request);
        return config_ask(request, BYTES_LITERAL("RELOAD"), "brokerctl.config-reload/1",
                          "reloaded, and nothing changed");
}
