/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "shard/quota.h"

/*
 * The messages of the mesh. Ports 0..n_shards-1 are the shards, port n_shards is control. The layout of a
 * message is the struct here, followed by the bytes that its comment names.
 */

enum message_type {
        MESSAGE_ADOPT = 1, /* control -> shard: message_adopt, then its groups (uint32_t) */
        MESSAGE_PUBLISH,   /* shard -> shard: message_publish, channel, payload; counted, as the next one */
        MESSAGE_SPUBLISH,  /* shard -> shard: the same for a shard channel */
        MESSAGE_INTEREST,  /* shard -> shard: message_ask, then a batch of pubsub/interest; answered if asked */
        MESSAGE_QUERY,     /* shard -> any: message_query; answered */
        MESSAGE_ANSWER,    /* any -> shard: message_answer, then its bytes */
        MESSAGE_CLOSED,    /* shard -> control: message_closed, n_users times message_closed_user */
        MESSAGE_SHUTDOWN,  /* shard -> control: a client with the right asked for it; no body */
        MESSAGE_STOP,      /* control -> shard: message_stop */
        MESSAGE_LAST,      /* shard -> shard while stopping: nothing more comes from there; no body */
        MESSAGE_STOPPED,   /* shard -> control: the thread is about to end; no body */
        MESSAGE_POLICY,    /* control -> shard: message_policy; answered by MESSAGE_POLICY_TAKEN */
        MESSAGE_POLICY_TAKEN, /* shard -> control: it uses none but the newest that came; no body */
        MESSAGE_VERIFY,       /* shard -> control: message_verify; answered by MESSAGE_VERIFIED, once */
        MESSAGE_VERIFIED,     /* control -> shard: message_verified */
        MESSAGE_TIMED_OUT,    /* shard -> shard: message_timed_out, then a batch that ends holds */
        MESSAGE_TAP,     /* shard -> shard: message_ask, message_tap, the pattern; answered: see shard/tap.h */
        MESSAGE_TAP_END, /* shard -> shard: message_tap_id: no more for that tap */
        MESSAGE_TAPPED,  /* shard -> shard: message_tap_id, then what happened there */
        MESSAGE_TAP_TAKEN,    /* shard -> shard: message_tap_taken */
        MESSAGE_ADDRESS,      /* shard -> shard: reactor_address, by which the receiver may wake the sender */
        MESSAGE_LEASE_ASK,    /* shard -> control: message_lease_ask */
        MESSAGE_LEASE_RETURN, /* shard -> control: message_lease; n: no longer leased; serial: the recall that
                                 it answers, 0: none */
        MESSAGE_LEASE_DROP,  /* shard -> control: message_lease; the same, it does not ask any more, and what it
                                was  told to give up it has */
        MESSAGE_LEASE_GRANT, /* control -> shard: message_lease; n: leased besides; serial: the ask's */
        MESSAGE_LEASE_REFUSE, /* control -> shard: message_lease; n: above the bound; serial: the ask's; 0:
                                 nobody asked, but there is too much, or (input) no room */
        MESSAGE_LEASE_RECALL, /* control -> shard: message_lease; what is not used is to come back; answered */
};

/* Flags of an adopted client. */
enum {
        ADOPT_ADMIN = 1 << 0,        /* came in by the admin socket: not counted against max_clients */
        ADOPT_AUTHENTICATE = 1 << 1, /* the listener lets it do nothing before it has authenticated */
};

struct message_adopt {
        uint64_t id;      /* of the client: unique and rising over the life of the broker */
        const char *path; /* of the listener, as configured; nobody changes it, and it outlives the shards */
        int32_t fd;       /* connected, non-blocking; owned by the receiver */
        uint32_t flags;
        pid_t pid;
        uid_t uid;
        gid_t gid;
        uint32_t n_groups; /* supplementary groups of the peer, which stand behind */
};

struct message_publish {
        uint32_t channel_size; /* bytes; the rest of the message is the payload */
};

/* Who waits for an answer. client 0: nobody. */
struct message_ask {
        uint64_t client; /* its id */
};

