/* SPDX-License-Identifier: MIT */

#include "stress/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stress/load.h"
#include "util/clock.h"

#define START_SECONDS (LOAD_SANITIZED ? 30 : 5)

static struct process *running; /* for fail() */

static void show_log(void)
{
        char path[128], line[512];
        FILE *f;

        if (!running)
                return;
        snprintf(path, sizeof(path), "%s/log", running->directory);
        f = fopen(path, "re");
        fprintf(stderr, "---- the broker's log (%s)\n", path);
        while (f && fgets(line, sizeof(line), f))
                fputs(line, stderr);
        if (f)
                fclose(f);
}

static void nap(void)
{
        nanosleep(&(struct timespec){ .tv_nsec = 2 * 1000 * 1000 }, NULL);
}

static void write_config(const struct process *process, const char *options)
{
        char path[128];
        FILE *f;

        snprintf(path, sizeof(path), "%s/broker.yaml", process->directory);
        f = fopen(path, "we");
        if (!f)
                fail("%s: %m", path);
        fprintf(f, "%sreactor: %s\nlisteners:\n  - path: %s\n    backlog: 4096\n", options,
                getenv("BROKERD_REACTOR") ? getenv("BROKERD_REACTOR") : "libev", process->socket);
        fclose(f);
}

static _Noreturn void child(const struct process *process, pid_t parent)
{
        const char *program = getenv("BROKERD");
        char path[128];
        int log;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(127);
        snprintf(path, sizeof(path), "%s/log", process->directory);
        log = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        dup2(log, STDERR_FILENO);
        snprintf(path, sizeof(path), "%s/broker.yaml", process->directory);
        execl(program ? program : "src/brokerd", "brokerd", "-c", path, (char *)NULL);
        fprintf(stderr, "%s: %m\n", program ? program : "src/brokerd");
        _exit(127);
}

/* The broker ended at its start. Where that is for want of io_uring there is nothing to test. */
static _Noreturn void refused(const struct process *process)
{
        char path[128], line[512];
        const char *why = NULL;
        FILE *f;

        snprintf(path, sizeof(path), "%s/log", process->directory);
        f = fopen(path, "re");
        while (f && !why && fgets(line, sizeof(line), f))
                why = strstr(line, "io_uring does not work here");
        if (!why)
                fail("the broker does not start");
        printf("SKIP: %s", why);
        exit(77);
}

/* Connects and lets the broker close the connection again. Return: whether it accepts. */
static bool try_connect(const char *path)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        struct timeval patience = { .tv_sec = START_SECONDS };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        char reply[16];
        ssize_t n = 1;
        bool ok;

        snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
        ok = !connect(fd, (struct sockaddr *)&address, sizeof(address));
        if (ok) {
                setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
                n = send(fd, "QUIT\r\n", 6, MSG_NOSIGNAL);
        }
        while (ok && n > 0)
                n = recv(fd, reply, sizeof(reply), 0);
        if (ok && n < 0)
                fail("the broker does not answer QUIT: %m");
        close(fd);
        return ok;
}

void process_start(struct process *process, const char *options)
{
        const char *base = getenv("TMPDIR");
        uint64_t deadline = clock_now() + START_SECONDS * NSEC_PER_SEC;
        pid_t parent = getpid();

        *process = (struct process){ 0 };
        snprintf(process->directory, sizeof(process->directory), "%s/brokerd-stress-XXXXXX",
                 base && strlen(base) < 30 ? base : "/tmp");
        if (!mkdtemp(process->directory))
                fail("mkdtemp: %m");
        snprintf(process->socket, sizeof(process->socket), "%s/s", process->directory);
        write_config(process, options);
        running = process;
        fail_hook = show_log;
        process->pid = fork();
        if (process->pid < 0)
                fail("fork: %m");
        if (process->pid == 0)
                child(process, parent);
        while (!try_connect(process->socket)) {
                if (waitpid(process->pid, NULL, WNOHANG) != 0)
                        refused(process);
                if (clock_now() > deadline)
                        fail("the broker does not accept within %d s", START_SECONDS);
                nap();
        }
        /* The probe's own connection is gone, or will be in a moment. */
        for (unsigned last = 0, same = 0; same < 10; nap()) {
                process->n_fds = process_fds(process);
                same = process->n_fds == last ? same + 1 : 0;
                last = process->n_fds;
        }
}

