/* SPDX-License-Identifier: MIT */
/* The rows of config_table.h as arrays, their words, and what lists of mappings are made of. */

#include <assert.h>

#include "broker/config_option.h"
#include "broker/config_table.h"
#include "shard/policy.h"
#include "util/log.h"

static const struct config_word words_auto[] = { { "auto", 0 }, { NULL, 0 } };
static const struct config_word words_none[] = { { "none", 0 }, { NULL, 0 } };
static const struct config_word words_cpus[] = {
        { "auto", CONFIG_CPUS_AUTO },
        { "none", CONFIG_CPUS_NONE },
        { NULL, 0 },
};
static const struct config_word words_reactor[] = {
        { "auto", CONFIG_REACTOR_AUTO },
        { "io_uring", CONFIG_REACTOR_IO_URING },
        { "libev", CONFIG_REACTOR_LIBEV },
        { NULL, 0 },
};
static const struct config_word words_receive[] = {
        { "auto", CONFIG_RECEIVE_AUTO },
        { "multishot", CONFIG_RECEIVE_MULTISHOT },
        { "single", CONFIG_RECEIVE_SINGLE },
        { NULL, 0 },
};
static const struct config_word words_level[] = {
        { "error", LOG_LEVEL_ERROR }, { "warning", LOG_LEVEL_WARNING }, { "notice", LOG_LEVEL_NOTICE },
        { "info", LOG_LEVEL_INFO },   { "debug", LOG_LEVEL_DEBUG },     { NULL, 0 },
};
static const struct config_word words_target[] = { { "stderr", 0 }, { "journal", 0 }, { NULL, 0 } };
static const struct config_word words_format[] = {
        { "human", LOG_FORMAT_HUMAN },
        { "logfmt", LOG_FORMAT_LOGFMT },
        { "json", LOG_FORMAT_JSON },
        { NULL, 0 },
};
static const struct config_word words_authentication[] = {
        { "none", CONFIG_AUTHENTICATION_NONE },
        { "required", CONFIG_AUTHENTICATION_REQUIRED },
        { NULL, 0 },
};
static const struct config_word words_slow[] = {
        { "disconnect", SLOW_DISCONNECT },
        { "drop-oldest", SLOW_DROP_OLDEST },
        { "drop-newest", SLOW_DROP_NEWEST },
        { "conflate", SLOW_CONFLATE },
        { "block", SLOW_BLOCK },
        { NULL, 0 },
};
static const struct config_word words_access[] = { { "deny", false }, { "allow", true }, { NULL, 0 } };
static const struct config_word words_actions[] = {
        { "publish", CONFIG_ACTION_PUBLISH },
        { "subscribe", CONFIG_ACTION_SUBSCRIBE },
        { "psubscribe", CONFIG_ACTION_PSUBSCRIBE },
        { "admin", CONFIG_ACTION_ADMIN },
        { "all", CONFIG_ACTION_ALL },
        { NULL, 0 },
};

/* The C type that the member of each type has. */
#define MEMBER_COUNT        unsigned
#define MEMBER_POWER2       unsigned
#define MEMBER_SIZE         uint64_t
#define MEMBER_TIME         uint64_t
#define MEMBER_WORD         int
#define MEMBER_MODE         mode_t
#define MEMBER_USER         uid_t
#define MEMBER_GROUP        gid_t
#define MEMBER_SOCKET       char *
#define MEMBER_FILE         char *
#define MEMBER_PATH         char *
#define MEMBER_LISTENER     char *
#define MEMBER_CPUS         int
#define MEMBER_ACTIONS      unsigned
#define MEMBER_PATTERNS     struct bytes *
#define MEMBER_NAMES        char **
#define MEMBER_USERS        struct config_range *
#define MEMBER_GROUPS       uint32_t *
#define MEMBER_LISTENERS    struct config_listener *
#define MEMBER_SLOW_RULES   struct config_slow *
#define MEMBER_ACCESS_RULES struct config_access *
#define MEMBER_LOG          struct config_log
#define MEMBER_TARGET       char *

/* Whether a count goes with it. */
#define SHAPE_COUNT        ONE
#define SHAPE_POWER2       ONE
#define SHAPE_SIZE         ONE
#define SHAPE_TIME         ONE
#define SHAPE_WORD         ONE
#define SHAPE_MODE         ONE
#define SHAPE_USER         ONE
#define SHAPE_GROUP        ONE
#define SHAPE_SOCKET       ONE
#define SHAPE_FILE         ONE
#define SHAPE_PATH         ONE
#define SHAPE_LISTENER     ONE
#define SHAPE_CPUS         ONE
#define SHAPE_ACTIONS      ONE
#define SHAPE_PATTERNS     MANY
#define SHAPE_NAMES        MANY
#define SHAPE_USERS        MANY
#define SHAPE_GROUPS       MANY
#define SHAPE_LISTENERS    MANY
#define SHAPE_SLOW_RULES   MANY
#define SHAPE_ACCESS_RULES MANY
#define SHAPE_LOG          ONE
#define SHAPE_TARGET       ONE

