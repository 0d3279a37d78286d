/* SPDX-License-Identifier: MIT */
/* Verbs that an operator needs while the broker serves: log, drain, explain. */

#include <grp.h>
#include <inttypes.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/json.h"
#include "ctl/say.h"
#include "ctl/status.h"
#include "ctl/text.h"
#include "ctl/verbs.h"
#include "util/clock.h"
#include "util/mem.h"
#include "util/suggest.h"

/* ---------------------------------------------------------------- log */

static const char *const levels[] = { "error", "warning", "notice", "info", "debug" };

#define N_LEVELS (sizeof(levels) / sizeof(*levels))

/* Return: CTL_OK, CTL_USAGE. */
static int log_check_level(const char *level)
{
        size_t best;

        for (size_t i = 0; i < N_LEVELS; i++)
                if (!strcmp(levels[i], level))
                        return CTL_OK;
        best = suggest_best(bytes_str(level), levels, N_LEVELS);
        if (best < N_LEVELS)
                return say_usage("there is no level \"%s\"; did you mean \"%s\"?", level, levels[best]);
        return say_usage("there is no level \"%s\", but error, warning, notice, info and debug", level);
}

int verb_log(const struct ctl_request *request)
{
        const char *level = request->operands[0];
        struct bytes words[] = { BYTES_LITERAL("BROKER"), BYTES_LITERAL("LOG"), bytes_str(level) };
        redisReply *reply;
        struct json json;
        struct link link;
        int r = log_check_level(level);

        if (r)
                return r;
        r = link_ask(&link, request, words, 3, &reply);
        if (!r) {
                freeReplyObject(reply);
                if (request->json) {
                        json_begin(&json, stdout, "brokerctl.log/1");
                        json_string(&json, "level", level);
                        json_end(&json);
                }
                r = say_flush();
                say_note(request, "the level is %s, until the next reload", level);
        }
        link_close(&link);
        return r;
}

/* ---------------------------------------------------------------- drain */

#define DRAIN_POLL_MS 200

/* Return: CTL_OK, else enum ctl_exit. */
static int drain_ask(struct link *link, const struct ctl_request *request, uint64_t *drainingp, uint64_t *leftp)
{
        struct bytes words[] = { BYTES_LITERAL("BROKER"), BYTES_LITERAL("DRAIN"), BYTES_LITERAL("OFF") };
        redisReply *reply;
        int r = link_ask_on(link, request, words, request->off ? 3 : 2, &reply);

        if (r)
                return r;
        if (!status_number(drainingp, reply, "draining") || !status_number(leftp, reply, "clients"))
                r = verb_strange(link);
        freeReplyObject(reply);
        return r;
}

static int drain_wait(struct link *link, const struct ctl_request *request, uint64_t *drainingp,
                      uint64_t *leftp)
{
        uint64_t deadline = request->has_timeout ? clock_now() + request->timeout : CLOCK_NEVER;
        int r = CTL_OK;

        while (!r && *leftp) {
                if (clock_now() >= deadline) {
                        say_error("%" PRIu64 " client%s left after %g s; the broker goes on draining", *leftp,
                                  *leftp == 1 ? " is" : "s are", (double)request->timeout / 1e9);
                        return CTL_TIMEOUT;
                }
                poll(NULL, 0, DRAIN_POLL_MS);
                r = drain_ask(link, request, drainingp, leftp);
        }
        return r;
}

static void drain_print(const struct ctl_request *request, uint64_t draining, uint64_t left)
{
        struct json json;

        if (request->json) {
                json_begin(&json, stdout, "brokerctl.drain/1");
                json_bool(&json, "draining", draining);
                json_unsigned(&json, "clients", left);
                json_end(&json);
        } else if (draining) {
                printf("draining, %" PRIu64 " client%s left\n", left, left == 1 ? " is" : "s are");
        } else {
                printf("not draining, %" PRIu64 " client%s connected\n", left, left == 1 ? " is" : "s are");
        }
}

