/* SPDX-License-Identifier: MIT */

/*
 * A pattern is a row of tokens that take one byte each, with loops (the stars) in some of the places before,
 * between and behind them. Being at place i of the row is a state, so a row is an automaton without moves that
 * take no byte: at place i a byte leads to i + 1 if token i accepts it, and to i again if there is a loop.
 *
 * The others' states are the bits of one word string. The product pairs a place of the pattern with the set of
 * places that the others may be in by the same text (subset construction; M. O. Rabin, D. Scott, "Finite
 * Automata and Their Decision Problems", IBM Journal 3, 1959). A pair at the end of the pattern, in which no
 * other is at its end, is a text that only the pattern matches. A pair in which another is at its end with a
 * loop there needs no further look. Bytes that no token tells apart are tried as one.
 *
 * The empty text is special to globs: only the empty pattern matches it, which is literal and so never comes
 * here. The first pair, which is that of the empty text, is therefore not looked at.
 */

#include "pubsub/contain.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pubsub/glob.h"
#include "util/hash.h"
#include "util/mem.h"

#define TOKEN_STEPS 8 /* of reading a token, so that memory for them is bounded */

static struct bytes skip(struct bytes b, size_t n)
{
        return bytes_of(b.p + n, b.n - n);
}

static bool spend(size_t *steps, size_t n)
{
        if (*steps < n) {
                *steps = 0;
                return false;
        }
        *steps -= n;
        return true;
}

/* -------------------------------------------------------------------------------------------- without automata
 */

static bool is_literal(struct bytes pattern)
{
        return glob_literal_prefix(pattern).n == pattern.n;
}

/* Whether the pattern is a literal and stars behind it. */
static bool is_prefix(struct bytes pattern, struct bytes *literal)
{
        size_t i;

        *literal = glob_literal_prefix(pattern);
        for (i = literal->n; i < pattern.n && pattern.p[i] == '*'; i++)
                ;
        return i == pattern.n && i > literal->n;
}

static bool set_is_byte(const struct glob_set *set, uint8_t c)
{
        struct glob_set one = { 0 };

        one.words[c / 64] |= UINT64_C(1) << c % 64;
        return !memcmp(set, &one, sizeof(one));
}

/* Whether all that it matches begins with these bytes, because its tokens say so. */
static bool begins_with(struct bytes pattern, struct bytes literal)
{
        struct glob_set set;

        for (size_t i = 0; i < literal.n; i++) {
                if (!pattern.n)
                        return false;
                pattern = skip(pattern, glob_token(pattern, &set));
                if (!set_is_byte(&set, literal.p[i]))
                        return false;
        }
        return true;
}

/* What can be told without an automaton. */
static bool contains_plainly(struct bytes pattern, struct bytes other)
{
        struct bytes literal;

        return bytes_equal(pattern, other) || (is_prefix(other, &literal) && begins_with(pattern, literal));
}

/* Whether no text can match both, by what they begin and end with. */
static bool are_disjoint(struct bytes a, struct bytes b)
{
        struct bytes p = glob_literal_prefix(a), q = glob_literal_prefix(b);
        size_t n = p.n < q.n ? p.n : q.n;

        if (n && memcmp(p.p, q.p, n))
                return true;
        p = glob_literal_suffix(a);
        q = glob_literal_suffix(b);
        n = p.n < q.n ? p.n : q.n;
        return n && memcmp(p.p + p.n - n, q.p + q.n - n, n);
}

/* -------------------------------------------------------------------------------------------- rows */

struct row {
        size_t n; /* tokens */
        struct glob_set *tokens;
        bool *loops;  /* of the n + 1 places */
        bool nothing; /* one of the tokens accepts no byte */
};

static void row_deinit(struct row *row)
{
        free(row->tokens);
        free(row->loops);
}

