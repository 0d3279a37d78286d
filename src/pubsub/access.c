/* SPDX-License-Identifier: MIT */
/* The rules, and whom and what each is about. */

#include "pubsub/access.h"

#include <stdlib.h>
#include <string.h>

#include "pubsub/access_rule.h"
#include "pubsub/glob.h"
#include "util/mem.h"

static void *copy(const void *p, size_t n)
{
        return n ? memcpy(mem_alloc(n), p, n) : NULL;
}

static char *copy_text(const char *text)
{
        return text ? copy(text, strlen(text) + 1) : NULL;
}

static void rule_init(struct rule *rule, const struct access_rule *from)
{
        *rule = (struct rule){ .deny = from->deny,
                               .actions = from->actions,
                               .users = copy(from->users, from->n_users * sizeof(*from->users)),
                               .n_users = from->n_users,
                               .groups = copy(from->groups, from->n_groups * sizeof(*from->groups)),
                               .n_groups = from->n_groups,
                               .names = mem_zalloc((from->n_names + 1) * sizeof(*rule->names)),
                               .n_names = from->n_names,
                               .listener = copy_text(from->listener),
                               .channels = mem_zalloc((from->n_channels + 1) * sizeof(*rule->channels)),
                               .n_channels = from->n_channels,
                               .place = copy_text(from->place) };
        for (unsigned i = 0; i < from->n_names; i++)
                rule->names[i] = copy_text(from->names[i]);
        for (unsigned i = 0; i < from->n_channels; i++) {
                struct bytes b = from->channels[i];

                rule->channels[i].pattern = bytes_of(copy(b.p, b.n), b.n);
                rule->channels[i].prefix = glob_literal_prefix(b).n;
        }
}

static void rule_deinit(struct rule *rule)
{
        for (unsigned i = 0; i < rule->n_names; i++)
                free(rule->names[i]);
        for (unsigned i = 0; i < rule->n_channels; i++)
                free((void *)(uintptr_t)rule->channels[i].pattern.p);
        free(rule->users);
        free(rule->groups);
        free(rule->names);
        free(rule->listener);
        free(rule->channels);
        free(rule->place);
}

struct access *access_new(const struct access_rule *rules, unsigned n, bool allow_by_default)
{
        struct access *access = mem_zalloc(sizeof(*access));

        access->rules = mem_zalloc((n + 1) * sizeof(*access->rules));
        access->n = n;
        access->allow_by_default = allow_by_default;
        for (unsigned i = 0; i < n; i++)
                rule_init(&access->rules[i], &rules[i]);
        return access;
}

struct access *access_free(struct access *access)
{
        if (!access)
                return NULL;
        for (unsigned i = 0; i < access->n; i++)
                rule_deinit(&access->rules[i]);
        free(access->rules);
        free(access);
        return NULL;
}

/* -------------------------------------------------------------------------------------------- whom and what */

static bool fits_user(const struct rule *rule, uint32_t uid)
{
        for (unsigned i = 0; i < rule->n_users; i++)
                if (rule->users[i].least <= uid && uid <= rule->users[i].greatest)
                        return true;
        return rule->n_users == 0;
}

static bool is_member(const struct access_subject *subject, uint32_t group)
{
        for (unsigned i = 0; i < subject->n_groups; i++)
                if (subject->groups[i] == group)
                        return true;
        return subject->gid == group;
}

static bool fits_group(const struct rule *rule, const struct access_subject *subject)
{
        for (unsigned i = 0; i < rule->n_groups; i++)
                if (is_member(subject, rule->groups[i]))
                        return true;
        return rule->n_groups == 0;
}

static bool fits_name(const struct rule *rule, const char *name)
{
        for (unsigned i = 0; i < rule->n_names && name; i++)
                if (!strcmp(rule->names[i], name))
                        return true;
        return rule->n_names == 0;
}

bool rule_fits(const struct rule *rule, const struct access_subject *subject, bool any_name)
{
        return fits_user(rule, subject->uid) &&
               (!rule->listener || !strcmp(rule->listener, subject->listener)) &&
               (any_name || fits_name(rule, subject->name)) && fits_group(rule, subject);
}

bool rule_covers(const struct rule *rule, struct bytes channel)
{
        for (unsigned i = 0; i < rule->n_channels; i++) {
                const struct access_channel *c = &rule->channels[i];

                if (c->prefix > channel.n || (c->prefix && memcmp(c->pattern.p, channel.p, c->prefix)))
                        continue;
                if (glob_match(c->pattern, channel))
                        return true;
        }
        return rule->n_channels == 0;
}

bool access_is_stranger(const struct access_subject *subject, uint32_t owner)
{
        return subject->listener[0] == '@' && subject->uid != 0 && subject->uid != owner;
}
