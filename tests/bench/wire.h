/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The bytes between the load and a server. All messages have one size, so that all frames do; frames of two
 * channels differ in their heads only, and a PUBLISH is a frame with another word at the place of "message".
 */

/* The begin of every payload; the rest is the same in all of them. */
struct stamp {
        uint64_t intended; /* monotonic nanoseconds: when the message was to be sent */
        uint32_t number;   /* among those of its publisher on its channel */
        uint16_t publisher, channel;
};

#define WIRE_STAMP sizeof(struct stamp)

struct wire {
        const char *prefix, *suffix; /* of a channel's name; between them four digits */
        char *heads;                 /* of the frames, by channel */
        size_t head_size, frame_size;
        char *rest; /* of a payload, and the end of the frame */
        size_t rest_size;
};

/* prefix and suffix are lent. payload: bytes, at least WIRE_STAMP. */
void wire_init(struct wire *wire, const char *prefix, const char *suffix, unsigned n_channels, size_t payload);
void wire_deinit(struct wire *wire);

/* Writes a PUBLISH of frame_size bytes at p. */
void wire_request(const struct wire *wire, char *p, const struct stamp *stamp);

/*
 * Checks a frame against what was published on a channel. Of a long payload it looks at a piece, another one in
 * each message: the check shall not cost more than the delivery.
 * Return: whether it is intact; *stampp is its stamp.
 */
bool wire_frame(const struct wire *wire, const char *p, unsigned channel, struct stamp *stampp);

/* Return: a blocking socket. A server that starts is waited for. */
int wire_connect(const char *path);
void wire_send(int fd, const char *text, size_t n);

/* Reads exactly the text; anything else ends the program. */
void wire_expect(int fd, const char *text, size_t n);

/* Subscribes a connection that has no subscription yet to a channel. */
void wire_subscribe(const struct wire *wire, int fd, unsigned channel);

/* Subscribes it to n patterns, made by a format with one %u. */
void wire_psubscribe(int fd, unsigned n, const char *format);
