/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#include "resp/reader.h"
#include "util/prng.h"

/*
 * A second, slow parser of requests, and a driver that holds the reader against it. The reference sees the
 * whole stream from its first byte and keeps no state, so it cannot be confused by cuts. It shares no code with
 * the reader and is written another way where that is possible.
 */

/* An assertion that says where, outside of Check: for fuzzing as well. */
#define must(_condition)                                                                                       \
        do {                                                                                                   \
                if (!(_condition)) {                                                                           \
                        fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #_condition);                       \
                        abort();                                                                               \
                }                                                                                              \
        } while (0)

/* What stands in a stream at some place, behind any empty requests. */
struct reference {
        int k;             /* 0: a request, READER_E_MORE, READER_E_PROTOCOL */
        size_t start, end; /* of the request; READER_E_MORE: only start */
        size_t argc;
        struct buffer *argv;
        char error[64]; /* READER_E_PROTOCOL */
};

void reference_next(struct reference *ref, struct bytes stream, size_t pos, const struct reader_limits *limits);
void reference_deinit(struct reference *ref);

/* Where a driver takes its decisions from: the bytes given, over and over; without any, a generator. */
struct choices {
        struct bytes given;
        size_t next;
        struct prng prng;
};

uint8_t choices_next(struct choices *c);

/*
 * Feeds stream to a reader in pieces, with unread, hold and trim between them as the choices say, and compares
 * each outcome, what is kept, and how much memory that takes, with the reference. Aborts on a difference.
 * Return: the number of requests.
 */
size_t reference_drive(struct bytes stream, const struct reader_limits *limits, struct choices *choices);

/* The same with the stream cut at the given places only, which rise. */
size_t reference_cut(struct bytes stream, const struct reader_limits *limits, const size_t *cuts, size_t n);
