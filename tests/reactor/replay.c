/* SPDX-License-Identifier: MIT */

#include "replay.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "reactor/uring.h"

#define REPLAY_BUFFER 64 /* bytes */
#define REPLAY_STAGE  8  /* bytes: nearly every piece of output is a slice of its own, and freed at once */

struct peer replay_peers[REPLAY_PEERS];
unsigned replay_n_peers;

void replay_begin(unsigned entries, unsigned buffers)
{
        struct reactor_options options = { .ring = { .entries = entries,
                                                     .completions = 2 * entries,
                                                     .buffers = buffers,
                                                     .buffer_bytes = REPLAY_BUFFER } };

        replay_n_peers = 0;
        peers_setup(&reactor_uring, options);
        stage_pool_init(&pool, REPLAY_STAGE, 0);
        replay_settle();
}

/* No request of it is left, and its descriptor is closed. The number is taken, so that a second close shows. */
static void replay_on_closed(struct peer *p)
{
        suite_need(p->closed == 1 && p->stream.fd == -1, "closed %d times", p->closed);
        suite_need(!fake_count(FAKE_RECEIVE, p->number) && !fake_count(FAKE_SEND, p->number) &&
                           !fake_count(FAKE_POLL, p->number),
                   "closed before the last completion");
        suite_need(fcntl(p->number, F_GETFD) < 0, "the descriptor is still open");
        suite_need(dup2(f.wake, p->number) == p->number, "dup2");
        memset(p->state, 0xdd, sizeof(p->state)); /* as if it was freed */
}

static void replay_start(struct peer *p)
{
        peer_open(p);
        fcntl(p->far, F_SETFL, O_NONBLOCK);
        p->on_closed = replay_on_closed;
        replay_check();
}

struct peer *replay_add(void)
{
        struct peer *p = &replay_peers[replay_n_peers++];

        ck_assert_uint_le(replay_n_peers, REPLAY_PEERS);
        replay_start(p);
        return p;
}

/* Of one that is closed. */
static void replay_drop(struct peer *p)
{
        suite_need(p->closed == 1, "not closed");
        suite_need(!close(p->number), "the descriptor was closed twice");
        close(p->far);
        buffer_deinit(&p->in);
}

void replay_add_again(struct peer *p)
{
        replay_drop(p);
        replay_start(p);
}

void replay_check(void)
{
        for (unsigned i = 0; i < replay_n_peers; i++) {
                struct peer *p = &replay_peers[i];

                if (p->closed)
                        continue;
                uring_assert_stream(&p->stream);
                suite_need(p->ends <= 1 && p->errors <= 1, "%d ends and %d errors", p->ends, p->errors);
        }
}

int replay_turn(void)
{
        int r = f.ops->wait(f.reactor, 0);

        if (r >= 0)
                replay_check();
        return r;
}

void replay_settle(void)
{
        unsigned quiet = 0;

        for (unsigned i = 0; quiet < 3; i++) {
                int r = replay_turn();

                suite_need(r >= 0 && i < 10000, "no rest after %u turns (%d)", i, r);
                quiet = r || fake_busy() ? 0 : quiet + 1;
        }
}

void replay_pause(struct peer *p, bool paused)
{
        f.ops->pause(f.reactor, &p->stream, paused);
        replay_check();
}

void replay_flush(struct peer *p)
{
        f.ops->flush(f.reactor, &p->stream);
        replay_check();
}

void replay_remove(struct peer *p)
{
        int before = p->closed;

        f.ops->remove(f.reactor, &p->stream);
        suite_need(p->closed == before, "closed outside of wait()");
        replay_check();
}

int replay_submit(void)
{
        int r = f.ops->submit(f.reactor);

        replay_check();
        return r;
}

void replay_feed(struct peer *p, const char *text, bool more)
{
        int buffer = fake_fill(text, strlen(text));

        suite_need(buffer >= 0, "no buffer");
        fake_complete(fake_find(FAKE_RECEIVE, p->number), (int)strlen(text), buffer, more);
}

void replay_say(struct peer *p, const void *bytes, size_t n)
{
        outq_copy(&p->stream.out, &pool, bytes_of(bytes, n));
}

void replay_heard(struct peer *p, const void *bytes, size_t n)
{
        static char got[1 << 16];
        ssize_t r;

        if (!n) {
                suite_need(recv(p->far, got, sizeof(got), 0) <= 0, "more was sent than said");
                return;
        }
        r = recv(p->far, got, sizeof(got), 0);
        suite_need(r == (ssize_t)n, "%zd bytes were sent of %zu", r, n);
        suite_need(!memcmp(got, bytes, n), "other bytes were sent");
}

/* As a kernel answers when everything is cancelled. */
static void replay_answer_all(void)
{
        struct fake_request *q;

        for (unsigned i = 0; (q = fake_nth(i));) {
                if (!q->entered || q->fd == f.wake) {
                        i++;
                } else if (q->kind == FAKE_SEND) {
                        fake_finish_send(q, SIZE_MAX, 0);
                } else if (q->kind == FAKE_CANCEL) {
                        fake_complete(q, 0, -1, false);
                } else {
                        suite_need(q->cancelled, "nobody cancelled a request of a stream that was removed");
                        fake_complete(q, -ECANCELED, -1, false);
                }
        }
}

void replay_end(void)
{
        fake_on_enter(NULL, NULL);
        fake_set_sends((struct fake_sends){ .take = SIZE_MAX });
        for (unsigned i = 0; i < replay_n_peers; i++)
                if (!replay_peers[i].closed)
                        replay_remove(&replay_peers[i]);
        for (int i = 0; i < 3; i++) {
                replay_settle();
                replay_answer_all();
        }
        replay_settle();
        for (unsigned i = 0; i < replay_n_peers; i++)
                replay_drop(&replay_peers[i]);
        peers_teardown();
}
