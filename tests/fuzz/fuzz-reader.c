/* SPDX-License-Identifier: MIT */
/*
 * Any bytes, cut and held back in any way, are to the reader what they are to the slow reference. The first
 * byte chooses limits, the second says how many bytes of choices follow; the rest is the stream.
 */

#include "resp/reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const struct reader_limits limits[] = {
                { .bulk_max = UINT64_C(512) << 20, .request_max = UINT64_C(1) << 30 },
                { .bulk_max = 64, .request_max = 200 },
                { .bulk_max = UINT64_MAX, .request_max = UINT64_MAX },
                { .bulk_max = 10, .request_max = 20 },
        };
        struct choices choices = { .prng = { 1 } };
        size_t n;

        if (size < 2)
                return 0;
        n = data[1] < size - 2 ? data[1] : size - 2;
        choices.given = bytes_of(data + 2, n);
        reference_drive(bytes_of(data + 2 + n, size - 2 - n), &limits[data[0] % 4], &choices);
        return 0;
}
