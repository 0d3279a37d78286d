/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "broker/config.h"

/*
 * What differs between the configuration that runs and the one that a file has now, by options of the whole:
 * the column `reloadable` says which of them a reload changes, and which wait for the next start.
 */
struct config_change {
        const char *key;
        char *running, *next; /* as YAML on one line; owned */
        bool now;             /* at a reload; otherwise at the next start */
};

struct config_diff {
        struct config_change *changes; /* in the order of the table */
        size_t n;
};

void config_diff_init(struct config_diff *diff, const struct config *running, const struct config *next);
void config_diff_deinit(struct config_diff *diff);

/* Adds a change that is not in the files; both texts are copied. */
void config_diff_add(struct config_diff *diff, const char *key, const char *running, const char *next,
                     bool now);

/* Return: the change of that key; NULL: it is the same. */
const struct config_change *config_diff_find(const struct config_diff *diff, const char *key);

size_t config_diff_count(const struct config_diff *diff, bool now);

/* Gives next what running has for all options that a reload does not change. */
void config_keep(struct config *next, const struct config *running);
