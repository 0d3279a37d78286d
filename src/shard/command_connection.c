/* SPDX-License-Identifier: MIT */
/* Commands about the connection itself, and those that administer the broker. */

#include <stdio.h>
#include <stdlib.h>

#include "resp/writer.h"
#include "shard/auth.h"
#include "shard/client.h"
#include "shard/command.h"
#include "shard/gather.h"
#include "shard/info.h"
#include "shard/spool.h"
#include "shard/state.h"
#include "shard/status.h"
#include "shard/tap.h"
#include "shard/transaction.h"
#include "util/mem.h"

bool command_integer(struct bytes b, long long *np)
{
        char text[24], back[24], *end;

        if (!b.n || b.n >= sizeof(text))
                return false;
        memcpy(text, b.p, b.n);
        text[b.n] = 0;
        *np = strtoll(text, &end, 10);
        snprintf(back, sizeof(back), "%lld", *np);
        return !strcmp(text, back);
}

enum command_result command_ping(struct client *c, const struct request *request)
{
        struct buffer *b = &c->shard->reply;

        if (request->argc > 2) {
                command_error(c, "wrong number of arguments for 'ping' command");
        } else if (c->subscriber.protocol == WRITER_RESP2 && client_subscriptions(c)) {
                writer_array(b, 2);
                writer_bulk_str(b, "pong");
                writer_bulk(b, request->argc == 2 ? request->argv[1] : bytes_str(""));
        } else if (request->argc == 2) {
                writer_bulk(b, request->argv[1]);
        } else {
                writer_simple(b, "PONG");
        }
        return COMMAND_DONE;
}

enum command_result command_echo(struct client *c, const struct request *request)
{
        writer_bulk(&c->shard->reply, request->argv[1]);
        return COMMAND_DONE;
}

enum command_result command_quit(struct client *c, const struct request *request)
{
        (void)request;
        writer_simple(&c->shard->reply, "OK");
        client_reply_flush(c);
        client_finish(c);
        return COMMAND_DONE;
}

enum command_result command_select(struct client *c, const struct request *request)
{
        long long index;

        if (!command_integer(request->argv[1], &index))
                command_error(c, "value is not an integer or out of range");
        else if (index != 0)
                command_error(c, "DB index is out of range");
        else
                writer_simple(&c->shard->reply, "OK");
        return COMMAND_DONE;
}

enum command_result command_reset(struct client *c, const struct request *request)
{
        (void)request;
        transaction_drop(c, NULL);
        auth_drop(c);
        client_set_text(&c->name, (struct bytes){ 0 });
        c->no_evict = c->no_touch = false;
        if (c->replies == CLIENT_REPLIES_OFF)
                c->replies = CLIENT_REPLIES_ON;
        command_unsubscribe_all(c);
        tap_end(c);
        if (c->loss_push)
                spool_mark(c);
        c->loss_push = false;
        subscriber_set_protocol(&c->subscriber, WRITER_RESP2);
        if (!client_is_silent(c))
                writer_simple(c->gather ? &c->gather->reply : &c->shard->reply, "RESET");
        return c->barred ? COMMAND_YIELD : COMMAND_DONE;
}

/* ------------------------------------------------------------------ HELLO */

static void hello_reply(struct client *c)
{
        struct buffer *b = &c->shard->reply;
        enum writer_proto proto = c->subscriber.protocol;

        writer_map(b, proto, 7);
        writer_bulk_str(b, "server");
        writer_bulk_str(b, "brokerd");
        writer_bulk_str(b, "version");
        writer_bulk_str(b, c->shard->options.version);
        writer_bulk_str(b, "proto");
        writer_integer(b, proto == WRITER_RESP3 ? 3 : 2);
        writer_bulk_str(b, "id");
        writer_integer(b, (int64_t)c->id);
        writer_bulk_str(b, "mode");
        writer_bulk_str(b, "standalone");
        writer_bulk_str(b, "role");
        writer_bulk_str(b, "master");
        writer_bulk_str(b, "modules");
        writer_array(b, 0);
}

/* Checks the options behind the version; *namep is the one to set, if there is any. */
static bool hello_options(struct client *c, const struct request *request, const struct bytes **namep)
{
        for (uint32_t i = 2; i < request->argc; i++) {
                uint32_t left = request->argc - 1 - i;

                if (bytes_is(request->argv[i], "auth") && left >= 2) {
                        if (!auth_has_secrets(c) && !command_auth_user(c, request->argv[i + 1]))
                                return false;
                        i += 2;
                } else if (bytes_is(request->argv[i], "setname") && left >= 1) {
                        *namep = &request->argv[++i];
                        if (!command_name_permitted(c, **namep))
                                return false;
                } else {
                        command_error(c, "Syntax error in HELLO option '%.*s'",
                                      (int)(request->argv[i].n < 128 ? request->argv[i].n : 128),
                                      (const char *)request->argv[i].p);
                        return false;
                }
        }
        return true;
}

