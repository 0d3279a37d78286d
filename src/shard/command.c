/* SPDX-License-Identifier: MIT */
/* The command table, its look-up, and what is checked before a handler runs. */

#include "shard/command.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "resp/writer.h"
#include "shard/client.h"
#include "shard/counts.h"
#include "shard/foreign.h"
#include "shard/gather.h"
#include "shard/permit.h"
#include "shard/state.h"
#include "shard/tap.h"
#include "shard/transaction.h"
#include "util/plant.h"

#define S COMMAND_SUBSCRIBED
#define A COMMAND_ADMIN
#define C COMMAND_COLLECTS
#define O COMMAND_AT_ONCE
#define N COMMAND_NO_MULTI
#define B COMMAND_BARRED

/* Sorted by name: command_find() searches it by halves. */
static const struct command command_table[] = {
        { "acl", -2, 0, NULL, command_acl_rows, "server", NULL, "A container for commands about users." },
        { "auth", -2, B, command_auth, NULL, "connection", "[username] password",
          "Names the user, and shows the password." },
        { "broker", -2, A, NULL, command_broker_rows, "server", NULL,
          "A container for commands of the broker." },
        { "client", -2, 0, NULL, command_client_rows, "connection", NULL,
          "A container for commands about the connection." },
        { "command", -1, 0, command_list_all, command_command_rows, "server", NULL,
          "Details about all commands." },
        { "config", -2, A, NULL, command_config_rows, "server", NULL,
          "A container for commands about the configuration." },
        { "dbsize", 1, 0, command_dbsize, NULL, "server", NULL, "The number of keys: 0." },
        { "discard", 1, O, command_discard, NULL, "transactions", NULL, "Drops the commands since MULTI." },
        { "echo", 2, 0, command_echo, NULL, "connection", "message", "Returns the message." },
        { "exec", 1, O, command_exec, NULL, "transactions", NULL, "Executes the commands since MULTI." },
        { "flushall", -1, 0, command_flush, NULL, "server", "[ASYNC|SYNC]",
          "Deletes all keys, of which there are none." },
        { "flushdb", -1, 0, command_flush, NULL, "server", "[ASYNC|SYNC]",
          "Deletes all keys, of which there are none." },
        { "function", -2, 0, NULL, command_function_rows, "scripting", NULL,
          "A container for commands about functions." },
        { "hello", -1, B, command_hello, NULL, "connection",
          "[protover [AUTH username password] [SETNAME clientname]]", "Switches the protocol." },
        { "info", -1, 0, command_info, NULL, "server", "[section [section ...]]",
          "Counters of the broker as lines of text." },
        { "keys", 2, 0, command_keys, NULL, "generic", "pattern", "The keys that match: none." },
        { "latency", -2, 0, NULL, command_latency_rows, "server", NULL,
          "A container for commands about latencies." },
        { "monitor", 1, A, command_monitor, NULL, "server", NULL, "Shows every command that is executed." },
        { "multi", 1, O, command_multi, NULL, "transactions", NULL, "Begins to queue commands for EXEC." },
        { "ping", -1, S, command_ping, NULL, "connection", "[message]", "Tests the connection." },
        { "psubscribe", -2, S | C, command_psubscribe, NULL, "pubsub", "pattern [pattern ...]",
          "Subscribes to channels that match patterns." },
        { "publish", 3, 0, command_publish, NULL, "pubsub", "channel message",
          "Posts a message to a channel." },
        { "pubsub", -2, 0, NULL, command_pubsub_rows, "pubsub", NULL,
          "A container for commands about subscriptions." },
        { "punsubscribe", -1, S | C, command_punsubscribe, NULL, "pubsub", "[pattern [pattern ...]]",
          "Ends subscriptions to patterns, or to all." },
        { "quit", -1, S | O | B, command_quit, NULL, "connection", NULL, "Closes the connection." },
        { "reset", 1, S | O | B, command_reset, NULL, "connection", NULL,
          "Brings the connection back to its start." },
        { "role", 1, 0, command_role, NULL, "server", NULL, "The role in a replication: a master, alone." },
        { "scan", -2, 0, command_scan, NULL, "generic", "cursor [MATCH pattern] [COUNT count] [TYPE type]",
          "Goes through the keys: none." },
        { "select", 2, 0, command_select, NULL, "connection", "index",
          "Selects the database; there is only 0." },
        { "shutdown", -1, A | N, command_shutdown, NULL, "server", NULL, "Stops the broker." },
        { "slowlog", -2, 0, NULL, command_slowlog_rows, "server", NULL,
          "A container for commands about slow commands." },
        { "spublish", 3, 0, command_spublish, NULL, "pubsub", "shardchannel message",
          "Posts a message to a shard channel." },
        { "ssubscribe", -2, S | C, command_ssubscribe, NULL, "pubsub", "shardchannel [shardchannel ...]",
          "Subscribes to shard channels." },
        { "subscribe", -2, S | C, command_subscribe, NULL, "pubsub", "channel [channel ...]",
          "Subscribes to channels." },
        { "sunsubscribe", -1, S | C, command_sunsubscribe, NULL, "pubsub", "[shardchannel [shardchannel ...]]",
          "Ends subscriptions to shard channels, or to all." },
        { "time", 1, 0, command_time, NULL, "server", NULL,
          "The time: seconds, and microseconds of the second." },
        { "unsubscribe", -1, S | C, command_unsubscribe, NULL, "pubsub", "[channel [channel ...]]",
          "Ends subscriptions to channels, or to all." },
        { "unwatch", 1, 0, command_unwatch, NULL, "transactions", NULL, "Does nothing: there are no keys." },
        { "watch", -2, O, command_watch, NULL, "transactions", "key [key ...]",
          "Does nothing: there are no keys that could change." },
};

