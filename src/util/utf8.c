/* SPDX-License-Identifier: MIT */

#include "util/utf8.h"

size_t utf8_next(struct bytes b, uint32_t *characterp)
{
        uint32_t c = b.p[0], least;
        size_t n;

        if (c < 0x80)
                n = 1, least = 0;
        else if (c >= 0xc2 && c <= 0xdf)
                n = 2, least = 0x80, c &= 0x1f;
        else if (c >= 0xe0 && c <= 0xef)
                n = 3, least = 0x800, c &= 0x0f;
        else if (c >= 0xf0 && c <= 0xf4)
                n = 4, least = 0x10000, c &= 0x07;
        else
                return 0;
        if (b.n < n)
                return 0;
        for (size_t i = 1; i < n; i++) {
                if ((b.p[i] & 0xc0) != 0x80)
                        return 0;
                c = c << 6 | (b.p[i] & 0x3f);
        }
        if (c < least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
                return 0;
        *characterp = c;
        return n;
}

bool utf8_is_valid(struct bytes b)
{
        uint32_t c;

        while (b.n > 0) {
                size_t n = utf8_next(b, &c);

                if (!n)
                        return false;
                b = bytes_of(b.p + n, b.n - n);
        }
        return true;
}
