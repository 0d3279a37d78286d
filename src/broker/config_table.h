/* SPDX-License-Identifier: MIT */
#pragma once

#include "util/clock.h"

/*
 * The options, one row each, in the order of --dump-config and of broker.yaml(5). A row is
 *
 *      name in the file, type, member of the struct, default as YAML ("": none, NULL: must be given),
 *      least, greatest, words that are accepted as well, reloadable, help
 *
 * The loader, the dump, the texts of errors and the manual derive from it. What a type accepts is in
 * config_option.c; help is plain text in sentences.
 */

#define CONFIG_OPTIONS(_)                                                                                      \
        _("shards", COUNT, shards, "auto", 1, CONFIG_SHARDS_MAX, words_auto, false,                            \
          "How many threads (shards) serve clients. "                                                          \
          "With auto it is one for each CPU of the list cpus; without such a list, half of the CPUs "          \
          "that the broker may use, but at least 1 and at most 4. "                                            \
          "One shard is enough for several busy publishers, which spend their own time in the kernel; "        \
          "the other half of the CPUs stays with the programs that talk to each other.")                       \
        _("cpus", CPUS, cpus, "auto", 0, CONFIG_CPUS_MAX - 1, words_cpus, false,                               \
          "The CPUs that shards are pinned to, in this order; with more shards than CPUs the list is "         \
          "gone through again. "                                                                               \
          "With auto, shards are pinned within the affinity mask that the broker was started with, and "       \
          "only if that leaves at least one CPU to other programs. "                                           \
          "With none, the kernel places them.")                                                                \
        _("reactor", WORD, reactor, "auto", 0, 0, words_reactor, false,                                        \
          "What waits for sockets. "                                                                           \
          "With auto the broker tries out at its start whether io_uring works on this machine and costs "      \
          "less than epoll by libev, takes libev if not, and says in its log what it found. "                  \
          "With io_uring it does not start where that cannot work.")                                           \
        _("listeners", LISTENERS, listeners, NULL, 0, CONFIG_LISTENERS_MAX, NULL, true,                        \
          "The sockets that clients connect to. "                                                              \
          "A socket that the service manager passes takes the options of the item with its path, and is "      \
          "served also without one; where one was passed the list may be empty or missing. "                   \
          "Each item is a mapping of the following keys.")                                                     \
        _("admin", FILE, admin, "none", 0, 0, words_none, false,                                               \
          "The socket that brokerctl manages the broker through, created with mode 0600. "                     \
          "It cannot be an abstract one, which has no mode and lets everybody in.")                            \
        _("ring_capacity", POWER2, ring_capacity, "1024", 2, 65536, NULL, false,                               \
          "Messages that can be on their way from one shard to another before they queue up at the "           \
          "sender.")                                                                                           \
        _("backlog_bytes", SIZE, backlog_bytes, "16MiB", 1, UINT64_C(64) << 30, NULL, false,                   \
          "Memory for what queues up at a shard for another one. "                                             \
          "Beyond it, clients that publish to that shard wait; nothing is dropped.")                           \
        _("spin", TIME, spin_ns, "20us", 0, UINT64_C(1000000), NULL, false,                                    \
          "How long a busy shard looks for more work before it sleeps. "                                       \
          "Much more than a wake-up costs only burns CPU. "                                                    \
          "With more shards than CPUs they do not spin at all.")                                               \
        _("io_uring_entries", POWER2, io_uring_entries, "256", 2, 8192, NULL, false,                           \
          "Requests that a shard hands to io_uring in one system call; there is room for four times as "       \
          "many answers. "                                                                                     \
          "It counts against the limit of locked memory of the broker's user; with too little of that "        \
          "a shard makes do with less.")                                                                       \
        _("io_uring_buffers", POWER2, io_uring_buffers, "64", 1, 4096, NULL, false,                            \
          "Buffers of 16 KiB that a shard on io_uring receives into, for all of its clients together.")        \
        _("io_uring_receive", WORD, io_uring_receive, "auto", 0, 0, words_receive, false,                      \
          "How io_uring is asked for what clients send: once for all (multishot), or anew after each time "    \
          "(single). "                                                                                         \
          "With auto it is multishot, unless the broker finds at its start that the kernel does that wrong.")  \
        _("max_clients", COUNT, max_clients, "10000", 1, 1000000, NULL, true,                                  \
          "Clients that may be connected at a time, over all listeners. "                                      \
          "Each takes a file descriptor.")                                                                     \
        _("max_clients_per_user", COUNT, max_clients_per_user, "none", 1, 1000000, words_none, true,           \
          "Clients of one user that may be connected at a time.")                                              \
        _("max_connects_per_user", COUNT, max_connects_per_user, "none", 1, 1000000, words_none, true,         \
          "Connections that one user may open in a second.")                                                   \
        _("max_request_bytes", SIZE, max_request_bytes, "512MiB", 64, UINT64_C(1) << 30, NULL, true,           \
          "The largest request that a client may send.")                                                       \
        _("max_message_bytes", SIZE, max_message_bytes, "none", 1, UINT64_C(1) << 30, words_none, true,        \
          "The largest message that a client may publish: its payload, without the channel. "                  \
          "With none it is what fits into a request.")                                                         \
        _("max_query_bytes", SIZE, max_query_bytes, "1GiB", 64, UINT64_C(64) << 30, words_none, true,          \
          "Input of one client that may wait to be executed. "                                                 \
          "Beyond it the client is disconnected.")                                                             \
        _("max_input_per_user", SIZE, max_input_per_user, "none", 64, UINT64_C(1) << 40, words_none, true,     \
          "The same for all clients of one user together; what they have published and is still on its way "   \
          "from one "                                                                                          \
          "shard to another counts as well.")                                                                  \
        _("max_subscriptions", COUNT, max_subscriptions, "none", 1, 1000000000, words_none, true,              \
          "Subscriptions that one client may have: to channels, shard channels and patterns, together.")       \
        _("max_subscriptions_per_user", COUNT, max_subscriptions_per_user, "none", 1, 1000000000, words_none,  \
          true, "The same for all clients of one user together.")                                              \
        _("max_patterns", COUNT, max_patterns, "none", 1, 1000000000, words_none, true,                        \
          "Subscriptions to patterns that one client may have.")                                               \
        _("max_patterns_per_user", COUNT, max_patterns_per_user, "none", 1, 1000000000, words_none, true,      \
          "The same for all clients of one user together.")                                                    \
        _("max_channels", COUNT, max_channels, "none", 1, 1000000000, words_none, true,                        \
          "Channels that may have subscribers at a time, in all.")                                             \
        _("publish_rate", COUNT, publish_rate, "none", 1, 1000000000, words_none, true,                        \
          "Messages that one client may publish in a second. "                                                 \
          "Beyond it the broker does not read from the client for a while; nothing is dropped.")               \
        _("publish_rate_per_user", COUNT, publish_rate_per_user, "none", 1, 1000000000, words_none, true,      \
          "The same for all clients of one user together.")                                                    \
        _("publish_bytes", SIZE, publish_bytes, "none", 1, UINT64_C(64) << 30, words_none, true,               \
          "Payload that one client may publish in a second.")                                                  \
        _("publish_bytes_per_user", SIZE, publish_bytes_per_user, "none", 1, UINT64_C(64) << 30, words_none,   \
          true, "The same for all clients of one user together.")                                              \
        _("max_output_bytes", SIZE, max_output_bytes, "32MiB", 1024, UINT64_C(64) << 30, NULL, true,           \
          "Output that may wait for one client: messages, replies, everything. "                               \
          "Beyond it the client is disconnected.")                                                             \
        _("soft_output_bytes", SIZE, soft_output_bytes, "8MiB", 1, UINT64_C(64) << 30, words_none, true,       \
          "Output that may wait for one client for longer than soft_output_time. "                             \
          "A client that has more than this waiting for so long is disconnected, unless all of its output "    \
          "was taken "                                                                                         \
          "in between. "                                                                                       \
          "It must be less than max_output_bytes.")                                                            \
        _("soft_output_time", TIME, soft_output_time_ns, "60s", NSEC_PER_MSEC, 24 * 3600 * NSEC_PER_SEC, NULL, \
          true, "The time that goes with soft_output_bytes.")                                                  \
        _("max_output_per_user", SIZE, max_output_per_user, "none", 1024, UINT64_C(1) << 40, words_none, true, \
          "Output that may wait for all clients of one user together.")                                        \
        _("max_output_total", SIZE, max_output_total, "none", 1024, UINT64_C(1) << 40, words_none, true,       \
          "Output that may wait for all clients together.")                                                    \
        _("handshake_timeout", TIME, handshake_timeout_ns, "none", NSEC_PER_MSEC, 24 * 3600 * NSEC_PER_SEC,    \
          words_none, true,                                                                                    \
          "How long a client may take from its connection to the end of its first request, or, where it has "  \
          "to authenticate itself, until it has. "                                                             \
          "Then it is disconnected.")                                                                          \
        _("request_timeout", TIME, request_timeout_ns, "none", NSEC_PER_MSEC, 24 * 3600 * NSEC_PER_SEC,        \
          words_none, true,                                                                                    \
          "How long a client may take from the first byte of a request to its last. "                          \
          "Then it is disconnected.")                                                                          \
        _("idle_timeout", TIME, idle_timeout_ns, "none", NSEC_PER_MSEC, 1000 * 3600 * NSEC_PER_SEC,            \
          words_none, true,                                                                                    \
          "How long a client may say nothing. "                                                                \
          "Then it is disconnected, unless it has a subscription.")                                            \
        _("slow_consumers", SLOW_RULES, slow_consumers, "[]", 0, CONFIG_SLOW_MAX, NULL, true,                  \
          "What happens to messages for a subscriber that does not take them. "                                \
          "Each item is a rule, a mapping of the following keys. "                                             \
          "Of the rules that fit a message's channel and the listener that the subscriber came by, the first " \
          "one "                                                                                               \
          "decides; where none fits, the policy is disconnect.")                                               \
        _("access", ACCESS_RULES, access, "[]", 0, CONFIG_ACCESS_MAX, NULL, true,                              \
          "Who may do what, and who may not. "                                                                 \
          "Each item is a rule, a mapping of the following keys, with either allow or deny. "                  \
          "A rule fits where all of its keys fit; of a list one entry is enough. "                             \
          "A rule that denies beats every rule that allows, whatever their order.")                            \
        _("access_default", WORD, access_default, "allow", 0, 0, words_access, true,                           \
          "What holds where no rule of access fits. "                                                          \
          "The right to administer does not come by default: without a rule only the superuser and the "       \
          "broker's own "                                                                                      \
          "user have it.")                                                                                     \
        _("secrets", PATH, secrets, "none", 0, 0, words_none, true,                                            \
          "The file with the names and the hashed secrets that clients authenticate themselves with.")         \
        _("user", USER, user, "none", 0, 0, words_none, false,                                                 \
          "The user that the broker becomes when it is started as the superuser, before it serves anybody. "   \
          "With none it stays who it is.")                                                                     \
        _("log", LOG, log, "", 0, 0, NULL, true,                                                               \
          "Where the log goes, in which form, and how much of it. "                                            \
          "It is a mapping of the following keys.")

