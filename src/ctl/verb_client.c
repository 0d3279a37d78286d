/* SPDX-License-Identifier: MIT */
/* brokerctl client: all that is known of one, by the broker, and of its process, by the kernel of this machine.
 */

#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/json.h"
#include "ctl/reply.h"
#include "ctl/say.h"
#include "ctl/text.h"
#include "ctl/verbs.h"
#include "util/buffer.h"

#define NAMES_SHOWN 8 /* subscriptions on a line */

/* ---------------------------------------------------------------- the process */

/* Appends its command line, each argument ended by a NUL, as it is now; nothing if the process is gone, or
 * hidden from this user. */
static void process_command(struct buffer *b, uint64_t pid)
{
        char path[64], text[4096];
        size_t n;
        FILE *file;

        snprintf(path, sizeof(path), "/proc/%" PRIu64 "/cmdline", pid);
        file = pid ? fopen(path, "re") : NULL;
        if (!file)
                return;
        while (buffer_size(b) < 64 * 1024 && (n = fread(text, 1, sizeof(text), file)))
                buffer_put(b, text, n);
        fclose(file);
        if (buffer_size(b) && buffer_view(b).p[buffer_size(b) - 1])
                buffer_put(b, "", 1);
}

/* Takes the next argument off. Return: false: there is none. */
static bool process_argument(struct bytes *command, struct bytes *argument)
{
        if (!command->n)
                return false;
        *argument = bytes_of(command->p, strnlen((const char *)command->p, command->n));
        *command = bytes_of(command->p + argument->n + 1, command->n - argument->n - 1);
        return true;
}

/* ---------------------------------------------------------------- JSON */

/* What RESP2 writes as 0 and 1. */
static bool client_is_bool(const char *name)
{
        static const char *const names[] = { "by_admin_socket",  "authenticated", "admin",
                                             "loss_push",        "transaction",   "spooled",
                                             "blocks_publishers" };

        for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
                if (!strcmp(names[i], name))
                        return true;
        return false;
}

static void client_put_value(struct json *json, const char *name, const redisReply *value);

static void client_put_members(struct json *json, const redisReply *map)
{
        for (size_t i = 0; i + 1 < map->elements; i += 2)
                if (reply_is_text(map->element[i]))
                        client_put_value(json, map->element[i]->str, map->element[i + 1]);
}

/* All arrays are maps but two. */
static void client_put_array(struct json *json, const char *name, const redisReply *value)
{
        if (strcmp(name, "names") && strcmp(name, "groups")) {
                json_object(json, name);
                client_put_members(json, value);
        } else {
                json_list(json, name);
                for (size_t i = 0; i < value->elements; i++)
                        client_put_value(json, NULL, value->element[i]);
        }
        json_close(json);
}

static void client_put_value(struct json *json, const char *name, const redisReply *value)
{
        if (reply_is_text(value))
                json_bytes(json, name, bytes_of(value->str, value->len));
        else if (value->type == REDIS_REPLY_INTEGER && name && client_is_bool(name))
                json_bool(json, name, value->integer);
        else if (value->type == REDIS_REPLY_INTEGER)
                json_number(json, name, value->integer);
        else if (reply_is_list(value) && name)
                client_put_array(json, name, value);
        else
                json_null(json, name);
}

static void client_print_json(const redisReply *client, const struct buffer *command)
{
        const struct passwd *user = getpwuid((uid_t)reply_count(client, "uid"));
        struct bytes rest = buffer_view(command), argument;
        struct json json;

        json_begin(&json, stdout, "brokerctl.client/1");
        json_object(&json, "client");
        client_put_members(&json, client);
        if (user)
                json_string(&json, "user_name", user->pw_name);
        else
                json_null(&json, "user_name");
        json_list(&json, "command_line");
        while (process_argument(&rest, &argument))
                json_bytes(&json, NULL, argument);
        json_close(&json);
        json_close(&json);
        json_end(&json);
}

/* ---------------------------------------------------------------- one screen */

static void screen_head(const char *head)
{
        printf("%-19s  ", head);
}

static void screen_text(const redisReply *map, const char *name)
{
        text_escape(stdout, reply_text(map, name));
}

