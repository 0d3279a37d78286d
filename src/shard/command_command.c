/* SPDX-License-Identifier: MIT */
/* COMMAND, and ACL CAT: the table of commands as clients may ask for it. Nothing here has keys. */

#include <stdio.h>

#include "pubsub/glob.h"
#include "resp/writer.h"
#include "shard/client.h"
#include "shard/command.h"
#include "shard/state.h"

/* A row with what it is a subcommand of. */
struct entry {
        const struct command *command, *parent; /* parent NULL: a command */
};

static bool entry_at(struct entry *e, unsigned number)
{
        e->command = command_at(number, &e->parent);
        return e->command != NULL;
}

static unsigned entry_n_subs(const struct entry *e)
{
        unsigned n = 0;

        while (e->command->subcommands && e->command->subcommands[n].name)
                n++;
        return n;
}

#define ENTRY_NAME_MAX 64

/* "command" or "command|subcommand". */
static const char *entry_name(const struct entry *e, char name[ENTRY_NAME_MAX])
{
        snprintf(name, ENTRY_NAME_MAX, "%s%s%s", e->parent ? e->parent->name : "", e->parent ? "|" : "",
                 e->command->name);
        return name;
}

static bool entry_find(struct entry *e, struct bytes name)
{
        const uint8_t *bar = name.n ? memchr(name.p, '|', name.n) : NULL;
        struct bytes sub = { 0 };

        if (bar) {
                sub = bytes_of(bar + 1, (size_t)(name.p + name.n - bar) - 1);
                name.n = (size_t)(bar - name.p);
        }
        *e = (struct entry){ .command = command_find(name) };
        if (!bar || !e->command)
                return e->command != NULL;
        e->parent = e->command;
        e->command = command_find_sub(e->parent, sub);
        return e->command != NULL;
}

/* ------------------------------------------------------------------ flags and categories */

/* In the words of Redis, where who reaches others is an administrator. */
static bool entry_is_admin(const struct entry *e)
{
        if (e->command->flags & COMMAND_OPEN)
                return false;
        return (e->command->flags | (e->parent ? e->parent->flags : 0)) & (COMMAND_ADMIN | COMMAND_OTHERS);
}

/* The names of Redis for the groups of the table. */
static const struct {
        const char *category, *group;
} category_groups[] = {
        { "keyspace", "generic" },         { "pubsub", "pubsub" },       { "connection", "connection" },
        { "transaction", "transactions" }, { "scripting", "scripting" },
};

#define CATEGORY_GROUPS_N (sizeof(category_groups) / sizeof(*category_groups))

static const char *const categories[] = { "keyspace",  "pubsub",     "admin",       "fast",     "slow",
                                          "dangerous", "connection", "transaction", "scripting" };

#define CATEGORIES_N (sizeof(categories) / sizeof(*categories))

/* A container has no rights of its own, as in Redis. */
static bool entry_is_in(const struct entry *e, const char *category)
{
        bool container = entry_n_subs(e), admin = entry_is_admin(e) && !container;

        if (!strcmp(category, "admin") || !strcmp(category, "dangerous"))
                return admin;
        if (!strcmp(category, "slow"))
                return admin || container;
        if (!strcmp(category, "fast"))
                return !admin && !container;
        for (size_t i = 0; i < CATEGORY_GROUPS_N; i++)
                if (!strcmp(category_groups[i].category, category))
                        return !container && !strcmp(category_groups[i].group, e->command->group);
        return false;
}

static void write_word(struct buffer *words, unsigned *np, const char *prefix, const char *word)
{
        char text[40];

        snprintf(text, sizeof(text), "%s%s", prefix, word);
        writer_simple(words, text);
        ++*np;
}

static void write_words(struct buffer *b, enum writer_proto proto, struct buffer *words, unsigned n)
{
        writer_set(b, proto, n);
        buffer_put(b, buffer_view(words).p, buffer_size(words));
        buffer_deinit(words);
}

static void write_flags(struct buffer *b, enum writer_proto proto, const struct entry *e)
{
        struct buffer words = { 0 };
        unsigned n = 0;

        if (entry_is_in(e, "admin"))
                write_word(&words, &n, "", "admin");
        if (entry_is_in(e, "pubsub"))
                write_word(&words, &n, "", "pubsub");
        if (!entry_n_subs(e)) {
                write_word(&words, &n, "", "loading");
                write_word(&words, &n, "", "stale");
        }
        if (entry_is_in(e, "fast"))
                write_word(&words, &n, "", "fast");
        write_words(b, proto, &words, n);
}

