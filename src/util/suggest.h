/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

#include "util/bytes.h"

/*
 * "Did you mean": which of several names a mistyped word stands for. The distance is Damerau and Levenshtein's
 * in its restricted form (insert, delete, replace, swap neighbours; no part is edited twice); letters compare
 * without case.
 */

/* Return: the distance of two words, or a number over limit when it is greater than limit. */
unsigned suggest_distance(struct bytes a, struct bytes b, unsigned limit);

/*
 * Picks the nearest of n names, the first of equals. A name more than 2 edits away, or more than a third of the
 * word's length, is no suggestion, unless it is the only one that starts with the word (of 3 letters or more).
 * Return: its index, n when there is none.
 */
size_t suggest_best(struct bytes word, const char *const *names, size_t n);
