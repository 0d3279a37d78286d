/* SPDX-License-Identifier: MIT */
#pragma once

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
        _("listeners", LISTENERS, listeners, NULL, 1, CONFIG_LISTENERS_MAX, NULL, false,                       \
          "The sockets that clients connect to. "                                                              \
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
        _("max_clients", COUNT, max_clients, "10000", 1, 1000000, NULL, false,                                 \
          "Clients that may be connected at a time, over all listeners. "                                      \
          "Each takes a file descriptor.")                                                                     \
        _("max_request_bytes", SIZE, max_request_bytes, "512MiB", 64, UINT64_C(1) << 30, NULL, false,          \
          "The largest request that a client may send, and so the largest message.")                           \
        _("log_level", WORD, log_level, "info", 0, 0, words_level, false,                                      \
          "The least severe messages that are logged.")

#define CONFIG_LISTENER_OPTIONS(_)                                                                             \
        _("path", SOCKET, path, NULL, 0, 0, NULL, false,                                                       \
          "The file name of the socket. "                                                                      \
          "It starts with a slash, since what another name means would depend on where the broker is "         \
          "started. "                                                                                          \
          "With an @ in front, in quotes, it is a name in the abstract namespace: without a file, and "        \
          "so without mode, owner and group; every process of the machine can connect.")                       \
        _("mode", MODE, mode, "0600", 0, 0777, NULL, false,                                                    \
          "The permissions of the socket file; to connect, a program needs to be allowed to write. "           \
          "The number is octal however it is written: 0660, 660, 0o660 and \"0660\" are the same.")            \
        _("owner", USER, owner, "", 0, 0, NULL, false,                                                         \
          "The owner of the socket file; if it is not given, the user that the broker runs as.")               \
        _("group", GROUP, group, "", 0, 0, NULL, false,                                                        \
          "The group of the socket file; if it is not given, the group that the broker runs as.")              \
        _("backlog", COUNT, backlog, "4096", 1, 65535, NULL, false,                                            \
          "Connections that may wait to be accepted. "                                                         \
          "More are turned away (EAGAIN), so the default is as much as the kernel grants in its own "          \
          "default setting of net.core.somaxconn.")