enum query_kind {
        QUERY_STATUS, /* answered by struct shard_status or struct control_status */
        QUERY_COUNTS, /* the same since the last reset; a shard's struct counts follows */
        QUERY_RESET,  /* as QUERY_STATUS, and what QUERY_COUNTS answers counts anew */
        /* To shards; a number behind it (uint32_t); answered as shard/latency and shard/busiest say. */
        QUERY_LATENCY,
        QUERY_LATENCY_RESET,
        QUERY_TOP, /* the number is how many */

        QUERY_LIST,   /* to shards; struct message_roster behind it; answered by lines: see shard/roster.c */
        QUERY_KILL,   /* likewise; answered by the number of clients, uint64_t */
        QUERY_CLIENT, /* to shards, the asker included; struct message_inspect and a pattern behind it; answered
                         as shard/inspect.h says, as the next two */
        QUERY_CHANNELS,
        QUERY_PATTERNS,
        QUERY_ORDER, /* to control; struct message_order behind it; answered by struct message_ordered, texts */
};

struct message_query {
        struct message_ask ask;
        uint32_t kind;
};

/* Which clients are meant: those that fit all of it. Behind it lie n_ids ids (uint64_t), the address, the user.
 */
struct message_roster {
        uint64_t asker;   /* id of the client that asks */
        uint64_t min_age; /* seconds since it connected, at least */
        uid_t uid;        /* only clients of this user, unless any_uid */
        uint32_t n_ids;
        uint32_t address_size;
        uint8_t any_uid;
        uint8_t skip_asker;
        uint8_t by_id;      /* only those named; n_ids may be 0 */
        uint8_t by_address; /* only those of the listener "PATH:0" */
        uint32_t type;      /* enum roster_type */
        uint32_t user_size; /* 0: any user */
};

/* What is to be looked at. Behind it lies the pattern of its names. */
struct message_inspect {
        uint64_t id;    /* QUERY_CLIENT: of whom */
        uint32_t limit; /* of names, at least 1 */
        uint32_t pattern_size;
        uint8_t any; /* there is no pattern */
        uint8_t protocol;
};

/* What a client with the right to administer wants of control. */
enum order_kind {
        ORDER_RELOAD,
        ORDER_DIFF, /* what a reload would come to */
        ORDER_SHOW, /* the configuration that runs; value: whether without what has its default */
        ORDER_LOG,  /* value: enum log_level */
        ORDER_DRAIN /* value: whether to let nobody in any more, or everybody again */
};

struct message_order {
        uint32_t kind; /* enum order_kind */
        uint32_t value;
};

/*
 * How that went. Behind it lie texts, each ended by a NUL: the name of the configuration file, of each change
 * key, value that runs, value of the file, and "now" or "restart"; then of ORDER_SHOW the YAML, and else the
 * errors.
 */
struct message_ordered {
        uint32_t done;      /* else the errors say why not */
        uint32_t n_changes; /* 0 unless it is done */
        uint32_t draining;
        uint32_t n_clients; /* that are connected, without those of the admin socket */
};

struct message_answer {
        struct message_ask ask;
};

struct message_closed {
        uint32_t n_clients; /* closed since the last one */
        uint32_t n_admins;  /* of those, by the admin socket */
        uint32_t n_users;   /* some uids may be there more than once */
};

/* Clients of a user that were closed, without those by the admin socket. */
struct message_closed_user {
        uid_t uid;
        uint32_t n_clients;
};

struct message_stop {
        uint64_t deadline; /* monotonic ns: clients that have not taken their output are closed then */
};

/* A client for which publishers waited too long. */
struct message_timed_out {
        uint64_t client; /* its id */
        pid_t pid;
        uid_t uid;
};

enum tap_kind {
        TAP_MESSAGES, /* BROKER TAP */
        TAP_COMMANDS, /* MONITOR */
};

struct message_tap {
        uint64_t client; /* that taps: its id */
        uint64_t serial; /* of the tap, on its shard */
        uint64_t limit;  /* events per second; 0: any number */
        uint32_t kind;   /* enum tap_kind */
        uint32_t size;   /* bytes of a payload to show */
        uint32_t any;    /* whatever the channel is: there is no pattern */
        uint32_t pattern_size;
};

struct message_tap_id {
        uint64_t client;
        uint64_t serial;
};

/* So many bytes of what was sent to that tap have arrived and need not be counted any more. */
struct message_tap_taken {
        struct message_tap_id id;
        uint64_t bytes;
};

struct message_policy {
        const struct policy *policy;
};