static void write_categories(struct buffer *b, enum writer_proto proto, const struct entry *e)
{
        struct buffer words = { 0 };
        unsigned n = 0;

        for (size_t i = 0; i < CATEGORIES_N; i++)
                if (entry_is_in(e, categories[i]))
                        write_word(&words, &n, "@", categories[i]);
        write_words(b, proto, &words, n);
}

/* ------------------------------------------------------------------ COMMAND, COMMAND INFO */

static void write_info(struct buffer *b, enum writer_proto proto, const struct entry *e)
{
        char name[ENTRY_NAME_MAX];
        unsigned n = entry_n_subs(e);

        writer_array(b, 10);
        writer_bulk_str(b, entry_name(e, name));
        writer_integer(b, e->command->arity);
        write_flags(b, proto, e);
        for (int i = 0; i < 3; i++)
                writer_integer(b, 0); /* no keys: first, last, step */
        write_categories(b, proto, e);
        writer_set(b, proto, 0); /* tips */
        writer_set(b, proto, 0); /* specifications of keys */
        if (n)
                writer_array(b, n);
        else
                writer_set(b, proto, 0);
        for (unsigned i = 0; i < n; i++)
                write_info(b, proto, &(struct entry){ &e->command->subcommands[i], e->command });
}

/* Rows of the table; subcommands have the numbers behind them. */
static unsigned count_commands(void)
{
        struct entry e;
        unsigned n = 0;

        while (entry_at(&e, n) && !e.parent)
                n++;
        return n;
}

enum command_result command_list_all(struct client *c, const struct request *request)
{
        unsigned n = count_commands();
        struct entry e;

        (void)request;
        writer_array(&c->shard->reply, n);
        for (unsigned i = 0; i < n && entry_at(&e, i); i++)
                write_info(&c->shard->reply, c->subscriber.protocol, &e);
        return COMMAND_DONE;
}

/*
 * A short name can ask for a long answer, again and again in one request. What passes the limit of output would
 * end the client when it is flushed; it is ended as soon as that is known, before the answer takes all memory.
 */
static bool answer_is_too_long(struct client *c)
{
        struct shard *s = c->shard;

        if (buffer_size(&s->reply) <= s->policy->limits.output_hard)
                return false;
        s->status.output_limit_closed++;
        shard_notice(s, c, "disconnected, its answer passed the limit");
        client_close(c);
        return true;
}

static enum command_result command_info_named(struct client *c, const struct request *request)
{
        struct buffer *b = &c->shard->reply;
        struct entry e;

        if (request->argc == 2)
                return command_list_all(c, request);
        writer_array(b, request->argc - 2);
        for (uint32_t i = 2; i < request->argc && !answer_is_too_long(c); i++)
                if (entry_find(&e, request->argv[i]))
                        write_info(b, c->subscriber.protocol, &e);
                else
                        writer_null(b, c->subscriber.protocol);
        return COMMAND_DONE;
}

static enum command_result command_count(struct client *c, const struct request *request)
{
        (void)request;
        writer_integer(&c->shard->reply, count_commands());
        return COMMAND_DONE;
}

/* ------------------------------------------------------------------ COMMAND DOCS */

static void write_docs(struct buffer *b, enum writer_proto proto, const struct entry *e)
{
        unsigned n = entry_n_subs(e);
        char name[ENTRY_NAME_MAX];

        writer_bulk_str(b, entry_name(e, name));
        writer_map(b, proto, n ? 4 : 3);
        writer_bulk_str(b, "summary");
        writer_bulk_str(b, e->command->help);
        writer_bulk_str(b, "since");
        writer_bulk_str(b, "0.1.0");
        writer_bulk_str(b, "group");
        writer_bulk_str(b, e->command->group);
        if (!n)
                return;
        writer_bulk_str(b, "subcommands");
        writer_map(b, proto, n);
        for (unsigned i = 0; i < n; i++)
                write_docs(b, proto, &(struct entry){ &e->command->subcommands[i], e->command });
}

static enum command_result command_docs(struct client *c, const struct request *request)
{
        struct buffer *b = &c->shard->reply;
        enum writer_proto proto = c->subscriber.protocol;
        struct entry e;
        uint32_t n = request->argc == 2 ? count_commands() : 0;

        for (uint32_t i = 2; i < request->argc; i++)
                n += entry_find(&e, request->argv[i]);
        writer_map(b, proto, n);
        for (uint32_t i = 0; request->argc == 2 && i < n && entry_at(&e, i); i++)
                write_docs(b, proto, &e);
        for (uint32_t i = 2; i < request->argc && !answer_is_too_long(c); i++)
                if (entry_find(&e, request->argv[i]))
                        write_docs(b, proto, &e);
        return COMMAND_DONE;
}

