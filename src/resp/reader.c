/* SPDX-License-Identifier: MIT */
/*
 * Requests out of a stream of bytes. Sources: the RESP protocol specification of Redis, and what redis-server
 * 7.0.15 answers to each malformed request.
 *
 * A request is "*n\r\n" and n times "$len\r\n" bytes "\r\n", or else a line of words. As in Redis a header line
 * ends with '\r' and any byte, and the two bytes behind a bulk are not looked at. Where Redis would wait for
 * ever, at a NUL in a line, the line is an error.
 *
 * Invariants:
 * - What a request is, or which error it is, depends on its bytes only and not on how they were cut into
 *   inputs. So every limit is checked where the element that breaks it is complete.
 * - While `in` is empty, requests are parsed where they lie in the input. While it is not, what is parsed lies
 *   in `in`, and input is taken only as far as the element (line or bulk) under way is sure to reach.
 * - scanned, bulk_left and args_left stand at the first element of the request at in.start that is not
 * complete. If `unseen` is not set, that element is known to lack bytes.
 */

#include "resp/reader.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>

#include "util/mem.h"

#define READER_LINE_MAX  ((size_t)64 * 1024) /* bytes of a line before its end; Redis: PROTO_INLINE_MAX_SIZE */
#define READER_ARGS_MAX  INT_MAX             /* arguments of a request, as in Redis 7 */
#define READER_ARG_MIN   6                   /* bytes of the shortest argument: "$0\r\n\r\n" */
#define READER_ARGV_MIN  64                  /* views of the first allocation of a scratch */
#define READER_ARGV_KEEP 16384               /* views that a scratch keeps from one request to the next */
#define READER_TRIM_MIN  4096                /* bytes of `in` that are not worth a move to a smaller buffer */

/* How far one request was parsed; counted from its first byte. */
struct scan {
        size_t pos;
        uint64_t bulk; /* as bulk_left of struct reader */
        uint32_t args; /* still to come */
        uint32_t argc; /* 0: an empty request */
};

static int reader_error(const char *text, const char **errorp)
{
        *errorp = text;
        return READER_E_PROTOCOL;
}

/* Told apart by their addresses: Redis has the same text for an argument that is too large and for no number.
 */
static const struct {
        char request[64], bulk[64]; /* of one object, since a compiler may keep equal strings in one place */
} reader_large = { "Protocol error: request is larger than the limit", "Protocol error: invalid bulk length" };

static int reader_error_size(const char **errorp)
{
        return reader_error(reader_large.request, errorp);
}

/* The text names one byte of the client's; it is made in the scratch. Line ends become blanks as in Redis. */
static int reader_error_dollar(struct reader_scratch *scratch, uint8_t got, const char **errorp)
{
        static const char text[] = "Protocol error: expected '$', got ' '";
        struct buffer *b = &scratch->words;

        b->start = b->end = 0;
        buffer_put(b, text, sizeof(text));
        if (got != '\r' && got != '\n' && got != '\0')
                b->data[sizeof(text) - 3] = got;
        return reader_error((const char *)b->data, errorp);
}

/* Room for n views, and for one in any case. */
static int scratch_reserve(struct reader_scratch *scratch, size_t n)
{
        size_t cap = scratch->cap ? scratch->cap : READER_ARGV_MIN;
        struct bytes *argv;

        if (scratch->cap && n <= scratch->cap)
                return 0;
        while (cap < n)
                cap *= 2;
        argv = mem_try(cap * sizeof(*argv));
        if (!argv)
                return READER_E_NOMEM;
        if (scratch->cap)
                memcpy(argv, scratch->argv, scratch->cap * sizeof(*argv));
        free(scratch->argv);
        scratch->argv = argv;
        scratch->cap = cap;
        return 0;
}

bool reader_error_is_of_size(const char *error)
{
        return error == reader_large.request || error == reader_large.bulk;
}

