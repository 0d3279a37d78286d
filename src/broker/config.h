/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/*
 * The configuration: read from YAML by one table of options (config_table.h), checked whole, then const. Knows
 * files and libyaml; opens no socket, writes nothing, looks up users and groups.
 */

#define CONFIG_SHARDS_MAX 63
#define CONFIG_CPUS_MAX   1024
#define CONFIG_ERRORS_MAX 20 /* reported in one pass */

#define CONFIG_LISTENERS_MAX 64

#define CONFIG_OUTPUT_HARD (UINT64_C(32) << 20) /* bytes that may wait for one client */

enum config_reactor {
        CONFIG_REACTOR_AUTO,
        CONFIG_REACTOR_IO_URING,
        CONFIG_REACTOR_LIBEV,
};

enum config_receive {
        CONFIG_RECEIVE_AUTO,
        CONFIG_RECEIVE_MULTISHOT,
        CONFIG_RECEIVE_SINGLE,
};

enum config_cpus {
        CONFIG_CPUS_AUTO, /* within the affinity mask of the start; only where one CPU is to spare */
        CONFIG_CPUS_NONE,
        CONFIG_CPUS_LIST,
};

struct config_listener {
        char *path; /* a file name, or "@name" in the abstract namespace */
        mode_t mode;
        uid_t owner; /* (uid_t)-1: as it comes */
        gid_t group; /* (gid_t)-1: as it comes */
        unsigned backlog;
        unsigned line; /* of its key in the file, for messages; 0: not from the file */
};

struct config {
        char *file;
        unsigned shards; /* 1..CONFIG_SHARDS_MAX; 0: auto */
        enum config_cpus cpus;
        uint16_t *cpu_list;
        unsigned n_cpu_list;
        int reactor; /* enum config_reactor */
        struct config_listener *listeners;
        unsigned n_listeners;
        char *admin; /* path of the admin socket, mode 0600; NULL: none */
        unsigned ring_capacity;
        uint64_t backlog_bytes;
        uint64_t spin_ns;
        unsigned io_uring_entries, io_uring_buffers;
        int io_uring_receive; /* enum config_receive */
        unsigned max_clients;
        uint64_t max_request_bytes;
        int log_level; /* enum log_level */
};

enum {
        _CONFIG_E_SUCCESS,
        CONFIG_E_INVALID, /* what is wrong was written to the error stream */
};

/*
 * Reads and checks a file. Errors go to errors in the shape file:line:column: error: text, with the source line
 * and a caret, and a closing line that counts them.
 * Return: 0, CONFIG_E_INVALID (also for a file that cannot be read), -ENOMEM.
 */
int config_load(struct config **configp, const char *file, FILE *errors);

/* config_load() of n bytes that are at hand; file is what messages call them, and the config's file. */
int config_parse(struct config **configp, const char *file, const void *bytes, size_t n, FILE *errors);

/* Return: NULL. */
struct config *config_free(struct config *config);

/* Prints the effective configuration as YAML, defaults included; loading it again gives the same. */
void config_dump(const struct config *config, FILE *out);

/* The shards that `auto` stands for on a machine where n_cpus CPUs may be used. */
unsigned config_shards_auto(unsigned n_cpus);

/* The options as the list of broker.yaml(5), in mdoc. */
void config_print_mdoc(FILE *out);
