/* SPDX-License-Identifier: MIT */

#include "bench/wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "bench/meter.h"

#define NAME_MAX_BYTES 64
#define CHECK_BYTES    1024                  /* of a payload at a time */
#define BATCH          100                   /* patterns of one request */
#define PATIENCE_NS    UINT64_C(20000000000) /* for a server that starts */

static const char message_head[] = "*3\r\n$7\r\nmessage\r\n";

static size_t put_name(const struct wire *w, unsigned channel, char *name)
{
        return (size_t)snprintf(name, NAME_MAX_BYTES, "%s%04u%s", w->prefix, channel, w->suffix);
}

static size_t put_head(const struct wire *w, unsigned channel, size_t payload, char *head, size_t size)
{
        char name[NAME_MAX_BYTES];
        size_t n = put_name(w, channel, name);

        return (size_t)snprintf(head, size, "%s$%zu\r\n%s\r\n$%zu\r\n", message_head, n, name, payload);
}

void wire_init(struct wire *w, const char *prefix, const char *suffix, unsigned n_channels, size_t payload)
{
        char head[2 * NAME_MAX_BYTES + 32];

        *w = (struct wire){ .prefix = prefix, .suffix = suffix };
        w->head_size = put_head(w, 0, payload, head, sizeof(head));
        w->heads = meter_alloc(n_channels * w->head_size);
        for (unsigned c = 0; c < n_channels; c++) {
                put_head(w, c, payload, head, sizeof(head));
                memcpy(w->heads + c * w->head_size, head, w->head_size);
        }
        w->rest_size = payload - WIRE_STAMP + 2;
        w->rest = meter_alloc(w->rest_size);
        for (size_t i = 0; i + 2 < w->rest_size; i++)
                w->rest[i] = (char)('a' + i % 23);
        memcpy(w->rest + w->rest_size - 2, "\r\n", 2);
        w->frame_size = w->head_size + WIRE_STAMP + w->rest_size;
}

void wire_deinit(struct wire *w)
{
        free(w->heads);
        free(w->rest);
}

void wire_request(const struct wire *w, char *p, const struct stamp *stamp)
{
        memcpy(p, w->heads + stamp->channel * w->head_size, w->head_size);
        memcpy(p + 8, "PUBLISH", 7);
        memcpy(p + w->head_size, stamp, WIRE_STAMP);
        memcpy(p + w->head_size + WIRE_STAMP, w->rest, w->rest_size);
}

static bool rest_is_intact(const struct wire *w, const char *rest, uint32_t number)
{
        size_t pieces = w->rest_size / CHECK_BYTES;
        size_t at = pieces ? number % pieces * CHECK_BYTES : 0;
        size_t n = w->rest_size - at < 2 * CHECK_BYTES ? w->rest_size - at : CHECK_BYTES;

        return !memcmp(rest + at, w->rest + at, n) && !memcmp(rest + w->rest_size - 2, "\r\n", 2);
}

bool wire_frame(const struct wire *w, const char *p, unsigned channel, struct stamp *stampp)
{
        memcpy(stampp, p + w->head_size, WIRE_STAMP);
        return !memcmp(p, w->heads + channel * w->head_size, w->head_size) && stampp->channel == channel &&
               rest_is_intact(w, p + w->head_size + WIRE_STAMP, stampp->number);
}

/* ------------------------------------------------------------------ connecting */

int wire_connect(const char *path)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        uint64_t deadline = meter_now() + PATIENCE_NS;
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0)
                meter_fail("socket: %s", strerror(errno));
        if (strlen(path) >= sizeof(address.sun_path))
                meter_fail("%s: too long", path);
        memcpy(address.sun_path, path, strlen(path));
        while (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
                if ((errno != ECONNREFUSED && errno != EAGAIN && errno != ENOENT) || meter_now() > deadline)
                        meter_fail("%s: %s", path, strerror(errno));
                usleep(1000);
        }
        return fd;
}

void wire_send(int fd, const char *text, size_t n)
{
        if (send(fd, text, n, MSG_NOSIGNAL) != (ssize_t)n)
                meter_fail("send: %s", strerror(errno));
}

void wire_expect(int fd, const char *text, size_t n)
{
        char *got = meter_alloc(n);
        ssize_t r = recv(fd, got, n, MSG_WAITALL);

        if (r != (ssize_t)n || memcmp(got, text, n))
                meter_fail("expected \"%.80s\", got \"%.*s\"", text, r > 0 ? (int)(r < 80 ? r : 80) : 0, got);
        free(got);
}

void wire_subscribe(const struct wire *w, int fd, unsigned channel)
{
        char name[NAME_MAX_BYTES], text[2 * NAME_MAX_BYTES];
        size_t n = put_name(w, channel, name);
        int size;

        size = snprintf(text, sizeof(text), "*2\r\n$9\r\nSUBSCRIBE\r\n$%zu\r\n%s\r\n", n, name);
        wire_send(fd, text, (size_t)size);
        size = snprintf(text, sizeof(text), "*3\r\n$9\r\nsubscribe\r\n$%zu\r\n%s\r\n:1\r\n", n, name);
        wire_expect(fd, text, (size_t)size);
}

static size_t put_pattern(char *at, const char *verb, const char *format, unsigned i)
{
        const char *mark = strstr(format, "%u");
        char name[NAME_MAX_BYTES];
        int n = snprintf(name, sizeof(name), "%.*s%05u%s", (int)(mark - format), format, i, mark + 2);

        return (size_t)sprintf(at, "$10\r\n%s\r\n$%d\r\n%s\r\n", verb, n, name);
}

void wire_psubscribe(int fd, unsigned n, const char *format)
{
        char *text = meter_alloc(BATCH * 160);
        size_t size;

        for (unsigned i = 0, end; i < n; i = end) {
                end = i + BATCH < n ? i + BATCH : n;
                size = 0;
                for (unsigned k = i; k < end; k++) {
                        size += (size_t)sprintf(text + size, "*2\r\n");
                        size += put_pattern(text + size, "PSUBSCRIBE", format, k);
                }
                wire_send(fd, text, size);
                size = 0;
                for (unsigned k = i; k < end; k++) {
                        size += (size_t)sprintf(text + size, "*3\r\n");
                        size += put_pattern(text + size, "psubscribe", format, k);
                        size += (size_t)sprintf(text + size, ":%u\r\n", k + 1);
                }
                wire_expect(fd, text, size);
        }
        free(text);
}
