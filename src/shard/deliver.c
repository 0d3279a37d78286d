/* SPDX-License-Identifier: MIT */
/*
 * Local delivery. The frames of an open run are contiguous in each stage: nothing else is encoded between them,
 * and a run is settled before its stage is replaced.
 */

#include "shard/deliver.h"

#include "resp/writer.h"
#include "shard/client.h"
#include "shard/permit.h"
#include "shard/state.h"
#include "util/probe.h"

void deliver_deinit(struct deliver *d)
{
        for (unsigned p = 0; p < SUBSCRIBER_PROTOCOLS; p++)
                d->stage[p] = stage_unref(d->stage[p]);
}

/* Queues the range for those members who may hear messages to that channel. Out of line, so that the usual way
 * is short. */
__attribute__((noinline)) static void deliver_permitted(struct shard *s, struct topic *topic,
                                                        struct topic *channel, const uint32_t *start,
                                                        uint32_t messages)
{
        const struct deliver *d = &s->deliver;
        uint64_t withheld = 0;

        for (uint32_t i = 0; i < topic->n_members; i++) {
                struct client *c = client_of_subscriber(topic->members[i].subscriber);
                unsigned p = c->subscriber.protocol;

                if (!permit_hears(c, topic, channel)) {
                        withheld += messages;
                        continue;
                }
                c->delivered += messages;
                outq_slice(c->messages, &s->chunks, d->stage[p], start[p], d->stage[p]->used - start[p]);
                shard_touch(s, c);
        }
        s->status.messages_out -= withheld;
        s->status.messages_withheld += withheld;
}

/* Queues a range of the stages, which holds messages to that channel, for every member of a topic. */
static void deliver_members(struct shard *s, struct topic *topic, struct topic *channel, const uint32_t *start,
                            uint32_t messages)
{
        const struct deliver *d = &s->deliver;

        s->status.messages_out += (uint64_t)topic->n_members * messages;
        if (!permit_all_hear(s, topic)) {
                deliver_permitted(s, topic, channel, start, messages);
                return;
        }
        for (uint32_t i = 0; i < topic->n_members; i++) {
                struct client *c = client_of_subscriber(topic->members[i].subscriber);
                unsigned p = c->subscriber.protocol;

                c->delivered += messages;
                outq_slice(c->messages, &s->chunks, d->stage[p], start[p], d->stage[p]->used - start[p]);
                shard_touch(s, c);
        }
}

void deliver_settle(struct shard *s)
{
        struct deliver *d = &s->deliver;
        struct topic *topic = d->run;

        if (!topic)
                return;
        d->run = NULL;
        PROBE4(deliver, topic_name(topic).p, topic->name_size, d->run_messages, topic->n_members);
        deliver_members(s, topic, topic, d->run_start, d->run_messages);
        if (topic->remote_mask & TOPIC_HELD)
                s->status.block_messages += (uint64_t)topic->n_holds * d->run_messages;
}

/* Whether every stage that the topic's members need has room for one more frame. */
static bool deliver_has_room(const struct deliver *d, const struct topic *topic, size_t size)
{
        for (unsigned p = 0; p < SUBSCRIBER_PROTOCOLS; p++)
                if (topic->n_protocol[p] && (!d->stage[p] || d->stage[p]->cap - d->stage[p]->used < size))
                        return false;
        return true;
}

/* Replaces the stages that lack room. No run may be open. */
static void deliver_make_room(struct shard *s, const struct topic *topic, size_t size)
{
        struct deliver *d = &s->deliver;

        for (unsigned p = 0; p < SUBSCRIBER_PROTOCOLS; p++) {
                struct stage *stage = d->stage[p];

                if (!topic->n_protocol[p] || (stage && stage->cap - stage->used >= size))
                        continue;
                stage_unref(stage);
                d->replaced = true;
                d->stage[p] = stage_new(&s->stages, (uint32_t)size);
                d->stage[p]->shared = d->stage[p]->frames = true;
        }
}

/* Bytes of the frame that the topic's members get. */
static size_t deliver_frame_size(const struct topic *topic, struct bytes channel, struct bytes payload)
{
        switch (topic->kind) {
        case TOPIC_PATTERN:
                return writer_pmessage_size(topic->name_size, channel.n, payload.n);
        case TOPIC_SHARD:
                return writer_smessage_size(channel.n, payload.n);
        default:
                return writer_message_size(channel.n, payload.n);
        }
}

