/* SPDX-License-Identifier: MIT */

#include "broker/config_phrase.h"

#include <string.h>

#include "broker/config_text.h"
#include "util/buffer.h"

#define PHRASE_WORD_MAX 40 /* characters of the file that a message repeats */

static bool blank(uint8_t c)
{
        return c == ' ' || c == '\t';
}

/* The rest of the line from offset on. */
static struct bytes phrase_rest(const struct config_report *report, size_t offset)
{
        struct bytes line = config_report_line_text(report, offset);
        const uint8_t *at = report->text.p + offset;

        if (at < line.p || at > line.p + line.n)
                return bytes_of(at, 0);
        return bytes_of(at, (size_t)(line.p + line.n - at));
}

/* What stands before offset in its line, without blanks and the "- " of list items at its start. */
static struct bytes phrase_lead(const struct config_report *report, size_t offset)
{
        struct bytes line = config_report_line_text(report, offset);
        const uint8_t *at = report->text.p + offset;

        line.n = at < line.p ? 0 : at < line.p + line.n ? (size_t)(at - line.p) : line.n;
        while (line.n && (blank(*line.p) || (*line.p == '-' && line.n > 1 && blank(line.p[1])))) {
                line.p++;
                line.n--;
        }
        return line;
}

/* The key that a line starts with: up to its ":", a comment or its end, without blanks behind it. */
static struct bytes phrase_key(struct bytes line)
{
        size_t n = 0;

        while (n < line.n && line.p[n] != ':' && line.p[n] != '#')
                n++;
        while (n && blank(line.p[n - 1]))
                n--;
        return bytes_of(line.p, n);
}

static bool has_colon_and_blank(struct bytes text)
{
        for (size_t i = 0; i + 1 < text.n; i++)
                if (text.p[i] == ':' && blank(text.p[i + 1]))
                        return true;
        return false;
}

static void add_tab(struct config_report *report, size_t offset)
{
        config_report_add(report, offset, 1, "a tab character may not be used as indentation; use spaces");
}

/* A line that should be "key: value" and has no ": ". */
static void add_no_colon(struct config_report *report, size_t offset)
{
        struct bytes rest = phrase_rest(report, offset), key = phrase_key(rest);

        while (rest.n && blank(rest.p[rest.n - 1]))
                rest.n--;
        if (key.n && key.n < rest.n && rest.p[key.n] == ':')
                config_report_add(report, offset + key.n, 1, "a space is missing after the \":\"");
        else
                config_report_add(report, offset, rest.n, "expected \"key: value\", but there is no \":\"");
}

static void add_character(struct config_report *report, size_t offset)
{
        struct buffer word = { 0 };
        struct bytes rest = phrase_rest(report, offset);

        if (!rest.n || *rest.p == '\t') {
                add_tab(report, offset);
                return;
        }
        config_text_quote(&word, bytes_of(rest.p, 1), 1);
        config_report_add(report, offset, 1, "a value that starts with %.*s must be put in quotes",
                          (int)buffer_size(&word), (const char *)word.data);
        buffer_deinit(&word);
}

static void add_indent(struct config_report *report, size_t offset)
{
        struct bytes key = phrase_key(phrase_rest(report, offset));
        struct buffer word = { 0 };

        config_text_quote(&word, key, PHRASE_WORD_MAX);
        config_report_add(report, offset, key.n,
                          "wrong indentation: %.*s does not line up with what it belongs to above",
                          (int)buffer_size(&word), (const char *)word.data);
        buffer_deinit(&word);
}

static void add_no_key(struct config_report *report, size_t offset)
{
        struct bytes rest = phrase_rest(report, offset), lead = phrase_lead(report, offset);

        if (lead.n)
                config_report_add(report, offset, 1,
                                  "unexpected text behind the value; put the whole value in quotes");
        else if (rest.n && *rest.p == ':')
                config_report_add(report, offset, 1, "a key is missing before the \":\"");
        else if (rest.n && *rest.p == '-' && (rest.n == 1 || blank(rest.p[1])))
                config_report_add(report, offset, 1, "a list item is not expected here");
        else
                add_indent(report, offset);
}

