/* SPDX-License-Identifier: MIT */
/*
 * Exhaustive model of park, announce, spill and free space.
 *
 * Two or three ports run the turn of a shard: wait, send, unpark, drain, flush, park. One transition is one
 * access to what ports share (ring indices, the spilled flag, inbound, parked, the eventfd), with the private
 * computation up to the next access, in the order of src/mesh/port.c, ring.h and park.h. All interleavings are
 * walked depth first, sequentially consistent: the product's argument that sequential consistency holds for
 * the pair is in park.h, and the litmus program is its check.
 *
 * What clients send arrives at a wait, any number of messages at a time, or never. Shown in every state:
 *
 *  - each message is received once and in order;
 *  - when every port sleeps and no wake is under way, everything that was sent has been received;
 *  - no state is visited again on the same path: with the input finite, every schedule, fair or not, ends, and
 *    so ends in a state of the line before. Nothing spins and nothing is stuck.
 *
 * A model proves nothing that cannot fail: each mutant is the protocol with one mistake in it and has to be
 * caught in at least one of the set-ups.
 *
 *      test-park               the protocol in all set-ups, then every mutant
 *      test-park --mutant N    one mutant; prints how it fails. Exit 1: it was not caught
 *      test-park --list        the mutants
 *      test-park --deep        the protocol in larger set-ups: minutes, and gigabytes
 */

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_THREAD__)
#define THREAD_SANITIZER true
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THREAD_SANITIZER true
#endif
#endif
#ifndef THREAD_SANITIZER
#define THREAD_SANITIZER false
#endif

#define PROCS   3
#define LINKS   2
#define BACKLOG 7

enum mutant {
        NONE,
        ANNOUNCE_BEFORE_TAIL,
        LOOK_BEFORE_ANNOUNCE,
        LOOK_BEFORE_PARK,
        LANDED_NOT_ANNOUNCED,
        ASK_AT_FIRST_SPILL_ONLY,
        ASK_NOT_TAKEN,
        SPACE_NOT_ANNOUNCED,
        NO_ANNOUNCE_IF_NOTHING_LANDED,
        NEW_BYPASSES_BACKLOG,
        BUDGET_LOSES_BIT,
        PARK_IGNORES_KEPT,
        WAKE_OMITTED,
        ASK_AFTER_ANNOUNCE,
        HEAD_BEFORE_READ,
        INBOUND_CLEARED_AFTER_DRAIN,
        PARK_WITHOUT_FLUSH,
        TAIL_BEFORE_RETRY,
        RING_OVERFILLED,
        TAKE_NOT_ATOMIC,
        ANNOUNCE_NOT_ATOMIC,
        MUTANTS,
};

static const char *const mutant_names[MUTANTS] = {
        [NONE] = "the protocol",
        [ANNOUNCE_BEFORE_TAIL] = "announce before the tail is stored",
        [LOOK_BEFORE_ANNOUNCE] = "parked is loaded before the announce",
        [LOOK_BEFORE_PARK] = "inbound is looked at before parked is published",
        [LANDED_NOT_ANNOUNCED] = "a spilled message that lands is not announced again",
        [ASK_AT_FIRST_SPILL_ONLY] = "the spilled flag is set at the first spill only",
        [ASK_NOT_TAKEN] = "the spilled flag is not looked at",
        [SPACE_NOT_ANNOUNCED] = "the spilled flag is taken but space is not announced",
        [NO_ANNOUNCE_IF_NOTHING_LANDED] = "no announce when nothing landed",
        [NEW_BYPASSES_BACKLOG] = "a new message bypasses the backlog",
        [BUDGET_LOSES_BIT] = "a source over its budget loses its bit",
        [PARK_IGNORES_KEPT] = "a port parks with a source over its budget",
        [WAKE_OMITTED] = "who gets the parked flag does not fire",
        [ASK_AFTER_ANNOUNCE] = "the spilled flag is set after the announce",
        [HEAD_BEFORE_READ] = "the head is stored before the slots are read",
        [INBOUND_CLEARED_AFTER_DRAIN] = "inbound is cleared after the drain",
        [PARK_WITHOUT_FLUSH] = "a port parks on space that it has not announced",
        [TAIL_BEFORE_RETRY] = "the tail is stored before the backlog is retried",
        [RING_OVERFILLED] = "the ring takes one message too many",
        [TAKE_NOT_ATOMIC] = "inbound is taken by a load and a store",
        [ANNOUNCE_NOT_ATOMIC] = "the announce is a load and a store",
};