#define CONFIG_LOG_OPTIONS(_)                                                                                  \
        _("target", TARGET, target, "stderr", 0, 0, words_target, true,                                        \
          "Where the log goes: to the standard error, to the journal of systemd, or to a file, which is "      \
          "appended to and made with mode 0640 if it is not there. "                                           \
          "At SIGUSR1 the file is opened anew, so that it can be moved away before. "                          \
          "What goes wrong before the broker serves is said on the standard error in any case.")               \
        _("format", WORD, format, "human", 0, 0, words_format, true,                                           \
          "The form of a line: for people, as key=value (logfmt), or as an object of JSON. "                   \
          "The journal has fields instead.")                                                                   \
        _("level", WORD, level, "info", 0, 0, words_level, true, "The least severe messages that are logged.")

#define CONFIG_LISTENER_OPTIONS(_)                                                                             \
        _("path", SOCKET, path, NULL, 0, 0, NULL, true,                                                        \
          "The file name of the socket. "                                                                      \
          "It starts with a slash, since what another name means would depend on where the broker is "         \
          "started. "                                                                                          \
          "With an @ in front, in quotes, it is a name in the abstract namespace: without a file, and so "     \
          "without "                                                                                           \
          "mode, owner and group; every process of the machine can connect.")                                  \
        _("mode", MODE, mode, "0600", 0, 0777, NULL, true,                                                     \
          "The permissions of the socket file; to connect, a program needs to be allowed to write. "           \
          "The number is octal however it is written: 0660, 660, 0o660 and \"0660\" are the same.")            \
        _("owner", USER, owner, "", 0, 0, NULL, true,                                                          \
          "The owner of the socket file; if it is not given, the user that the broker runs as.")               \
        _("group", GROUP, group, "", 0, 0, NULL, true,                                                         \
          "The group of the socket file; if it is not given, the group that the broker runs as.")              \
        _("backlog", COUNT, backlog, "4096", 1, 65535, NULL, true,                                             \
          "Connections that may wait to be accepted. "                                                         \
          "More are turned away (EAGAIN), so the default is as much as the kernel grants in its own default "  \
          "setting "                                                                                           \
          "of net.core.somaxconn.")                                                                            \
        _("authentication", WORD, authentication, "none", 0, 0, words_authentication, true,                    \
          "Whether clients of this socket have to authenticate themselves, with a name and a secret of the "   \
          "file "                                                                                              \
          "secrets, before they may do anything else.")

