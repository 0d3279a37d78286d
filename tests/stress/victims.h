/* SPDX-License-Identifier: MIT */
#pragma once

#include "stress/load.h"
#include "util/prng.h"

/*
 * Clients that come and die all the time beside the measured ones: subscribers to the same channels and
 * patterns, some of which never read, and publishers of noise. They die by close with unread data, in the
 * middle of a request, of a SUBSCRIBE, of a reply, after QUIT, after a protocol error, or by half a close;
 * those that the broker has to close must see the end of file within 5 s.
 */

enum victim_death {
        VICTIM_CLOSE,          /* whatever is unread on either side */
        VICTIM_AT_ONCE,        /* right after the first requests were sent: in the middle of a SUBSCRIBE */
        VICTIM_IN_A_REQUEST,   /* close after half a request */
        VICTIM_SHUTDOWN,       /* both sides, then close */
        VICTIM_SHUTDOWN_WRITE, /* then reads to the end of file */
        VICTIM_QUIT,           /* then reads to the end of file */
        VICTIM_PROTOCOL_ERROR, /* then reads to the end of file */
        _VICTIM_N,
};

struct victim {
        struct conn conn;
        enum victim_death death;
        bool publisher, reads, waits_for_end;
        uint64_t due; /* when it dies; later: when the broker must have closed it, or have sent more */
};

struct victims {
        struct load *load;
        const char *path;
        struct prng prng;
        struct victim *victims;
        unsigned n;
        uint64_t noise_left; /* messages the publishers among them may still send */
        uint64_t kills[_VICTIM_N];
};

void victims_init(struct victims *v, struct load *load, const char *path, unsigned n, uint64_t seed);

/* Kills those that are due, lets others come and act. Never called while load_wait() runs callbacks. */
void victims_turn(struct victims *v, uint64_t now);

uint64_t victims_kills(const struct victims *v);

/* Kills all for good. */
void victims_deinit(struct victims *v);
