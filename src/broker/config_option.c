/* SPDX-License-Identifier: MIT */

#include "broker/config_option.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "broker/config_id.h"
#include "broker/config_list.h"
#include "broker/config_number.h"
#include "broker/config_text.h"
#include "util/clock.h"
#include "util/mem.h"
#include "util/suggest.h"

/* ---- words and file names */

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
        const char *names[16] = { NULL };
        size_t n = 0, best;

        for (const struct config_word *w = o->words; w && w->word && n < sizeof(names) / sizeof(*names); w++)
                names[n++] = w->word;
        best = suggest_best(text, names, n);
        if (best < n)
                buffer_printf(why, "did you mean \"%s\"?", names[best]);
}

/* Leaves out doubled slashes and "." parts, so that each name of a file has one spelling and can be compared.
 */
static void path_squeeze(char *path)
{
        char *out = path;

        if (*path != '/')
                return;
        for (const char *in = path; *in; *out++ = *in++)
                while (*in == '/' && (in[1] == '/' || (in[1] == '.' && in[2] == '/')))
                        in += in[1] == '/' ? 1 : 2;
        *out = 0;
}

static void path_set(char **pathp, struct bytes text)
{
        free(*pathp);
        *pathp = mem_zalloc(text.n + 1);
        memcpy(*pathp, text.p, text.n);
        path_squeeze(*pathp);
}

static bool path_read(const struct config_option *o, struct bytes text, char **pathp, struct buffer *why)
{
        bool plain = o->type == CONFIG_TYPE_PATH || o->type == CONFIG_TYPE_TARGET;
        bool abstract = !plain && text.n && *text.p == '@';

        if (text.n > (plain ? CONFIG_FILE_MAX : CONFIG_PATH_MAX))
                buffer_printf(why, "the name has %zu bytes", text.n);
        else if (!config_text_clean(text))
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
        path_set(pathp, text);
        return true;
}