#undef S
#undef A
#undef C
#undef O
#undef N
#undef B

#define COMMAND_N (sizeof(command_table) / sizeof(*command_table))

/* ------------------------------------------------------------------ errors */

void command_error_coded(struct client *c, const char *text)
{
        counts_error(&c->shard->counts, text);
        writer_error(&c->shard->reply, text);
}

void command_error(struct client *c, const char *format, ...)
{
        char text[1024] = "ERR ";
        va_list ap;

        va_start(ap, format);
        vsnprintf(text + 4, sizeof(text) - 4, format, ap);
        va_end(ap);
        command_error_coded(c, text);
}

void command_error_tapping(struct client *c, const char *name)
{
        command_error(c, "Can't execute '%s': only PING / QUIT / RESET are allowed while it taps, in RESP2",
                      name);
}

/* In the words of Redis; a command that only Redis has is told apart behind them. */
static void command_error_unknown(struct client *c, const struct request *request)
{
        const char *reason = foreign_reason(request->argv[0]);
        char args[160] = "";
        size_t n = 0;

        for (uint32_t i = 1; i < request->argc && n < 128; i++)
                n += (size_t)snprintf(args + n, sizeof(args) - n, "'%.*s' ",
                                      (int)(request->argv[i].n < 128 - n ? request->argv[i].n : 128 - n),
                                      (const char *)request->argv[i].p);
        command_error(c, "unknown command '%.*s', with args beginning with: %s%s%s%s",
                      (int)(request->argv[0].n < 128 ? request->argv[0].n : 128),
                      (const char *)request->argv[0].p, args, reason ? "(brokerd " : "", reason ? reason : "",
                      reason ? ")" : "");
}

/* ------------------------------------------------------------------ look-up */

static int command_compare(const void *key, const void *row)
{
        const struct bytes *name = key;
        const char *other = ((const struct command *)row)->name;
        size_t n = strlen(other);
        int r = strncasecmp((const char *)name->p, other, name->n < n ? name->n : n);

        return r ? r : (name->n > n) - (name->n < n);
}

const struct command *command_find(struct bytes name)
{
        return bsearch(&name, command_table, COMMAND_N, sizeof(*command_table), command_compare);
}

static unsigned command_n_subs(const struct command *command)
{
        unsigned n = 0;

        while (command->subcommands && command->subcommands[n].name)
                n++;
        return n;
}

unsigned command_number(const struct command *command, const struct command *parent)
{
        unsigned n = COMMAND_N;

        if (!parent)
                return (unsigned)(command - command_table);
        for (const struct command *row = command_table; row < parent; row++)
                n += command_n_subs(row);
        return n + (unsigned)(command - parent->subcommands);
}

const struct command *command_at(unsigned number, const struct command **parentp)
{
        *parentp = NULL;
        if (number < COMMAND_N)
                return &command_table[number];
        number -= COMMAND_N;
        for (const struct command *row = command_table; row < command_table + COMMAND_N; row++) {
                unsigned n = command_n_subs(row);

                if (number < n) {
                        *parentp = row;
                        return &row->subcommands[number];
                }
                number -= n;
        }
        return NULL;
}

const struct command *command_find_sub(const struct command *parent, struct bytes name)
{
        for (const struct command *row = parent->subcommands; row && row->name; row++)
                if (bytes_is(name, row->name))
                        return row;
        return NULL;
}

