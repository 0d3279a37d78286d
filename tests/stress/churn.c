/* SPDX-License-Identifier: MIT */

/*
 * One user connects and leaves 20,000 times a second (known failure 52; --churn 0: as often as the machine lets
 * him, which also keeps the listener's queue full, so that it is the kernel who says who gets in next), and
 * another one's times meanwhile: of a PING on a connection that is there, and of a new connection with its
 * first PING. They are told beside those of two other moments that take turns with it: when nobody churns, and
 * when the same processes churn at a listener that has nothing to do with the broker, which is what their use
 * of the processors costs anyway.
 *
 * It measures and does not judge. Started as user 0, it churns as another user.
 */

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stress/load.h"
#include "stress/process.h"
#include "util/clock.h"

#define OTHER_UID   12345
#define PROCESSES   2                    /* that churn */
#define CONNECTIONS 8                    /* that are there, and PING in turns */
#define CONNECT_NS  (10 * NSEC_PER_MSEC) /* between two new ones of the other user, who is below any limit */

enum moment { QUIET, ELSEWHERE, CHURN, _MOMENTS };

static const char *const moments[] = { "nobody churns", "churn elsewhere", "churn here" };

struct churn {
        struct process process;
        char elsewhere[108];
        int there[CONNECTIONS];
        struct histogram ping[_MOMENTS], connect[_MOMENTS];
        uint64_t rate;      /* connections per second of all that churn; 0: no limit */
        uint64_t n_refused; /* of the one who does no harm */
};

static struct churn churn;

static int try_connect(const char *path)
{
        struct sockaddr_un un = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0)
                fail("socket: %s", strerror(errno));
        snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
        if (connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0)
                return fd;
        close(fd);
        return -1;
}

/* Return: whether the answer was PONG. */
static bool ping(int fd)
{
        char answer[128];
        ssize_t n;

        if (send(fd, "PING\r\n", 6, MSG_NOSIGNAL) != 6)
                return false;
        n = recv(fd, answer, sizeof(answer), 0);
        return n == 7 && memcmp(answer, "+PONG\r\n", 7) == 0;
}

/* A listener that accepts and hangs up. */
static pid_t start_elsewhere(void)
{
        struct sockaddr_un un = { .sun_family = AF_UNIX };
        int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        pid_t pid;

        snprintf(churn.elsewhere, sizeof(churn.elsewhere), "%.80s/elsewhere", churn.process.directory);
        snprintf(un.sun_path, sizeof(un.sun_path), "%s", churn.elsewhere);
        if (bind(listener, (struct sockaddr *)&un, sizeof(un)) < 0 || listen(listener, 511) < 0)
                fail("cannot listen elsewhere: %s", strerror(errno));
        chmod(churn.elsewhere, 0666);
        pid = fork();
        if (pid == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                for (;;)
                        close(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
        }
        close(listener);
        return pid;
}

/* Sleeps until n connections are not too many since then. */
static void keep_rate(uint64_t since, uint64_t n)
{
        uint64_t due, now = clock_now();
        struct timespec ts = { 0 };

        if (!churn.rate)
                return;
        due = since + n * PROCESSES * NSEC_PER_SEC / churn.rate;
        if (due < now + NSEC_PER_MSEC)
                return;
        ts.tv_nsec = (long)NSEC_PER_MSEC;
        nanosleep(&ts, NULL);
}

/* In a process of its own, until it is killed: it only connects and leaves. */
static pid_t start_churn(const char *path, int counter)
{
        uint64_t n = 0, since = clock_now();
        pid_t pid = fork();
        int fd;

        if (pid != 0)
                return pid;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getuid() == 0 && setresuid(OTHER_UID, OTHER_UID, OTHER_UID) < 0)
                _exit(1);
        for (;; n++) {
                fd = try_connect(path);
                if (fd >= 0)
                        close(fd);
                keep_rate(since, n);
                if (n % 64 == 0 && pwrite(counter, &n, sizeof(n), 0) < 0)
                        _exit(1);
        }
}

static void measure(enum moment moment, uint64_t until)
{
        uint64_t next = 0;

        for (unsigned i = 0; clock_now() < until; i++) {
                uint64_t began = clock_now();
                int fd;

                if (!ping(churn.there[i % CONNECTIONS]))
                        fail("no PONG on a connection that was there");
                histogram_add(&churn.ping[moment], clock_now() - began);
                if (clock_now() < next)
                        continue;
                next = clock_now() + CONNECT_NS;
                began = clock_now();
                fd = try_connect(churn.process.socket);
                if (fd >= 0 && ping(fd))
                        histogram_add(&churn.connect[moment], clock_now() - began);
                else
                        churn.n_refused++;
                if (fd >= 0)
                        close(fd);
        }
}

