/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "broker/secrets.h"
#include "mesh/port.h"
#include "shard/message.h"

/*
 * Control's side of authentication: it hands the shards' questions about passwords to the verifier, and its
 * answers back, and keeps count of the wrong ones.
 */

struct authority;

/* Return: 0, -errno. */
int authority_new(struct authority **authorityp, struct port *port);

/* Waits for the helper as long as it takes. Return: NULL. */
struct authority *authority_free(struct authority *authority);

/* Does what can fail of having secrets. Return: 0, -errno (said to the log). */
int authority_prepare(struct authority *authority);

/*
 * From here on these secrets hold; takes them over. NULL: none. authority_prepare() must have succeeded, unless
 * there are none. A policy that names them has to be given to the shards in the same step.
 */
void authority_set_secrets(struct authority *authority, struct secrets *secrets);

/* Readable when authority_on_answers() has something to do. */
int authority_fd(const struct authority *authority);
void authority_on_answers(struct authority *authority);

/* A shard asks. The question is wiped. */
void authority_on_question(struct authority *authority, unsigned shard, struct message_verify *question);

/* Passwords, or names, that were wrong. */
uint64_t authority_wrong(const struct authority *authority);

/* Questions are forgotten from here on. */
void authority_stop(struct authority *authority);

/* Whether the helper has ended by the deadline (monotonic ns) after authority_stop(). */
bool authority_join(struct authority *authority, uint64_t deadline);
