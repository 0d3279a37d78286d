/* SPDX-License-Identifier: MIT */

#include "broker/config_tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "broker/config_phrase.h"
#include "broker/config_text.h"
#include "util/error.h"
#include "util/mem.h"

/* The state of one reading. keys[] holds the key that waits for its value, per open mapping. */
struct builder {
        struct config_tree *tree;
        struct config_report *report;
        yaml_parser_t parser;
        uint32_t *offsets; /* of each character, and of the end */
        size_t n_offsets;
        struct config_node *open[CONFIG_TREE_DEPTH_MAX];
        struct config_node *keys[CONFIG_TREE_DEPTH_MAX];
        unsigned depth;
        struct config_node *spanning; /* the last value, when it spans lines and that is not reported yet */
        struct config_node *value;    /* the last value */
        bool seen_document;
};

static size_t tree_offset(const struct builder *b, const yaml_mark_t *mark)
{
        return b->offsets[mark->index < b->n_offsets ? mark->index : b->n_offsets - 1];
}

static bool yaml_allows(uint32_t c)
{
        return c == '\t' || c == '\n' || c == '\r' || (c >= 0x20 && c < 0x7f) || (c >= 0xa0 && c <= 0xfffd) ||
               c > 0xffff;
}

/*
 * Checks the characters and notes where each starts, for libyaml counts characters. It also takes U+0085,
 * U+2028 and U+2029 and a lone CR for line ends, which editors do not: they are refused, so that lines mean the
 * same to all.
 */
static bool tree_scan(struct builder *b, size_t start)
{
        struct bytes text = bytes_of(b->report->text.p + start, b->report->text.n - start);
        size_t offset;
        uint32_t c;
        bool valid;

        if (text.n >= 2 && (memcmp(text.p, "\xff\xfe", 2) == 0 || memcmp(text.p, "\xfe\xff", 2) == 0)) {
                config_report_add(b->report, CONFIG_REPORT_NOWHERE, 0, "the file is UTF-16, expected UTF-8");
                return false;
        }
        while (text.n) {
                offset = (size_t)(text.p - b->report->text.p);
                b->offsets[b->n_offsets++] = (uint32_t)offset;
                valid = config_text_next(&text, &c);
                if (!valid) {
                        config_report_add(b->report, offset, 1, "the byte 0x%02x is not UTF-8", c);
                        return false;
                }
                if (!yaml_allows(c) || c == 0xfeff || c == 0x2028 || c == 0x2029 ||
                    (c == '\r' && (!text.n || *text.p != '\n'))) {
                        config_report_add(b->report, offset, 1, "the character U+%04X is not allowed here", c);
                        return false;
                }
        }
        b->offsets[b->n_offsets++] = (uint32_t)b->report->text.n;
        return true;
}

static struct config_node *tree_new_node(struct builder *b, enum config_node_kind kind,
                                         const yaml_event_t *event)
{
        struct config_node *node = mem_zalloc(sizeof(*node));

        node->kind = kind;
        node->start = tree_offset(b, &event->start_mark);
        node->end = tree_offset(b, &event->end_mark);
        node->chain = b->tree->chain;
        b->tree->chain = node;
        return node;
}

static void tree_attach(struct builder *b, struct config_node *node)
{
        struct config_node *parent;

        if (!b->depth) {
                b->tree->root = node;
                return;
        }
        parent = b->open[b->depth - 1];
        if (parent->kind == CONFIG_NODE_MAPPING && !b->keys[b->depth - 1]) {
                if (node->kind == CONFIG_NODE_LIST || node->kind == CONFIG_NODE_MAPPING) {
                        config_report_add(b->report, node->start, 1,
                                          "a key must be a word, not a list or mapping");
                        node->kind = CONFIG_NODE_BAD;
                }
                b->keys[b->depth - 1] = node;
                return;
        }
        if (parent->kind == CONFIG_NODE_MAPPING) {
                node->key = b->keys[b->depth - 1];
                b->keys[b->depth - 1] = NULL;
        }
        if (parent->last)
                parent->last->next = node;
        else
                parent->first = node;
        parent->last = node;
        parent->n_children++;
}