/* Which listener it is, is found out when all are known. */
static bool listener_read(struct bytes text, char **pathp)
{
        if (!text.n || text.n > CONFIG_PATH_MAX || !config_text_clean(text))
                return false;
        path_set(pathp, text);
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

/* A word that stands for a value; of a name, for none. */
static void word_set(const struct config_option *o, const struct config_word *word, void *base)
{
        void *member = option_member(o, base);

        switch (o->type) {
        case CONFIG_TYPE_FILE:
        case CONFIG_TYPE_PATH:
                free(*(char **)member);
                *(char **)member = NULL;
                break;
        case CONFIG_TYPE_TARGET:
                path_set(member, bytes_str(word->word));
                break;
        case CONFIG_TYPE_USER:
                *(uint32_t *)member = CONFIG_NO_ID;
                break;
        case CONFIG_TYPE_SIZE:
        case CONFIG_TYPE_TIME:
                *(uint64_t *)member = (uint64_t)word->value;
                break;
        case CONFIG_TYPE_ACTIONS:
                *(unsigned *)member |= 1u << word->value;
                break;
        default:
                *(int *)member = word->value;
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
                return config_id_read(CONFIG_ID_USER, text, member, why);
        case CONFIG_TYPE_GROUP:
                return config_id_read(CONFIG_ID_GROUP, text, member, why);
        case CONFIG_TYPE_TARGET:
                word_suggest(o, text, why);
                if (buffer_size(why))
                        return false;
                return path_read(o, text, member, why);
        case CONFIG_TYPE_SOCKET:
        case CONFIG_TYPE_FILE:
        case CONFIG_TYPE_PATH:
                return path_read(o, text, member, why);
        case CONFIG_TYPE_LISTENER:
                return listener_read(text, member);
        case CONFIG_TYPE_CPUS:
                if (!config_number_read(text, o->least, o->greatest, &n))
                        return false;
                if (config_cpus_add(base, (unsigned)n))
                        return true;
                buffer_printf(why, "it is in the list already");
                return false;
        case CONFIG_TYPE_PATTERNS:
        case CONFIG_TYPE_NAMES:
        case CONFIG_TYPE_USERS:
        case CONFIG_TYPE_GROUPS:
                return config_list_read(o, text, base, why);
        default:
                return false;
        }
}

/* What may be meant by a value that is none. */
static void value_explain(const struct config_option *o, struct bytes text, struct buffer *why)
{
        bool digits = text.n && config_number_digits(text);

        if (digits && text.n == 1 && *text.p == '0' && config_option_has_word(o, bytes_str("none")))
                buffer_printf(why, "no limit is written \"none\"");
        else if (digits && text.n > 1 && *text.p == '0' && o->type != CONFIG_TYPE_MODE)
                buffer_printf(why, "a number must not start with 0");
        else if (digits && o->type == CONFIG_TYPE_TIME)
                buffer_printf(why, "a unit is missing: ns, us, ms, s, min or h");
        else
                word_suggest(o, text, why);
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
        if (!buffer_size(why))
                value_explain(o, text, why);
        return false;
}

void config_option_reset(const struct config_option *o, void *base)
{
        const struct config_table *mapping = config_option_mapping(o);
        struct buffer why = { 0 };
        bool good;

        if (o->type == CONFIG_TYPE_USER || o->type == CONFIG_TYPE_GROUP)
                *(uint32_t *)option_member(o, base) = CONFIG_NO_ID;
        for (size_t i = 0; mapping && i < mapping->n_options; i++)
                config_option_reset(&mapping->options[i], option_member(o, base));
        if (!o->fallback || !*o->fallback || config_option_table(o))
                return;
        good = config_option_read(o, bytes_str(o->fallback), base, &why);
        assert(good);
        buffer_deinit(&why);
}

void config_option_clear(const struct config_option *o, void *base)
{
        const struct config_table *mapping = config_option_mapping(o);

        for (size_t i = 0; mapping && i < mapping->n_options; i++)
                config_option_clear(&mapping->options[i], option_member(o, base));
        switch (o->type) {
        case CONFIG_TYPE_CPUS:
                free(((struct config *)base)->cpu_list);
                break;
        case CONFIG_TYPE_SOCKET:
        case CONFIG_TYPE_FILE:
        case CONFIG_TYPE_PATH:
        case CONFIG_TYPE_LISTENER:
        case CONFIG_TYPE_TARGET:
                free(*(char **)option_member(o, base));
                break;
        case CONFIG_TYPE_PATTERNS:
        case CONFIG_TYPE_NAMES:
        case CONFIG_TYPE_USERS:
        case CONFIG_TYPE_GROUPS:
        case CONFIG_TYPE_LISTENERS:
        case CONFIG_TYPE_SLOW_RULES:
        case CONFIG_TYPE_ACCESS_RULES:
                config_list_clear(o, base);
                break;
        default:
                break;
        }
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

static bool word_write(const struct config_option *o, uint64_t value, struct buffer *out)
{
        for (const struct config_word *w = o->words; w && w->word; w++)
                if ((uint64_t)w->value == value) {
                        buffer_printf(out, "%s", w->word);
                        return true;
                }
        return false;
}

/* A quantity of 0 may have a word, and without a default it is none. */
static bool quantity_write(const struct config_option *o, uint64_t n, void (*write)(uint64_t, struct buffer *),
                           struct buffer *out)
{
        if (!n && o->fallback && !*o->fallback)
                return false;
        if (!word_write(o, n, out))
                write(n, out);
        return true;
}

static bool actions_write(const struct config_option *o, unsigned actions, struct buffer *out)
{
        bool many = actions & (actions - 1), first = true;

        if (!actions)
                return false;
        if (many)
                buffer_printf(out, "[");
        for (const struct config_word *w = o->words; w->word; w++) {
                if (!(actions & 1u << w->value))
                        continue;
                buffer_printf(out, "%s%s", first ? "" : ", ", w->word);
                first = false;
        }
        if (many)
                buffer_printf(out, "]");
        return true;
}

static bool name_write(const struct config_option *o, const char *name, struct buffer *out)
{
        if (!name)
                return word_write(o, 0, out);
        if (o->type == CONFIG_TYPE_TARGET && config_option_has_word(o, bytes_str(name))) {
                buffer_printf(out, "%s", name);
                return true;
        }
        string_write(name, out);
        return true;
}

bool config_option_write(const struct config_option *o, const void *base, struct buffer *out)
{
        const void *member = (const char *)base + o->offset;

        switch (o->type) {
        case CONFIG_TYPE_COUNT:
        case CONFIG_TYPE_POWER2:
        case CONFIG_TYPE_WORD:
                return quantity_write(o, *(const unsigned *)member, config_number_write, out);
        case CONFIG_TYPE_SIZE:
                return quantity_write(o, *(const uint64_t *)member, config_size_write, out);
        case CONFIG_TYPE_TIME:
                return quantity_write(o, *(const uint64_t *)member, config_time_write, out);
        case CONFIG_TYPE_MODE:
                buffer_printf(out, "%04o", *(const mode_t *)member);
                return true;
        case CONFIG_TYPE_USER:
        case CONFIG_TYPE_GROUP:
                if (*(const uint32_t *)member == CONFIG_NO_ID)
                        return word_write(o, 0, out);
                config_number_write(*(const uint32_t *)member, out);
                return true;
        case CONFIG_TYPE_SOCKET:
        case CONFIG_TYPE_FILE:
        case CONFIG_TYPE_PATH:
        case CONFIG_TYPE_LISTENER:
        case CONFIG_TYPE_TARGET:
                return name_write(o, *(char *const *)member, out);
        case CONFIG_TYPE_CPUS:
                if (!word_write(o, *(const unsigned *)member, out))
                        cpus_write(base, out);
                return true;
        case CONFIG_TYPE_ACTIONS:
                return actions_write(o, *(const unsigned *)member, out);
        case CONFIG_TYPE_PATTERNS:
        case CONFIG_TYPE_NAMES:
        case CONFIG_TYPE_USERS:
        case CONFIG_TYPE_GROUPS:
                return config_list_write(o, base, out);
        case CONFIG_TYPE_LISTENERS:
        case CONFIG_TYPE_SLOW_RULES:
        case CONFIG_TYPE_ACCESS_RULES:
                config_list_write_items(o, base, out);
                return true;
        case CONFIG_TYPE_LOG:
                config_list_write_mapping(config_option_mapping(o), member, out);
                return true;
        }
        return false;
}

static void string_copy(char **to, const char *from)
{
        free(*to);
        *to = from ? strcpy(mem_alloc(strlen(from) + 1), from) : NULL;
}

static void cpus_copy(struct config *to, const struct config *from)
{
        to->n_cpu_list = 0;
        for (unsigned i = 0; i < from->n_cpu_list; i++)
                config_cpus_add(to, from->cpu_list[i]);
        to->cpus = from->cpus;
}

void config_option_copy(const struct config_option *o, void *to, const void *from)
{
        void *member = option_member(o, to);
        const void *value = (const char *)from + o->offset;

        switch (o->type) {
        case CONFIG_TYPE_COUNT:
        case CONFIG_TYPE_POWER2:
        case CONFIG_TYPE_WORD:
        case CONFIG_TYPE_MODE:
        case CONFIG_TYPE_USER:
        case CONFIG_TYPE_GROUP:
        case CONFIG_TYPE_ACTIONS:
                *(uint32_t *)member = *(const uint32_t *)value;
                break;
        case CONFIG_TYPE_SIZE:
        case CONFIG_TYPE_TIME:
                *(uint64_t *)member = *(const uint64_t *)value;
                break;
        case CONFIG_TYPE_SOCKET:
        case CONFIG_TYPE_FILE:
        case CONFIG_TYPE_PATH:
        case CONFIG_TYPE_LISTENER:
        case CONFIG_TYPE_TARGET:
                string_copy(member, *(char *const *)value);
                break;
        case CONFIG_TYPE_CPUS:
                cpus_copy(to, from);
                break;
        case CONFIG_TYPE_PATTERNS:
        case CONFIG_TYPE_NAMES:
        case CONFIG_TYPE_USERS:
        case CONFIG_TYPE_GROUPS:
        case CONFIG_TYPE_LISTENERS:
        case CONFIG_TYPE_SLOW_RULES:
        case CONFIG_TYPE_ACCESS_RULES:
        case CONFIG_TYPE_LOG:
                assert(!"lists and mappings are read at every reload");
        }
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

static void list_expect(const char *one, struct buffer *out)
{
        buffer_printf(out, "%s, or a list of 1..%d of them", one, CONFIG_VALUES_MAX);
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
                range_expect(o, "a time",
                             o->greatest < NSEC_PER_SEC ? " (such as 20us)" : " (such as 500ms or 5min)",
                             config_time_write, out);
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
        case CONFIG_TYPE_PATH:
                buffer_printf(out, "an absolute file name");
                break;
        case CONFIG_TYPE_LOG:
                buffer_printf(out, "a mapping of %s (such as %s)", config_option_mapping(o)->items,
                              config_option_mapping(o)->example);
                break;
        case CONFIG_TYPE_TARGET:
                buffer_printf(out, "an absolute file name");
                break;
        case CONFIG_TYPE_LISTENER:
                buffer_printf(out, "the \"path\" of one of the listeners");
                break;
        case CONFIG_TYPE_CPUS:
                range_expect(o, "a list of CPU numbers", " (such as [0, 2])", config_number_write, out);
                break;
        case CONFIG_TYPE_PATTERNS:
                list_expect("a pattern of channels (such as \"sensor.*\")", out);
                break;
        case CONFIG_TYPE_NAMES:
                list_expect("a name of at most 255 bytes", out);
                break;
        case CONFIG_TYPE_USERS:
                list_expect("a user's name, a uid or a range of uids (such as 1000-1999)", out);
                break;
        case CONFIG_TYPE_GROUPS:
                list_expect("a group's name or gid", out);
                break;
        case CONFIG_TYPE_LISTENERS:
        case CONFIG_TYPE_SLOW_RULES:
        case CONFIG_TYPE_ACCESS_RULES:
                buffer_printf(out, "a list of %u..%u %s", (unsigned)o->least, (unsigned)o->greatest,
                              config_option_table(o)->items);
                break;
        case CONFIG_TYPE_WORD:
                words_expect(o, true, out);
                return;
        case CONFIG_TYPE_ACTIONS:
                words_expect(o, true, out);
                buffer_printf(out, ", or a list of these");
                return;
        }
        words_expect(o, false, out);
}
