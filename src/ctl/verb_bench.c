/* SPDX-License-Identifier: MIT */
/* What the running broker and this machine do together: brokerctl bench. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "ctl/bench.h"
#include "ctl/json.h"
#include "ctl/say.h"
#include "ctl/text.h"
#include "ctl/verbs.h"
#include "util/clock.h"
#include "util/mem.h"

#define BENCH_OWN_CPU_MAX 0.9 /* of a CPU: above, the program may be what limits the figures */

/* What figures can be compared by. "" where it is not known. */
struct bench_place {
        char version[32], reactor[32], shards[16];
        char kernel[80], cpu[80], governor[32];
        long n_cpus;
};

/* ---------------------------------------------------------------- where it runs */

/* The value of a line "name: value", of a file or of INFO; up to the end of the line. */
static bool bench_take_line(char *to, size_t size, const char *line, const char *name)
{
        size_t n = strlen(name);
        const char *value = line + n;

        if (strncmp(line, name, n) != 0)
                return false;
        value += strspn(value, " \t:");
        snprintf(to, size, "%.*s", (int)strcspn(value, "\r\n"), value);
        return true;
}

static void bench_read_file(char *to, size_t size, const char *path, const char *name)
{
        FILE *file = fopen(path, "re");
        char line[256];

        while (file && fgets(line, sizeof(line), file))
                if (bench_take_line(to, size, line, name))
                        break;
        if (file)
                fclose(file);
}

static void bench_take_info(struct bench_place *place, const char *info)
{
        for (const char *line = info; line; line = strchr(line, '\n')) {
                line += *line == '\n';
                bench_take_line(place->version, sizeof(place->version), line, "brokerd_version:");
                bench_take_line(place->reactor, sizeof(place->reactor), line, "reactor:");
                bench_take_line(place->shards, sizeof(place->shards), line, "shards:");
        }
}

