/* SPDX-License-Identifier: MIT */
/* CLIENT: the connections themselves. */

#include <stdio.h>
#include <stdlib.h>

#include "resp/writer.h"
#include "shard/auth.h"
#include "shard/client.h"
#include "shard/command.h"
#include "shard/loss.h"
#include "shard/roster.h"
#include "shard/spool.h"
#include "shard/state.h"
#include "util/mem.h"

/* Whether a value may be shown in a line of names: printable ASCII without blanks. */
static bool name_is_plain(struct bytes name)
{
        for (size_t i = 0; i < name.n; i++)
                if (name.p[i] < '!' || name.p[i] > '~')
                        return false;
        return true;
}

/* Answers the error if the text may not be kept. */
static bool text_permitted(struct client *c, struct bytes text, const char *what)
{
        if (text.n > CLIENT_TEXT_MAX)
                command_error(c, "%s cannot be longer than %d bytes.", what, CLIENT_TEXT_MAX);
        else if (!name_is_plain(text))
                command_error(c, "%s cannot contain spaces, newlines or special characters.", what);
        else
                return true;
        return false;
}

bool command_name_permitted(struct client *c, struct bytes name)
{
        return text_permitted(c, name, "Client names");
}

static enum command_result client_id(struct client *c, const struct request *request)
{
        (void)request;
        writer_integer(&c->shard->reply, (int64_t)c->id);
        return COMMAND_DONE;
}

static enum command_result client_getname(struct client *c, const struct request *request)
{
        (void)request;
        if (c->name)
                writer_bulk_str(&c->shard->reply, c->name);
        else
                writer_null(&c->shard->reply, c->subscriber.protocol);
        return COMMAND_DONE;
}

static enum command_result client_setname(struct client *c, const struct request *request)
{
        if (!command_name_permitted(c, request->argv[2]))
                return COMMAND_DONE;
        client_set_text(&c->name, request->argv[2]);
        writer_simple(&c->shard->reply, "OK");
        return COMMAND_DONE;
}

static enum command_result client_setinfo(struct client *c, const struct request *request)
{
        char what[sizeof("lib-name")]; /* as the client spells it */
        char **field;

        if (bytes_is(request->argv[2], "lib-name")) {
                field = &c->lib_name;
        } else if (bytes_is(request->argv[2], "lib-ver")) {
                field = &c->lib_version;
        } else {
                command_error(c, "Unrecognized option '%.*s'",
                              (int)(request->argv[2].n < 128 ? request->argv[2].n : 128),
                              (const char *)request->argv[2].p);
                return COMMAND_DONE;
        }
        snprintf(what, sizeof(what), "%.*s", (int)request->argv[2].n, (const char *)request->argv[2].p);
        if (!text_permitted(c, request->argv[3], what))
                return COMMAND_DONE;
        client_set_text(field, request->argv[3]);
        writer_simple(&c->shard->reply, "OK");
        return COMMAND_DONE;
}

/* ------------------------------------------------------------------ who is connected */

static enum command_result client_info(struct client *c, const struct request *request)
{
        struct buffer line = { 0 };

        (void)request;
        roster_line(&line, c);
        writer_verbatim(&c->shard->reply, c->subscriber.protocol, "txt", buffer_view(&line));
        buffer_deinit(&line);
        return COMMAND_DONE;
}

/* Answers the error if there is no such type. */
static bool client_type(struct client *c, struct bytes word, struct message_roster *filter)
{
        if (bytes_is(word, "normal")) {
                filter->type = ROSTER_NORMAL;
        } else if (bytes_is(word, "pubsub")) {
                filter->type = ROSTER_PUBSUB;
        } else if (bytes_is(word, "master") || bytes_is(word, "replica") || bytes_is(word, "slave")) {
                filter->type = ROSTER_NOBODY;
        } else {
                command_error(c, "Unknown client type '%.*s'", (int)(word.n < 128 ? word.n : 128),
                              (const char *)word.p);
                return false;
        }
        return true;
}

static enum command_result client_list_ids(struct client *c, const struct request *request)
{
        struct message_roster filter = roster_filter(c);
        enum command_result r;
        uint64_t *ids;
        long long id;

        filter.by_id = true;
        filter.n_ids = request->argc - 3;
        if (filter.n_ids > ROSTER_IDS_MAX) {
                command_error(c, "more than %d client IDs", ROSTER_IDS_MAX);
                return COMMAND_DONE;
        }
        ids = mem_alloc(filter.n_ids * sizeof(*ids));
        for (uint32_t i = 0; i < filter.n_ids; i++) {
                if (!command_integer(request->argv[3 + i], &id)) {
                        command_error(c, "Invalid client ID");
                        free(ids);
                        return COMMAND_DONE;
                }
                ids[i] = id > 0 ? (uint64_t)id : 0; /* nobody's */
        }
        r = roster_ask(c, QUERY_LIST, &filter, ids, (struct bytes){ 0 }, (struct bytes){ 0 });
        free(ids);
        return r;
}

static enum command_result client_list(struct client *c, const struct request *request)
{
        struct message_roster filter = roster_filter(c);

