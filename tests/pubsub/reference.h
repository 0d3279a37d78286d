/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "util/bytes.h"

/*
 * The slow truth about globs, written from the documented meaning and for clearness: a pattern is a row of sets
 * of bytes and stars, and a table says which beginnings of the text the pattern's beginning matches. It knows
 * neither segments nor leftmost places.
 */

struct reference_token {
        bool star;
        bool accepts[256];
};

/* Reads one class behind its '[' into the set. Return: the bytes taken, the closing ']' included. */
static inline size_t reference_class(bool accepts[256], const uint8_t *p, size_t n)
{
        size_t i = 0;
        bool negated = n > 0 && p[0] == '^';

        if (negated)
                i++;
        for (;;) {
                size_t left = n - i;

                if (left == 0 || p[i] == ']')
                        break;
                if (p[i] == '\\' && left > 1) {
                        accepts[p[i + 1]] = true;
                        i += 2;
                } else if (left > 2 && p[i + 1] == '-') {
                        for (int c = p[i]; c <= p[i + 2]; c++)
                                accepts[c] = true;
                        for (int c = p[i + 2]; c <= p[i]; c++)
                                accepts[c] = true;
                        i += 3;
                } else {
                        accepts[p[i]] = true;
                        i++;
                }
        }
        for (int c = 0; negated && c < 256; c++)
                accepts[c] = !accepts[c];
        return i < n ? i + 1 : i;
}

/* Return: the bytes taken by the token at p. */
static inline size_t reference_token(struct reference_token *token, const uint8_t *p, size_t n)
{
        memset(token, 0, sizeof(*token));
        if (p[0] == '*') {
                token->star = true;
        } else if (p[0] == '?') {
                memset(token->accepts, true, sizeof(token->accepts));
        } else if (p[0] == '[') {
                return 1 + reference_class(token->accepts, p + 1, n - 1);
        } else if (p[0] == '\\' && n > 1) {
                token->accepts[p[1]] = true;
                return 2;
        } else {
                token->accepts[p[0]] = true;
        }
        return 1;
}

static inline bool reference_glob(struct bytes pattern, struct bytes text)
{
        bool *row = calloc(text.n + 1, sizeof(*row)), matches;
        struct reference_token token;

        row[0] = true;
        for (size_t i = 0; i < pattern.n;) {
                i += reference_token(&token, pattern.p + i, pattern.n - i);
                if (token.star) {
                        for (size_t k = 1; k <= text.n; k++)
                                row[k] = row[k] || row[k - 1];
                } else {
                        for (size_t k = text.n; k > 0; k--)
                                row[k] = row[k - 1] && token.accepts[text.p[k - 1]];
                        row[0] = false;
                }
        }
        matches = row[text.n] && (text.n > 0 || pattern.n == 0);
        free(row);
        return matches;
}
