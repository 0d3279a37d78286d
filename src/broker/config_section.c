/* SPDX-License-Identifier: MIT */

#include "broker/config_section.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/config_text.h"
#include "util/mem.h"
#include "util/suggest.h"

#define GOT_MAX 60 /* characters of a value that a message repeats */

void config_section_init(struct config_section *s, struct config_report *report,
                         const struct config_option *options, size_t n_options, void *base)
{
        assert(n_options <= CONFIG_SECTION_OPTIONS);
        *s = (struct config_section){
                .report = report, .options = options, .n_options = n_options, .base = base
        };
        for (size_t i = 0; i < n_options; i++)
                config_option_reset(&options[i], base);
}

void config_section_deinit(struct config_section *s)
{
        for (size_t i = 0; i < s->n_options; i++) {
                for (unsigned j = 0; j < s->values[i].n_items; j++)
                        config_section_deinit(&s->values[i].items[j]);
                free(s->values[i].items);
        }
        *s = (struct config_section){ 0 };
}

struct config_section_value *config_section_value(struct config_section *s, const char *name)
{
        for (size_t i = 0; i < s->n_options; i++)
                if (strcmp(s->options[i].name, name) == 0)
                        return &s->values[i];
        abort();
}

/* ---- messages */

void config_section_full_name(const struct config_section *s, const char *option,
                              char name[CONFIG_SECTION_FULL])
{
        snprintf(name, CONFIG_SECTION_FULL, "%s%s%s", s->name, *s->name ? "." : "", option);
}

static void put_got(const struct config_node *node, struct buffer *out)
{
        if (node->kind == CONFIG_NODE_LIST)
                buffer_printf(out, node->first ? "a list" : "an empty list");
        else if (node->kind == CONFIG_NODE_MAPPING)
                buffer_printf(out, "a mapping");
        else if (!node->text.n && !node->quoted)
                buffer_printf(out, "nothing");
        else
                config_text_quote(out, node->text, GOT_MAX);
}

/* A value that is not there is shown at its key. */
void config_section_add_bad(struct config_section *s, const struct config_option *o,
                            const struct config_node *node, const struct buffer *why)
{
        const struct config_node *place = config_node_is_void(node) && node->key ? node->key : node;
        size_t n = place->kind == CONFIG_NODE_VALUE ? place->end - place->start : 1;
        char name[CONFIG_SECTION_FULL];
        struct buffer text = { 0 };

        s->values[o - s->options].bad = true;
        if (node->kind == CONFIG_NODE_BAD)
                return;
        config_section_full_name(s, o->name, name);
        buffer_printf(&text, "bad value for \"%s\": got ", name);
        put_got(node, &text);
        buffer_printf(&text, ", expected ");
        config_option_expect(o, &text);
        if (why && buffer_size(why))
                buffer_printf(&text, "; %.*s", (int)buffer_size(why), (const char *)why->data);
        config_report_add(s->report, place->start, n, "%s", (const char *)text.data);
        buffer_deinit(&text);
}

static bool options_have(const struct config_option *options, size_t n, struct bytes name)
{
        for (size_t i = 0; i < n; i++)
                if (bytes_equal(name, bytes_str(options[i].name)))
                        return true;
        return false;
}

/* Where a key is known that is not known here. Return: whether anywhere. */
static bool put_home(struct bytes key, struct buffer *out)
{
        bool top = options_have(config_options, config_n_options, key), item = false;

        if (top)
                buffer_printf(out, "; it belongs to the top level");
        for (size_t i = 0; i < config_n_options; i++) {
                const struct config_table *mapping = config_option_mapping(&config_options[i]);

                if (!mapping || !options_have(mapping->options, mapping->n_options, key))
                        continue;
                buffer_printf(out, "%s \"%s\"", top ? " or to" : "; it belongs to", config_options[i].name);
                top = true;
        }
        for (size_t i = 0; i < config_n_options; i++) {
                const struct config_table *table = config_option_table(&config_options[i]);

                if (!table || !options_have(table->options, table->n_options, key))
                        continue;
                if (!item)
                        buffer_printf(out, top ? " or to an item of" : "; it belongs to an item of");
                buffer_printf(out, "%s \"%s\"", item ? " or" : "", config_options[i].name);
                item = true;
        }
        return top || item;
}