/* The shared access that a port does next. */
enum pc {
        PARK_STORE,
        PARK_LOOK,
        PARK_UNDO,
        SLEEP,
        AWAKE, /* a wait that does not block */
        SEND_HEAD,
        SEND_TAIL,
        UNPARK,
        DRAIN_PEEK,
        DRAIN_TAKE,
        DRAIN_CLEAR, /* mutants only */
        SOURCE_TAIL,
        SOURCE_READ,
        SOURCE_HEAD,
        SOURCE_KEEP,
        SOURCE_ASK,
        SOURCE_TAKE_ASK,
        FLUSH_HEAD,
        FLUSH_TAIL,
        FLUSH_ASK,
        FLUSH_ANNOUNCE,
        FLUSH_ANNOUNCE_STORE, /* mutants only */
        FLUSH_LOOK,
        FLUSH_UNPARK,
        FLUSH_LATE, /* mutants only */
        FIRE,
};

static const char *const pc_names[] = {
        "parked = 1",
        "load inbound (park)",
        "parked = 0 (not parked)",
        "sleep",
        "wait 0",
        "load head (send)",
        "store tail (full)",
        "parked = 0 (awake)",
        "load inbound (drain)",
        "exchange inbound",
        "clear inbound",
        "load tail",
        "read slots",
        "store head",
        "load tail (budget)",
        "load spilled",
        "exchange spilled",
        "load head (retry)",
        "store tail",
        "store spilled",
        "inbound |= me",
        "store inbound",
        "load parked",
        "exchange parked",
        "late store",
        "fire",
};

struct proc {
        uint8_t pc;
        uint8_t parked, inbound, fired; /* shared */
        uint8_t kept, pending;          /* as in struct port */
        uint8_t todo, wakes;            /* what the loops have still to do */
        uint8_t at, left, n, loaded;    /* source or target in hand, its budget, slots in hand, value loaded */
        uint8_t sending;                /* messages to send before this turn goes on */
        uint8_t was_parked;
        uint8_t unsent, spare; /* messages that clients still have; wakes by clients that send nothing */
};

struct link {
        uint8_t tail, head, spilled;         /* shared */
        uint8_t slots[2];                    /* shared, owned as the indices say */
        uint8_t writer_tail, writer_head;    /* of the writer: reserved, and head as seen */
        uint8_t reader_head, reader_tail;    /* of the reader: read, and tail as seen */
        uint8_t sent, received, asked;       /* messages; asked is of a mutant */
        uint8_t n_backlog, backlog[BACKLOG]; /* of the writer */
        uint8_t pad[4];
};

struct state {
        struct proc procs[PROCS];
        struct link links[LINKS];
};

static_assert(sizeof(struct state) % 8 == 0, "states are hashed by words");

struct setup {
        const char *name;
        unsigned procs, capacity, budget;
        struct {
                unsigned from, to, messages;
        } links[LINKS];
        unsigned n_links, spare;
};

static const struct setup setups[] = {
        { "2 producers, 1 consumer, capacity 2", 3, 2, 9, { { 0, 2, 2 }, { 1, 2, 1 } }, 2, 0 },
        { "2 producers, 1 consumer, capacity 1, budget 1", 3, 1, 1, { { 0, 2, 2 }, { 1, 2, 1 } }, 2, 0 },
        { "pair, capacity 1", 2, 1, 9, { { 0, 1, 4 } }, 1, 1 },
        { "pair, capacity 2", 2, 2, 9, { { 0, 1, 5 } }, 1, 1 },
        { "pair, capacity 2, budget 1", 2, 2, 1, { { 0, 1, 5 } }, 1, 1 },
        { "pair both ways, capacity 1", 2, 1, 9, { { 0, 1, 3 }, { 1, 0, 2 } }, 2, 0 },
        { "pair both ways, capacity 2, budget 1", 2, 2, 1, { { 0, 1, 3 }, { 1, 0, 3 } }, 2, 0 },
};

