/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>

/*
 * The log: one sink for the process, one write() a line. Levels follow syslog. Lifecycle is info, a
 * client's fault is notice, our own fault is warning or error; what is frequent is a counter, not a line.
 * Callable from every thread; log_init() and log_set_level() belong to the main thread.
 */

enum log_level {
        LOG_LEVEL_ERROR = 3,
        LOG_LEVEL_WARNING = 4,
        LOG_LEVEL_NOTICE = 5,
        LOG_LEVEL_INFO = 6,
        LOG_LEVEL_DEBUG = 7,
};

/* Picks the line format: under the journal (JOURNAL_STREAM names stderr) "<n>" priorities and no time. */
void log_init(void);

/* Lines above this level are not written. The default is LOG_LEVEL_INFO. */
void log_set_level(enum log_level level);
bool log_would(enum log_level level);

void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)   log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...)  log_write(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...)    log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)   log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)
