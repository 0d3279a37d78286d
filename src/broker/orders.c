/* SPDX-License-Identifier: MIT */

#include "broker/orders.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/config.h"
#include "broker/reload.h"
#include "util/log.h"
#include "util/mem.h"

static void orders_put(struct buffer *texts, struct bytes text)
{
        buffer_put(texts, text.p, text.n);
        buffer_put(texts, "", 1);
}

static void orders_put_changes(struct control_answer *answer, const struct config_diff *diff)
{
        for (size_t i = 0; i < diff->n; i++) {
                const struct config_change *change = &diff->changes[i];

                orders_put(&answer->texts, bytes_str(change->key));
                orders_put(&answer->texts, bytes_str(change->running));
                orders_put(&answer->texts, bytes_str(change->next));
                orders_put(&answer->texts, bytes_str(change->now ? "now" : "restart"));
        }
        answer->head.n_changes = (uint32_t)diff->n;
}

static void orders_put_errors(struct control_answer *answer, const struct buffer *errors)
{
        struct bytes text = buffer_view(errors), line;

        while (reload_next_error(&text, &line))
                orders_put(&answer->texts, line);
}

static bool orders_reload(struct reload *reload, struct control_answer *answer)
{
        struct buffer errors = { 0 };
        struct config_diff diff;
        bool done = reload_run(reload, &diff, &errors) == 0;

        if (done) {
                orders_put_changes(answer, &diff);
                config_diff_deinit(&diff);
        } else {
                orders_put_errors(answer, &errors);
        }
        buffer_deinit(&errors);
        return done;
}

static bool orders_diff(const struct reload *reload, struct control_answer *answer)
{
        struct reload_outlook outlook;
        struct buffer errors = { 0 };
        bool done = reload_look(reload, &outlook, &errors) == 0;

        if (done) {
                orders_put_changes(answer, &outlook.diff);
                reload_outlook_deinit(&outlook);
        } else {
                orders_put_errors(answer, &errors);
        }
        buffer_deinit(&errors);
        return done;
}

static bool orders_show(const struct reload *reload, bool changed, struct control_answer *answer)
{
        char *text = NULL;
        size_t n = 0;
        FILE *out = open_memstream(&text, &n);

        if (!out)
                mem_fail();
        if (changed)
                config_dump_changed(reload->config, out);
        else
                config_dump(reload->config, out);
        if (fclose(out))
                mem_fail();
        orders_put(&answer->texts, bytes_of(text, n));
        free(text);
        return true;
}

/* What runs differs from the file then, so that the next reload says and changes it. */
static bool orders_log(struct reload *reload, uint32_t level)
{
        static const char *const names[] = { [LOG_LEVEL_ERROR] = "error",
                                             [LOG_LEVEL_WARNING] = "warning",
                                             [LOG_LEVEL_NOTICE] = "notice",
                                             [LOG_LEVEL_INFO] = "info",
                                             [LOG_LEVEL_DEBUG] = "debug" };
        int before = reload->config->log.level, after = (int)level;

        log_set_level((enum log_level)(after > before ? after : before));
        log_notice("log level: %s, until the next reload", names[level]);
        log_set_level((enum log_level)after);
        reload->config->log.level = after;
        return true;
}

bool orders_obey(void *arg, const struct message_order *order, struct control_answer *answer)
{
        struct reload *reload = arg;

        orders_put(&answer->texts, bytes_str(reload->file));
        switch ((enum order_kind)order->kind) {
        case ORDER_RELOAD:
                return orders_reload(reload, answer);
        case ORDER_DIFF:
                return orders_diff(reload, answer);
        case ORDER_SHOW:
                return orders_show(reload, order->value, answer);
        case ORDER_LOG:
                return orders_log(reload, order->value);
        case ORDER_DRAIN:
                break; /* is control's */
        }
        return false;
}
