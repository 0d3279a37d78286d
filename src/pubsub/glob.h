/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>

#include "util/bytes.h"

/*
 * Redis's glob: * ? [abc] [a-z] [^x] \x, over bytes, case-sensitive. Iterative; the work is bounded by
 * pattern.n * (text.n + 1) steps.
 */
bool glob_match(struct bytes pattern, struct bytes text);

/* Bytes at the pattern's start and end that match only themselves, without escapes: what an index can use. */
struct bytes glob_literal_prefix(struct bytes pattern);
struct bytes glob_literal_suffix(struct bytes pattern);
