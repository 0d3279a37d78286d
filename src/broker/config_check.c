/* SPDX-License-Identifier: MIT */

#include "broker/config_check.h"

#include <string.h>

#include "broker/config_text.h"

/* Reports at the key of a value. */
static void add_at_key(struct config_section *s, const char *option, const struct config_node *node,
                       const char *text)
{
        char name[CONFIG_SECTION_FULL];

        config_section_full_name(s, option, name);
        config_report_add(s->report, node->key->start, node->key->end - node->key->start,
                          "\"%s\" is not allowed: %s", name, text);
}

/* ---- sockets */

/* Abstract names have no file, so there is nothing that a mode, an owner or a group could belong to. */
static void check_abstract(struct config_section *s)
{
        static const char *const file_only[] = { "mode", "owner", "group" };
        const struct config_listener *listener = s->base;
        const struct config_node *node;
        struct buffer text = { 0 };

        if (!listener->path || *listener->path != '@')
                return;
        buffer_printf(&text, "the abstract socket ");
        config_text_quote(&text, bytes_str(listener->path), CONFIG_TEXT_WHOLE);
        buffer_printf(&text, " has no file");
        for (size_t i = 0; i < sizeof(file_only) / sizeof(*file_only); i++) {
                node = config_section_value(s, file_only[i])->node;
                if (node)
                        add_at_key(s, file_only[i], node, (const char *)text.data);
        }
        buffer_deinit(&text);
}

/* Two names of one file: the same but for doubled slashes and "." parts. */
static bool same_path(const char *a, const char *b)
{
        if (*a == '@' || *b == '@')
                return strcmp(a, b) == 0;
        for (;;) {
                while (*a == '/' && (a[1] == '/' || (a[1] == '.' && a[2] == '/')))
                        a += a[1] == '/' ? 1 : 2;
                while (*b == '/' && (b[1] == '/' || (b[1] == '.' && b[2] == '/')))
                        b += b[1] == '/' ? 1 : 2;
                if (*a != *b)
                        return false;
                if (!*a)
                        return true;
                a++, b++;
        }
}

/* A socket that two want. */
static void add_same_path(struct config_section *s, const char *option, struct config_section *other)
{
        const struct config_node *node = config_section_value(s, option)->node;
        char name[CONFIG_SECTION_FULL];
        struct buffer path = { 0 };

        config_section_full_name(s, option, name);
        config_text_quote(&path, node->text, CONFIG_TEXT_WHOLE);
        config_report_add_pair(s->report, node->start, node->end - node->start,
                               config_section_value(other, "path")->node->start,
                               "\"%s\" is %s, which \"%s.path\" has taken", name, (const char *)path.data,
                               other->name);
        buffer_deinit(&path);
}

/* The first n listeners' section that has this path. Return: NULL: none has. */
static struct config_section *path_find(const struct config_section_value *listeners, unsigned n,
                                        const char *path)
{
        for (unsigned i = 0; i < n; i++) {
                const struct config_listener *listener = listeners->items[i].base;

                if (listener->path && same_path(listener->path, path))
                        return &listeners->items[i];
        }
        return NULL;
}

static void check_paths(struct config_section *whole)
{
        const struct config_section_value *listeners = config_section_value(whole, "listeners");
        const struct config *config = whole->base;
        struct config_section *other;

        for (unsigned i = 0; i < listeners->n_items; i++) {
                const struct config_listener *listener = listeners->items[i].base;

                check_abstract(&listeners->items[i]);
                other = listener->path ? path_find(listeners, i, listener->path) : NULL;
                if (other)
                        add_same_path(&listeners->items[i], "path", other);
        }
        other = config->admin ? path_find(listeners, listeners->n_items, config->admin) : NULL;
        if (other)
                add_same_path(whole, "admin", other);
}

void config_check(struct config_section *whole)
{
        check_paths(whole);
}
