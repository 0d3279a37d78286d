/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <hiredis.h>

#include "ctl/args.h"
#include "util/buffer.h"
#include "util/bytes.h"

/*
 * The connection to the broker. hiredis forms the requests and reads the answers; the descriptor is handled
 * here, for three things that its blocking context cannot do: abstract sockets, deadlines over a whole
 * exchange, and reading the answer of a broker that refused the rest of a request and closed.
 */
struct link {
        int fd; /* non-blocking; -1: closed */
        redisReader *reader;
        struct buffer out; /* requests not yet written */
        bool deaf;         /* a write failed: nothing more is sent, what comes is still read */
        const char *path;  /* for messages; as the user wrote it */
};

enum {
        _LINK_E_SUCCESS,
        LINK_E_TIMEOUT, /* the deadline passed */
        LINK_E_EOF,     /* the broker closed the connection in order */
        LINK_E_LOST, /* it closed the connection without having read all of our request, or something worse */
        LINK_E_PROTOCOL, /* what came is not RESP2 */
        LINK_E_WATCH,    /* the watched descriptor's reader went away */
};

/*
 * Connects to the socket of the request, or to the first of the default ones that accepts. Says on stderr why
 * not, and what to do about it. The link needs link_close() in any case. Return: CTL_OK, CTL_USAGE (no possible
 * address), CTL_CONNECT, CTL_DENIED, CTL_TIMEOUT.
 */
int link_open(struct link *link, const struct ctl_request *request);
void link_close(struct link *link);

/* Queues a request of n words. Ends the process when memory is out. */
void link_queue(struct link *link, const struct bytes *words, size_t n);

/*
 * Takes an answer from what has been read, without waiting. *replyp is NULL when there is no whole one yet;
 * else freeReplyObject() releases it.
 * Return: 0, LINK_E_PROTOCOL.
 */
int link_parse(struct link *link, redisReply **replyp);

/*
 * Waits until the socket is ready, then writes what is queued and reads what is there. deadline in monotonic
 * ns, or CLOCK_NEVER. watch is the descriptor of a pipe or socket whose reader may go away; -1: none. Return:
 * 0, LINK_E_TIMEOUT, LINK_E_EOF, LINK_E_LOST, LINK_E_WATCH.
 */
int link_pump(struct link *link, uint64_t deadline, int watch);

/* The next answer. Return: as link_parse() and link_pump(). */
int link_receive(struct link *link, uint64_t deadline, redisReply **replyp);

/* Says on stderr what a LINK_E_* means here. Return: enum ctl_exit. */
int link_explain(const struct link *link, const struct ctl_request *request, int e);

/*
 * Connects, sends one request and takes its answer; everything within the time-out of the command line. An
 * error answer is said on stderr. Return: CTL_OK with an answer that is no error; else enum ctl_exit.
 */
int link_ask(struct link *link, const struct ctl_request *request, const struct bytes *words, size_t n,
             redisReply **replyp);

/* One more question on a link that is open, within the same time-out. Return: as link_ask(). */
int link_ask_on(struct link *link, const struct ctl_request *request, const struct bytes *words, size_t n,
                redisReply **replyp);

/* Says what the broker refused. Return: CTL_DENIED for NOPERM, else CTL_FAILED. */
int link_refused(const struct link *link, const redisReply *reply);
