/* SPDX-License-Identifier: MIT */
/*
 * Replies and deliveries as bytes. Each encoder reserves the most that it can need and then writes, so nothing
 * is formatted twice and nothing is checked per byte.
 */

#include "resp/writer.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

#include "util/mem.h"

#define WRITER_DIGITS_MAX 20                      /* of a uint64_t */
#define WRITER_HEAD_MAX   (WRITER_DIGITS_MAX + 4) /* type, sign, digits, "\r\n" */

static const char writer_pairs[] =
        "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
        "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
        "8081828384858687888990919293949596979899";

static const char writer_message_head[] = "3\r\n$7\r\nmessage\r\n";
static const char writer_smessage_head[] = "3\r\n$8\r\nsmessage\r\n";
static const char writer_pmessage_head[] = "4\r\n$8\r\npmessage\r\n";

/* ---------------------------------------------------------------- bytes at p; each returns what is behind */

static unsigned digits_count(uint64_t n)
{
        unsigned k = 1;

        for (; n >= 10000; n /= 10000)
                k += 4;
        return k + (n >= 10) + (n >= 100) + (n >= 1000);
}

size_t writer_digits(uint8_t *p, uint64_t n)
{
        unsigned k = digits_count(n);

        p += k;
        for (; n >= 100; n /= 100)
                memcpy(p -= 2, writer_pairs + n % 100 * 2, 2);
        if (n >= 10)
                memcpy(p - 2, writer_pairs + n * 2, 2);
        else
                p[-1] = (uint8_t)('0' + n);
        return k;
}

static uint8_t *put_bytes(uint8_t *p, const void *s, size_t n)
{
        if (n)
                memcpy(p, s, n);
        return p + n;
}

static uint8_t *put_end(uint8_t *p)
{
        memcpy(p, "\r\n", 2);
        return p + 2;
}

static uint8_t *put_head(uint8_t *p, char type, uint64_t n)
{
        *p++ = (uint8_t)type;
        p += writer_digits(p, n);
        return put_end(p);
}

static uint8_t *put_bulk(uint8_t *p, struct bytes s)
{
        p = put_head(p, '$', s.n);
        p = put_bytes(p, s.p, s.n);
        return put_end(p);
}

static size_t bulk_size(size_t n)
{
        return 1 + digits_count(n) + 2 + n + 2;
}

/* ---------------------------------------------------------------- replies */

/* Room for n bytes at the end of b; writer_done() takes what was written there. */
static uint8_t *writer_room(struct buffer *b, size_t n)
{
        buffer_make_room(b, n);
        return b->data + b->end;
}

static void writer_done(struct buffer *b, const uint8_t *p)
{
        b->end = (size_t)(p - b->data);
        assert(b->end <= b->cap);
}

static void writer_head(struct buffer *b, char type, uint64_t n)
{
        writer_done(b, put_head(writer_room(b, WRITER_HEAD_MAX), type, n));
}

static void writer_line(struct buffer *b, char type, const char *text, size_t n)
{
        uint8_t *p = writer_room(b, n + 3);

        *p++ = (uint8_t)type;
        writer_done(b, put_end(put_bytes(p, text, n)));
}

void writer_simple(struct buffer *b, const char *text)
{
        writer_line(b, '+', text, strlen(text));
}

void writer_error(struct buffer *b, const char *text)
{
        size_t n = strlen(text);
        uint8_t *p;

        writer_line(b, '-', text, n);
        p = b->data + b->end - 2 - n;
        for (size_t i = 0; i < n; i++)
                if (p[i] == '\r' || p[i] == '\n')
                        p[i] = ' ';
}

void writer_integer(struct buffer *b, int64_t n)
{
        uint8_t *p = writer_room(b, WRITER_HEAD_MAX);

        *p++ = ':';
        if (n < 0)
                *p++ = '-';
        p += writer_digits(p, n < 0 ? -(uint64_t)n : (uint64_t)n);
        writer_done(b, put_end(p));
}

void writer_bulk(struct buffer *b, struct bytes s)
{
        writer_done(b, put_bulk(writer_room(b, bulk_size(s.n)), s));
}

void writer_bulk_str(struct buffer *b, const char *s)
{
        writer_bulk(b, bytes_str(s));
}

void writer_null(struct buffer *b, enum writer_proto proto)
{
        if (proto == WRITER_RESP2)
                buffer_put(b, "$-1\r\n", 5);
        else
                buffer_put(b, "_\r\n", 3);
}

void writer_null_array(struct buffer *b, enum writer_proto proto)
{
        if (proto == WRITER_RESP2)
                buffer_put(b, "*-1\r\n", 5);
        else
                buffer_put(b, "_\r\n", 3);
}

void writer_array(struct buffer *b, size_t n)
{
        writer_head(b, '*', n);
}

