/* SPDX-License-Identifier: MIT */

#include "broker/config_list.h"

#include <stdlib.h>
#include <string.h>

#include "broker/config_id.h"
#include "broker/config_number.h"
#include "broker/config_text.h"
#include "util/mem.h"

/* The member: the count stands right behind the pointer, as config_rows.c asserts. The pointer has another type
 * there. */
struct list_member {
        void *items;
        unsigned n;
} __attribute__((may_alias));

static struct list_member *list_member(const struct config_option *o, void *base)
{
        return (struct list_member *)((char *)base + o->offset);
}

static const struct list_member *list_view(const struct config_option *o, const void *base)
{
        return (const struct list_member *)((const char *)base + o->offset);
}

size_t config_option_list_max(const struct config_option *o)
{
        switch (o->type) {
        case CONFIG_TYPE_CPUS:
                return CONFIG_CPUS_MAX;
        case CONFIG_TYPE_ACTIONS:
        case CONFIG_TYPE_PATTERNS:
        case CONFIG_TYPE_NAMES:
        case CONFIG_TYPE_USERS:
        case CONFIG_TYPE_GROUPS:
                return CONFIG_VALUES_MAX;
        default:
                return 0;
        }
}

const char *config_option_noun(const struct config_option *o)
{
        return o->type == CONFIG_TYPE_CPUS ? "CPU" : "value";
}

/* ---- lists of values */

static void *list_add(struct list_member *list, size_t size)
{
        list->items = mem_realloc(list->items, (list->n + 1) * size);
        return (char *)list->items + list->n++ * size;
}

static void *bytes_copy(struct bytes text)
{
        char *copy = mem_alloc(text.n + 1);

        memcpy(copy, text.p, text.n);
        copy[text.n] = 0;
        return copy;
}

static bool name_read(struct bytes text, struct list_member *list, struct buffer *why)
{
        if (text.n > CONFIG_NAME_MAX)
                buffer_printf(why, "the name has %zu bytes", text.n);
        else if (!config_text_clean(text))
                buffer_printf(why, "the name contains a control character");
        if (!text.n || buffer_size(why))
                return false;
        *(char **)list_add(list, sizeof(char *)) = bytes_copy(text);
        return true;
}

bool config_list_read(const struct config_option *o, struct bytes text, void *base, struct buffer *why)
{
        struct list_member *list = list_member(o, base);
        struct config_range range;
        uint32_t id;

        switch (o->type) {
        case CONFIG_TYPE_PATTERNS:
                *(struct bytes *)list_add(list, sizeof(struct bytes)) = bytes_of(bytes_copy(text), text.n);
                return true;
        case CONFIG_TYPE_NAMES:
                return name_read(text, list, why);
        case CONFIG_TYPE_USERS:
                if (!config_id_range_read(text, &range, why))
                        return false;
                *(struct config_range *)list_add(list, sizeof(range)) = range;
                return true;
        case CONFIG_TYPE_GROUPS:
                if (!config_id_read(CONFIG_ID_GROUP, text, &id, why))
                        return false;
                *(uint32_t *)list_add(list, sizeof(id)) = id;
                return true;
        default:
                return false;
        }
}

static void list_write_one(const struct config_option *o, const void *items, unsigned i, struct buffer *out)
{
        switch (o->type) {
        case CONFIG_TYPE_PATTERNS:
                config_text_quote(out, ((const struct bytes *)items)[i], CONFIG_TEXT_WHOLE);
                break;
        case CONFIG_TYPE_NAMES:
                config_text_quote(out, bytes_str(((char *const *)items)[i]), CONFIG_TEXT_WHOLE);
                break;
        case CONFIG_TYPE_USERS:
                config_id_range_write(((const struct config_range *)items)[i], out);
                break;
        default:
                config_number_write(((const uint32_t *)items)[i], out);
        }
}

bool config_list_write(const struct config_option *o, const void *base, struct buffer *out)
{
        const struct list_member *list = list_view(o, base);

        if (list->n > 1)
                buffer_printf(out, "[");
        for (unsigned i = 0; i < list->n; i++) {
                if (i)
                        buffer_printf(out, ", ");
                list_write_one(o, list->items, i, out);
        }
        if (list->n > 1)
                buffer_printf(out, "]");
        return list->n;
}

/* ---- lists of mappings */

void *config_option_items_new(const struct config_option *o, void *base, unsigned n)
{
        struct list_member *list = list_member(o, base);

        if (n)
                list->items = mem_zalloc(n * config_option_table(o)->item_size);
        list->n = n;
        return list->items;
}

const void *config_option_items(const struct config_option *o, const void *base, unsigned *np)
{
        *np = list_view(o, base)->n;
        return list_view(o, base)->items;
}

void config_list_write_mapping(const struct config_table *table, const void *item, struct buffer *out)
{
        const char *lead = "{";

        for (size_t i = 0; i < table->n_options; i++) {
                struct buffer value = { 0 };

                if (config_option_write(&table->options[i], item, &value)) {
                        buffer_printf(out, "%s%s: ", lead, table->options[i].name);
                        buffer_put(out, value.data, buffer_size(&value));
                        lead = ", ";
                }
                buffer_deinit(&value);
        }
        buffer_printf(out, "}");
}

void config_list_write_items(const struct config_option *o, const void *base, struct buffer *out)
{
        const struct config_table *table = config_option_table(o);
        const struct list_member *list = list_view(o, base);

        buffer_printf(out, "[");
        for (unsigned i = 0; i < list->n; i++) {
                if (i)
                        buffer_printf(out, ", ");
                config_list_write_mapping(table, (const char *)list->items + i * table->item_size, out);
        }
        buffer_printf(out, "]");
}

void config_list_clear(const struct config_option *o, void *base)
{
        const struct config_table *table = config_option_table(o);
        struct list_member *list = list_member(o, base);

        for (unsigned i = 0; i < list->n; i++) {
                if (o->type == CONFIG_TYPE_PATTERNS)
                        free((void *)(uintptr_t)((struct bytes *)list->items)[i].p);
                else if (o->type == CONFIG_TYPE_NAMES)
                        free(((char **)list->items)[i]);
                for (size_t j = 0; table && j < table->n_options; j++)
                        config_option_clear(&table->options[j], (char *)list->items + i * table->item_size);
        }
        free(list->items);
        *list = (struct list_member){ 0 };
}
