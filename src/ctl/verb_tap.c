/* SPDX-License-Identifier: MIT */
/* brokerctl tap: messages of all clients, as BROKER TAP shows them. */

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ctl/clients.h"
#include "ctl/json.h"
#include "ctl/say.h"
#include "ctl/text.h"
#include "ctl/verbs.h"
#include "util/clock.h"

#define TAP_SIZE_MAX 65536
#define TAP_PROGRAMS 256 /* clients whose program is remembered: /proc is not read for each message */

struct tap_program {
        uint64_t client;
        char name[32];
};

struct tap {
        const struct ctl_request *request;
        struct link link;
        uint64_t n_messages;
        uint64_t deadline; /* of the answer; CLOCK_NEVER once it is there */
        bool done;
        struct tap_program programs[TAP_PROGRAMS]; /* by the id of the client */
};

/* What the broker says of a message: a flat array of names and values. New names are passed over. */
struct tap_event {
        const redisReply *fields;
        struct bytes payload;
        struct timespec time;
};

static const redisReply *tap_field(const struct tap_event *event, const char *name)
{
        for (size_t i = 0; i + 1 < event->fields->elements; i += 2) {
                const redisReply *key = event->fields->element[i];

                if (key->type == REDIS_REPLY_STRING && !strcmp(key->str, name))
                        return event->fields->element[i + 1];
        }
        return NULL;
}

static struct bytes tap_bytes(const struct tap_event *event, const char *name)
{
        const redisReply *value = tap_field(event, name);

        return value && value->type == REDIS_REPLY_STRING ? bytes_of(value->str, value->len) : (struct bytes){};
}

static uint64_t tap_number(const struct tap_event *event, const char *name)
{
        const redisReply *value = tap_field(event, name);

        return value && value->type == REDIS_REPLY_INTEGER ? (uint64_t)value->integer : 0;
}

/* "1795565351.242789": six decimals. */
static struct timespec tap_time(struct bytes text)
{
        struct timespec time = { 0 };
        char *end, copy[32] = "";

        memcpy(copy, text.p ? text.p : (const uint8_t *)"", text.n < sizeof(copy) ? text.n : 0);
        time.tv_sec = (time_t)strtoll(copy, &end, 10);
        if (*end == '.')
                time.tv_nsec = 1000 * (strtol(end + 1, NULL, 10) % 1000000);
        return time;
}

static const char *tap_program(struct tap *tap, const struct tap_event *event)
{
        uint64_t client = tap_number(event, "id");
        struct tap_program *program = &tap->programs[client % TAP_PROGRAMS];

        if (program->client != client) {
                program->client = client;
                client_program_of(tap_number(event, "pid"), program->name, sizeof(program->name));
        }
        return program->name;
}

/* ---------------------------------------------------------------- printing */

static void tap_put_payload(const struct tap *tap, const struct tap_event *event)
{
        for (size_t i = 0; tap->request->hex && i < event->payload.n; i++)
                printf("%02x", event->payload.p[i]);
        if (!tap->request->hex)
                text_escape(stdout, event->payload);
        if (event->payload.n < tap_number(event, "size"))
                fputs("...", stdout);
}

/* Time, who, process id, uid, channel, size, receivers, payload, with tabs between them. */
static void tap_print(struct tap *tap, const struct tap_event *event)
{
        struct bytes name = tap_bytes(event, "name");
        char time[TEXT_TIME_SIZE];

        text_time(time, &event->time);
        printf("%s\t", time);
        text_escape(stdout, name.n ? name : bytes_str(tap_program(tap, event)));
        printf("\t%" PRIu64 "\t%" PRIu64 "\t", tap_number(event, "pid"), tap_number(event, "uid"));
        text_escape(stdout, tap_bytes(event, "channel"));
        printf("\t%" PRIu64 "\t%" PRIu64 "\t", tap_number(event, "size"), tap_number(event, "receivers"));
        tap_put_payload(tap, event);
        putchar('\n');
}

static void tap_print_json(struct tap *tap, const struct tap_event *event)
{
        struct json json;

        json_begin(&json, stdout, "brokerctl.tap/1");
        json_seconds(&json, "time_seconds", (double)event->time.tv_sec + (double)event->time.tv_nsec / 1e9);
        json_unsigned(&json, "id", tap_number(event, "id"));
        json_unsigned(&json, "uid", tap_number(event, "uid"));
        json_unsigned(&json, "pid", tap_number(event, "pid"));
        json_bytes(&json, "name", tap_bytes(event, "name"));
        json_bytes(&json, "program", bytes_str(tap_program(tap, event)));
        json_bytes(&json, "command", tap_bytes(event, "command"));
        json_bytes(&json, "channel", tap_bytes(event, "channel"));
        json_unsigned(&json, "size_bytes", tap_number(event, "size"));
        json_unsigned(&json, "receivers", tap_number(event, "receivers"));
        json_bytes(&json, "payload", event->payload);
        json_end(&json);
}

