/* SPDX-License-Identifier: MIT */

#include "broker/config_text.h"

/* The length of the UTF-8 sequence at the start of text and its character; 0: there is none. */
static size_t text_decode(struct bytes text, uint32_t *characterp)
{
        static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
        uint8_t first = text.p[0];
        size_t n = first < 0x80   ? 1
                   : first < 0xc0 ? 0
                   : first < 0xe0 ? 2
                   : first < 0xf0 ? 3
                   : first < 0xf8 ? 4
                                  : 0;
        uint32_t c = n == 1 ? first : first & (0x7fu >> n);

        if (!n || n > text.n)
                return 0;
        for (size_t i = 1; i < n; i++) {
                if ((text.p[i] & 0xc0) != 0x80)
                        return 0;
                c = c << 6 | (text.p[i] & 0x3f);
        }
        if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
                return 0;
        *characterp = c;
        return n;
}

bool config_text_next(struct bytes *text, uint32_t *characterp)
{
        size_t n = text_decode(*text, characterp);

        if (!n)
                *characterp = text->p[0];
        text->p += n ? n : 1;
        text->n -= n ? n : 1;
        return n > 0;
}

struct range {
        uint32_t first, last;
};

static bool range_has(const struct range *ranges, size_t n, uint32_t c)
{
        for (size_t i = 0; i < n; i++)
                if (c >= ranges[i].first && c <= ranges[i].last)
                        return true;
        return false;
}

bool config_text_printable(uint32_t c)
{
        /* controls; zero width and direction marks; separators; byte order mark; annotations; tags */
        static const struct range hidden[] = {
                { 0x00, 0x1f },     { 0x7f, 0x9f },     { 0xad, 0xad },     { 0x061c, 0x061c },
                { 0x200b, 0x200f }, { 0x2028, 0x202e }, { 0x2060, 0x206f }, { 0xd800, 0xdfff },
                { 0xfeff, 0xfeff }, { 0xfff0, 0xfffb }, { 0xfffe, 0xffff }, { 0xe0000, 0x10ffff },
        };

        return !range_has(hidden, sizeof(hidden) / sizeof(*hidden), c);
}

bool config_text_clean(struct bytes text)
{
        uint32_t c;

        while (text.n)
                if (!config_text_next(&text, &c) || c < 0x20 || c == 0x7f)
                        return false;
        return true;
}

unsigned config_text_width(uint32_t c)
{
        static const struct range combining[] = {
                { 0x0300, 0x036f }, { 0x1ab0, 0x1aff }, { 0x1dc0, 0x1dff },
                { 0x20d0, 0x20ff }, { 0xfe00, 0xfe0f }, { 0xfe20, 0xfe2f },
        };
        /* blocks that are wide as a whole in Unicode's EastAsianWidth */
        static const struct range wide[] = {
                { 0x1100, 0x115f }, { 0x2e80, 0x303e },   { 0x3041, 0x4dbf },   { 0x4e00, 0xa4cf },
                { 0xac00, 0xd7a3 }, { 0xf900, 0xfaff },   { 0xfe30, 0xfe6f },   { 0xff00, 0xff60 },
                { 0xffe0, 0xffe6 }, { 0x1f300, 0x1f64f }, { 0x1f900, 0x1f9ff }, { 0x20000, 0x3fffd },
        };

        if (range_has(combining, sizeof(combining) / sizeof(*combining), c))
                return 0;
        return range_has(wide, sizeof(wide) / sizeof(*wide), c) ? 2 : 1;
}

void config_text_escape(struct buffer *out, uint32_t c)
{
        if (c == '\n')
                buffer_printf(out, "\\n");
        else if (c == '\t')
                buffer_printf(out, "\\t");
        else if (c == '\r')
                buffer_printf(out, "\\r");
        else if (c < 0x100)
                buffer_printf(out, "\\x%02x", c);
        else if (c < 0x10000)
                buffer_printf(out, "\\u%04x", c);
        else
                buffer_printf(out, "\\U%08x", c);
}

static void text_put(struct buffer *out, struct bytes text, size_t max, bool quoted)
{
        uint32_t c;

        for (size_t i = 0; text.n; i++) {
                const uint8_t *start = text.p;

                if (i == max) {
                        buffer_put(out, "...", 3);
                        break;
                }
                if (!config_text_next(&text, &c) || !config_text_printable(c)) {
                        config_text_escape(out, c);
                        continue;
                }
                if (quoted && (c == '"' || c == '\\'))
                        buffer_put(out, "\\", 1);
                buffer_put(out, start, (size_t)(text.p - start));
        }
}

void config_text_put(struct buffer *out, struct bytes text)
{
        text_put(out, text, CONFIG_TEXT_WHOLE, false);
        buffer_printf(out, "%s", "");
}

void config_text_quote(struct buffer *out, struct bytes text, size_t max)
{
        buffer_printf(out, "\"");
        text_put(out, text, max, true);
        buffer_printf(out, "\"");
}
