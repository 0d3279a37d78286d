/* SPDX-License-Identifier: MIT */

#include "stress/history.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/clock.h"
#include "util/prng.h"

#define MAGIC       UINT32_C(0x62726b64)
#define MAGIC_NOISE UINT32_C(0x6e6f6973)
#define POOL_BYTES  (64 * 1024)

#define GROUP(_g)                                                                                              \
        "st." _g ".00", "st." _g ".01", "st." _g ".02", "st." _g ".03", "st." _g ".04", "st." _g ".05",        \
                "st." _g ".06", "st." _g ".07"

const char *const history_channels[HISTORY_CHANNELS] = { GROUP("a"), GROUP("b"), GROUP("c"), GROUP("d"),
                                                         GROUP("e") };

/* By prefix, by suffix, by neither; some that match nothing; all mean the same to fnmatch(3). */
const char *const history_patterns[] = {
        "st.a.*", "st.b.*",    "st.c.0*",      "*.00", "*.03", "*.07", "st.?.0[1-3]", "*[bd].0*",
        "s*5",    "[rs]t.e.*", "st.[^abc].06", "zz*",  "*zz",  "*z*",  "*.e.*",       "st.d.0?",
};
const unsigned history_n_patterns = sizeof(history_patterns) / sizeof(*history_patterns);

static unsigned char pool[POOL_BYTES];

static void fill_pool(void)
{
        struct prng prng = { 42 };

        for (size_t i = 0; i < POOL_BYTES; i++)
                pool[i] = (unsigned char)prng_next(&prng);
}

static const void *filler(const struct payload *payload, size_t n)
{
        struct prng prng = { payload->seq * 64 + payload->publisher };

        return pool + prng_below(&prng, POOL_BYTES - n + 1);
}

/* ---------------------------------------------------------------- plan */

static bool has(const uint16_t *list, unsigned n, unsigned value)
{
        for (unsigned i = 0; i < n; i++)
                if (list[i] == value)
                        return true;
        return false;
}

static void plan_init(struct sub_plan *plan, struct prng *prng, unsigned index)
{
        unsigned n_channels = 1 + (unsigned)prng_below(prng, HISTORY_SUB_CHANNELS);
        unsigned n_patterns = index % 4 < 2 ? 0 : 1 + (unsigned)prng_below(prng, HISTORY_SUB_PATTERNS);

        *plan = (struct sub_plan){ .protocol = 2 + index % 2 };
        while (plan->n_channels < n_channels) {
                unsigned channel = (unsigned)prng_below(prng, HISTORY_CHANNELS);

                if (!has(plan->channels, plan->n_channels, channel))
                        plan->channels[plan->n_channels++] = (uint16_t)channel;
        }
        while (plan->n_patterns < n_patterns) {
                unsigned pattern = (unsigned)prng_below(prng, history_n_patterns);

                if (!has(plan->patterns, plan->n_patterns, pattern))
                        plan->patterns[plan->n_patterns++] = (uint16_t)pattern;
        }
        for (unsigned c = 0; c < HISTORY_CHANNELS; c++) {
                plan->want[c] = has(plan->channels, plan->n_channels, c);
                for (unsigned i = 0; i < plan->n_patterns; i++)
                        if (fnmatch(history_patterns[plan->patterns[i]], history_channels[c], 0) == 0)
                                plan->want[c] |= (uint8_t)(2 << i);
        }
}

static void *must_calloc(size_t n, size_t size)
{
        void *p = calloc(n, size);

        if (!p)
                fail("out of memory");
        return p;
}

void history_init(struct history *h, unsigned n_publishers, unsigned n_subscribers, uint64_t seed)
{
        struct prng prng = { seed };

        fill_pool();
        *h = (struct history){ .n_publishers = n_publishers, .n_subscribers = n_subscribers };
        h->plans = must_calloc(n_subscribers, sizeof(*h->plans));
        h->seen = must_calloc((size_t)n_subscribers * n_publishers, sizeof(*h->seen));
        h->sent = must_calloc(n_publishers, sizeof(*h->sent));
        h->sent_before = must_calloc(n_publishers, sizeof(*h->sent_before));
        h->seqs = must_calloc(n_publishers, sizeof(*h->seqs));
        for (unsigned i = 0; i < n_subscribers; i++) {
                plan_init(&h->plans[i], &prng, i);
                for (unsigned c = 0; c < HISTORY_CHANNELS; c++)
                        h->copies[c] += (unsigned)__builtin_popcount(h->plans[i].want[c]);
        }
}

