/* SPDX-License-Identifier: MIT */
/* `brokerctl top`: the screen, or, where nobody looks at one, a line for each period. */

#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "ctl/json.h"
#include "ctl/say.h"
#include "ctl/text.h"
#include "ctl/top_json.h"
#include "ctl/top_screen.h"
#include "ctl/top_session.h"
#include "ctl/verbs.h"
#include "util/clock.h"

#define TOP_HEAD_EVERY 20 /* lines */

/* ---------------------------------------------------------------- lines */

static void lines_count(double n, int width)
{
        char text[TEXT_NUMBER_SIZE];

        text_count(text, (uint64_t)(n + 0.5));
        printf(" %*s", width, text);
}

static void lines_bytes(double n, int width)
{
        char text[TEXT_NUMBER_SIZE];

        text_bytes(text, (uint64_t)(n + 0.5));
        printf(" %*s", width, text);
}

static void lines_print(const struct top_session *s, uint64_t n)
{
        const struct top_rates *r = &s->sum;
        uint64_t waiting = 0, output = 0, backlog = 0;
        time_t now = time(NULL);
        char clock[16] = "-";
        struct tm tm;

        if (n % TOP_HEAD_EVERY == 0)
                puts("time     clients  in/s out/s inB/s outB/s drops/s  slow queued between  cpu%");
        for (unsigned i = 0; i < s->look.n_shards; i++) {
                waiting += s->look.shards[i].waiting_clients;
                output += s->look.shards[i].output_bytes;
                backlog += s->look.shards[i].backlog_bytes;
        }
        if (localtime_r(&now, &tm))
                strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
        printf("%s", clock);
        lines_count((double)s->look.clients, 7);
        lines_count(r->messages_in, 5);
        lines_count(r->messages_out, 5);
        lines_bytes(r->bytes_in, 5);
        lines_bytes(r->bytes_out, 6);
        lines_count(r->drops, 7);
        lines_count((double)waiting, 5);
        lines_bytes((double)output, 6);
        lines_bytes((double)backlog, 7);
        printf(" %5.1f\n", 100 * r->cpu);
}

/* ---------------------------------------------------------------- JSON */

static void json_shards(struct json *json, const struct top_session *s)
{
        json_list(json, "shards");
        for (unsigned i = 0; i < s->look.n_shards; i++) {
                json_object(json, NULL);
                json_unsigned(json, "id", s->look.shards[i].id);
                json_unsigned(json, "clients", s->look.shards[i].clients);
                json_unsigned(json, "output_bytes", s->look.shards[i].output_bytes);
                top_json_rates(json, &s->shards[i]);
                json_close(json);
        }
        json_close(json);
}

static void json_print(const struct top_session *s)
{
        struct timespec now;
        struct json json;

        clock_gettime(CLOCK_REALTIME, &now);
        json_begin(&json, stdout, "brokerctl.top/1");
        json_seconds(&json, "time_seconds", (double)now.tv_sec + (double)now.tv_nsec / 1e9);
        json_seconds(&json, "interval_seconds", s->sum.seconds);
        json_unsigned(&json, "uptime_seconds", s->look.uptime);
        json_unsigned(&json, "clients", s->look.clients);
        json_object(&json, "total");
        top_json_rates(&json, &s->sum);
        json_close(&json);
        json_shards(&json, s);
        top_json_channels(&json, "channels", &s->channels, TOP_CLIENTS);
        top_json_clients(&json, "publishers", &s->publishers);
        top_json_clients(&json, "waiting", &s->waiting);
        json_end(&json);
}

/* ---------------------------------------------------------------- the verb */

static int top_batch(struct top_session *s)
{
        const struct ctl_request *request = s->request;
        uint64_t n = 0;
        int r = CTL_OK;

        while (!r && (!request->count || n < request->count)) {
                top_session_ask(s);
                if (!top_session_wait(s))
                        return top_session_explain(s);
                if (s->has_rates) {
                        top_channels_sort(&s->channels, TOP_BY_RATE);
                        if (request->json)
                                json_print(s);
                        else
                                lines_print(s, n);
                        n++;
                        r = say_flush();
                }
                if (!r && (!request->count || n < request->count) && !top_session_wait(s))
                        return top_session_explain(s);
        }
        return r;
}

int verb_top(const struct ctl_request *request)
{
        bool screen = !request->batch && !request->json && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
        struct ctl_request asked = *request;
        struct top_session session;
        int r;

        if (!asked.interval)
                asked.interval = NSEC_PER_SEC;
        if (asked.interval < NSEC_PER_SEC)
                return say_usage("top looks at most once a second, so that it costs the broker nothing: say -d "
                                 "1, or more");
        r = top_session_open(&session, &asked);
        if (!r) {
                r = screen ? top_screen(&session) : TOP_SCREEN_NONE;
                if (r == TOP_SCREEN_NONE)
                        r = top_batch(&session);
        }
        top_session_close(&session);
        return r;
}
