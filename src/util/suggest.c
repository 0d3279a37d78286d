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

/* Return: the index of the only name that starts with the word, n when there is none or more than one. */
static size_t suggest_longer(struct bytes word, const char *const *names, size_t n)
{
        size_t found = n;

        for (size_t i = 0; word.n >= SUGGEST_PREFIX && i < n; i++) {
                if (strlen(names[i]) < word.n || strncasecmp(names[i], (const char *)word.p, word.n) != 0)
                        continue;
                if (found < n)
                        return n;
                found = i;
        }
        return found;
}

size_t suggest_best(struct bytes word, const char *const *names, size_t n)
{
        unsigned limit = least(SUGGEST_EDITS, (unsigned)least((unsigned)word.n, SUGGEST_WORD_MAX) / 3),
                 distance;
        size_t best = n;

        for (size_t i = 0; i < n; i++) {
                distance = suggest_distance(word, bytes_str(names[i]), limit);
                if (distance > limit)
                        continue;
                best = i;
                if (!distance)
                        break;
                limit = distance - 1;
        }
        return best < n ? best : suggest_longer(word, names, n);
}
