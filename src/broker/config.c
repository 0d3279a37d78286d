/* SPDX-License-Identifier: MIT */
/*
 * Loading: the bytes become a tree (config_tree), the tree is walked beside the table of options
 * (config_section), and what options say about each other is checked last (config_check). Every step adds to
 * one report, so that one run shows all errors. Where a value is bad its member keeps the default, and checks
 * that would only repeat the fault are left out.
 */

#include "broker/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/config_check.h"
#include "broker/config_option.h"
#include "broker/config_report.h"
#include "broker/config_section.h"
#include "broker/config_tree.h"
#include "util/error.h"
#include "util/mem.h"

#define SHARDS_AUTO_MAX 4

static void config_read_tree(struct config *config, const struct config_tree *tree,
                             struct config_report *report)
{
        struct config_section s;

        config_section_init(&s, report, config_options, config_n_options, config);
        if (!tree->root || config_node_is_void(tree->root)) {
                if (tree->complete)
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
