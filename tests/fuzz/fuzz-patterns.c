/* SPDX-License-Identifier: MIT */
/*
 * However patterns came and went, a look-up in the index finds what trying them all finds. The input is a row
 * of steps: a byte that chooses (add, remove, look up, and a slot), and for two of them a byte of length and
 * the text.
 */

#include "pubsub/patterns.h"

#include "pubsub/reference.h"

#define SLOTS 32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct entry {
        struct pattern pattern;
        uint8_t *text; /* NULL: not in */
        size_t n;
        unsigned n_found;
};

static void require(bool truth)
{
        if (!truth)
                abort();
}

static void found(struct pattern *pattern, void *context)
{
        (void)context;
        container_of(pattern, struct entry, pattern)->n_found++;
}

static void look_up(const struct patterns *patterns, struct entry *entries, struct bytes text)
{
        size_t tried = patterns_match(patterns, text, found, NULL);

        require(tried <= patterns->n);
        for (unsigned i = 0; i < SLOTS; i++) {
                bool matches = entries[i].text && reference_glob(bytes_of(entries[i].text, entries[i].n), text);

                require(entries[i].n_found == matches);
                entries[i].n_found = 0;
        }
}

static void drop(struct patterns *patterns, struct entry *entry)
{
        if (!entry->text)
                return;
        patterns_remove(patterns, &entry->pattern);
        free(entry->text);
        entry->text = NULL;
}

static void put(struct patterns *patterns, struct entry *entry, struct bytes text)
{
        drop(patterns, entry);
        entry->text = malloc(text.n + 1);
        memcpy(entry->text, text.p, text.n);
        entry->n = text.n;
        patterns_add(patterns, &entry->pattern, bytes_of(entry->text, entry->n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct hash_key key = { 1, 2 };
        struct entry entries[SLOTS] = { 0 };
        struct patterns patterns;
        const uint8_t *end = data + size;

        if (size > 4000)
                return 0;
        patterns_init(&patterns, &key);
        while (end - data >= 2) {
                struct entry *entry = &entries[data[0] % SLOTS];
                unsigned step = data[0] / SLOTS;
                size_t n = data[1];

                data += 2;
                n = n < (size_t)(end - data) ? n : (size_t)(end - data);
                if (step == 0)
                        drop(&patterns, entry);
                else if (step < 4)
                        put(&patterns, entry, bytes_of(data, n));
                else
                        look_up(&patterns, entries, bytes_of(data, n));
                data += step == 0 ? 0 : n;
        }
        for (unsigned i = 0; i < SLOTS; i++)
                drop(&patterns, &entries[i]);
        patterns_deinit(&patterns);
        return 0;
}
