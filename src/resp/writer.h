/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/buffer.h"
#include "util/bytes.h"

/*
 * Encoders of RESP2 and RESP3 replies. Each appends to a buffer; the types that RESP2 lacks become what Redis
 * sends there (a map is a flat array, a push or set is an array, null is "$-1" or "*-1", booleans are integers,
 * doubles are bulk strings). Sources: the RESP protocol specification of Redis, RESP3 specification.
 */

enum writer_proto {
        WRITER_RESP2,
        WRITER_RESP3,
        _WRITER_PROTO_N,
};

void writer_simple(struct buffer *b, const char *text); /* +text */
void writer_error(struct buffer *b, const char *text);  /* -text; CR and LF become blanks */
void writer_integer(struct buffer *b, int64_t n);       /* :n */
void writer_bulk(struct buffer *b, struct bytes s);     /* $n */
void writer_bulk_str(struct buffer *b, const char *s);
void writer_null(struct buffer *b, enum writer_proto proto);
void writer_null_array(struct buffer *b, enum writer_proto proto);
void writer_array(struct buffer *b, size_t n);
void writer_map(struct buffer *b, enum writer_proto proto, size_t pairs);
void writer_set(struct buffer *b, enum writer_proto proto, size_t n);
void writer_push(struct buffer *b, enum writer_proto proto, size_t n);
void writer_bool(struct buffer *b, enum writer_proto proto, bool v);
void writer_double(struct buffer *b, enum writer_proto proto, double v);
void writer_verbatim(struct buffer *b, enum writer_proto proto, const char *format3, struct bytes s);

/*
 * Frames of deliveries, written to memory that the caller reserved. `message`, `smessage` and `pmessage` frames
 * of the two protocols have the same size and differ in their first byte only.
 */
size_t writer_message_size(size_t channel, size_t payload);
uint8_t *writer_message(uint8_t *p, enum writer_proto proto, struct bytes channel, struct bytes payload);
size_t writer_smessage_size(size_t channel, size_t payload);
uint8_t *writer_smessage(uint8_t *p, enum writer_proto proto, struct bytes channel, struct bytes payload);
size_t writer_pmessage_size(size_t pattern, size_t channel, size_t payload);
uint8_t *writer_pmessage(uint8_t *p, enum writer_proto proto, struct bytes pattern, struct bytes channel,
                         struct bytes payload);

/* What one of these frames holds. */
struct writer_frame {
        size_t size; /* bytes */
        size_t head; /* of which stand in front of the payload's: behind its first byte, which is the
                        protocol's, two frames have the same head when kind, pattern and channel are the same */
        struct bytes channel;
};

/* Reads a frame at p that one of these functions wrote. */
struct writer_frame writer_frame(const uint8_t *p);

/* Decimal digits of n; writes them to p (at least 20 bytes). Return: their number. */
size_t writer_digits(uint8_t *p, uint64_t n);