#define VERIFY_NAME_MAX     64
#define VERIFY_PASSWORD_MAX 511

/*
 * Is this the password of that name? A client has one such question open at a time. The message is too large
 * for a slot of a ring whatever is in it, so it is written once, in a block, and the receiver wipes it.
 */
struct message_verify {
        uint64_t client; /* its id */
        pid_t pid;
        uid_t uid;
        uint16_t name_size, password_size;
        uint16_t hopeless; /* the name or the password was too long: it is wrong, but takes its time */
        uint8_t name[VERIFY_NAME_MAX], password[VERIFY_PASSWORD_MAX];
};

enum verify_verdict {
        VERIFY_NONE, /* not asked, or not answered */
        VERIFY_RIGHT,
        VERIFY_WRONG,
        VERIFY_BUSY,   /* too many questions are open */
        VERIFY_FAILED, /* it could not be computed, for want of memory */
};

struct message_verified {
        uint64_t client;
        uint64_t mark;    /* of the secret that it showed, if it was right */
        uint32_t verdict; /* enum verify_verdict */
};

/*
 * One counter of a shard for each limit of its clients: those that were disconnected, the requests that were
 * refused, how often a publisher had to wait, and those whose time was over. They are shown by these names.
 */
#define SHARD_LIMITS(_)                                                                                        \
        _(request_limit_closed)                                                                                \
        _(query_limit_closed)                                                                                  \
        _(message_limit_refused)                                                                               \
        _(subscription_limit_refused)                                                                          \
        _(pattern_limit_refused)                                                                               \
        _(channel_limit_refused)                                                                               \
        _(rate_limit_paused)                                                                                   \
        _(handshake_timeouts)                                                                                  \
        _(request_timeouts)                                                                                    \
        _(idle_timeouts)                                                                                       \
        _(memory_refused)                                                                                      \
        _(memory_closed)

struct message_lease {
        uid_t uid;
        uint32_t quota; /* enum quota */
        uint64_t serial;
        uint64_t n;
        uint64_t spent; /* to control, of a flow: no longer leased either */
};

/* A shard's ask takes the place of the one before, if that is not answered. */
struct message_lease_ask {
        uid_t uid;
        uint32_t quota;  /* enum quota */
        uint64_t serial; /* of this shard's asks */
        uint64_t back;   /* no longer leased */
        uint64_t spent;  /* of a flow: likewise */
        uint64_t claim;  /* in use without a lease, which it has with this */
        uint64_t need;   /* more that somebody waits for; 0: nobody waits, but there may be more claims */
        uint32_t stuck;  /* of QUOTA_INPUT: nothing that is leased will be given back before more is read */
        uint32_t pad;
};

