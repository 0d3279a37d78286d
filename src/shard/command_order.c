/* SPDX-License-Identifier: MIT */
/*
 * BROKER CONFIG, DRAIN and LOG: what control does for a client. The client waits for the answer in a gather of
 * its own; if it is gone by then the answer is dropped, and what it asked for is done all the same.
 */

#include <string.h>

#include "resp/writer.h"
#include "shard/client.h"
#include "shard/command.h"
#include "shard/gather.h"
#include "shard/state.h"
#include "util/log.h"

static enum command_result order(struct client *c, enum order_kind kind, uint32_t value,
                                 void (*write)(struct client *c, const struct gather *g))
{
        struct gather *g = gather_collect(c, GATHER_ORDER);

        g->order = (struct message_order){ .kind = kind, .value = value };
        g->write = write;
        return COMMAND_DONE;
}

static struct message_ordered ordered_head(const struct gather *g)
{
        struct message_ordered head;

        memcpy(&head, buffer_view(&g->ordered).p, sizeof(head));
        return head;
}

static struct bytes ordered_texts(const struct gather *g)
{
        struct bytes all = buffer_view(&g->ordered);

        return bytes_of(all.p + sizeof(struct message_ordered), all.n - sizeof(struct message_ordered));
}

/* Takes one text off. Return: false: there is none. */
static bool ordered_next(struct bytes *texts, struct bytes *text)
{
        const uint8_t *end = texts->n ? memchr(texts->p, 0, texts->n) : NULL;

        if (!end)
                return false;
        *text = bytes_of(texts->p, (size_t)(end - texts->p));
        *texts = bytes_of(end + 1, texts->n - text->n - 1);
        return true;
}

/* What was refused in one line, for orders that have one reason. Return: whether it was. */
static bool ordered_refused(struct client *c, const struct gather *g)
{
        struct bytes texts = ordered_texts(g), text = { 0 };

        if (ordered_head(g).done)
                return false;
        ordered_next(&texts, &text); /* the file */
        ordered_next(&texts, &text);
        command_error(c, "%.*s", (int)text.n, (const char *)text.p);
        return true;
}

/* ------------------------------------------------------------------ BROKER CONFIG */

static void write_changes(struct buffer *b, enum writer_proto proto, uint32_t n, struct bytes *texts)
{
        static const char *const names[] = { "key", "running", "new", "applies" };
        struct bytes text;

        writer_array(b, n);
        while (n--) {
                writer_map(b, proto, 4);
                for (int i = 0; i < 4 && ordered_next(texts, &text); i++) {
                        writer_bulk_str(b, names[i]);
                        writer_bulk(b, text);
                }
        }
}

static void write_errors(struct buffer *b, struct bytes texts)
{
        struct bytes rest = texts, text;
        size_t n = 0;

        while (ordered_next(&rest, &text))
                n++;
        writer_array(b, n);
        while (ordered_next(&texts, &text))
                writer_bulk(b, text);
}

/* A map, since the error of RESP2 is one line, and a configuration may have many errors. */
static void write_outcome(struct client *c, const struct gather *g)
{
        struct message_ordered head = ordered_head(g);
        struct bytes texts = ordered_texts(g), file = { 0 };
        enum writer_proto proto = c->subscriber.protocol;
        struct buffer *b = &c->shard->reply;

        ordered_next(&texts, &file);
        writer_map(b, proto, 4);
        writer_bulk_str(b, "ok");
        writer_integer(b, head.done);
        writer_bulk_str(b, "file");
        writer_bulk(b, file);
        writer_bulk_str(b, "changes");
        write_changes(b, proto, head.n_changes, &texts);
        writer_bulk_str(b, "errors");
        write_errors(b, texts);
}

static void write_yaml(struct client *c, const struct gather *g)
{
        struct bytes texts = ordered_texts(g), text = { 0 };

        if (ordered_refused(c, g))
                return;
        ordered_next(&texts, &text); /* the file */
        ordered_next(&texts, &text);
        writer_verbatim(&c->shard->reply, c->subscriber.protocol, "txt", text);
}

enum command_result command_broker_config(struct client *c, const struct request *request)
{
        struct bytes what = request->argv[2];
        bool changed = request->argc == 4 && bytes_is(request->argv[3], "changed");

        if (request->argc == 3 && bytes_is(what, "reload"))
                return order(c, ORDER_RELOAD, 0, write_outcome);
        if (request->argc == 3 && bytes_is(what, "diff"))
                return order(c, ORDER_DIFF, 0, write_outcome);
        if ((request->argc == 3 || changed) && bytes_is(what, "show"))
                return order(c, ORDER_SHOW, changed, write_yaml);
        command_error(c, "BROKER CONFIG takes RELOAD, DIFF or SHOW [CHANGED]");
        return COMMAND_DONE;
}

/* ------------------------------------------------------------------ BROKER LOG */

static void write_ok(struct client *c, const struct gather *g)
{
        if (!ordered_refused(c, g))
                writer_simple(&c->shard->reply, "OK");
}

enum command_result command_broker_log(struct client *c, const struct request *request)
{
        static const struct {
                const char *name;
                enum log_level level;
        } levels[] = { { "error", LOG_LEVEL_ERROR },
                       { "warning", LOG_LEVEL_WARNING },
                       { "notice", LOG_LEVEL_NOTICE },
                       { "info", LOG_LEVEL_INFO },
                       { "debug", LOG_LEVEL_DEBUG } };

        for (size_t i = 0; i < sizeof(levels) / sizeof(*levels); i++)
                if (bytes_is(request->argv[2], levels[i].name))
                        return order(c, ORDER_LOG, levels[i].level, write_ok);
        command_error(c, "the level is error, warning, notice, info or debug");
        return COMMAND_DONE;
}

/* ------------------------------------------------------------------ BROKER DRAIN */

static void write_drain(struct client *c, const struct gather *g)
{
        struct message_ordered head = ordered_head(g);
        enum writer_proto proto = c->subscriber.protocol;
        struct buffer *b = &c->shard->reply;
        uint32_t own = !(c->adopt_flags & ADOPT_ADMIN);

        if (ordered_refused(c, g))
                return;
        writer_map(b, proto, 2);
        writer_bulk_str(b, "draining");
        writer_integer(b, head.draining);
        writer_bulk_str(b, "clients"); /* without the one that asks */
        writer_integer(b, head.n_clients > own ? head.n_clients - own : 0);
}

enum command_result command_broker_drain(struct client *c, const struct request *request)
{
        bool off = request->argc == 3 && bytes_is(request->argv[2], "off");

        if (request->argc > 3 || (request->argc == 3 && !off && !bytes_is(request->argv[2], "on"))) {
                command_error(c, "BROKER DRAIN takes ON or OFF");
                return COMMAND_DONE;
        }
        return order(c, ORDER_DRAIN, !off, write_drain);
}
