/* SPDX-License-Identifier: MIT */

#include "broker/config_option.h"

#include <assert.h>
#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "broker/config_number.h"
#include "broker/config_table.h"
#include "broker/config_text.h"
#include "util/log.h"
#include "util/mem.h"
#include "util/suggest.h"

#define NO_ID      UINT32_MAX /* as uid or gid: not given; no user has it */
#define LOOKUP_MAX (1 << 20)  /* bytes of a user's or group's record */
#define NAME_SIZE  256        /* bytes of a user's or group's name, with the NUL */

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

/* The C type that the member of each type has. */
#define MEMBER_COUNT     unsigned
#define MEMBER_POWER2    unsigned
#define MEMBER_SIZE      uint64_t
#define MEMBER_TIME      uint64_t
#define MEMBER_WORD      int
#define MEMBER_MODE      mode_t
#define MEMBER_USER      uid_t
#define MEMBER_GROUP     gid_t
#define MEMBER_SOCKET    char *
#define MEMBER_FILE      char *
#define MEMBER_CPUS      int
#define MEMBER_LISTENERS struct config_listener *

/* Whether a count goes with it. */
#define SHAPE_COUNT     ONE
#define SHAPE_POWER2    ONE
#define SHAPE_SIZE      ONE
#define SHAPE_TIME      ONE
#define SHAPE_WORD      ONE
#define SHAPE_MODE      ONE
#define SHAPE_USER      ONE
#define SHAPE_GROUP     ONE
#define SHAPE_SOCKET    ONE
#define SHAPE_FILE      ONE
#define SHAPE_CPUS      ONE
#define SHAPE_LISTENERS MANY

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
#define GLOBAL_ROW(...)                         ROW(struct config, __VA_ARGS__)
#define LISTENER_ROW(...)                       ROW(struct config_listener, __VA_ARGS__)

CONFIG_OPTIONS(GLOBAL_CHECK)
CONFIG_LISTENER_OPTIONS(LISTENER_CHECK)

const struct config_option config_options[] = { CONFIG_OPTIONS(GLOBAL_ROW) };
const size_t config_n_options = sizeof(config_options) / sizeof(*config_options);

static const struct config_option listener_options[] = { CONFIG_LISTENER_OPTIONS(LISTENER_ROW) };

#define TABLE(_options, _struct, _head, _items, _example)                                                      \
        {                                                                                                      \
                _options, sizeof(_options) / sizeof(*(_options)), sizeof(_struct), offsetof(_struct, line),    \
                        _head, _items, _example                                                                \
        }

static const struct config_table listener_table = TABLE(listener_options, struct config_listener, "path",
                                                        "listeners, each with a \"path\"", "path: /run/x.sock");

const struct config_table *config_option_table(const struct config_option *o)
{
        return o->type == CONFIG_TYPE_LISTENERS ? &listener_table : NULL;
}

/* The count that goes with a pointer to many. */
static unsigned *many_count(void *member)
{
        return (unsigned *)((char *)member + sizeof(void *));
}

void *config_option_items_new(const struct config_option *o, void *base, unsigned n)
{
        void *member = (char *)base + o->offset;

        *(void **)member = mem_zalloc(n * config_option_table(o)->item_size);
        *many_count(member) = n;
        return *(void **)member;
}

const void *config_option_items(const struct config_option *o, const void *base, unsigned *np)
{
        const char *member = (const char *)base + o->offset;

        *np = *(const unsigned *)(member + sizeof(void *));
        return *(void *const *)member;
}

size_t config_option_list_max(const struct config_option *o)
{
        return o->type == CONFIG_TYPE_CPUS ? CONFIG_CPUS_MAX : 0;
}

const char *config_option_noun(const struct config_option *o)
{
        return o->type == CONFIG_TYPE_CPUS ? "CPU" : "value";
}

/* ---- words, users, file names */

static const struct config_word *word_find(const struct config_option *o, struct bytes text)
{
        for (const struct config_word *w = o->words; w && w->word; w++)
                if (bytes_equal(text, bytes_str(w->word)))
                        return w;
        return NULL;
}

bool config_option_has_word(const struct config_option *o, struct bytes text)
{
        return word_find(o, text);
}

