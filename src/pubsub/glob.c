/* SPDX-License-Identifier: MIT */

/*
 * A pattern is segments with '*' between them, and a segment is tokens (a literal, '?', a class, an escape) of
 * which each takes exactly one byte of the text. So the first segment has one place, at the text's start, and
 * the last one too, at its end; each in between takes the leftmost place behind its predecessor, and no choice
 * is ever taken back: a later place would leave less text to the rest.
 *
 * Leftmost places are found by memmem() for literals, which is linear (two-way, in glibc and musl), by trying
 * each place while that is cheap, and else by the Shift-And automaton (Baeza-Yates, Gonnet: "A new approach to
 * text searching", CACM 35, 1992), in which a class costs no more than a literal once its accepting sets are
 * built.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memmem() */
#endif

#include "pubsub/glob.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Counts work: bytes of pattern or text looked at. Defined by the test that asserts the bounds. */
#ifndef GLOB_STEPS
#define GLOB_STEPS(_n) ((void)0)
#endif

#define TRY_MAX   512 /* bytes of segment times text up to which trying each place is not worth avoiding */
#define WORD_BITS 64

struct segment {
        struct bytes bytes;
        size_t tokens; /* = bytes of text it takes */
        bool literal;  /* tokens are its bytes */
};

static struct bytes bytes_skip(struct bytes b, size_t n)
{
        return bytes_of(b.p + n, b.n - n);
}

/* Where the ranges of the class at p[0] == '[' begin; class_next() steps from there. */
static size_t class_start(const uint8_t *p, size_t n, bool *negatedp)
{
        *negatedp = n > 1 && p[1] == '^';
        return *negatedp ? 2 : 1;
}

/* The range at p[*ip], a single byte being one too. Return: false at the class's end. */
static bool class_next(const uint8_t *p, size_t n, size_t *ip, uint8_t *lop, uint8_t *hip)
{
        size_t i = *ip;

        if (i == n || p[i] == ']')
                return false;
        if (p[i] == '\\' && n - i >= 2) {
                *lop = *hip = p[i + 1];
                *ip = i + 2;
        } else if (n - i >= 3 && p[i + 1] == '-') {
                *lop = p[i] < p[i + 2] ? p[i] : p[i + 2];
                *hip = p[i] < p[i + 2] ? p[i + 2] : p[i];
                *ip = i + 3;
        } else {
                *lop = *hip = p[i];
                *ip = i + 1;
        }
        GLOB_STEPS(*ip - i);
        return true;
}

/* Bytes of the pattern that the token at p takes; p[0] is no '*', n > 0. */
static size_t token_size(const uint8_t *p, size_t n)
{
        uint8_t lo, hi;
        bool negated;
        size_t i;

        GLOB_STEPS(1);
        if (p[0] == '\\')
                return n >= 2 ? 2 : 1;
        if (p[0] != '[')
                return 1;
        i = class_start(p, n, &negated);
        while (class_next(p, n, &i, &lo, &hi))
                ;
        return i < n ? i + 1 : n;
}

/* n: the token's own size, or what is left of the pattern; both read the same. */
static bool token_accepts(const uint8_t *p, size_t n, uint8_t c)
{
        bool negated, in = false;
        uint8_t lo, hi;
        size_t i;

        GLOB_STEPS(1);
        switch (p[0]) {
        case '?':
                return true;
        case '\\':
                return p[n >= 2] == c;
        case '[':
                i = class_start(p, n, &negated);
                while (!in && class_next(p, n, &i, &lo, &hi))
                        in = lo <= c && c <= hi;
                return in != negated;
        default:
                return p[0] == c;
        }
}

/* The segment at the start of the pattern; empty when that is empty or begins with '*'. */
static struct segment segment_cut(struct bytes pattern)
{
        struct segment s = { .literal = true };
        size_t i = 0;