#define CONFIG_SLOW_OPTIONS(_)                                                                                 \
        _("policy", WORD, policy, NULL, 0, 0, words_slow, true,                                                \
          "What is done: disconnect ends the client at its bound; drop-oldest drops the messages that have "   \
          "waited "                                                                                            \
          "longest; drop-newest drops those that come; conflate keeps the newest message of each channel; "    \
          "block "                                                                                             \
          "lets publishers wait.")                                                                             \
        _("channels", PATTERNS, channels, "", 0, 0, NULL, true,                                                \
          "The channels that the rule is for; if it is not given, all.")                                       \
        _("listener", LISTENER, listener, "", 0, 0, NULL, true,                                                \
          "The listener of the subscribers that the rule is for; if it is not given, all.")                    \
        _("bytes", SIZE, bytes, "", 1, UINT64_C(64) << 30, NULL, true,                                         \
          "With drop-oldest and drop-newest: what may wait for one subscriber before messages are dropped; "   \
          "if it is "                                                                                          \
          "not given, 8MiB, or a quarter of max_output_bytes if that is less. "                                \
          "With block: what makes publishers wait, until half of it is left; if it is not given, 4MiB, or an " \
          "eighth "                                                                                            \
          "of max_output_bytes if that is less. "                                                              \
          "It is at most max_output_bytes; the other policies have no use for it.")                            \
        _("timeout", TIME, timeout_ns, "", NSEC_PER_MSEC, 3600 * NSEC_PER_SEC, NULL, true,                     \
          "With block: how long publishers wait before it is the subscriber that is disconnected; if it is "   \
          "not "                                                                                               \
          "given, 1s. "                                                                                        \
          "The other policies have no use for it.")

