/* SPDX-License-Identifier: MIT */

#include "support/accounts.h"

#include <assert.h>

#include "shard/state.h"

static void accounts_send(void *arg, unsigned shard, enum message_type type, const struct message_lease *lease)
{
        struct accounts *a = arg;
        struct message_lease *m = port_send(a->cl->control, shard, type, sizeof(*m), PORT_UNCOUNTED);

        *m = *lease;
        a->refusals += type == MESSAGE_LEASE_REFUSE;
        a->recalls += type == MESSAGE_LEASE_RECALL;
}

void accounts_init(struct accounts *a, struct cluster *cl, const struct policy_limits *limits)
{
        struct ledger_options options = {
                .n_shards = cl->n_shards, .limits = limits, .send = accounts_send, .arg = a
        };

        *a = (struct accounts){ .cl = cl, .ledger = ledger_new(&options) };
}

void accounts_on_message(void *arg, const struct port_message *m)
{
        struct accounts *a = arg;

        switch (m->type) {
        case MESSAGE_LEASE_ASK:
                a->asks++;
                ledger_ask(a->ledger, m->source, m->data, cluster_now());
                break;
        case MESSAGE_LEASE_RETURN:
        case MESSAGE_LEASE_DROP:
                ledger_return(a->ledger, m->source, m->data, m->type == MESSAGE_LEASE_DROP, cluster_now());
                break;
        case MESSAGE_POLICY_TAKEN:
                ledger_taken(a->ledger, m->source, cluster_now());
                break;
        default:
                assert(!"a message that control does not receive");
        }
}

bool accounts_tick(struct accounts *a)
{
        if (ledger_next(a->ledger) > cluster_now())
                return false;
        ledger_tick(a->ledger, cluster_now());
        port_flush(a->cl->control);
        return true;
}

void accounts_set_policy(struct accounts *a, const struct policy *policy)
{
        for (unsigned i = 0; i < a->cl->n_shards; i++) {
                struct message_policy *m =
                        port_send(a->cl->control, i, MESSAGE_POLICY, sizeof(*m), PORT_UNCOUNTED);

                m->policy = policy;
        }
        ledger_set_limits(a->ledger, &policy->limits, cluster_now());
        port_flush(a->cl->control);
}

void accounts_settle(struct accounts *a)
{
        do
                cluster_settle(a->cl);
        while (accounts_tick(a));
}

void accounts_deinit(struct accounts *a)
{
        a->ledger = ledger_free(a->ledger);
}

uint64_t accounts_used(const struct accounts *a, uid_t uid, enum quota quota)
{
        uint64_t n = 0;

        for (unsigned i = 0; i < a->cl->n_shards; i++) {
                struct shard_users *users = &a->cl->shards[i]->users;
                const struct user *u;

                if (uid == QUOTA_EVERYBODY)
                        n += users->everybody.leases[quota].used;
                for (size_t pos = 0; (u = table_next(&users->by_uid, &pos));)
                        n += u->uid == uid ? u->leases[quota].used : 0;
        }
        return n;
}
