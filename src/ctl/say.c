/* SPDX-License-Identifier: MIT */

#include "ctl/say.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "ctl/text.h"

static void say_line(const char *prefix, const char *format, va_list ap)
{
        fputs(prefix, stderr);
        vfprintf(stderr, format, ap);
        putc('\n', stderr);
}

void say_error(const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        say_line("brokerctl: ", format, ap);
        va_end(ap);
}

void say_hint(const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        say_line("  ", format, ap);
        va_end(ap);
}

void say_note(const struct ctl_request *request, const char *format, ...)
{
        va_list ap;

        if (request->quiet)
                return;
        va_start(ap, format);
        say_line("brokerctl: ", format, ap);
        va_end(ap);
}

bool say_confirm(const struct ctl_request *request, const char *what, const char *question)
{
        char answer[16];

        if (request->yes)
                return true;
        if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
                say_error("nobody can be asked whether to %s", what);
                return false;
        }
        fprintf(stderr, "%s [y/N] ", question);
        fflush(stderr);
        return fgets(answer, sizeof(answer), stdin) && (*answer == 'y' || *answer == 'Y');
}

int say_usage(const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        say_line("brokerctl: ", format, ap);
        va_end(ap);
        say_hint("try `brokerctl --help`");
        return CTL_USAGE;
}

void say_bytes(const char *what, struct bytes b)
{
        fprintf(stderr, "brokerctl: %s: ", what);
        text_escape(stderr, b);
        putc('\n', stderr);
}

_Noreturn void say_broken_pipe(void)
{
        signal(SIGPIPE, SIG_DFL);
        raise(SIGPIPE);
        _exit(128 + SIGPIPE); /* only where SIGPIPE is blocked */
}

/* Stdio may have met the error in an earlier call, whose errno is no longer there. */
static bool say_reader_gone(void)
{
        struct pollfd p = { .fd = STDOUT_FILENO };

        return poll(&p, 1, 0) == 1 && (p.revents & POLLERR);
}

int say_flush(void)
{
        if (fflush(stdout) == 0 && !ferror(stdout))
                return CTL_OK;
        if (errno == EPIPE || say_reader_gone())
                say_broken_pipe();
        say_error("cannot write to standard output: %s", strerror(errno));
        return CTL_FAILED;
}
