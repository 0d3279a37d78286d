/* SPDX-License-Identifier: MIT */

/*
 * A change is one byte of flags and the topic's kind, the magnitude of n (0 where it is about a hold) and the
 * size of the name as variable-length numbers (seven bits a byte, lowest first, the top bit set while more
 * follow), and the name.
 * Both ends are one program: a batch that does not parse is a programmer's error.
 */

#include "pubsub/interest.h"

#include <assert.h>

enum {
        CHANGE_KIND = 3, /* mask of an enum topic_kind */
        CHANGE_FEWER = 1 << 2,
        CHANGE_LAST = 1 << 3,
        CHANGE_HOLD = 1 << 4, /* with CHANGE_FEWER: no longer */
};

#define NUMBER_MAX 5 /* bytes of a 32-bit number */

static uint8_t *number_put(uint8_t *p, uint32_t n)
{
        for (; n >= 0x80; n >>= 7)
                *p++ = (uint8_t)(n | 0x80);
        *p++ = (uint8_t)n;
        return p;
}

static uint8_t byte_take(struct bytes *b)
{
        assert(b->n > 0);
        b->n--;
        return *b->p++;
}

static uint32_t number_take(struct bytes *b)
{
        uint64_t n = 0;
        uint8_t byte;
        unsigned shift = 0;

        do {
                byte = byte_take(b);
                n |= (uint64_t)(byte & 0x7f) << shift;
                shift += 7;
        } while (byte & 0x80 && shift < 7 * NUMBER_MAX);
        assert(!(byte & 0x80) && n <= UINT32_MAX);
        return (uint32_t)n;
}

static void change_put(struct buffer *batch, unsigned flags, uint32_t n, struct bytes name)
{
        uint8_t head[1 + 2 * NUMBER_MAX], *end = head;

        assert(name.n <= UINT32_MAX);
        *end++ = (uint8_t)flags;
        end = number_put(end, n);
        end = number_put(end, (uint32_t)name.n);
        buffer_put(batch, head, (size_t)(end - head));
        if (name.n > 0)
                buffer_put(batch, name.p, name.n);
}

void interest_put(struct buffer *batch, enum topic_kind kind, struct bytes name, int32_t n, bool last)
{
        assert(n < 0 || (n > 0 && !last));
        change_put(batch, kind | (n < 0 ? CHANGE_FEWER : 0) | (last ? CHANGE_LAST : 0),
                   n < 0 ? 0 - (uint32_t)n : (uint32_t)n, name);
}

void interest_put_hold(struct buffer *batch, enum topic_kind kind, struct bytes name, bool holds)
{
        change_put(batch, kind | CHANGE_HOLD | (holds ? 0 : CHANGE_FEWER), 0, name);
}

static void interest_apply_hold(struct topics *topics, unsigned shard, uint8_t flags, struct bytes name)
{
        if (flags & CHANGE_FEWER)
                topics_remote_release(topics, shard, flags & CHANGE_KIND, name);
        else
                topics_remote_hold(topics, shard, flags & CHANGE_KIND, name);
}

void interest_apply(struct topics *topics, unsigned shard, struct bytes batch)
{
        while (batch.n > 0) {
                uint8_t flags = byte_take(&batch);
                uint32_t n = number_take(&batch), size = number_take(&batch);
                enum topic_kind kind = flags & CHANGE_KIND;
                struct bytes name = bytes_of(batch.p, size);

                assert(kind < _TOPIC_KIND_N && size <= batch.n);
                batch = bytes_of(batch.p + size, batch.n - size);
                if (flags & CHANGE_HOLD)
                        interest_apply_hold(topics, shard, flags, name);
                else if (flags & CHANGE_FEWER)
                        topics_remote_remove(topics, shard, kind, name, n, flags & CHANGE_LAST);
                else
                        topics_remote_add(topics, shard, kind, name, n);
        }
}
