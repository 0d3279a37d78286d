/* SPDX-License-Identifier: MIT */
#pragma once

#include "ctl/link.h"
#include "ctl/top.h"

/*
 * The questions of `brokerctl top` on its one connection: two in each period, of which none is asked again
 * before the last one was answered. What is wrong is kept, not said: a screen may have to go first.
 */

#define TOP_CLIENTS 50 /* of each kind that are asked for */

enum top_question {
        TOP_STATUS,
        TOP_CLIENT_LISTS,
        TOP_CHANNELS,
        TOP_KILL,
};

struct top_session {
        const struct ctl_request *request;
        struct link link;
        enum top_question pending[8]; /* the oldest first; answers come in this order */
        unsigned n_pending;
        uint64_t asked_at, next; /* monotonic ns: of the oldest; of the next questions */
        unsigned n_asked;        /* times */
        unsigned n_looks;

        struct top_look before, look;
        bool has_rates;
        struct top_rates sum, shards[TOP_SHARDS_MAX];
        struct top_clients waiting, publishers;
        struct top_channels channels;
        bool no_clients, no_channels; /* the broker does not know the question */

        uint64_t kill_id;
        char note[128]; /* what came of a kill; "": nothing is to be said */

        int fault;           /* LINK_E_*; 0: none */
        redisReply *refusal; /* an error that was answered; owned */
        bool strange;        /* something else was answered than was asked for */
};

/* Return: CTL_OK; else enum ctl_exit, after saying why. The session needs top_session_close() in any case. */
int top_session_open(struct top_session *s, const struct ctl_request *request);
void top_session_close(struct top_session *s);

/* Asks, if it is time. Return: whether it did. */
bool top_session_ask(struct top_session *s);

/* Asks that a client be ended. */
void top_session_kill(struct top_session *s, uint64_t id);

/* Takes what has come. Return: false: something is wrong. */
bool top_session_take(struct top_session *s);

/* Waits until all is answered, or, with none pending, until the next questions. Return: false: likewise. */
bool top_session_wait(struct top_session *s);

/* Says what was wrong. Return: enum ctl_exit. */
int top_session_explain(struct top_session *s);