/* Keys of former versions, and where what they said is said now. Return: whether it is one. */
static bool put_successor(const struct config_section *s, struct bytes key, struct buffer *out)
{
        if (*s->name || !bytes_equal(key, BYTES_LITERAL("log_level")))
                return false;
        buffer_printf(out, "; it is \"level\" in \"log\" now: log: {level: info}");
        return true;
}

static void put_hint(struct config_section *s, struct bytes key, struct buffer *out)
{
        const char *names[CONFIG_SECTION_OPTIONS];
        size_t best;

        if (put_successor(s, key, out))
                return;
        for (size_t i = 0; i < s->n_options; i++)
                names[i] = s->options[i].name;
        best = suggest_best(key, names, s->n_options);
        if (best < s->n_options) {
                s->values[best].guessed = true;
                buffer_printf(out, "; did you mean \"%s\"?", names[best]);
        } else if (!put_home(key, out)) {
                buffer_printf(out, "; known here are");
                for (size_t i = 0; i < s->n_options; i++)
                        buffer_printf(out, "%s %s", i ? "," : "", names[i]);
        }
}

static void add_unknown_key(struct config_section *s, const struct config_node *key)
{
        struct buffer text = { 0 };

        buffer_printf(&text, "unknown key ");
        config_text_quote(&text, key->text, GOT_MAX);
        if (*s->name)
                buffer_printf(&text, " in \"%s\"", s->name);
        put_hint(s, key->text, &text);
        config_report_add(s->report, key->start, key->end - key->start, "%s", (const char *)text.data);
        buffer_deinit(&text);
}

/* ---- values */

static void read_value(struct config_section *s, const struct config_option *o, const struct config_node *node)
{
        struct buffer why = { 0 };

        if (node->kind != CONFIG_NODE_VALUE || config_node_is_void(node) ||
            !config_option_read(o, node->text, s->base, &why))
                config_section_add_bad(s, o, node, &why);
        buffer_deinit(&why);
}

static const struct config_node *same_value_before(const struct config_node *list,
                                                   const struct config_node *item)
{
        for (const struct config_node *i = list->first; i != item; i = i->next)
                if (i->kind == CONFIG_NODE_VALUE && bytes_equal(i->text, item->text))
                        return i;
        return NULL;
}

/* The items of a list are read one by one into one member. */
static void read_list(struct config_section *s, const struct config_option *o, const struct config_node *list)
{
        const struct config_node *same;

        if (!list->first || list->n_children > config_option_list_max(o)) {
                config_section_add_bad(s, o, list, NULL);
                return;
        }
        for (const struct config_node *item = list->first; item; item = item->next) {
                char name[CONFIG_SECTION_FULL];

                same = item->kind == CONFIG_NODE_VALUE ? same_value_before(list, item) : NULL;
                if (same) {
                        s->values[o - s->options].bad = true;
                        config_section_full_name(s, o->name, name);
                        config_report_add_pair(s->report, item->start, item->end - item->start, same->start,
                                               "\"%s\" lists a %s twice; it is listed before,", name,
                                               config_option_noun(o));
                } else if (o->type == CONFIG_TYPE_CPUS && config_option_has_word(o, item->text)) {
                        config_section_add_bad(s, o, item, NULL); /* words stand alone */
                } else {
                        read_value(s, o, item);
                }
        }
}

/* ---- lists of mappings */

static void read_item(struct config_section *s, const struct config_table *table,
                      const struct config_node *item, bool complete)
{
        const struct config_node *head = NULL;

        s->node = item;
        if (item->kind == CONFIG_NODE_MAPPING) {
                config_section_read(s, item, complete);
        } else if (item->kind != CONFIG_NODE_BAD) {
                struct buffer got = { 0 };

                put_got(item, &got);
                config_report_add(s->report, item->start,
                                  item->kind == CONFIG_NODE_VALUE ? item->end - item->start : 1,
                                  "bad value for \"%s\": got %s, expected a mapping such as \"%s\"", s->name,
                                  (const char *)got.data, table->example);
                buffer_deinit(&got);
        }
        if (table->head)
                head = config_section_value(s, table->head)->node;
        *(unsigned *)((char *)s->base + table->line_offset) =
                config_report_line(s->report, head ? head->key->start : item->start);
}

