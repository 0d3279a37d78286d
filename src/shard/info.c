/* SPDX-License-Identifier: MIT */

#include "shard/info.h"

#include <inttypes.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "resp/writer.h"
#include "shard/client.h"
#include "shard/counts.h"
#include "shard/gather.h"
#include "shard/state.h"
#include "shard/status.h"
#include "util/process.h"

/* What the sections are written from. */
struct info {
        const struct shard *shard;
        const struct control_status *control;
        const struct shard_status *own; /* the asked shard's */
        struct shard_status sum;        /* of INFO_SUMS, over all shards */
        const struct counts *counts;    /* over all shards */
};

#define INFO_SUMS(_)                                                                                           \
        _(clients)                                                                                             \
        _(commands)                                                                                            \
        _(messages_in)                                                                                         \
        _(messages_out)                                                                                        \
        _(bytes_in)                                                                                            \
        _(bytes_out)                                                                                           \
        _(mesh_sent)                                                                                           \
        _(wakes_sent)                                                                                          \
        _(output_bytes)                                                                                        \
        _(output_limit_closed)                                                                                 \
        _(protocol_errors)                                                                                     \
        SHARD_LEVELS(_)                                                                                        \
        SHARD_EVENTS(_)

static void info_add(struct shard_status *sum, const struct shard_status *one)
{
#define INFO_ADD(_name) sum->_name += one->_name;
        INFO_SUMS(INFO_ADD)
#undef INFO_ADD
}

static void info_text(struct buffer *b, const char *name, const char *value)
{
        buffer_printf(b, "%s:%s\r\n", name, value);
}

static void info_number(struct buffer *b, const char *name, uint64_t value)
{
        buffer_printf(b, "%s:%" PRIu64 "\r\n", name, value);
}

/* As Redis writes sizes for people: 12B, 3.45K, 1.00M. */
static void info_human(struct buffer *b, const char *name, uint64_t bytes)
{
        static const char unit[] = "BKMGTPE";
        double n = (double)bytes;
        size_t i = 0;

        while (n >= 1024 && unit[i + 1]) {
                n /= 1024;
                i++;
        }
        buffer_printf(b, i ? "%s:%.2f%c\r\n" : "%s:%.0f%c\r\n", name, n, unit[i]);
}

static void info_seconds(struct buffer *b, const char *name, uint64_t us)
{
        buffer_printf(b, "%s:%" PRIu64 ".%06" PRIu64 "\r\n", name, us / 1000000, us % 1000000);
}

/* ------------------------------------------------------------------ sections */

static void info_machine(struct buffer *b)
{
        struct utsname name;

        if (!uname(&name))
                buffer_printf(b, "os:%s %s %s\r\n", name.sysname, name.release, name.machine);
        info_number(b, "arch_bits", 8 * sizeof(void *));
}