void history_deinit(struct history *h)
{
        free(h->plans);
        free(h->seen);
        free(h->sent);
        free(h->sent_before);
        free(h->seqs);
        *h = (struct history){ 0 };
}

/* ---------------------------------------------------------------- send */

void history_publish(struct history *h, unsigned publisher, unsigned channel, struct payload *payload,
                     size_t size)
{
        *payload = (struct payload){
                .magic = MAGIC,
                .publisher = (uint16_t)publisher,
                .channel = (uint16_t)channel,
                .seq = ++h->seqs[publisher],
                .number = ++h->sent[publisher][channel],
                .size = (uint32_t)size,
                .stamp = clock_now(),
        };
        memcpy(payload + 1, filler(payload, size - sizeof(*payload)), size - sizeof(*payload));
        h->expected += h->copies[channel];
}

void history_noise(struct payload *payload, unsigned channel, size_t size)
{
        *payload =
                (struct payload){ .magic = MAGIC_NOISE, .channel = (uint16_t)channel, .size = (uint32_t)size };
        memcpy(payload + 1, filler(payload, size - sizeof(*payload)), size - sizeof(*payload));
}

/* ---------------------------------------------------------------- receive */

static const char *sub_name(const struct history *h, unsigned subscriber)
{
        static char name[64];

        snprintf(name, sizeof(name), "subscriber %u (RESP%u)", subscriber, h->plans[subscriber].protocol);
        return name;
}

/* Takes a frame apart. Return: the bit of want[] that it is a copy for. */
static uint8_t frame_parse(const struct history *h, unsigned subscriber, const struct reply *reply,
                           struct payload *payload)
{
        const struct sub_plan *plan = &h->plans[subscriber];
        const struct reply_item *items = reply->items, *content = &items[reply->n_items - 1];
        bool by_pattern = reply_is(&items[1], "pmessage");
        uint8_t bit = 1;

        if (items[0].type != (plan->protocol == 2 ? '*' : '>') || items[0].n != (by_pattern ? 4 : 3) ||
            reply->n_items != (by_pattern ? 5 : 4))
                fail("%s got a frame of the wrong shape", sub_name(h, subscriber));
        if (!content->s || (size_t)content->n < sizeof(*payload))
                fail("%s got a short payload", sub_name(h, subscriber));
        memcpy(payload, content->s, sizeof(*payload));
        if (payload->channel >= HISTORY_CHANNELS || payload->size != (size_t)content->n ||
            !reply_is(&items[reply->n_items - 2], history_channels[payload->channel]) ||
            memcmp(content->s + sizeof(*payload), filler(payload, payload->size - sizeof(*payload)),
                   payload->size - sizeof(*payload)) != 0)
                fail("%s got a damaged message", sub_name(h, subscriber));
        if (by_pattern) {
                unsigned i = 0;

                while (i < plan->n_patterns && !reply_is(&items[2], history_patterns[plan->patterns[i]]))
                        i++;
                if (i == plan->n_patterns)
                        fail("%s got a message of a pattern it has not", sub_name(h, subscriber));
                bit = (uint8_t)(2 << i);
        }
        if (!(plan->want[payload->channel] & bit))
                fail("%s got %s of %s, to which it has no right", sub_name(h, subscriber),
                     by_pattern ? "a pmessage" : "a message", history_channels[payload->channel]);
        return bit;
}

static void check_next(const struct history *h, unsigned subscriber, const struct payload *p,
                       const struct seen *seen)
{
        if (seen->seq && seen->copies != h->plans[subscriber].want[seen->channel])
                fail("%s: publisher %u went on to message %" PRIu64 " (%s) when of message %" PRIu64
                     " (%s) only copies %#x of %#x had come",
                     sub_name(h, subscriber), p->publisher, p->seq, history_channels[p->channel], seen->seq,
                     history_channels[seen->channel], seen->copies, h->plans[subscriber].want[seen->channel]);
        if (p->seq < seen->seq)
                fail("%s: message %" PRIu64 " of publisher %u (%s) came after %" PRIu64
                     ": duplicated or reordered",
                     sub_name(h, subscriber), p->seq, p->publisher, history_channels[p->channel], seen->seq);
        if (p->number != seen->numbers[p->channel] + 1)
                fail("%s: number %u of publisher %u on %s came after %u: lost", sub_name(h, subscriber),
                     p->number, p->publisher, history_channels[p->channel], seen->numbers[p->channel]);
}

