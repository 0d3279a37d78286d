/* SPDX-License-Identifier: MIT */
/*
 * The log sink. A line is formatted on the caller's stack and leaves in one write(), so lines never mix. The
 * descriptor of a file or of the journal keeps its number for as long as there is one: another file takes its
 * place in one system call (dup3). So the lock is held to look at the sink, not to write to it.
 */

#include "util/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "util/buffer.h"
#include "util/utf8.h"

#define LOG_TEXT_MAX 1536 /* bytes of a message; longer ones are cut */
#define LOG_LINE_MAX 2048 /* bytes of a line */
#define LOG_JOURNAL  "/run/systemd/journal/socket"

static struct {
        pthread_mutex_t mutex; /* of all below */
        int level;
        bool under_journal;         /* stderr is a stream to it */
        struct log_options options; /* its file is name, or NULL */
        char name[4096];
        int fd; /* of the file or the journal; -1: none was needed yet */
} sink = { .mutex = PTHREAD_MUTEX_INITIALIZER, .level = LOG_LEVEL_INFO, .fd = -1 };

static _Thread_local struct buffer *echo; /* log_echo() */

/* ------------------------------------------------------------------ where to */

void log_init(void)
{
        const char *stream = getenv("JOURNAL_STREAM");
        uintmax_t dev, ino;
        struct stat st;

        sink.under_journal = stream && sscanf(stream, "%ju:%ju", &dev, &ino) == 2 &&
                             fstat(STDERR_FILENO, &st) == 0 && (uintmax_t)st.st_dev == dev &&
                             (uintmax_t)st.st_ino == ino;
}

static int log_connect_journal(const char *path)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd, saved;

        if (strlen(path) >= sizeof(address.sun_path)) {
                errno = ENAMETOOLONG;
                return -1;
        }
        strcpy(address.sun_path, path);
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
                return fd;
        saved = errno;
        close(fd);
        errno = saved;
        return -1;
}

/* A descriptor for what is wanted. Return: it, -1 with errno. */
static int log_connect(const struct log_options *options)
{
        if (options->target == LOG_TARGET_JOURNAL)
                return log_connect_journal(options->file ? options->file : LOG_JOURNAL);
        return open(options->file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0640);
}

/* Puts a descriptor into the place of the sink's. Return: 0, an errno; fd is used up in both cases. */
static int log_replace(int fd)
{
        int r = 0;

        if (sink.fd < 0) {
                sink.fd = fd;
                return 0;
        }
        if (dup3(fd, sink.fd, O_CLOEXEC) < 0)
                r = errno;
        close(fd);
        return r;
}

int log_open(const struct log_options *options)
{
        int fd = -1, r = 0;

        if (options->target != LOG_TARGET_STDERR) {
                fd = log_connect(options);
                if (fd < 0)
                        return errno;
        }
        pthread_mutex_lock(&sink.mutex);
        if (fd >= 0)
                r = log_replace(fd);
        if (!r) {
                sink.options = *options;
                sink.options.file = options->file ? sink.name : NULL;
                if (options->file && options->file != sink.name)
                        snprintf(sink.name, sizeof(sink.name), "%s", options->file);
        }
        pthread_mutex_unlock(&sink.mutex);
        return r;
}

int log_reopen(void)
{
        struct log_options options = sink.options; /* nobody but this thread writes them */

        return options.target == LOG_TARGET_FILE ? log_open(&options) : -1;
}

void log_close(void)
{
        pthread_mutex_lock(&sink.mutex);
        sink.options = (struct log_options){ .target = LOG_TARGET_STDERR };
        if (sink.fd >= 0)
                close(sink.fd);
        sink.fd = -1;
        pthread_mutex_unlock(&sink.mutex);
}

void log_echo(struct buffer *to)
{
        echo = to;
}

void log_set_level(enum log_level level)
{
        pthread_mutex_lock(&sink.mutex);
        sink.level = level;
        pthread_mutex_unlock(&sink.mutex);
}

bool log_would(enum log_level level)
{
        bool would;

        pthread_mutex_lock(&sink.mutex);
        would = (int)level <= sink.level;
        pthread_mutex_unlock(&sink.mutex);
        return would;
}

/* ------------------------------------------------------------------ a line */

struct line {
        enum log_target target;
        enum log_format format;
        int fd;
        bool priority; /* instead of a head */
        size_t n;
        char text[LOG_LINE_MAX];
};

#define LINE_ROOM 16 /* bytes that are kept for what ends a line */

