/* SPDX-License-Identifier: MIT */

#include "ctl/json.h"

#include <assert.h>
#include <inttypes.h>

#include "util/utf8.h"

static void json_quote(FILE *out, struct bytes b)
{
        putc('"', out);
        for (size_t i = 0; i < b.n; i++) {
                uint8_t c = b.p[i];

                if (c == '"' || c == '\\')
                        fprintf(out, "\\%c", c);
                else if (c < 0x20 || c == 0x7f)
                        fprintf(out, "\\u%04x", c);
                else
                        putc(c, out);
        }
        putc('"', out);
}

/* What comes before a value: a comma behind the last one, and the name. */
static void json_member(struct json *json, const char *name)
{
        bool *first = &json->first[json->depth - 1];

        assert((name != NULL) == (json->close[json->depth - 1] == '}'));
        if (!*first)
                putc(',', json->out);
        *first = false;
        if (!name)
                return;
        json_quote(json->out, bytes_str(name));
        putc(':', json->out);
}

static void json_open(struct json *json, char open, char close)
{
        assert(json->depth < JSON_DEPTH);
        putc(open, json->out);
        json->first[json->depth] = true;
        json->close[json->depth++] = close;
}

void json_begin(struct json *json, FILE *out, const char *schema)
{
        *json = (struct json){ .out = out };
        json_open(json, '{', '}');
        json_string(json, "schema", schema);
}

void json_end(struct json *json)
{
        assert(json->depth == 1);
        json_close(json);
        putc('\n', json->out);
}

void json_object(struct json *json, const char *name)
{
        json_member(json, name);
        json_open(json, '{', '}');
}

void json_list(struct json *json, const char *name)
{
        json_member(json, name);
        json_open(json, '[', ']');
}

void json_close(struct json *json)
{
        putc(json->close[--json->depth], json->out);
}

void json_number(struct json *json, const char *name, int64_t n)
{
        json_member(json, name);
        fprintf(json->out, "%" PRId64, n);
}

void json_unsigned(struct json *json, const char *name, uint64_t n)
{
        json_member(json, name);
        fprintf(json->out, "%" PRIu64, n);
}

void json_bool(struct json *json, const char *name, bool b)
{
        json_member(json, name);
        fputs(b ? "true" : "false", json->out);
}

void json_null(struct json *json, const char *name)
{
        json_member(json, name);
        fputs("null", json->out);
}

void json_seconds(struct json *json, const char *name, double seconds)
{
        json_member(json, name);
        fprintf(json->out, "%.6f", seconds);
}

static void json_base64(FILE *out, struct bytes b)
{
        static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

        putc('"', out);
        for (size_t i = 0; i < b.n; i += 3) {
                size_t n = b.n - i < 3 ? b.n - i : 3;
                uint32_t v = (uint32_t)b.p[i] << 16;

                v |= n > 1 ? (uint32_t)b.p[i + 1] << 8 : 0;
                v |= n > 2 ? b.p[i + 2] : 0;
                putc(digits[v >> 18], out);
                putc(digits[v >> 12 & 63], out);
                putc(n > 1 ? digits[v >> 6 & 63] : '=', out);
                putc(n > 2 ? digits[v & 63] : '=', out);
        }
        putc('"', out);
}

void json_bytes(struct json *json, const char *name, struct bytes b)
{
        char other[80];

        if (utf8_is_valid(b)) {
                json_member(json, name);
                json_quote(json->out, b);
                return;
        }
        if (!name) {
                json_object(json, NULL);
                json_member(json, "base64");
                json_base64(json->out, b);
                json_close(json);
                return;
        }
        json_null(json, name);
        snprintf(other, sizeof(other), "%s_base64", name);
        json_member(json, other);
        json_base64(json->out, b);
}

void json_string(struct json *json, const char *name, const char *s)
{
        json_bytes(json, name, bytes_str(s));
}