/* A ": " where the line before seemed to be unfinished. */
static void add_second_colon(struct config_report *report, size_t offset, const struct config_node *unfinished)
{
        struct bytes lead = phrase_lead(report, offset), sibling;
        struct buffer words = { 0 };
        size_t at = (size_t)(lead.p - report->text.p);

        if (has_colon_and_blank(lead)) {
                config_report_add(report, offset, 1, "a value that contains \": \" must be put in quotes");
                return;
        }
        if (!unfinished || unfinished->quoted) {
                config_report_add(report, offset, 1, "a \":\" is not expected here");
                return;
        }
        sibling = phrase_lead(report, unfinished->start);
        if (!has_colon_and_blank(sibling)) {
                add_no_colon(report, unfinished->start);
                return;
        }
        config_text_quote(&words, lead, PHRASE_WORD_MAX);
        buffer_printf(&words, " is deeper than its sibling ");
        config_text_quote(&words, phrase_key(sibling), PHRASE_WORD_MAX);
        config_report_add(report, at, lead.n, "unexpected indent: %.*s", (int)buffer_size(&words),
                          (const char *)words.data);
        buffer_deinit(&words);
}

/* A list or mapping in brackets that goes on behind its last line was not closed; else there is a slip in it.
 */
static void add_flow(struct config_report *report, const struct config_problem *p, const char *what,
                     const char *separators)
{
        bool same_line = config_report_line(report, p->offset) == config_report_line(report, p->context_offset);

        if (same_line && phrase_rest(report, p->offset).n)
                config_report_add(report, p->offset, 1, "expected %s here", separators);
        else
                config_report_add(report, p->context_offset, 1, "the %s opened here is never closed", what);
}

enum phrase_kind {
        PHRASE_TEXT,    /* the text, at the problem */
        PHRASE_CONTEXT, /* the text, at the context */
        PHRASE_CHARACTER,
        PHRASE_TAB,
        PHRASE_FLOW_LIST,
        PHRASE_FLOW_MAPPING,
        PHRASE_NO_COLON,
        PHRASE_NO_KEY,
        PHRASE_SECOND_COLON,
};

/* Rows are looked up in order: the first whose parts both occur in libyaml's texts. */
static const struct phrase {
        const char *problem, *context;
        enum phrase_kind kind;
        const char *text;
} phrases[] = {
        { "", "directive", PHRASE_CONTEXT, "directives (%) are not supported" },
        { "directive", NULL, PHRASE_TEXT, "directives (%) are not supported" },
        { "incompatible YAML document", NULL, PHRASE_TEXT, "directives (%) are not supported" },
        { "", "a tag", PHRASE_CONTEXT, "tags (!name) are not supported" },
        { "tag handle", NULL, PHRASE_TEXT, "tags (!name) are not supported" },
        { "", "an anchor", PHRASE_CONTEXT, "a value that starts with \"&\" must be put in quotes" },
        { "", "an alias", PHRASE_CONTEXT, "a value that starts with \"*\" must be put in quotes" },
        { "", "a block scalar", PHRASE_CONTEXT,
          "block text (| or >) is not supported; write the value on one line" },
        { "tab character", NULL, PHRASE_TAB, NULL },
        { "cannot start any token", NULL, PHRASE_CHARACTER, NULL },
        { "unexpected end of stream", NULL, PHRASE_CONTEXT, "the string opened here is never closed" },
        { "unexpected document indicator", NULL, PHRASE_CONTEXT, "the string opened here is never closed" },
        { "unknown escape", NULL, PHRASE_TEXT,
          "unknown escape in a double-quoted string; write \\\\ for a backslash" },
        { "hexdecimal number", NULL, PHRASE_TEXT, "expected hexadecimal digits in this escape" },
        { "character escape code", NULL, PHRASE_TEXT, "this escape stands for no character" },
        { "',' or ']'", NULL, PHRASE_FLOW_LIST, NULL },
        { "',' or '}'", NULL, PHRASE_FLOW_MAPPING, NULL },
        { "could not find expected ':'", NULL, PHRASE_NO_COLON, NULL },
        { "expected key", NULL, PHRASE_NO_KEY, NULL },
        { "expected '-' indicator", NULL, PHRASE_NO_KEY, NULL },
        { "mapping values are not allowed", NULL, PHRASE_SECOND_COLON, NULL },
        { "mapping keys are not allowed", NULL, PHRASE_TEXT,
          "a key that starts with \"?\" must be put in quotes" },
        { "sequence entries are not allowed", NULL, PHRASE_TEXT,
          "a list item must start on a line of its own" },
        { "unexpected ':'", NULL, PHRASE_TEXT,
          "this \":\" needs a space behind it, or the value needs quotes" },
        { "<document start>", NULL, PHRASE_TEXT, "nothing may follow the end of the document" },
        { "expected node content", NULL, PHRASE_TEXT, "expected a value here" },
};

