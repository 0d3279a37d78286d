/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "resp/reader.h"
#include "util/buffer.h"
#include "util/bytes.h"

/*
 * The commands: one table, whose row is all there is to a command besides its handler. COMMAND, the HELP texts
 * and the checks of arity, right and context derive from it.
 */

struct client;
struct subscription;

enum {
        COMMAND_SUBSCRIBED = 1 << 0, /* allowed in a subscribed RESP2 connection */
        COMMAND_ADMIN = 1 << 1,      /* needs the right to administer */
        COMMAND_OTHERS = 1 << 3,     /* needs it for clients of other users: see shard/roster.h */
        COMMAND_COLLECTS = 1 << 2,   /* may join the gather that collects: it asks by itself or not at all; its
                                        replies are acknowledgements, which CLIENT REPLY does not silence */
        COMMAND_AT_ONCE = 1 << 4,    /* executed, not queued, between MULTI and EXEC */
        COMMAND_NO_MULTI = 1 << 5,   /* refused there */
        COMMAND_BARRED = 1 << 10,    /* also for clients that have to authenticate first */
        COMMAND_OPEN = 1 << 6,       /* for everybody, also where its container needs the right to administer */
};

enum command_result {
        COMMAND_DONE,
        COMMAND_YIELD,   /* done, but it took long: others come first before the client's next request */
        COMMAND_WAIT,    /* not executed: the client waits (client.wait says for what) and the request stays */
        COMMAND_REFUSED, /* not executed: it may not, as was answered */
};

struct command {
        const char *name;
        int arity; /* arguments with the name; negative: at least that many */
        unsigned flags;
        enum command_result (*run)(struct client *c, const struct request *request); /* NULL: see subcommands */
        const struct command *subcommands; /* ended by a row without name; their arity counts both words */
        const char *group;
        const char *arguments; /* as the help shows them */
        const char *help;
};

/*
 * Executes a request: appends its reply to shard.reply, or refuses it.
 * Return: COMMAND_DONE, COMMAND_YIELD, COMMAND_WAIT.
 */
enum command_result command_dispatch(struct client *c, const struct request *request);

/* Calls the handler of a command that was checked, and counts that. Return: what the handler returns. */
enum command_result command_call(struct client *c, const struct command *command, const struct command *parent,
                                 const struct request *request);

/* The row of a name; NULL: there is none. */
const struct command *command_find(struct bytes name);
const struct command *command_find_sub(const struct command *parent, struct bytes name);

/*
 * Rows have numbers without gaps, first those of the table in their order, then the subcommands of each. The
 * parent is NULL for a row of the table. Return: the row of a number; NULL behind the last.
 */
unsigned command_number(const struct command *command, const struct command *parent);
const struct command *command_at(unsigned number, const struct command **parentp);

/* The subcommand rows of the containers and the handlers, for the table in command.c. */
extern const struct command command_pubsub_rows[];
extern const struct command command_acl_rows[];
extern const struct command command_client_rows[];
extern const struct command command_broker_rows[];
extern const struct command command_command_rows[];
extern const struct command command_config_rows[];
extern const struct command command_function_rows[];
extern const struct command command_latency_rows[];
extern const struct command command_slowlog_rows[];

enum command_result command_publish(struct client *c, const struct request *request);
enum command_result command_spublish(struct client *c, const struct request *request);
enum command_result command_subscribe(struct client *c, const struct request *request);
enum command_result command_psubscribe(struct client *c, const struct request *request);
enum command_result command_ssubscribe(struct client *c, const struct request *request);
enum command_result command_unsubscribe(struct client *c, const struct request *request);
enum command_result command_punsubscribe(struct client *c, const struct request *request);
enum command_result command_sunsubscribe(struct client *c, const struct request *request);
enum command_result command_auth(struct client *c, const struct request *request);
enum command_result command_dbsize(struct client *c, const struct request *request);
enum command_result command_flush(struct client *c, const struct request *request);
enum command_result command_keys(struct client *c, const struct request *request);
enum command_result command_monitor(struct client *c, const struct request *request);
enum command_result command_broker_tap(struct client *c, const struct request *request);
enum command_result command_role(struct client *c, const struct request *request);
enum command_result command_scan(struct client *c, const struct request *request);
enum command_result command_time(struct client *c, const struct request *request);
enum command_result command_ping(struct client *c, const struct request *request);
enum command_result command_echo(struct client *c, const struct request *request);
enum command_result command_hello(struct client *c, const struct request *request);
enum command_result command_info(struct client *c, const struct request *request);
enum command_result command_quit(struct client *c, const struct request *request);
enum command_result command_reset(struct client *c, const struct request *request);
enum command_result command_select(struct client *c, const struct request *request);
enum command_result command_shutdown(struct client *c, const struct request *request);

