/* SPDX-License-Identifier: MIT */

#include "broker/config_report.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>

#include "broker/config.h"
#include "broker/config_text.h"
#include "util/buffer.h"
#include "util/mem.h"

#define EXCERPT_WIDTH 100 /* columns of a source line that are shown */
#define EXCERPT_TAB   8   /* of them that a tab counts for */
#define EXCERPT_LEAD  40  /* of them in front of the error when the line is cut */

static const struct bytes byte_order_mark = { (const uint8_t *)"\xef\xbb\xbf", 3 };

void config_report_init(struct config_report *report, const char *file, struct bytes text)
{
        *report = (struct config_report){ .file = file, .text = text };
}

void config_report_deinit(struct config_report *report)
{
        for (size_t i = 0; i < report->n; i++)
                free(report->errors[i].text);
        free(report->errors);
        *report = (struct config_report){ 0 };
}

static void report_add(struct config_report *report, size_t offset, size_t n, size_t other, const char *format,
                       va_list ap)
{
        va_list again;
        char *text;
        int size;

        va_copy(again, ap);
        size = vsnprintf(NULL, 0, format, again);
        va_end(again);
        assert(size >= 0);
        text = mem_alloc((size_t)size + 1);
        vsnprintf(text, (size_t)size + 1, format, ap);
        if (report->n == report->cap) {
                report->cap = report->cap ? report->cap * 2 : 8;
                report->errors = mem_realloc(report->errors, report->cap * sizeof(*report->errors));
        }
        report->errors[report->n] = (struct config_report_error){ offset, n, other, report->n, text };
        report->n++;
}

void config_report_add(struct config_report *report, size_t offset, size_t n, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        report_add(report, offset, n, CONFIG_REPORT_NOWHERE, format, ap);
        va_end(ap);
}

void config_report_add_pair(struct config_report *report, size_t offset, size_t n, size_t other,
                            const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        report_add(report, offset, n, other, format, ap);
        va_end(ap);
}

unsigned config_report_line(const struct config_report *report, size_t offset)
{
        unsigned line = 1;

        for (size_t i = 0; i < offset && i < report->text.n; i++)
                line += report->text.p[i] == '\n';
        return line;
}

struct bytes config_report_line_text(const struct config_report *report, size_t offset)
{
        struct bytes text = report->text, line;
        size_t start, end;

        if (offset > text.n)
                offset = text.n;
        for (start = offset; start > 0 && text.p[start - 1] != '\n'; start--)
                ;
        for (end = offset; end < text.n && text.p[end] != '\n'; end++)
                ;
        if (end > start && text.p[end - 1] == '\r')
                end--;
        line = bytes_of(text.p + start, end - start);
        if (start == 0 && line.n >= 3 && memcmp(line.p, byte_order_mark.p, 3) == 0)
                line = bytes_of(line.p + 3, line.n - 3);
        return line;
}

/* Columns count characters, so that an editor finds the place whatever it shows a tab as. */
static unsigned report_column(const struct config_report *report, size_t offset)
{
        struct bytes line = config_report_line_text(report, offset);
        const uint8_t *end = report->text.p + offset;
        unsigned column = 1;
        uint32_t c;

        while (line.n && line.p < end) {
                config_text_next(&line, &c);
                column++;
        }
        return column;
}

/* A source line as it is shown, and the line of marks below it: what stands under each column. */
struct excerpt {
        struct buffer shown, marks;
        struct bytes line; /* what is not shown yet */
        size_t width;      /* columns so far */
};

/* Shows the next character; a tab stays one, in both lines, so that marks line up whatever its width. */
static void excerpt_put(struct excerpt *e, char mark)
{
        const uint8_t *start = e->line.p;
        size_t size = buffer_size(&e->shown), width;
        uint32_t c;

        if (config_text_next(&e->line, &c) && (c == '\t' || config_text_printable(c))) {
                buffer_put(&e->shown, start, (size_t)(e->line.p - start));
                width = c == '\t' ? 1 : config_text_width(c);
        } else {
                config_text_escape(&e->shown, c);
                width = buffer_size(&e->shown) - size;
        }
        e->width += c == '\t' ? EXCERPT_TAB : width;
        if (c == '\t' && mark == ' ')
                mark = '\t';
        for (; mark && width; width--) {
                buffer_put(&e->marks, &mark, 1);
                if (mark == '^')
                        mark = '~';
        }
}

