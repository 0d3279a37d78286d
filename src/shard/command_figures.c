/* SPDX-License-Identifier: MIT */
/* BROKER LATENCY and TOP: what they are asked for. */

#include "shard/busiest.h"
#include "shard/client.h"
#include "shard/command.h"
#include "shard/latency.h"
#include "shard/parts.h"

enum command_result command_broker_latency(struct client *c, const struct request *request)
{
        if (request->argc == 2)
                parts_ask(c, QUERY_LATENCY, 0, latency_write);
        else if (request->argc == 3 && bytes_is(request->argv[2], "reset"))
                parts_ask(c, QUERY_LATENCY_RESET, 0, latency_write);
        else
                command_error(c, "syntax error");
        return COMMAND_DONE;
}

enum command_result command_broker_top(struct client *c, const struct request *request)
{
        long long n = BUSIEST_DEFAULT;

        if (request->argc > 3)
                command_error(c, "syntax error");
        else if (request->argc == 3 && (!command_integer(request->argv[2], &n) || n < 1 || n > BUSIEST_MAX))
                command_error(c, "the number of clients should be from 1 to %d", BUSIEST_MAX);
        else
                parts_ask(c, QUERY_TOP, (uint32_t)n, busiest_write);
        return COMMAND_DONE;
}
