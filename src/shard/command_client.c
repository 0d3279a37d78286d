/* SPDX-License-Identifier: MIT */
/* CLIENT: the connections themselves. */

#include "resp/writer.h"
#include "shard/client.h"
#include "shard/command.h"
#include "shard/state.h"

/* Whether a value may be shown in a line of names: printable ASCII without blanks. */
static bool name_is_plain(struct bytes name)
{
        for (size_t i = 0; i < name.n; i++)
                if (name.p[i] < '!' || name.p[i] > '~')
                        return false;
        return true;
}

bool command_name_permitted(struct client *c, struct bytes name)
{
        if (!name_is_plain(name))
                command_error(c, "Client names cannot contain spaces, newlines or special characters.");
        return name_is_plain(name);
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
        const char *what;
        char **field;

        if (bytes_is(request->argv[2], "lib-name")) {
                field = &c->lib_name;
                what = "lib-name";
        } else if (bytes_is(request->argv[2], "lib-ver")) {
                field = &c->lib_version;
                what = "lib-ver";
        } else {
                command_error(c, "Unrecognized option '%.*s'",
                              (int)(request->argv[2].n < 128 ? request->argv[2].n : 128),
                              (const char *)request->argv[2].p);
                return COMMAND_DONE;
        }
        if (!name_is_plain(request->argv[3])) {
                command_error(c, "%s cannot contain spaces, newlines or special characters.", what);
                return COMMAND_DONE;
        }
        client_set_text(field, request->argv[3]);
        writer_simple(&c->shard->reply, "OK");
        return COMMAND_DONE;
}

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

const struct command command_client_rows[] = {
        { "getname", 2, 0, client_getname, NULL, "connection", NULL, "The name of this connection." },
        { "id", 2, 0, client_id, NULL, "connection", NULL, "The id of this connection." },
        { "reply", 3, 0, client_reply, NULL, "connection", "<ON | OFF | SKIP>",
          "Whether this connection gets replies, or none to the next command." },
        { "setinfo", 4, 0, client_setinfo, NULL, "connection", "<LIB-NAME libname | LIB-VER libver>",
          "Notes the library behind this connection." },
        { "setname", 3, 0, client_setname, NULL, "connection", "<name>", "Names this connection." },
        { 0 },
};
