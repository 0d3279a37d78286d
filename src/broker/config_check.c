/* SPDX-License-Identifier: MIT */

#include "broker/config_check.h"

#include <stdlib.h>
#include <string.h>

#include "broker/config_text.h"
#include "shard/policy.h"
#include "util/clock.h"
#include "util/mem.h"
#include "util/suggest.h"

#define SLOW_DROP_BYTES  (UINT64_C(8) << 20) /* of a rule that does not say, at most */
#define SLOW_BLOCK_BYTES (UINT64_C(4) << 20)
#define SLOW_BLOCK_NS    NSEC_PER_SEC

/* Whether the value is the one that holds: given and good, or not given in a file that was read to its end. */
static bool settled(struct config_section *s, const char *option)
{
        const struct config_section_value *value = config_section_value(s, option);

        return !value->bad && (value->node || (s->complete && !value->guessed));
}

static bool given(struct config_section *s, const char *option)
{
        const struct config_section_value *value = config_section_value(s, option);

        return value->node && !value->bad;
}

/* Reports at the key of a value. */
static void add_at_key(struct config_section *s, const char *option, const struct config_node *node,
                       const char *text)
{
        char name[CONFIG_SECTION_FULL];

        config_section_full_name(s, option, name);
        config_report_add(s->report, node->key->start, node->key->end - node->key->start,
                          "\"%s\" is not allowed: %s", name, text);
}

/* ---- sockets */

/* Abstract names have no file, so there is nothing that a mode, an owner or a group could belong to. */
static void check_abstract(struct config_section *s)
{
        static const char *const file_only[] = { "mode", "owner", "group" };
        const struct config_listener *listener = s->base;
        const struct config_node *node;
        struct buffer text = { 0 };

        if (!listener->path || *listener->path != '@')
                return;
        buffer_printf(&text, "the abstract socket ");
        config_text_quote(&text, bytes_str(listener->path), CONFIG_TEXT_WHOLE);
        buffer_printf(&text, " has no file");
        for (size_t i = 0; i < sizeof(file_only) / sizeof(*file_only); i++) {
                node = config_section_value(s, file_only[i])->node;
                if (node)
                        add_at_key(s, file_only[i], node, (const char *)text.data);
        }
        buffer_deinit(&text);
}

/* A socket that two want. */
static void add_same_path(struct config_section *s, const char *option, struct config_section *other)
{
        const struct config_node *node = config_section_value(s, option)->node;
        char name[CONFIG_SECTION_FULL];
        struct buffer path = { 0 };

        config_section_full_name(s, option, name);
        config_text_quote(&path, node->text, CONFIG_TEXT_WHOLE);
        config_report_add_pair(s->report, node->start, node->end - node->start,
                               config_section_value(other, "path")->node->start,
                               "\"%s\" is %s, which \"%s.path\" has taken", name, (const char *)path.data,
                               other->name);
        buffer_deinit(&path);
}

/* The first n listeners' section that has this path. Return: NULL: none has. */
static struct config_section *path_find(const struct config_section_value *listeners, unsigned n,
                                        const char *path)
{
        for (unsigned i = 0; i < n; i++) {
                const struct config_listener *listener = listeners->items[i].base;

                if (listener->path && strcmp(listener->path, path) == 0)
                        return &listeners->items[i];
        }
        return NULL;
}

static void check_paths(struct config_section *whole)
{
        const struct config_section_value *listeners = config_section_value(whole, "listeners");
        const struct config *config = whole->base;
        struct config_section *other;

        for (unsigned i = 0; i < listeners->n_items; i++) {
                const struct config_listener *listener = listeners->items[i].base;

                check_abstract(&listeners->items[i]);
                other = listener->path ? path_find(listeners, i, listener->path) : NULL;
                if (other)
                        add_same_path(&listeners->items[i], "path", other);
        }
        other = config->admin ? path_find(listeners, listeners->n_items, config->admin) : NULL;
        if (other)
                add_same_path(whole, "admin", other);
}

/* ---- limits */

/*
 * One limit is at most another. From the widest to the narrowest, so that a default which gives way is compared
 * with what it gave way to.
 */