/* Checks a version that is asked for. */
static bool hello_version(struct client *c, struct bytes text, long long *versionp)
{
        if (!command_integer(text, versionp))
                command_error(c, "Protocol version is not an integer or out of range");
        else if (*versionp < 2 || *versionp > 3)
                command_error_coded(c, "NOPROTO unsupported protocol version");
        else
                return true;
        return false;
}

/* Nothing is changed before everything is known to be right. */
static enum command_result hello(struct client *c, const struct request *request)
{
        const struct bytes *name = NULL;
        struct bytes user, password;
        long long version = 0;

        if (request->argc >= 2 &&
            (!hello_version(c, request->argv[1], &version) || !hello_options(c, request, &name)))
                return COMMAND_DONE;
        if (auth_has_secrets(c) && auth_find_hello(request, &user, &password)) {
                if (!auth_is_answered(c))
                        return auth_ask(c, user, password);
                if (!auth_use(c, user))
                        return COMMAND_DONE;
        }
        if (c->barred) {
                command_error_coded(c,
                                    "NOAUTH HELLO must be called with the client already authenticated, "
                                    "otherwise the HELLO <proto> AUTH <user> <pass> option can be used to "
                                    "authenticate the client and select the RESP protocol version at the same "
                                    "time");
                return COMMAND_DONE;
        }
        if (name)
                client_set_text(&c->name, *name);
        if (version) {
                if (client_wishes(c))
                        spool_mark(c);
                c->loss_push &= version == 3;
                subscriber_set_protocol(&c->subscriber, version == 3 ? WRITER_RESP3 : WRITER_RESP2);
        }
        hello_reply(c);
        return COMMAND_DONE;
}

enum command_result command_hello(struct client *c, const struct request *request)
{
        enum command_result r = hello(c, request);

        if (r == COMMAND_WAIT || !auth_has_secrets(c))
                return r;
        auth_wipe_request(c, request);
        return COMMAND_YIELD; /* as AUTH */
}

/* ------------------------------------------------------------------ the broker */

static enum command_result broker_status(struct client *c, const struct request *request)
{
        (void)request;
        status_begin(c, QUERY_STATUS, status_write);
        return COMMAND_DONE;
}

const struct command command_broker_rows[] = {
        { "channels", -2, 0, command_broker_channels, NULL, "server", "[<pattern>] [LIMIT <n>]",
          "Channels with who subscribes to them, and what was published." },
        { "client", 3, 0, command_broker_client, NULL, "server", "<client-id>",
          "All that is known of a client." },
        { "patterns", -2, 0, command_broker_patterns, NULL, "server", "[<pattern>] [LIMIT <n>]",
          "Patterns with who subscribes to them, and how many channels they match." },
        { "config", -3, 0, command_broker_config, NULL, "server", "RELOAD | DIFF | SHOW [CHANGED]",
          "Reads the configuration again, compares it with what runs, or shows it." },
        { "drain", -2, 0, command_broker_drain, NULL, "server", "[ON | OFF]",
          "Lets no more clients in, or everybody again." },
        { "explain", -5, 0, command_broker_explain, NULL, "server",
          "<action> [<channel>] UID <uid> [GID <gid>] [GROUP <gid> ...] [LISTENER <path>] [NAME <name>]",
          "Whether a user may do that, and which rule decides." },
        { "log", 3, 0, command_broker_log, NULL, "server", "<level>",
          "Sets the least severe level that is logged, until the next reload." },
        { "latency", -2, 0, command_broker_latency, NULL, "server", "[RESET]",
          "How long the turns of every shard took; RESET counts anew." },
        { "status", 2, 0, broker_status, NULL, "server", NULL, "Counters of the broker and of every shard." },
        { "top", -2, 0, command_broker_top, NULL, "server", "[<count>]",
          "The clients for which most waits, and those that publish most." },
        { "tap", -2, COMMAND_NO_MULTI, command_broker_tap, NULL, "server",
          "[<pattern>] [LIMIT <n>] [SIZE <bytes>]",
          "Shows every message that is published, by channel, publisher and the beginning of its payload." },
        COMMAND_HELP("server"),
        { 0 },
};

enum command_result command_info(struct client *c, const struct request *request)
{
        status_begin(c, QUERY_COUNTS, info_write)->sections =
                info_sections(request->argv + 1, request->argc - 1);
        return COMMAND_DONE;
}

/* Redis answers nothing to a SHUTDOWN that succeeds: the connection ends. */
enum command_result command_shutdown(struct client *c, const struct request *request)
{
        struct shard *s = c->shard;

        (void)request;
        port_send(s->port, s->options.n_shards, MESSAGE_SHUTDOWN, 0, PORT_UNCOUNTED);
        return COMMAND_DONE;
}
