/* SPDX-License-Identifier: MIT */
/*
 * Loading: the bytes become a tree (config_tree), the tree is walked beside the table of options, and what
 * options say about each other is checked last. Every step adds to one report, so that one run shows all
 * errors. Where a value is bad its member keeps the default, and checks that would only repeat the fault are
 * left out.
 */

#include "broker/config.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/config_option.h"
#include "broker/config_report.h"
#include "broker/config_text.h"
#include "broker/config_tree.h"
#include "util/error.h"
#include "util/mem.h"
#include "util/suggest.h"

#define SHARDS_AUTO_MAX 4
#define OPTIONS_MAX     32 /* of one mapping */
#define GOT_MAX         60 /* characters of a value that a message repeats */
#define NAME_SIZE       64 /* of "listeners[12].path" */

/* One mapping of the file, its rows, and where the value of each row stands. */
struct section {
        struct config_report *report;
        const struct config_option *options;
        size_t n_options;
        void *base;
        char name[NAME_SIZE]; /* "" for the whole file */
        const struct config_node *values[OPTIONS_MAX];
        bool guessed[OPTIONS_MAX]; /* an unknown key was taken for a slip of this one */
};

static void section_init(struct section *s, struct config_report *report, const struct config_option *options,
                         size_t n_options, void *base)
{
        assert(n_options <= OPTIONS_MAX);
        *s = (struct section){ .report = report, .options = options, .n_options = n_options, .base = base };
        for (size_t i = 0; i < n_options; i++)
                config_option_reset(&options[i], base);
}

static const struct config_node *section_value(const struct section *s, const char *name)
{
        for (size_t i = 0; i < s->n_options; i++)
                if (strcmp(s->options[i].name, name) == 0)
                        return s->values[i];
        return NULL;
}

/* ---- messages */

