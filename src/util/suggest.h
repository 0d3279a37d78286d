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
 * The name that a word was meant to be: the only nearest one, if it is within 2 edits and a third of the word's
 * length; when none is, the only name that begins with the word, or that the word begins with, by 3 letters or
 * more.
 * Return: its index, n when there is none.
 */
size_t suggest_best(struct bytes word, const char *const *names, size_t n);