/* Return: false: the steps did not suffice. */
static bool row_init(struct row *row, struct bytes pattern, size_t *steps)
{
        static const struct glob_set none;
        size_t size;

        *row = (struct row){ 0 };
        if (!spend(steps, TOKEN_STEPS * pattern.n))
                return false;
        row->tokens = mem_alloc(pattern.n * sizeof(*row->tokens) + 1);
        row->loops = mem_zalloc(pattern.n + 1);
        for (; pattern.n; pattern = skip(pattern, size)) {
                size = glob_token(pattern, &row->tokens[row->n]);
                if (pattern.p[0] == '*') {
                        row->loops[row->n] = true;
                        continue;
                }
                row->nothing |= !memcmp(&row->tokens[row->n], &none, sizeof(none));
                row->n++;
        }
        return true;
}

/* -------------------------------------------------------------------------------------------- classes of bytes
 */

struct classes {
        struct glob_set sets[256];
        unsigned n;
        uint8_t one[256]; /* a byte of each */
};

static bool classes_split(struct classes *classes, const struct row *row, size_t *steps)
{
        for (size_t t = 0; t < row->n; t++) {
                unsigned n = classes->n;

                if (!spend(steps, n))
                        return false;
                for (unsigned i = 0; i < n; i++) {
                        struct glob_set *set = &classes->sets[i], in, out;
                        uint64_t any_in = 0, any_out = 0;

                        for (unsigned w = 0; w < 4; w++) {
                                in.words[w] = set->words[w] & row->tokens[t].words[w];
                                out.words[w] = set->words[w] & ~row->tokens[t].words[w];
                                any_in |= in.words[w];
                                any_out |= out.words[w];
                        }
                        if (!any_in || !any_out)
                                continue;
                        *set = in;
                        classes->sets[classes->n++] = out;
                }
        }
        return true;
}

static bool classes_init(struct classes *classes, const struct row *row, const struct row *others, size_t n,
                         size_t *steps)
{
        memset(classes->sets, 0xff, sizeof(*classes->sets));
        classes->n = 1;
        if (!classes_split(classes, row, steps))
                return false;
        for (size_t i = 0; i < n; i++)
                if (!classes_split(classes, &others[i], steps))
                        return false;
        for (unsigned i = 0; i < classes->n; i++)
                for (unsigned c = 0; c < 256; c++)
                        if (glob_set_has(&classes->sets[i], (uint8_t)c))
                                classes->one[i] = (uint8_t)c;
        return true;
}

/* -------------------------------------------------------------------------------------------- the product */

/* Pairs are kept one behind the other, each a word for the place and the words of the set. */
struct product {
        const struct row *row;
        struct classes classes;
        size_t n_words;
        uint64_t *accept; /* for each class a word string: which places it leads on from */
        uint64_t *loops, *ends;
        uint64_t *pairs, *next; /* next: the pair that is being made */
        size_t n_pairs, cap_pairs;
        struct table seen; /* of pairs, by their number from 1 */
        size_t *steps;
};

static void product_deinit(struct product *p)
{
        free(p->accept);
        free(p->loops);
        free(p->ends);
        free(p->pairs);
        free(p->next);
        table_deinit(&p->seen);
}

static void bit_set(uint64_t *words, size_t bit)
{
        words[bit / 64] |= UINT64_C(1) << bit % 64;
}

static uint64_t *pair_at(const struct product *p, size_t number)
{
        return p->pairs + number * (p->n_words + 1);
}

/* Enters another's places from bit `at`. */
static void product_place(struct product *p, const struct row *other, size_t at, uint64_t *start)
{
        bit_set(start, at);
        for (size_t i = 0; i <= other->n; i++)
                if (other->loops[i])
                        bit_set(p->loops, at + i);
        bit_set(p->ends, at + other->n);
        for (size_t i = 0; i < other->n; i++)
                for (unsigned c = 0; c < p->classes.n; c++)
                        if (glob_set_has(&other->tokens[i], p->classes.one[c]))
                                bit_set(p->accept + c * p->n_words, at + i);
}

