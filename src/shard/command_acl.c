/* SPDX-License-Identifier: MIT */
/*
 * ACL and AUTH. Without secrets they answer as a Redis does that has the user `default`, without a password and
 * with every right; with secrets there is a user for each of them, and a client sees no other than itself
 * unless it may administer. Who may administer is another matter: that depends on the peer's uid, and nothing
 * that a client says.
 */

#include <stdio.h>
#include <string.h>

#include "resp/writer.h"
#include "shard/auth.h"
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

static enum command_result auth_without_secrets(struct client *c, const struct request *request)
{
        if (request->argc == 2)
                command_error(
                        c, "AUTH <password> called without any password configured for the default user. Are "
                           "you sure your configuration is correct?");
        else if (command_auth_user(c, request->argv[1]))
                writer_simple(&c->shard->reply, "OK");
        return COMMAND_DONE;
}

enum command_result command_auth(struct client *c, const struct request *request)
{
        struct bytes user, password;

        if (request->argc > 3) {
                command_error(c, "syntax error");
                return COMMAND_DONE;
        }
        if (!auth_has_secrets(c))
                return auth_without_secrets(c, request);
        auth_find(command_find(BYTES_LITERAL("auth")), request, &user, &password);
        if (!auth_is_answered(c))
                return auth_ask(c, user, password);
        if (auth_use(c, user))
                writer_simple(&c->shard->reply, "OK");
        auth_wipe_request(c, request);
        return COMMAND_YIELD; /* what is read of the client from here on may be larger */
}

static enum command_result acl_whoami(struct client *c, const struct request *request)
{
        (void)request;
        writer_bulk_str(&c->shard->reply, auth_user(c));
        return COMMAND_DONE;
}

/* ------------------------------------------------------------------ users */

/* Whether one can become default by AUTH; one may be it without that all the same. */
static const char *user_state(const struct client *c, const char *name)
{
        const struct policy *policy = c->shard->policy;

        if (!policy->n_secrets)
                return "on nopass";
        for (unsigned i = 0; i < policy->n_secrets; i++)
                if (!strcmp(policy->secrets[i].name, name))
                        return "on";
        return "off";
}

/* The users that the client sees, sorted by name: those with secrets, and default. Return: their number. */
static unsigned users_each(struct client *c, void (*write)(struct client *c, const char *name))
{
        const struct policy *policy = c->shard->policy;
        bool had_default = false;
        unsigned n = 0;

        for (unsigned i = 0; i < policy->n_secrets; i++) {
                const char *name = policy->secrets[i].name;
                int order = strcmp(name, "default");

                if (order > 0 && !had_default) {
                        n++;
                        write(c, "default");
                }
                had_default |= order >= 0;
                if (!auth_sees(c, bytes_str(name)))
                        continue;
                n++;
                write(c, name);
        }
        if (!had_default) {
                n++;
                write(c, "default");
        }
        return n;
}

static void user_skip(struct client *c, const char *name)
{
        (void)c;
        (void)name;
}

static void user_write_name(struct client *c, const char *name)
{
        writer_bulk_str(&c->shard->reply, name);
}

/* No hash is shown. */
static void user_write_line(struct client *c, const char *name)
{
        char line[VERIFY_NAME_MAX + 64];

        snprintf(line, sizeof(line), "user %s %s ~* &* +@all", name, user_state(c, name));
        writer_bulk_str(&c->shard->reply, line);
}

static enum command_result acl_users(struct client *c, const struct request *request)
{
        (void)request;
        writer_array(&c->shard->reply, users_each(c, user_skip));
        users_each(c, user_write_name);
        return COMMAND_DONE;
}

static enum command_result acl_list(struct client *c, const struct request *request)
{
        (void)request;
        writer_array(&c->shard->reply, users_each(c, user_skip));
        users_each(c, user_write_line);
        return COMMAND_DONE;
}

static void user_write_flags(struct client *c, const char *state)
{
        struct buffer *b = &c->shard->reply;
        bool nopass = !strcmp(state, "on nopass");

        writer_bulk_str(b, "flags");
        writer_set(b, c->subscriber.protocol, nopass ? 2 : 1);
        writer_bulk_str(b, nopass ? "on" : state);
        if (nopass)
                writer_bulk_str(b, "nopass");
}

static enum command_result acl_getuser(struct client *c, const struct request *request)
{
        struct buffer *b = &c->shard->reply;
        enum writer_proto proto = c->subscriber.protocol;
        char name[VERIFY_NAME_MAX + 1] = "";

        if (!auth_sees(c, request->argv[2])) {
                writer_null(b, proto);
                return COMMAND_DONE;
        }
        memcpy(name, request->argv[2].p, request->argv[2].n);
        writer_map(b, proto, 6);
        user_write_flags(c, user_state(c, name));
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

/* ------------------------------------------------------------------ the rest */

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
        command_error(c, "brokerd has no users and passwords to manage: passwords are in a file, and who may "
                         "administer depends on the uid of the client's process");
        return COMMAND_DONE;
}

const struct command command_acl_rows[] = {
        { "cat", -2, 0, command_acl_cat, NULL, "server", "[<category>]",
          "The categories of commands, or the commands of one." },
        { "deluser", -3, 0, acl_refuse, NULL, "server", "<username> [<username> ...]",
          "Is refused: users are in a file." },
        { "getuser", 3, 0, acl_getuser, NULL, "server", "<username>", "What a user may." },
        { "list", 2, 0, acl_list, NULL, "server", NULL, "The users as Redis's configuration writes them." },
        { "load", 2, 0, acl_refuse, NULL, "server", NULL, "Is refused: users are in a file." },
        { "log", -2, 0, acl_log, NULL, "server", "[<count> | RESET]", "No entries: they are in the log." },
        { "save", 2, 0, acl_refuse, NULL, "server", NULL, "Is refused: users are in a file." },
        { "setuser", -3, 0, acl_refuse, NULL, "server", "<username> <attribute> [<attribute> ...]",
          "Is refused: users are in a file." },
        { "users", 2, 0, acl_users, NULL, "server", NULL,
          "The names of the users: default, and those with passwords." },
        { "whoami", 2, 0, acl_whoami, NULL, "server", NULL, "The user of this connection." },
        COMMAND_HELP("server"),
        { 0 },
};