        if (request->argc > 3 && bytes_is(request->argv[2], "id"))
                return client_list_ids(c, request);
        if (request->argc == 4 && bytes_is(request->argv[2], "type")) {
                if (!client_type(c, request->argv[3], &filter))
                        return COMMAND_DONE;
        } else if (request->argc != 2) {
                command_error(c, "syntax error");
                return COMMAND_DONE;
        }
        return roster_ask(c, QUERY_LIST, &filter, NULL, (struct bytes){ 0 }, (struct bytes){ 0 });
}

/* A filter of CLIENT KILL as it is read. */
struct kill {
        struct message_roster filter;
        uint64_t id;
        const struct bytes *addr, *laddr; /* NULL: not named */
        struct bytes user;                /* empty: any */
};

/* Both sides of a connection have the same address, that of the listener; an empty one is nobody's. */
static struct bytes kill_address(const struct kill *kill)
{
        const struct bytes *one = kill->addr ? kill->addr : kill->laddr;

        if (!one || one->n > CLIENT_TEXT_MAX || (kill->laddr && !bytes_equal(*one, *kill->laddr)))
                return (struct bytes){ 0 };
        return *one;
}

static bool kill_id(struct client *c, struct kill *kill, struct bytes value)
{
        long long id;

        if (!command_integer(value, &id) || id < 1) {
                command_error(c, "client-id should be greater than 0");
                return false;
        }
        kill->filter.by_id = true;
        kill->filter.n_ids = 1;
        kill->id = (uint64_t)id;
        return true;
}

static bool kill_max_age(struct client *c, struct kill *kill, struct bytes value)
{
        long long age;

        if (!command_integer(value, &age)) {
                command_error(c, "maxage is not an integer or out of range");
                return false;
        }
        if (age < 1)
                command_error(c, "maxage should be greater than 0");
        kill->filter.min_age = (uint64_t)age;
        return age >= 1;
}

static bool kill_user(struct client *c, struct kill *kill, struct bytes value)
{
        kill->user = value;
        if (auth_sees(c, value))
                return true;
        command_error(c, "No such user '%.*s'", (int)(value.n < 128 ? value.n : 128), (const char *)value.p);
        return false;
}

static bool kill_skip_me(struct client *c, struct kill *kill, struct bytes value)
{
        kill->filter.skip_asker = bytes_is(value, "yes");
        if (kill->filter.skip_asker || bytes_is(value, "no"))
                return true;
        command_error(c, "syntax error");
        return false;
}

/* Answers the error if it is none. */
static bool kill_option(struct client *c, struct kill *kill, struct bytes name, const struct bytes *valuep)
{
        struct bytes value = *valuep;

        if (bytes_is(name, "id"))
                return kill_id(c, kill, value);
        if (bytes_is(name, "maxage"))
                return kill_max_age(c, kill, value);
        if (bytes_is(name, "type"))
                return client_type(c, value, &kill->filter);
        if (bytes_is(name, "user"))
                return kill_user(c, kill, value);
        if (bytes_is(name, "skipme"))
                return kill_skip_me(c, kill, value);
        if (bytes_is(name, "addr")) {
                kill->addr = valuep;
        } else if (bytes_is(name, "laddr")) {
                kill->laddr = valuep;
        } else {
                command_error(c, "syntax error");
                return false;
        }
        return true;
}

static enum command_result client_kill_some(struct client *c, const struct request *request)
{
        struct kill kill = { .filter = roster_filter(c) };
        struct bytes address;

        if (request->argc == 3) {
                command_error(c, "all clients of a Unix socket have the same address, and all would be killed; "
                                 "use CLIENT KILL ID client-id");
                return COMMAND_DONE;
        }
        kill.filter.skip_asker = true;
        for (uint32_t i = 2; i < request->argc; i += 2) {
                if (i + 1 == request->argc) {
                        command_error(c, "syntax error");
                        return COMMAND_DONE;
                }
                if (!kill_option(c, &kill, request->argv[i], &request->argv[i + 1]))
                        return COMMAND_DONE;
        }
        address = kill_address(&kill);
        kill.filter.by_address = kill.addr || kill.laddr;
        kill.filter.address_size = (uint32_t)address.n;
        kill.filter.user_size = (uint32_t)kill.user.n;
        return roster_ask(c, QUERY_KILL, &kill.filter, &kill.id, address, kill.user);
}

/* ------------------------------------------------------------------ what is set */

static enum command_result client_reply(struct client *c, const struct request *request)
{
        struct bytes how = request->argv[2];

        client_reply_flush(c); /* what was answered before goes by what held before */
        if (bytes_is(how, "on")) {
                c->replies = CLIENT_REPLIES_ON;
                writer_simple(&c->shard->reply, "OK");
        } else if (bytes_is(how, "off")) {
                c->replies = CLIENT_REPLIES_OFF;
        } else if (!bytes_is(how, "skip")) {
                command_error(c, "syntax error");
        } else if (c->replies != CLIENT_REPLIES_OFF) {
                c->replies = CLIENT_REPLIES_SKIP_NEXT;
        }
        return COMMAND_DONE;
}