int verb_drain(const struct ctl_request *request)
{
        uint64_t draining, left;
        struct link link;
        int r;

        if (request->off && request->wait)
                return say_usage("--off and --wait exclude each other");
        r = link_open(&link, request);
        if (!r)
                r = drain_ask(&link, request, &draining, &left);
        if (!r && request->wait)
                r = drain_wait(&link, request, &draining, &left);
        if (!r) {
                drain_print(request, draining, left);
                r = say_flush();
        }
        link_close(&link);
        return r;
}

/* ---------------------------------------------------------------- explain */

#define EXPLAIN_GROUPS_MAX 65536

struct person {
        char name[64]; /* or the number */
        uid_t uid;
        gid_t gid;
        bool has_gid; /* a number that the system has no user for has no groups */
        gid_t *groups;
        int n_groups;
};

static void person_groups(struct person *p, const char *name)
{
        int n = 64;

        p->groups = mem_alloc((size_t)n * sizeof(*p->groups));
        while (getgrouplist(name, p->gid, p->groups, &n) < 0 && n <= EXPLAIN_GROUPS_MAX)
                p->groups = mem_realloc(p->groups, (size_t)n * sizeof(*p->groups));
        p->n_groups = n;
}

static bool person_number(const char *text, uid_t *uidp)
{
        size_t n = strspn(text, "0123456789");
        unsigned long long value = n && n <= 10 && !text[n] ? strtoull(text, NULL, 10) : UINT64_MAX;

        if (value >= UINT32_MAX)
                return false;
        *uidp = (uid_t)value;
        return true;
}

/* Return: CTL_OK, CTL_USAGE. */
static int person_find(struct person *p, const char *who)
{
        const struct passwd *user;
        bool number = false;

        *p = (struct person){ .uid = geteuid() };
        if (who)
                number = person_number(who, &p->uid);
        user = who && !number ? getpwnam(who) : getpwuid(p->uid);
        if (!user && who && !number)
                return say_usage("there is no user \"%s\" on this machine", who);
        snprintf(p->name, sizeof(p->name), "%u", (unsigned)p->uid);
        if (!user)
                return CTL_OK;
        p->uid = user->pw_uid;
        p->gid = user->pw_gid;
        p->has_gid = true;
        snprintf(p->name, sizeof(p->name), "%s", user->pw_name);
        person_groups(p, p->name);
        return CTL_OK;
}

/* Each word of the question is kept in text. */
static void explain_number(struct bytes *words, size_t *np, struct buffer *text, const char *key, uint32_t n)
{
        char digits[16];
        int size = snprintf(digits, sizeof(digits), "%" PRIu32, n);

        words[(*np)++] = bytes_str(key);
        words[(*np)++] = bytes_of(text->data + text->end, (size_t)size);
        buffer_put(text, digits, (size_t)size);
}

static int explain_send(struct link *link, const struct ctl_request *request, const struct person *p,
                        redisReply **replyp)
{
        struct bytes *words = mem_alloc(((size_t)p->n_groups * 2 + 16) * sizeof(*words));
        struct buffer text = { 0 };
        size_t n = 0;
        int r;

        if (buffer_reserve(&text, ((size_t)p->n_groups + 2) * 16) < 0) /* so that it stays where it is */
                mem_fail();
        words[n++] = BYTES_LITERAL("BROKER");
        words[n++] = BYTES_LITERAL("EXPLAIN");
        for (int i = 0; i < request->n_operands; i++)
                words[n++] = bytes_str(request->operands[i]);
        explain_number(words, &n, &text, "UID", p->uid);
        if (p->has_gid)
                explain_number(words, &n, &text, "GID", p->gid);
        for (int i = 0; i < p->n_groups; i++)
                explain_number(words, &n, &text, "GROUP", p->groups[i]);
        if (request->listener) {
                words[n++] = BYTES_LITERAL("LISTENER");
                words[n++] = bytes_str(request->listener);
        }
        r = link_ask(link, request, words, n, replyp);
        buffer_deinit(&text);
        free(words);
        return r;
}

