/* SPDX-License-Identifier: MIT */
/*
 * Commands about a database as an empty one answers them. Tools and tests of programs that use Redis begin and
 * end with them; what asks for a key by its name is refused instead (shard/foreign).
 */

#include <errno.h>
#include <stdlib.h>

#include "resp/writer.h"
#include "shard/client.h"
#include "shard/command.h"
#include "shard/state.h"

static bool is_flush_mode(struct bytes word)
{
        return bytes_is(word, "sync") || bytes_is(word, "async");
}

/* FLUSHALL and FLUSHDB. */
enum command_result command_flush(struct client *c, const struct request *request)
{
        if (request->argc > 2 || (request->argc == 2 && !is_flush_mode(request->argv[1])))
                command_error(c, "syntax error");
        else
                writer_simple(&c->shard->reply, "OK");
        return COMMAND_DONE;
}

enum command_result command_dbsize(struct client *c, const struct request *request)
{
        (void)request;
        writer_integer(&c->shard->reply, 0);
        return COMMAND_DONE;
}

enum command_result command_keys(struct client *c, const struct request *request)
{
        (void)request;
        writer_array(&c->shard->reply, 0);
        return COMMAND_DONE;
}

/* ------------------------------------------------------------------ SCAN */

/* Redis reads a cursor with strtoul(), which takes a sign. */
static bool cursor_is_valid(struct bytes cursor)
{
        char text[64], *end;

        if (cursor.n >= sizeof(text) || (cursor.n && strchr(" \t\n\v\f\r", cursor.p[0])))
                return false;
        memcpy(text, cursor.p, cursor.n);
        text[cursor.n] = 0;
        errno = 0;
        (void)strtoul(text, &end, 10);
        return !*end && errno != ERANGE;
}

/* The text of the error in the options; NULL: there is none. */
static const char *scan_error(const struct request *request)
{
        long long count;

        for (uint32_t i = 2; i < request->argc; i += 2) {
                bool last = i + 1 == request->argc;

                if (!last && bytes_is(request->argv[i], "count")) {
                        if (!command_integer(request->argv[i + 1], &count))
                                return "value is not an integer or out of range";
                        if (count < 1)
                                return "syntax error";
                } else if (last ||
                           (!bytes_is(request->argv[i], "match") && !bytes_is(request->argv[i], "type"))) {
                        return "syntax error";
                }
        }
        return NULL;
}

enum command_result command_scan(struct client *c, const struct request *request)
{
        const char *error = cursor_is_valid(request->argv[1]) ? scan_error(request) : "invalid cursor";

        if (error) {
                command_error(c, "%s", error);
                return COMMAND_DONE;
        }
        writer_array(&c->shard->reply, 2);
        writer_bulk_str(&c->shard->reply, "0");
        writer_array(&c->shard->reply, 0);
        return COMMAND_DONE;
}

/* ------------------------------------------------------------------ FUNCTION */

static enum command_result function_flush(struct client *c, const struct request *request)
{
        if (request->argc > 3)
                command_error(c,
                              "unknown subcommand or wrong number of arguments for '%.*s'. Try FUNCTION HELP.",
                              (int)request->argv[1].n, (const char *)request->argv[1].p);
        else if (request->argc == 3 && !is_flush_mode(request->argv[2]))
                command_error(c, "FUNCTION FLUSH only supports SYNC|ASYNC option");
        else
                writer_simple(&c->shard->reply, "OK");
        return COMMAND_DONE;
}

static enum command_result function_list(struct client *c, const struct request *request)
{
        bool code = false, library = false;

        for (uint32_t i = 2; i < request->argc; i++) {
                struct bytes word = request->argv[i];

                if (!code && bytes_is(word, "withcode")) {
                        code = true;
                } else if (!library && bytes_is(word, "libraryname")) {
                        library = true;
                        if (++i == request->argc) {
                                command_error(c, "library name argument was not given");
                                return COMMAND_DONE;
                        }
                } else {
                        command_error(c, "Unknown argument %.*s", (int)(word.n < 128 ? word.n : 128),
                                      (const char *)word.p);
                        return COMMAND_DONE;
                }
        }
        writer_array(&c->shard->reply, 0);
        return COMMAND_DONE;
}

const struct command command_function_rows[] = {
        { "flush", -2, 0, function_flush, NULL, "scripting", "[ASYNC|SYNC]",
          "Deletes all libraries, of which there are none." },
        { "list", -2, 0, function_list, NULL, "scripting", "[LIBRARYNAME <pattern>] [WITHCODE]",
          "No libraries: brokerd runs no scripts." },
        COMMAND_HELP("scripting"),
        { 0 },
};