static void screen_bytes(uint64_t n)
{
        char text[TEXT_NUMBER_SIZE];

        text_bytes(text, n);
        fputs(text, stdout);
}

static void screen_count(const char *head, const redisReply *map, const char *name)
{
        screen_head(head);
        printf("%" PRIu64, reply_count(map, name));
}

/* Text of at most a line. */
static void screen_command(const redisReply *client, const struct buffer *command)
{
        struct bytes rest = buffer_view(command), argument;
        size_t n = 0;

        screen_head("process");
        printf("pid %" PRIu64 ":", reply_count(client, "pid"));
        if (!rest.n)
                fputs(" its command line is not known: it has ended, or is not to be seen", stdout);
        while (process_argument(&rest, &argument)) {
                putchar(' ');
                n += argument.n;
                if (n > 1000) {
                        fputs("...", stdout);
                        break;
                }
                text_escape(stdout, argument);
        }
        putchar('\n');
}

static void screen_ids(const redisReply *client)
{
        uint64_t uid = reply_count(client, "uid"), gid = reply_count(client, "gid");
        const struct passwd *user = getpwuid((uid_t)uid);
        const struct group *group = getgrgid((gid_t)gid);
        const redisReply *groups = reply_get(client, "groups"), *one;

        screen_head("user");
        printf("%s (uid %" PRIu64 "), group %s (gid %" PRIu64 ")", user ? user->pw_name : "?", uid,
               group ? group->gr_name : "?", gid);
        for (size_t i = 0; (one = reply_item(groups, i)); i++)
                printf("%s%lld", i ? ", " : "; groups ", one->integer);
        putchar('\n');
        screen_head("authenticated");
        fputs(reply_count(client, "authenticated") ? "as " : "no: ", stdout);
        screen_text(client, "user");
        puts(reply_count(client, "admin") ? "; may administer" : "; may not administer");
}

static void screen_connection(const redisReply *client)
{
        char text[TEXT_DURATION_SIZE];

        screen_head("connection");
        screen_text(client, "listener");
        printf("%s, shard %" PRIu64 ", RESP%" PRIu64, reply_count(client, "by_admin_socket") ? " (admin)" : "",
               reply_count(client, "shard"), reply_count(client, "resp"));
        if (reply_text(client, "lib_name").n) {
                fputs(", library ", stdout);
                screen_text(client, "lib_name");
                putchar(' ');
                screen_text(client, "lib_ver");
        }
        text_duration(text, reply_count(client, "age_ms") / 1000);
        printf("\n%-19s  %s, idle for ", "age", text);
        text_duration(text, reply_count(client, "idle_ms") / 1000);
        printf("%s\n", text);
        screen_head("state");
        screen_text(client, "state");
        fputs(", waits for ", stdout);
        screen_text(client, "waits_for");
        fputs("; last command ", stdout);
        screen_text(client, "command");
        if (reply_count(client, "transaction"))
                printf("; in MULTI, %" PRIu64 " queued", reply_count(client, "queued_commands"));
        if (!bytes_is(reply_text(client, "replies"), "on"))
                fputs("; wants no replies", stdout);
        putchar('\n');
}

static void screen_subscriptions(const redisReply *client, const char *head, const char *kind)
{
        const redisReply *subscriptions = reply_get(reply_get(client, "subscriptions"), kind);
        const redisReply *names = reply_get(subscriptions, "names"), *one;
        uint64_t total = reply_count(subscriptions, "total");
        size_t i;

        screen_head(head);
        printf("%" PRIu64, total);
        for (i = 0; i < NAMES_SHOWN && (one = reply_item(names, i)); i++) {
                fputs(i ? ", " : ": ", stdout);
                text_escape(stdout, bytes_of(one->str, one->len));
        }
        if (total > i)
                printf("%s%" PRIu64 " more", i ? " and " : ": ", total - i);
        putchar('\n');
}

