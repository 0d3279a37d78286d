/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

#include "util/buffer.h"

/*
 * Counters of a shard for each command and for each code that errors begin with, as INFO shows them in its
 * sections commandstats and errorstats. Plain numbers of the shard's thread; a copy travels as it is.
 */

#define COUNTS_COMMANDS_MAX 256 /* rows of commands and subcommands */
#define COUNTS_ERRORS_MAX   32  /* the broker's own texts have fewer codes than that */

struct count_command {
        uint64_t calls;
        uint64_t failed;   /* calls that answered an error */
        uint64_t rejected; /* not called: wrong arity, right or state */
};

struct count_error {
        char code[24]; /* cut to what fits, and ended by a NUL */
        uint64_t n;
};

struct counts {
        struct count_command commands[COUNTS_COMMANDS_MAX]; /* by command_number() */
        struct count_error errors[COUNTS_ERRORS_MAX];
        uint64_t n_errors; /* of all codes */
};

/* Counts an error under the first word of its text. */
void counts_error(struct counts *counts, const char *text);

/* Calls of all commands. */
uint64_t counts_calls(const struct counts *counts);

void counts_add(struct counts *sum, const struct counts *one);

/*
 * Append the lines of INFO: of each command that was called or rejected, and of each code, sorted by name. The
 * time that commands take is not measured and shown as 0; the fields are there for programs that count them.
 */
void counts_write_commands(const struct counts *counts, struct buffer *out);
void counts_write_errors(const struct counts *counts, struct buffer *out);