const char *command_full_name(const struct command *command, char *buffer, size_t size)
{
        const struct command *parent = NULL;

        if (!command)
                return "NULL";
        for (size_t i = 0; i < COMMAND_N && !parent; i++)
                for (const struct command *row = command_table[i].subcommands; row && row->name; row++)
                        if (row == command)
                                parent = &command_table[i];
        snprintf(buffer, size, "%s%s%s", parent ? parent->name : "", parent ? "|" : "", command->name);
        return buffer;
}

static bool command_arity_fits(const struct command *command, uint32_t argc)
{
        return command->arity >= 0 ? argc == (uint32_t)command->arity : argc >= (uint32_t)-command->arity;
}

/* ------------------------------------------------------------------ dispatch */

enum command_result command_help(struct client *c, const struct request *request)
{
        const struct command *parent = command_find(request->argv[0]);
        struct buffer *b = &c->shard->reply;
        char line[160];
        size_t n = 1;

        for (const struct command *row = parent->subcommands; row->name; row++)
                n += 2;
        writer_array(b, n);
        snprintf(line, sizeof(line),
                 "%s <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", parent->name);
        for (char *p = line; *p && *p != ' '; p++)
                *p &= ~0x20;
        writer_simple(b, line);
        for (const struct command *row = parent->subcommands; row->name; row++) {
                snprintf(line, sizeof(line), "%s%s%s", row->name, row->arguments ? " " : "",
                         row->arguments ? row->arguments : "");
                for (char *p = line; *p && *p != ' '; p++)
                        if (*p >= 'a' && *p <= 'z')
                                *p &= ~0x20;
                writer_simple(b, line);
                snprintf(line, sizeof(line), "    %s", row->help);
                writer_simple(b, line);
        }
        return COMMAND_DONE;
}

static struct count_command *command_counter(const struct client *c, const struct command *command,
                                             const struct command *parent)
{
        unsigned number = command_number(command, parent);

        assert(number < COUNTS_COMMANDS_MAX);
        return &c->shard->counts.commands[number];
}

/* Refuses a command for its context or its arguments. For EXEC that is the end of its transaction, and Redis
 * says so. */
__attribute__((format(printf, 3, 4))) static void
command_refuse(struct client *c, const struct command *command, const char *format, ...)
{
        bool exec = command->run == command_exec;
        char text[512];
        int n = snprintf(text, sizeof(text), "%s",
                         exec ? "EXECABORT Transaction discarded because of: " : "ERR ");
        va_list ap;

        va_start(ap, format);
        vsnprintf(text + n, sizeof(text) - (size_t)n, format, ap);
        va_end(ap);
        command_error_coded(c, text);
}

static const char *command_upper(const struct command *command, char name[32])
{
        size_t i;

        for (i = 0; i < 31 && command->name[i]; i++)
                name[i] = (char)(command->name[i] & ~0x20);
        name[i] = 0;
        return name;
}

/*
 * A program that speaks HTTP was made to connect, perhaps against the will of its user, by somebody who may
 * choose some of the lines. As Redis does, the broker hangs up at the first line that tells, before it comes to
 * those.
 */
static bool command_hang_up_on_http(struct client *c, struct bytes name)
{
        if (!bytes_is(name, "post") && !bytes_is(name, "host:"))
                return false;
        shard_notice(c->shard, c, "disconnected, it speaks HTTP");
        client_close(c);
        return true;
}

/* The row that handles the request. Return: NULL after the error was answered. */
static const struct command *command_resolve(struct client *c, const struct request *request,
                                             const struct command **parentp)
{
        const struct command *command = command_find(request->argv[0]), *sub;
        char name[32];

        *parentp = NULL;
        if (!command) {
                if (!command_hang_up_on_http(c, request->argv[0]))
                        command_error_unknown(c, request);
                return NULL;
        }
        if (!command->subcommands || (request->argc == 1 && command->run))
                return command;
        if (request->argc == 1) {
                command_error(c, "wrong number of arguments for '%s' command", command->name);
                command_counter(c, command, NULL)->rejected++;
                return NULL;
        }
        *parentp = command;
        sub = command_find_sub(command, request->argv[1]);
        if (!sub)
                command_error(c, "unknown subcommand '%.*s'. Try %s HELP.",
                              (int)(request->argv[1].n < 128 ? request->argv[1].n : 128),
                              (const char *)request->argv[1].p, command_upper(command, name));
        return sub;
}