static void put_full_name(const struct section *s, const struct config_option *o, struct buffer *out)
{
        buffer_printf(out, "\"%s%s%s\"", s->name, *s->name ? "." : "", o->name);
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

/* Whether the file has nothing at all where the value should be. */
static bool node_is_void(const struct config_node *node)
{
        return node->kind == CONFIG_NODE_VALUE && !node->text.n && !node->quoted;
}

/* `bad value for "shards": got "4zz", expected an integer 1..63 or "auto"`. A value that is not there is shown
 * at its key. */
static void add_bad_value(struct section *s, const struct config_option *o, const struct config_node *node,
                          struct buffer *why)
{
        const struct config_node *place = node_is_void(node) && node->key ? node->key : node;
        size_t n = place->kind == CONFIG_NODE_VALUE ? place->end - place->start : 1;
        struct buffer text = { 0 };

        if (node->kind == CONFIG_NODE_BAD)
                return;
        buffer_printf(&text, "bad value for ");
        put_full_name(s, o, &text);
        buffer_printf(&text, ": got ");
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

static void put_hint(struct section *s, struct bytes key, struct buffer *out)
{
        const char *names[OPTIONS_MAX];
        size_t best;

        for (size_t i = 0; i < s->n_options; i++)
                names[i] = s->options[i].name;
        best = suggest_best(key, names, s->n_options);
        if (options_have(config_options, config_n_options, key)) {
                buffer_printf(out, "; it belongs to the top level");
        } else if (options_have(config_listener_options, config_n_listener_options, key)) {
                buffer_printf(out, "; it belongs to an item of \"listeners\"");
        } else if (best < s->n_options) {
                s->guessed[best] = true;
                buffer_printf(out, "; did you mean \"%s\"?", names[best]);
        } else {
                buffer_printf(out, "; known here are");
                for (size_t i = 0; i < s->n_options; i++)
                        buffer_printf(out, "%s %s", i ? "," : "", names[i]);
        }
}

static void add_unknown_key(struct section *s, const struct config_node *key)
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

/* ---- the walk */

static void read_value(struct section *s, const struct config_option *o, const struct config_node *node)
{
        struct buffer why = { 0 };

        if (node->kind != CONFIG_NODE_VALUE || node_is_void(node) ||
            !config_option_read(o, node->text, s->base, &why))
                add_bad_value(s, o, node, &why);
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

static void read_cpu_list(struct section *s, const struct config_option *o, const struct config_node *list)
{
        const struct config_node *same;

        if (!list->first || list->n_children > CONFIG_CPUS_MAX) {
                add_bad_value(s, o, list, NULL);
                return;
        }
        for (const struct config_node *item = list->first; item; item = item->next) {
                same = item->kind == CONFIG_NODE_VALUE ? same_value_before(list, item) : NULL;
                if (same)
                        config_report_add_pair(s->report, item->start, item->end - item->start, same->start,
                                               "\"%s\" lists a CPU twice; it is listed before,", o->name);
                else
                        read_value(s, o, item);
        }
}

/* A word, or a list of numbers; a number alone is no list. A list with errors counts as none. */
static void read_cpus(struct section *s, const struct config_option *o, const struct config_node *node)
{
        struct config *config = s->base;
        size_t n_errors = s->report->n;

        if (node->kind == CONFIG_NODE_LIST) {
                read_cpu_list(s, o, node);
        } else {
                read_value(s, o, node);
                if (config->cpus == CONFIG_CPUS_LIST)
                        add_bad_value(s, o, node, NULL);
        }
        if (s->report->n > n_errors)
                config->cpus = CONFIG_CPUS_NONE;
}

static void section_read(struct section *s, const struct config_node *mapping, bool complete);

/* Abstract names have no file, so there is nothing that a mode, an owner or a group could belong to. */
static void check_abstract(struct section *s)
{
        static const char *const file_only[] = { "mode", "owner", "group" };
        const struct config_listener *listener = s->base;
        const struct config_node *value;
        struct buffer name = { 0 };

        if (!listener->path || *listener->path != '@')
                return;
        config_text_quote(&name, bytes_str(listener->path), CONFIG_TEXT_WHOLE);
        for (size_t i = 0; i < sizeof(file_only) / sizeof(*file_only); i++) {
                value = section_value(s, file_only[i]);
                if (value)
                        config_report_add(s->report, value->key->start, value->key->end - value->key->start,
                                          "\"%s.%s\" is not allowed: the abstract socket %s has no file",
                                          s->name, file_only[i], (const char *)name.data);
        }
        buffer_deinit(&name);
}

static void read_listener(struct section *outer, const struct config_option *o, const struct config_node *item,
                          struct config_listener *listener, unsigned index, bool complete)
{
        const struct config_node *path;
        struct section s;

        section_init(&s, outer->report, config_listener_options, config_n_listener_options, listener);
        snprintf(s.name, sizeof(s.name), "%s[%u]", o->name, index);
        if (item->kind == CONFIG_NODE_MAPPING) {
                section_read(&s, item, complete);
        } else if (item->kind != CONFIG_NODE_BAD) {
                struct buffer got = { 0 };

                put_got(item, &got);
                config_report_add(
                        s.report, item->start, item->kind == CONFIG_NODE_VALUE ? item->end - item->start : 1,
                        "bad value for \"%s\": got %s, expected a mapping such as \"path: /run/x.sock\"",
                        s.name, (const char *)got.data);
                buffer_deinit(&got);
        }
        path = section_value(&s, "path");
        listener->line = config_report_line(s.report, path ? path->key->start : item->start);
        check_abstract(&s);
}

static void read_listeners(struct section *s, const struct config_option *o, const struct config_node *node,
                           bool complete)
{
        struct config *config = s->base;
        size_t n = node->n_children;

        if (node->kind != CONFIG_NODE_LIST || n < o->least || n > o->greatest) {
                add_bad_value(s, o, node, NULL);
                return;
        }
        config->listeners = mem_zalloc(n * sizeof(*config->listeners));
        for (const struct config_node *item = node->first; item; item = item->next, config->n_listeners++)
                read_listener(s, o, item, &config->listeners[config->n_listeners], config->n_listeners,
                              complete || item->next);
}

static void read_option(struct section *s, const struct config_option *o, const struct config_node *node,
                        bool complete)
{
        if (o->type == CONFIG_TYPE_LISTENERS)
                read_listeners(s, o, node, complete);
        else if (o->type == CONFIG_TYPE_CPUS)
                read_cpus(s, o, node);
        else
                read_value(s, o, node);
}

/* Of the whole file no line is to blame; of an item its first one shows which it is. */
static void check_missing(struct section *s, const struct config_node *mapping)
{
        bool whole = !*s->name;

        for (size_t i = 0; i < s->n_options; i++) {
                struct buffer text = { 0 };

                if (s->options[i].fallback || s->values[i] || s->guessed[i])
                        continue;
                buffer_printf(&text, "the key \"%s\" is missing", s->options[i].name);
                if (!whole)
                        buffer_printf(&text, " in \"%s\"", s->name);
                buffer_printf(&text, ", expected ");
                config_option_expect(&s->options[i], &text);
                config_report_add(s->report, whole ? 0 : mapping->start, !whole, "%s", (const char *)text.data);
                buffer_deinit(&text);
        }
}

static void section_read(struct section *s, const struct config_node *mapping, bool complete)
{
        size_t i;

        for (const struct config_node *node = mapping->first; node; node = node->next) {
                if (node->key->kind != CONFIG_NODE_VALUE)
                        continue;
                for (i = 0; i < s->n_options; i++)
                        if (bytes_equal(node->key->text, bytes_str(s->options[i].name)))
                                break;
                if (i == s->n_options) {
                        add_unknown_key(s, node->key);
                } else if (s->values[i]) {
                        config_report_add_pair(s->report, node->key->start, node->key->end - node->key->start,
                                               s->values[i]->key->start,
                                               "duplicate key \"%s\"; it is given before,", s->options[i].name);
                } else {
                        s->values[i] = node;
                        read_option(s, &s->options[i], node, complete || node->next);
                }
        }
        if (complete)
                check_missing(s, mapping);
}

/* ---- what options say about each other */

static const struct config_node *list_item(const struct config_node *list, unsigned index)
{
        const struct config_node *item = list->first;

        while (index--)
                item = item->next;
        return item;
}

static const struct config_node *path_value(const struct config_node *listeners, unsigned index)
{
        for (const struct config_node *n = list_item(listeners, index)->first; n; n = n->next)
                if (n->key->kind == CONFIG_NODE_VALUE && bytes_equal(n->key->text, bytes_str("path")))
                        return n;
        return NULL;
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

static void add_same_path(struct section *s, const struct config_node *value, const char *name,
                          const struct config_node *other, const char *other_name)
{
        struct buffer path = { 0 };

        config_text_quote(&path, value->text, CONFIG_TEXT_WHOLE);
        config_report_add_pair(s->report, value->start, value->end - value->start, other->start,
                               "\"%s\" is %s, which \"%s\" has taken", name, (const char *)path.data,
                               other_name);
        buffer_deinit(&path);
}

static void check_paths(struct section *s)
{
        const struct config_node *list = section_value(s, "listeners"), *admin = section_value(s, "admin");
        const struct config *config = s->base;
        char name[NAME_SIZE], other[NAME_SIZE];
        bool admin_taken = false;

        for (unsigned i = 0; i < config->n_listeners; i++) {
                if (!config->listeners[i].path)
                        continue;
                snprintf(name, sizeof(name), "listeners[%u].path", i);
                for (unsigned j = 0; j < i; j++) {
                        if (!config->listeners[j].path ||
                            !same_path(config->listeners[i].path, config->listeners[j].path))
                                continue;
                        snprintf(other, sizeof(other), "listeners[%u].path", j);
                        add_same_path(s, path_value(list, i), name, path_value(list, j), other);
                        break;
                }
                if (config->admin && !admin_taken && same_path(config->listeners[i].path, config->admin)) {
                        add_same_path(s, admin, "admin", path_value(list, i), name);
                        admin_taken = true;
                }
        }
}

/* ---- the whole */

static void config_read_tree(struct config *config, const struct config_tree *tree,
                             struct config_report *report)
{
        struct section s;

        section_init(&s, report, config_options, config_n_options, config);
        if (!tree->root || node_is_void(tree->root)) {
                if (tree->complete)
                        config_report_add(report, 0, 0, "the file is empty; the key \"listeners\" is missing");
                return;
        }
        if (tree->root->kind == CONFIG_NODE_MAPPING) {
                section_read(&s, tree->root, tree->complete);
                check_paths(&s);
        } else if (tree->root->kind != CONFIG_NODE_BAD) {
                config_report_add(report, tree->root->start, 1, "expected lines of \"key: value\", got %s",
                                  tree->root->kind == CONFIG_NODE_LIST ? "a list" : "a value alone");
        }
}

int config_parse(struct config **configp, const char *file, const void *bytes, size_t n, FILE *errors)
{
        struct config *config = mem_zalloc(sizeof(*config));
        struct config_report report;
        struct config_tree tree;
        int r;

        config_report_init(&report, file, bytes_of(bytes, n));
        r = config_tree_init(&tree, &report);
        if (!r && !report.n) {
                config->file = mem_alloc(strlen(file) + 1);
                strcpy(config->file, file);
        }
        if (!r)
                config_read_tree(config, &tree, &report);
        if (!r && report.n) {
                config_report_print(&report, errors);
                r = CONFIG_E_INVALID;
        }
        config_tree_deinit(&tree);
        config_report_deinit(&report);
        if (r) {
                config_free(config);
                return error_trace(r);
        }
        *configp = config;
        return 0;
}

/* Reads at most size bytes. Return: 0, or errno with what failed in *whatp. */
static int file_read(const char *file, uint8_t *bytes, size_t size, size_t *np, const char **whatp)
{
        size_t n = 0;
        ssize_t got;
        int fd, r = 0;

        *whatp = "open";
        fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return errno;
        *whatp = "read";
        while (n < size) {
                got = read(fd, bytes + n, size - n);
                if (got == 0)
                        break;
                if (got > 0)
                        n += (size_t)got;
                else if (errno != EINTR) {
                        r = errno;
                        break;
                }
        }
        close(fd);
        *np = n;
        return r;
}

int config_load(struct config **configp, const char *file, FILE *errors)
{
        uint8_t *bytes = mem_alloc(CONFIG_TREE_BYTES_MAX + 1);
        struct config_report report;
        const char *what;
        size_t n = 0;
        int r;

        r = file_read(file, bytes, CONFIG_TREE_BYTES_MAX + 1, &n, &what);
        if (r) {
                config_report_init(&report, file, bytes_of(bytes, 0));
                config_report_add(&report, CONFIG_REPORT_NOWHERE, 0, "cannot %s the configuration file: %s",
                                  what, strerror(r));
                config_report_print(&report, errors);
                config_report_deinit(&report);
                r = CONFIG_E_INVALID;
        } else {
                r = config_parse(configp, file, bytes, n, errors);
        }
        free(bytes);
        return error_trace(r);
}

struct config *config_free(struct config *config)
{
        if (!config)
                return NULL;
        for (unsigned i = 0; i < config->n_listeners; i++)
                free(config->listeners[i].path);
        free(config->listeners);
        free(config->cpu_list);
        free(config->admin);
        free(config->file);
        free(config);
        return NULL;
}

unsigned config_shards_auto(unsigned n_cpus)
{
        unsigned n = n_cpus / 2;

        return n < 1 ? 1 : n > SHARDS_AUTO_MAX ? SHARDS_AUTO_MAX : n;
}