/* More of the same, for --deep. */
static const struct setup deep_setups[] = {
        { "2 producers, 1 consumer, capacity 2", 3, 2, 9, { { 0, 2, 3 }, { 1, 2, 2 } }, 2, 0 },
        { "2 producers, 1 consumer, capacity 2, budget 1", 3, 2, 1, { { 0, 2, 3 }, { 1, 2, 2 } }, 2, 0 },
        { "2 producers, 1 consumer, capacity 1, budget 1", 3, 1, 1, { { 0, 2, 2 }, { 1, 2, 2 } }, 2, 1 },
        { "pair, capacity 1", 2, 1, 9, { { 0, 1, 6 } }, 1, 2 },
        { "pair, capacity 2", 2, 2, 9, { { 0, 1, 7 } }, 1, 2 },
        { "pair, capacity 2, budget 1", 2, 2, 1, { { 0, 1, 7 } }, 1, 2 },
        { "pair both ways, capacity 1", 2, 1, 9, { { 0, 1, 4 }, { 1, 0, 3 } }, 2, 0 },
        { "pair both ways, capacity 2, budget 1", 2, 2, 1, { { 0, 1, 4 }, { 1, 0, 4 } }, 2, 1 },
};

#define N_DEEP_SETUPS (sizeof(deep_setups) / sizeof(*deep_setups))
#define N_SETUPS      (sizeof(setups) / sizeof(*setups))

/* ---------------------------------------------------------------- the protocol */

struct model {
        const struct setup *setup;
        enum mutant mutant;
        const char *violation; /* NULL: none yet */
        struct state s;        /* the state that is being stepped */
        unsigned p;            /* the port that steps */
};

static uint8_t bit(unsigned n)
{
        return (uint8_t)(1u << n);
}

static uint8_t first(uint8_t set)
{
        return (uint8_t)__builtin_ctz(set);
}

static struct link *link_between(struct model *m, unsigned from, unsigned to)
{
        for (unsigned i = 0; i < m->setup->n_links; i++)
                if (m->setup->links[i].from == from && m->setup->links[i].to == to)
                        return &m->s.links[i];
        return NULL;
}

static unsigned target_of(const struct model *m)
{
        for (unsigned i = 0; i < m->setup->n_links; i++)
                if (m->setup->links[i].from == m->p)
                        return m->setup->links[i].to;
        return 0;
}

static bool has_room(const struct model *m, const struct link *l)
{
        unsigned capacity = m->setup->capacity + (m->mutant == RING_OVERFILLED);

        return (unsigned)(l->writer_tail - l->writer_head) < capacity;
}

static void fill(const struct model *m, struct link *l, uint8_t message)
{
        l->slots[l->writer_tail++ % m->setup->capacity] = message;
}

static void go_drain(struct model *m, struct proc *me);
static void go_target(struct model *m, struct proc *me);

static void go_park(struct model *m, struct proc *me)
{
        me->was_parked = me->at = me->left = me->n = me->loaded = 0;
        if (me->kept && m->mutant != PARK_IGNORES_KEPT)
                me->pc = AWAKE;
        else
                me->pc = m->mutant == LOOK_BEFORE_PARK ? PARK_LOOK : PARK_STORE;
}

static void go_flush(struct model *m, struct proc *me)
{
        me->todo = me->pending;
        for (unsigned i = 0; i < m->setup->n_links; i++)
                if (m->setup->links[i].from == m->p && m->s.links[i].n_backlog)
                        me->todo |= bit(m->setup->links[i].to);
        me->wakes = 0;
        go_target(m, me);
}

/* port_send(), as often as the turn has messages */
static void go_send(struct model *m, struct proc *me)
{
        unsigned dst = target_of(m);
        struct link *l = link_between(m, m->p, dst);

        while (me->sending) {
                if (l->n_backlog && m->mutant != NEW_BYPASSES_BACKLOG) {
                        l->backlog[l->n_backlog++] = l->sent++;
                } else if (has_room(m, l)) {
                        fill(m, l, l->sent++);
                } else {
                        me->pc = SEND_HEAD;
                        return;
                }
                me->pending |= bit(dst);
                me->sending--;
        }
        if (me->was_parked)
                me->pc = UNPARK;
        else
                go_drain(m, me);
}

static void spill_one(struct model *m, struct proc *me)
{
        struct link *l = link_between(m, m->p, target_of(m));

        l->backlog[l->n_backlog++] = l->sent++;
        me->pending |= bit(target_of(m));
        me->sending--;
        go_send(m, me);
}

