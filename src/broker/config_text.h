/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "util/buffer.h"
#include "util/bytes.h"

/*
 * Text that came from a file, a command line or a client, on its way to a terminal or into a YAML string.
 * What would move the cursor, ring, or turn the writing direction is written as an escape.
 */

#define CONFIG_TEXT_WHOLE SIZE_MAX /* as a limit: none */

/*
 * Takes the next character from *text, which must not be empty. A byte that starts no UTF-8 character is taken
 * alone and given as its value.
 * Return: whether it is a character.
 */
bool config_text_next(struct bytes *text, uint32_t *characterp);

/* Whether a terminal shows the character in its place. A tab is not. */
bool config_text_printable(uint32_t character);

/* Whether the text is UTF-8 without ASCII control characters. */
bool config_text_clean(struct bytes text);

/* The columns that a printable character takes: 0 (combining), 1 or 2 (wide). */
unsigned config_text_width(uint32_t character);

/* Appends a character as an escape of YAML's double-quoted strings: \n, \x07, \u202e. */
void config_text_escape(struct buffer *out, uint32_t character);

/* Appends the text with what is not printable escaped, and ends it with a NUL behind the buffer's end. */
void config_text_put(struct buffer *out, struct bytes text);

/* The same between double quotes, as YAML reads it; cut behind max characters, and "..." says so. */
void config_text_quote(struct buffer *out, struct bytes text, size_t max);