enum command_result command_broker_channels(struct client *c, const struct request *request);
enum command_result command_broker_client(struct client *c, const struct request *request);
enum command_result command_broker_patterns(struct client *c, const struct request *request);
enum command_result command_broker_config(struct client *c, const struct request *request);
enum command_result command_broker_drain(struct client *c, const struct request *request);
enum command_result command_broker_explain(struct client *c, const struct request *request);
enum command_result command_broker_log(struct client *c, const struct request *request);
enum command_result command_broker_latency(struct client *c, const struct request *request);
enum command_result command_broker_top(struct client *c, const struct request *request);

enum command_result command_multi(struct client *c, const struct request *request);
enum command_result command_exec(struct client *c, const struct request *request);
enum command_result command_discard(struct client *c, const struct request *request);
enum command_result command_watch(struct client *c, const struct request *request);
enum command_result command_unwatch(struct client *c, const struct request *request);

/* The help of a container, from its rows; itself the last of them. */
enum command_result command_help(struct client *c, const struct request *request);
#define COMMAND_HELP(_group)                                                                                   \
        {                                                                                                      \
                "help", 2, COMMAND_OPEN, command_help, NULL, _group, NULL, "Prints this help."                 \
        }

/* COMMAND without a subcommand. */
enum command_result command_list_all(struct client *c, const struct request *request);

/* ACL CAT. */
enum command_result command_acl_cat(struct client *c, const struct request *request);

/* Whether a client may be this user, with any password; answers the error if not. */
bool command_auth_user(struct client *c, struct bytes user);

/* A decimal 64-bit integer as Redis reads one: no blanks, no plus, no leading zeros. */
bool command_integer(struct bytes b, long long *np);

/* Appends "-ERR " and a formatted text to the replies; bytes that would break a line become blanks. */
void command_error(struct client *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same for a text that begins with a code of its own. */
void command_error_coded(struct client *c, const char *text);

/* Refuses a command to a client that taps: tap_forbids(). */
void command_error_tapping(struct client *c, const char *name);

/* The command's name in small letters, "client|list" for a subcommand, in the buffer; "NULL" of no command. */
const char *command_full_name(const struct command *command, char *buffer, size_t size);

/* Whether a client may have the name; answers the error if not. */
bool command_name_permitted(struct client *c, struct bytes name);

/* The shards whose mesh is too full now for a PUBLISH, or SPUBLISH, to that channel. Return: a mask; 0: it may
 * run. */
uint64_t command_publish_gates(struct client *c, struct bytes channel, bool shard);

/* Makes the client wait if a slow subscriber holds that channel back. Return: whether it waits. */
bool command_publish_waits(struct client *c, struct bytes channel, bool shard);

/* Makes the client wait for one of them. Return: COMMAND_WAIT. */
enum command_result command_wait_gate(struct client *c, uint64_t gates);

/* Ends a subscription that the client did not end, as a command would: appends what tells it to shard.reply,
 * and to batch what other shards have to know; NULL: nobody is told. */
void command_end_subscription(struct client *c, struct buffer *batch, struct subscription *sub);

/* Drops the client's subscriptions and tells the other shards, in a gather whose reply is shard.reply. */
void command_unsubscribe_all(struct client *c);
