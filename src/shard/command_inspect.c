/* SPDX-License-Identifier: MIT */
/* BROKER CLIENT, CHANNELS and PATTERNS: what they are asked for. */

#include "shard/client.h"
#include "shard/command.h"
#include "shard/inspect.h"
#include "shard/state.h"

enum command_result command_broker_client(struct client *c, const struct request *request)
{
        struct message_inspect question = { .any = true };
        long long id;

        if (!command_integer(request->argv[2], &id) || id < 1) {
                command_error(c, "Invalid client ID");
                return COMMAND_DONE;
        }
        question.id = (uint64_t)id;
        return inspect_ask(c, QUERY_CLIENT, question, (struct bytes){ 0 });
}

/* Reads "[pattern] [LIMIT n]". A pattern that is called LIMIT has to be followed by another LIMIT. */
static bool list_arguments(struct client *c, const struct request *request, struct message_inspect *question,
                           struct bytes *pattern)
{
        uint32_t argc = request->argc;
        long long limit = INSPECT_LIMIT;

        if (argc >= 4 && bytes_is(request->argv[argc - 2], "limit")) {
                if (!command_integer(request->argv[argc - 1], &limit) || limit < 1 ||
                    limit > INSPECT_LIMIT_MAX) {
                        command_error(c, "LIMIT should be from 1 to %d", INSPECT_LIMIT_MAX);
                        return false;
                }
                argc -= 2;
        }
        if (argc > 3) {
                command_error(c, "syntax error");
                return false;
        }
        *pattern = argc == 3 ? request->argv[2] : (struct bytes){ 0 };
        *question = (struct message_inspect){ .limit = (uint32_t)limit,
                                              .any = argc < 3,
                                              .pattern_size = (uint32_t)pattern->n };
        return true;
}

static enum command_result list_ask(struct client *c, const struct request *request, enum query_kind kind)
{
        struct message_inspect question;
        struct bytes pattern;

        if (!list_arguments(c, request, &question, &pattern))
                return COMMAND_DONE;
        return inspect_ask(c, kind, question, pattern);
}

enum command_result command_broker_channels(struct client *c, const struct request *request)
{
        return list_ask(c, request, QUERY_CHANNELS);
}

enum command_result command_broker_patterns(struct client *c, const struct request *request)
{
        return list_ask(c, request, QUERY_PATTERNS);
}
