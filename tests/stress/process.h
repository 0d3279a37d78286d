/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>
#include <sys/types.h>

/*
 * One broker as a child process, with a directory, a configuration and a socket of its own. It dies with the
 * program that started it. The program is $BROKERD, or src/brokerd of the build directory; it runs on the
 * reactor $BROKERD_REACTOR, or on libev. Where that is io_uring, and the broker says that it does not work
 * here, the test ends as skipped.
 */

struct process {
        pid_t pid; /* 0: not running, or not ours */
        char directory[64];
        char socket[108];
        unsigned n_fds; /* open in the broker when no client had come yet */
};

/* What a process has used so far, all its threads together. */
struct usage {
        uint64_t cpu_ns;
        uint64_t switches; /* voluntary: each is a wait that ended */
        uint64_t rss;      /* bytes */
        unsigned n_threads;
};

/* Starts a broker whose configuration is `options` (lines of YAML) and one listener. Waits until it accepts. */
void process_start(struct process *process, const char *options);

/* A server that somebody else runs. */
void process_foreign(struct process *process, const char *socket);

unsigned process_fds(const struct process *process);
void process_usage(const struct process *process, struct usage *usage);

/* Waits until the broker has closed what it opened for clients; one that does not within 5 s is a failure. */
void process_expect_no_client(struct process *process);

/* Only sends SIGTERM. */
void process_terminate(struct process *process);

/*
 * Waits for the end. An exit other than 0, a broker that lives after limit_ns, and a socket file left behind
 * are failures. Return: ns since `since`.
 */
uint64_t process_wait(struct process *process, uint64_t since, uint64_t limit_ns);

/* SIGTERM, the end within a second (longer under sanitizers), and the directory removed. Return: ns. */
uint64_t process_stop(struct process *process);
