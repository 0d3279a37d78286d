/* SPDX-License-Identifier: MIT */

#include "broker/config_access.h"

#include <stdlib.h>

#include "broker/config_text.h"
#include "util/buffer.h"
#include "util/mem.h"

#define CHANNEL_ACTIONS (1u << ACCESS_PUBLISH | 1u << ACCESS_SUBSCRIBE | 1u << ACCESS_PSUBSCRIBE)

/* All that a rule with channels can be about is what goes to channels. */
static unsigned rule_actions(unsigned bits, bool channels)
{
        static const unsigned actions[] = { [CONFIG_ACTION_PUBLISH] = 1u << ACCESS_PUBLISH,
                                            [CONFIG_ACTION_SUBSCRIBE] = 1u << ACCESS_SUBSCRIBE,
                                            [CONFIG_ACTION_PSUBSCRIBE] = 1u << ACCESS_PSUBSCRIBE,
                                            [CONFIG_ACTION_ADMIN] = 1u << ACCESS_ADMIN };
        unsigned result = 0;

        if (bits & 1u << CONFIG_ACTION_ALL)
                result = channels ? CHANNEL_ACTIONS : (1u << _ACCESS_ACTION_N) - 1;
        for (size_t i = 0; i < sizeof(actions) / sizeof(*actions); i++)
                if (bits & 1u << i)
                        result |= actions[i];
        return result;
}

static char *rule_place(const struct config *config, unsigned index)
{
        struct buffer text = { 0 };

        config_text_put(&text, bytes_str(config->file));
        buffer_printf(&text, ":%u: access[%u]", config->access[index].line, index);
        return (char *)text.data;
}

/* Takes room for a rule's users. */
static const struct access_range *ranges_copy(struct access_range **roomp, const struct config_access *rule)
{
        struct access_range *ranges = *roomp;

        if (!rule->n_users)
                return NULL;
        for (unsigned i = 0; i < rule->n_users; i++)
                *(*roomp)++ = (struct access_range){ rule->users[i].least, rule->users[i].greatest };
        return ranges;
}

void config_access_list_init(struct config_access_list *list, const struct config *config)
{
        struct access_range *ranges;
        unsigned n = config->n_access, n_ranges = 0;

        *list = (struct config_access_list){ .n = n };
        for (unsigned i = 0; i < n; i++)
                n_ranges += config->access[i].n_users;
        if (n) {
                list->rules = mem_zalloc(n * sizeof(*list->rules));
                list->places = mem_zalloc(n * sizeof(*list->places));
        }
        if (n_ranges)
                list->ranges = mem_zalloc(n_ranges * sizeof(*list->ranges));
        ranges = list->ranges;
        for (unsigned i = 0; i < n; i++) {
                const struct config_access *rule = &config->access[i];

                list->places[i] = rule_place(config, i);
                list->rules[i] = (struct access_rule){
                        .deny = rule->deny,
                        .actions = rule_actions(rule->allow | rule->deny, rule->n_channels),
                        .users = ranges_copy(&ranges, rule),
                        .n_users = rule->n_users,
                        .groups = rule->groups,
                        .n_groups = rule->n_groups,
                        .names = (const char *const *)rule->names,
                        .n_names = rule->n_names,
                        .listener = rule->listener,
                        .channels = rule->channels,
                        .n_channels = rule->n_channels,
                        .place = list->places[i],
                };
        }
}

void config_access_list_deinit(struct config_access_list *list)
{
        for (unsigned i = 0; i < list->n; i++)
                free(list->places[i]);
        free(list->places);
        free(list->ranges);
        free(list->rules);
        *list = (struct config_access_list){ 0 };
}
