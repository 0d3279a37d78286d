/* SPDX-License-Identifier: MIT */

#include "broker/policies.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "broker/config_policy.h"
#include "shard/message.h"
#include "util/bits.h"
#include "util/list.h"
#include "util/mem.h"

struct given {
        struct policy *policy;
        uint64_t awaiting; /* shards that have not taken it */
        struct list link;
};

struct policies {
        struct port *port;
        unsigned n_shards;
        struct list given; /* oldest first */
};

static struct given *given_of(struct list *link)
{
        return container_of(link, struct given, link);
}

static void policies_add(struct policies *p, struct policy *policy, uint64_t awaiting)
{
        struct given *g = mem_zalloc(sizeof(*g));

        g->policy = policy;
        g->awaiting = awaiting;
        list_add_tail(&p->given, &g->link);
}

static void policies_drop(struct given *g)
{
        list_del(&g->link);
        config_policy_free(g->policy);
        free(g);
}

struct policies *policies_new(struct port *port, unsigned n_shards, struct policy *first)
{
        struct policies *p = mem_zalloc(sizeof(*p));

        p->port = port;
        p->n_shards = n_shards;
        list_init(&p->given);
        policies_add(p, first, 0);
        return p;
}

struct policies *policies_free(struct policies *p)
{
        if (!p)
                return NULL;
        list_for_each_safe (i, next, &p->given)
                policies_drop(given_of(i));
        free(p);
        return NULL;
}

void policies_give(struct policies *p, struct policy *policy)
{
        policies_add(p, policy, bit(p->n_shards) - 1);
        for (unsigned i = 0; i < p->n_shards; i++) {
                struct message_policy *m = port_send(p->port, i, MESSAGE_POLICY, sizeof(*m), PORT_UNCOUNTED);

                *m = (struct message_policy){ .policy = policy };
        }
}

void policies_taken(struct policies *p, unsigned shard)
{
        struct list *i = p->given.next;

        while (i != &p->given && !(given_of(i)->awaiting & bit(shard)))
                i = i->next;
        assert(i != &p->given);
        given_of(i)->awaiting &= ~bit(shard);
        if (given_of(i)->awaiting)
                return;
        while (p->given.next != i)
                policies_drop(given_of(p->given.next));
}

const struct policy *policies_newest(const struct policies *p)
{
        return given_of(p->given.prev)->policy;
}

unsigned policies_count(const struct policies *p)
{
        unsigned n = 0;

        list_for_each (i, &p->given)
                n++;
        return n;
}
