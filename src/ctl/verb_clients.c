/* SPDX-License-Identifier: MIT */
/* Verbs about clients: who they are, and how to end them. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/clients.h"
#include "ctl/json.h"
#include "ctl/say.h"
#include "ctl/table.h"
#include "ctl/text.h"
#include "ctl/verbs.h"
#include "util/clock.h"
#include "util/suggest.h"

/* ---------------------------------------------------------------- clients */

/* What --sort takes, and the field that it stands for. */
static const struct {
        const char *key, *field;
} sort_keys[] = {
        { "id", "id" },     { "age", "age" },   { "idle", "idle" },      { "waits", "omem" },
        { "lost", "lost" }, { "subs", "sub" },  { "patterns", "psub" },  { "user", "uid" },
        { "pid", "pid" },   { "name", "name" }, { "memory", "tot-mem" },
};

#define N_SORT_KEYS (sizeof(sort_keys) / sizeof(*sort_keys))

/* Return: the field; NULL after saying that there is no such key. */
static const char *clients_sort_field(const char *key)
{
        const char *names[N_SORT_KEYS];
        size_t best;

        for (size_t i = 0; i < N_SORT_KEYS; i++) {
                names[i] = sort_keys[i].key;
                if (!strcmp(names[i], key))
                        return sort_keys[i].field;
        }
        best = suggest_best(bytes_str(key), names, N_SORT_KEYS);
        if (best < N_SORT_KEYS)
                say_usage("clients cannot be sorted by \"%s\"; did you mean \"%s\"?", key, names[best]);
        else
                say_usage("clients cannot be sorted by \"%s\", but by id, age, idle, waits, lost, subs, "
                          "patterns, user, "
                          "pid, name, memory",
                          key);
        return NULL;
}

static const struct table_column columns[] = {
        { "id", true },   { "user", false }, { "pid", true },   { "program", false }, { "age", true },
        { "idle", true }, { "subs", true },  { "waits", true }, { "lost", true },     { "name", false },
};

static const struct table_column wide_columns[] = {
        { "id", true },     { "user", false },    { "pid", true },      { "program", false },
        { "age", true },    { "idle", true },     { "subs", true },     { "waits", true },
        { "lost", true },   { "shard", true },    { "memory", true },   { "resp", true },
        { "flags", false }, { "command", false }, { "library", false }, { "listener", false },
        { "name", false },
};

static void clients_put_bytes(struct table *table, uint64_t n)
{
        char text[TEXT_NUMBER_SIZE];

        text_bytes(text, n);
        table_put(table, bytes_str(text));
}

static void clients_put_wide(struct table *table, const struct client_row *row)
{
        const char *listener = client_field(row, "laddr"), *colon = strrchr(listener, ':');

        table_printf(table, "%s", *client_field(row, "shard") ? client_field(row, "shard") : "-");
        clients_put_bytes(table, client_number(row, "tot-mem"));
        table_printf(table, "%s", client_field(row, "resp"));
        table_printf(table, "%s", client_field(row, "flags"));
        table_printf(table, "%s", client_field(row, "cmd"));
        table_printf(table, "%s%s%s", client_field(row, "lib-name"), *client_field(row, "lib-ver") ? "/" : "",
                     client_field(row, "lib-ver"));
        table_put(table, bytes_of(listener, colon ? (size_t)(colon - listener) : strlen(listener)));
}

static void clients_put_row(struct table *table, const struct client_row *row, bool wide)
{
        char text[64];

        table_printf(table, "%" PRIu64, row->id);
        table_printf(table, "%s", client_user(row, text, sizeof(text)));
        table_printf(table, "%s", client_field(row, "pid"));
        table_put(table, bytes_str(client_program(row, text, sizeof(text))));
        text_duration(text, client_number(row, "age"));
        table_printf(table, "%s", text);
        text_duration(text, client_number(row, "idle"));
        table_printf(table, "%s", text);
        table_printf(table, "%" PRIu64, client_subscriptions(row));
        clients_put_bytes(table, client_number(row, "omem"));
        table_printf(table, "%s", *client_field(row, "lost") ? client_field(row, "lost") : "-");
        if (wide)
                clients_put_wide(table, row);
        table_put(table, bytes_str(client_field(row, "name")));
}

static void clients_print(const struct client_list *list, bool wide)
{
        struct table table;

        table_init(&table, wide ? wide_columns : columns,
                   wide ? sizeof(wide_columns) / sizeof(*wide_columns) : sizeof(columns) / sizeof(*columns));
        for (size_t i = 0; i < list->n; i++)
                clients_put_row(&table, &list->rows[i], wide);
        table_print(&table, stdout);
        table_deinit(&table);
}

static void clients_print_json(const struct client_list *list)
{
        struct json json;

        json_begin(&json, stdout, "brokerctl.clients/1");
        json_list(&json, "clients");
        for (size_t i = 0; i < list->n; i++)
                client_json(&json, &list->rows[i]);
        json_close(&json);
        json_end(&json);
}

/* The clients that the command line means, in order. Return: CTL_OK, else enum ctl_exit. */
static int clients_ask(struct link *link, const struct ctl_request *request, struct client_list *list)
{
        struct bytes words[] = { BYTES_LITERAL("CLIENT"), BYTES_LITERAL("LIST") };
        const char *field = request->sort ? clients_sort_field(request->sort) : NULL;
        redisReply *reply;
        int r;

        *list = (struct client_list){ 0 };
        if (request->sort && !field)
                return CTL_USAGE;
        r = link_ask(link, request, words, 2, &reply);
        if (r)
                return r;
        r = client_list_init(list, reply) ? client_list_filter(list, request) : verb_strange(link);
        freeReplyObject(reply);
        if (!r)
                client_list_sort(list, field);
        return r;
}

