/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/bytes.h"

/* UTF-8 as RFC 3629 defines it: no overlong forms, no surrogates, nothing above U+10FFFF. */

/* The length in bytes of the character at the start of b, which is not empty, and the character; 0: there is
 * none. */
size_t utf8_next(struct bytes b, uint32_t *characterp);

/* Whether all of b is UTF-8. */
bool utf8_is_valid(struct bytes b);