static void word_suggest(const struct config_option *o, struct bytes text, struct buffer *why)
{
        const char *names[16];
        size_t n = 0, best;

        for (const struct config_word *w = o->words; w && w->word && n < sizeof(names) / sizeof(*names); w++)
                names[n++] = w->word;
        best = suggest_best(text, names, n);
        if (best < n)
                buffer_printf(why, "did you mean \"%s\"?", names[best]);
}

/* Calls getpwnam_r() or getgrnam_r() with as much room as it wants. Return: 0, ENOENT, or why it failed. */
static int name_look_up(enum config_type type, const char *name, uint32_t *idp)
{
        struct passwd passwd, *user = NULL;
        struct group group, *found = NULL;
        char *room = NULL;
        int r = ERANGE;

        for (size_t size = 1024; r == ERANGE && size <= LOOKUP_MAX; size *= 2) {
                room = mem_realloc(room, size);
                r = type == CONFIG_TYPE_USER ? getpwnam_r(name, &passwd, room, size, &user)
                                             : getgrnam_r(name, &group, room, size, &found);
        }
        if (user)
                *idp = passwd.pw_uid;
        else if (found)
                *idp = group.gr_gid;
        else if (!r)
                r = ENOENT;
        free(room);
        return r;
}

static bool id_read(const struct config_option *o, struct bytes text, uint32_t *idp, struct buffer *why)
{
        const char *what = o->type == CONFIG_TYPE_USER ? "user" : "group";
        char name[NAME_SIZE];
        uint64_t number;
        uint32_t id;
        int r;

        if (config_number_read(text, 0, NO_ID - 1, &number)) {
                *idp = (uint32_t)number;
                return true;
        }
        if (!text.n || text.n >= sizeof(name) || memchr(text.p, 0, text.n))
                return false;
        memcpy(name, text.p, text.n);
        name[text.n] = 0;
        r = name_look_up(o->type, name, &id);
        /* The many ways of libraries to say that there is none, getpwnam(3). */
        if (r == ENOENT || r == ESRCH || r == EBADF || r == EPERM || (!r && id == NO_ID)) {
                buffer_printf(why, "there is no such %s", what);
                return false;
        }
        if (r) {
                buffer_printf(why, "cannot look up the %s: %s", what, strerror(r));
                return false;
        }
        *idp = id;
        return true;
}

static bool path_is_clean(struct bytes text)
{
        uint32_t c;

        while (text.n)
                if (!config_text_next(&text, &c) || c < 0x20 || c == 0x7f)
                        return false;
        return true;
}

static bool path_read(const struct config_option *o, struct bytes text, char **pathp, struct buffer *why)
{
        bool abstract = text.n && *text.p == '@';

        if (text.n > CONFIG_PATH_MAX)
                buffer_printf(why, "the name has %zu bytes", text.n);
        else if (!path_is_clean(text))
                buffer_printf(why, "the name contains a control character");
        else if (abstract && o->type == CONFIG_TYPE_FILE)
                buffer_printf(why, "an abstract socket has no mode and would let everybody in");
        else if (abstract && text.n == 1)
                buffer_printf(why, "the name behind the \"@\" is missing");
        else if (text.n && !abstract && *text.p != '/')
                buffer_printf(why, "it must start with \"/\"");
        else if (text.n && !abstract && text.p[text.n - 1] == '/')
                buffer_printf(why, "it must not end with \"/\"");
        if (!text.n || buffer_size(why))
                return false;
        free(*pathp);
        *pathp = mem_zalloc(text.n + 1);
        memcpy(*pathp, text.p, text.n);
        return true;
}

bool config_cpus_add(struct config *config, unsigned cpu)
{
        for (unsigned i = 0; i < config->n_cpu_list; i++)
                if (config->cpu_list[i] == cpu)
                        return false;
        if (config->n_cpu_list == CONFIG_CPUS_MAX)
                return false;
        if (!config->cpu_list)
                config->cpu_list = mem_zalloc(CONFIG_CPUS_MAX * sizeof(*config->cpu_list));
        config->cpu_list[config->n_cpu_list++] = (uint16_t)cpu;
        config->cpus = CONFIG_CPUS_LIST;
        return true;
}

/* ---- options */

static void *option_member(const struct config_option *o, void *base)
{
        return (char *)base + o->offset;
}

