/* SPDX-License-Identifier: MIT */
/* The load generator: puts one kind of traffic on a broker and prints what it cost, as one line of JSON. */

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/traffic.h"
#include "bench/wire.h"

struct load {
        struct traffic_options traffic;
        struct traffic_limits limits;
        uint64_t warmup; /* messages */
        unsigned n_patterns;
        const char *pattern;
};

static const char usage[] =
        "usage: load --socket PATH [OPTION]...\n"
        "  --pid N            process whose CPU is measured\n"
        "  --subs N           subscribers, spread over the channels (1)\n"
        "  --pubs N           publishers (1)\n"
        "  --channels N       channels, served round robin (1)\n"
        "  --size N           bytes of a payload, at least 16 (16)\n"
        "  --pipeline N       messages of a window (1)\n"
        "  --lag N            windows whose deliveries may be missing when the next is sent (1)\n"
        "  --messages N       stop after so many\n"
        "  --seconds X        stop after this time\n"
        "  --cpu-seconds X    stop when the server has used so much CPU\n"
        "  --rate X           messages per second, each at its time; 0: a window after the other (0)\n"
        "  --warmup N         messages before the measurement (1000)\n"
        "  --threads N        of the load (1)\n"
        "  --prefix S --suffix S  of the channels' names (\"ch\", \"\")\n"
        "  --patterns N --pattern FORMAT  one more connection with so many patterns, %u in each is a number\n"
        "  --others N         subscribers of each channel that somebody else connected (0)\n"
        "  --subs-first       connect the subscribers first\n"
        "  --spin             never sleep\n";

enum {
        OPTION_SOCKET = 1,
        OPTION_PID,
        OPTION_SUBS,
        OPTION_PUBS,
        OPTION_CHANNELS,
        OPTION_SIZE,
        OPTION_PIPELINE,
        OPTION_LAG,
        OPTION_MESSAGES,
        OPTION_SECONDS,
        OPTION_CPU_SECONDS,
        OPTION_RATE,
        OPTION_WARMUP,
        OPTION_THREADS,
        OPTION_PREFIX,
        OPTION_SUFFIX,
        OPTION_PATTERNS,
        OPTION_PATTERN,
        OPTION_SUBS_FIRST,
        OPTION_OTHERS,
        OPTION_SPIN,
};

static const struct option long_options[] = {
        { "socket", required_argument, NULL, OPTION_SOCKET },
        { "pid", required_argument, NULL, OPTION_PID },
        { "subs", required_argument, NULL, OPTION_SUBS },
        { "pubs", required_argument, NULL, OPTION_PUBS },
        { "channels", required_argument, NULL, OPTION_CHANNELS },
        { "size", required_argument, NULL, OPTION_SIZE },
        { "pipeline", required_argument, NULL, OPTION_PIPELINE },
        { "lag", required_argument, NULL, OPTION_LAG },
        { "messages", required_argument, NULL, OPTION_MESSAGES },
        { "seconds", required_argument, NULL, OPTION_SECONDS },
        { "cpu-seconds", required_argument, NULL, OPTION_CPU_SECONDS },
        { "rate", required_argument, NULL, OPTION_RATE },
        { "warmup", required_argument, NULL, OPTION_WARMUP },
        { "threads", required_argument, NULL, OPTION_THREADS },
        { "prefix", required_argument, NULL, OPTION_PREFIX },
        { "suffix", required_argument, NULL, OPTION_SUFFIX },
        { "patterns", required_argument, NULL, OPTION_PATTERNS },
        { "pattern", required_argument, NULL, OPTION_PATTERN },
        { "others", required_argument, NULL, OPTION_OTHERS },
        { "subs-first", no_argument, NULL, OPTION_SUBS_FIRST },
        { "spin", no_argument, NULL, OPTION_SPIN },
        { 0 },
};

static _Noreturn void wrong_usage(void)
{
        fputs(usage, stderr);
        exit(2);
}

static double number(const char *text)
{
        char *end;
        double x = strtod(text, &end);

        if (*end || end == text || x < 0)
                wrong_usage();
        return x;
}

