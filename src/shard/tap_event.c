/* SPDX-License-Identifier: MIT */

#include "shard/tap_event.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "shard/client.h"
#include "shard/command.h"
#include "util/mem.h"

#define EVENT_REDACTED "(redacted)"
#define EVENT_FIELDS   10

static void event_time(char text[32])
{
        struct timespec now;
        size_t n;

        clock_gettime(CLOCK_REALTIME, &now);
        n = writer_digits((uint8_t *)text, (uint64_t)now.tv_sec);
        writer_digits((uint8_t *)text + n, 1000000 + (uint64_t)now.tv_nsec / 1000);
        text[n] = '.'; /* in place of the 1, which makes them six */
        text[n + 7] = 0;
}

/* ------------------------------------------------------------------ BROKER TAP */

/* Bytes of a frame without those of the name, the channel and the payload, at most. */
#define EVENT_FRAME 512

static uint8_t *event_put(uint8_t *p, const void *bytes, size_t n)
{
        if (n)
                memcpy(p, bytes, n);
        return p + n;
}

/* The name of a field, of that size. */
#define EVENT_NAME(_p, _size, _name)                                                                           \
        event_put(_p, "$" #_size "\r\n" _name "\r\n", sizeof("$" #_size "\r\n" _name "\r\n") - 1)

static uint8_t *event_integer(uint8_t *p, char type, uint64_t n)
{
        *p++ = (uint8_t)type;
        p += writer_digits(p, n);
        return event_put(p, "\r\n", 2);
}

static uint8_t *event_bulk(uint8_t *p, struct bytes value)
{
        p = event_integer(p, '$', value.n);
        p = event_put(p, value.p, value.n);
        return event_put(p, "\r\n", 2);
}

void tap_event_head(struct buffer *b, enum writer_proto proto)
{
        writer_push(b, proto, 2);
        writer_bulk_str(b, "tap");
        writer_map(b, proto, EVENT_FIELDS);
}

void tap_event_message(struct buffer *b, const struct client *c, const struct request *request,
                       uint64_t receivers, uint32_t size)
{
        struct bytes name = bytes_str(c->name ? c->name : ""), channel = request->argv[1];
        struct bytes payload = request->argv[2],
                     shown = bytes_of(payload.p, payload.n < size ? payload.n : size);
        bool shard = bytes_is(request->argv[0], "spublish");
        char text[32];
        uint8_t *p;

        event_time(text);
        if (buffer_reserve(b, EVENT_FRAME + name.n + channel.n + shown.n))
                mem_fail();
        p = b->data + b->end;
        p = event_bulk(EVENT_NAME(p, 4, "time"), bytes_str(text));
        p = event_integer(EVENT_NAME(p, 2, "id"), ':', c->id);
        p = event_integer(EVENT_NAME(p, 3, "uid"), ':', c->uid);
        p = event_integer(EVENT_NAME(p, 3, "pid"), ':', (uint64_t)c->pid);
        p = event_bulk(EVENT_NAME(p, 4, "name"), name);
        p = event_bulk(EVENT_NAME(p, 7, "command"), bytes_str(shard ? "spublish" : "publish"));
        p = event_bulk(EVENT_NAME(p, 7, "channel"), channel);
        p = event_integer(EVENT_NAME(p, 4, "size"), ':', payload.n);
        p = event_integer(EVENT_NAME(p, 9, "receivers"), ':', receivers);
        p = event_bulk(EVENT_NAME(p, 7, "payload"), shown);
        b->end = (size_t)(p - b->data);
}

void tap_event_skipped(struct buffer *b, enum writer_proto proto, uint64_t n)
{
        writer_push(b, proto, 2);
        writer_bulk_str(b, "tap-skipped");
        writer_integer(b, (int64_t)n);
}

/* ------------------------------------------------------------------ MONITOR */

/* As Redis writes bytes between quotes. */
static void line_put(struct buffer *b, struct bytes text)
{
        static const char from[] = "\n\r\t\a\b\\\"", to[] = "nrtab\\\"";

        buffer_put(b, " \"", 2);
        for (size_t i = 0; i < text.n; i++) {
                uint8_t c = text.p[i];
                const char *special = c ? strchr(from, c) : NULL;

                if (special)
                        buffer_put(b, (char[]){ '\\', to[special - from] }, 2);
                else if (c >= 0x20 && c < 0x7f)
                        buffer_put(b, &c, 1);
                else
                        buffer_printf(b, "\\x%02x", c);
        }
        buffer_put(b, "\"", 1);
}

static void line_begin(struct buffer *b, const char *path)
{
        char text[32];

        event_time(text);
        buffer_printf(b, "+%s [0 unix:", text);
        for (const char *p = path; *p; p++)
                buffer_put(b, (unsigned char)*p < 0x20 ? "?" : p, 1); /* a line stays one */
        buffer_put(b, "]", 1);
}

/* The broker may have overwritten what holds a password. */
static bool line_was_wiped(struct bytes argument)
{
        return argument.n && !argument.p[0];
}

/* The first argument that is not shown, and the one behind the last. */
static void line_find_secret(const struct request *request, enum tap_secret secret, uint32_t *beginp,
                             uint32_t *endp)
{
        *beginp = *endp = request->argc;
        if (secret == TAP_SECRET_AUTH)
                *beginp = 1;
        for (uint32_t i = 2; secret == TAP_SECRET_HELLO && i < request->argc; i++) {
                if (!bytes_is(request->argv[i], "auth"))
                        continue;
                *beginp = i + 1;
                *endp = i + 3;
                return;
        }
}

void tap_event_command(struct buffer *b, const struct client *c, const struct request *request,
                       enum tap_secret secret)
{
        static const char *const names[] = { "", "AUTH", "HELLO" };
        uint32_t begin, end;

        line_find_secret(request, secret, &begin, &end);
        line_begin(b, c->path);
        for (uint32_t i = 0; i < request->argc; i++) {
                struct bytes argument = request->argv[i];

                if (secret && line_was_wiped(argument))
                        argument = bytes_str(i ? EVENT_REDACTED : names[secret]);
                else if (i >= begin && i < end)
                        argument = BYTES_LITERAL(EVENT_REDACTED);
                line_put(b, argument);
        }
        buffer_put(b, "\r\n", 2);
}

void tap_event_skipped_line(struct buffer *b, const char *path, uint64_t n)
{
        char text[24];

        snprintf(text, sizeof(text), "%" PRIu64, n);
        line_begin(b, path);
        line_put(b, BYTES_LITERAL("(skipped)"));
        line_put(b, bytes_str(text));
        buffer_put(b, "\r\n", 2);
}

bool tap_event_hides(const struct command *command, const struct command *parent)
{
        static const struct {
                const char *parent, *name; /* name NULL: all but its help */
        } hidden[] = {
                { "acl", "deluser" },  { "acl", "getuser" },    { "acl", "list" },
                { "acl", "load" },     { "acl", "log" },        { "acl", "save" },
                { "acl", "setuser" },  { "acl", "users" },      { "client", "no-evict" },
                { "client", "pause" }, { "client", "unblock" }, { "client", "unpause" },
                { "latency", NULL },   { "slowlog", NULL },
        };

        if (command->flags & COMMAND_OPEN)
                return false;
        if ((command->flags | (parent ? parent->flags : 0)) & (COMMAND_ADMIN | COMMAND_OTHERS))
                return true;
        for (size_t i = 0; parent && i < sizeof(hidden) / sizeof(*hidden); i++)
                if (!strcmp(parent->name, hidden[i].parent) &&
                    (!hidden[i].name || !strcmp(command->name, hidden[i].name)))
                        return true;
        return false;
}
