/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/buffer.h"
#include "util/bytes.h"

/*
 * Incremental reader of RESP requests: multibulk ("*2\r\n$4\r\nPING\r\n...") and inline ("PING x\r\n").
 *
 * Requests that lie whole in the input are parsed in place. Only what a request lacks is kept: its unfinished
 * tail is copied to `in`, and later just the bytes that complete it are, so a byte is copied at most once and
 * scanned at most twice. Memory grows with bytes received, never with lengths declared.
 */

/* One per client; zeroed is ready. */
struct reader {
        struct buffer in; /* the start of an unfinished request, or input that was held back */
        /* how far the unfinished request at in.start was scanned, all relative to it */
        size_t scanned; /* bytes */
        uint64_t
                bulk_left; /* size of the bulk that begins there, its "\r\n" included; 0: a line begins there */
        uint32_t args_left; /* arguments still to come; 0: the "*n" line was not seen */
        bool from_in;       /* the request last returned is the first `scanned` bytes of `in` */
        bool unseen;        /* `in` may hold more than the unfinished request that was scanned */
};

/* One per shard: where argument views are laid out. Zeroed is ready. */
struct reader_scratch {
        struct bytes *argv;
        size_t cap;          /* of argv, in views */
        struct buffer words; /* unquoted words of an inline request, or the text of an error */
};

struct reader_limits {
        uint64_t bulk_max;    /* bytes of one argument; Redis: 512 MiB */
        uint64_t request_max; /* bytes of one request in all */
};

struct request {
        struct bytes *argv; /* argc views, valid until the next reader_* call of this reader or scratch */
        uint32_t argc;      /* at least 1 */
        size_t size;        /* bytes that the request took on the wire */
};

enum {
        _READER_E_SUCCESS,
        READER_E_MORE,     /* all of input is taken; the request is not complete yet */
        READER_E_PROTOCOL, /* *errorp is the text behind "-ERR ", valid as argv is; the stream is lost */
        READER_E_NOMEM,    /* the request does not fit into memory; the stream is lost */
};

/*
 * Takes the next request from what was kept and from *input, whose view advances past what was taken. Empty
 * requests ("*0", "*-1", blank inline lines) are skipped.
 * Return: 0, READER_E_MORE, READER_E_PROTOCOL, READER_E_NOMEM.
 */
int reader_next(struct reader *r, struct reader_scratch *scratch, const struct reader_limits *limits,
                struct bytes *input, struct request *request, const char **errorp)
        __attribute__((warn_unused_result));

/* Gives the request that reader_next() just returned back: the next reader_next() returns it again. */
void reader_unread(struct reader *r, struct bytes *input, const struct request *request);

/*
 * Keeps the input that is not parsed yet, for a client that must wait.
 * Return: 0, READER_E_NOMEM.
 */
int reader_hold(struct reader *r, struct bytes input) __attribute__((warn_unused_result));

/* Bytes that are kept and not part of a request that was returned. */
size_t reader_size(const struct reader *r);

/* Overwrites the request that reader_next() just returned wherever the reader, or the input, has it. */
void reader_wipe(struct reader *r, const struct request *request);

/* Whether bytes are kept (a later reader_next() with empty input may return a request). */
bool reader_holds(const struct reader *r);

/* Whether an error of reader_next() is one of size: the request, or an argument, is over the limits. */
bool reader_error_is_of_size(const char *error);

/* Gives memory back that the reader does not need now: all of it, if no bytes are kept. */
void reader_trim(struct reader *r);
void reader_deinit(struct reader *r);
void reader_scratch_deinit(struct reader_scratch *scratch);