static void go_drain(struct model *m, struct proc *me)
{
        if (m->mutant == PARK_WITHOUT_FLUSH)
                go_flush(m, me); /* and drain after it */
        else
                me->pc = DRAIN_PEEK;
}

static void end_drain(struct model *m, struct proc *me)
{
        me->at = me->left = me->n = 0;
        if (m->mutant == PARK_WITHOUT_FLUSH)
                go_park(m, me);
        else
                go_flush(m, me);
}

static void go_batch(struct model *m, struct proc *me, struct link *l)
{
        unsigned n = (unsigned)(l->reader_tail - l->reader_head);

        me->n = (uint8_t)(n < me->left ? n : me->left);
        me->pc = m->mutant == HEAD_BEFORE_READ ? SOURCE_HEAD : SOURCE_READ;
}

static void note_kept(struct model *m, struct proc *me, struct link *l)
{
        if (l->reader_tail != l->reader_head && m->mutant != BUDGET_LOSES_BIT)
                me->kept |= bit(me->at);
        me->pc = SOURCE_ASK;
}

static void go_source(struct model *m, struct proc *me)
{
        struct link *l = link_between(m, me->at, m->p);

        if (l->reader_tail == l->reader_head)
                me->pc = me->left ? SOURCE_TAIL : SOURCE_KEEP;
        else if (me->left)
                go_batch(m, me, l);
        else
                note_kept(m, me, l);
}

static void next_source(struct model *m, struct proc *me)
{
        while (me->todo) {
                me->at = first(me->todo);
                me->todo &= (uint8_t)~bit(me->at);
                me->left = (uint8_t)m->setup->budget;
                if (link_between(m, me->at, m->p)) {
                        go_source(m, me);
                        return;
                }
        }
        if (m->mutant == INBOUND_CLEARED_AFTER_DRAIN)
                me->pc = DRAIN_CLEAR;
        else
                end_drain(m, me);
}

static void read_batch(struct model *m, struct proc *me, struct link *l)
{
        for (unsigned i = 0; i < me->n; i++) {
                if (l->slots[(l->reader_head + i) % m->setup->capacity] != l->received)
                        m->violation = "a message is lost, duplicated or out of order";
                l->received++;
        }
        if (m->mutant != HEAD_BEFORE_READ) {
                me->pc = SOURCE_HEAD;
                return;
        }
        l->reader_head += me->n;
        me->left -= me->n;
        me->n = 0;
        go_source(m, me);
}

static void store_head(struct model *m, struct proc *me, struct link *l)
{
        l->head = (uint8_t)(l->reader_head + me->n);
        if (m->mutant == HEAD_BEFORE_READ) {
                me->pc = SOURCE_READ;
                return;
        }
        l->reader_head = l->head;
        me->left -= me->n;
        me->n = 0;
        go_source(m, me);
}

static void take(struct model *m, struct proc *me)
{
        me->todo = me->kept | me->inbound;
        me->kept = 0;
        if (m->mutant == TAKE_NOT_ATOMIC) {
                me->pc = DRAIN_CLEAR;
                return;
        }
        if (m->mutant != INBOUND_CLEARED_AFTER_DRAIN)
                me->inbound = 0;
        next_source(m, me);
}

static void clear_inbound(struct model *m, struct proc *me)
{
        me->inbound = 0;
        if (m->mutant == TAKE_NOT_ATOMIC)
                next_source(m, me);
        else
                end_drain(m, me);
}

static void go_fire(struct model *m, struct proc *me)
{
        me->at = me->n = me->loaded = 0;
        if (me->wakes)
                me->pc = FIRE;
        else if (m->mutant == PARK_WITHOUT_FLUSH)
                me->pc = DRAIN_PEEK;
        else
                go_park(m, me);
}

static void go_announce(struct model *m, struct proc *me)
{
        struct link *l = link_between(m, m->p, me->at);

        if (l && m->mutant == NO_ANNOUNCE_IF_NOTHING_LANDED && l->n_backlog && !me->n)
                go_target(m, me);
        else if (l && m->mutant == LANDED_NOT_ANNOUNCED && !l->n_backlog && !(me->pending & bit(me->at)))
                go_target(m, me);
        else
                me->pc = m->mutant == LOOK_BEFORE_ANNOUNCE ? FLUSH_LOOK : FLUSH_ANNOUNCE;
}

