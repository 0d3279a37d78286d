/* SPDX-License-Identifier: MIT */

#include "broker/reload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "broker/config_policy.h"
#include "broker/config_text.h"
#include "broker/logging.h"
#include "broker/privileges.h"
#include "util/log.h"
#include "util/mem.h"

#define RELOAD_VALUE_MAX 120 /* bytes of a value in the log */

/* ------------------------------------------------------------------ look */

static uint64_t reload_files(void)
{
        struct rlimit limit;

        return getrlimit(RLIMIT_NOFILE, &limit) < 0 ? 0 : limit.rlim_cur;
}

/* Return: 0, RELOAD_E_REFUSED. */
static int reload_read(const struct reload *reload, struct config **configp, struct buffer *errors)
{
        unsigned flags = CONFIG_LOAD_AGAIN | (reload->machine->n_passed ? CONFIG_LOAD_SOCKETS : 0);
        const char *file = reload->file;
        char *text = NULL;
        size_t n = 0;
        FILE *out = open_memstream(&text, &n);
        int r = out ? config_load_as(configp, file, flags, out) : -ENOMEM;

        if (!out || fclose(out))
                mem_fail();
        if (r < 0)
                buffer_printf(errors, "%s: %s\n", file, strerror(-r));
        buffer_put(errors, text, n);
        free(text);
        return r ? RELOAD_E_REFUSED : 0;
}

/*
 * What a file of secrets holds is looked at each time, also if nothing else has changed. This process may own
 * it. Return: 0, RELOAD_E_REFUSED.
 */
static int reload_secrets(const struct reload *reload, struct reload_outlook *outlook, struct buffer *errors)
{
        char *text = NULL;
        size_t n = 0;
        FILE *out = open_memstream(&text, &n);
        int r = 0;

        if (!out)
                mem_fail();
        if (outlook->config->secrets)
                r = secrets_load(&outlook->secrets, outlook->config->secrets, geteuid(), &reload->secrets_key,
                                 out);
        if (fclose(out))
                mem_fail();
        buffer_put(errors, text, n);
        free(text);
        if (!r && config_policy_secrets_differ(policies_newest(reload->policies), outlook->secrets) &&
            !config_diff_find(&outlook->diff, "secrets"))
                config_diff_add(&outlook->diff, "secrets", "(names and hashes)", "(others)", true);
        return r ? RELOAD_E_REFUSED : 0;
}

/* Return: 0, RELOAD_E_REFUSED. */
static int reload_plan(const struct reload *reload, const struct config *config, struct plan *plan,
                       struct buffer *errors)
{
        struct plan_machine machine = *reload->machine;
        unsigned cpu = 0;
        int r;

        machine.n_files = reload_files();
        r = plan_make(plan, config, &machine, &cpu);
        if (!r)
                return 0;
        plan_explain(r, &machine, cpu, errors);
        buffer_printf(errors, "\n");
        return RELOAD_E_REFUSED;
}

/* The limit of descriptors may have changed since, and with it what max_clients comes to. */
static void reload_note_clients(const struct reload *reload, struct reload_outlook *outlook)
{
        char before[16], after[16];

        if (outlook->plan.max_clients == reload->plan.max_clients ||
            config_diff_find(&outlook->diff, "max_clients"))
                return;
        snprintf(before, sizeof(before), "%u", reload->plan.max_clients);
        snprintf(after, sizeof(after), "%u", outlook->plan.max_clients);
        config_diff_add(&outlook->diff, "max_clients", before, after, true);
}

int reload_look(const struct reload *reload, struct reload_outlook *outlook, struct buffer *errors)
{
        struct reload_outlook o = { 0 };
        struct plan next_start;
        int r = reload_read(reload, &o.config, errors);

        if (r)
                return r;
        config_diff_init(&o.diff, reload->config, o.config);
        r = reload_plan(reload, o.config, &next_start, errors);
        config_keep(o.config, reload->config);
        if (!r)
                r = reload_plan(reload, o.config, &o.plan, errors);
        if (!r)
                r = reload_secrets(reload, &o, errors);
        if (r) {
                reload_outlook_deinit(&o);
                return r;
        }
        reload_note_clients(reload, &o);
        *outlook = o;
        return 0;
}

void reload_outlook_deinit(struct reload_outlook *outlook)
{
        config_diff_deinit(&outlook->diff);
        outlook->config = config_free(outlook->config);
        outlook->secrets = secrets_free(outlook->secrets);
}

/* ------------------------------------------------------------------ the log */

/* The excerpts of the file, with their line numbers in front, and the count are for terminals. */
static bool reload_is_error(struct bytes line)
{
        static const struct bytes count = BYTES_LITERAL("brokerd: ");

        return line.n && !strchr(" 0123456789", line.p[0]) &&
               (line.n < count.n || memcmp(line.p, count.p, count.n));
}

bool reload_next_error(struct bytes *text, struct bytes *line)
{
        while (text->n) {
                const uint8_t *end = memchr(text->p, '\n', text->n);
                size_t n = end ? (size_t)(end - text->p) : text->n;

                *line = bytes_of(text->p, n);
                n += end != NULL;
                *text = bytes_of(text->p + n, text->n - n);
                if (reload_is_error(*line))
                        return true;
        }
        return false;
}

