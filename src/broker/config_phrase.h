/* SPDX-License-Identifier: MIT */
#pragma once

#include "broker/config_report.h"
#include "broker/config_tree.h"

/*
 * The phrase book for libyaml: its messages name rules of YAML's grammar at the place where its scanner gave
 * up; the ones here name the slip, at the place of the slip.
 */

struct config_problem {
        const char *problem, *context; /* libyaml's texts; context may be NULL */
        size_t offset, context_offset; /* bytes of the file */
};

/* unfinished: the last value, when it spans several lines, else NULL: the slip often lies there. */
void config_phrase_add(struct config_report *report, const struct config_problem *problem,
                       const struct config_node *unfinished);

/* A value that goes on in the next line, as a forgotten ":" makes it. */
void config_phrase_add_spanning(struct config_report *report, const struct config_node *value);
