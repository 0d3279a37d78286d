/* SPDX-License-Identifier: MIT */

#include "ctl/clients.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/say.h"
#include "util/mem.h"

static bool client_is_number(const char *text)
{
        size_t n = strspn(text, "0123456789");

        return n && n <= 18 && !text[n];
}

/* "id=3 addr=x:0 name=" becomes names and values, each ended by a NUL. */
static void client_row_init(struct client_row *row, const char *line, size_t n)
{
        char *end, *field, *state = NULL;

        *row = (struct client_row){ .line = mem_alloc(n + 1) };
        memcpy(row->line, line, n);
        row->line[n] = 0;
        for (field = strtok_r(row->line, " ", &state); field; field = strtok_r(NULL, " ", &state)) {
                end = strchr(field, '=');
                if (!end || row->n_fields == sizeof(row->fields) / sizeof(*row->fields))
                        continue;
                *end = 0;
                row->fields[row->n_fields++] = field;
        }
        row->id = client_number(row, "id");
}

bool client_list_init(struct client_list *list, const redisReply *reply)
{
        const char *p, *end;

        *list = (struct client_list){ 0 };
        if (reply->type != REDIS_REPLY_STRING)
                return false;
        for (p = reply->str; *p; p = *end ? end + 1 : end) {
                end = p + strcspn(p, "\n");
                if (strncmp(p, "id=", 3)) {
                        client_list_deinit(list);
                        return false;
                }
                list->rows = mem_realloc(list->rows, (list->n + 1) * sizeof(*list->rows));
                client_row_init(&list->rows[list->n++], p, (size_t)(end - p));
        }
        return true;
}

void client_list_deinit(struct client_list *list)
{
        for (size_t i = 0; i < list->n; i++)
                free(list->rows[i].line);
        free(list->rows);
        *list = (struct client_list){ 0 };
}

const char *client_field(const struct client_row *row, const char *name)
{
        for (size_t i = 0; i < row->n_fields; i++)
                if (!strcmp(row->fields[i], name))
                        return row->fields[i] + strlen(name) + 1;
        return "";
}

uint64_t client_number(const struct client_row *row, const char *name)
{
        const char *value = client_field(row, name);

        return client_is_number(value) ? strtoull(value, NULL, 10) : 0;
}

uint64_t client_subscriptions(const struct client_row *row)
{
        return client_number(row, "sub") + client_number(row, "psub") + client_number(row, "ssub");
}

const char *client_user(const struct client_row *row, char *buffer, size_t size)
{
        const char *uid = client_field(row, "uid");
        const struct passwd *user = client_is_number(uid) ? getpwuid((uid_t)client_number(row, "uid")) : NULL;

        snprintf(buffer, size, "%s", user ? user->pw_name : uid);
        return buffer;
}

const char *client_program(const struct client_row *row, char *buffer, size_t size)
{
        return client_program_of(client_number(row, "pid"), buffer, size);
}

const char *client_program_of(uint64_t pid, char *buffer, size_t size)
{
        char path[64];
        FILE *file;

        snprintf(path, sizeof(path), "/proc/%" PRIu64 "/comm", pid);
        file = fopen(path, "re");
        if (!file || !fgets(buffer, (int)size, file))
                *buffer = 0;
        buffer[strcspn(buffer, "\n")] = 0;
        if (file)
                fclose(file);
        return buffer;
}

/* ---------------------------------------------------------------- which, and in what order */

/* Return: CTL_OK, CTL_USAGE. */
static int client_find_user(const char *name, uint64_t *uidp)
{
        const struct passwd *user;

        if (client_is_number(name)) {
                *uidp = strtoull(name, NULL, 10);
                return CTL_OK;
        }
        user = getpwnam(name);
        if (!user)
                return say_usage("there is no user \"%s\" on this machine", name);
        *uidp = user->pw_uid;
        return CTL_OK;
}

static bool client_fits(const struct client_row *row, const struct ctl_request *request, uint64_t uid)
{
        if (request->user && client_number(row, "uid") != uid)
                return false;
        if (request->shard && strcmp(client_field(row, "shard"), request->shard))
                return false;
        return !request->name || !fnmatch(request->name, client_field(row, "name"), 0);
}

int client_list_filter(struct client_list *list, const struct ctl_request *request)
{
        size_t n = 0;
        uint64_t uid = 0;

        if (request->user && client_find_user(request->user, &uid))
                return CTL_USAGE;
        for (size_t i = 0; i < list->n; i++) {
                if (client_fits(&list->rows[i], request, uid))
                        list->rows[n++] = list->rows[i];
                else
                        free(list->rows[i].line);
        }
        list->n = n;
        return CTL_OK;
}

static int client_compare(const void *a, const void *b, void *arg)
{
        const struct client_row *left = a, *right = b;
        const char *field = arg, *x = client_field(left, field), *y = client_field(right, field);
        uint64_t m = strtoull(x, NULL, 10), n = strtoull(y, NULL, 10);

        bool numbers = client_is_number(x) && client_is_number(y);

        if (numbers && m != n)
                return m > n ? -1 : 1;
        if (!numbers && strcmp(x, y))
                return strcmp(x, y);
        return left->id < right->id ? -1 : left->id > right->id;
}

void client_list_sort(struct client_list *list, const char *field)
{
        union {
                const char *field;
                void *arg;
        } u = { field };

        if (field)
                qsort_r(list->rows, list->n, sizeof(*list->rows), client_compare, u.arg);
}

void client_json(struct json *json, const struct client_row *row)
{
        json_object(json, NULL);
        for (size_t i = 0; i < row->n_fields; i++) {
                const char *value = client_field(row, row->fields[i]);

                if (client_is_number(value + (*value == '-')))
                        json_number(json, row->fields[i], strtoll(value, NULL, 10));
                else
                        json_string(json, row->fields[i], value);
        }
        json_close(json);
}
