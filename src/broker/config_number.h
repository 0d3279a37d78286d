/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/buffer.h"
#include "util/bytes.h"

/*
 * Numbers as the configuration writes them. Each is read whole, or not at all: no sign, no sloppy end, no wrap.
 * Reading returns whether the text is such a number in least..greatest and only then sets the result; what is
 * written reads as the same number.
 */

/* Whether the text is nothing but decimal digits. */
bool config_number_digits(struct bytes text);

/* Decimal. A leading zero is refused: some YAML readers take it for octal. */
bool config_number_read(struct bytes text, uint64_t least, uint64_t greatest, uint64_t *np);
void config_number_write(uint64_t n, struct buffer *out);

/* Bytes: 4096, 4K, 4KiB, 4 KiB. Units are powers of 1024. Written in the largest one that fits. */
bool config_size_read(struct bytes text, uint64_t least, uint64_t greatest, uint64_t *np);
void config_size_write(uint64_t n, struct buffer *out);

/* Nanoseconds: 20us, 1ms, 500 ns, 60s, 5min, 2h, 0. Written in the largest unit that fits. */
bool config_time_read(struct bytes text, uint64_t least, uint64_t greatest, uint64_t *np);
void config_time_write(uint64_t n, struct buffer *out);

/* A file's mode, octal whatever the spelling: 0660, 660, 0o660. */
bool config_mode_read(struct bytes text, uint64_t greatest, mode_t *modep);
