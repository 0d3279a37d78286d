/* SPDX-License-Identifier: MIT */

#include "shard/loss.h"

#include <assert.h>
#include <stdlib.h>

#include "resp/writer.h"
#include "util/mem.h"

/* Bytes that an item counts for, besides the channel's name, which counts twice: more than its memory, and than
 * its notice in both forms. */
#define LOSS_ITEM_COST 144

struct loss_item {
        uint64_t n;
        uint8_t *name;
        size_t name_size;
        enum slow_action reason;
};

const char *loss_reason(enum slow_action reason)
{
        switch (reason) {
        case SLOW_DROP_OLDEST:
                return "drop-oldest";
        case SLOW_DROP_NEWEST:
                return "drop-newest";
        case SLOW_CONFLATE:
                return "conflate";
        default:
                assert(!"a policy that drops nothing");
                return "";
        }
}

static void loss_forget_items(struct loss *loss)
{
        for (unsigned i = 0; i < loss->n; i++)
                free(loss->items[i].name);
        free(loss->items);
        loss->items = NULL;
        loss->n = loss->cap = 0;
        loss->names = 0;
}

/* A name is in memory once, and in the notice up to twice. */
static void loss_weigh(struct loss *loss)
{
        loss->bytes = sizeof(*loss) + 2 * sizeof(size_t) + loss->n * LOSS_ITEM_COST + 2 * loss->names;
        for (unsigned i = 0; i < _SLOW_ACTION_N; i++)
                loss->bytes += loss->sums[i] ? LOSS_ITEM_COST : 0;
}

struct loss *loss_new(void)
{
        struct loss *loss = mem_zalloc(sizeof(*loss));

        loss_weigh(loss);
        return loss;
}

struct loss *loss_free(struct loss *loss)
{
        if (!loss)
                return NULL;
        loss_forget_items(loss);
        free(loss);
        return NULL;
}

static bool loss_is_summed(const struct loss *loss)
{
        for (unsigned i = 0; i < _SLOW_ACTION_N; i++)
                if (loss->sums[i])
                        return true;
        return false;
}

static void loss_sum_up(struct loss *loss)
{
        for (unsigned i = 0; i < loss->n; i++)
                loss->sums[loss->items[i].reason] += loss->items[i].n;
        loss_forget_items(loss);
}

static struct loss_item *loss_find(const struct loss *loss, struct bytes channel, enum slow_action reason)
{
        for (unsigned i = loss->n; i-- > 0;) {
                struct loss_item *item = &loss->items[i];

                if (item->reason == reason && bytes_equal(bytes_of(item->name, item->name_size), channel))
                        return item;
        }
        return NULL;
}

static void loss_append(struct loss *loss, struct bytes channel, enum slow_action reason, uint64_t n)
{
        struct loss_item *item;

        if (loss->n == loss->cap) {
                loss->cap = loss->cap ? 2 * loss->cap : 1; /* what is unused is less than what is counted */
                loss->items = mem_realloc(loss->items, loss->cap * sizeof(*loss->items));
        }
        item = &loss->items[loss->n++];
        *item = (struct loss_item){
                .n = n, .name = mem_alloc(channel.n + 1), .name_size = channel.n, .reason = reason
        };
        if (channel.n)
                memcpy(item->name, channel.p, channel.n);
        loss->names += channel.n;
}

void loss_add(struct loss *loss, struct bytes channel, enum slow_action reason, uint64_t n)
{
        struct loss_item *item;

        if (loss_is_summed(loss)) {
                loss->sums[reason] += n;
                loss_weigh(loss);
                return;
        }
        item = loss_find(loss, channel, reason);
        if (item) {
                item->n += n;
                return;
        }
        if (loss->n == LOSS_CHANNELS_MAX || loss->names + channel.n > LOSS_NAMES_MAX) {
                loss_sum_up(loss);
                loss->sums[reason] += n;
        } else {
                loss_append(loss, channel, reason, n);
        }
        loss_weigh(loss);
}

void loss_join(struct loss *loss, const struct loss *next)
{
        if (loss_is_summed(next))
                loss_sum_up(loss);
        for (unsigned i = 0; i < _SLOW_ACTION_N; i++)
                loss->sums[i] += next->sums[i];
        for (unsigned i = 0; i < next->n; i++) {
                const struct loss_item *item = &next->items[i];

                loss_add(loss, bytes_of(item->name, item->name_size), item->reason, item->n);
        }
        loss_weigh(loss);
}

/* channel NULL: of several. */
static void loss_write_one(struct buffer *out, unsigned wishes, const struct bytes *channel, uint64_t n,
                           const char *reason)
{
        struct bytes topic = BYTES_LITERAL(LOSS_TOPIC);
        struct buffer text = { 0 };
        size_t size;

        if (wishes & LOSS_PUSH) {
                writer_push(out, WRITER_RESP3, 4);
                writer_bulk_str(out, "loss");
                if (channel)
                        writer_bulk(out, *channel);
                else
                        writer_null(out, WRITER_RESP3);
                writer_integer(out, (int64_t)n);
                writer_bulk_str(out, reason);
        }
        if (!(wishes & LOSS_CHANNEL))
                return;
        buffer_printf(&text, "%llu %s", (unsigned long long)n, reason);
        if (channel) {
                buffer_put(&text, " ", 1);
                buffer_put(&text, channel->p, channel->n);
        }
        size = writer_message_size(topic.n, buffer_size(&text));
        buffer_make_room(out, size);
        writer_message(out->data + out->end, wishes & LOSS_RESP3 ? WRITER_RESP3 : WRITER_RESP2, topic,
                       buffer_view(&text));
        out->end += size;
        buffer_deinit(&text);
}

void loss_write(const struct loss *loss, unsigned wishes, struct buffer *out)
{
        for (unsigned i = 0; i < loss->n; i++) {
                const struct loss_item *item = &loss->items[i];
                struct bytes channel = bytes_of(item->name, item->name_size);

                loss_write_one(out, wishes, &channel, item->n, loss_reason(item->reason));
        }
        for (unsigned i = 0; i < _SLOW_ACTION_N; i++)
                if (loss->sums[i])
                        loss_write_one(out, wishes, NULL, loss->sums[i], loss_reason(i));
}