void process_foreign(struct process *process, const char *socket)
{
        *process = (struct process){ 0 };
        snprintf(process->socket, sizeof(process->socket), "%s", socket);
}

unsigned process_fds(const struct process *process)
{
        char path[64];
        unsigned n = 0;
        DIR *dir;

        snprintf(path, sizeof(path), "/proc/%d/fd", (int)process->pid);
        dir = opendir(path);
        if (!dir)
                fail("%s: %m", path);
        for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
                n += entry->d_name[0] != '.';
        closedir(dir);
        return n;
}

static uint64_t proc_number(const char *path, const char *key)
{
        char line[256];
        uint64_t value = 0;
        FILE *f = fopen(path, "re");

        while (f && fgets(line, sizeof(line), f)) {
                if (strncmp(line, key, strlen(key)) != 0)
                        continue;
                value = strtoull(line + strlen(key), NULL, 10);
                break;
        }
        if (f)
                fclose(f);
        return value;
}

void process_usage(const struct process *process, struct usage *usage)
{
        char path[384], tasks[64];
        DIR *dir;

        *usage = (struct usage){ 0 };
        snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)process->pid);
        usage->rss = proc_number(path, "Rss:") * 1024;
        snprintf(tasks, sizeof(tasks), "/proc/%d/task", (int)process->pid);
        dir = opendir(tasks);
        if (!dir)
                fail("%s: %m", tasks);
        for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
                if (entry->d_name[0] == '.')
                        continue;
                usage->n_threads++;
                snprintf(path, sizeof(path), "%s/%s/schedstat", tasks, entry->d_name);
                usage->cpu_ns += proc_number(path, "");
                snprintf(path, sizeof(path), "%s/%s/status", tasks, entry->d_name);
                usage->switches += proc_number(path, "voluntary_ctxt_switches:");
        }
        closedir(dir);
}

void process_expect_no_client(struct process *process)
{
        uint64_t deadline = clock_now() + 5 * NSEC_PER_SEC;
        unsigned n;

        if (!process->pid)
                return;
        while ((n = process_fds(process)) != process->n_fds) {
                if (clock_now() > deadline)
                        fail("the broker holds %u descriptors; before the first client there were %u", n,
                             process->n_fds);
                nap();
        }
}

void process_terminate(struct process *process)
{
        if (process->pid)
                kill(process->pid, SIGTERM);
}

static void process_forget(struct process *process)
{
        static const char *const files[] = { "log", "broker.yaml", "s.lock" };
        char path[128];

        for (unsigned i = 0; i < sizeof(files) / sizeof(*files); i++) {
                snprintf(path, sizeof(path), "%s/%s", process->directory, files[i]);
                unlink(path);
        }
        if (rmdir(process->directory) < 0)
                fail("%s: %m: the broker leaves files behind", process->directory);
        process->pid = 0;
        running = NULL;
}

uint64_t process_wait(struct process *process, uint64_t since, uint64_t limit_ns)
{
        int status;
        pid_t pid;

        while ((pid = waitpid(process->pid, &status, WNOHANG)) == 0) {
                if (clock_now() - since > limit_ns)
                        fail("the broker runs %" PRIu64 " ms after SIGTERM",
                             (clock_now() - since) / NSEC_PER_MSEC);
                nap();
        }
        if (pid < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
                fail("the broker ended with %s %d", WIFSIGNALED(status) ? "signal" : "status",
                     WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        since = clock_now() - since;
        if (access(process->socket, F_OK) == 0)
                fail("the broker left its socket file");
        process_forget(process);
        return since;
}

uint64_t process_stop(struct process *process)
{
        uint64_t since = clock_now();

        if (!process->pid)
                return 0;
        process_terminate(process);
        return process_wait(process, since, (LOAD_SANITIZED ? 20 : 1) * NSEC_PER_SEC);
}