static void go_ask(struct model *m, struct proc *me, struct link *l)
{
        bool ask = l->n_backlog && m->mutant != ASK_AFTER_ANNOUNCE;

        if (m->mutant == ASK_AT_FIRST_SPILL_ONLY && l->asked)
                ask = false;
        if (!l->n_backlog)
                l->asked = 0;
        if (ask)
                me->pc = FLUSH_ASK;
        else
                go_announce(m, me);
}

static void go_tail(struct model *m, struct proc *me, struct link *l)
{
        me->n = l->tail != l->writer_tail;
        if (me->n && m->mutant != ANNOUNCE_BEFORE_TAIL && m->mutant != TAIL_BEFORE_RETRY)
                me->pc = FLUSH_TAIL;
        else
                go_ask(m, me, l);
}

/* port_retry() */
static void go_retry(struct model *m, struct proc *me, struct link *l)
{
        while (l->n_backlog && has_room(m, l)) {
                fill(m, l, l->backlog[0]);
                memmove(l->backlog, l->backlog + 1, BACKLOG - 1);
                l->backlog[BACKLOG - 1] = 0;
                l->n_backlog--;
        }
        if (l->n_backlog)
                me->pc = FLUSH_HEAD;
        else
                go_tail(m, me, l);
}

static void go_target(struct model *m, struct proc *me)
{
        struct link *l;

        me->n = me->loaded = 0;
        if (!me->todo) {
                me->pending = 0;
                go_fire(m, me);
                return;
        }
        me->at = first(me->todo);
        me->todo &= (uint8_t)~bit(me->at);
        l = link_between(m, m->p, me->at);
        if (!l) {
                go_announce(m, me);
                return;
        }
        if (m->mutant == TAIL_BEFORE_RETRY)
                l->tail = l->writer_tail;
        go_retry(m, me, l);
}

static void end_target(struct model *m, struct proc *me)
{
        struct link *l = link_between(m, m->p, me->at);
        bool late = l && ((m->mutant == ANNOUNCE_BEFORE_TAIL && l->tail != l->writer_tail) ||
                          (m->mutant == ASK_AFTER_ANNOUNCE && l->n_backlog));

        if (late)
                me->pc = FLUSH_LATE;
        else
                go_target(m, me);
}

static void flush_late(struct model *m, struct proc *me, struct link *l)
{
        if (m->mutant == ANNOUNCE_BEFORE_TAIL)
                l->tail = l->writer_tail;
        else
                l->spilled = 1;
        go_target(m, me);
}

static void retry_head(struct model *m, struct proc *me, struct link *l)
{
        l->writer_head = l->head;
        if (has_room(m, l))
                go_retry(m, me, l);
        else
                go_tail(m, me, l);
}

static void announced(struct model *m, struct proc *me)
{
        if (m->mutant != LOOK_BEFORE_ANNOUNCE)
                me->pc = FLUSH_LOOK;
        else if (me->loaded)
                me->pc = FLUSH_UNPARK;
        else
                end_target(m, me);
}

static void look(struct model *m, struct proc *me, const struct proc *dst)
{
        if (m->mutant == LOOK_BEFORE_ANNOUNCE) {
                me->loaded = dst->parked;
                me->pc = FLUSH_ANNOUNCE;
        } else if (dst->parked) {
                me->pc = FLUSH_UNPARK;
        } else {
                end_target(m, me);
        }
}

/*
 * A wait ends, since the waker was fired or since clients sent something, and brings any number of messages.
 * Return: whether there is a choice of that number.
 */
static bool step_wait(struct model *m, struct proc *me, unsigned choice)
{
        bool blocks = me->pc == SLEEP && !me->fired;
        unsigned messages = choice + blocks;

        if (messages > me->unsent) {
                if (!blocks || !me->spare || messages > me->unsent + 1u)
                        return false;
                messages = 0;
                me->spare--;
        }
        me->was_parked = me->pc == SLEEP;
        me->fired = 0;
        me->unsent -= (uint8_t)messages;
        me->sending = (uint8_t)messages;
        go_send(m, me);
        return true;
}

