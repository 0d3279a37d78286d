/* SPDX-License-Identifier: MIT */

#include "ctl/table.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/text.h"
#include "util/mem.h"
#include "util/utf8.h"

void table_init(struct table *table, const struct table_column *columns, size_t n_columns)
{
        *table = (struct table){ .columns = columns, .n_columns = n_columns };
}

void table_deinit(struct table *table)
{
        for (size_t i = 0; i < table->n_cells; i++)
                free(table->cells[i]);
        free(table->cells);
}

void table_put(struct table *table, struct bytes b)
{
        char *text = NULL;
        size_t n;
        FILE *out = open_memstream(&text, &n);

        if (out)
                text_escape(out, b);
        if (!out || fclose(out))
                mem_fail();
        table_put_escaped(table, text);
}

void table_put_escaped(struct table *table, char *text)
{
        if (table->n_cells == table->cap) {
                table->cap = table->cap ? 2 * table->cap : 64;
                table->cells = mem_realloc(table->cells, table->cap * sizeof(*table->cells));
        }
        table->cells[table->n_cells++] = text;
}

void table_printf(struct table *table, const char *format, ...)
{
        char text[256];
        va_list ap;

        va_start(ap, format);
        vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        table_put(table, bytes_str(text));
}

/* Characters, each of which is taken to be one column wide. */
static size_t table_width(const char *text)
{
        struct bytes b = bytes_str(text);
        size_t width = 0;
        uint32_t c;

        while (b.n > 0) {
                size_t n = utf8_next(b, &c);

                n += !n;
                b = bytes_of(b.p + n, b.n - n);
                width++;
        }
        return width;
}

static void table_print_cell(FILE *out, const char *text, size_t width, bool right, bool last)
{
        size_t pad = width - table_width(text);

        if (right)
                fprintf(out, "%*s", (int)pad, "");
        fputs(text, out);
        if (!right && !last)
                fprintf(out, "%*s", (int)pad, "");
        fputs(last ? "\n" : "  ", out);
}

void table_print(const struct table *table, FILE *out)
{
        size_t *widths = mem_zalloc((table->n_columns + 1) * sizeof(*widths));

        assert(table->n_cells % table->n_columns == 0);
        for (size_t c = 0; c < table->n_columns; c++)
                widths[c] = table_width(table->columns[c].head);
        for (size_t i = 0; i < table->n_cells; i++) {
                size_t n = table_width(table->cells[i]), *width = &widths[i % table->n_columns];

                *width = n > *width ? n : *width;
        }
        for (size_t c = 0; c < table->n_columns; c++)
                table_print_cell(out, table->columns[c].head, widths[c], table->columns[c].right,
                                 c + 1 == table->n_columns);
        for (size_t i = 0; i < table->n_cells; i++) {
                size_t c = i % table->n_columns;

                table_print_cell(out, table->cells[i], widths[c], table->columns[c].right,
                                 c + 1 == table->n_columns);
        }
        free(widths);
}
