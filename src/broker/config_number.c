/* SPDX-License-Identifier: MIT */

#include "broker/config_number.h"

#include <inttypes.h>

#include "util/clock.h"

/* Units from the smallest. */
struct unit {
        const char *name;
        uint64_t factor;
};

static const struct unit sizes[] = {
        { "", 1 },        { "B", 1 },         { "K", 1 << 10 }, { "KiB", 1 << 10 },
        { "M", 1 << 20 }, { "MiB", 1 << 20 }, { "G", 1 << 30 }, { "GiB", 1 << 30 },
};
static const struct unit times[] = {
        { "ns", 1 },           { "us", NSEC_PER_USEC },      { "ms", NSEC_PER_MSEC },
        { "s", NSEC_PER_SEC }, { "min", 60 * NSEC_PER_SEC }, { "h", 3600 * NSEC_PER_SEC },
};

/* Decimal digits at the start of *text. A leading zero is refused: other YAML readers take it for octal. */
static bool number_take(struct bytes *text, uint64_t *np)
{
        uint64_t n = 0;
        size_t i = 0;

        while (i < text->n && text->p[i] >= '0' && text->p[i] <= '9')
                if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, text->p[i++] - '0', &n))
                        return false;
        if (!i || (i > 1 && *text->p == '0'))
                return false;
        text->p += i;
        text->n -= i;
        *np = n;
        return true;
}

bool config_number_digits(struct bytes text)
{
        while (text.n && *text.p >= '0' && *text.p <= '9')
                text = bytes_of(text.p + 1, text.n - 1);
        return !text.n;
}

bool config_number_read(struct bytes text, uint64_t least, uint64_t greatest, uint64_t *np)
{
        uint64_t n;

        if (!number_take(&text, &n) || text.n || n < least || n > greatest)
                return false;
        *np = n;
        return true;
}

/* A 0 needs no unit. One blank may stand before the unit. */
static bool quantity_read(struct bytes text, const struct unit *units, size_t n_units, uint64_t least,
                          uint64_t greatest, uint64_t *np)
{
        uint64_t n;

        if (!number_take(&text, &n))
                return false;
        if (text.n > 1 && *text.p == ' ')
                text = bytes_of(text.p + 1, text.n - 1);
        for (size_t i = 0; i < n_units; i++) {
                if (!bytes_is(text, units[i].name) && !(n == 0 && !text.n))
                        continue;
                if (__builtin_mul_overflow(n, units[i].factor, &n) || n < least || n > greatest)
                        return false;
                *np = n;
                return true;
        }
        return false;
}

/* In the largest unit that leaves a whole number. */
static void quantity_write(uint64_t n, const struct unit *units, size_t n_units, struct buffer *out)
{
        const struct unit *best = &units[0];

        for (size_t i = 1; i < n_units; i++)
                if (n && n % units[i].factor == 0 && units[i].factor > 1)
                        best = &units[i];
        buffer_printf(out, "%" PRIu64 "%s", n / best->factor, n ? best->name : "");
}

void config_number_write(uint64_t n, struct buffer *out)
{
        buffer_printf(out, "%" PRIu64, n);
}

bool config_size_read(struct bytes text, uint64_t least, uint64_t greatest, uint64_t *np)
{
        return quantity_read(text, sizes, sizeof(sizes) / sizeof(*sizes), least, greatest, np);
}

bool config_time_read(struct bytes text, uint64_t least, uint64_t greatest, uint64_t *np)
{
        return quantity_read(text, times, sizeof(times) / sizeof(*times), least, greatest, np);
}

void config_size_write(uint64_t n, struct buffer *out)
{
        quantity_write(n, sizes, sizeof(sizes) / sizeof(*sizes), out);
}

void config_time_write(uint64_t n, struct buffer *out)
{
        quantity_write(n, times, sizeof(times) / sizeof(*times), out);
}

bool config_mode_read(struct bytes text, uint64_t greatest, mode_t *modep)
{
        uint64_t mode = 0;

        if (text.n > 2 && text.p[0] == '0' && text.p[1] == 'o')
                text = bytes_of(text.p + 2, text.n - 2);
        if (!text.n || text.n > 8)
                return false;
        for (size_t i = 0; i < text.n; i++) {
                if (text.p[i] < '0' || text.p[i] > '7')
                        return false;
                mode = mode * 8 + (text.p[i] - '0');
        }
        if (mode > greatest)
                return false;
        *modep = (mode_t)mode;
        return true;
}
