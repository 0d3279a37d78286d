/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "broker/config_option.h"
#include "broker/config_report.h"
#include "broker/config_tree.h"
#include "util/buffer.h"

/*
 * One mapping of the file beside its rows of the table: which key stands where, which values were good. A list
 * of mappings has a section for each of its items. What is wrong goes to the report; where a value is bad its
 * member keeps the default. A section lives until all checks are done, since what values say about each other
 * (config_check.h) needs their places.
 */

#define CONFIG_SECTION_OPTIONS 64  /* at most, of one mapping */
#define CONFIG_SECTION_NAME    32  /* bytes of "listeners[12]", with the NUL */
#define CONFIG_SECTION_FULL    128 /* bytes of "listeners[12].path", with the NUL */

struct config_section {
        struct config_report *report;
        const struct config_option *options;
        size_t n_options;
        void *base;
        char name[CONFIG_SECTION_NAME]; /* "" for the whole file */
        const struct config_node *node; /* the mapping, or what stands in its place */
        const char *optional;           /* an option that may be missing although it has no default */
        bool complete;                  /* it was read to its end: what is not there is missing */
        struct config_section_value {
                const struct config_node *node; /* NULL: not given */
                bool guessed;                   /* an unknown key was taken for a slip of this one */
                bool bad;                       /* reported already */
                struct config_section *items;   /* of a list of mappings */
                unsigned n_items;
        } values[CONFIG_SECTION_OPTIONS]; /* of the options */
};

/* All members of base get their defaults. */
void config_section_init(struct config_section *section, struct config_report *report,
                         const struct config_option *options, size_t n_options, void *base);
void config_section_deinit(struct config_section *section);

/* Reads a mapping, and the mappings in its lists. */
void config_section_read(struct config_section *section, const struct config_node *mapping, bool complete);

/* Return: the value of an option; there is one of this name. */
struct config_section_value *config_section_value(struct config_section *section, const char *name);

/* Writes `listeners[0].path`. */
void config_section_full_name(const struct config_section *section, const char *option,
                              char name[CONFIG_SECTION_FULL]);

/* Reports `bad value for "shards": got "4zz", expected an integer 1..63 or "auto"`, and why, if that is not
 * empty. */
void config_section_add_bad(struct config_section *section, const struct config_option *option,
                            const struct config_node *node, const struct buffer *why);