static void deliver_encode(struct deliver *d, const struct topic *topic, struct bytes channel,
                           struct bytes payload)
{
        for (unsigned p = 0; p < SUBSCRIBER_PROTOCOLS; p++) {
                struct stage *stage = d->stage[p];
                uint8_t *at, *end;

                if (!topic->n_protocol[p])
                        continue;
                at = stage->data + stage->used;
                if (topic->kind == TOPIC_CHANNEL)
                        end = writer_message(at, p, channel, payload);
                else if (topic->kind == TOPIC_SHARD)
                        end = writer_smessage(at, p, channel, payload);
                else
                        end = writer_pmessage(at, p, topic_name(topic), channel, payload);
                stage->used += (uint32_t)(end - at);
        }
}

/* One message to the members of a topic, as a run of its own. */
static void deliver_once(struct shard *s, struct topic *topic, struct topic *to, struct bytes payload)
{
        struct deliver *d = &s->deliver;
        struct bytes channel = topic_name(to);
        uint32_t start[SUBSCRIBER_PROTOCOLS];

        deliver_make_room(s, topic, deliver_frame_size(topic, channel, payload));
        for (unsigned p = 0; p < SUBSCRIBER_PROTOCOLS; p++)
                start[p] = d->stage[p] ? d->stage[p]->used : 0;
        deliver_encode(d, topic, channel, payload);
        PROBE4(deliver, channel.p, channel.n, 1, topic->n_members);
        deliver_members(s, topic, to, start, 1);
        if (topic->remote_mask & TOPIC_HELD)
                s->status.block_messages += topic->n_holds;
}

static void deliver_run(struct shard *s, struct topic *topic, struct bytes payload)
{
        struct deliver *d = &s->deliver;
        size_t size = deliver_frame_size(topic, topic_name(topic), payload);

        if (d->run != topic || !deliver_has_room(d, topic, size)) {
                deliver_settle(s);
                deliver_make_room(s, topic, size);
                d->run = topic;
                d->run_messages = 0;
                for (unsigned p = 0; p < SUBSCRIBER_PROTOCOLS; p++)
                        d->run_start[p] = d->stage[p] ? d->stage[p]->used : 0;
        }
        deliver_encode(d, topic, topic_name(topic), payload);
        d->run_messages++;
        d->run_frame = (uint32_t)size;
        d->run_payload = payload.n;
}

/*
 * One more message of the last one's size: its frame is a copy of the last frame with another payload.
 * Return: false: it is not, or there is no room.
 */
static bool deliver_repeat(struct deliver *d, const struct topic *topic, struct bytes payload)
{
        uint32_t size = d->run_frame, head = size - (uint32_t)d->run_payload - 2;

        if (d->run != topic || d->run_payload != payload.n || !deliver_has_room(d, topic, size))
                return false;
        for (unsigned p = 0; p < SUBSCRIBER_PROTOCOLS; p++) {
                struct stage *stage = d->stage[p];
                uint8_t *at;

                if (!topic->n_protocol[p])
                        continue;
                at = stage->data + stage->used;
                memcpy(at, at - size, head);
                memcpy(at + head, payload.p, payload.n);
                memcpy(at + head + payload.n, "\r\n", 2);
                stage->used += size;
        }
        d->run_messages++;
        return true;
}

static bool deliver_has_patterns(const struct topic *topic)
{
        for (uint32_t i = 0; i < topic->n_matches; i++)
                if (topic->matches[i]->n_members)
                        return true;
        return false;
}

/* A channel that patterns match as well: without runs. Out of line, so that the usual way is short. */
__attribute__((noinline)) static void deliver_matched(struct shard *s, struct topic *topic,
                                                      struct bytes payload)
{
        deliver_settle(s);
        if (topic->n_members)
                deliver_once(s, topic, topic, payload);
        for (uint32_t i = 0; i < topic->n_matches; i++) {
                struct topic *pattern = topic->matches[i];

                if (pattern->n_members)
                        deliver_once(s, pattern, topic, payload);
        }
}

void deliver_local(struct shard *s, struct topic *topic, struct bytes payload)
{
        if (deliver_repeat(&s->deliver, topic, payload))
                return;
        if (deliver_has_patterns(topic))
                deliver_matched(s, topic, payload);
        else if (topic->n_members)
                deliver_run(s, topic, payload);
}

void deliver_recycle(struct deliver *d)
{
        for (unsigned p = 0; p < SUBSCRIBER_PROTOCOLS; p++) {
                struct stage *stage = d->stage[p];

                if (!stage)
                        continue;
                if (stage->cap != stage->pool->size)
                        d->stage[p] = stage_unref(stage);
                else if (stage->refs == 1)
                        stage->used = 0;
        }
}