static size_t excerpt_characters(struct bytes text)
{
        size_t n = 0;
        uint32_t c;

        for (; text.n; n++)
                config_text_next(&text, &c);
        return n;
}

/* Leaves out the start of a line that is too long for its error to be seen. */
static void excerpt_cut(struct excerpt *e, const uint8_t *at)
{
        size_t lead = excerpt_characters(bytes_of(e->line.p, (size_t)(at - e->line.p)));
        uint32_t c;

        if (excerpt_characters(e->line) <= EXCERPT_WIDTH || lead <= EXCERPT_LEAD)
                return;
        for (size_t i = 0; i < lead - EXCERPT_LEAD; i++)
                config_text_next(&e->line, &c);
        buffer_put(&e->shown, "...", 3);
        buffer_put(&e->marks, "   ", 3);
}

/* Shows the line, with the bytes from at to end marked; both may lie behind the line. */
static void excerpt_fill(struct excerpt *e, const uint8_t *at, const uint8_t *end)
{
        excerpt_cut(e, at);
        while (e->line.n && (e->width < EXCERPT_WIDTH || e->line.p <= at))
                excerpt_put(e, e->line.p < at ? ' ' : e->line.p == at ? '^' : e->line.p < end ? '~' : 0);
        if (e->line.n)
                buffer_put(&e->shown, "...", 3);
        else if (e->line.p == at)
                buffer_put(&e->marks, "^", 1);
}

static void report_excerpt(const struct config_report *report, const struct config_report_error *error,
                           FILE *out)
{
        struct excerpt e = { .line = config_report_line_text(report, error->offset) };
        const uint8_t *at = report->text.p + error->offset, *line_end = e.line.p + e.line.n, *end = line_end;

        if (at < e.line.p) /* at the byte order mark */
                at = e.line.p;
        if (at > line_end)
                at = line_end;
        if (error->n < (size_t)(line_end - at))
                end = at + error->n;
        excerpt_fill(&e, at, end);
        fprintf(out, "%5u | %.*s\n", config_report_line(report, error->offset), (int)buffer_size(&e.shown),
                e.shown.data ? (const char *)e.shown.data : "");
        fprintf(out, "      | %.*s\n", (int)buffer_size(&e.marks),
                e.marks.data ? (const char *)e.marks.data : "");
        buffer_deinit(&e.shown);
        buffer_deinit(&e.marks);
}

static int error_compare(const void *a, const void *b)
{
        const struct config_report_error *x = a, *y = b;
        /* the file as a whole comes first */
        size_t p = x->offset + 1, q = y->offset + 1;

        if (p != q)
                return p < q ? -1 : 1;
        return x->order < y->order ? -1 : x->order > y->order;
}

static void report_error(const struct config_report *report, const char *file,
                         const struct config_report_error *error, FILE *out)
{
        if (error->offset == CONFIG_REPORT_NOWHERE) {
                fprintf(out, "%s: error: %s\n", file, error->text);
                return;
        }
        fprintf(out, "%s:%u:%u: error: %s", file, config_report_line(report, error->offset),
                report_column(report, error->offset), error->text);
        if (error->other != CONFIG_REPORT_NOWHERE)
                fprintf(out, " at %s:%u:%u", file, config_report_line(report, error->other),
                        report_column(report, error->other));
        fputc('\n', out);
        if (error->n)
                report_excerpt(report, error, out);
}

void config_report_print(struct config_report *report, FILE *out)
{
        struct buffer file = { 0 };

        if (!report->n)
                return;
        config_text_put(&file, bytes_str(report->file));
        qsort(report->errors, report->n, sizeof(*report->errors), error_compare);
        for (size_t i = 0; i < report->n && i < CONFIG_ERRORS_MAX; i++)
                report_error(report, (const char *)file.data, &report->errors[i], out);
        fprintf(out, "brokerd: %zu error%s in %s", report->n, report->n == 1 ? "" : "s",
                (const char *)file.data);
        if (report->n > CONFIG_ERRORS_MAX)
                fprintf(out, " (the first %d are shown)", CONFIG_ERRORS_MAX);
        fputs("; configuration not loaded\n", out);
        buffer_deinit(&file);
}
