/* SPDX-License-Identifier: MIT */

#include "shard/counts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "shard/command.h"

/* The entry of a code, or an unused one. Return: NULL: there is neither. */
static struct count_error *counts_find(struct counts *counts, const char *code)
{
        for (unsigned i = 0; i < COUNTS_ERRORS_MAX; i++) {
                struct count_error *e = &counts->errors[i];

                if (!e->n || !strcmp(e->code, code))
                        return e;
        }
        return NULL;
}

static void counts_add_error(struct counts *counts, const struct count_error *error)
{
        struct count_error *e = counts_find(counts, error->code);

        if (!e)
                return;
        memcpy(e->code, error->code, sizeof(e->code));
        e->n += error->n;
}

void counts_error(struct counts *counts, const char *text)
{
        struct count_error one = { .n = 1 };
        size_t n = strcspn(text, " ");

        memcpy(one.code, text, n < sizeof(one.code) ? n : sizeof(one.code) - 1);
        counts->n_errors++;
        counts_add_error(counts, &one);
}

uint64_t counts_calls(const struct counts *counts)
{
        uint64_t n = 0;

        for (unsigned i = 0; i < COUNTS_COMMANDS_MAX; i++)
                n += counts->commands[i].calls;
        return n;
}

void counts_add(struct counts *sum, const struct counts *one)
{
        for (unsigned i = 0; i < COUNTS_COMMANDS_MAX; i++) {
                sum->commands[i].calls += one->commands[i].calls;
                sum->commands[i].failed += one->commands[i].failed;
                sum->commands[i].rejected += one->commands[i].rejected;
        }
        for (unsigned i = 0; i < COUNTS_ERRORS_MAX && one->errors[i].n; i++)
                counts_add_error(sum, &one->errors[i]);
        sum->n_errors += one->n_errors;
}

void counts_write_commands(const struct counts *counts, struct buffer *out)
{
        const struct command *command, *parent;

        for (unsigned i = 0; (command = command_at(i, &parent)); i++) {
                const struct count_command *c = &counts->commands[i];

                if (!c->calls && !c->rejected)
                        continue;
                buffer_printf(out,
                              "cmdstat_%s%s%s:calls=%" PRIu64
                              ",usec=0,usec_per_call=0.00,rejected_calls=%" PRIu64 ",failed_calls=%" PRIu64
                              "\r\n",
                              parent ? parent->name : "", parent ? "|" : "", command->name, c->calls,
                              c->rejected, c->failed);
        }
}

static int counts_compare(const void *a, const void *b)
{
        return strcmp(((const struct count_error *)a)->code, ((const struct count_error *)b)->code);
}

void counts_write_errors(const struct counts *counts, struct buffer *out)
{
        struct count_error sorted[COUNTS_ERRORS_MAX];
        unsigned n = 0;

        while (n < COUNTS_ERRORS_MAX && counts->errors[n].n)
                n++;
        memcpy(sorted, counts->errors, n * sizeof(*sorted));
        qsort(sorted, n, sizeof(*sorted), counts_compare);
        for (unsigned i = 0; i < n; i++)
                buffer_printf(out, "errorstat_%s:count=%" PRIu64 "\r\n", sorted[i].code, sorted[i].n);
}
