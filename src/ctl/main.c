/* SPDX-License-Identifier: MIT */
/* brokerctl: the broker from the command line. See brokerctl(1). */

#include "ctl/args.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "config.h"
#include "ctl/say.h"

/*
 * A descriptor that the caller closed must not become the socket. Its place is taken by one on which the
 * missing direction fails.
 */
static int main_fill_descriptors(void)
{
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
                if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
                        return CTL_FAILED;
        return CTL_OK;
}

static int main_run(const struct ctl_request *request)
{
        if (request->version) {
                puts("brokerctl " PACKAGE_VERSION);
                return say_flush();
        }
        if (request->help) {
                args_print_help(stdout, request->verb);
                return say_flush();
        }
        return request->verb->run(request);
}

int main(int argc, char **argv)
{
        struct ctl_request request;
        int r;

        if (main_fill_descriptors())
                return CTL_FAILED;
        setvbuf(stderr, NULL, _IOLBF, 0);
        signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error of the write that meets it */
        r = args_parse(&request, argc, argv);
        if (!r)
                r = main_run(&request);
        args_deinit(&request);
        return r;
}
