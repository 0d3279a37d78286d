/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/bytes.h"

/*
 * Redis's glob over bytes, case-sensitive, with its corners:
 *
 *      *        any bytes, none included
 *      ?        any one byte
 *      [ab-z]   one byte of the class: single bytes and ranges, in either order ("[z-a]" is "[a-z]"); "\x" is
 * x.
 *               "[]" accepts no byte; the end of the pattern closes a class as well. What follows the '-' of a
 *               range is its end, be it ']' or '\'; a '-' that begins or ends a class is itself.
 *      [^ab-z]  one byte not in the class; "[^]" accepts every byte
 *      \x       x itself; a '\' at the end of the pattern is itself
 *
 * The empty text is matched by the empty pattern only, not by "*". Bytes order as unsigned numbers (Redis does
 * so where char is unsigned; elsewhere its ranges from below 0x80 to above differ).
 */

/*
 * No recursion, and no choice is taken back. The work, in bytes of pattern or text looked at, is linear in
 * pattern.n
 * + text.n when between two '*' there are either only literal bytes, or at most 64 of them, '?' and classes
 * together, however long a class is; each of these may cost some hundred steps. A longer such mixture
 * multiplies the text's part by one 64th of its length. It takes 32 bytes of memory per byte matched while it
 * is searched and, without memory, at most pattern.n * text.n steps.
 */
bool glob_match(struct bytes pattern, struct bytes text);

/* A set of byte values. */
struct glob_set {
        uint64_t words[4];
};

static inline bool glob_set_has(const struct glob_set *set, uint8_t c)
{
        return set->words[c / 64] >> c % 64 & 1;
}

/*
 * Reads what a pattern begins with: a '*', whose set is empty, or something that takes one byte out of a set. A
 * pattern matches a text that is not empty as if each '*' took any number of bytes. The pattern is not empty.
 * Return: the bytes of the pattern that were read.
 */
size_t glob_token(struct bytes pattern, struct glob_set *set);

/*
 * Bytes at the pattern's start and end that match only themselves, without escapes: what an index can use.
 * Views into the pattern, maybe empty. Every text that matches begins with the one and ends with the other;
 * they overlap only when the whole pattern is literal, and then both are the pattern.
 */
struct bytes glob_literal_prefix(struct bytes pattern);
struct bytes glob_literal_suffix(struct bytes pattern);