/* Also finds out whether there is a broker at all, before anybody is asked. */
static int bench_find_place(struct bench_place *place, const struct ctl_request *request)
{
        struct bytes words[] = { BYTES_LITERAL("INFO") };
        struct utsname name;
        redisReply *reply;
        struct link link;
        int r = link_ask(&link, request, words, 1, &reply);

        *place = (struct bench_place){ .n_cpus = sysconf(_SC_NPROCESSORS_ONLN) };
        if (!r) {
                if (reply->type == REDIS_REPLY_STRING)
                        bench_take_info(place, reply->str);
                else
                        r = verb_strange(&link);
                freeReplyObject(reply);
        }
        link_close(&link);
        if (uname(&name) == 0)
                snprintf(place->kernel, sizeof(place->kernel), "%.10s %.64s", name.sysname, name.release);
        bench_read_file(place->cpu, sizeof(place->cpu), "/proc/cpuinfo", "model name");
        bench_read_file(place->governor, sizeof(place->governor),
                        "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "");
        return r;
}

/* ---------------------------------------------------------------- words */

static void bench_print_text(const char *before, const char *text, const char *otherwise)
{
        fputs(before, stdout);
        text_escape(stdout, bytes_str(*text ? text : otherwise));
}

static void bench_print_place(const struct bench_place *place)
{
        bench_print_text("brokerd ", place->version, "of unknown version");
        bench_print_text(", shards ", place->shards, "unknown");
        bench_print_text(", reactor ", place->reactor, "unknown");
        bench_print_text("\n", place->kernel, "unknown kernel");
        printf(", %ld CPU%s ", place->n_cpus, place->n_cpus == 1 ? "" : "s");
        bench_print_text("", place->cpu, "of unknown model");
        bench_print_text(", governor ", place->governor, "unknown");
        putchar('\n');
}

static void bench_print_plan(const struct bench_plan *plan)
{
        printf("%u publishers, %u subscribers, messages of %zu bytes, ", plan->n_publishers,
               plan->n_subscribers, plan->size);
        if (plan->rate)
                printf("%" PRIu64 " messages/s by the clock", plan->rate);
        else
                printf("each publisher with %u unanswered", plan->pipeline);
        printf("\n%g s measured, after %g s of warm-up\n\n", (double)plan->measure / 1e9,
               (double)plan->warm_up / 1e9);
}

static double bench_per_second(const struct bench_result *result, uint64_t n)
{
        return result->duration ? (double)n * 1e9 / (double)result->duration : 0;
}

static const struct {
        const char *name, *json;
        unsigned per_million;
} percentiles[] = {
        { "p50", "p50_seconds", 500000 },  { "p90", "p90_seconds", 900000 },
        { "p99", "p99_seconds", 990000 },  { "p99.9", "p99_9_seconds", 999000 },
        { "max", "max_seconds", 1000000 },
};

#define N_PERCENTILES (sizeof(percentiles) / sizeof(*percentiles))

static void bench_print_latency(const struct bench_plan *plan, const struct bench_result *result)
{
        printf("latency    ");
        for (size_t i = 0; i < N_PERCENTILES; i++)
                printf("%s %.1f us%s", percentiles[i].name,
                       (double)histogram_at(&result->latency, percentiles[i].per_million) / 1e3,
                       i + 1 < N_PERCENTILES ? ", " : "\n");
        printf("           from when a message was %s to %s\n", plan->rate ? "due" : "sent",
               plan->n_subscribers ? "each delivery" : "its answer");
}

static void bench_print(const struct bench_place *place, const struct bench_plan *plan,
                        const struct bench_result *result)
{
        double size = (double)plan->size / 1e6;

        bench_print_place(place);
        bench_print_plan(plan);
        printf("published  %.0f messages/s, %.2f MB/s\n", bench_per_second(result, result->published),
               bench_per_second(result, result->published) * size);
        printf("delivered  %.0f messages/s, %.2f MB/s\n", bench_per_second(result, result->delivered),
               bench_per_second(result, result->delivered) * size);
        bench_print_latency(plan, result);
        printf("lost       %" PRIu64 " not delivered, %" PRIu64 " not answered, %" PRIu64 " not sent, %" PRIu64
               " out of order\n",
               result->lost, result->unanswered, result->unsent, result->disordered);
        printf("brokerctl  %.2f CPUs of its own\n", result->cpu);
}

static void bench_json_place(struct json *json, const struct bench_place *place)
{
        json_object(json, "place");
        json_string(json, "version", place->version);
        json_string(json, "reactor", place->reactor);
        json_number(json, "shards", strtol(place->shards, NULL, 10));
        json_string(json, "kernel", place->kernel);
        json_number(json, "cpus", place->n_cpus);
        json_string(json, "cpu", place->cpu);
        json_string(json, "governor", place->governor);
        json_close(json);
}

static void bench_json_plan(struct json *json, const struct bench_plan *plan)
{
        json_object(json, "plan");
        json_unsigned(json, "clients", plan->n_publishers);
        json_unsigned(json, "subscribers", plan->n_subscribers);
        json_unsigned(json, "size_bytes", plan->size);
        json_unsigned(json, "rate_per_second", plan->rate); /* 0: none */
        json_unsigned(json, "pipeline", plan->rate ? 0 : plan->pipeline);
        json_seconds(json, "warm_up_seconds", (double)plan->warm_up / 1e9);
        json_seconds(json, "measured_seconds", (double)plan->measure / 1e9);
        json_close(json);
}

static void bench_print_json(const struct bench_place *place, const struct bench_plan *plan,
                             const struct bench_result *result)
{
        struct json json;

        json_begin(&json, stdout, "brokerctl.bench/1");
        bench_json_place(&json, place);
        bench_json_plan(&json, plan);
        json_seconds(&json, "published_per_second", bench_per_second(result, result->published));
        json_seconds(&json, "delivered_per_second", bench_per_second(result, result->delivered));
        json_seconds(&json, "delivered_bytes_per_second",
                     bench_per_second(result, result->delivered) * (double)plan->size);
        json_object(&json, "latency");
        json_unsigned(&json, "count", result->latency.n);
        for (size_t i = 0; i < N_PERCENTILES; i++)
                json_seconds(&json, percentiles[i].json,
                             (double)histogram_at(&result->latency, percentiles[i].per_million) / 1e9);
        json_close(&json);
        json_unsigned(&json, "lost", result->lost);
        json_unsigned(&json, "unanswered", result->unanswered);
        json_unsigned(&json, "unsent", result->unsent);
        json_unsigned(&json, "disordered", result->disordered);
        json_seconds(&json, "own_cpus", result->cpu);
        json_end(&json);
}

/* What speaks against the figures. */
static void bench_doubt(const struct ctl_request *request, const struct bench_plan *plan,
                        const struct bench_result *result)
{
        if (result->cpu > BENCH_OWN_CPU_MAX)
                say_note(request,
                         "brokerctl itself was busy for %.0f %% of the time: the broker may be able to do more",
                         result->cpu * 100);
        if (result->unsent)
                say_note(request,
                         "%" PRIu64 " messages could not be sent: %" PRIu64
                         " messages/s are more than the broker takes, and the latencies lack those messages",
                         result->unsent, plan->rate);
        if (result->lost || result->disordered)
                say_error("%" PRIu64 " messages were answered and not delivered, %" PRIu64 " came out of order",
                          result->lost, result->disordered);
}

/* ---------------------------------------------------------------- the verb */

#define BENCH_SIZE_MIN 16 /* bytes: what a message of the bench says by itself */

static uint64_t bench_given(uint64_t value, uint64_t otherwise)
{
        return value == UINT64_MAX ? otherwise : value;
}

static int bench_make_plan(struct bench_plan *plan, const struct ctl_request *request)
{
        if (request->rate != UINT64_MAX && request->pipeline != UINT64_MAX)
                return say_usage("--rate publishes by the clock, so --pipeline does not go with it");
        if (request->size < BENCH_SIZE_MIN)
                return say_usage("bad value for --size: got \"%" PRIu64
                                 "\", expected an integer from %d to 16777216",
                                 request->size, BENCH_SIZE_MIN);
        *plan = (struct bench_plan){
                .n_publishers = (unsigned)bench_given(request->clients, 4),
                .n_subscribers = (unsigned)bench_given(request->subscribers, 4),
                .size = (size_t)bench_given(request->size, 100),
                .rate = bench_given(request->rate, 0),
                .pipeline = (unsigned)bench_given(request->pipeline, 1),
                .measure = bench_given(request->duration, 5 * NSEC_PER_SEC),
        };
        plan->warm_up = plan->measure / 5 < 2 * NSEC_PER_SEC ? plan->measure / 5 : 2 * NSEC_PER_SEC;
        return CTL_OK;
}

/* Return: whether to go on. */
static bool bench_confirm(const struct ctl_request *request, const struct bench_plan *plan)
{
        say_note(request, "this loads the broker that runs, for %g s: its other clients will notice",
                 (double)(plan->warm_up + plan->measure) / 1e9);
        return say_confirm(request, "load the broker: say --yes", "Go on?");
}

static int bench_show(const struct ctl_request *request, const struct bench_place *place,
                      const struct bench_plan *plan, const struct bench_result *result)
{
        int r;

        if (request->json)
                bench_print_json(place, plan, result);
        else
                bench_print(place, plan, result);
        r = say_flush();
        bench_doubt(request, plan, result);
        return r ? r : result->lost || result->disordered || result->unanswered ? CTL_PARTIAL : CTL_OK;
}

int verb_bench(const struct ctl_request *request)
{
        struct bench_result *result;
        struct bench_place place;
        struct bench_plan plan;
        int r = bench_make_plan(&plan, request);

        if (!r)
                r = bench_find_place(&place, request);
        if (r)
                return r;
        if (!bench_confirm(request, &plan))
                return CTL_FAILED;
        result = mem_zalloc(sizeof(*result));
        r = bench_run(result, &plan, request);
        if (!r)
                r = bench_show(request, &place, &plan, result);
        free(result);
        return r;
}