static struct bytes explain_text(const redisReply *reply, const char *name)
{
        const redisReply *value = status_get(reply, name);

        return status_is_text(value) ? bytes_of(value->str, value->len) : (struct bytes){ 0 };
}

static void explain_print(const struct ctl_request *request, const struct person *p, const redisReply *reply,
                          bool allowed)
{
        printf("%s (uid %u) may%s %s", p->name, (unsigned)p->uid, allowed ? "" : " not",
               strcmp(request->operands[0], "admin") ? request->operands[0] : "administer the broker");
        if (request->n_operands > 1) {
                fputs(strcmp(request->operands[0], "publish") && strcmp(request->operands[0], "subscribe")
                              ? " the pattern \""
                              : " to \"",
                      stdout);
                text_escape(stdout, bytes_str(request->operands[1]));
                putchar('"');
        }
        fputs(" by ", stdout);
        text_escape(stdout, explain_text(reply, "listener"));
        fputs(": ", stdout);
        text_escape(stdout, explain_text(reply, "reason"));
        putchar('\n');
}

static void explain_print_json(const struct ctl_request *request, const struct person *p,
                               const redisReply *reply, bool allowed)
{
        struct json json;

        json_begin(&json, stdout, "brokerctl.explain/1");
        json_string(&json, "action", request->operands[0]);
        if (request->n_operands > 1)
                json_bytes(&json, "channel", bytes_str(request->operands[1]));
        else
                json_null(&json, "channel");
        json_string(&json, "user", p->name);
        json_unsigned(&json, "uid", p->uid);
        json_list(&json, "groups");
        for (int i = 0; i < p->n_groups; i++)
                json_unsigned(&json, NULL, p->groups[i]);
        json_close(&json);
        json_bytes(&json, "listener", explain_text(reply, "listener"));
        json_bool(&json, "allowed", allowed);
        if (status_is_text(status_get(reply, "rule")))
                json_bytes(&json, "rule", explain_text(reply, "rule"));
        else
                json_null(&json, "rule");
        json_bytes(&json, "reason", explain_text(reply, "reason"));
        json_end(&json);
}

/* Return: CTL_OK, CTL_USAGE. */
static int explain_check(const struct ctl_request *request)
{
        static const char *const actions[] = { "publish", "subscribe", "psubscribe", "admin" };
        const char *action = request->operands[0];
        size_t i;

        for (i = 0; i < 4 && strcmp(actions[i], action) != 0; i++)
                ;
        if (i == 4) {
                i = suggest_best(bytes_str(action), actions, 4);
                if (i < 4)
                        return say_usage("\"%s\" is no action; did you mean \"%s\"?", action, actions[i]);
                return say_usage("\"%s\" is no action, but publish, subscribe, psubscribe and admin are",
                                 action);
        }
        if ((i == 3) != (request->n_operands == 1))
                return say_usage(i == 3 ? "\"admin\" has no channel" : "\"explain\" needs a channel");
        return CTL_OK;
}

int verb_explain(const struct ctl_request *request)
{
        struct link link = { .fd = -1 };
        struct person person = { 0 };
        redisReply *reply;
        uint64_t allowed;
        int r = explain_check(request);

        if (!r)
                r = person_find(&person, request->as);
        if (!r)
                r = explain_send(&link, request, &person, &reply);
        if (!r) {
                if (!status_number(&allowed, reply, "allowed") ||
                    !status_is_text(status_get(reply, "reason"))) {
                        r = verb_strange(&link);
                } else {
                        if (request->json)
                                explain_print_json(request, &person, reply, allowed);
                        else
                                explain_print(request, &person, reply, allowed);
                        r = say_flush();
                }
                freeReplyObject(reply);
        }
        free(person.groups);
        link_close(&link);
        return r;
}
