/* SPDX-License-Identifier: MIT */
/* Two options are the same if --dump-config prints the same for them, whatever their type is. */

#include "broker/config_diff.h"

#include <stdlib.h>
#include <string.h>

#include "broker/config_option.h"
#include "util/buffer.h"
#include "util/mem.h"

/* As the dump has it; to be freed. */
static char *diff_value(const struct config *config, const struct config_option *option)
{
        struct buffer text = { 0 };

        if (!config_option_write(option, config, &text))
                buffer_printf(&text, "not set");
        buffer_put(&text, "", 1);
        return (char *)text.data;
}

/* Takes both texts over. */
static void diff_take(struct config_diff *diff, const char *key, char *running, char *next, bool now)
{
        diff->changes = mem_realloc(diff->changes, (diff->n + 1) * sizeof(*diff->changes));
        diff->changes[diff->n++] =
                (struct config_change){ .key = key, .running = running, .next = next, .now = now };
}

void config_diff_add(struct config_diff *diff, const char *key, const char *running, const char *next, bool now)
{
        size_t n = strlen(running) + 1, m = strlen(next) + 1;

        diff_take(diff, key, memcpy(mem_alloc(n), running, n), memcpy(mem_alloc(m), next, m), now);
}

void config_diff_init(struct config_diff *diff, const struct config *running, const struct config *next)
{
        *diff = (struct config_diff){ 0 };
        for (size_t i = 0; i < config_n_options; i++) {
                const struct config_option *o = &config_options[i];
                char *before = diff_value(running, o), *after = diff_value(next, o);

                if (strcmp(before, after)) {
                        diff_take(diff, o->name, before, after, o->reloadable);
                } else {
                        free(before);
                        free(after);
                }
        }
}

void config_diff_deinit(struct config_diff *diff)
{
        for (size_t i = 0; i < diff->n; i++) {
                free(diff->changes[i].running);
                free(diff->changes[i].next);
        }
        free(diff->changes);
        *diff = (struct config_diff){ 0 };
}

const struct config_change *config_diff_find(const struct config_diff *diff, const char *key)
{
        for (size_t i = 0; i < diff->n; i++)
                if (strcmp(diff->changes[i].key, key) == 0)
                        return &diff->changes[i];
        return NULL;
}

size_t config_diff_count(const struct config_diff *diff, bool now)
{
        size_t n = 0;

        for (size_t i = 0; i < diff->n; i++)
                n += diff->changes[i].now == now;
        return n;
}

void config_keep(struct config *next, const struct config *running)
{
        for (size_t i = 0; i < config_n_options; i++)
                if (!config_options[i].reloadable)
                        config_option_copy(&config_options[i], next, running);
}