/* Each error is one line of the log. Return: their number. */
static unsigned reload_log_errors(const struct buffer *errors)
{
        struct bytes text = buffer_view(errors), line;
        unsigned n = 0;

        for (; reload_next_error(&text, &line); n++)
                log_error("%.*s", (int)line.n, (const char *)line.p);
        return n;
}

/* Return: RELOAD_E_REFUSED. */
static int reload_refuse(const struct reload *reload, const char *what, unsigned n)
{
        struct buffer file = { 0 };

        config_text_put(&file, bytes_str(reload->file));
        log_error("reload refused: %u %s%s in %s; the running configuration stays", n, what, n == 1 ? "" : "s",
                  (const char *)file.data);
        buffer_deinit(&file);
        return RELOAD_E_REFUSED;
}

static void reload_put_changes(const struct config_diff *diff, bool now, struct buffer *out)
{
        const char *comma = "";

        for (size_t i = 0; i < diff->n; i++) {
                const struct config_change *change = &diff->changes[i];

                if (change->now != now)
                        continue;
                buffer_printf(out, "%s%s", comma, change->key);
                if (!now)
                        buffer_printf(out, " %.*s -> %.*s", RELOAD_VALUE_MAX, change->running, RELOAD_VALUE_MAX,
                                      change->next);
                comma = ", ";
        }
}

static void reload_log_result(const struct reload *reload, const struct config_diff *diff)
{
        size_t n = config_diff_count(diff, true), n_later = config_diff_count(diff, false);
        struct buffer text = { 0 };

        config_text_put(&text, bytes_str(reload->file));
        if (n) {
                buffer_printf(&text, ": %zu change%s (", n, n == 1 ? "" : "s");
                reload_put_changes(diff, true, &text);
                buffer_printf(&text, ")");
        } else {
                buffer_printf(&text, n_later ? ": nothing changes now" : ": nothing changed");
        }
        if (n_later) {
                buffer_printf(&text, "; at the next start: ");
                reload_put_changes(diff, false, &text);
        }
        log_write(n_later ? LOG_LEVEL_NOTICE : LOG_LEVEL_INFO, "reloaded %s", (const char *)text.data);
        buffer_deinit(&text);
}

/* ------------------------------------------------------------------ apply */

/* The policy that names them, and the secrets, in one step. */
static void reload_apply_policy(struct reload *reload, struct reload_outlook *outlook)
{
        struct policy *policy = config_policy_new(outlook->config, &outlook->plan);

        config_policy_set_secrets(policy, outlook->secrets);
        policies_give(reload->policies, policy);
        if (!reload->authority)
                return;
        if (outlook->secrets)
                privileges_hide();
        authority_set_secrets(reload->authority, outlook->secrets);
        outlook->secrets = NULL;
}

static void reload_apply(struct reload *reload, struct reload_outlook *outlook, struct listeners_change *change)
{
        struct acceptor_limits limits = config_acceptor_limits(outlook->config, &outlook->plan);
        struct buffer warning = { 0 };

        if (plan_warning(&outlook->plan, outlook->config, reload_files(), &warning))
                log_warning("%s", (const char *)warning.data);
        buffer_deinit(&warning);
        reload_apply_policy(reload, outlook);
        control_change(reload->control, change, &limits);
        config_free(reload->config);
        reload->config = outlook->config;
        reload->plan = outlook->plan;
        outlook->config = NULL;
}

/* The log goes elsewhere as the last of it, so that what was refused is told where it went so far. */
static int reload_prepare(struct reload *reload, struct reload_outlook *outlook,
                          struct listeners_change **changep)
{
        if (outlook->secrets && authority_prepare(reload->authority) < 0)
                return RELOAD_E_REFUSED;
        if (listeners_prepare(reload->listeners, outlook->config, changep))
                return RELOAD_E_REFUSED;
        if (!logging_differs(&reload->config->log, &outlook->config->log) ||
            logging_open(&outlook->config->log) == 0)
                return 0;
        listeners_cancel(*changep);
        return RELOAD_E_REFUSED;
}

/* What happens is logged by the more talkative of the two levels. Return: 0, RELOAD_E_REFUSED. */
static int reload_change(struct reload *reload, struct reload_outlook *outlook)
{
        int before = reload->config->log.level, after = outlook->config->log.level;
        struct listeners_change *change = NULL;

        if (config_diff_count(&outlook->diff, true)) {
                if (reload_prepare(reload, outlook, &change))
                        return RELOAD_E_REFUSED;
                log_set_level((enum log_level)(after > before ? after : before));
                reload_apply(reload, outlook, change);
        }
        reload_log_result(reload, &outlook->diff);
        log_set_level((enum log_level)after);
        return 0;
}

int reload_run(struct reload *reload, struct config_diff *diff, struct buffer *errors)
{
        struct reload_outlook outlook;
        struct buffer report = { 0 };
        unsigned n;
        int r;

        log_echo(errors);
        r = reload_look(reload, &outlook, &report);
        n = reload_log_errors(&report);
        buffer_deinit(&report);
        if (r) {
                log_echo(NULL);
                return reload_refuse(reload, "error", n);
        }
        r = reload_change(reload, &outlook);
        log_echo(NULL);
        if (r) {
                reload_outlook_deinit(&outlook);
                return reload_refuse(reload, "change that cannot be made", 1);
        }
        *diff = outlook.diff;
        outlook.diff = (struct config_diff){ 0 };
        reload_outlook_deinit(&outlook);
        return 0;
}
