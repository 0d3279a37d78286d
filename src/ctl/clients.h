/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <hiredis.h>

#include "ctl/args.h"
#include "ctl/json.h"

/*
 * The answer to CLIENT LIST: a line for each client, of fields "name=value". Fields are looked up by name, so
 * those that are new are passed over, or passed on as they are, and those that are missing are empty.
 */

struct client_row {
        char *line;       /* owned; the fields point into it */
        char *fields[64]; /* "name", its value behind the NUL */
        size_t n_fields;
        uint64_t id;
};

struct client_list {
        struct client_row *rows;
        size_t n;
};

/* Return: whether the answer is a list of clients. */
bool client_list_init(struct client_list *list, const redisReply *reply);
void client_list_deinit(struct client_list *list);

/* "" when there is no such field. */
const char *client_field(const struct client_row *row, const char *name);
uint64_t client_number(const struct client_row *row, const char *name);

/* What subscriptions of all kinds come to. */
uint64_t client_subscriptions(const struct client_row *row);

/* The name of the row's user, or its number; into the buffer. */
const char *client_user(const struct client_row *row, char *buffer, size_t size);

/* The name of the program behind the connection, as the kernel of this machine knows it now; "" if it is gone.
 */
const char *client_program(const struct client_row *row, char *buffer, size_t size);
const char *client_program_of(uint64_t pid, char *buffer, size_t size);

/*
 * Leaves those that fit the command line: --user (name or number), --shard, --name (a pattern of the shell).
 * Return: CTL_OK; CTL_USAGE after saying that there is no such user.
 */
int client_list_filter(struct client_list *list, const struct ctl_request *request);

/* Sorts by the field that is named, the largest number first and texts in their order; NULL: as they came, by
 * id. */
void client_list_sort(struct client_list *list, const char *field);

/* A member for each field, numbers as numbers. */
void client_json(struct json *json, const struct client_row *row);