static void tap_skipped(const struct tap *tap, uint64_t n)
{
        struct json json;

        if (!tap->request->json) {
                say_note(tap->request, "skipped %" PRIu64, n);
                return;
        }
        json_begin(&json, stdout, "brokerctl.tap-skipped/1");
        json_unsigned(&json, "skipped", n);
        json_end(&json);
}

/* ---------------------------------------------------------------- the connection */

static void tap_ask(struct tap *tap)
{
        struct bytes words[7] = { BYTES_LITERAL("BROKER"), BYTES_LITERAL("TAP") };
        char limit[24], size[24];
        size_t n = 2;

        if (tap->request->n_operands)
                words[n++] = bytes_str(tap->request->operands[0]);
        if (tap->request->limit) {
                snprintf(limit, sizeof(limit), "%" PRIu64, tap->request->limit);
                words[n++] = BYTES_LITERAL("LIMIT");
                words[n++] = bytes_str(limit);
        }
        if (tap->request->size != UINT64_MAX) {
                snprintf(size, sizeof(size), "%" PRIu64, tap->request->size);
                words[n++] = BYTES_LITERAL("SIZE");
                words[n++] = bytes_str(size);
        }
        link_queue(&tap->link, words, n);
}

static bool tap_is(const redisReply *reply, const char *kind, int type)
{
        return reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
               reply->element[0]->type == REDIS_REPLY_STRING && !strcmp(reply->element[0]->str, kind) &&
               reply->element[1]->type == type;
}

static int tap_take(struct tap *tap, const redisReply *reply)
{
        struct tap_event event;

        if (reply->type == REDIS_REPLY_ERROR)
                return link_refused(&tap->link, reply);
        if (reply->type == REDIS_REPLY_STATUS && tap->deadline != CLOCK_NEVER) {
                tap->deadline = CLOCK_NEVER;
                say_note(tap->request, "tapping");
                return CTL_OK;
        }
        if (tap_is(reply, "tap-skipped", REDIS_REPLY_INTEGER)) {
                tap_skipped(tap, (uint64_t)reply->element[1]->integer);
                return CTL_OK;
        }
        if (!tap_is(reply, "tap", REDIS_REPLY_ARRAY))
                return verb_strange(&tap->link);
        event.fields = reply->element[1];
        event.payload = tap_bytes(&event, "payload");
        event.time = tap_time(tap_bytes(&event, "time"));
        if (tap->request->json)
                tap_print_json(tap, &event);
        else
                tap_print(tap, &event);
        tap->n_messages++;
        tap->done = tap->request->count && tap->n_messages >= tap->request->count;
        return CTL_OK;
}

/* Everything that has been read is printed and flushed before the next wait. */
static int tap_take_all(struct tap *tap)
{
        redisReply *reply;
        int r = CTL_OK, flushed;

        while (!r && !tap->done) {
                if (link_parse(&tap->link, &reply))
                        r = link_explain(&tap->link, tap->request, LINK_E_PROTOCOL);
                if (r || !reply)
                        break;
                r = tap_take(tap, reply);
                freeReplyObject(reply);
        }
        flushed = say_flush();
        return r ? r : flushed;
}

static int tap_run(struct tap *tap)
{
        int r = CTL_OK;

        tap_ask(tap);
        while (!r && !tap->done) {
                r = link_pump(&tap->link, tap->deadline, STDOUT_FILENO);
                r = r ? link_explain(&tap->link, tap->request, r) : tap_take_all(tap);
        }
        return r;
}

int verb_tap(const struct ctl_request *request)
{
        struct tap tap = { .request = request };
        int r;

        if (request->hex && request->json)
                return say_usage("--json has bytes in a form of its own, so --hex does not go with it");
        if (request->size != UINT64_MAX && request->size > TAP_SIZE_MAX)
                return say_usage("bad value for --size: got \"%" PRIu64 "\", expected an integer from 0 to %d",
                                 request->size, TAP_SIZE_MAX);
        r = link_open(&tap.link, request);
        if (!r) {
                tap.deadline = clock_now() + request->timeout;
                r = tap_run(&tap);
        }
        link_close(&tap.link);
        return r;
}
