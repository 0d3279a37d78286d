/* SPDX-License-Identifier: MIT */
#pragma once

#include "util/buffer.h"
#include "util/bytes.h"

/*
 * Appends bytes that somebody else chose, for a log, between quotes: what is no printable ASCII as \xHH, a
 * quote and a backslash with a backslash before them. Of more than max bytes the first ones, and three dots
 * behind the closing quote.
 */
void escape_put(struct buffer *b, struct bytes text, size_t max);
