/* SPDX-License-Identifier: MIT */

#include "ctl/text.h"

#include <inttypes.h>

/* The length of the UTF-8 sequence at the start of b (RFC 3629) and its character; 0: there is none. */
static size_t text_utf8(struct bytes b, uint32_t *characterp)
{
        uint32_t c = b.p[0], least;
        size_t n;

        if (c < 0x80)
                n = 1, least = 0;
        else if (c >= 0xc2 && c <= 0xdf)
                n = 2, least = 0x80, c &= 0x1f;
        else if (c >= 0xe0 && c <= 0xef)
                n = 3, least = 0x800, c &= 0x0f;
        else if (c >= 0xf0 && c <= 0xf4)
                n = 4, least = 0x10000, c &= 0x07;
        else
                return 0;
        if (b.n < n)
                return 0;
        for (size_t i = 1; i < n; i++) {
                if ((b.p[i] & 0xc0) != 0x80)
                        return 0;
                c = c << 6 | (b.p[i] & 0x3f);
        }
        if (c < least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
                return 0;
        *characterp = c;
        return n;
}

bool text_is_utf8(struct bytes b)
{
        uint32_t c;

        while (b.n > 0) {
                size_t n = text_utf8(b, &c);

                if (!n)
                        return false;
                b = bytes_of(b.p + n, b.n - n);
        }
        return true;
}

static void text_escape_byte(FILE *out, uint8_t c)
{
        if (c == '\\')
                fputs("\\\\", out);
        else if (c == '\t')
                fputs("\\t", out);
        else if (c == '\n')
                fputs("\\n", out);
        else if (c == '\r')
                fputs("\\r", out);
        else if (c >= 0x20 && c < 0x7f)
                putc(c, out);
        else
                fprintf(out, "\\x%02x", c);
}

void text_escape(FILE *out, struct bytes b)
{
        uint32_t c = 0;

        while (b.n > 0) {
                size_t n = text_utf8(b, &c);

                if (n > 1 && c >= 0xa0) {
                        fwrite(b.p, 1, n, out);
                } else {
                        text_escape_byte(out, b.p[0]);
                        n = 1;
                }
                b.p += n;
                b.n -= n;
        }
}

/* Three digits of n / base^k. What does not fit is cut off, so that a figure never claims more than there is.
 */
static void text_scaled(char *to, uint64_t n, unsigned base)
{
        const char *suffix = "KMGTPE";
        uint64_t unit = base, whole, rest;

        while (n / unit >= base && suffix[1])
                unit *= base, suffix++;
        whole = n / unit;
        rest = n % unit;
        if (unit > UINT64_MAX / 100) /* the hundredths shall fit into the word */
                unit /= base, rest /= base;
        if (whole >= 100)
                snprintf(to, TEXT_NUMBER_SIZE, "%" PRIu64 "%c", whole, *suffix);
        else if (whole >= 10)
                snprintf(to, TEXT_NUMBER_SIZE, "%" PRIu64 ".%" PRIu64 "%c", whole, rest * 10 / unit, *suffix);
        else
                snprintf(to, TEXT_NUMBER_SIZE, "%" PRIu64 ".%02" PRIu64 "%c", whole, rest * 100 / unit,
                         *suffix);
}

void text_count(char *to, uint64_t n)
{
        if (n < 100000)
                snprintf(to, TEXT_NUMBER_SIZE, "%" PRIu64, n);
        else
                text_scaled(to, n, 1000);
}

void text_bytes(char *to, uint64_t n)
{
        if (n < 10000)
                snprintf(to, TEXT_NUMBER_SIZE, "%" PRIu64, n);
        else
                text_scaled(to, n, 1024);
}

void text_duration(char *to, uint64_t seconds)
{
        uint64_t days = seconds / 86400;
        int n = 0;

        seconds %= 86400;
        if (days > 0)
                n = snprintf(to, TEXT_DURATION_SIZE, "%" PRIu64 " d ", days);
        snprintf(to + n, TEXT_DURATION_SIZE - (size_t)n, "%02u:%02u:%02u", (unsigned)(seconds / 3600),
                 (unsigned)(seconds / 60 % 60), (unsigned)(seconds % 60));
}