static const struct phrase *phrase_find(const struct config_problem *p)
{
        for (size_t i = 0; i < sizeof(phrases) / sizeof(*phrases); i++)
                if (strstr(p->problem, phrases[i].problem) &&
                    (!phrases[i].context || (p->context && strstr(p->context, phrases[i].context))))
                        return &phrases[i];
        return NULL;
}

/* Whether the problem itself tells why the last value seemed to span lines. */
static bool phrase_explains_spanning(const struct phrase *phrase)
{
        return phrase->kind == PHRASE_SECOND_COLON || phrase->kind == PHRASE_FLOW_LIST ||
               phrase->kind == PHRASE_FLOW_MAPPING;
}

void config_phrase_add(struct config_report *report, const struct config_problem *p,
                       const struct config_node *unfinished)
{
        const struct phrase *phrase = phrase_find(p);

        if (unfinished && (unfinished->quoted || !phrase || !phrase_explains_spanning(phrase))) {
                config_phrase_add_spanning(report, unfinished);
                return;
        }
        if (!phrase) {
                config_report_add(report, p->offset, 1, "this is not YAML (%s)", p->problem);
                return;
        }
        switch (phrase->kind) {
        case PHRASE_TEXT:
                config_report_add(report, p->offset, 1, "%s", phrase->text);
                break;
        case PHRASE_CONTEXT:
                config_report_add(report, p->context_offset, 1, "%s", phrase->text);
                break;
        case PHRASE_CHARACTER:
                add_character(report, p->offset);
                break;
        case PHRASE_TAB:
                add_tab(report, p->offset);
                break;
        case PHRASE_FLOW_LIST:
                add_flow(report, p, "list", "\",\" or \"]\"");
                break;
        case PHRASE_FLOW_MAPPING:
                add_flow(report, p, "mapping", "\",\" or \"}\"");
                break;
        case PHRASE_NO_COLON:
                add_no_colon(report, p->context_offset);
                break;
        case PHRASE_NO_KEY:
                add_no_key(report, p->offset);
                break;
        case PHRASE_SECOND_COLON:
                add_second_colon(report, p->offset, unfinished);
                break;
        }
}

void config_phrase_add_spanning(struct config_report *report, const struct config_node *value)
{
        struct bytes text = report->text, key;
        struct buffer word = { 0 };
        size_t next = value->start;

        if (value->quoted) {
                config_report_add(report, value->start, 1,
                                  "the string opened here is not closed on its line; a value is one line");
                return;
        }
        while (next < text.n && text.p[next] != '\n')
                next++;
        while (next < text.n && (blank(text.p[next]) || text.p[next] == '\n' || text.p[next] == '\r'))
                next++;
        key = phrase_rest(report, next);
        key = phrase_key(key);
        config_text_quote(&word, key, PHRASE_WORD_MAX);
        config_report_add(
                report, next, key.n,
                "%.*s continues the value of the line above; is a \":\" missing, or the indentation wrong?",
                (int)buffer_size(&word), (const char *)word.data);
        buffer_deinit(&word);
}
