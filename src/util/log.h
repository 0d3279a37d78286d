/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>

struct buffer;

/*
 * The log: one sink for the process, one write() a line. Levels follow syslog. Lifecycle is info, a
 * client's fault is notice, our own fault is warning or error; what is frequent is a counter, not a line.
 * log_write() is callable from every thread; all else belongs to the main thread.
 */

enum log_level {
        LOG_LEVEL_ERROR = 3,
        LOG_LEVEL_WARNING = 4,
        LOG_LEVEL_NOTICE = 5,
        LOG_LEVEL_INFO = 6,
        LOG_LEVEL_DEBUG = 7,
};

enum log_target {
        LOG_TARGET_STDERR,
        LOG_TARGET_FILE,
        LOG_TARGET_JOURNAL, /* by its socket; with the fields PRIORITY, SYSLOG_IDENTIFIER and MESSAGE */
};

/* The form of a line; that of the journal has fields instead. */
enum log_format {
        LOG_FORMAT_HUMAN,  /* time, program, level, text */
        LOG_FORMAT_LOGFMT, /* key=value */
        LOG_FORMAT_JSON,   /* RFC 8259, an object a line */
};

struct log_options {
        enum log_target target;
        const char *file; /* of less than 4096 bytes; made with mode 0640 if it is not there. For the journal:
                             its socket, NULL: that of systemd */
        enum log_format format;
};

/*
 * Until log_open(): to stderr for people. Under the journal (JOURNAL_STREAM names stderr) lines for people have
 * a "<n>" priority and no time.
 */
void log_init(void);

/*
 * Writes elsewhere from here on. Lines of other threads go to the old place or to the new one, and none is
 * lost. Return: 0; an errno: what was there stays.
 */
int log_open(const struct log_options *options);

/* Opens the file again, which somebody may have moved away. Return: 0; an errno: the old file is
 * written on; -1: the log is no file. */
int log_reopen(void);

/* Back to stderr. */
void log_close(void);

/*
 * Errors of this thread are appended to a buffer as well, each as a line, from here on until the next call;
 * NULL: no more.
 */
void log_echo(struct buffer *to);

/* Lines above this level are not written. The default is LOG_LEVEL_INFO. */
void log_set_level(enum log_level level);
bool log_would(enum log_level level);

/*
 * Writes one line, at most 2048 bytes of it. What would not be one line, or no text, is escaped: control
 * characters as \n, \t, \x1b; in JSON as JSON has it.
 */
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)   log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...)  log_write(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...)    log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)   log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)