static void screen_traffic(const redisReply *client)
{
        screen_count("published", client, "published");
        fputs(" messages, ", stdout);
        screen_bytes(reply_count(client, "published_bytes"));
        printf(" bytes; %" PRIu64 " commands denied\n", reply_count(client, "denied"));
        screen_count("delivered", client, "delivered");
        printf(" messages; %" PRIu64 " lost; ", reply_count(client, "lost"));
        screen_bytes(reply_count(client, "sent_bytes"));
        fputs(" bytes sent\n", stdout);
        screen_head("waiting");
        screen_bytes(reply_count(client, "output_bytes"));
        fputs(" bytes to be taken", stdout);
        if (reply_count(client, "spooled"))
                fputs(" (slow: messages may be dropped)", stdout);
        if (reply_count(client, "blocks_publishers"))
                fputs(" (slow: publishers wait)", stdout);
        fputs(", ", stdout);
        screen_bytes(reply_count(client, "input_bytes"));
        fputs(" bytes of requests\n", stdout);
}

static bool name_ends(const char *name, const char *end)
{
        size_t n = strlen(name), k = strlen(end);

        return n >= k && !strcmp(name + n - k, end);
}

/* "12 of 1000 (1 %)"; names tell the unit. */
static void screen_limit(const char *name, const redisReply *limit)
{
        bool bytes = name_ends(name, "bytes"), time = name_ends(name, "_ms");
        uint64_t now = reply_count(limit, "now"), max = 0;
        char text[TEXT_NUMBER_SIZE];

        printf("  %-19.*s  ", (int)(strlen(name) - (time ? 3 : 0)), name);
        if (bytes)
                text_bytes(text, now);
        else
                snprintf(text, sizeof(text), time ? "%.1f s" : "%.0f", (double)now / (time ? 1000 : 1));
        fputs(text, stdout);
        if (!reply_number(&max, limit, "limit")) {
                puts(", no limit");
                return;
        }
        if (bytes)
                text_bytes(text, max);
        else
                snprintf(text, sizeof(text), time ? "%.1f s" : "%.0f", (double)max / (time ? 1000 : 1));
        printf(" of %s (%.0f %%)\n", text, max ? 100.0 * (double)now / (double)max : 0.0);
}

/* Of all clients of the user; only its shard's share of them is known. */
static void screen_user_limits(const redisReply *limits)
{
        for (size_t i = 0; limits && i + 1 < limits->elements; i += 2) {
                const redisReply *name = limits->element[i], *limit = limits->element[i + 1];
                uint64_t here, max;

                if (!reply_is_text(name) || !reply_number(&max, limit, "limit"))
                        continue;
                printf("  %s: %" PRIu64, name->str, max);
                if (reply_number(&here, limit, "here"))
                        printf(", of which %" PRIu64 " on this shard", here);
                putchar('\n');
        }
}

static void client_print(const redisReply *client, const struct buffer *command)
{
        const redisReply *limits = reply_get(client, "limits");

        screen_count("client", client, "id");
        putchar(' ');
        screen_text(client, "name");
        putchar('\n');
        screen_command(client, command);
        screen_ids(client);
        screen_connection(client);
        screen_subscriptions(client, "channels", "channels");
        screen_subscriptions(client, "patterns", "patterns");
        screen_subscriptions(client, "shard channels", "shard_channels");
        screen_traffic(client);
        puts("limits");
        for (size_t i = 0; limits && i + 1 < limits->elements; i += 2)
                if (reply_is_text(limits->element[i]))
                        screen_limit(limits->element[i]->str, limits->element[i + 1]);
        screen_user_limits(reply_get(client, "user_limits"));
}

int verb_client(const struct ctl_request *request)
{
        struct bytes words[] = { BYTES_LITERAL("BROKER"), BYTES_LITERAL("CLIENT"),
                                 bytes_str(request->operands[0]) };
        const char *id = request->operands[0];
        struct buffer command = { 0 };
        redisReply *reply;
        struct link link;
        int r;

        if (!*id || strspn(id, "0123456789") != strlen(id) || strlen(id) > 18)
                return say_usage("\"%s\" is no client's id; `brokerctl clients` shows them", id);
        r = link_ask(&link, request, words, 3, &reply);
        if (!r) {
                process_command(&command, reply_count(reply, "pid"));
                if (!reply_is_list(reply_get(reply, "limits")))
                        r = verb_strange(&link);
                else if (request->json)
                        client_print_json(reply, &command);
                else
                        client_print(reply, &command);
                buffer_deinit(&command);
                freeReplyObject(reply);
                r = r ? r : say_flush();
        }
        link_close(&link);
        return r;
}
