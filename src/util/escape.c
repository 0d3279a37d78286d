/* SPDX-License-Identifier: MIT */

#include "util/escape.h"

void escape_put(struct buffer *b, struct bytes text, size_t max)
{
        buffer_put(b, "\"", 1);
        for (size_t i = 0; i < text.n && i < max; i++) {
                uint8_t c = text.p[i];

                if (c < 0x20 || c >= 0x7f)
                        buffer_printf(b, "\\x%02x", c);
                else
                        buffer_printf(b, c == '"' || c == '\\' ? "\\%c" : "%c", c);
        }
        buffer_printf(b, text.n > max ? "\"..." : "\"");
}