/* One client's huge request shall not cost memory for ever. */
static void scratch_trim(struct reader_scratch *scratch)
{
        if (scratch->cap <= READER_ARGV_KEEP)
                return;
        free(scratch->argv);
        scratch->argv = NULL;
        scratch->cap = 0;
}

void reader_scratch_deinit(struct reader_scratch *scratch)
{
        free(scratch->argv);
        buffer_deinit(&scratch->words);
        *scratch = (struct reader_scratch){ 0 };
}

/* ---------------------------------------------------------------- lines and numbers */

/*
 * Finds the first `end` in view from pos on. *np: bytes before it.
 * Return: 0, READER_E_MORE, READER_E_PROTOCOL: the line is too long.
 */
static int line_find(struct bytes view, size_t pos, uint8_t end, size_t *np)
{
        size_t n = view.n - pos;
        const uint8_t *p = view.p + pos, *found;

        if (!n)
                return READER_E_MORE;
        found = memchr(p, end, n > READER_LINE_MAX ? READER_LINE_MAX + 1 : n);
        if (!found)
                return n > READER_LINE_MAX ? READER_E_PROTOCOL : READER_E_MORE;
        *np = (size_t)(found - p);
        return 0;
}

/* Finds a header line: line_find() and one byte behind the '\r'. */
static int header_find(struct bytes view, size_t pos, size_t *np)
{
        size_t n;
        int k = line_find(view, pos, '\r', &n);

        if (k)
                return k;
        if (view.n - pos < n + 2)
                return READER_E_MORE;
        *np = n;
        return 0;
}

/* Redis's idea of a number: the shortest decimal form of an int64_t and nothing else ("-0", "+1", "01" are
 * none). */
static bool number_parse(struct bytes s, int64_t *np)
{
        bool negative = s.n && s.p[0] == '-';
        uint64_t n = 0, max = (uint64_t)INT64_MAX + negative;
        size_t i = negative;

        if (i == s.n)
                return false;
        if (s.p[i] == '0') {
                *np = 0;
                return s.n == 1;
        }
        for (; i < s.n; i++) {
                unsigned digit = (unsigned)s.p[i] - '0';

                if (digit > 9 || n > (max - digit) / 10)
                        return false;
                n = n * 10 + digit;
        }
        *np = (int64_t)(negative ? -n : n);
        return true;
}

/*
 * The usual number: at most 9 digits, no zero ahead, its line's two end bytes in sight. One digit or two cost
 * no branch that depends on which, because lengths of payloads are unpredictable there. Return: the first byte
 * behind the line; NULL: anything else, look closer.
 */
static inline const uint8_t *number_fast(const uint8_t *p, const uint8_t *end, uint32_t *np)
{
        const uint8_t *first = p, *stop;
        uint32_t n, digit, two;

        if (end - p < 4 || (n = (uint32_t)*p - '0') - 1 > 8)
                return NULL;
        digit = (uint32_t)p[1] - '0';
        two = digit <= 9;
        n += two * (n * 9 + digit);
        p += 1 + two;
        if (*p != '\r') {
                stop = end - first > 9 ? first + 9 : end;
                while (two && p < stop && (digit = (uint32_t)*p - '0') <= 9) {
                        n = n * 10 + digit;
                        p++;
                }
                if (end - p < 2 || *p != '\r')
                        return NULL;
        }
        *np = n;
        return p + 2;
}

/* ---------------------------------------------------------------- multibulk */

/* "*n" in any form. *np: n, 0 where it is negative. *pos moves behind the line. */
static int multibulk_count(struct bytes view, size_t *pos, uint32_t *np, const char **errorp)
{
        size_t n;
        int64_t count;
        int k = header_find(view, *pos, &n);

        if (k == READER_E_PROTOCOL)
                return reader_error("Protocol error: too big mbulk count string", errorp);
        if (k)
                return k;
        if (!number_parse(bytes_of(view.p + *pos + 1, n - 1), &count) || count > READER_ARGS_MAX)
                return reader_error("Protocol error: invalid multibulk length", errorp);
        *np = count < 0 ? 0 : (uint32_t)count;
        *pos += n + 2;
        return 0;
}

