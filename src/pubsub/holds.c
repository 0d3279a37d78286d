/* SPDX-License-Identifier: MIT */

#include "pubsub/holds.h"

#include <assert.h>
#include <stdlib.h>

#include "pubsub/topics.h"
#include "util/mem.h"

void holds_init(struct holds *holds)
{
        *holds = (struct holds){ 0 };
        list_init(&holds->released);
}

struct hold *holds_add(struct holds *holds, struct topic *topic, const struct subscriber *by, unsigned shard)
{
        struct hold *hold = mem_zalloc(sizeof(*hold));

        hold->since = ++holds->last;
        hold->by = by;
        hold->shard = shard;
        list_init(&hold->waiting);
        list_add_tail(&topic->holds, &hold->link);
        topic->n_holds += by != NULL;
        topic->remote_mask |= TOPIC_HELD;
        holds->n++;
        return hold;
}

void holds_end(struct holds *holds, struct topic *topic, struct hold *hold)
{
        while (!list_empty(&hold->waiting)) {
                struct list *first = hold->waiting.next;

                list_del(first);
                list_add_tail(&holds->released, first);
        }
        list_del(&hold->link);
        topic->n_holds -= hold->by != NULL;
        if (list_empty(&topic->holds))
                topic->remote_mask &= ~TOPIC_HELD;
        holds->n--;
        free(hold);
}

struct hold *holds_of_shard(const struct topic *topic, unsigned shard)
{
        list_for_each (i, &topic->holds) {
                struct hold *hold = container_of(i, struct hold, link);

                if (!hold->by && hold->shard == shard)
                        return hold;
        }
        return NULL;
}

void holds_drop(struct topic *topic)
{
        list_for_each_safe (i, next, &topic->holds) {
                struct hold *hold = container_of(i, struct hold, link);

                assert(!hold->by && list_empty(&hold->waiting));
                free(hold);
        }
}
