/* SPDX-License-Identifier: MIT */
/* Damerau: "A technique for computer detection and correction of spelling errors", CACM 1964; Wagner and
 * Fischer's table, of which three rows are kept. */

#include "util/suggest.h"

#include <ctype.h>

#define SUGGEST_WORD_MAX 64 /* bytes; no name is longer, so a longer word is like none */
#define SUGGEST_EDITS    2
#define SUGGEST_PREFIX   3

static unsigned least(unsigned a, unsigned b)
{
        return a < b ? a : b;
}

static bool same_letter(uint8_t a, uint8_t b)
{
        return tolower(a) == tolower(b);
}

unsigned suggest_distance(struct bytes a, struct bytes b, unsigned limit)
{
        unsigned rows[3][SUGGEST_WORD_MAX + 1], *before = rows[0], *above = rows[1], *row = rows[2], *spare;

        if (a.n > SUGGEST_WORD_MAX || b.n > SUGGEST_WORD_MAX)
                return limit + 1;
        for (size_t j = 0; j <= b.n; j++)
                above[j] = (unsigned)j;
        for (size_t i = 1; i <= a.n; i++) {
                row[0] = (unsigned)i;
                for (size_t j = 1; j <= b.n; j++) {
                        bool same = same_letter(a.p[i - 1], b.p[j - 1]);

                        row[j] = least(above[j - 1] + !same, least(above[j], row[j - 1]) + 1);
                        if (i > 1 && j > 1 && same_letter(a.p[i - 1], b.p[j - 2]) &&
                            same_letter(a.p[i - 2], b.p[j - 1]))
                                row[j] = least(row[j], before[j - 2] + 1);
                }
                spare = before;
                before = above;
                above = row;
                row = spare;
        }
        return least(above[b.n], limit + 1);
}

/* Whether one of the two is how the other begins, and long enough to mean it. */
static bool suggest_extends(struct bytes a, struct bytes b)
{
        size_t n = a.n < b.n ? a.n : b.n;

        return n >= SUGGEST_PREFIX && !strncasecmp((const char *)a.p, (const char *)b.p, n);
}

/* Return: the index of the only name that extends the word or is extended by it, n when not just one does. */
static size_t suggest_extension(struct bytes word, const char *const *names, size_t n)
{
        size_t found = n;

        for (size_t i = 0; i < n; i++) {
                if (!suggest_extends(word, bytes_str(names[i])))
                        continue;
                if (found < n)
                        return n;
                found = i;
        }
        return found;
}

size_t suggest_best(struct bytes word, const char *const *names, size_t n)
{
        size_t third = word.n / 3, best = n;
        unsigned limit = third < SUGGEST_EDITS ? (unsigned)third : SUGGEST_EDITS, nearest = limit + 1;

        for (size_t i = 0; i < n; i++) {
                unsigned distance = suggest_distance(word, bytes_str(names[i]), limit);

                if (distance < nearest)
                        best = i, nearest = distance;
                else if (distance == nearest)
                        best = n;
        }
        return nearest <= limit ? best : suggest_extension(word, names, n);
}
