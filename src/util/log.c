/* SPDX-License-Identifier: MIT */
/* The log sink. A line is formatted on the caller's stack and leaves in one write(), so lines never mix. */

#include "util/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOG_LINE_MAX 2048 /* bytes; longer lines are cut */

static struct {
        int level;
        bool journal;
} sink = { .level = LOG_LEVEL_INFO };

void log_init(void)
{
        const char *stream = getenv("JOURNAL_STREAM");
        uintmax_t dev, ino;
        struct stat st;

        sink.journal = stream && sscanf(stream, "%ju:%ju", &dev, &ino) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
                       (uintmax_t)st.st_dev == dev && (uintmax_t)st.st_ino == ino;
}

void log_set_level(enum log_level level)
{
        sink.level = level;
}

bool log_would(enum log_level level)
{
        return (int)level <= sink.level;
}

static size_t log_prefix(char *line, size_t size, enum log_level level)
{
        static const char *const names[] = {
                [3] = "error", [4] = "warning", [5] = "notice", [6] = "info", [7] = "debug"
        };
        struct timespec now;
        struct tm tm;

        if (sink.journal)
                return snprintf(line, size, "<%d>", level);
        clock_gettime(CLOCK_REALTIME, &now);
        gmtime_r(&now.tv_sec, &tm);
        return snprintf(line, size, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ brokerd[%d] %s: ", tm.tm_year + 1900,
                        tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, now.tv_nsec / 1000000,
                        (int)getpid(), names[level]);
}

void log_write(enum log_level level, const char *format, ...)
{
        int saved = errno;
        char line[LOG_LINE_MAX];
        size_t n;
        va_list ap;

        if (!log_would(level))
                return;
        n = log_prefix(line, sizeof(line), level);
        va_start(ap, format);
        n += vsnprintf(line + n, sizeof(line) - n, format, ap);
        va_end(ap);
        if (n > sizeof(line) - 1)
                n = sizeof(line) - 1;
        for (size_t i = 0; i < n; i++)
                if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
                        line[i] = '?';
        line[n++] = '\n';
        if (write(STDERR_FILENO, line, n) < 0)
                errno = saved; /* a log that cannot be written must not stop the broker */
        errno = saved;
}