#define CONFIG_ACCESS_OPTIONS(_)                                                                               \
        _("allow", ACTIONS, allow, "", 0, 0, words_actions, true,                                              \
          "What the rule allows: to publish, to subscribe to channels, to subscribe to patterns "              \
          "(psubscribe), to "                                                                                  \
          "administer (admin), or all of these; with channels, all means the first three.")                    \
        _("deny", ACTIONS, deny, "", 0, 0, words_actions, true, "What the rule denies.")                       \
        _("channels", PATTERNS, channels, "", 0, 0, NULL, true,                                                \
          "The channels that the rule is for; if it is not given, all. "                                       \
          "To administer has no channel, so admin does not go with this key.")                                 \
        _("user", USERS, users, "", 0, 0, NULL, true,                                                          \
          "The users that the rule is for, by the uid that the kernel tells of the connected process; if it "  \
          "is not "                                                                                            \
          "given, all.")                                                                                       \
        _("group", GROUPS, groups, "", 0, 0, NULL, true,                                                       \
          "The groups that the rule is for; a client's supplementary groups count as well. "                   \
          "If it is not given, all.")                                                                          \
        _("name", NAMES, names, "", 0, 0, NULL, true,                                                          \
          "The names that the rule is for, of clients that have authenticated themselves; if it is not "       \
          "given, all "                                                                                        \
          "clients.")                                                                                          \
        _("listener", LISTENER, listener, "", 0, 0, NULL, true,                                                \
          "The listener that the rule is for; if it is not given, all.")
