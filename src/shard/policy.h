/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

#include "util/bytes.h"

/*
 * What a reload may change, as shards see it. A policy is made by control, never changes, and is given to every
 * shard by message (MESSAGE_POLICY); control frees it once each has taken a newer one.
 */

struct access; /* pubsub/access.h: who may say what to whom */

/* A setting of the broker, as CONFIG GET shows it. */
struct policy_setting {
        const char *name; /* without capitals */
        const char *value;
};

#define POLICY_SETTINGS_MAX 128

/* Somebody who has a password. The mark changes with the password's hash. */
struct policy_secret {
        const char *name;
        uint64_t mark;
};

/* Sizes of frames and of messages of the mesh have 32 bits, and a frame holds parts of two requests: a message
 * and the pattern that it matched. */
#define POLICY_REQUEST_MAX (UINT64_C(1) << 30)

/* What happens to messages for a subscriber that has too many waiting. */
enum slow_action {
        SLOW_DISCONNECT,
        SLOW_DROP_OLDEST,
        SLOW_DROP_NEWEST,
        SLOW_CONFLATE, /* of each channel the newest stays */
        SLOW_BLOCK,    /* publishers wait */
        _SLOW_ACTION_N,
};

/* The first rule that fits a subscriber's listener and a message's channel says what happens to it; where none
 * fits, the client is disconnected at its bound. */
struct slow_rule {
        enum slow_action action;
        const char *listener;         /* path; NULL: any */
        const struct bytes *channels; /* patterns; 0 of them: any channel */
        unsigned n_channels;
        uint64_t bytes;    /* drop: what may wait for one subscriber; block: what makes publishers wait, until
                              half of it is left */
        uint64_t block_ns; /* block: after this time it is the subscriber that goes */
};

/* 0 stands for no limit, except for request_bytes and output_hard. A user is a uid. */
struct policy_limits {
        uint64_t request_bytes; /* of one request, and of one argument; at most POLICY_REQUEST_MAX */
        uint64_t message_bytes; /* of one message's payload */
        uint64_t query_bytes;   /* of one client's input that waits to be executed */

        uint64_t output_hard;    /* bytes that may wait for one client: it is disconnected */
        uint64_t output_soft;    /* likewise, once it was so for output_soft_ns without a pause */
        uint64_t output_soft_ns; /* */
        uint64_t output_user;    /* bytes that may wait for the clients of one user */
        uint64_t output_all;     /* bytes that may wait for all */
        uint64_t input_user;     /* bytes of requests that wait, and of messages on their way between shards, of
                                    one user's clients */

        uint32_t subscriptions, subscriptions_user; /* of a client; channels, shard channels and patterns */
        uint32_t patterns, patterns_user;           /* of these, patterns */
        uint32_t channels;                          /* with subscribers, in all */

        uint64_t messages, messages_user; /* published per second, by a client */
        uint64_t bytes, bytes_user;       /* payload published per second, by a client */

        uint64_t handshake_ns; /* from the connection to the end of its first request */
        uint64_t request_ns;   /* from a request's first byte to its last */
        uint64_t idle_ns;      /* without a request; for clients without subscriptions */
};

struct policy {
        struct policy_limits limits;
        const struct slow_rule *slow;
        unsigned n_slow;
        const struct access *access;           /* NULL: everybody may do everything but administer */
        const struct policy_setting *settings; /* with different names */
        unsigned n_settings;                   /* at most POLICY_SETTINGS_MAX */
        const struct policy_secret *secrets;   /* by name, as strcmp() orders them */
        unsigned n_secrets;                    /* 0: there are no passwords */
};
