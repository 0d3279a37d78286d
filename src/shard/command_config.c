/* SPDX-License-Identifier: MIT */
/* CONFIG: the settings of the policy that this shard has, for reading, and the reset of INFO's counters. */

#include <ctype.h>

#include "pubsub/glob.h"
#include "resp/writer.h"
#include "shard/client.h"
#include "shard/command.h"
#include "shard/gather.h"
#include "shard/state.h"
#include "shard/status.h"

#define CONFIG_PATTERN_MAX 256 /* bytes; a longer one matches nothing */

static bool config_is_pattern(struct bytes name)
{
        for (size_t i = 0; i < name.n; i++)
                if (strchr("*?[", name.p[i]))
                        return true;
        return false;
}

/* Whether a pattern matches a name without regard to case; the names of settings have no capitals. */
static bool config_matches(struct bytes pattern, struct bytes name)
{
        uint8_t lower[CONFIG_PATTERN_MAX];

        if (pattern.n > sizeof(lower))
                return false;
        for (size_t i = 0; i < pattern.n; i++)
                lower[i] = (uint8_t)tolower(pattern.p[i]);
        return glob_match(bytes_of(lower, pattern.n), name);
}

/* Marks the settings that a name or pattern means. A name is answered as the client spelled it. */
static void config_mark(const struct policy *policy, struct bytes wanted, struct bytes *named)
{
        bool pattern = config_is_pattern(wanted);

        for (unsigned i = 0; i < policy->n_settings; i++) {
                struct bytes name = bytes_str(policy->settings[i].name);

                if (named[i].p)
                        continue;
                if (pattern && config_matches(wanted, name))
                        named[i] = name;
                else if (!pattern && bytes_is(wanted, policy->settings[i].name))
                        named[i] = wanted;
        }
}

static enum command_result config_get(struct client *c, const struct request *request)
{
        const struct policy *policy = c->shard->policy;
        struct buffer *b = &c->shard->reply;
        struct bytes named[POLICY_SETTINGS_MAX] = { 0 };
        unsigned n = 0;

        for (uint32_t i = 2; i < request->argc; i++)
                config_mark(policy, request->argv[i], named);
        for (unsigned i = 0; i < policy->n_settings; i++)
                n += named[i].p != NULL;
        writer_map(b, c->subscriber.protocol, n);
        for (unsigned i = 0; i < policy->n_settings; i++) {
                if (!named[i].p)
                        continue;
                writer_bulk(b, named[i]);
                writer_bulk_str(b, policy->settings[i].value);
        }
        return COMMAND_DONE;
}

static const struct policy_setting *config_find(const struct policy *policy, struct bytes name)
{
        for (unsigned i = 0; i < policy->n_settings; i++)
                if (bytes_is(name, policy->settings[i].name))
                        return &policy->settings[i];
        return NULL;
}

/* Nothing can be set; the error is that for the first of the names. */
static enum command_result config_set(struct client *c, const struct request *request)
{
        struct bytes name = request->argv[2];
        const struct policy_setting *setting = config_find(c->shard->policy, name);

        if (request->argc % 2)
                command_error(c, "syntax error");
        else if (!setting)
                command_error(c, "Unknown option or number of arguments for CONFIG SET - '%.*s'",
                              (int)(name.n < 128 ? name.n : 128), (const char *)name.p);
        else
                command_error(
                        c,
                        "CONFIG SET failed (possibly related to argument '%s') - can't set immutable config: "
                        "brokerd reads its configuration from its file, at the start and at SIGHUP",
                        setting->name);
        return COMMAND_DONE;
}

static enum command_result config_rewrite(struct client *c, const struct request *request)
{
        (void)request;
        command_error(c, "Rewriting config file: brokerd does not write its configuration, which changes by "
                         "its file only");
        return COMMAND_DONE;
}

static void config_write_ok(struct client *c, const struct gather *g)
{
        (void)g;
        writer_simple(&c->shard->reply, "OK");
}

static enum command_result config_resetstat(struct client *c, const struct request *request)
{
        (void)request;
        status_begin(c, QUERY_RESET, config_write_ok);
        return COMMAND_DONE;
}

const struct command command_config_rows[] = {
        { "get", -3, 0, config_get, NULL, "server", "<pattern> [<pattern> ...]",
          "Settings that the patterns match, and their values." },
        { "resetstat", 2, 0, config_resetstat, NULL, "server", NULL, "Sets the counters of INFO to 0." },
        { "rewrite", 2, 0, config_rewrite, NULL, "server", NULL,
          "Is refused: the configuration changes by its file only." },
        { "set", -4, 0, config_set, NULL, "server", "<setting> <value> [<setting> <value> ...]",
          "Is refused: the configuration is read from its file, at the start and at SIGHUP." },
        COMMAND_HELP("server"),
        { 0 },
};