/* "$len" in any form. *pos moves behind the line. */
static int multibulk_length(struct reader_scratch *scratch, struct bytes view, size_t *pos, uint64_t *lenp,
                            const char **errorp)
{
        size_t n;
        int64_t len;
        int k = header_find(view, *pos, &n);

        if (k == READER_E_PROTOCOL)
                return reader_error("Protocol error: too big bulk count string", errorp);
        if (k)
                return k;
        if (view.p[*pos] != '$')
                return reader_error_dollar(scratch, view.p[*pos], errorp);
        if (!number_parse(bytes_of(view.p + *pos + 1, n - 1), &len) || len < 0)
                return reader_error("Protocol error: invalid bulk length", errorp);
        *lenp = (uint64_t)len;
        *pos += n + 2;
        return 0;
}

/* Parses the "*n" line. A request that cannot fit in any case is refused at once. */
static inline int multibulk_begin(struct scan *scan, const struct reader_limits *limits, struct bytes view,
                                  const char **errorp)
{
        const uint8_t *p = number_fast(view.p + 1, view.p + view.n, &scan->argc);
        size_t pos = p ? (size_t)(p - view.p) : 0;
        int k;

        if (!p && (k = multibulk_count(view, &pos, &scan->argc, errorp)))
                return k;
        if (scan->argc && pos + (uint64_t)scan->argc * READER_ARG_MIN > limits->request_max)
                return reader_error_size(errorp);
        scan->pos = pos;
        scan->args = scan->argc;
        return 0;
}

/*
 * The arguments that are whole in start..stop and have their usual form, up to the first that is not. This is
 * the path of a burst of small requests.
 */
static inline void multibulk_fast(struct scan *scan, const uint8_t *start, const uint8_t *stop,
                                  uint64_t bulk_max, struct bytes *argv)
{
        const uint8_t *p = start + scan->pos, *data;
        uint32_t args = scan->args, n;

        for (; args; args--) {
                if (stop - p < READER_ARG_MIN || *p != '$')
                        break;
                data = number_fast(p + 1, stop, &n);
                if (!data || n > bulk_max || (size_t)(stop - data) < (size_t)n + 2)
                        break;
                *argv++ = bytes_of(data, n);
                p = data + n + 2;
        }
        scan->pos = (size_t)(p - start);
        scan->args = args;
}

/*
 * Continues anywhere behind the "*n" line, with every form and every error. argv: where the views of the
 * arguments to come are written; NULL: nowhere. Return: 0: complete, READER_E_MORE: scan stands at what is
 * missing, READER_E_PROTOCOL.
 */
static int multibulk_args(struct scan *scan, const struct reader_limits *limits, struct reader_scratch *scratch,
                          struct bytes view, struct bytes *argv, const char **errorp)
{
        for (; scan->args; scan->args--) {
                if (!scan->bulk) {
                        uint64_t len;
                        int k = multibulk_length(scratch, view, &scan->pos, &len, errorp);

                        if (k)
                                return k;
                        if (len > limits->bulk_max)
                                return reader_error(reader_large.bulk, errorp);
                        scan->bulk = len + 2;
                        if (scan->pos > limits->request_max || scan->bulk > limits->request_max - scan->pos)
                                return reader_error_size(errorp);
                }
                if (view.n - scan->pos < scan->bulk)
                        return READER_E_MORE;
                if (argv)
                        *argv++ = bytes_of(view.p + scan->pos, (size_t)scan->bulk - 2);
                scan->pos += (size_t)scan->bulk;
                scan->bulk = 0;
        }
        return 0;
}

/*
 * Parses a request from its first byte on. The room for the views is reserved by what can be complete in view,
 * not by what the client declares.
 */
static int multibulk_parse(struct scan *scan, const struct reader_limits *limits,
                           struct reader_scratch *scratch, struct bytes view, const char **errorp)
{
        size_t n = view.n < limits->request_max ? view.n : (size_t)limits->request_max;
        size_t most;
        int k = multibulk_begin(scan, limits, view, errorp);