/* The counters of what is limited for each user, in the order of enum quota. They are shown by these names. */
#define SHARD_QUOTA(_, _what)                                                                                  \
        _(quota_subscriptions_##_what)                                                                         \
        _(quota_patterns_##_what)                                                                              \
        _(quota_output_##_what)                                                                                \
        _(quota_input_##_what)                                                                                 \
        _(quota_messages_##_what)                                                                              \
        _(quota_bytes_##_what)                                                                                 \
        _(quota_output_all_##_what)

#define SHARD_QUOTAS(_) SHARD_QUOTA(_, asked) SHARD_QUOTA(_, refused) SHARD_QUOTA(_, paused)

/*
 * What a shard does beside delivering: how much there is of something now, and how often something happened. A
 * row here is all that a counter takes to be in BROKER STATUS and in INFO.
 */
#define SHARD_LEVELS(_)                                                                                        \
        _(taps)                                                                                                \
        _(spooled_clients)                                                                                     \
        _(spooled_bytes)                                                                                       \
        _(block_holds)                                                                                         \
        _(block_held)

#define SHARD_EVENTS(_)                                                                                        \
        _(tap_events)                                                                                          \
        _(tap_skipped)                                                                                         \
        _(denied_publish)                                                                                      \
        _(denied_subscribe)                                                                                    \
        _(denied_admin)                                                                                        \
        _(denied_connections)                                                                                  \
        _(subscriptions_ended)                                                                                 \
        _(messages_withheld)                                                                                   \
        _(lost_drop_oldest)                                                                                    \
        _(lost_drop_newest)                                                                                    \
        _(lost_conflate)                                                                                       \
        _(block_holds_ever)                                                                                    \
        _(block_waits)                                                                                         \
        _(block_messages)                                                                                      \
        _(block_timeouts)                                                                                      \
        SHARD_LIMITS(_)                                                                                        \
        SHARD_QUOTAS(_)

/* Counters of a shard, owned by its thread; a copy is the answer to queries of status. */
struct shard_status {
        uint64_t clients, subscriptions;
        uint64_t channels, patterns, shard_channels; /* with a subscription anywhere, as this shard knows */
        uint64_t commands;
        uint64_t messages_in;  /* PUBLISH and SPUBLISH executed here */
        uint64_t messages_out; /* deliveries to this shard's clients */
        uint64_t bytes_in, bytes_out;
        uint64_t turns, parks;
        uint64_t mesh_sent, mesh_received, mesh_spilled, wakes_sent;
        uint64_t ring_high, backlog_high, backlog_bytes;
        uint64_t output_bytes; /* waiting for clients now */
        uint64_t output_limit_closed;
        uint64_t lost_drop_oldest, lost_drop_newest,
                lost_conflate;                   /* messages, by the policy that dropped them */
        uint64_t spooled_clients, spooled_bytes; /* who may lose more, now, and what waits for them */
        uint64_t block_holds, block_holds_ever;  /* of subscriptions that hold publishers back: now, so far */
        uint64_t block_held, block_waits;        /* publishers that wait for that now; times that one had to */
        uint64_t block_messages;                 /* delivered to a subscription in spite of its hold */
        uint64_t block_timeouts;                 /* clients disconnected for it */
        uint64_t taps, tap_events, tap_skipped; /* BROKER TAP and MONITOR of its clients: now; shown, and not */
        uint64_t protocol_errors;
        uint64_t denied_publish, denied_subscribe, denied_admin; /* commands */
        uint64_t denied_connections;                             /* of strangers, by abstract sockets */
        uint64_t subscriptions_ended; /* since a new policy, or another name, forbade them */
        uint64_t messages_withheld;   /* from patterns that matched */
#define SHARD_LIMIT(_name) uint64_t _name;
        SHARD_LIMITS(SHARD_LIMIT)
#undef SHARD_LIMIT
#define SHARD_QUOTA_MEMBER(_name) uint64_t _name;
        union {
                uint64_t quota_asked[_QUOTA_N]; /* leases asked of control */
                struct {
                        SHARD_QUOTA(SHARD_QUOTA_MEMBER, asked)
                };
        };
        union {
                uint64_t quota_refused[_QUOTA_N]; /* of these, refused */
                struct {
                        SHARD_QUOTA(SHARD_QUOTA_MEMBER, refused)
                };
        };
        union {
                uint64_t quota_paused[_QUOTA_N]; /* times that a client came to wait for one */
                struct {
                        SHARD_QUOTA(SHARD_QUOTA_MEMBER, paused)
                };
        };
#undef SHARD_QUOTA_MEMBER
        uint64_t wakes_taken;
        uint64_t waiting_clients;       /* for whom output waits now */
        uint64_t ring_used, ring_slots; /* of the fullest ring to another port, now; of each of them */
        uint64_t cpu_ns;                /* that the thread took */
        uint64_t spin_ns, park_ns;      /* looking for work in vain, and asleep */
        uint64_t time_us;               /* monotonic, when this was looked at */
        char reactor[16];
        int32_t cpu; /* pinned to; -1: not pinned */
        uint32_t pad;
};

struct control_status {
        uint64_t start_time; /* CLOCK_REALTIME seconds */
        uint64_t accepted, accept_errors;
        uint64_t rejected_full, rejected_user_clients, rejected_user_connects; /* for which limit */
        uint64_t auth_wrong;                                                   /* wrong passwords, or names */
        uint64_t max_clients;
        uint64_t reloads, reloads_refused; /* of the configuration */
        uint64_t reload_time; /* of the last one that was not refused, CLOCK_REALTIME seconds; 0: none */
        int32_t pid;
        uint32_t accept_paused; /* out of descriptors now */
        uint32_t draining;      /* only the admin socket lets somebody in */
        uint32_t n_drained;     /* while draining: clients that are left, without those of the admin socket */
        uint64_t rejected_draining;
};
