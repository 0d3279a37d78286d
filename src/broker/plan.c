/* SPDX-License-Identifier: MIT */

#include "broker/plan.h"

#include <inttypes.h>

#include "broker/acceptor.h"

/*
 * Descriptors: a shard has its epoll and its eventfd, and its loop may hold one or two for timers; control has
 * those and a signalfd; a listener has its socket and its lock. The rest is room for standard streams, for what
 * the C library opens for a moment, and for connections that are accepted only to be turned away.
 */
#define PLAN_FILES_THREAD   6
#define PLAN_FILES_LISTENER 2
#define PLAN_FILES_SPARE    24

uint64_t plan_files_reserved(const struct config *config, unsigned n_shards)
{
        uint64_t n = PLAN_FILES_SPARE;

        n += (uint64_t)PLAN_FILES_THREAD * (n_shards + 1);
        n += (uint64_t)PLAN_FILES_LISTENER * config->n_listeners;
        if (config->admin)
                n += PLAN_FILES_LISTENER + ACCEPTOR_ADMINS_MAX;
        return n;
}

static bool plan_has_cpu(const struct plan_machine *machine, unsigned cpu)
{
        for (unsigned i = 0; i < machine->n_cpus; i++)
                if (machine->cpus[i] == cpu)
                        return true;
        return false;
}

/* CPUs of the list, each counted once. */
static unsigned plan_listed(const struct config *config)
{
        unsigned n = 0;

        for (unsigned i = 0; i < config->n_cpu_list; i++) {
                unsigned j = 0;

                while (j < i && config->cpu_list[j] != config->cpu_list[i])
                        j++;
                n += j == i;
        }
        return n;
}

static unsigned plan_shards(const struct config *config, const struct plan_machine *machine)
{
        unsigned n = config->shards;

        if (n == 0 && config->cpus == CONFIG_CPUS_LIST)
                n = config->n_cpu_list;
        if (n == 0)
                n = config_shards_auto(machine->n_cpus);
        return n > CONFIG_SHARDS_MAX ? CONFIG_SHARDS_MAX : n;
}

static void plan_place(struct plan *plan, const struct config *config, const struct plan_machine *machine)
{
        unsigned first;

        for (unsigned i = 0; i < plan->n_shards; i++)
                plan->cpu[i] = -1;
        if (config->cpus == CONFIG_CPUS_NONE) {
                plan->pinning = PLAN_UNPINNED_BY_CONFIG;
                return;
        }
        plan->must_pin = config->cpus == CONFIG_CPUS_LIST;
        if (!plan->must_pin && plan->n_shards >= machine->n_cpus) {
                plan->pinning = PLAN_UNPINNED_NO_SPARE;
                return;
        }
        plan->pinning = PLAN_PINNED;
        first = plan->must_pin ? 0 : machine->n_cpus - plan->n_shards;
        for (unsigned i = 0; i < plan->n_shards; i++)
                plan->cpu[i] =
                        plan->must_pin ? config->cpu_list[i % config->n_cpu_list] : machine->cpus[first + i];
}

int plan_make(struct plan *planp, const struct config *config, const struct plan_machine *machine,
              unsigned *cpup)
{
        bool listed = config->cpus == CONFIG_CPUS_LIST;
        struct plan plan = { .n_shards = plan_shards(config, machine) };
        uint64_t reserved = plan_files_reserved(config, plan.n_shards) + machine->n_passed;
        unsigned n_cpus = listed ? plan_listed(config) : machine->n_cpus;

        for (unsigned i = 0; listed && i < config->n_cpu_list; i++)
                if (!plan_has_cpu(machine, config->cpu_list[i])) {
                        *cpup = config->cpu_list[i];
                        return PLAN_E_CPU;
                }
        if (machine->n_files <= reserved)
                return PLAN_E_FILES;
        plan_place(&plan, config, machine);
        plan.spin_ns = plan.n_shards > n_cpus ? 0 : config->spin_ns;
        plan.max_clients = config->max_clients;
        if (machine->n_files - reserved < plan.max_clients)
                plan.max_clients = (unsigned)(machine->n_files - reserved);
        *planp = plan;
        return 0;
}

void plan_explain(int error, const struct plan_machine *machine, unsigned cpu, struct buffer *out)
{
        if (error == PLAN_E_CPU)
                buffer_printf(out, "cpus: CPU %u is not among those that this process may use", cpu);
        else
                buffer_printf(out, "a limit of %" PRIu64 " descriptors leaves none for clients",
                              machine->n_files);
}

bool plan_warning(const struct plan *plan, const struct config *config, uint64_t n_files, struct buffer *out)
{
        if (plan->max_clients >= config->max_clients)
                return false;
        buffer_printf(out,
                      "max_clients: %u does not fit into the limit of %" PRIu64
                      " descriptors; %u clients do, and "
                      "that is the maximum now (raise the limit with LimitNOFILE= or ulimit -Hn)",
                      config->max_clients, n_files, plan->max_clients);
        return true;
}