void writer_map(struct buffer *b, enum writer_proto proto, size_t pairs)
{
        if (proto == WRITER_RESP2)
                writer_head(b, '*', pairs * 2);
        else
                writer_head(b, '%', pairs);
}

void writer_set(struct buffer *b, enum writer_proto proto, size_t n)
{
        writer_head(b, proto == WRITER_RESP2 ? '*' : '~', n);
}

void writer_push(struct buffer *b, enum writer_proto proto, size_t n)
{
        writer_head(b, proto == WRITER_RESP2 ? '*' : '>', n);
}

void writer_bool(struct buffer *b, enum writer_proto proto, bool v)
{
        if (proto == WRITER_RESP2)
                writer_integer(b, v);
        else
                buffer_put(b, v ? "#t\r\n" : "#f\r\n", 4);
}

/* 17 significant digits give every double back; infinities and NaN have one spelling each, without regard to
 * libc. */
void writer_double(struct buffer *b, enum writer_proto proto, double v)
{
        char text[32];
        int n;

        if (isnan(v))
                n = snprintf(text, sizeof(text), "nan");
        else if (isinf(v))
                n = snprintf(text, sizeof(text), v > 0 ? "inf" : "-inf");
        else
                n = snprintf(text, sizeof(text), "%.17g", v);
        if (proto == WRITER_RESP2)
                writer_bulk(b, bytes_of(text, (size_t)n));
        else
                writer_line(b, ',', text, (size_t)n);
}

void writer_verbatim(struct buffer *b, enum writer_proto proto, const char *format3, struct bytes s)
{
        uint8_t *p;

        if (proto == WRITER_RESP2) {
                writer_bulk(b, s);
                return;
        }
        assert(strlen(format3) == 3);
        p = put_head(writer_room(b, bulk_size(s.n + 4)), '=', s.n + 4);
        p = put_bytes(p, format3, 3);
        *p++ = ':';
        writer_done(b, put_end(put_bytes(p, s.p, s.n)));
}

/* ---------------------------------------------------------------- deliveries */

static uint8_t *put_array(uint8_t *p, enum writer_proto proto)
{
        *p = proto == WRITER_RESP2 ? '*' : '>';
        return p + 1;
}

size_t writer_message_size(size_t channel, size_t payload)
{
        return sizeof(writer_message_head) + bulk_size(channel) + bulk_size(payload);
}

uint8_t *writer_message(uint8_t *p, enum writer_proto proto, struct bytes channel, struct bytes payload)
{
        p = put_array(p, proto);
        p = put_bytes(p, writer_message_head, sizeof(writer_message_head) - 1);
        p = put_bulk(p, channel);
        return put_bulk(p, payload);
}

size_t writer_smessage_size(size_t channel, size_t payload)
{
        return sizeof(writer_smessage_head) + bulk_size(channel) + bulk_size(payload);
}

uint8_t *writer_smessage(uint8_t *p, enum writer_proto proto, struct bytes channel, struct bytes payload)
{
        p = put_array(p, proto);
        p = put_bytes(p, writer_smessage_head, sizeof(writer_smessage_head) - 1);
        p = put_bulk(p, channel);
        return put_bulk(p, payload);
}

size_t writer_pmessage_size(size_t pattern, size_t channel, size_t payload)
{
        return sizeof(writer_pmessage_head) + bulk_size(pattern) + bulk_size(channel) + bulk_size(payload);
}

uint8_t *writer_pmessage(uint8_t *p, enum writer_proto proto, struct bytes pattern, struct bytes channel,
                         struct bytes payload)
{
        p = put_array(p, proto);
        p = put_bytes(p, writer_pmessage_head, sizeof(writer_pmessage_head) - 1);
        p = put_bulk(p, pattern);
        p = put_bulk(p, channel);
        return put_bulk(p, payload);
}

/* ---------------------------------------------------------------- deliveries, read back */

/* Reads a length behind its '$'. Return: what is behind its line end. */
static const uint8_t *frame_length(const uint8_t *p, size_t *np)
{
        size_t n = 0;

        for (p++; *p != '\r'; p++)
                n = 10 * n + (size_t)(*p - '0');
        *np = n;
        return p + 2;
}

struct writer_frame writer_frame(const uint8_t *p)
{
        const uint8_t *at = p + 1;
        bool pattern = *at == '4';
        struct writer_frame f;
        size_t n;

        /* "3\r\n$7": the length of the first word tells which of the two it is */
        at += (pattern        ? sizeof(writer_pmessage_head)
               : at[4] == '7' ? sizeof(writer_message_head)
                              : sizeof(writer_smessage_head)) -
              1;
        if (pattern) {
                at = frame_length(at, &n);
                at += n + 2;
        }
        at = frame_length(at, &n);
        f.channel = bytes_of(at, n);
        at += n + 2;
        f.head = (size_t)(at - p);
        at = frame_length(at, &n);
        f.size = (size_t)(at - p) + n + 2;
        return f;
}
