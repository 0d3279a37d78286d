/* SPDX-License-Identifier: MIT */
/* A slow parser of requests, and the driver that compares the reader with it. */

#include "resp/reference.h"

#include <ctype.h>
#include <errno.h>

#define LINE_MAX_BYTES 65536

/* ---------------------------------------------------------------- the parser */

static int reference_fail(struct reference *ref, const char *text)
{
        snprintf(ref->error, sizeof(ref->error), "%s", text);
        return READER_E_PROTOCOL;
}

static void reference_add(struct reference *ref)
{
        ref->argv = realloc(ref->argv, (ref->argc + 1) * sizeof(*ref->argv));
        must(ref->argv);
        ref->argv[ref->argc] = (struct buffer){ 0 };
        must(buffer_reserve(&ref->argv[ref->argc++], 1) == 0);
}

static void reference_put(struct reference *ref, uint8_t c)
{
        buffer_put(&ref->argv[ref->argc - 1], &c, 1);
}

/* A header line from *posp: its text without the type byte. What is no number of the usual form gives false. */
static int reference_header(struct bytes s, size_t *posp, bool *validp, long long *np)
{
        char text[32], again[32];
        size_t i = *posp, n = 0;

        for (; i < s.n && s.p[i] != '\r'; i++) {
                if (i - *posp == LINE_MAX_BYTES)
                        return READER_E_PROTOCOL;
                if (i > *posp && n < sizeof(text) - 1)
                        text[n++] = (char)s.p[i];
        }
        if (i + 1 >= s.n)
                return READER_E_MORE;
        text[n] = '\0';
        errno = 0;
        *np = strtoll(text, NULL, 10);
        snprintf(again, sizeof(again), "%lld", *np);
        *validp = !errno && strlen(again) == n && memcmp(again, text, n) == 0;
        *posp = i + 2;
        return 0;
}

static int reference_multibulk(struct reference *ref, struct bytes s, size_t pos,
                               const struct reader_limits *limits)
{
        size_t start = pos;
        long long n, len;
        bool valid;
        int k = reference_header(s, &pos, &valid, &n);

        if (k == READER_E_PROTOCOL)
                return reference_fail(ref, "Protocol error: too big mbulk count string");
        if (k)
                return k;
        if (!valid || n > 2147483647)
                return reference_fail(ref, "Protocol error: invalid multibulk length");
        if (n > 0 && pos - start + (unsigned long long)n * 6 > limits->request_max)
                return reference_fail(ref, "Protocol error: request is larger than the limit");
        for (; n > 0; n--) {
                uint8_t type = pos < s.n ? s.p[pos] : 0;

                k = reference_header(s, &pos, &valid, &len);
                if (k == READER_E_PROTOCOL)
                        return reference_fail(ref, "Protocol error: too big bulk count string");
                if (k)
                        return k;
                if (type != '$') {
                        reference_fail(ref, "Protocol error: expected '$', got '?'");
                        *strchr(ref->error, '?') = (char)(type && type != '\r' && type != '\n' ? type : ' ');
                        return READER_E_PROTOCOL;
                }
                if (!valid || len < 0 || (unsigned long long)len > limits->bulk_max)
                        return reference_fail(ref, "Protocol error: invalid bulk length");
                if ((__int128)(pos - start) + len + 2 > limits->request_max)
                        return reference_fail(ref, "Protocol error: request is larger than the limit");
                if ((__int128)pos + len + 2 > s.n)
                        return READER_E_MORE;
                reference_add(ref);
                buffer_put(&ref->argv[ref->argc - 1], s.p + pos, (size_t)len);
                pos += (size_t)len + 2;
        }
        ref->end = pos;
        return 0;
}