/* The end of the word that starts at offset: what an anchor, alias or tag is underlined to. */
static size_t tree_word(const struct builder *b, size_t offset)
{
        struct bytes text = b->report->text;
        size_t n = 0;

        while (offset + n < text.n && !strchr(" \t\r\n,[]{}", text.p[offset + n]))
                n++;
        return n;
}

/* Anchors and tags stand before a value, in any order. */
static void tree_check_properties(struct builder *b, const struct config_node *node, bool anchor)
{
        size_t n = tree_word(b, node->start);
        const char *word = (const char *)b->report->text.p + node->start;

        if (node->start >= b->report->text.n)
                return;
        if (anchor)
                config_report_add(b->report, node->start, n, "anchors (&name) are not supported");
        else if (*word == '!')
                config_report_add(b->report, node->start, n, "tags (!name) are not supported");
}

static void tree_settle_spanning(struct builder *b)
{
        if (!b->spanning)
                return;
        config_phrase_add_spanning(b->report, b->spanning);
        b->spanning->kind = CONFIG_NODE_BAD;
        b->spanning = NULL;
}

static void tree_add_value(struct builder *b, const yaml_event_t *event)
{
        struct config_node *node = tree_new_node(b, CONFIG_NODE_VALUE, event);
        yaml_scalar_style_t style = event->data.scalar.style;
        size_t n = event->data.scalar.length;
        uint8_t *text = mem_alloc(n + 1);

        memcpy(text, event->data.scalar.value, n);
        text[n] = 0;
        node->text = bytes_of(text, n);
        node->quoted = style == YAML_SINGLE_QUOTED_SCALAR_STYLE || style == YAML_DOUBLE_QUOTED_SCALAR_STYLE;
        tree_check_properties(b, node, event->data.scalar.anchor);
        if (style == YAML_LITERAL_SCALAR_STYLE || style == YAML_FOLDED_SCALAR_STYLE) {
                config_report_add(b->report, node->start, 1,
                                  "block text (| or >) is not supported; write the value on one line");
                node->kind = CONFIG_NODE_BAD;
        } else if (event->start_mark.line != event->end_mark.line) {
                b->spanning = node;
        }
        b->value = node;
        tree_attach(b, node);
}

static bool tree_open(struct builder *b, enum config_node_kind kind, const yaml_event_t *event,
                      const yaml_char_t *anchor)
{
        struct config_node *node = tree_new_node(b, kind, event);

        tree_check_properties(b, node, anchor);
        if (b->depth == CONFIG_TREE_DEPTH_MAX) {
                config_report_add(b->report, node->start, 1, "nested deeper than %d levels",
                                  CONFIG_TREE_DEPTH_MAX);
                return false;
        }
        b->open[b->depth] = node;
        b->keys[b->depth] = NULL;
        b->depth++;
        return true;
}

/* A collection is attached when it ends, so that a key that is one is told from a value. */
static void tree_close(struct builder *b, const yaml_event_t *event)
{
        struct config_node *node = b->open[--b->depth];

        node->end = tree_offset(b, &event->end_mark);
        tree_attach(b, node);
}

static void tree_add_alias(struct builder *b, const yaml_event_t *event)
{
        struct config_node *node = tree_new_node(b, CONFIG_NODE_BAD, event);

        config_report_add(
                b->report, node->start, node->end - node->start,
                "aliases (*name) are not supported; write the value out, in quotes if it starts with \"*\"");
        tree_attach(b, node);
}

static bool tree_start_document(struct builder *b, const yaml_event_t *event)
{
        size_t start = tree_offset(b, &event->start_mark);

        if (b->seen_document) {
                config_report_add(b->report, start, 3, "a second document; a configuration is one document");
                return false;
        }
        b->seen_document = true;
        if (event->data.document_start.version_directive ||
            event->data.document_start.tag_directives.start != event->data.document_start.tag_directives.end)
                config_report_add(b->report, start, tree_word(b, start), "directives (%%) are not supported");
        return true;
}

