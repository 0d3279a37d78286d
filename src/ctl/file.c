/* SPDX-License-Identifier: MIT */

#include "ctl/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/args.h"
#include "ctl/say.h"
#include "util/mem.h"

static int file_say(const char *path, const char *directory, int error)
{
        say_error("cannot write %s: %s", path, strerror(error));
        if (error == ENOENT || error == ENOTDIR)
                say_hint("there is no directory %s", directory);
        else if (error == EACCES)
                say_hint("you are uid %ju; a new file is made in %s, which must be open to you",
                         (uintmax_t)geteuid(), directory);
        return CTL_FAILED;
}

/* Return: 0, or an errno. */
static int file_write(int fd, struct bytes content)
{
        while (content.n > 0) {
                ssize_t n = write(fd, content.p, content.n);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return errno;
                content = bytes_of(content.p + n, content.n - (size_t)n);
        }
        return fchmod(fd, 0644) < 0 || fsync(fd) < 0 ? errno : 0;
}

/* So that the new name outlasts a crash of the machine. Not every file system can do it, and none has to. */
static void file_sync_directory(const char *directory)
{
        int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0)
                return;
        (void)fsync(fd);
        close(fd);
}

/* scratch is a name for mkostemp(). Return: 0, or an errno. */
static int file_make(const char *path, char *scratch, struct bytes content)
{
        int fd = mkostemp(scratch, O_CLOEXEC), r;

        if (fd < 0)
                return errno;
        r = file_write(fd, content);
        if (close(fd) < 0 && !r)
                r = errno;
        if (!r && rename(scratch, path) < 0)
                r = errno;
        if (r)
                unlink(scratch);
        return r;
}

static char *file_copy(const char *name, const char *suffix)
{
        size_t size = strlen(name) + strlen(suffix) + 1;
        char *copy = mem_alloc(size);

        snprintf(copy, size, "%s%s", name, suffix);
        return copy;
}

int file_replace(const char *path, struct bytes content)
{
        char *scratch = file_copy(path, ".XXXXXX"), *copy = file_copy(path, "");
        const char *directory = dirname(copy);
        sigset_t interrupts, before;
        int r;

        /* They would leave the new file behind. */
        sigemptyset(&interrupts);
        sigaddset(&interrupts, SIGHUP);
        sigaddset(&interrupts, SIGINT);
        sigaddset(&interrupts, SIGTERM);
        sigprocmask(SIG_BLOCK, &interrupts, &before);
        r = file_make(path, scratch, content);
        sigprocmask(SIG_SETMASK, &before, NULL);
        if (!r)
                file_sync_directory(directory);
        else
                r = file_say(path, directory, r);
        free(scratch);
        free(copy);
        return r;
}
