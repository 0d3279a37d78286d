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

#define CONFIG_PATH_MAX 107 /* bytes of a socket's name: sun_path holds 108 with the NUL */

enum config_type {
        CONFIG_TYPE_COUNT,
        CONFIG_TYPE_POWER2,
        CONFIG_TYPE_SIZE, /* bytes */
        CONFIG_TYPE_TIME, /* nanoseconds */
        CONFIG_TYPE_WORD,
        CONFIG_TYPE_MODE,
        CONFIG_TYPE_USER,
        CONFIG_TYPE_GROUP,
        CONFIG_TYPE_SOCKET, /* a file name or "@name" */
        CONFIG_TYPE_FILE,
        CONFIG_TYPE_CPUS,      /* member: cpus; cpu_list and n_cpu_list go with it */
        CONFIG_TYPE_LISTENERS, /* member: listeners; n_listeners goes with it */
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

extern const struct config_option config_options[];
extern const size_t config_n_options;
extern const struct config_option config_listener_options[];
extern const size_t config_n_listener_options;

/*
 * Reads a value into its member; of a list of CPUs, one item. A reason that the type does not imply is appended
 * to why. Return: whether the value is good; if not, the member is unchanged.
 */
bool config_option_read(const struct config_option *option, struct bytes text, void *base, struct buffer *why);

/* Sets the member to its default. */
void config_option_reset(const struct config_option *option, void *base);

/* Writes the member as YAML that config_option_read() takes; false: it has no value. */
bool config_option_write(const struct config_option *option, const void *base, struct buffer *out);

/* Writes what values are good: `an integer 1..63 or "auto"`. */
void config_option_expect(const struct config_option *option, struct buffer *out);

/* Adds a CPU to the list. Return: false when it is in the list or the list is full. */
bool config_cpus_add(struct config *config, unsigned cpu);
