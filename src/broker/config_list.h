/* SPDX-License-Identifier: MIT */
#pragma once

#include "broker/config_option.h"

/* Members that are arrays: patterns, names, users, groups, and the items of lists of mappings. */

/* As config_option_read(): one value more. */
bool config_list_read(const struct config_option *option, struct bytes text, void *base, struct buffer *why);

/* A single value as it is, several in brackets. Return: false: there is none. */
bool config_list_write(const struct config_option *option, const void *base, struct buffer *out);

/* Of a list of mappings: on one line. */
void config_list_write_items(const struct config_option *option, const void *base, struct buffer *out);

/* A mapping, on one line. */
void config_list_write_mapping(const struct config_table *table, const void *mapping, struct buffer *out);

/* Frees the array and what it refers to. */
void config_list_clear(const struct config_option *option, void *base);