static void line_put(struct line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void line_put(struct line *line, const char *format, ...)
{
        size_t room = sizeof(line->text) - LINE_ROOM - line->n;
        va_list ap;
        int n;

        va_start(ap, format);
        n = vsnprintf(line->text + line->n, room, format, ap);
        va_end(ap);
        if (n > 0)
                line->n += (size_t)n < room ? (size_t)n : room - 1;
}

static void line_put_time(struct line *line)
{
        struct timespec now;
        struct tm tm;

        clock_gettime(CLOCK_REALTIME, &now);
        gmtime_r(&now.tv_sec, &tm);
        line_put(line, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
                 tm.tm_hour, tm.tm_min, tm.tm_sec, now.tv_nsec / 1000000);
}

static void line_put_control(struct line *line, uint32_t c, bool quoted)
{
        if (c == '\n' || c == '\r' || c == '\t')
                line_put(line, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
        else
                line_put(line, quoted ? "\\u%04x" : "\\x%02x", (unsigned)c);
}

/* Text that stays on the line. Between quotes, those are escaped as well, and all is as JSON wants it. */
static void line_put_text(struct line *line, const char *text, bool quoted)
{
        struct bytes b = bytes_str(text);
        uint32_t c = 0;

        while (b.n > 0) {
                size_t n = utf8_next(b, &c);

                if (!n && quoted)
                        line_put(line, "\\ufffd");
                else if (!n)
                        line_put(line, "\\x%02x", *b.p);
                else if (quoted && (c == '"' || c == '\\'))
                        line_put(line, "\\%c", (char)c);
                else if (c < 0x20 || (c >= 0x7f && c < 0xa0))
                        line_put_control(line, c, quoted);
                else
                        line_put(line, "%.*s", (int)n, (const char *)b.p);
                n += !n;
                b = bytes_of(b.p + n, b.n - n);
        }
}

static const char *log_level_name(enum log_level level)
{
        static const char *const names[] = {
                [3] = "error", [4] = "warning", [5] = "notice", [6] = "info", [7] = "debug"
        };

        return names[level];
}

static void line_human(struct line *line, enum log_level level, const char *text)
{
        if (line->priority) {
                line_put(line, "<%d>", level);
        } else {
                line_put_time(line);
                line_put(line, " brokerd[%d] %s: ", (int)getpid(), log_level_name(level));
        }
        line_put_text(line, text, false);
}

static void line_logfmt(struct line *line, enum log_level level, const char *text)
{
        line_put(line, "time=");
        line_put_time(line);
        line_put(line, " level=%s pid=%d msg=\"", log_level_name(level), (int)getpid());
        line_put_text(line, text, true);
        line->text[line->n++] = '"';
}

static void line_json(struct line *line, enum log_level level, const char *text)
{
        line_put(line, "{\"time\":\"");
        line_put_time(line);
        line_put(line, "\",\"level\":\"%s\",\"pid\":%d,\"msg\":\"", log_level_name(level), (int)getpid());
        line_put_text(line, text, true);
        line->text[line->n++] = '"';
        line->text[line->n++] = '}';
}

/* A datagram of fields, each on a line. */
static void line_journal(struct line *line, enum log_level level, const char *text)
{
        line_put(line, "PRIORITY=%d\nSYSLOG_IDENTIFIER=brokerd\nMESSAGE=", level);
        line_put_text(line, text, false);
}

/* Where a line goes, and how. Return: whether it is wanted. */
static bool line_init(struct line *line, enum log_level level)
{
        bool wanted;

        pthread_mutex_lock(&sink.mutex);
        wanted = (int)level <= sink.level;
        line->target = sink.options.target;
        line->format = sink.options.format;
        line->fd = line->target == LOG_TARGET_STDERR ? STDERR_FILENO : sink.fd;
        line->priority = sink.under_journal && line->target == LOG_TARGET_STDERR;
        line->n = 0;
        pthread_mutex_unlock(&sink.mutex);
        return wanted;
}

/* A log that cannot be written must not stop the broker; what was to go elsewhere goes to stderr then. */
static void line_send(struct line *line)
{
        line->text[line->n++] = '\n';
        if (write(line->fd, line->text, line->n) < 0 && line->fd != STDERR_FILENO &&
            write(STDERR_FILENO, line->text, line->n) < 0)
                return;
}

void log_write(enum log_level level, const char *format, ...)
{
        int saved = errno;
        char text[LOG_TEXT_MAX];
        struct line line;
        va_list ap;

        if (!line_init(&line, level))
                return;
        va_start(ap, format);
        vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        if (echo && level == LOG_LEVEL_ERROR)
                buffer_printf(echo, "%s\n", text);
        if (line.target == LOG_TARGET_JOURNAL)
                line_journal(&line, level, text);
        else if (line.format == LOG_FORMAT_LOGFMT)
                line_logfmt(&line, level, text);
        else if (line.format == LOG_FORMAT_JSON)
                line_json(&line, level, text);
        else
                line_human(&line, level, text);
        line_send(&line);
        errno = saved;
}