static void info_server(struct buffer *b, const struct info *info)
{
        const char *reactor = info->shard->ops->name;
        uint64_t uptime = status_uptime(info->control);
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        info_text(b, "brokerd_version", info->shard->options.version);
        info_text(b, "redis_mode", "standalone"); /* no cluster; HELLO says so as well */
        info_machine(b);
        info_number(b, "process_id", (uint64_t)info->control->pid);
        info_number(b, "tcp_port", 0);
        info_number(b, "server_time_usec", (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
        info_number(b, "uptime_in_seconds", uptime);
        info_number(b, "uptime_in_days", uptime / (24 * 60 * 60));
        /* the kernel's interface, as Redis names it: libev is run on epoll only */
        info_text(b, "multiplexing_api", strcmp(reactor, "libev") ? reactor : "epoll");
}

static void info_clients(struct buffer *b, const struct info *info)
{
        info_number(b, "connected_clients", info->sum.clients);
        info_number(b, "maxclients", info->control->max_clients);
}

static void info_memory(struct buffer *b, const struct info *info)
{
        struct process_memory memory = process_memory();

        (void)info;
        info_number(b, "used_memory", memory.allocated);
        info_human(b, "used_memory_human", memory.allocated);
        info_number(b, "used_memory_rss", memory.resident);
        info_human(b, "used_memory_rss_human", memory.resident);
        info_number(b, "total_system_memory", memory.total);
        info_human(b, "total_system_memory_human", memory.total);
        info_number(b, "maxmemory", 0);
        info_human(b, "maxmemory_human", 0);
        info_text(b, "maxmemory_policy", "noeviction");
        buffer_printf(b, "mem_fragmentation_ratio:%.2f\r\n",
                      memory.allocated ? (double)memory.resident / (double)memory.allocated : 0.0);
        info_text(b, "mem_allocator", "libc");
}

/* Every shard knows the channels and patterns of all, so one shard's numbers are those of the broker. */
static void info_stats(struct buffer *b, const struct info *info)
{
        info_number(b, "total_connections_received", info->control->accepted);
        info_number(b, "total_commands_processed", info->sum.commands);
        info_number(b, "total_net_input_bytes", info->sum.bytes_in);
        info_number(b, "total_net_output_bytes", info->sum.bytes_out);
        info_number(b, "rejected_connections",
                    info->control->rejected_full + info->control->rejected_user_clients +
                            info->control->rejected_user_connects);
        info_number(b, "pubsub_channels", info->own->channels);
        info_number(b, "pubsub_patterns", info->own->patterns);
        info_number(b, "pubsubshard_channels", info->own->shard_channels);
        info_number(b, "total_error_replies", info->counts->n_errors);
        info_number(b, "client_query_buffer_limit_disconnections", info->sum.query_limit_closed);
        info_number(b, "client_output_buffer_limit_disconnections", info->sum.output_limit_closed);
        info_number(b, "acl_access_denied_auth", info->control->auth_wrong);
}

static void info_cpu(struct buffer *b, const struct info *info)
{
        struct process_cpu cpu = process_cpu();

        (void)info;
        info_seconds(b, "used_cpu_sys", cpu.system_us);
        info_seconds(b, "used_cpu_user", cpu.user_us);
        info_seconds(b, "used_cpu_sys_children", cpu.children_system_us);
        info_seconds(b, "used_cpu_user_children", cpu.children_user_us);
}

static void info_commandstats(struct buffer *b, const struct info *info)
{
        counts_write_commands(info->counts, b);
}

static void info_errorstats(struct buffer *b, const struct info *info)
{
        counts_write_errors(info->counts, b);
}

static void info_broker(struct buffer *b, const struct info *info)
{
        const struct shard_options *options = &info->shard->options;

        info_number(b, "shards", options->n_shards);
        info_text(b, "reactor", info->shard->ops->name);
        info_text(b, "reactor_reason", options->reactor_reason ? options->reactor_reason : "");
        info_number(b, "messages_in", info->sum.messages_in);
        info_number(b, "messages_out", info->sum.messages_out);
        info_number(b, "mesh_sent", info->sum.mesh_sent);
        info_number(b, "wakes_sent", info->sum.wakes_sent);
        info_number(b, "output_bytes", info->sum.output_bytes);
        info_number(b, "output_limit_closed", info->sum.output_limit_closed);
        info_number(b, "protocol_errors", info->sum.protocol_errors);
        info_number(b, "reloads", info->control->reloads);
        info_number(b, "reloads_refused", info->control->reloads_refused);
        info_number(b, "reload_time", info->control->reload_time);
        info_number(b, "rejected_full", info->control->rejected_full);
        info_number(b, "rejected_user_clients", info->control->rejected_user_clients);
        info_number(b, "rejected_user_connects", info->control->rejected_user_connects);
#define INFO_SUM(_name) info_number(b, #_name, info->sum._name);
        SHARD_LEVELS(INFO_SUM)
        SHARD_EVENTS(INFO_SUM)
#undef INFO_SUM
}

/* In the order in which they are written. */
static const struct info_section {
        const char *title; /* and, in letters of any case, what an argument calls it */
        void (*write)(struct buffer *b, const struct info *info);
        bool by_default; /* as Redis does, the long one must be asked for */
} info_table[] = {
        { "Server", info_server, true },
        { "Clients", info_clients, true },
        { "Memory", info_memory, true },
        { "Stats", info_stats, true },
        { "CPU", info_cpu, true },
        { "Commandstats", info_commandstats, false },
        { "Errorstats", info_errorstats, true },
        { "Broker", info_broker, true },
};

#define INFO_N   (sizeof(info_table) / sizeof(*info_table))
#define INFO_ALL ((1U << INFO_N) - 1)

static unsigned info_default(void)
{
        unsigned sections = 0;

        for (unsigned i = 0; i < INFO_N; i++)
                sections |= (unsigned)info_table[i].by_default << i;
        return sections;
}

static unsigned info_section(struct bytes name)
{
        for (unsigned i = 0; i < INFO_N; i++)
                if (bytes_is(name, info_table[i].title))
                        return 1U << i;
        if (bytes_is(name, "default"))
                return info_default();
        if (bytes_is(name, "all") || bytes_is(name, "everything"))
                return INFO_ALL;
        return 0;
}

unsigned info_sections(const struct bytes *names, size_t n)
{
        unsigned sections = n ? 0 : info_default();

        for (size_t i = 0; i < n; i++)
                sections |= info_section(names[i]);
        return sections;
}

/* ------------------------------------------------------------------ the reply */

static void info_write_text(struct buffer *b, const struct info *info, unsigned sections)
{
        for (unsigned i = 0; i < INFO_N; i++) {
                if (!(sections & 1U << i))
                        continue;
                buffer_printf(b, "%s# %s\r\n", buffer_size(b) ? "\r\n" : "", info_table[i].title);
                info_table[i].write(b, info);
        }
}

void info_write(struct client *c, const struct gather *g)
{
        struct shard *s = c->shard;
        struct info info = {
                .shard = s, .control = &g->control, .own = &g->shards[s->options.id], .counts = g->counts
        };
        struct buffer text = { 0 };

        for (unsigned i = 0; i < s->options.n_shards; i++)
                info_add(&info.sum, &g->shards[i]);
        info_write_text(&text, &info, g->sections);
        writer_verbatim(&s->reply, c->subscriber.protocol, "txt", buffer_view(&text));
        buffer_deinit(&text);
}