/* A word that stands for a value; of a file name, for none. */
static void word_set(const struct config_option *o, const struct config_word *word, void *base)
{
        if (o->type == CONFIG_TYPE_FILE) {
                free(*(char **)option_member(o, base));
                *(char **)option_member(o, base) = NULL;
        } else {
                *(int *)option_member(o, base) = word->value;
        }
}

static bool value_read(const struct config_option *o, struct bytes text, void *base, struct buffer *why)
{
        void *member = option_member(o, base);
        uint64_t n;

        switch (o->type) {
        case CONFIG_TYPE_COUNT:
        case CONFIG_TYPE_POWER2:
                if (!config_number_read(text, o->least, o->greatest, &n) ||
                    (o->type == CONFIG_TYPE_POWER2 && (n & (n - 1))))
                        return false;
                *(unsigned *)member = (unsigned)n;
                return true;
        case CONFIG_TYPE_SIZE:
                return config_size_read(text, o->least, o->greatest, member);
        case CONFIG_TYPE_TIME:
                return config_time_read(text, o->least, o->greatest, member);
        case CONFIG_TYPE_MODE:
                return config_mode_read(text, o->greatest, member);
        case CONFIG_TYPE_USER:
        case CONFIG_TYPE_GROUP:
                return id_read(o, text, member, why);
        case CONFIG_TYPE_SOCKET:
        case CONFIG_TYPE_FILE:
                return path_read(o, text, member, why);
        case CONFIG_TYPE_CPUS:
                if (!config_number_read(text, o->least, o->greatest, &n))
                        return false;
                if (config_cpus_add(base, (unsigned)n))
                        return true;
                buffer_printf(why, "it is in the list already");
                return false;
        case CONFIG_TYPE_WORD:
        case CONFIG_TYPE_LISTENERS:
                return false;
        }
        return false;
}

bool config_option_read(const struct config_option *o, struct bytes text, void *base, struct buffer *why)
{
        const struct config_word *word = word_find(o, text);

        if (word) {
                word_set(o, word, base);
                return true;
        }
        if (value_read(o, text, base, why))
                return true;
        if (!buffer_size(why) && config_number_digits(text) && text.n > 1 && *text.p == '0' &&
            o->type != CONFIG_TYPE_MODE)
                buffer_printf(why, "a number must not start with 0");
        else if (!buffer_size(why) && config_number_digits(text) && text.n && o->type == CONFIG_TYPE_TIME)
                buffer_printf(why, "a unit is missing: ns, us or ms");
        else if (!buffer_size(why))
                word_suggest(o, text, why);
        return false;
}

void config_option_reset(const struct config_option *o, void *base)
{
        struct buffer why = { 0 };
        bool good;

        if (o->type == CONFIG_TYPE_USER || o->type == CONFIG_TYPE_GROUP)
                *(uint32_t *)option_member(o, base) = NO_ID;
        if (!o->fallback || !*o->fallback || config_option_table(o))
                return;
        good = config_option_read(o, bytes_str(o->fallback), base, &why);
        assert(good);
        buffer_deinit(&why);
}

static void items_clear(const struct config_option *o, void *base)
{
        const struct config_table *table = config_option_table(o);
        char *items = *(char **)option_member(o, base);
        unsigned n = *many_count(option_member(o, base));

        for (unsigned i = 0; i < n; i++)
                for (size_t j = 0; j < table->n_options; j++)
                        config_option_clear(&table->options[j], items + i * table->item_size);
        free(items);
}

void config_option_clear(const struct config_option *o, void *base)
{
        if (config_option_table(o))
                items_clear(o, base);
        else if (o->type == CONFIG_TYPE_CPUS)
                free(((struct config *)base)->cpu_list);
        else if (o->type == CONFIG_TYPE_SOCKET || o->type == CONFIG_TYPE_FILE)
                free(*(char **)option_member(o, base));
}

static void cpus_write(const struct config *config, struct buffer *out)
{
        buffer_printf(out, "[");
        for (unsigned i = 0; i < config->n_cpu_list; i++)
                buffer_printf(out, "%s%u", i ? ", " : "", config->cpu_list[i]);
        buffer_printf(out, "]");
}

/* Plain where every YAML reader takes it for a string as it stands, else in double quotes. */
static void string_write(const char *s, struct buffer *out)
{
        static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-";

        if (*s == '/' && strspn(s, safe) == strlen(s))
                buffer_printf(out, "%s", s);
        else
                config_text_quote(out, bytes_str(s), CONFIG_TEXT_WHOLE);
}

