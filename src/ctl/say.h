/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdio.h>

#include "ctl/args.h"
#include "util/bytes.h"

/*
 * Standard error: what went wrong, how to mend it, and notes. Standard output carries data only. What came from
 * elsewhere passes through say_bytes(), so a broker cannot drive the terminal.
 */

/* "brokerctl: text", always. */
void say_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* "  text", under an error: what to do about it. */
void say_hint(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* "brokerctl: text", unless the user wants quiet. */
void say_note(const struct ctl_request *request, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* An error, then where the help is. Return: CTL_USAGE. */
int say_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* "brokerctl: what: bytes", escaped. */
void say_bytes(const char *what, struct bytes b);

/*
 * Asks on the terminal, unless the command line says --yes. Without a terminal nobody can be asked, which is an
 * error. what: "end 3 clients", of that error. Return: whether to go on.
 */
bool say_confirm(const struct ctl_request *request, const char *what, const char *question);

/*
 * Hands over what waits for standard output. A reader that went away ends the process as SIGPIPE would have,
 * without a word.
 * Return: CTL_OK; CTL_FAILED after saying why.
 */
int say_flush(void);

/* Ends the process as SIGPIPE does. */
_Noreturn void say_broken_pipe(void);