static void step_park(struct model *m, struct proc *me)
{
        bool reversed = m->mutant == LOOK_BEFORE_PARK;

        switch (me->pc) {
        case PARK_STORE:
                me->parked = 1;
                me->pc = reversed ? SLEEP : PARK_LOOK;
                break;
        case PARK_LOOK:
                if (me->inbound)
                        me->pc = reversed ? AWAKE : PARK_UNDO;
                else
                        me->pc = reversed ? PARK_STORE : SLEEP;
                break;
        case PARK_UNDO:
                me->parked = 0;
                me->pc = AWAKE;
                break;
        case UNPARK:
                me->parked = 0;
                me->was_parked = 0;
                go_drain(m, me);
                break;
        }
}

static void step_drain(struct model *m, struct proc *me)
{
        struct link *l = link_between(m, me->at, m->p);

        switch (me->pc) {
        case DRAIN_PEEK:
                if (me->inbound) {
                        me->pc = DRAIN_TAKE;
                        break;
                }
                me->todo = me->kept;
                me->kept = 0;
                next_source(m, me);
                break;
        case DRAIN_TAKE:
                take(m, me);
                break;
        case DRAIN_CLEAR:
                clear_inbound(m, me);
                break;
        case SOURCE_TAIL:
                l->reader_tail = l->tail;
                if (l->reader_tail == l->reader_head)
                        me->pc = SOURCE_ASK;
                else
                        go_batch(m, me, l);
                break;
        case SOURCE_READ:
                read_batch(m, me, l);
                break;
        case SOURCE_HEAD:
                store_head(m, me, l);
                break;
        case SOURCE_KEEP:
                l->reader_tail = l->tail;
                note_kept(m, me, l);
                break;
        case SOURCE_ASK:
                if (l->spilled && m->mutant != ASK_NOT_TAKEN)
                        me->pc = SOURCE_TAKE_ASK;
                else
                        next_source(m, me);
                break;
        case SOURCE_TAKE_ASK:
                l->spilled = 0;
                if (m->mutant != SPACE_NOT_ANNOUNCED)
                        me->pending |= bit(me->at);
                next_source(m, me);
                break;
        }
}

static void step_flush(struct model *m, struct proc *me)
{
        struct link *l = link_between(m, m->p, me->at);
        struct proc *dst = &m->s.procs[me->at];

        switch (me->pc) {
        case FLUSH_HEAD:
                retry_head(m, me, l);
                break;
        case FLUSH_TAIL:
                l->tail = l->writer_tail;
                go_ask(m, me, l);
                break;
        case FLUSH_ASK:
                l->spilled = 1;
                l->asked = m->mutant == ASK_AT_FIRST_SPILL_ONLY;
                go_announce(m, me);
                break;
        case FLUSH_ANNOUNCE:
                if (m->mutant == ANNOUNCE_NOT_ATOMIC) {
                        me->loaded = dst->inbound;
                        me->pc = FLUSH_ANNOUNCE_STORE;
                        break;
                }
                dst->inbound |= bit(m->p);
                announced(m, me);
                break;
        case FLUSH_ANNOUNCE_STORE:
                dst->inbound = me->loaded | bit(m->p);
                me->loaded = 0;
                announced(m, me);
                break;
        case FLUSH_LOOK:
                look(m, me, dst);
                break;
        case FLUSH_UNPARK:
                if (dst->parked)
                        me->wakes |= bit(me->at);
                dst->parked = 0;
                end_target(m, me);
                break;
        case FLUSH_LATE:
                flush_late(m, me, l);
                break;
        case FIRE:
                m->s.procs[first(me->wakes)].fired |= m->mutant != WAKE_OMITTED;
                me->wakes &= (uint8_t)(me->wakes - 1);
                go_fire(m, me);
                break;
        }
}

static void step_send(struct model *m, struct proc *me)
{
        struct link *l = link_between(m, m->p, target_of(m));

        if (me->pc == SEND_TAIL) {
                l->tail = l->writer_tail;
                spill_one(m, me);
                return;
        }
        l->writer_head = l->head;
        if (has_room(m, l))
                go_send(m, me);
        else
                me->pc = SEND_TAIL;
}