static bool product_init(struct product *p, const struct row *row, const struct row *others, size_t n,
                         size_t *steps)
{
        size_t places = 0, at = 0;

        *p = (struct product){ .row = row, .steps = steps };
        if (!classes_init(&p->classes, row, others, n, steps))
                return false;
        for (size_t i = 0; i < n; i++)
                places += others[i].n + 1;
        p->n_words = (places + 63) / 64;
        if (!spend(steps, places * p->classes.n))
                return false;
        p->accept = mem_zalloc(p->classes.n * p->n_words * sizeof(uint64_t));
        p->loops = mem_zalloc(p->n_words * sizeof(uint64_t));
        p->ends = mem_zalloc(p->n_words * sizeof(uint64_t));
        p->next = mem_zalloc((p->n_words + 1) * sizeof(uint64_t));
        for (size_t i = 0; i < n; at += others[i++].n + 1)
                product_place(p, &others[i], at, p->next + 1);
        return true;
}

struct pair_key {
        const struct product *product;
        const uint64_t *pair;
};

static bool pair_equal(const void *item, const void *key)
{
        const struct pair_key *k = key;
        const struct product *p = k->product;

        return !memcmp(pair_at(p, (uintptr_t)item - 1), k->pair, (p->n_words + 1) * sizeof(uint64_t));
}

/* Whether another is at its end, and, with loops, stays there whatever comes. */
static bool product_ends(const struct product *p, const uint64_t *set, bool loops)
{
        for (size_t w = 0; w < p->n_words; w++)
                if (set[w] & p->ends[w] & (loops ? p->loops[w] : UINT64_MAX))
                        return true;
        return false;
}

/* Keeps p->next unless it was seen. */
static void product_keep(struct product *p)
{
        struct pair_key key = { p, p->next };
        size_t size = p->n_words + 1;
        uint64_t hash = 0;

        for (size_t w = 0; w < size; w++)
                hash = hash_word(hash ^ p->next[w]) + w;
        if (table_find(&p->seen, hash, pair_equal, &key))
                return;
        if (p->n_pairs == p->cap_pairs) {
                p->cap_pairs = p->cap_pairs ? 2 * p->cap_pairs : 16;
                p->pairs = mem_realloc(p->pairs, p->cap_pairs * size * sizeof(uint64_t));
        }
        memcpy(pair_at(p, p->n_pairs), p->next, size * sizeof(uint64_t));
        table_add(&p->seen, hash, (void *)(uintptr_t)++p->n_pairs);
}

/* p->next was reached by a text that is not empty. Return: false: one more text shows that it is no subset. */
static bool product_reach(struct product *p, uint64_t place)
{
        p->next[0] = place;
        if (place == p->row->n && !product_ends(p, p->next + 1, false))
                return false;
        if (!product_ends(p, p->next + 1, true))
                product_keep(p);
        return true;
}

/* One byte of a class on from a pair. Return: false: it is no subset. */
static bool product_move(struct product *p, size_t number, unsigned class)
{
        const uint64_t *pair = pair_at(p, number), *accept = p->accept + class * p->n_words;
        uint64_t place = pair[0], carry = 0, any = 0, *next = p->next + 1;
        bool on = place < p->row->n && glob_set_has(&p->row->tokens[place], p->classes.one[class]);
        bool stays = p->row->loops[place];

        if (!on && !stays)
                return true;
        for (size_t w = 0; w < p->n_words; w++) {
                uint64_t moved = pair[1 + w] & accept[w];

                next[w] = moved << 1 | carry | (pair[1 + w] & p->loops[w]);
                carry = moved >> 63;
                any |= next[w];
        }
        if (!any)
                return false; /* the pattern goes on to its end, since each token accepts something */
        return (!on || product_reach(p, place + 1)) && (!stays || product_reach(p, place));
}