static uint64_t run(enum moment moment, uint64_t ns)
{
        const char *path = moment == CHURN ? churn.process.socket : churn.elsewhere;
        char name[] = "/tmp/churn-XXXXXX";
        int counter[PROCESSES];
        pid_t pid[PROCESSES];
        uint64_t n, total = 0;

        for (int i = 0; moment != QUIET && i < PROCESSES; i++) {
                strcpy(name, "/tmp/churn-XXXXXX");
                counter[i] = mkstemp(name);
                unlink(name);
                pid[i] = start_churn(path, counter[i]);
        }
        measure(moment, clock_now() + ns);
        for (int i = 0; moment != QUIET && i < PROCESSES; i++) {
                kill(pid[i], SIGKILL);
                waitpid(pid[i], NULL, 0);
                if (pread(counter[i], &n, sizeof(n), 0) == sizeof(n))
                        total += n;
                close(counter[i]);
        }
        return total;
}

static double us(const struct histogram *h, double q)
{
        return (double)histogram_quantile(h, q) / 1000;
}

static void report(const char *what, const struct histogram h[_MOMENTS])
{
        for (int m = 0; m < _MOMENTS; m++)
                printf("churn: %s, %s: p50 %.0f us, p99 %.0f us, max %.0f us (%" PRIu64 " times)\n", what,
                       moments[m], us(&h[m], 0.5), us(&h[m], 0.99), (double)h[m].max / 1000, h[m].n);
        printf("churn: %s: p99 is %.2f times that of a churn elsewhere\n", what,
               us(&h[CHURN], 0.99) / us(&h[ELSEWHERE], 0.99));
}

int main(int argc, char **argv)
{
        static const char usage[] =
                "churn [--seconds N] [--rounds N] [--shards N] [--limit PER-SECOND] [--churn PER-SECOND]\n";
        static const struct option names[] = {
                { "seconds", required_argument, NULL, 's' }, { "rounds", required_argument, NULL, 'r' },
                { "shards", required_argument, NULL, 'n' },  { "limit", required_argument, NULL, 'l' },
                { "churn", required_argument, NULL, 'c' },   { 0 }
        };
        unsigned long seconds = 1, rounds = 5, shards = 1, limit = 0;
        uint64_t n[_MOMENTS] = { 0 };
        char config[128];
        pid_t elsewhere;
        int c;

        churn.rate = 20000;
        while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
                if (c == 's')
                        seconds = strtoul(optarg, NULL, 10);
                else if (c == 'r')
                        rounds = strtoul(optarg, NULL, 10);
                else if (c == 'n')
                        shards = strtoul(optarg, NULL, 10);
                else if (c == 'l')
                        limit = strtoul(optarg, NULL, 10);
                else if (c == 'c')
                        churn.rate = strtoul(optarg, NULL, 10);
                else
                        return fputs(usage, stderr), 2;
        }
        c = snprintf(config, sizeof(config), "shards: %lu\n", shards);
        if (limit)
                snprintf(config + c, sizeof(config) - (size_t)c, "max_connects_per_user: %lu\n", limit);
        process_start(&churn.process, config);
        chmod(churn.process.directory, 0755);
        chmod(churn.process.socket, 0666);
        elsewhere = start_elsewhere();
        for (int i = 0; i < CONNECTIONS; i++) {
                churn.there[i] = try_connect(churn.process.socket);
                if (churn.there[i] < 0)
                        fail("cannot connect");
        }
        for (unsigned long r = 0; r < rounds; r++)
                for (enum moment m = QUIET; m < _MOMENTS; m++)
                        n[m] += run(m, seconds * NSEC_PER_SEC);
        report("a PING", churn.ping);
        report("a new connection", churn.connect);
        printf("churn: %.0f connections a second here, %.0f elsewhere; %" PRIu64
               " of the other user's were refused\n",
               (double)n[CHURN] / (double)(seconds * rounds), (double)n[ELSEWHERE] / (double)(seconds * rounds),
               churn.n_refused);
        kill(elsewhere, SIGKILL);
        waitpid(elsewhere, NULL, 0);
        unlink(churn.elsewhere);
        for (int i = 0; i < CONNECTIONS; i++)
                close(churn.there[i]);
        process_stop(&churn.process);
        return 0;
}