/* The quoting of redis.conf and redis-cli, as a machine of three states over a terminated string. */
static bool reference_words(struct reference *ref, const char *s)
{
        static const char plain[] = "nrtba", meant[] = "\n\r\t\b\a";
        char state = ' '; /* ' ' between words, 'w' in a word, '"' and '\'' in quotes, '.' behind them */

        for (; *s; s++) {
                unsigned byte;
                int used = 0;

                if (state == '.' && !isspace((unsigned char)*s))
                        return false;
                if (state == '.' || (state == 'w' && strchr(" \t\r\n", *s))) {
                        state = ' ';
                        continue;
                }
                if (state == ' ' && isspace((unsigned char)*s))
                        continue;
                if (state == ' ') {
                        reference_add(ref);
                        state = 'w';
                }
                if (state == 'w' && (*s == '"' || *s == '\'')) {
                        state = *s;
                } else if (state == 'w') {
                        reference_put(ref, (uint8_t)*s);
                } else if (*s == state) {
                        state = '.';
                } else if (state == '\'' && s[0] == '\\' && s[1] == '\'') {
                        reference_put(ref, '\'');
                        s++;
                } else if (state == '"' && s[0] == '\\' && s[1] == 'x' && isxdigit((unsigned char)s[2]) &&
                           isxdigit((unsigned char)s[3]) && sscanf(s + 2, "%2x%n", &byte, &used) == 1) {
                        must(used == 2);
                        reference_put(ref, (uint8_t)byte);
                        s += 3;
                } else if (state == '"' && s[0] == '\\' && s[1]) {
                        const char *found = strchr(plain, *++s);

                        reference_put(ref, (uint8_t)(found ? meant[found - plain] : *s));
                } else {
                        reference_put(ref, (uint8_t)*s);
                }
        }
        return state != '"' && state != '\'';
}

static int reference_inline(struct reference *ref, struct bytes s, size_t pos,
                            const struct reader_limits *limits)
{
        size_t n = 0;
        char *line;
        bool fine;

        while (pos + n < s.n && s.p[pos + n] != '\n')
                if (n++ == LINE_MAX_BYTES)
                        return reference_fail(ref, "Protocol error: too big inline request");
        if (pos + n == s.n)
                return READER_E_MORE;
        ref->end = pos + n + 1;
        if (n + 1 > limits->request_max)
                return reference_fail(ref, "Protocol error: request is larger than the limit");
        if (n && s.p[pos + n - 1] == '\r')
                n--;
        line = malloc(n + 1);
        must(line);
        memcpy(line, s.p + pos, n);
        line[n] = '\0';
        if (strlen(line) != n) {
                free(line);
                return reference_fail(ref, "Protocol error: NUL in inline request");
        }
        fine = reference_words(ref, line);
        free(line);
        return fine ? 0 : reference_fail(ref, "Protocol error: unbalanced quotes in request");
}

void reference_next(struct reference *ref, struct bytes s, size_t pos, const struct reader_limits *limits)
{
        for (;;) {
                *ref = (struct reference){ .k = READER_E_MORE, .start = pos };
                if (pos == s.n)
                        return;
                if (s.p[pos] == '*')
                        ref->k = reference_multibulk(ref, s, pos, limits);
                else
                        ref->k = reference_inline(ref, s, pos, limits);
                if (ref->k || ref->argc)
                        return;
                pos = ref->end;
                reference_deinit(ref);
        }
}

void reference_deinit(struct reference *ref)
{
        for (size_t i = 0; i < ref->argc; i++)
                buffer_deinit(&ref->argv[i]);
        free(ref->argv);
        *ref = (struct reference){ 0 };
}

/* ---------------------------------------------------------------- the driver */

uint8_t choices_next(struct choices *c)
{
        if (!c->given.n)
                return (uint8_t)prng_next(&c->prng);
        return c->given.p[c->next++ % c->given.n];
}

/* One run. `got` bytes were fed; the requests before `pos` were returned for good. */
struct drive {
        struct reader reader;
        struct reader_scratch scratch;
        const struct reader_limits *limits;
        struct bytes stream;
        size_t got, pos, n;
};

static void drive_same(const struct reference *ref, const struct request *request)
{
        must(request->argc == ref->argc);
        must(request->size == ref->end - ref->start);
        for (size_t i = 0; i < ref->argc; i++)
                must(bytes_equal(request->argv[i], buffer_view(&ref->argv[i])));
}

