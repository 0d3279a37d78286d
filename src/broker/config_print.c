/* SPDX-License-Identifier: MIT */
/* The two other readings of the table of options: the configuration as YAML, and the options as manual text. */

#include <string.h>

#include "broker/config.h"
#include "broker/config_option.h"

#define MDOC_WIDTH 78 /* columns */

/* ---- YAML */

static bool dump_value(const struct config_option *o, const void *base, const char *indent, FILE *out)
{
        struct buffer value = { 0 };
        bool written = config_option_write(o, base, &value);

        if (written)
                fprintf(out, "%s%s: %.*s\n", indent, o->name, (int)buffer_size(&value),
                        (const char *)value.data);
        else if (o->type == CONFIG_TYPE_USER || o->type == CONFIG_TYPE_GROUP)
                fprintf(out, "    # %s: not set\n", o->name);
        buffer_deinit(&value);
        return written;
}

/* An abstract socket has nothing that belongs to a file. */
static bool dump_leaves_out(const struct config_option *o, const struct config_listener *listener)
{
        return *listener->path == '@' &&
               (o->type == CONFIG_TYPE_MODE || o->type == CONFIG_TYPE_USER || o->type == CONFIG_TYPE_GROUP);
}

static void dump_table(const struct config_option *o, const void *base, FILE *out)
{
        const struct config_table *table = config_option_table(o);
        const char *item;
        unsigned n;

        item = config_option_items(o, base, &n);
        fprintf(out, "%s:%s\n", o->name, n ? "" : " []");
        for (; n--; item += table->item_size) {
                const char *indent = "  - ";

                for (size_t i = 0; i < table->n_options; i++)
                        if ((o->type != CONFIG_TYPE_LISTENERS ||
                             !dump_leaves_out(&table->options[i], (const struct config_listener *)item)) &&
                            dump_value(&table->options[i], item, indent, out))
                                indent = "    ";
        }
}

static void dump_mapping(const struct config_option *o, const void *base, FILE *out)
{
        const struct config_table *table = config_option_mapping(o);

        fprintf(out, "%s:\n", o->name);
        for (size_t i = 0; i < table->n_options; i++)
                dump_value(&table->options[i], (const char *)base + o->offset, "  ", out);
}

static void dump_option(const struct config_option *o, const struct config *config, FILE *out)
{
        if (config_option_table(o))
                dump_table(o, config, out);
        else if (config_option_mapping(o))
                dump_mapping(o, config, out);
        else
                dump_value(o, config, "", out);
}

void config_dump(const struct config *config, FILE *out)
{
        for (size_t i = 0; i < config_n_options; i++)
                dump_option(&config_options[i], config, out);
}

/* Two values are the same if they are written in the same way. */
static bool dump_differs(const struct config_option *o, const struct config *a, const struct config *b)
{
        struct buffer one = { 0 }, two = { 0 };
        bool differs = config_option_write(o, a, &one) != config_option_write(o, b, &two) ||
                       !bytes_equal(buffer_view(&one), buffer_view(&two));

        buffer_deinit(&one);
        buffer_deinit(&two);
        return differs;
}

void config_dump_changed(const struct config *config, FILE *out)
{
        struct config fresh = { 0 };

        for (size_t i = 0; i < config_n_options; i++)
                config_option_reset(&config_options[i], &fresh);
        for (size_t i = 0; i < config_n_options; i++)
                if (dump_differs(&config_options[i], config, &fresh))
                        dump_option(&config_options[i], config, out);
        for (size_t i = 0; i < config_n_options; i++)
                config_option_clear(&config_options[i], &fresh);
}

/* ---- mdoc */

/*
 * Text as mdoc wants it: a sentence starts a line, no line is longer than MDOC_WIDTH, and none starts with a
 * character that would make it a macro.
 */
static void mdoc_text(const char *text, FILE *out)
{
        size_t column = 0, n;

        for (const char *word = text; *word; word += n + strspn(word + n, " ")) {
                n = strcspn(word, " ");
                if (column && (word[-2] == '.' || column + 1 + n > MDOC_WIDTH)) {
                        fputc('\n', out);
                        column = 0;
                }
                if (column)
                        fputc(' ', out);
                else if (*word == '.' || *word == '\'')
                        fputs("\\&", out);
                for (size_t i = 0; i < n; i++)
                        fputs(word[i] == '\\' ? "\\e" : (char[2]){ word[i], 0 }, out);
                column += n + !!column;
        }
        fputc('\n', out);
}

static void mdoc_option(const struct config_option *o, FILE *out)
{
        struct buffer value = { 0 };

        fprintf(out, ".It Ic %s\n", o->name);
        mdoc_text(o->help, out);
        buffer_printf(&value, "Value: ");
        config_option_expect(o, &value);
        buffer_printf(&value, ".");
        fputs(".br\n", out);
        mdoc_text((const char *)value.data, out);
        if (!o->fallback)
                fputs(".br\nIt must be given.\n", out);
        else if (*o->fallback)
                fprintf(out, ".br\nDefault: %s.\n", o->fallback);
        fprintf(out, ".br\nA change takes effect at %s.\n", o->reloadable ? "a reload" : "the next start");
        buffer_deinit(&value);
}

void config_print_mdoc(FILE *out)
{
        fputs(".Bl -tag -width Ds\n", out);
        for (size_t i = 0; i < config_n_options; i++) {
                const struct config_table *table = config_option_table(&config_options[i]);

                if (!table)
                        table = config_option_mapping(&config_options[i]);
                mdoc_option(&config_options[i], out);
                if (!table)
                        continue;
                fputs(".Bl -tag -width Ds\n", out);
                for (size_t j = 0; j < table->n_options; j++)
                        mdoc_option(&table->options[j], out);
                fputs(".El\n", out);
        }
        fputs(".El\n", out);
}
