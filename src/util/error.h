/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Error contract of the whole project.
 *
 *      0       success
 *      < 0     fatal to this shard or to the process: -errno. Never matched, always forwarded up.
 *      > 0     a documented MODULE_E_* condition that the direct caller handles and does not forward.
 *
 * error_origin() raises, error_trace() forwards, error_fold() turns an unhandled positive code into a
 * fatal one. The three print where they stand, which is a backtrace of the failure. A client's fault is
 * never negative.
 */

int error_log_origin(int r, const char *file, int line, const char *func);
int error_log_trace(int r, const char *file, int line, const char *func);

#define error_origin(_r) error_log_origin((_r), __FILE__, __LINE__, __func__)
#define error_trace(_r)  error_log_trace((_r), __FILE__, __LINE__, __func__)
#define error_fold(_r)   error_log_trace((_r) > 0 ? -ENOTRECOVERABLE : (_r), __FILE__, __LINE__, __func__)