static const struct order {
        const char *less, *greater;
        unsigned share; /* the part of greater that less becomes when its default is more */
        bool strict;    /* less than, not at most */
} orders[] = {
        { "max_output_per_user", "max_output_total", 1, false },
        { "max_output_bytes", "max_output_total", 1, false },
        { "max_output_bytes", "max_output_per_user", 1, false },
        { "soft_output_bytes", "max_output_bytes", 4, true },
        { "max_query_bytes", "max_input_per_user", 1, false },
        { "max_request_bytes", "max_query_bytes", 1, false },
        { "max_message_bytes", "max_request_bytes", 1, false },
        { "max_clients_per_user", "max_clients", 1, false },
        { "max_subscriptions", "max_subscriptions_per_user", 1, false },
        { "max_patterns_per_user", "max_subscriptions_per_user", 1, false },
        { "max_patterns", "max_patterns_per_user", 1, false },
        { "max_patterns", "max_subscriptions", 1, false },
        { "publish_rate", "publish_rate_per_user", 1, false },
        { "publish_bytes", "publish_bytes_per_user", 1, false },
};

static const struct config_option *option_of(struct config_section *s, const char *name)
{
        return &s->options[config_section_value(s, name) - s->values];
}

static uint64_t limit_get(struct config_section *s, const char *name)
{
        const struct config_option *o = option_of(s, name);
        const char *member = (const char *)s->base + o->offset;

        return o->type == CONFIG_TYPE_COUNT ? *(const unsigned *)member : *(const uint64_t *)member;
}

/* Only sizes have defaults that give way. */
static void limit_set(struct config_section *s, const char *name, uint64_t n)
{
        *(uint64_t *)((char *)s->base + option_of(s, name)->offset) = n;
}

/* `"a.bytes" is 2MiB, more than "b" with 1MiB, at` the place of b, or the default. */
static void add_more(struct config_section *s, const char *option, const char *relation,
                     struct config_section *whole, const char *other)
{
        const struct config_node *node = config_section_value(s, option)->node;
        const struct config_node *place = config_section_value(whole, other)->node;
        char name[CONFIG_SECTION_FULL];
        struct buffer text = { 0 };

        config_section_full_name(s, option, name);
        buffer_printf(&text, "\"%s\" is ", name);
        config_option_write(option_of(s, option), s->base, &text);
        buffer_printf(&text, ", %s \"%s\" with ", relation, other);
        config_option_write(option_of(whole, other), whole->base, &text);
        if (place)
                config_report_add_pair(s->report, node->start, node->end - node->start, place->start, "%s,",
                                       (const char *)text.data);
        else
                config_report_add(s->report, node->start, node->end - node->start, "%s, the default",
                                  (const char *)text.data);
        buffer_deinit(&text);
}

static void check_order(struct config_section *whole, const struct order *order)
{
        uint64_t less, greater;

        if (!settled(whole, order->less) || !settled(whole, order->greater))
                return;
        less = limit_get(whole, order->less);
        greater = limit_get(whole, order->greater);
        if (!less || !greater || less < greater || (less == greater && !order->strict))
                return;
        if (given(whole, order->less))
                add_more(whole, order->less, order->strict ? "not less than" : "more than", whole,
                         order->greater);
        else
                limit_set(whole, order->less, greater / order->share);
}

static void check_limits(struct config_section *whole)
{
        for (size_t i = 0; i < sizeof(orders) / sizeof(*orders); i++)
                check_order(whole, &orders[i]);
}

/* ---- rules */

/* A rule's listener is one of the listeners, and then has that one's spelling. */
static void check_listener(struct config_section *s, struct config_section *whole, char **pathp)
{
        const struct config_section_value *listeners = config_section_value(whole, "listeners");
        const struct config_section *found;
        const char *names[CONFIG_LISTENERS_MAX];
        struct buffer why = { 0 };
        size_t best;

        if (!given(s, "listener") || !settled(whole, "listeners"))
                return;
        for (unsigned i = 0; i < listeners->n_items; i++) {
                names[i] = ((const struct config_listener *)listeners->items[i].base)->path;
                if (!names[i])
                        return;
        }
        found = path_find(listeners, listeners->n_items, *pathp);
        if (found) {
                const char *path = ((const struct config_listener *)found->base)->path;

                free(*pathp);
                *pathp = mem_zalloc(strlen(path) + 1);
                strcpy(*pathp, path);
                return;
        }
        best = suggest_best(bytes_str(*pathp), names, listeners->n_items);
        if (best < listeners->n_items) {
                buffer_printf(&why, "did you mean ");
                config_text_quote(&why, bytes_str(names[best]), CONFIG_TEXT_WHOLE);
                buffer_printf(&why, "?");
        }
        config_section_add_bad(s, option_of(s, "listener"), config_section_value(s, "listener")->node, &why);
        buffer_deinit(&why);
}