/* Return: whether to go on. */
static bool tree_take(struct builder *b, const yaml_event_t *event)
{
        tree_settle_spanning(b);
        switch (event->type) {
        case YAML_DOCUMENT_START_EVENT:
                return tree_start_document(b, event);
        case YAML_SCALAR_EVENT:
                tree_add_value(b, event);
                return true;
        case YAML_ALIAS_EVENT:
                tree_add_alias(b, event);
                return true;
        case YAML_MAPPING_START_EVENT:
                return tree_open(b, CONFIG_NODE_MAPPING, event, event->data.mapping_start.anchor);
        case YAML_SEQUENCE_START_EVENT:
                return tree_open(b, CONFIG_NODE_LIST, event, event->data.sequence_start.anchor);
        case YAML_MAPPING_END_EVENT:
        case YAML_SEQUENCE_END_EVENT:
                tree_close(b, event);
                return true;
        case YAML_STREAM_END_EVENT:
                b->tree->complete = true;
                return false;
        default:
                return true;
        }
}

/* What was open when the reading ended is kept: its errors are worth reporting in the same pass. */
static void tree_close_all(struct builder *b)
{
        while (b->depth) {
                struct config_node *node = b->open[--b->depth];

                node->end = node->last ? node->last->end : node->start;
                tree_attach(b, node);
        }
}

static int tree_syntax_error(struct builder *b)
{
        struct config_problem problem = {
                .problem = b->parser.problem ? b->parser.problem : "",
                .context = b->parser.context,
                .offset = tree_offset(b, &b->parser.problem_mark),
                .context_offset = tree_offset(b, &b->parser.context_mark),
        };

        if (b->parser.error == YAML_MEMORY_ERROR)
                return error_origin(-ENOMEM);
        config_phrase_add(b->report, &problem, b->spanning);
        /* A value that the slip may have changed is not worth an error of its own. */
        if (b->value && (b->spanning || config_report_line(b->report, b->value->start) ==
                                                config_report_line(b->report, problem.offset)))
                b->value->kind = CONFIG_NODE_BAD;
        b->spanning = NULL;
        return 0;
}

static int tree_read(struct builder *b)
{
        yaml_event_t event;
        bool more;

        do {
                if (!yaml_parser_parse(&b->parser, &event))
                        return tree_syntax_error(b);
                more = tree_take(b, &event);
                yaml_event_delete(&event);
        } while (more);
        return 0;
}

static int tree_build(struct builder *b, size_t start)
{
        int r;

        if (!yaml_parser_initialize(&b->parser))
                return error_origin(-ENOMEM);
        yaml_parser_set_encoding(&b->parser, YAML_UTF8_ENCODING);
        yaml_parser_set_input_string(&b->parser, b->report->text.p + start, b->report->text.n - start);
        r = tree_read(b);
        tree_close_all(b);
        yaml_parser_delete(&b->parser);
        return error_trace(r);
}

int config_tree_init(struct config_tree *tree, struct config_report *report)
{
        struct builder b = { .tree = tree, .report = report };
        size_t start = report->text.n >= 3 && memcmp(report->text.p, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
        int r = 0;

        *tree = (struct config_tree){ 0 };
        if (report->text.n > CONFIG_TREE_BYTES_MAX) {
                config_report_add(report, CONFIG_REPORT_NOWHERE, 0, "the file is larger than %d KiB",
                                  CONFIG_TREE_BYTES_MAX / 1024);
                return 0;
        }
        b.offsets = mem_alloc((report->text.n + 1) * sizeof(*b.offsets));
        if (tree_scan(&b, start))
                r = tree_build(&b, start);
        free(b.offsets);
        if (r)
                config_tree_deinit(tree);
        return error_trace(r);
}

void config_tree_deinit(struct config_tree *tree)
{
        struct config_node *node;

        while ((node = tree->chain)) {
                tree->chain = node->chain;
                free((void *)(uintptr_t)node->text.p);
                free(node);
        }
        *tree = (struct config_tree){ 0 };
}