void history_deliver(struct history *h, unsigned subscriber, const struct reply *reply, uint64_t now)
{
        struct payload p;
        uint8_t bit = frame_parse(h, subscriber, reply, &p);
        struct seen *seen;

        if (p.magic == MAGIC_NOISE) {
                h->noise++;
                return;
        }
        if (p.magic != MAGIC || p.publisher >= h->n_publishers || p.seq > h->seqs[p.publisher])
                fail("%s got a message that nobody sent", sub_name(h, subscriber));
        seen = &h->seen[(size_t)subscriber * h->n_publishers + p.publisher];
        if (p.seq != seen->seq) {
                check_next(h, subscriber, &p, seen);
                seen->seq = p.seq;
                seen->channel = p.channel;
                seen->copies = 0;
                seen->numbers[p.channel] = p.number;
        }
        if (seen->copies & bit)
                fail("%s: message %" PRIu64 " of publisher %u came twice as copy %#x", sub_name(h, subscriber),
                     p.seq, p.publisher, bit);
        if (bit == 1 && seen->copies)
                fail("%s: a pmessage overtook the message %" PRIu64 " of publisher %u", sub_name(h, subscriber),
                     p.seq, p.publisher);
        seen->copies |= bit;
        h->delivered++;
        histogram_add(&h->delay, now > p.stamp ? now - p.stamp : 0);
        if (now > p.stamp + HISTORY_LATE_NS)
                fail("%s: message %" PRIu64 " of publisher %u on %s took %" PRIu64 " ms",
                     sub_name(h, subscriber), p.seq, p.publisher, history_channels[p.channel],
                     (now - p.stamp) / NSEC_PER_MSEC);
}

/* ---------------------------------------------------------------- late and lost */

/* Return: number of (publisher, channel) pairs of which the subscriber has not got all below bound. */
static unsigned behind(const struct history *h, unsigned subscriber, unsigned publisher,
                       const uint32_t bound[HISTORY_CHANNELS], bool print)
{
        const struct sub_plan *plan = &h->plans[subscriber];
        const struct seen *seen = &h->seen[(size_t)subscriber * h->n_publishers + publisher];
        unsigned n = 0;

        for (unsigned c = 0; c < HISTORY_CHANNELS; c++) {
                bool cut = seen->seq && seen->channel == c && seen->copies != plan->want[c];

                if (!plan->want[c] || (seen->numbers[c] >= bound[c] && !(cut && seen->numbers[c] == bound[c])))
                        continue;
                if (print && n < 3)
                        fprintf(stderr, "%s waits for publisher %u on %s: has %u of %u%s\n",
                                sub_name(h, subscriber), publisher, history_channels[c], seen->numbers[c],
                                bound[c], cut ? ", the last without all copies" : "");
                n++;
        }
        return n;
}

void history_sweep(struct history *h)
{
        unsigned now = (unsigned)(h->second % 8), old = (unsigned)((h->second + 2) % 8); /* 6 s ago */
        unsigned n = 0;

        for (unsigned p = 0; p < h->n_publishers; p++) {
                memcpy(h->sent_before[p][now], h->sent[p], sizeof(h->sent[p]));
                for (unsigned s = 0; s < h->n_subscribers; s++)
                        n += behind(h, s, p, h->sent_before[p][old], n < 20);
        }
        h->second++;
        if (n)
                fail("%u times a subscriber waits longer than 5 s for a publisher's channel", n);
}

void history_explain(const struct history *h)
{
        unsigned n = 0;

        for (unsigned s = 0; s < h->n_subscribers; s++)
                for (unsigned p = 0; p < h->n_publishers; p++)
                        n += behind(h, s, p, h->sent[p], n < 20);
        fprintf(stderr, "%u times a subscriber waits for a publisher's channel\n", n);
}

void history_finish(const struct history *h)
{
        unsigned n = 0;

        for (unsigned s = 0; s < h->n_subscribers; s++)
                for (unsigned p = 0; p < h->n_publishers; p++)
                        n += behind(h, s, p, h->sent[p], true);
        if (n || h->delivered != h->expected)
                fail("%" PRIu64 " of %" PRIu64 " deliveries came", h->delivered, h->expected);
}
