/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "util/bytes.h"

/* Rows of text in columns that are as wide as what stands in them. */

struct table_column {
        const char *head;
        bool right; /* numbers */
};

struct table {
        const struct table_column *columns;
        size_t n_columns;
        char **cells; /* row by row */
        size_t n_cells, cap;
};

void table_init(struct table *table, const struct table_column *columns, size_t n_columns);
void table_deinit(struct table *table);

/* The next cell of the row; after the last column a new row begins. Bytes are escaped as text_escape() does. */
void table_put(struct table *table, struct bytes b);
/* Text that is escaped already, and allocated; the table frees it. */
void table_put_escaped(struct table *table, char *text);
void table_printf(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A line of heads, then the rows. The last column is not padded. Every row must be whole. */
void table_print(const struct table *table, FILE *out);