/* ------------------------------------------------------------------ COMMAND LIST, ACL CAT */

/* What a list holds; each NULL: no condition. */
struct filter {
        const char *category;
        const struct bytes *pattern;
};

static bool entry_passes(const struct entry *e, const struct filter *filter)
{
        char name[ENTRY_NAME_MAX];

        if (filter->category)
                return entry_is_in(e, filter->category);
        return !filter->pattern || glob_match(*filter->pattern, bytes_str(entry_name(e, name)));
}

static void write_list(struct client *c, const struct filter *filter)
{
        struct buffer names = { 0 };
        char name[ENTRY_NAME_MAX];
        struct entry e;
        unsigned n = 0;

        for (unsigned i = 0; entry_at(&e, i); i++) {
                if (!entry_passes(&e, filter))
                        continue;
                writer_bulk_str(&names, entry_name(&e, name));
                n++;
        }
        writer_array(&c->shard->reply, n);
        buffer_put(&c->shard->reply, buffer_view(&names).p, buffer_size(&names));
        buffer_deinit(&names);
}

static const char *category_find(struct bytes name)
{
        for (size_t i = 0; i < CATEGORIES_N; i++)
                if (bytes_is(name, categories[i]))
                        return categories[i];
        return NULL;
}

static enum command_result command_list(struct client *c, const struct request *request)
{
        const struct bytes *argv = request->argv;
        struct filter filter = { 0 };

        if (request->argc != 2 && (request->argc != 5 || !bytes_is(argv[2], "filterby"))) {
                command_error(c, "syntax error");
                return COMMAND_DONE;
        }
        if (request->argc == 5 && bytes_is(argv[3], "pattern")) {
                filter.pattern = &argv[4];
        } else if (request->argc == 5 && bytes_is(argv[3], "aclcat")) {
                filter.category = category_find(argv[4]);
                if (!filter.category)
                        filter.category = "";
        } else if (request->argc == 5 && bytes_is(argv[3], "module")) {
                filter.category = ""; /* there are no modules */
        } else if (request->argc == 5) {
                command_error(c, "syntax error");
                return COMMAND_DONE;
        }
        write_list(c, &filter);
        return COMMAND_DONE;
}

enum command_result command_acl_cat(struct client *c, const struct request *request)
{
        struct filter filter = { 0 };

        if (request->argc > 3) {
                command_error(c, "unknown subcommand or wrong number of arguments for '%.*s'. Try ACL HELP.",
                              (int)request->argv[1].n, (const char *)request->argv[1].p);
                return COMMAND_DONE;
        }
        if (request->argc == 2) {
                writer_array(&c->shard->reply, CATEGORIES_N);
                for (size_t i = 0; i < CATEGORIES_N; i++)
                        writer_bulk_str(&c->shard->reply, categories[i]);
                return COMMAND_DONE;
        }
        filter.category = category_find(request->argv[2]);
        if (filter.category)
                write_list(c, &filter);
        else
                command_error(c, "Unknown category '%.*s'",
                              (int)(request->argv[2].n < 128 ? request->argv[2].n : 128),
                              (const char *)request->argv[2].p);
        return COMMAND_DONE;
}

/* ------------------------------------------------------------------ COMMAND GETKEYS */

static enum command_result command_getkeys(struct client *c, const struct request *request)
{
        const struct command *command = command_find(request->argv[2]);

        if (command && command->subcommands)
                command = request->argc > 3 ? command_find_sub(command, request->argv[3]) : NULL;
        command_error(c, command ? "The command has no key arguments" : "Invalid command specified");
        return COMMAND_DONE;
}

const struct command command_command_rows[] = {
        { "count", 2, 0, command_count, NULL, "server", NULL, "The number of commands." },
        { "docs", -2, 0, command_docs, NULL, "server", "[<command> ...]", "Documentation of commands." },
        { "getkeys", -3, 0, command_getkeys, NULL, "server", "<full-command>",
          "An error, since no command has keys." },
        { "getkeysandflags", -3, 0, command_getkeys, NULL, "server", "<full-command>",
          "An error, since no command has keys." },
        { "info", -2, 0, command_info_named, NULL, "server", "[<command> ...]",
          "Details of the named commands." },
        { "list", -2, 0, command_list, NULL, "server",
          "[FILTERBY <PATTERN pattern | ACLCAT category | MODULE name>]",
          "The names of all commands and subcommands, or of some." },
        COMMAND_HELP("server"),
        { 0 },
};
