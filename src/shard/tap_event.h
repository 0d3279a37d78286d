/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "resp/reader.h"
#include "resp/writer.h"
#include "util/buffer.h"
#include "util/bytes.h"

/* How what a tap shows is written. Nothing here knows of taps. */

struct client;
struct command;

/* Of a message: everything behind what tap_event_head() writes, which is the same in both protocols. size:
 * bytes of the payload to show. */
void tap_event_message(struct buffer *b, const struct client *c, const struct request *request,
                       uint64_t receivers, uint32_t size);
void tap_event_head(struct buffer *b, enum writer_proto proto);

/* How many messages were skipped. */
void tap_event_skipped(struct buffer *b, enum writer_proto proto, uint64_t n);

/* A command as a line of MONITOR. hello, auth: passwords in it are not shown. */
enum tap_secret { TAP_SECRET_NONE, TAP_SECRET_AUTH, TAP_SECRET_HELLO };
void tap_event_command(struct buffer *b, const struct client *c, const struct request *request,
                       enum tap_secret secret);

/* How many commands were skipped, as a line of MONITOR. path: the listener of the client that monitors. */
void tap_event_skipped_line(struct buffer *b, const char *path, uint64_t n);

/* Whether MONITOR never shows a command: Redis hides what administers. */
bool tap_event_hides(const struct command *command, const struct command *parent);
