/* SPDX-License-Identifier: MIT */

#include "ctl/outcome.h"

#include <stdlib.h>
#include <string.h>

#include "ctl/say.h"
#include "ctl/status.h"
#include "ctl/table.h"
#include "ctl/text.h"
#include "util/mem.h"

#define OUTCOME_VALUE_MAX 60 /* bytes of a value in the table; JSON has all */

static const char *const names[] = { "key", "running", "new", "applies" };

#define N_NAMES (sizeof(names) / sizeof(*names))

static bool outcome_is_list(const redisReply *reply)
{
        return reply && reply->type == REDIS_REPLY_ARRAY;
}

bool outcome_valid(const redisReply *reply)
{
        const redisReply *changes = status_get(reply, "changes"), *errors = status_get(reply, "errors");
        uint64_t ok;

        if (!status_number(&ok, reply, "ok") || !status_is_text(status_get(reply, "file")) ||
            !outcome_is_list(changes) || !outcome_is_list(errors))
                return false;
        for (size_t i = 0; i < changes->elements; i++)
                for (size_t k = 0; k < N_NAMES; k++)
                        if (!status_is_text(status_get(changes->element[i], names[k])))
                                return false;
        for (size_t i = 0; i < errors->elements; i++)
                if (!status_is_text(errors->element[i]))
                        return false;
        return true;
}

bool outcome_ok(const redisReply *reply)
{
        uint64_t ok = 0;

        status_number(&ok, reply, "ok");
        return ok;
}

size_t outcome_changes(const redisReply *reply)
{
        return status_get(reply, "changes")->elements;
}

static struct bytes outcome_text(const redisReply *value)
{
        return bytes_of(value->str, value->len);
}

/* What is cut is cut between characters: no byte of UTF-8 that continues one comes first behind the cut. */
static void outcome_put(struct table *table, struct bytes text)
{
        char cut[OUTCOME_VALUE_MAX + 4];
        size_t n = OUTCOME_VALUE_MAX;

        if (text.n <= OUTCOME_VALUE_MAX) {
                table_put(table, text);
                return;
        }
        while (n && (text.p[n] & 0xc0) == 0x80)
                n--;
        memcpy(cut, text.p, n);
        memcpy(cut + n, "...", 3);
        table_put(table, bytes_of(cut, n + 3));
}

void outcome_print(FILE *out, const redisReply *reply)
{
        static const struct table_column columns[N_NAMES] = {
                { "key", false }, { "running", false }, { "new", false }, { "applies", false }
        };
        const redisReply *changes = status_get(reply, "changes");
        struct table table;

        if (!changes->elements)
                return;
        table_init(&table, columns, N_NAMES);
        for (size_t i = 0; i < changes->elements; i++)
                for (size_t k = 0; k < N_NAMES; k++)
                        outcome_put(&table, outcome_text(status_get(changes->element[i], names[k])));
        table_print(&table, out);
        table_deinit(&table);
}

void outcome_json(struct json *json, const redisReply *reply)
{
        const redisReply *changes = status_get(reply, "changes"), *errors = status_get(reply, "errors");

        json_bool(json, "ok", outcome_ok(reply));
        json_bytes(json, "file", outcome_text(status_get(reply, "file")));
        json_list(json, "changes");
        for (size_t i = 0; i < changes->elements; i++) {
                json_object(json, NULL);
                for (size_t k = 0; k < N_NAMES; k++)
                        json_bytes(json, names[k], outcome_text(status_get(changes->element[i], names[k])));
                json_close(json);
        }
        json_close(json);
        json_list(json, "errors");
        for (size_t i = 0; i < errors->elements; i++)
                json_bytes(json, NULL, outcome_text(errors->element[i]));
        json_close(json);
}

void outcome_explain(const redisReply *reply)
{
        const redisReply *errors = status_get(reply, "errors");

        say_bytes("refused, and what runs stays as it is", outcome_text(status_get(reply, "file")));
        for (size_t i = 0; i < errors->elements; i++) {
                text_escape(stderr, outcome_text(errors->element[i]));
                putc('\n', stderr);
        }
}