static enum contain product_run(struct product *p)
{
        if (!product_ends(p, p->next + 1, true))
                product_keep(p);
        for (size_t number = 0; number < p->n_pairs; number++)
                for (unsigned class = 0; class < p->classes.n; class ++) {
                        if (!spend(p->steps, 2 * p->n_words + 8))
                                return CONTAIN_UNKNOWN;
                        if (!product_move(p, number, class))
                                return CONTAIN_NO;
                }
        return CONTAIN_YES;
}

static enum contain rows_contain(const struct row *row, const struct row *others, size_t n, size_t *steps)
{
        enum contain result = CONTAIN_UNKNOWN;
        struct product p;

        if (product_init(&p, row, others, n, steps))
                result = product_run(&p);
        product_deinit(&p);
        return result;
}

/* -------------------------------------------------------------------------------------------- the question */

struct candidates {
        struct row *rows;
        size_t *indices;
        size_t n;
        bool complete; /* no other could matter */
};

/* The others that can match something that the pattern matches. */
static void candidates_init(struct candidates *cs, struct bytes pattern, const struct bytes *others, size_t n,
                            size_t *steps)
{
        *cs = (struct candidates){ .rows = mem_alloc(n * sizeof(*cs->rows)),
                                   .indices = mem_alloc(n * sizeof(*cs->indices)),
                                   .complete = true };
        for (size_t i = 0; i < n; i++) {
                struct row *row = &cs->rows[cs->n];

                if (are_disjoint(pattern, others[i]))
                        continue;
                if (!row_init(row, others[i], steps)) {
                        cs->complete = false;
                } else if (row->nothing) {
                        row_deinit(row);
                } else {
                        cs->indices[cs->n++] = i;
                }
        }
}

static void candidates_deinit(struct candidates *cs)
{
        for (size_t i = 0; i < cs->n; i++)
                row_deinit(&cs->rows[i]);
        free(cs->rows);
        free(cs->indices);
}

/* Each by itself, for at most half of the steps; then all together. */
static enum contain candidates_contain(const struct row *row, const struct candidates *cs, size_t n,
                                       size_t *steps, size_t *whichp)
{
        enum contain result = CONTAIN_NO;
        size_t budget = *steps / 2;

        for (size_t i = 0; i < cs->n && cs->n > 1; i++) {
                size_t part = budget / (cs->n - i), left = part;

                if (rows_contain(row, &cs->rows[i], 1, &left) == CONTAIN_YES)
                        result = CONTAIN_YES;
                budget -= part - left;
                *steps -= part - left;
                *whichp = cs->indices[i];
                if (result == CONTAIN_YES)
                        return result;
        }
        if (cs->n > 0)
                result = rows_contain(row, cs->rows, cs->n, steps);
        *whichp = cs->n == 1 ? cs->indices[0] : n;
        return result == CONTAIN_NO && !cs->complete ? CONTAIN_UNKNOWN : result;
}

static enum contain contain_automata(struct bytes pattern, const struct bytes *others, size_t n, size_t *steps,
                                     size_t *whichp)
{
        enum contain result = CONTAIN_UNKNOWN;
        struct candidates cs;
        struct row row;

        *whichp = 0;
        if (row_init(&row, pattern, steps)) {
                result = CONTAIN_YES;
                if (!row.nothing) {
                        candidates_init(&cs, pattern, others, n, steps);
                        result = candidates_contain(&row, &cs, n, steps, whichp);
                        candidates_deinit(&cs);
                }
        }
        row_deinit(&row);
        return result;
}

enum contain contain_check(struct bytes pattern, const struct bytes *others, size_t n, size_t *steps,
                           size_t *whichp)
{
        bool literal = is_literal(pattern);
        size_t which;

        if (!whichp)
                whichp = &which;
        for (size_t i = 0; i < n; i++)
                if (literal ? glob_match(others[i], pattern) : contains_plainly(pattern, others[i])) {
                        *whichp = i;
                        return CONTAIN_YES;
                }
        if (literal || n == 0)
                return CONTAIN_NO;
        return contain_automata(pattern, others, n, steps, whichp);
}