/* Steps port p of m->s. Return: false, it has no such choice. */
static bool step(struct model *m, unsigned p, unsigned choice)
{
        struct proc *me = &m->s.procs[p];

        m->p = p;
        if (me->pc == SLEEP || me->pc == AWAKE)
                return step_wait(m, me, choice);
        if (choice)
                return false;
        if (me->pc <= PARK_UNDO || me->pc == UNPARK)
                step_park(m, me);
        else if (me->pc <= SEND_TAIL)
                step_send(m, me);
        else if (me->pc <= SOURCE_TAKE_ASK)
                step_drain(m, me);
        else
                step_flush(m, me);
        return true;
}

/* Everybody sleeps and nobody's wake is under way: has all arrived? */
static void check_quiet(struct model *m)
{
        for (unsigned p = 0; p < m->setup->procs; p++)
                if (m->s.procs[p].pc != SLEEP || m->s.procs[p].fired)
                        return;
        for (unsigned i = 0; i < m->setup->n_links; i++)
                if (m->s.links[i].sent != m->s.links[i].received)
                        m->violation = "all sleep, and a message is under way";
}

static void init_state(struct model *m)
{
        memset(&m->s, 0, sizeof(m->s));
        for (unsigned i = 0; i < m->setup->n_links; i++)
                m->s.procs[m->setup->links[i].from].unsent = (uint8_t)m->setup->links[i].messages;
        for (unsigned p = 0; p < m->setup->procs; p++) {
                m->s.procs[p].spare = (uint8_t)m->setup->spare;
                m->s.procs[p].pc = AWAKE;
        }
}

/* ---------------------------------------------------------------- the walk */

struct frame {
        uint32_t state;
        uint8_t p, choice; /* next to try */
};

struct walk {
        struct state *states;
        uint8_t *open; /* whether a state is on the path */
        uint32_t n, cap;
        uint32_t *table; /* state number + 1; 0: free */
        uint32_t table_mask;
        struct frame *path;
        uint32_t depth, path_cap;
};

static void *grow(void *p, size_t size)
{
        p = realloc(p, size);
        if (!p) {
                fprintf(stderr, "out of memory\n");
                exit(EXIT_FAILURE);
        }
        return p;
}

static uint64_t hash_state(const struct state *s)
{
        uint64_t words[sizeof(*s) / 8], h = 1;

        memcpy(words, s, sizeof(*s));
        for (unsigned i = 0; i < sizeof(*s) / 8; i++) {
                h = (h ^ words[i]) * UINT64_C(0x9e3779b97f4a7c15);
                h ^= h >> 29;
        }
        return h;
}

static void walk_rehash(struct walk *w)
{
        uint32_t size = w->table_mask ? 2 * (w->table_mask + 1) : 1 << 16;

        free(w->table);
        w->table = calloc(size, sizeof(*w->table));
        if (!w->table)
                exit(EXIT_FAILURE);
        w->table_mask = size - 1;
        for (uint32_t i = 0; i < w->n; i++) {
                uint32_t at = (uint32_t)hash_state(&w->states[i]) & w->table_mask;

                while (w->table[at])
                        at = (at + 1) & w->table_mask;
                w->table[at] = i + 1;
        }
}

/* The number of a state. *newp: it was not seen before. */
static uint32_t walk_find(struct walk *w, const struct state *s, bool *newp)
{
        uint32_t at;

        if (2 * w->n >= w->table_mask)
                walk_rehash(w);
        for (at = (uint32_t)hash_state(s) & w->table_mask; w->table[at]; at = (at + 1) & w->table_mask) {
                if (memcmp(&w->states[w->table[at] - 1], s, sizeof(*s)) == 0) {
                        *newp = false;
                        return w->table[at] - 1;
                }
        }
        if (w->n == w->cap) {
                w->cap = w->cap ? 2 * w->cap : 1 << 16;
                w->states = grow(w->states, w->cap * sizeof(*w->states));
                w->open = grow(w->open, w->cap);
        }
        w->states[w->n] = *s;
        w->open[w->n] = 0;
        w->table[at] = ++w->n;
        *newp = true;
        return w->n - 1;
}

static void walk_push(struct walk *w, uint32_t state)
{
        if (w->depth == w->path_cap) {
                w->path_cap = w->path_cap ? 2 * w->path_cap : 1024;
                w->path = grow(w->path, w->path_cap * sizeof(*w->path));
        }
        w->open[state] = 1;
        w->path[w->depth++] = (struct frame){ .state = state };
}