static void read_table(struct config_section *s, const struct config_option *o, const struct config_node *node,
                       bool complete)
{
        const struct config_table *table = config_option_table(o);
        struct config_section_value *value = &s->values[o - s->options];
        size_t n = node->n_children;
        char *items;

        if (node->kind != CONFIG_NODE_LIST || n < o->least || n > o->greatest) {
                config_section_add_bad(s, o, node, NULL);
                return;
        }
        items = config_option_items_new(o, s->base, (unsigned)n);
        if (n)
                value->items = mem_zalloc(n * sizeof(*value->items));
        for (const struct config_node *item = node->first; item; item = item->next) {
                struct config_section *inner = &value->items[value->n_items];

                config_section_init(inner, s->report, table->options, table->n_options,
                                    items + value->n_items * table->item_size);
                snprintf(inner->name, sizeof(inner->name), "%s[%u]", o->name, value->n_items++);
                read_item(inner, table, item, complete || item->next);
        }
}

/* ---- the mapping */

static void read_mapping(struct config_section *s, const struct config_option *o,
                         const struct config_node *node, bool complete)
{
        const struct config_table *table = config_option_mapping(o);
        struct config_section_value *value = &s->values[o - s->options];

        if (node->kind != CONFIG_NODE_MAPPING) {
                config_section_add_bad(s, o, node, NULL);
                return;
        }
        value->items = mem_zalloc(sizeof(*value->items));
        value->n_items = 1;
        config_section_init(value->items, s->report, table->options, table->n_options,
                            (char *)s->base + o->offset);
        snprintf(value->items->name, sizeof(value->items->name), "%s", o->name);
        config_section_read(value->items, node, complete);
}

static void read_option(struct config_section *s, const struct config_option *o, const struct config_node *node,
                        bool complete)
{
        if (config_option_table(o))
                read_table(s, o, node, complete);
        else if (config_option_mapping(o))
                read_mapping(s, o, node, complete);
        else if (node->kind == CONFIG_NODE_LIST && config_option_list_max(o))
                read_list(s, o, node);
        else if (o->type == CONFIG_TYPE_CPUS && node->kind == CONFIG_NODE_VALUE &&
                 !config_option_has_word(o, node->text))
                config_section_add_bad(s, o, node, NULL); /* a number alone is no list */
        else
                read_value(s, o, node);
}

/* Of the whole file no line is to blame; of an item its first one shows which it is. */
static void check_missing(struct config_section *s)
{
        bool whole = !*s->name;

        for (size_t i = 0; i < s->n_options; i++) {
                struct buffer text = { 0 };

                if (s->options[i].fallback || s->values[i].node || s->values[i].guessed)
                        continue;
                if (s->optional && !strcmp(s->options[i].name, s->optional))
                        continue;
                buffer_printf(&text, "the key \"%s\" is missing", s->options[i].name);
                if (!whole)
                        buffer_printf(&text, " in \"%s\"", s->name);
                buffer_printf(&text, ", expected ");
                config_option_expect(&s->options[i], &text);
                config_report_add(s->report, whole ? 0 : s->node->start, !whole, "%s", (const char *)text.data);
                buffer_deinit(&text);
        }
}

static void read_key(struct config_section *s, const struct config_node *node, bool complete)
{
        size_t i;

        for (i = 0; i < s->n_options; i++)
                if (bytes_equal(node->key->text, bytes_str(s->options[i].name)))
                        break;
        if (i == s->n_options) {
                add_unknown_key(s, node->key);
        } else if (s->values[i].node) {
                config_report_add_pair(s->report, node->key->start, node->key->end - node->key->start,
                                       s->values[i].node->key->start,
                                       "duplicate key \"%s\"; it is given before,", s->options[i].name);
        } else {
                s->values[i].node = node;
                read_option(s, &s->options[i], node, complete);
        }
}

void config_section_read(struct config_section *s, const struct config_node *mapping, bool complete)
{
        s->node = mapping;
        s->complete = complete;
        for (const struct config_node *node = mapping->first; node; node = node->next)
                if (node->key->kind == CONFIG_NODE_VALUE)
                        read_key(s, node, complete || node->next);
        if (complete)
                check_missing(s);
}
