/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "broker/config_report.h"

/*
 * A YAML file as a tree that remembers places. It holds what the configuration needs of YAML and no more:
 * mappings, lists, and values on one line. Anchors, aliases, tags, directives, block text, further documents
 * and deep nesting are errors, so the tree is never larger than its file.
 */

#define CONFIG_TREE_BYTES_MAX (64 * 1024)
#define CONFIG_TREE_DEPTH_MAX 8

enum config_node_kind {
        CONFIG_NODE_VALUE,
        CONFIG_NODE_LIST,
        CONFIG_NODE_MAPPING,
        CONFIG_NODE_BAD, /* reported already; nothing more is said about it */
};

struct config_node {
        enum config_node_kind kind;
        bool quoted;                             /* a value: written in quotes */
        struct bytes text;                       /* a value: what it says, any byte */
        size_t start, end;                       /* bytes of the file */
        struct config_node *key;                 /* in a mapping: of the value CONFIG_NODE_VALUE or BAD */
        struct config_node *first, *last, *next; /* children in their order */
        size_t n_children;
        struct config_node *chain; /* all nodes of a tree */
};

/* Whether the file has nothing at all where a value should be. */
static inline bool config_node_is_void(const struct config_node *node)
{
        return node->kind == CONFIG_NODE_VALUE && !node->text.n && !node->quoted;
}

struct config_tree {
        struct config_node *root; /* NULL: the file holds nothing */
        bool complete;            /* the file was read to its end: what is not there is missing */
        struct config_node *chain;
};

/*
 * Reads the report's text. What cannot be read is added to the report; the tree then holds what came before.
 * Return: 0, -ENOMEM (the tree is empty).
 */
int config_tree_init(struct config_tree *tree, struct config_report *report);
void config_tree_deinit(struct config_tree *tree);