/* Reads ON or OFF; answers the error if it is neither. */
static enum command_result client_switch(struct client *c, const struct request *request, bool *what)
{
        bool on = bytes_is(request->argv[2], "on");

        if (!on && !bytes_is(request->argv[2], "off")) {
                command_error(c, "syntax error");
                return COMMAND_DONE;
        }
        *what = on;
        writer_simple(&c->shard->reply, "OK");
        return COMMAND_DONE;
}

static enum command_result client_no_evict(struct client *c, const struct request *request)
{
        return client_switch(c, request, &c->no_evict);
}

static enum command_result client_no_touch(struct client *c, const struct request *request)
{
        return client_switch(c, request, &c->no_touch);
}

static enum command_result client_loss(struct client *c, const struct request *request)
{
        if (c->subscriber.protocol == WRITER_RESP2) {
                command_error(c, "CLIENT LOSS needs RESP3 (HELLO 3); with RESP2, subscribe to " LOSS_TOPIC);
                return COMMAND_DONE;
        }
        spool_mark(c);
        return client_switch(c, request, &c->loss_push);
}

/* ------------------------------------------------------------------ what needs keys, or waiting for them */

static enum command_result client_getredir(struct client *c, const struct request *request)
{
        (void)request;
        writer_integer(&c->shard->reply, -1);
        return COMMAND_DONE;
}

static enum command_result client_trackinginfo(struct client *c, const struct request *request)
{
        struct buffer *b = &c->shard->reply;
        enum writer_proto proto = c->subscriber.protocol;

        (void)request;
        writer_map(b, proto, 3);
        writer_bulk_str(b, "flags");
        writer_set(b, proto, 1);
        writer_bulk_str(b, "off");
        writer_bulk_str(b, "redirect");
        writer_integer(b, -1);
        writer_bulk_str(b, "prefixes");
        writer_array(b, 0);
        return COMMAND_DONE;
}

static enum command_result client_refuse(struct client *c, const struct request *request)
{
        struct bytes name = request->argv[1];

        command_error(c, "CLIENT %.*s is not supported: brokerd has no keys, and no commands that block",
                      (int)name.n, (const char *)name.p);
        return COMMAND_DONE;
}

/* ------------------------------------------------------------------ the table */

#define O COMMAND_OTHERS

const struct command command_client_rows[] = {
        { "caching", 3, 0, client_refuse, NULL, "connection", "<YES | NO>", "Refused: there are no keys." },
        { "getname", 2, 0, client_getname, NULL, "connection", NULL, "The name of this connection." },
        { "getredir", 2, 0, client_getredir, NULL, "connection", NULL, "-1: there is no tracking of keys." },
        { "id", 2, 0, client_id, NULL, "connection", NULL, "The id of this connection." },
        { "info", 2, 0, client_info, NULL, "connection", NULL, "What is known about this connection." },
        { "kill", -3, O, client_kill_some, NULL, "connection",
          "[ID client-id] [TYPE <NORMAL | MASTER | REPLICA | PUBSUB>] [USER username] [ADDR path:0] "
          "[LADDR path:0] [SKIPME <YES | NO>] [MAXAGE seconds]",
          "Closes connections: those of the same user, unless one may administer." },
        { "list", -2, O, client_list, NULL, "connection",
          "[TYPE <NORMAL | MASTER | REPLICA | PUBSUB>] [ID client-id ...]",
          "What is known about all connections: those of the same user, unless one may administer." },
        { "loss", 3, 0, client_loss, NULL, "connection", "<ON | OFF>",
          "Whether this connection is told, by pushes, which messages it lost because it was slow." },
        { "no-evict", 3, 0, client_no_evict, NULL, "connection", "<ON | OFF>",
          "Noted, without effect: no connection is evicted." },
        { "no-touch", 3, 0, client_no_touch, NULL, "connection", "<ON | OFF>",
          "Noted, without effect: there are no keys." },
        { "pause", -3, 0, client_refuse, NULL, "connection", "timeout [WRITE | ALL]",
          "Refused: there are no keys." },
        { "reply", 3, 0, client_reply, NULL, "connection", "<ON | OFF | SKIP>",
          "Whether this connection gets replies, or none to the next command." },
        { "setinfo", 4, 0, client_setinfo, NULL, "connection", "<LIB-NAME libname | LIB-VER libver>",
          "Notes the library behind this connection." },
        { "setname", 3, 0, client_setname, NULL, "connection", "<name>", "Names this connection." },
        { "tracking", -3, 0, client_refuse, NULL, "connection", "<ON | OFF> [...]",
          "Refused: there are no keys." },
        { "trackinginfo", 2, 0, client_trackinginfo, NULL, "connection", NULL, "That nothing is tracked." },
        { "unblock", -3, 0, client_refuse, NULL, "connection", "client-id [TIMEOUT | ERROR]",
          "Refused: no command blocks." },
        { "unpause", 2, 0, client_refuse, NULL, "connection", NULL, "Refused: nothing can be paused." },
        COMMAND_HELP("connection"),
        { 0 },
};
