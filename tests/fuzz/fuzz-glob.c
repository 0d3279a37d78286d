/* SPDX-License-Identifier: MIT */
/*
 * The matcher says what the slow reference says, and the literal edges are edges. The first byte is the length
 * of the pattern in units of a 256th of the rest, the second how often the text is repeated, which makes long
 * ones.
 */

#include "pubsub/glob.h"

#include "pubsub/reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
        if (!truth)
                abort();
}

static void check(struct bytes pattern, struct bytes text)
{
        struct bytes prefix = glob_literal_prefix(pattern), suffix = glob_literal_suffix(pattern);
        bool matches = reference_glob(pattern, text);

        require(glob_match(pattern, text) == matches);
        require(prefix.n <= pattern.n && suffix.n <= pattern.n);
        if (!matches)
                return;
        require(prefix.n <= text.n && suffix.n <= text.n);
        require(bytes_equal(prefix, bytes_of(text.p, prefix.n)));
        require(bytes_equal(suffix, bytes_of(text.p + (text.n - suffix.n), suffix.n)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        size_t n_pattern, n_piece, n;
        uint8_t *pattern, *text;

        if (size < 2 || size > 2000)
                return 0;
        n = 1 + data[1] % 32;
        n_pattern = (size - 2) * data[0] / 255;
        n_piece = size - 2 - n_pattern;
        pattern = malloc(n_pattern + 1);
        text = malloc(n_piece * n + 1);
        memcpy(pattern, data + 2, n_pattern);
        for (size_t i = 0; i < n; i++)
                memcpy(text + i * n_piece, data + 2 + n_pattern, n_piece);
        check(bytes_of(pattern, n_pattern), bytes_of(text, n_piece * n));
        free(pattern);
        free(text);
        return 0;
}