        while (i < pattern.n && pattern.p[i] != '*') {
                uint8_t c = pattern.p[i];

                s.literal = s.literal && c != '?' && c != '[' && c != '\\';
                i += token_size(pattern.p + i, pattern.n - i);
                s.tokens++;
        }
        s.bytes = bytes_of(pattern.p, i);
        return s;
}

/* Whether it matches right here; text holds at least s->tokens bytes. */
static bool segment_matches(const struct segment *s, const uint8_t *text)
{
        size_t i = 0;

        if (s->literal) {
                GLOB_STEPS(s->tokens);
                return s->tokens == 0 || memcmp(s->bytes.p, text, s->tokens) == 0;
        }
        for (; i < s->bytes.n; text++) {
                const uint8_t *p = s->bytes.p + i;
                size_t size = token_size(p, s->bytes.n - i);

                if (!token_accepts(p, size, *text))
                        return false;
                i += size;
        }
        return true;
}

static bool search_literal(const struct segment *s, struct bytes *text)
{
        const uint8_t *found = memmem(text->p, text->n, s->bytes.p, s->bytes.n);
        size_t end = found ? (size_t)(found - text->p) + s->tokens : text->n;

        GLOB_STEPS(s->tokens + end);
        *text = bytes_skip(*text, end);
        return found;
}

static bool search_each(const struct segment *s, struct bytes *text)
{
        for (size_t at = 0; at + s->tokens <= text->n; at++) {
                if (segment_matches(s, text->p + at)) {
                        *text = bytes_skip(*text, at + s->tokens);
                        return true;
                }
        }
        return false;
}

/* The bytes that the class at p accepts; n: its size. */
static struct glob_set class_set(const uint8_t *p, size_t n)
{
        uint32_t begins[256] = { 0 }, ends[256] = { 0 }, open = 0;
        struct glob_set set = { 0 };
        uint8_t lo, hi;
        bool negated;
        size_t i = class_start(p, n, &negated);

        while (class_next(p, n, &i, &lo, &hi)) {
                begins[lo]++;
                ends[hi]++;
        }
        for (unsigned c = 0; c < 256; c++) {
                open += begins[c];
                if ((open > 0) != negated)
                        set.words[c / 64] |= UINT64_C(1) << c % 64;
                open -= ends[c];
        }
        GLOB_STEPS(256);
        return set;
}

/* Sets a token's bit in the row of every byte that it accepts. Rows are n_words long, word is the first row's.
 */
static void automaton_class(uint64_t *word, size_t n_words, uint64_t bit, const uint8_t *p, size_t n)
{
        struct glob_set set = class_set(p, n);

        for (unsigned c = 0; c < 256; c++)
                if (glob_set_has(&set, (uint8_t)c))
                        word[c * n_words] |= bit;
}

static void automaton_token(uint64_t *word, size_t n_words, uint64_t bit, const uint8_t *p, size_t n)
{
        if (p[0] == '[') {
                automaton_class(word, n_words, bit, p, n);
                return;
        }
        for (unsigned c = 0; p[0] == '?' && c < 256; c++)
                word[c * n_words] |= bit;
        GLOB_STEPS(p[0] == '?' ? 256 : 1);
        if (p[0] != '?')
                word[p[p[0] == '\\' && n >= 2] * n_words] |= bit;
}

/* accept: a row of n_words for each byte value, zeroed; bit t of a row: token t accepts the byte. */
static void automaton_build(uint64_t *accept, size_t n_words, const struct segment *s)
{
        size_t i = 0, size;

        for (size_t t = 0; i < s->bytes.n; t++, i += size) {
                size = token_size(s->bytes.p + i, s->bytes.n - i);
                automaton_token(accept + t / WORD_BITS, n_words, UINT64_C(1) << t % WORD_BITS, s->bytes.p + i,
                                size);
        }
}

/* Bit t of state: tokens 0..t match the bytes that end here. */
static bool automaton_run(uint64_t *state, const uint64_t *accept, size_t n_words, size_t tokens,
                          struct bytes *text)
{
        uint64_t last = UINT64_C(1) << (tokens - 1) % WORD_BITS;

