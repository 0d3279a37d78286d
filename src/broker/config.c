/* SPDX-License-Identifier: MIT */
/*
 * Loading: the bytes become a tree (config_tree), the tree is walked beside the table of options
 * (config_section), and what options say about each other is checked last (config_check). Every step adds to
 * one report, so that one run shows all errors. Where a value is bad its member keeps the default, and checks
 * that would only repeat the fault are left out.
 */

#include "broker/config.h"

#include <stdlib.h>
#include <string.h>

#include "broker/config_check.h"
#include "broker/config_option.h"
#include "broker/config_report.h"
#include "broker/config_section.h"
#include "broker/config_tree.h"
#include "util/error.h"
#include "util/mem.h"

#define SHARDS_AUTO_MAX 4

static void config_read_tree(struct config *config, const struct config_tree *tree, unsigned flags,
                             struct config_report *report)
{
        struct config_section s;

        config_section_init(&s, report, config_options, config_n_options, config);
        if (flags & CONFIG_LOAD_SOCKETS)
                s.optional = "listeners";
        if (!tree->root || config_node_is_void(tree->root)) {
                if (tree->complete && !s.optional)
                        config_report_add(report, 0, 0, "the file is empty; the key \"listeners\" is missing");
        } else if (tree->root->kind == CONFIG_NODE_MAPPING) {
                config_section_read(&s, tree->root, tree->complete);
                config_check(&s);
        } else if (tree->root->kind != CONFIG_NODE_BAD) {
                config_report_add(report, tree->root->start, 1, "expected lines of \"key: value\", got %s",
                                  tree->root->kind == CONFIG_NODE_LIST ? "a list" : "a value alone");
        }
        config_section_deinit(&s);
}

int config_parse_as(struct config **configp, const char *file, const void *bytes, size_t n, unsigned flags,
                    FILE *errors)
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
                config_read_tree(config, &tree, flags, &report);
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

int config_parse(struct config **configp, const char *file, const void *bytes, size_t n, FILE *errors)
{
        return config_parse_as(configp, file, bytes, n, 0, errors);
}

struct config *config_free(struct config *config)
{
        if (!config)
                return NULL;
        for (size_t i = 0; i < config_n_options; i++)
                config_option_clear(&config_options[i], config);
        free(config->file);
        free(config);
        return NULL;
}

unsigned config_shards_auto(unsigned n_cpus)
{
        unsigned n = n_cpus / 2;

        return n < 1 ? 1 : n > SHARDS_AUTO_MAX ? SHARDS_AUTO_MAX : n;
}
