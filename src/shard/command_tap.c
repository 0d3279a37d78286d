/* SPDX-License-Identifier: MIT */
/* BROKER TAP and MONITOR. */

#include "resp/writer.h"
#include "shard/client.h"
#include "shard/command.h"
#include "shard/gather.h"
#include "shard/state.h"
#include "shard/tap.h"

#define TAP_LIMIT_DEFAULT 1000 /* messages per second */
#define TAP_SIZE_DEFAULT  128  /* bytes of payload */
#define TAP_LIMIT_MAX     1000000000
#define TAP_SIZE_MAX      65536

static void tap_answer(struct client *c, const struct gather *g)
{
        (void)g;
        writer_simple(&c->shard->reply, "OK");
}

static void tap_start(struct client *c, const struct message_tap *tap, struct bytes pattern)
{
        tap_ask(c, tap, pattern);
        c->gather->write = tap_answer;
}

/* A number of one option. Return: false: the error was answered. */
static bool tap_number(struct client *c, struct bytes name, struct bytes text, long long max, long long *np)
{
        if (command_integer(text, np) && *np >= 0 && *np <= max)
                return true;
        command_error(c, "%.*s takes a number from 0 to %lld", (int)name.n, (const char *)name.p, max);
        return false;
}

/* The options from the argument i on. Return: false: the error was answered. */
static bool tap_options(struct client *c, const struct request *request, uint32_t i, struct message_tap *tap)
{
        for (; i + 1 < request->argc; i += 2) {
                struct bytes name = request->argv[i];
                bool limit = bytes_is(name, "limit");
                long long n;

                if (!limit && !bytes_is(name, "size")) {
                        command_error(c, "syntax error: expected BROKER TAP [pattern] [LIMIT n] [SIZE n]");
                        return false;
                }
                if (!tap_number(c, name, request->argv[i + 1], limit ? TAP_LIMIT_MAX : TAP_SIZE_MAX, &n))
                        return false;
                if (limit)
                        tap->limit = (uint64_t)n;
                else
                        tap->size = (uint32_t)n;
        }
        return true;
}

/* Options come in pairs, so an odd number of arguments begins with the pattern, whatever that is. */
enum command_result command_broker_tap(struct client *c, const struct request *request)
{
        struct message_tap tap = { .kind = TAP_MESSAGES, .limit = TAP_LIMIT_DEFAULT, .size = TAP_SIZE_DEFAULT };
        struct bytes pattern = { 0 };

        tap.any = request->argc % 2 == 0;
        if (!tap.any)
                pattern = request->argv[2];
        if (c->tapper) {
                command_error(c, "this connection taps already; RESET ends that");
                return COMMAND_DONE;
        }
        if (pattern.n > TAP_PATTERN_MAX) {
                command_error(c, "the pattern is longer than %d bytes", TAP_PATTERN_MAX);
                return COMMAND_DONE;
        }
        if (tap_options(c, request, tap.any ? 2 : 3, &tap))
                tap_start(c, &tap, pattern);
        return COMMAND_DONE;
}

/* Redis does not answer a second MONITOR. */
enum command_result command_monitor(struct client *c, const struct request *request)
{
        struct message_tap tap = { .kind = TAP_COMMANDS, .any = true };

        (void)request;
        if (tap_is_monitor(c))
                return COMMAND_DONE;
        if (c->tapper)
                command_error(c, "this connection taps already; RESET ends that");
        else
                tap_start(c, &tap, (struct bytes){ 0 });
        return COMMAND_DONE;
}