int verb_clients(const struct ctl_request *request)
{
        struct link link = { .fd = -1 };
        struct client_list list;
        int r = clients_ask(&link, request, &list);

        if (!r && request->json)
                clients_print_json(&list);
        else if (!r)
                clients_print(&list, request->wide);
        client_list_deinit(&list);
        link_close(&link);
        return r ? r : say_flush();
}

/* ---------------------------------------------------------------- kill */

static struct client_row *kill_find(const struct client_list *list, uint64_t id)
{
        for (size_t i = 0; i < list->n; i++)
                if (list->rows[i].id == id)
                        return &list->rows[i];
        return NULL;
}

static bool kill_named(const struct ctl_request *request, uint64_t id)
{
        for (int k = 0; k < request->n_operands; k++)
                if (strtoull(request->operands[k], NULL, 10) == id)
                        return true;
        return false;
}

/* Leaves those whose ids are named, and counts the ids that nobody has. Return: CTL_OK, CTL_USAGE. */
static int kill_by_id(struct client_list *list, const struct ctl_request *request, size_t *n_missingp)
{
        size_t n = 0;

        for (int k = 0; k < request->n_operands; k++) {
                const char *text = request->operands[k];

                if (!*text || strspn(text, "0123456789") != strlen(text) || strlen(text) > 18)
                        return say_usage("\"%s\" is no client's id; `brokerctl clients` shows them", text);
                if (kill_find(list, strtoull(text, NULL, 10)))
                        continue;
                say_error("no client that fits has the id %s", text);
                ++*n_missingp;
        }
        for (size_t i = 0; request->n_operands && i < list->n; i++) {
                if (kill_named(request, list->rows[i].id))
                        list->rows[n++] = list->rows[i];
                else
                        free(list->rows[i].line);
        }
        list->n = request->n_operands ? n : list->n;
        return CTL_OK;
}

/* This connection is a client as well. Return: CTL_OK, else enum ctl_exit. */
static int kill_spare_self(struct link *link, const struct ctl_request *request, struct client_list *list)
{
        struct bytes words[] = { BYTES_LITERAL("CLIENT"), BYTES_LITERAL("ID") };
        redisReply *reply;
        size_t n = 0;
        int r;

        link_queue(link, words, 2);
        r = link_receive(link, clock_now() + request->timeout, &reply);
        if (r)
                return link_explain(link, request, r);
        for (size_t i = 0; i < list->n; i++) {
                if (reply->type == REDIS_REPLY_INTEGER && list->rows[i].id == (uint64_t)reply->integer)
                        free(list->rows[i].line);
                else
                        list->rows[n++] = list->rows[i];
        }
        list->n = n;
        freeReplyObject(reply);
        return CTL_OK;
}

/* Return: whether to go on. */
static bool kill_confirm(const struct ctl_request *request, size_t n)
{
        char what[80], question[40];

        snprintf(what, sizeof(what), "end %zu clients: say --yes, or --dry-run to see them", n);
        snprintf(question, sizeof(question), "End %zu client%s?", n, n == 1 ? "" : "s");
        return say_confirm(request, what, question);
}

/* Return: CTL_OK, CTL_PARTIAL when some were gone or refused, else enum ctl_exit. */
static int kill_all(struct link *link, const struct ctl_request *request, const struct client_list *list)
{
        size_t killed = 0;

        for (size_t i = 0; i < list->n; i++) {
                char id[24];
                struct bytes words[] = {
                        BYTES_LITERAL("CLIENT"), BYTES_LITERAL("KILL"), BYTES_LITERAL("ID"), { 0 }
                };
                redisReply *reply;
                int r;

                snprintf(id, sizeof(id), "%" PRIu64, list->rows[i].id);
                words[3] = bytes_str(id);
                link_queue(link, words, 4);
                r = link_receive(link, clock_now() + request->timeout, &reply);
                if (r)
                        return link_explain(link, request, r);
                if (reply->type == REDIS_REPLY_ERROR)
                        link_refused(link, reply);
                killed += reply->type == REDIS_REPLY_INTEGER && reply->integer == 1;
                freeReplyObject(reply);
        }
        say_note(request, "ended %zu of %zu client%s", killed, list->n, list->n == 1 ? "" : "s");
        return killed == list->n ? CTL_OK : CTL_PARTIAL;
}

static int kill_run(struct link *link, const struct ctl_request *request, struct client_list *list)
{
        size_t n_missing = 0;
        int r = kill_by_id(list, request, &n_missing);

        if (!r)
                r = kill_spare_self(link, request, list);
        if (r)
                return r;
        if (!list->n) {
                say_error("no client fits");
                return CTL_FAILED;
        }
        if (request->json)
                clients_print_json(list);
        else
                clients_print(list, request->wide);
        r = say_flush();
        if (r || request->dry_run)
                return r;
        if (!kill_confirm(request, list->n))
                return CTL_FAILED;
        r = kill_all(link, request, list);
        return !r && n_missing ? CTL_PARTIAL : r;
}

int verb_kill(const struct ctl_request *request)
{
        struct link link = { .fd = -1 };
        struct client_list list;
        int r;

        if (!request->n_operands && !request->user && !request->name && !request->shard)
                return say_usage("say whom to end: ids, --user, --name or --shard");
        r = clients_ask(&link, request, &list);
        if (!r)
                r = kill_run(&link, request, &list);
        client_list_deinit(&list);
        link_close(&link);
        return r;
}