        if (k)
                return k;
        if (scan->argc > scratch->cap) {
                most = (view.n - scan->pos) / READER_ARG_MIN;
                if (scratch_reserve(scratch, most < scan->argc ? most : scan->argc))
                        return READER_E_NOMEM;
        }
        multibulk_fast(scan, view.p, view.p + n, limits->bulk_max, scratch->argv);
        if (!scan->args)
                return 0;
        return multibulk_args(scan, limits, scratch, view, scratch->argv + (scan->argc - scan->args), errorp);
}

/* ---------------------------------------------------------------- inline */

static bool inline_blank(uint8_t c)
{
        return c == ' ' || (c >= '\t' && c <= '\r');
}

static int inline_hex(uint8_t c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        c |= 0x20;
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* What "\c" means between double quotes. */
static uint8_t inline_escape(uint8_t c)
{
        switch (c) {
        case 'n':
                return '\n';
        case 'r':
                return '\r';
        case 't':
                return '\t';
        case 'b':
                return '\b';
        case 'a':
                return '\a';
        default:
                return c;
        }
}

/*
 * Unquotes the rest of a word part that began with `quote`, at s.p + *ip, to *outp; both advance.
 * Return: whether the part is closed, and by a quote that a blank or the line's end follows.
 */
static bool inline_quoted(struct bytes s, size_t *ip, uint8_t quote, uint8_t **outp)
{
        size_t i = *ip;
        uint8_t *out = *outp;

        for (; i < s.n && s.p[i] != quote; i++) {
                if (s.p[i] != '\\' || i + 1 == s.n) {
                        *out++ = s.p[i];
                } else if (quote == '\'') {
                        if (s.p[i + 1] == '\'')
                                i++;
                        *out++ = s.p[i];
                } else if (s.n - i > 3 && s.p[i + 1] == 'x' && inline_hex(s.p[i + 2]) >= 0 &&
                           inline_hex(s.p[i + 3]) >= 0) {
                        *out++ = (uint8_t)(inline_hex(s.p[i + 2]) << 4 | inline_hex(s.p[i + 3]));
                        i += 3;
                } else {
                        *out++ = inline_escape(s.p[++i]);
                }
        }
        *ip = i + 1;
        *outp = out;
        return i < s.n && (i + 1 == s.n || inline_blank(s.p[i + 1]));
}

/* One word of a line, at s.p + *ip. Return: false: quotes are unbalanced. */
static bool inline_word(struct bytes s, size_t *ip, uint8_t **outp)
{
        size_t i = *ip;
        uint8_t c;

        while (i < s.n) {
                c = s.p[i++];
                if (c == '"' || c == '\'') {
                        *ip = i;
                        return inline_quoted(s, ip, c, outp);
                }
                if (c == ' ' || c == '\t' || c == '\r') /* but not \v and \f: they only part words */
                        break;
                *(*outp)++ = c;
        }
        *ip = i;
        return true;
}

/*
 * Splits a line into words, which are never longer than the line. The rules are those of redis-cli and
 * redis.conf. Return: 0, READER_E_PROTOCOL, READER_E_NOMEM.
 */
static int inline_split(struct reader_scratch *scratch, struct bytes s, uint32_t *argcp, const char **errorp)
{
        struct buffer *words = &scratch->words;
        uint32_t argc = 0;
        uint8_t *out;

        words->start = words->end = 0;
        if (buffer_reserve(words, s.n))
                return READER_E_NOMEM;
        out = words->data;
        for (size_t i = 0;;) {
                uint8_t *word = out;

                while (i < s.n && inline_blank(s.p[i]))
                        i++;
                if (i == s.n)
                        break;
                if (!inline_word(s, &i, &out))
                        return reader_error("Protocol error: unbalanced quotes in request", errorp);
                if (scratch_reserve(scratch, argc + 1))
                        return READER_E_NOMEM;
                scratch->argv[argc++] = bytes_of(word, (size_t)(out - word));
        }
        *argcp = argc;
        return 0;
}

static int inline_parse(struct scan *scan, const struct reader_limits *limits, struct reader_scratch *scratch,
                        struct bytes view, const char **errorp)
{
        size_t n, size;
        int k = line_find(view, 0, '\n', &n);

        if (k == READER_E_PROTOCOL)
                return reader_error("Protocol error: too big inline request", errorp);
        if (k)
                return k;
        size = n + 1; /* a '\r' before the end is a blank as any other */
        if (size > limits->request_max)
                return reader_error_size(errorp);
        if (n && memchr(view.p, '\0', n))
                return reader_error("Protocol error: NUL in inline request", errorp);
        k = n ? inline_split(scratch, bytes_of(view.p, n), &scan->argc, errorp) : 0;
        if (!k)
                scan->pos = size;
        return k;
}

/* ---------------------------------------------------------------- requests */

/* Parses one request from its first byte on; view is not empty and scan is zero. */
static int request_parse(struct scan *scan, const struct reader_limits *limits, struct reader_scratch *scratch,
                         struct bytes view, const char **errorp)
{
        if (view.p[0] == '*')
                return multibulk_parse(scan, limits, scratch, view, errorp);
        return inline_parse(scan, limits, scratch, view, errorp);
}

static void reader_set(struct reader *r, const struct scan *scan)
{
        r->scanned = scan->pos;
        r->bulk_left = scan->bulk;
        r->args_left = scan->args;
}

/* Forgets the request that was returned from `in`: its views are not needed any more. */
static inline void reader_settle(struct reader *r)
{
        if (!r->from_in)
                return;
        buffer_consume(&r->in, r->scanned);
        r->from_in = false;
        reader_set(r, &(struct scan){ 0 });
}

/*
 * Parses the request at in.start as far as it goes. One that was cut is first scanned to its end without views,
 * because they would not outlive a growth of the buffer, and then parsed once as a whole.
 */
static int kept_parse(struct reader *r, struct reader_scratch *scratch, const struct reader_limits *limits,
                      struct scan *scan, const char **errorp)
{
        struct bytes view = buffer_view(&r->in);
        int k;

        if (r->args_left) {
                *scan = (struct scan){ .pos = r->scanned, .bulk = r->bulk_left, .args = r->args_left };
                k = multibulk_args(scan, limits, scratch, view, NULL, errorp);
                if (k) {
                        reader_set(r, scan);
                        return k;
                }
        }
        *scan = (struct scan){ 0 };
        k = request_parse(scan, limits, scratch, view, errorp);
        reader_set(r, scan);
        return k;
}

/*
 * How many bytes the element under way is sure to need from input; not 0 for an input that is not empty.
 * *donep: whether they complete it (or make a line too long).
 */
static size_t kept_lacks(const struct reader *r, struct bytes input, bool *donep)
{
        struct bytes kept = buffer_view(&r->in);
        bool header = kept.p[0] == '*';
        size_t have = kept.n - r->scanned, want;
        const uint8_t *end = NULL;

        if (r->bulk_left) {
                want = r->bulk_left - have;
        } else if (header && have && kept.p[kept.n - 1] == '\r') {
                want = 1;
        } else {
                want = READER_LINE_MAX + 1 - have;
                end = memchr(input.p, header ? '\r' : '\n', want < input.n ? want : input.n);
                if (end)
                        want = (size_t)(end - input.p) + 1 + header;
        }
        *donep = want <= input.n;
        return *donep ? want : input.n;
}

/* Moves what kept_lacks() says from input to `in`. Return: 0, READER_E_MORE, READER_E_NOMEM. */
static int kept_fill(struct reader *r, struct bytes *input)
{
        bool done;
        size_t n;

        if (!input->n)
                return READER_E_MORE;
        n = kept_lacks(r, *input, &done);
        if (buffer_append(&r->in, input->p, n))
                return READER_E_NOMEM;
        input->p += n;
        input->n -= n;
        return done ? 0 : READER_E_MORE;
}

/* Completes and parses the request at in.start. Return: as reader_next(); an empty request gives 0 as well. */
static int kept_next(struct reader *r, struct reader_scratch *scratch, const struct reader_limits *limits,
                     struct bytes *input, struct scan *scan, const char **errorp)
{
        int k;

        for (;;) {
                if (!r->unseen) {
                        k = kept_fill(r, input);
                        if (k)
                                return k;
                }
                k = kept_parse(r, scratch, limits, scan, errorp);
                if (k != READER_E_MORE)
                        return k;
                r->unseen = false;
        }
}

/* Keeps the start of a request that the input does not complete. */
static int reader_keep(struct reader *r, const struct scan *scan, struct bytes *input)
{
        if (buffer_append(&r->in, input->p, input->n))
                return READER_E_NOMEM;
        reader_set(r, scan);
        r->unseen = false;
        *input = bytes_of(input->p + input->n, 0);
        return READER_E_MORE;
}

int reader_next(struct reader *r, struct reader_scratch *scratch, const struct reader_limits *limits,
                struct bytes *input, struct request *request, const char **errorp)
{
        struct scan scan;
        int k;

        reader_settle(r);
        scratch_trim(scratch);
        while (buffer_size(&r->in)) {
                k = kept_next(r, scratch, limits, input, &scan, errorp);
                if (k)
                        return k;
                r->from_in = true;
                if (scan.argc) {
                        *request = (struct request){ scratch->argv, scan.argc, scan.pos };
                        return 0;
                }
                reader_settle(r);
        }
        while (input->n) {
                scan = (struct scan){ 0 };
                k = request_parse(&scan, limits, scratch, *input, errorp);
                if (k)
                        return k == READER_E_MORE ? reader_keep(r, &scan, input) : k;
                input->p += scan.pos;
                input->n -= scan.pos;
                if (scan.argc) {
                        *request = (struct request){ scratch->argv, scan.argc, scan.pos };
                        return 0;
                }
        }
        return READER_E_MORE;
}

void reader_unread(struct reader *r, struct bytes *input, const struct request *request)
{
        if (r->from_in) {
                assert(request->size == r->scanned);
                r->from_in = false;
                r->unseen = true;
                reader_set(r, &(struct scan){ 0 });
        } else {
                assert(!buffer_size(&r->in));
                input->p -= request->size;
                input->n += request->size;
        }
}

void reader_wipe(struct reader *r, const struct request *request)
{
        if (r->from_in)
                explicit_bzero(r->in.data + r->in.start, r->scanned);
        for (uint32_t i = 0; i < request->argc; i++)
                if (request->argv[i].n) /* views are const, what they show is not */
                        explicit_bzero((void *)(uintptr_t)request->argv[i].p, request->argv[i].n);
}

int reader_hold(struct reader *r, struct bytes input)
{
        reader_settle(r);
        if (!input.n)
                return 0;
        if (buffer_append(&r->in, input.p, input.n))
                return READER_E_NOMEM;
        r->unseen = true;
        return 0;
}

size_t reader_size(const struct reader *r)
{
        return buffer_size(&r->in) - (r->from_in ? r->scanned : 0);
}

bool reader_holds(const struct reader *r)
{
        return reader_size(r) > 0;
}

void reader_trim(struct reader *r)
{
        size_t n;
        uint8_t *data;

        reader_settle(r);
        buffer_trim(&r->in);
        n = buffer_size(&r->in);
        if (r->in.cap <= READER_TRIM_MIN || r->in.cap / 4 < n)
                return;
        data = malloc(n);
        if (!data)
                return;
        memcpy(data, r->in.data + r->in.start, n);
        free(r->in.data);
        r->in = (struct buffer){ .data = data, .end = n, .cap = n };
}

void reader_deinit(struct reader *r)
{
        buffer_deinit(&r->in);
        *r = (struct reader){ 0 };
}