/* What is in memory is what was received and not returned, in at most twice that. */
static void drive_memory(const struct drive *d, size_t unparsed)
{
        const struct buffer *in = &d->reader.in;

        must(reader_holds(&d->reader) == (unparsed > 0));
        must(buffer_size(in) <= d->got - d->pos);
        if (!unparsed)
                return;
        must(buffer_size(in) >= unparsed);
}

/*
 * Asks for the next request, and compares. After unread, what comes must be the same again, from where it lies
 * or from what was held. Return: as reader_next().
 */
static int drive_next(struct drive *d, struct bytes *input, uint8_t choice)
{
        struct bytes received = bytes_of(d->stream.p, d->got);
        struct reference ref;
        struct request request;
        const char *error = NULL;
        int k = reader_next(&d->reader, &d->scratch, d->limits, input, &request, &error);

        reference_next(&ref, received, d->pos, d->limits);
        must(k == ref.k);
        if (k == 0)
                drive_same(&ref, &request);
        if (k == 0 && choice & 1) {
                reader_unread(&d->reader, input, &request);
                if (choice & 2) {
                        must(reader_hold(&d->reader, *input) == 0);
                        must(reader_holds(&d->reader));
                        *input = bytes_of(NULL, 0);
                }
                if (choice & 4)
                        reader_trim(&d->reader);
                must(reader_next(&d->reader, &d->scratch, d->limits, input, &request, &error) == 0);
                drive_same(&ref, &request);
        }
        if (k == 0 && choice & 8) {
                must(reader_hold(&d->reader, *input) == 0);
                must(reader_holds(&d->reader) == (d->got > ref.end));
                *input = bytes_of(NULL, 0);
        }
        if (k == READER_E_PROTOCOL)
                must(strcmp(error, ref.error) == 0);
        if (k == READER_E_MORE) {
                must(input->n == 0);
                drive_memory(d, d->got - ref.start);
        }
        d->pos = k ? d->pos : ref.end;
        d->n += k == 0;
        reference_deinit(&ref);
        return k;
}

/* Feeds the next n bytes, in memory of their own that ends where they end. Return: whether the stream is lost.
 */
static bool drive_feed(struct drive *d, size_t n, struct choices *choices)
{
        uint8_t *piece = malloc(n ? n : 1);
        struct bytes input = bytes_of(piece, n);
        int k;

        must(piece);
        memcpy(piece, d->stream.p + d->got, n);
        d->got += n;
        if (choices && choices_next(choices) % 16 == 0) {
                must(reader_hold(&d->reader, input) == 0);
                input = bytes_of(NULL, 0);
        }
        do
                k = drive_next(d, &input, choices ? choices_next(choices) & choices_next(choices) : 0);
        while (!k);
        if (choices && choices_next(choices) % 4 == 0)
                reader_trim(&d->reader);
        free(piece);
        return k == READER_E_PROTOCOL;
}

static size_t drive_finish(struct drive *d)
{
        bool kept = reader_holds(&d->reader);

        reader_trim(&d->reader);
        if (!kept)
                must(!d->reader.in.data);
        reader_deinit(&d->reader);
        reader_scratch_deinit(&d->scratch);
        return d->n;
}

size_t reference_drive(struct bytes stream, const struct reader_limits *limits, struct choices *choices)
{
        struct drive d = { .limits = limits, .stream = stream };
        size_t most = (size_t)1 << choices_next(choices) % 10;

        while (d.got < stream.n) {
                size_t n = (choices_next(choices) | (size_t)choices_next(choices) << 8) % most + 1;

                if (drive_feed(&d, n < stream.n - d.got ? n : stream.n - d.got, choices))
                        break;
        }
        return drive_finish(&d);
}

size_t reference_cut(struct bytes stream, const struct reader_limits *limits, const size_t *cuts, size_t n)
{
        struct drive d = { .limits = limits, .stream = stream };

        for (size_t i = 0; i <= n; i++)
                if (drive_feed(&d, (i < n ? cuts[i] : stream.n) - d.got, NULL))
                        break;
        return drive_finish(&d);
}