/* How many bytes a rule means that does not say; 0: its policy has no use for them. */
static uint64_t slow_bytes(const struct config_slow *rule, uint64_t output)
{
        switch (rule->policy) {
        case SLOW_DROP_OLDEST:
        case SLOW_DROP_NEWEST:
                return output / 4 < SLOW_DROP_BYTES ? output / 4 : SLOW_DROP_BYTES;
        case SLOW_BLOCK:
                return output / 8 < SLOW_BLOCK_BYTES ? output / 8 : SLOW_BLOCK_BYTES;
        default:
                return 0;
        }
}

static void check_slow(struct config_section *s, struct config_section *whole)
{
        const struct config_node *bytes = config_section_value(s, "bytes")->node;
        const struct config_node *timeout = config_section_value(s, "timeout")->node;
        struct config_slow *rule = s->base;

        check_listener(s, whole, &rule->listener);
        if (!given(s, "policy"))
                return;
        if (bytes && rule->policy == SLOW_DISCONNECT)
                add_at_key(s, "bytes", bytes, "\"disconnect\" goes by max_output_bytes and soft_output_bytes");
        else if (bytes && rule->policy == SLOW_CONFLATE)
                add_at_key(s, "bytes", bytes,
                           "\"conflate\" keeps the newest message of each channel, however large");
        else if (given(s, "bytes") && settled(whole, "max_output_bytes") &&
                 rule->bytes > limit_get(whole, "max_output_bytes"))
                add_more(s, "bytes", "more than", whole, "max_output_bytes");
        if (timeout && rule->policy != SLOW_BLOCK)
                add_at_key(s, "timeout", timeout, "only with \"block\" does anybody wait");
        if (!bytes)
                rule->bytes = slow_bytes(rule, limit_get(whole, "max_output_bytes"));
        if (!timeout && rule->policy == SLOW_BLOCK)
                rule->timeout_ns = SLOW_BLOCK_NS;
}

/* Either it allows or it denies. */
static void check_side(struct config_section *s)
{
        const struct config_section_value *allow = config_section_value(s, "allow");
        const struct config_section_value *deny = config_section_value(s, "deny");

        if (allow->node && deny->node) {
                const struct config_node *late =
                        allow->node->start < deny->node->start ? deny->node : allow->node;
                const struct config_node *early = late == deny->node ? allow->node : deny->node;

                config_report_add_pair(s->report, late->key->start, late->key->end - late->key->start,
                                       early->key->start,
                                       "\"%s\" either allows or denies; it has the other key, too,", s->name);
        } else if (s->complete && !allow->node && !deny->node && !allow->guessed && !deny->guessed) {
                config_report_add(s->report, s->node->start, 1,
                                  "the key \"allow\" or \"deny\" is missing in \"%s\"", s->name);
        }
}

static void check_access(struct config_section *s, struct config_section *whole)
{
        const struct config_node *channels = config_section_value(s, "channels")->node;
        const struct config_node *name = config_section_value(s, "name")->node;
        struct config_access *rule = s->base;
        const struct config *config = whole->base;

        check_listener(s, whole, &rule->listener);
        check_side(s);
        if (channels && ((rule->allow | rule->deny) & 1u << CONFIG_ACTION_ADMIN))
                add_at_key(s, "channels", channels,
                           "to administer has no channel; \"admin\" needs a rule of its own");
        if (name && settled(whole, "secrets") && !config->secrets)
                add_at_key(s, "name", name, "nobody has a name, since \"secrets\" is not given");
}

static void check_authentication(struct config_section *s, struct config_section *whole)
{
        const struct config_listener *listener = s->base;
        const struct config *config = whole->base;

        if (listener->authentication == CONFIG_AUTHENTICATION_REQUIRED && settled(whole, "secrets") &&
            !config->secrets)
                add_at_key(s, "authentication", config_section_value(s, "authentication")->node,
                           "nobody can authenticate himself, since \"secrets\" is not given");
}

static void check_items(struct config_section *whole, const char *option,
                        void (*check)(struct config_section *, struct config_section *))
{
        const struct config_section_value *value = config_section_value(whole, option);

        for (unsigned i = 0; i < value->n_items; i++)
                if (value->items[i].node->kind == CONFIG_NODE_MAPPING)
                        check(&value->items[i], whole);
}

void config_check(struct config_section *whole)
{
        check_paths(whole);
        check_limits(whole);
        check_items(whole, "listeners", check_authentication);
        check_items(whole, "slow_consumers", check_slow);
        check_items(whole, "access", check_access);
}