static bool word_write(const struct config_option *o, int value, struct buffer *out)
{
        for (const struct config_word *w = o->words; w && w->word; w++)
                if (w->value == value) {
                        buffer_printf(out, "%s", w->word);
                        return true;
                }
        return false;
}

bool config_option_write(const struct config_option *o, const void *base, struct buffer *out)
{
        const void *member = (const char *)base + o->offset;
        const char *s;

        switch (o->type) {
        case CONFIG_TYPE_COUNT:
        case CONFIG_TYPE_POWER2:
        case CONFIG_TYPE_WORD:
                if (!word_write(o, *(const int *)member, out))
                        buffer_printf(out, "%u", *(const unsigned *)member);
                return true;
        case CONFIG_TYPE_SIZE:
                config_size_write(*(const uint64_t *)member, out);
                return true;
        case CONFIG_TYPE_TIME:
                config_time_write(*(const uint64_t *)member, out);
                return true;
        case CONFIG_TYPE_MODE:
                buffer_printf(out, "%04o", *(const mode_t *)member);
                return true;
        case CONFIG_TYPE_USER:
        case CONFIG_TYPE_GROUP:
                if (*(const uint32_t *)member == NO_ID)
                        return false;
                buffer_printf(out, "%" PRIu32, *(const uint32_t *)member);
                return true;
        case CONFIG_TYPE_SOCKET:
        case CONFIG_TYPE_FILE:
                s = *(char *const *)member;
                if (s)
                        string_write(s, out);
                else
                        word_write(o, 0, out);
                return true;
        case CONFIG_TYPE_CPUS:
                if (!word_write(o, *(const int *)member, out))
                        cpus_write(base, out);
                return true;
        case CONFIG_TYPE_LISTENERS:
                return false;
        }
        return false;
}

/* ---- what is expected */

static void words_expect(const struct config_option *o, bool alone, struct buffer *out)
{
        for (const struct config_word *w = o->words; w && w->word; w++) {
                if (w != o->words || !alone)
                        buffer_printf(out, "%s", w[1].word ? ", " : " or ");
                buffer_printf(out, "\"%s\"", w->word);
        }
}

static void range_expect(const struct config_option *o, const char *what, const char *example,
                         void (*write)(uint64_t, struct buffer *), struct buffer *out)
{
        buffer_printf(out, "%s ", what);
        write(o->least, out);
        buffer_printf(out, "..");
        write(o->greatest, out);
        buffer_printf(out, "%s", example);
}

void config_option_expect(const struct config_option *o, struct buffer *out)
{
        switch (o->type) {
        case CONFIG_TYPE_COUNT:
                range_expect(o, "an integer", "", config_number_write, out);
                break;
        case CONFIG_TYPE_POWER2:
                range_expect(o, "a power of two", "", config_number_write, out);
                break;
        case CONFIG_TYPE_SIZE:
                range_expect(o, "a size", " (such as 64KiB or 16MiB)", config_size_write, out);
                break;
        case CONFIG_TYPE_TIME:
                range_expect(o, "a time", " (such as 20us)", config_time_write, out);
                break;
        case CONFIG_TYPE_MODE:
                buffer_printf(out, "an octal mode 0000..%04o (such as 0600)", (unsigned)o->greatest);
                break;
        case CONFIG_TYPE_USER:
                buffer_printf(out, "a user's name or uid");
                break;
        case CONFIG_TYPE_GROUP:
                buffer_printf(out, "a group's name or gid");
                break;
        case CONFIG_TYPE_SOCKET:
                buffer_printf(out, "an absolute file name or \"@name\", of at most %d bytes", CONFIG_PATH_MAX);
                break;
        case CONFIG_TYPE_FILE:
                buffer_printf(out, "an absolute file name of at most %d bytes", CONFIG_PATH_MAX);
                break;
        case CONFIG_TYPE_CPUS:
                range_expect(o, "a list of CPU numbers", " (such as [0, 2])", config_number_write, out);
                break;
        case CONFIG_TYPE_LISTENERS:
                buffer_printf(out, "a list of %u..%u %s", (unsigned)o->least, (unsigned)o->greatest,
                              config_option_table(o)->items);
                break;
        case CONFIG_TYPE_WORD:
                break;
        }
        words_expect(o, o->type == CONFIG_TYPE_WORD, out);
}
