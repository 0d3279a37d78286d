/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "util/bytes.h"

/*
 * The configuration: read from YAML by one table of options (config_table.h), checked whole, then const. Knows
 * files and libyaml; opens no socket, writes nothing, looks up users and groups.
 */

#define CONFIG_SHARDS_MAX 63
#define CONFIG_CPUS_MAX   1024
#define CONFIG_ERRORS_MAX 20 /* reported in one pass */

#define CONFIG_LISTENERS_MAX 64
#define CONFIG_SLOW_MAX      256  /* rules */
#define CONFIG_ACCESS_MAX    1024 /* rules */

#define CONFIG_NO_ID UINT32_MAX /* as uid or gid: not given; no user has it */

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

enum config_authentication {
        CONFIG_AUTHENTICATION_NONE,
        CONFIG_AUTHENTICATION_REQUIRED,
};

/* Bits 1 << of a rule's actions. */
enum config_action {
        CONFIG_ACTION_PUBLISH,
        CONFIG_ACTION_SUBSCRIBE,
        CONFIG_ACTION_PSUBSCRIBE,
        CONFIG_ACTION_ADMIN,
        CONFIG_ACTION_ALL, /* with channels, all that go to channels */
};

struct config_listener {
        char *path; /* a file name, or "@name" in the abstract namespace */
        mode_t mode;
        uid_t owner; /* (uid_t)-1: as it comes */
        gid_t group; /* (gid_t)-1: as it comes */
        unsigned backlog;
        int authentication; /* enum config_authentication */
        unsigned line;      /* of its key in the file, for messages; 0: not from the file */
};

struct config_range {
        uint32_t least, greatest; /* both included */
};

/* A rule of slow_consumers. */
struct config_slow {
        struct bytes *channels; /* patterns; 0 of them: any channel */
        unsigned n_channels;
        char *listener;      /* path, spelled as that listener's; NULL: any */
        int policy;          /* enum slow_action */
        uint64_t bytes;      /* 0: the policy has no use for it */
        uint64_t timeout_ns; /* likewise */
        unsigned line;       /* in the file */
};

/* A rule of access: either allow or deny has bits. */
struct config_access {
        unsigned allow, deny;
        struct bytes *channels; /* patterns; 0 of them: any channel */
        unsigned n_channels;
        struct config_range *users; /* uids; 0 of them: any */
        unsigned n_users;
        uint32_t *groups; /* gids; 0 of them: any */
        unsigned n_groups;
        char *listener; /* path, spelled as that listener's; NULL: any */
        char **names;   /* of clients that a secret vouches for; 0 of them: any */
        unsigned n_names;
        unsigned line; /* in the file */
};

struct config_log {
        char *target; /* "stderr", "journal" or the name of a file */
        int format;   /* enum log_format */
        int level;    /* enum log_level */
};

/* A limit of 0 is none. */
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
        unsigned max_clients, max_clients_per_user;
        unsigned max_connects_per_user; /* in a second */
        uint64_t max_request_bytes, max_message_bytes, max_query_bytes;
        uint64_t max_input_per_user;
        unsigned max_subscriptions, max_subscriptions_per_user;
        unsigned max_patterns, max_patterns_per_user;
        unsigned max_channels;
        unsigned publish_rate, publish_rate_per_user;   /* messages in a second */
        uint64_t publish_bytes, publish_bytes_per_user; /* of payload in a second */
        uint64_t max_output_bytes;                      /* never 0 */
        uint64_t soft_output_bytes, soft_output_time_ns;
        uint64_t max_output_per_user, max_output_total;
        uint64_t handshake_timeout_ns, request_timeout_ns, idle_timeout_ns;
        struct config_slow *slow_consumers;
        unsigned n_slow_consumers;
        struct config_access *access;
        unsigned n_access;
        int access_default; /* whether it is to allow */
        char *secrets;      /* file name; NULL: none */
        uid_t user;         /* to become when started as root; (uid_t)-1: stay */
        struct config_log log;
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

enum {
        /* For a broker that serves: it waits for nothing, takes plain files only, and refuses one whose last
         * line does not end, since that is what a file looks like while somebody writes it. */
        CONFIG_LOAD_AGAIN = 1 << 0,
        /* There are sockets from the service manager: the key "listeners" may be missing. */
        CONFIG_LOAD_SOCKETS = 1 << 1,
};

/* config_load() with bits of CONFIG_LOAD_*. */
int config_load_as(struct config **configp, const char *file, unsigned flags, FILE *errors);
int config_parse_as(struct config **configp, const char *file, const void *bytes, size_t n, unsigned flags,
                    FILE *errors);

/* config_load() of n bytes that are at hand; file is what messages call them, and the config's file. */
int config_parse(struct config **configp, const char *file, const void *bytes, size_t n, FILE *errors);

/* Return: NULL. */
struct config *config_free(struct config *config);

/* Prints the effective configuration as YAML, defaults included; loading it again gives the same. */
void config_dump(const struct config *config, FILE *out);

/* Prints only what differs from its default. */
void config_dump_changed(const struct config *config, FILE *out);

/* The shards that `auto` stands for on a machine where n_cpus CPUs may be used. */
unsigned config_shards_auto(unsigned n_cpus);

/* The options as the list of broker.yaml(5), in mdoc. */
void config_print_mdoc(FILE *out);