/* Whether the command may run now; answers the error if not. */
static bool command_permitted(struct client *c, const struct command *command, const struct command *parent,
                              uint32_t argc)
{
        const char *first = parent ? parent->name : command->name, *bar = parent ? "|" : "";
        const char *second = parent ? command->name : "";

        if (!command_arity_fits(command, argc)) {
                command_refuse(c, command, "wrong number of arguments for '%s%s%s' command", first, bar,
                               second);
                return false;
        }
        if (c->barred && !(command->flags & COMMAND_BARRED)) {
                command_error_coded(c, command->run == command_exec
                                               ? "EXECABORT Transaction discarded because of: NOAUTH "
                                                 "Authentication required."
                                               : "NOAUTH Authentication required.");
                return false;
        }
        if (!permit_command(c, command, parent))
                return false;
        if (c->subscriber.protocol == WRITER_RESP2 && client_subscriptions(c) &&
            !(command->flags & COMMAND_SUBSCRIBED)) {
                command_refuse(c, command,
                               "Can't execute '%s%s%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / "
                               "RESET are allowed in this context",
                               first, bar, second);
                return false;
        }
        if (tap_forbids(c, command)) {
                char name[64];

                command_error_tapping(c, command_full_name(command, name, sizeof(name)));
                return false;
        }
        if (c->transaction && command->flags & COMMAND_NO_MULTI) {
                command_error(c, "Command not allowed inside a transaction");
                return false;
        }
        return true;
}

enum command_result command_call(struct client *c, const struct command *command, const struct command *parent,
                                 const struct request *request)
{
        struct count_command *count = command_counter(c, command, parent);
        uint64_t *errors = &c->shard->counts.n_errors, before = *errors;
        enum command_result r;

        r = command->run(c, request);
        if (command->flags & COMMAND_COLLECTS && client_is_silent(c) && r != COMMAND_REFUSED)
                client_push_flush(c);
        if (r == COMMAND_REFUSED) {
                count->rejected++;
        } else if (r != COMMAND_WAIT) {
                count->calls++;
                count->failed += *errors > before; /* less: it reset the counters */
                if (c->shard->monitored && c->end == CLIENT_OPEN)
                        tap_executed(c, command, parent, request);
        }
        return r;
}

/* A command that has a row: refuses it, keeps it for EXEC, or calls it. */
static enum command_result command_run(struct client *c, const struct request *request,
                                       const struct command *command, const struct command *parent)
{
        if (!command_permitted(c, command, parent, request->argc)) {
                command_counter(c, command, parent)->rejected++;
                transaction_spoil(c, command->run == command_exec);
                return COMMAND_DONE;
        }
        if (c->transaction && !(command->flags & COMMAND_AT_ONCE)) {
                if (!permit_queued(c, command, request)) {
                        command_counter(c, command, parent)->rejected++;
                        transaction_spoil(c, false);
                        return COMMAND_DONE;
                }
                transaction_queue(c, command, parent, request);
                return COMMAND_DONE;
        }
        return command_call(c, command, parent, request);
}

/* Everything but a PUBLISH or SPUBLISH that fits. */
static enum command_result command_dispatch_other(struct client *c, const struct request *request)
{
        const struct command *command, *parent;
        bool collects;

        command = command_find(request->argv[0]);
        /* one that will be refused must not: its error would overtake what the gather answers */
        collects = command && command->flags & COMMAND_COLLECTS && command_arity_fits(command, request->argc);
        if (c->gather && !collects) {
                gather_ask(c);
                if (c->wait != CLIENT_RUNS)
                        return COMMAND_WAIT;
        }
        if (transaction_denies(c, request))
                return COMMAND_DONE;
        command = command_resolve(c, request, &parent);
        c->command = command;
        if (command)
                return command_run(c, request, command, parent);
        transaction_spoil(c, false);
        return COMMAND_DONE;
}

/* Counts a PUBLISH that was executed without a look-up, or refused. */
static inline enum command_result command_published(struct client *c, const struct command *command,
                                                    uint64_t *calls, enum command_result r)
{
        if (r < COMMAND_WAIT)
                ++*calls;
        else if (r == COMMAND_REFUSED)
                command_counter(c, command, NULL)->rejected++;
        return r;
}

enum command_result command_dispatch(struct client *c, const struct request *request)
{
        struct shard *s = c->shard;
        enum command_result r;

        if (request->argc == 3 && !c->gather && !c->transaction && !client_subscriptions(c) &&
            (!c->barred || PLANTED(34)) && !c->tapping) {
                if (bytes_is(request->argv[0], "publish")) {
                        c->command = s->publish;
                        r = command_publish(c, request);
                        return command_published(c, s->publish, s->publish_calls, r);
                }
                if (bytes_is(request->argv[0], "spublish")) {
                        c->command = s->spublish;
                        r = command_spublish(c, request);
                        return command_published(c, s->spublish, s->spublish_calls, r);
                }
        }
        if (!PLANTED(7))
                deliver_settle(s);
        return command_dispatch_other(c, request);
}
