/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "util/bytes.h"

/*
 * JSON (RFC 8259) as it is written, without a tree: what is opened is closed, members of an object have names,
 * items of a list have none (name NULL). Everything stands on one line, so that a line is a value for programs
 * that read them one by one.
 */

#define JSON_DEPTH 16

struct json {
        FILE *out;
        unsigned depth;
        bool first[JSON_DEPTH]; /* nothing was written in there yet */
        char close[JSON_DEPTH];
};

/* Begins an object whose first member, "schema", names its shape and version: "brokerctl.status/1". */
void json_begin(struct json *json, FILE *out, const char *schema);

/* Closes it, and the line. Everything else must be closed. */
void json_end(struct json *json);

void json_object(struct json *json, const char *name);
void json_list(struct json *json, const char *name);
void json_close(struct json *json);

void json_number(struct json *json, const char *name, int64_t n);
void json_unsigned(struct json *json, const char *name, uint64_t n);
void json_bool(struct json *json, const char *name, bool b);
void json_null(struct json *json, const char *name);
void json_seconds(struct json *json, const char *name, double seconds); /* to the microsecond */

/*
 * Bytes that are UTF-8 become a string. Any others cannot be one: NAME is then null, and NAME_base64 has them
 * (RFC 4648); in a list they are an object with the one member "base64".
 */
void json_bytes(struct json *json, const char *name, struct bytes b);
void json_string(struct json *json, const char *name, const char *s);
