/* SPDX-License-Identifier: MIT */
/*
 * ACL and AUTH as a Redis answers them that has the user `default`, without a password and with every right.
 * Who may administer brokerd is another matter: that depends on the peer's uid, and nothing that a client says.
 */

#include "resp/writer.h"
#include "shard/client.h"
#include "shard/command.h"
#include "shard/state.h"

bool command_auth_user(struct client *c, struct bytes user)
{
        if (bytes_equal(user, BYTES_LITERAL("default")))
                return true;
        command_error_coded(c, "WRONGPASS invalid username-password pair or user is disabled.");
        return false;
}

enum command_result command_auth(struct client *c, const struct request *request)
{
        if (request->argc > 3)
                command_error(c, "syntax error");
        else if (request->argc == 2)
                command_error(
                        c, "AUTH <password> called without any password configured for the default user. Are "
                           "you sure your configuration is correct?");
        else if (command_auth_user(c, request->argv[1]))
                writer_simple(&c->shard->reply, "OK");
        return COMMAND_DONE;
}

static enum command_result acl_whoami(struct client *c, const struct request *request)
{
        (void)request;
        writer_bulk_str(&c->shard->reply, "default");
        return COMMAND_DONE;
}

static enum command_result acl_users(struct client *c, const struct request *request)
{
        (void)request;
        writer_array(&c->shard->reply, 1);
        writer_bulk_str(&c->shard->reply, "default");
        return COMMAND_DONE;
}

static enum command_result acl_list(struct client *c, const struct request *request)
{
        (void)request;
        writer_array(&c->shard->reply, 1);
        writer_bulk_str(&c->shard->reply, "user default on nopass ~* &* +@all");
        return COMMAND_DONE;
}

static enum command_result acl_getuser(struct client *c, const struct request *request)
{
        struct buffer *b = &c->shard->reply;
        enum writer_proto proto = c->subscriber.protocol;

        if (!bytes_equal(request->argv[2], BYTES_LITERAL("default"))) {
                writer_null(b, proto);
                return COMMAND_DONE;
        }
        writer_map(b, proto, 6);
        writer_bulk_str(b, "flags");
        writer_set(b, proto, 2);
        writer_bulk_str(b, "on");
        writer_bulk_str(b, "nopass");
        writer_bulk_str(b, "passwords");
        writer_array(b, 0);
        writer_bulk_str(b, "commands");
        writer_bulk_str(b, "+@all");
        writer_bulk_str(b, "keys");
        writer_bulk_str(b, "~*");
        writer_bulk_str(b, "channels");
        writer_bulk_str(b, "&*");
        writer_bulk_str(b, "selectors");
        writer_array(b, 0);
        return COMMAND_DONE;
}

static enum command_result acl_log(struct client *c, const struct request *request)
{
        long long count;

        if (request->argc > 3)
                command_error(c, "unknown subcommand or wrong number of arguments for '%.*s'. Try ACL HELP.",
                              (int)request->argv[1].n, (const char *)request->argv[1].p);
        else if (request->argc == 3 && bytes_is(request->argv[2], "reset"))
                writer_simple(&c->shard->reply, "OK");
        else if (request->argc == 3 && !command_integer(request->argv[2], &count))
                command_error(c, "value is not an integer or out of range");
        else
                writer_array(&c->shard->reply, 0);
        return COMMAND_DONE;
}

static enum command_result acl_refuse(struct client *c, const struct request *request)
{
        (void)request;
        command_error(c,
                      "brokerd has no users and passwords to manage: the user default is all there is, and who "
                      "may administer depends on the uid of the client's process");
        return COMMAND_DONE;
}

const struct command command_acl_rows[] = {
        { "cat", -2, 0, command_acl_cat, NULL, "server", "[<category>]",
          "The categories of commands, or the commands of one." },
        { "deluser", -3, 0, acl_refuse, NULL, "server", "<username> [<username> ...]",
          "Is refused: there are no users to manage." },
        { "getuser", 3, 0, acl_getuser, NULL, "server", "<username>",
          "What the user may: default, everything." },
        { "list", 2, 0, acl_list, NULL, "server", NULL, "The users as Redis's configuration writes them." },
        { "load", 2, 0, acl_refuse, NULL, "server", NULL, "Is refused: there are no users to manage." },
        { "log", -2, 0, acl_log, NULL, "server", "[<count> | RESET]",
          "No entries: nobody can be refused by ACL." },
        { "save", 2, 0, acl_refuse, NULL, "server", NULL, "Is refused: there are no users to manage." },
        { "setuser", -3, 0, acl_refuse, NULL, "server", "<username> <attribute> [<attribute> ...]",
          "Is refused: there are no users to manage." },
        { "users", 2, 0, acl_users, NULL, "server", NULL, "The names of the users: default." },
        { "whoami", 2, 0, acl_whoami, NULL, "server", NULL, "The user of this connection: default." },
        COMMAND_HELP("server"),
        { 0 },
};
