/* SPDX-License-Identifier: MIT */

#include "ctl/text.h"

#include <inttypes.h>

#include "util/utf8.h"

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
                size_t n = utf8_next(b, &c);

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

void text_time(char *to, const struct timespec *when)
{
        char zone[8] = "", date[32] = "";
        struct tm tm = { 0 };

        localtime_r(&when->tv_sec, &tm);
        strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
        strftime(zone, sizeof(zone), "%z", &tm); /* "+0100" */
        snprintf(to, TEXT_TIME_SIZE, "%s.%03ld%.3s:%s", date, when->tv_nsec / 1000000, zone, zone + 3);
}
