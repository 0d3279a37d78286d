/* SPDX-License-Identifier: MIT */

#include "util/hash.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/random.h>

#include "util/mem.h"

#define TABLE_MIN 16 /* slots of the first allocation */

struct hash_key hash_key_random(void)
{
        struct hash_key key;

        if (getrandom(&key, sizeof(key), 0) != (ssize_t)sizeof(key))
                abort();
        return key;
}

static inline uint64_t rotl(uint64_t x, int b)
{
        return (x << b) | (x >> (64 - b));
}

static inline uint64_t load_le64(const uint8_t *p)
{
        uint64_t x;

        memcpy(&x, p, sizeof(x));
        return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? x : __builtin_bswap64(x);
}

static inline void sip_round(uint64_t v[4])
{
        v[0] += v[1], v[1] = rotl(v[1], 13), v[1] ^= v[0], v[0] = rotl(v[0], 32);
        v[2] += v[3], v[3] = rotl(v[3], 16), v[3] ^= v[2];
        v[0] += v[3], v[3] = rotl(v[3], 21), v[3] ^= v[0];
        v[2] += v[1], v[1] = rotl(v[1], 17), v[1] ^= v[2], v[2] = rotl(v[2], 32);
}

static inline uint64_t sip_hash(const struct hash_key *key, struct bytes b, int c, int d)
{
        uint64_t v[4] = { key->k0 ^ UINT64_C(0x736f6d6570736575), key->k1 ^ UINT64_C(0x646f72616e646f6d),
                          key->k0 ^ UINT64_C(0x6c7967656e657261), key->k1 ^ UINT64_C(0x7465646279746573) };
        uint64_t m, last = (uint64_t)b.n << 56;
        size_t i, whole = b.n & ~(size_t)7;

        for (i = 0; i < whole; i += 8) {
                m = load_le64(b.p + i);
                v[3] ^= m;
                for (int r = 0; r < c; r++)
                        sip_round(v);
                v[0] ^= m;
        }
        for (i = whole; i < b.n; i++)
                last |= (uint64_t)b.p[i] << (8 * (i - whole));
        v[3] ^= last;
        for (int r = 0; r < c; r++)
                sip_round(v);
        v[0] ^= last;
        v[2] ^= 0xff;
        for (int r = 0; r < d; r++)
                sip_round(v);
        return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t hash_bytes(const struct hash_key *key, struct bytes b)
{
        return sip_hash(key, b, 1, 3);
}

uint64_t hash_siphash24(const struct hash_key *key, struct bytes b)
{
        return sip_hash(key, b, 2, 4);
}

void table_deinit(struct table *t)
{
        free(t->slots);
        *t = (struct table){ 0 };
}

void *table_find(const struct table *t, uint64_t hash, table_equal_fn equal, const void *key)
{
        if (!t->n)
                return NULL;
        for (size_t i = hash & (t->cap - 1); t->slots[i].item; i = (i + 1) & (t->cap - 1))
                if (t->slots[i].hash == hash && equal(t->slots[i].item, key))
                        return t->slots[i].item;
        return NULL;
}

static void table_place(struct table *t, uint64_t hash, void *item)
{
        size_t i = hash & (t->cap - 1);

        while (t->slots[i].item)
                i = (i + 1) & (t->cap - 1);
        t->slots[i] = (struct table_slot){ hash, item };
}

static void table_resize(struct table *t, size_t cap)
{
        struct table old = *t;

        t->slots = mem_zalloc(cap * sizeof(*t->slots));
        t->cap = cap;
        for (size_t i = 0; i < old.cap; i++)
                if (old.slots[i].item)
                        table_place(t, old.slots[i].hash, old.slots[i].item);
        free(old.slots);
}

void table_add(struct table *t, uint64_t hash, void *item)
{
        assert(item);
        if ((t->n + 1) * 4 > t->cap * 3)
                table_resize(t, t->cap ? t->cap * 2 : TABLE_MIN);
        table_place(t, hash, item);
        t->n++;
}

void table_remove(struct table *t, uint64_t hash, const void *item)
{
        size_t mask = t->cap - 1, hole = hash & mask, home;

        while (t->slots[hole].item != item) {
                assert(t->slots[hole].item);
                hole = (hole + 1) & mask;
        }
        for (size_t i = (hole + 1) & mask; t->slots[i].item; i = (i + 1) & mask) {
                home = t->slots[i].hash & mask;
                if (((i - home) & mask) < ((i - hole) & mask))
                        continue; /* its home lies behind the hole */
                t->slots[hole] = t->slots[i];
                hole = i;
        }
        t->slots[hole].item = NULL;
        t->n--;
        if (t->cap > TABLE_MIN && t->n * 8 < t->cap)
                table_resize(t, t->cap / 2);
}

void *table_next(const struct table *t, size_t *pos)
{
        while (*pos < t->cap) {
                void *item = t->slots[(*pos)++].item;

                if (item)
                        return item;
        }
        return NULL;
}
