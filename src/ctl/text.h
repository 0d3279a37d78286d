/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "util/bytes.h"

/* How brokerctl writes bytes, numbers and durations for people. */

/*
 * Writes bytes so that one line stays one line and no terminal obeys them: printable ASCII and UTF-8 from
 * U+00A0 on as they are, a backslash as \\, tab, newline and carriage return as \t \n \r, every other byte as
 * \xHH. The form is reversible, and the same whether out is a terminal or not.
 */
void text_escape(FILE *out, struct bytes b);

#define TEXT_NUMBER_SIZE 48 /* bytes behind the pointer that text_count() and text_bytes() want */

/* Exact below 100,000, else three digits and a decimal suffix (1.23M). At most five characters. */
void text_count(char *to, uint64_t n);

/* Exact below 10,000, else three digits and a binary suffix: 16.0K is 16 KiB. At most five characters. */
void text_bytes(char *to, uint64_t n);

#define TEXT_DURATION_SIZE 48

/* "4 d 03:02:01", or without the days when there are none. */
void text_duration(char *to, uint64_t seconds);

#define TEXT_TIME_SIZE 48

/* RFC 3339 in local time, to the millisecond: "2026-11-23T14:05:06.123+01:00". */
void text_time(char *to, const struct timespec *when);