        for (size_t at = 0; at < text->n; at++) {
                const uint64_t *row = accept + text->p[at] * n_words;
                uint64_t carry = 1, out;

                GLOB_STEPS(n_words);
                for (size_t w = 0; w < n_words; w++, carry = out) {
                        out = state[w] >> (WORD_BITS - 1);
                        state[w] = (state[w] << 1 | carry) & row[w];
                }
                if (state[n_words - 1] & last) {
                        *text = bytes_skip(*text, at + 1);
                        return true;
                }
        }
        return false;
}

static bool search_automaton(const struct segment *s, struct bytes *text)
{
        size_t n_words = (s->tokens + WORD_BITS - 1) / WORD_BITS;
        uint64_t one[257] = { 0 }, *many, *words = one;
        bool found;

        many = n_words > 1 ? calloc(n_words, sizeof(one)) : NULL;
        if (n_words > 1 && !many)
                return search_each(s, text);
        if (many)
                words = many;
        automaton_build(words + n_words, n_words, s);
        found = automaton_run(words, words + n_words, n_words, s->tokens, text);
        free(many);
        return found;
}

/* Finds the segment's leftmost place. On success the text is what follows it. */
static bool segment_search(const struct segment *s, struct bytes *text)
{
        if (s->literal)
                return search_literal(s, text);
        if (s->bytes.n <= TRY_MAX && text->n <= TRY_MAX && s->bytes.n * text->n <= TRY_MAX)
                return search_each(s, text);
        return search_automaton(s, text);
}

bool glob_match(struct bytes pattern, struct bytes text)
{
        struct segment s = segment_cut(pattern);

        if (text.n == 0)
                return pattern.n == 0;
        if (s.bytes.n == pattern.n)
                return s.tokens == text.n && segment_matches(&s, text.p);
        if (s.tokens > text.n || !segment_matches(&s, text.p))
                return false;
        text = bytes_skip(text, s.tokens);
        pattern = bytes_skip(pattern, s.bytes.n);
        for (;;) {
                while (pattern.n > 0 && pattern.p[0] == '*') {
                        GLOB_STEPS(1);
                        pattern = bytes_skip(pattern, 1);
                }
                if (pattern.n == 0)
                        return true;
                s = segment_cut(pattern);
                if (s.tokens > text.n)
                        return false;
                if (s.bytes.n == pattern.n)
                        return segment_matches(&s, text.p + (text.n - s.tokens));
                if (!segment_search(&s, &text))
                        return false;
                pattern = bytes_skip(pattern, s.bytes.n);
        }
}

struct bytes glob_literal_prefix(struct bytes pattern)
{
        size_t n = 0;

        while (n < pattern.n && !memchr("*?[\\", pattern.p[n], 4))
                n++;
        return bytes_of(pattern.p, n);
}

struct bytes glob_literal_suffix(struct bytes pattern)
{
        size_t start = 0, i = 0, size;

        for (; i < pattern.n; i += size) {
                bool literal = !memchr("*?[\\", pattern.p[i], 4);

                size = pattern.p[i] == '*' ? 1 : token_size(pattern.p + i, pattern.n - i);
                if (!literal)
                        start = i + size;
        }
        return start < pattern.n ? bytes_skip(pattern, start) : bytes_of(pattern.p, 0);
}

size_t glob_token(struct bytes pattern, struct glob_set *set)
{
        const uint8_t *p = pattern.p;
        size_t size = p[0] == '*' ? 1 : token_size(p, pattern.n);
        uint8_t c = p[p[0] == '\\' && size == 2];

        if (p[0] == '[') {
                *set = class_set(p, size);
                return size;
        }
        memset(set, p[0] == '?' ? 0xff : 0, sizeof(*set));
        if (!memchr("*?", p[0], 2))
                set->words[c / 64] |= UINT64_C(1) << c % 64;
        return size;
}