#define ONE(_struct, _member)
#define MANY(_struct, _member)                                                                                 \
        static_assert(offsetof(_struct, n_##_member) == offsetof(_struct, _member) + sizeof(void *), #_member);
#define MEMBER_CHECK(_struct, _type, _member)                                                                  \
        static_assert(sizeof(((_struct *)0)->_member) == sizeof(MEMBER_##_type), #_member);                    \
        SHAPE_##_type(_struct, _member)
#define ROW(_struct, _name, _type, _member, _fallback, _least, _greatest, _words, _reload, _help)              \
        {                                                                                                      \
                _name,                                                                                         \
                CONFIG_TYPE_##_type,                                                                           \
                offsetof(_struct, _member),                                                                    \
                _fallback,                                                                                     \
                _least,                                                                                        \
                _greatest,                                                                                     \
                _words,                                                                                        \
                _reload,                                                                                       \
                _help                                                                                          \
        },

#define GLOBAL_CHECK(_n, _type, _member, ...)   MEMBER_CHECK(struct config, _type, _member)
#define LISTENER_CHECK(_n, _type, _member, ...) MEMBER_CHECK(struct config_listener, _type, _member)
#define SLOW_CHECK(_n, _type, _member, ...)     MEMBER_CHECK(struct config_slow, _type, _member)
#define ACCESS_CHECK(_n, _type, _member, ...)   MEMBER_CHECK(struct config_access, _type, _member)
#define LOG_CHECK(_n, _type, _member, ...)      MEMBER_CHECK(struct config_log, _type, _member)
#define LOG_ROW(...)                            ROW(struct config_log, __VA_ARGS__)
#define GLOBAL_ROW(...)                         ROW(struct config, __VA_ARGS__)
#define LISTENER_ROW(...)                       ROW(struct config_listener, __VA_ARGS__)
#define SLOW_ROW(...)                           ROW(struct config_slow, __VA_ARGS__)
#define ACCESS_ROW(...)                         ROW(struct config_access, __VA_ARGS__)

CONFIG_OPTIONS(GLOBAL_CHECK)
CONFIG_LISTENER_OPTIONS(LISTENER_CHECK)
CONFIG_SLOW_OPTIONS(SLOW_CHECK)
CONFIG_ACCESS_OPTIONS(ACCESS_CHECK)
CONFIG_LOG_OPTIONS(LOG_CHECK)

const struct config_option config_options[] = { CONFIG_OPTIONS(GLOBAL_ROW) };
const size_t config_n_options = sizeof(config_options) / sizeof(*config_options);

static const struct config_option listener_options[] = { CONFIG_LISTENER_OPTIONS(LISTENER_ROW) };
static const struct config_option slow_options[] = { CONFIG_SLOW_OPTIONS(SLOW_ROW) };
static const struct config_option access_options[] = { CONFIG_ACCESS_OPTIONS(ACCESS_ROW) };

static const struct config_option log_options[] = { CONFIG_LOG_OPTIONS(LOG_ROW) };

#define TABLE(_options, _struct, _head, _items, _example)                                                      \
        {                                                                                                      \
                _options, sizeof(_options) / sizeof(*(_options)), sizeof(_struct), offsetof(_struct, line),    \
                        _head, _items, _example                                                                \
        }

static const struct config_table listener_table = TABLE(listener_options, struct config_listener, "path",
                                                        "listeners, each with a \"path\"", "path: /run/x.sock");
static const struct config_table slow_table =
        TABLE(slow_options, struct config_slow, NULL, "rules, each with a \"policy\"", "policy: drop-oldest");
static const struct config_table access_table = TABLE(
        access_options, struct config_access, NULL, "rules, each with \"allow\" or \"deny\"", "allow: publish");

static const struct config_table log_table = { .options = log_options,
                                               .n_options = sizeof(log_options) / sizeof(*log_options),
                                               .item_size = sizeof(struct config_log),
                                               .items = "\"target\", \"format\" and \"level\"",
                                               .example = "{level: debug}" };

const struct config_table *config_option_mapping(const struct config_option *o)
{
        return o->type == CONFIG_TYPE_LOG ? &log_table : NULL;
}

const struct config_table *config_option_table(const struct config_option *o)
{
        switch (o->type) {
        case CONFIG_TYPE_LISTENERS:
                return &listener_table;
        case CONFIG_TYPE_SLOW_RULES:
                return &slow_table;
        case CONFIG_TYPE_ACCESS_RULES:
                return &access_table;
        default:
                return NULL;
        }
}
