/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/config.h"
#include "util/buffer.h"
#include "util/bytes.h"

/*
 * The rows of config_table.h at run time, and their types: what each accepts, and how each is written. The
 * struct that a row is a member of is passed as a pointer to its base.
 */

#define CONFIG_PATH_MAX   107  /* bytes of a socket's name: sun_path holds 108 with the NUL */
#define CONFIG_FILE_MAX   4095 /* bytes of a file's name */
#define CONFIG_NAME_MAX   255  /* bytes of a client's name */
#define CONFIG_VALUES_MAX 256  /* of a list of values */

enum config_type {
        CONFIG_TYPE_COUNT,
        CONFIG_TYPE_POWER2,
        CONFIG_TYPE_SIZE, /* bytes */
        CONFIG_TYPE_TIME, /* nanoseconds */
        CONFIG_TYPE_WORD,
        CONFIG_TYPE_MODE,
        CONFIG_TYPE_USER,
        CONFIG_TYPE_GROUP,
        CONFIG_TYPE_SOCKET,   /* a file name or "@name" */
        CONFIG_TYPE_FILE,     /* the file name of a socket */
        CONFIG_TYPE_PATH,     /* any file name */
        CONFIG_TYPE_LISTENER, /* the path of a listener */

        /* One value or a list of values, read one by one. */
        CONFIG_TYPE_CPUS,    /* member: cpus; cpu_list and n_cpu_list go with it */
        CONFIG_TYPE_ACTIONS, /* bits of the words' values */
        /* the member x points to an array, and `unsigned n_x` stands right behind it */
        CONFIG_TYPE_PATTERNS,
        CONFIG_TYPE_NAMES,
        CONFIG_TYPE_USERS,
        CONFIG_TYPE_GROUPS,

        /* Lists of mappings; their members are arrays likewise. */
        CONFIG_TYPE_LISTENERS,
        CONFIG_TYPE_SLOW_RULES,
        CONFIG_TYPE_ACCESS_RULES,

        CONFIG_TYPE_LOG,    /* a mapping; the member is a struct of its own */
        CONFIG_TYPE_TARGET, /* of the log: the member is a word or the name of a file */
};

struct config_word {
        const char *word; /* NULL ends a list */
        int value;
};

struct config_option {
        const char *name;
        enum config_type type;
        size_t offset; /* of the member */
        const char *fallback;
        uint64_t least, greatest;
        const struct config_word *words;
        bool reloadable;
        const char *help;
};

/* The rows of the mappings in a list, or of one mapping, which has no line and no head. */
struct config_table {
        const struct config_option *options;
        size_t n_options;
        size_t item_size;
        size_t line_offset;  /* of `unsigned line` in an item: where the file has it */
        const char *head;    /* the key that is shown for an item; NULL: where the item starts */
        const char *items;   /* what a list has: "listeners, each with ..." */
        const char *example; /* of an item */
};

extern const struct config_option config_options[];
extern const size_t config_n_options;

/* Return: NULL when the option is no list of mappings. */
const struct config_table *config_option_table(const struct config_option *option);

/* Return: NULL when the option is no mapping. */
const struct config_table *config_option_mapping(const struct config_option *option);

/* Makes the array of a list of mappings, with n zeroed items. */
void *config_option_items_new(const struct config_option *option, void *base, unsigned n);

/* Return: the items of a list of mappings. */
const void *config_option_items(const struct config_option *option, const void *base, unsigned *np);

/* The values that a list may have; 0: the option takes no list of values. */
size_t config_option_list_max(const struct config_option *option);

/* What one value of such a list is called. */
const char *config_option_noun(const struct config_option *option);

/* Whether the text is one of the option's words. */
bool config_option_has_word(const struct config_option *option, struct bytes text);

/*
 * Reads a value into its member; of a list of values, one more. A reason that the type does not imply is
 * appended to why. Return: whether the value is good; if not, the member is unchanged.
 */
bool config_option_read(const struct config_option *option, struct bytes text, void *base, struct buffer *why);

/* Sets the member, which is zeroed, to its default. */
void config_option_reset(const struct config_option *option, void *base);

/* Frees what the member refers to. */
void config_option_clear(const struct config_option *option, void *base);

/* Writes the member as YAML on one line that config_option_read() takes; false: it has no value. */
bool config_option_write(const struct config_option *option, const void *base, struct buffer *out);

/* Gives the member of to the value that it has in from. Not for lists but that of CPUs. */
void config_option_copy(const struct config_option *option, void *to, const void *from);

/* Writes what values are good: `an integer 1..63 or "auto"`. */
void config_option_expect(const struct config_option *option, struct buffer *out);

/* Adds a CPU to the list. Return: false when it is in the list or the list is full. */
bool config_cpus_add(struct config *config, unsigned cpu);