static void set_option(struct load *load, int option, char *value)
{
        struct traffic_options *t = &load->traffic;
        struct traffic_limits *l = &load->limits;

        switch (option) {
        case OPTION_SOCKET:
                t->path = value;
                break;
        case OPTION_PID:
                l->server = (pid_t)number(value);
                break;
        case OPTION_SUBS:
                t->n_subs = (unsigned)number(value);
                break;
        case OPTION_PUBS:
                t->n_pubs = (unsigned)number(value);
                break;
        case OPTION_CHANNELS:
                t->n_channels = (unsigned)number(value);
                break;
        case OPTION_SIZE:
                t->size = (size_t)number(value);
                break;
        case OPTION_PIPELINE:
                t->pipeline = (unsigned)number(value);
                break;
        case OPTION_LAG:
                t->lag = (unsigned)number(value);
                break;
        case OPTION_MESSAGES:
                l->messages = (uint64_t)number(value);
                break;
        case OPTION_SECONDS:
                l->wall_ns = (uint64_t)(1e9 * number(value));
                break;
        case OPTION_CPU_SECONDS:
                l->server_cpu_ns = (uint64_t)(1e9 * number(value));
                break;
        case OPTION_RATE:
                l->rate = number(value);
                break;
        case OPTION_WARMUP:
                load->warmup = (uint64_t)number(value);
                break;
        case OPTION_THREADS:
                t->n_threads = (unsigned)number(value);
                break;
        case OPTION_PREFIX:
                t->prefix = value;
                break;
        case OPTION_SUFFIX:
                t->suffix = value;
                break;
        case OPTION_PATTERNS:
                load->n_patterns = (unsigned)number(value);
                break;
        case OPTION_PATTERN:
                load->pattern = value;
                break;
        case OPTION_OTHERS:
                t->n_others = (unsigned)number(value);
                break;
        case OPTION_SUBS_FIRST:
                t->subs_first = true;
                break;
        case OPTION_SPIN:
                t->spin = true;
                break;
        default:
                wrong_usage();
        }
}

static void check_options(const struct load *load)
{
        const struct traffic_options *t = &load->traffic;
        const struct traffic_limits *l = &load->limits;

        if (!t->path || !t->n_pubs || !t->n_channels || !t->n_threads || !t->pipeline || t->size < WIRE_STAMP ||
            t->n_channels > 10000 || t->n_pubs > 60000 || t->n_subs % t->n_channels ||
            strlen(t->prefix) + strlen(t->suffix) > 40)
                wrong_usage();
        if ((!l->messages && !l->wall_ns && !l->server_cpu_ns) || (l->server_cpu_ns && !l->server))
                wrong_usage();
        if (load->n_patterns && (!load->pattern || !strstr(load->pattern, "%u") || strlen(load->pattern) > 40))
                wrong_usage();
}

static void print_quantiles(const char *name, struct samples *samples)
{
        if (!samples->n)
                return;
        printf(", \"%s_p50_us\": %.1f, \"%s_p99_us\": %.1f, \"%s_p999_us\": %.1f", name,
               (double)samples_quantile(samples, 0.5) / 1e3, name,
               (double)samples_quantile(samples, 0.99) / 1e3, name,
               (double)samples_quantile(samples, 0.999) / 1e3);
}

static void measure(struct traffic *traffic, const struct load *load)
{
        struct traffic_limits warmup = { .messages = load->warmup };
        struct meter_usage before, after;
        struct traffic_result result;
        uint64_t own;

        if (load->warmup)
                traffic_run(traffic, &warmup);
        before = meter_usage(load->limits.server);
        own = meter_own_cpu();
        result = traffic_run(traffic, &load->limits);
        own = meter_own_cpu() - own;
        after = meter_usage(load->limits.server);
        printf("{\"publishes\": %" PRIu64 ", \"deliveries\": %" PRIu64 ", \"wall_ns\": %" PRIu64
               ", \"server_cpu_ns\": %" PRIu64 ", \"server_runs\": %" PRIu64 ", \"load_cpu_ns\": %" PRIu64,
               result.publishes, result.deliveries, result.wall_ns, after.cpu_ns - before.cpu_ns,
               after.runs - before.runs, own);
        print_quantiles("latency", &result.latency);
        print_quantiles("late", &result.late);
        printf("}\n");
        samples_deinit(&result.latency);
        samples_deinit(&result.late);
}

int main(int argc, char **argv)
{
        struct load load = {
                .traffic = { .n_subs = 1,
                             .n_pubs = 1,
                             .n_channels = 1,
                             .n_threads = 1,
                             .size = WIRE_STAMP,
                             .pipeline = 1,
                             .lag = 1,
                             .prefix = "ch",
                             .suffix = "" },
                .warmup = 1000,
        };
        struct traffic *traffic;
        int option;

        while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1)
                set_option(&load, option, optarg);
        if (optind < argc)
                wrong_usage();
        check_options(&load);
        traffic = traffic_new(&load.traffic);
        if (load.n_patterns)
                traffic_add_patterns(traffic, load.n_patterns, load.pattern);
        measure(traffic, &load);
        traffic_free(traffic);
        return 0;
}
