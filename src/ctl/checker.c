/* SPDX-License-Identifier: MIT */

#include "ctl/checker.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/say.h"

static const char *checker_path(char path[PATH_MAX])
{
        ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - sizeof("brokerd"));
        char *slash;

        if (n > 0) {
                path[n] = 0;
                slash = strrchr(path, '/');
                strcpy(slash ? slash + 1 : path, "brokerd");
                if (access(path, X_OK) == 0)
                        return path;
        }
        return SBINDIR "/brokerd";
}

int checker_become(const char *file)
{
        char buffer[PATH_MAX];
        const char *path = checker_path(buffer);

        execl(path, "brokerd", "--check", "-c", file, (char *)NULL);
        say_error("cannot run %s, which reads configurations: %s", path, strerror(errno));
        return CTL_FAILED;
}

/* In the child. What it would print on stdout is said by its status. */
static void checker_exec(const char *file, int errors)
{
        int null = open("/dev/null", O_WRONLY);

        if (null < 0 || dup2(errors, STDERR_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
                _exit(127);
        checker_become(file);
        _exit(127);
}

static void checker_collect(int fd, struct buffer *errors)
{
        char chunk[4096];
        ssize_t n;

        while ((n = read(fd, chunk, sizeof(chunk))) > 0 || (n < 0 && errno == EINTR))
                if (n > 0)
                        buffer_put(errors, chunk, (size_t)n);
}

int checker_run(const char *file, struct buffer *errors)
{
        int fds[2], status = 0;
        pid_t pid;

        if (pipe2(fds, O_CLOEXEC) < 0) {
                say_error("cannot make a pipe: %s", strerror(errno));
                return -1;
        }
        pid = fork();
        if (pid == 0)
                checker_exec(file, fds[1]);
        close(fds[1]);
        if (pid > 0)
                checker_collect(fds[0], errors);
        close(fds[0]);
        while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        if (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) <= 1)
                return WEXITSTATUS(status) ? CTL_FAILED : CTL_OK;
        if (buffer_size(errors))
                fwrite(buffer_view(errors).p, 1, buffer_size(errors), stderr);
        else
                say_error("the check did not come to its end");
        return -1;
}