/* One successor of the state at the path's end, or one step back. */
static void walk_on(struct walk *w, struct model *m)
{
        struct frame *top = &w->path[w->depth - 1];
        uint32_t state;
        bool new;

        if (top->p == m->setup->procs) {
                w->open[top->state] = 0;
                w->depth--;
                return;
        }
        m->s = w->states[top->state];
        if (!step(m, top->p, top->choice++)) {
                top->p++;
                top->choice = 0;
                return;
        }
        state = walk_find(w, &m->s, &new);
        check_quiet(m);
        if (!new && w->open[state])
                m->violation = "the ports can run in circles without an end";
        if (new && !m->violation)
                walk_push(w, state);
}

static void print_path(const struct walk *w)
{
        for (uint32_t i = 0; i < w->depth; i++) {
                const struct frame *f = &w->path[i];
                const struct proc *me = &w->states[f->state].procs[f->p];

                printf("  port %u: %s", f->p, pc_names[me->pc]);
                if (me->pc == SLEEP || me->pc == AWAKE)
                        printf(" (choice %u)", f->choice - 1u);
                printf("\n");
        }
}

/* Walks one set-up. Return: what was violated, NULL when nothing was. *statesp: the states seen. */
static const char *explore(const struct setup *setup, enum mutant mutant, uint32_t *statesp, bool verbose)
{
        struct model m = { .setup = setup, .mutant = mutant };
        struct walk w = { 0 };
        bool new;

        init_state(&m);
        walk_push(&w, (walk_find(&w, &m.s, &new)));
        while (w.depth && !m.violation)
                walk_on(&w, &m);
        if (m.violation && verbose)
                print_path(&w);
        *statesp = w.n;
        free(w.states);
        free(w.open);
        free(w.table);
        free(w.path);
        return m.violation;
}

static bool protocol_holds(const struct setup *setup, unsigned n)
{
        uint64_t total = 0;
        bool holds = true;

        for (; n; n--, setup++) {
                uint32_t states;
                const char *violation = explore(setup, NONE, &states, true);

                printf("%s: %u states, %s\n", setup->name, states, violation ? violation : "holds");
                fflush(stdout);
                total += states;
                holds = holds && !violation;
        }
        printf("%llu states in all\n", (unsigned long long)total);
        return holds;
}

static bool mutant_is_caught(enum mutant mutant, bool verbose)
{
        for (unsigned i = 0; i < N_SETUPS; i++) {
                uint32_t states;
                const char *violation = explore(&setups[i], mutant, &states, verbose);

                if (violation) {
                        printf("mutant %u, %s: caught with %s after %u states: %s\n", mutant,
                               mutant_names[mutant], setups[i].name, states, violation);
                        return true;
                }
        }
        printf("mutant %u, %s: NOT CAUGHT\n", mutant, mutant_names[mutant]);
        return false;
}

int main(int argc, char **argv)
{
        bool good;

        if (argc == 2 && strcmp(argv[1], "--list") == 0) {
                for (unsigned i = 1; i < MUTANTS; i++)
                        printf("%2u  %s\n", i, mutant_names[i]);
                return EXIT_SUCCESS;
        }
        if (argc == 2 && strcmp(argv[1], "--deep") == 0)
                return protocol_holds(deep_setups, N_DEEP_SETUPS) ? EXIT_SUCCESS : EXIT_FAILURE;
        if (argc == 3 && strcmp(argv[1], "--mutant") == 0) {
                unsigned long mutant = strtoul(argv[2], NULL, 10);

                if (mutant > 0 && mutant < MUTANTS)
                        return mutant_is_caught((enum mutant)mutant, true) ? EXIT_SUCCESS : EXIT_FAILURE;
        }
        if (argc != 1) {
                fprintf(stderr, "usage: test-park [--list | --deep | --mutant 1..%u]\n", MUTANTS - 1);
                return 2;
        }
        if (THREAD_SANITIZER) {
                printf("one thread: the thread sanitizer has nothing to see here, and takes a minute for it\n");
                return 77;
        }
        good = protocol_holds(setups, N_SETUPS);
        for (unsigned i = 1; i < MUTANTS; i++)
                good = mutant_is_caught((enum mutant)i, false) && good;
        return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
