/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>

#include "resp/reader.h"
#include "shard/client.h"
#include "shard/command.h"
#include "shard/state.h"

/*
 * Who a client is: AUTH and HELLO AUTH, when there are secrets.
 *
 * No shard hashes. The handler asks control by a message and puts the request back (COMMAND_WAIT); the client
 * waits with CLIENT_VERIFIES, and its further bytes stay unparsed. With the answer in client.verified the
 * request is served again, and that uses it up. EXEC asks for every password in it before it executes anything.
 *
 * A client of a listener that demands authentication is barred until then: it may AUTH, HELLO, QUIT and RESET,
 * and its requests have to be small.
 */

/* What is read of a client: a barred one has less room. */
const struct reader_limits *auth_limits(const struct client *c);

/* Whether passwords mean something. */
static inline bool auth_has_secrets(const struct client *c)
{
        return c->shard->policy->n_secrets > 0;
}

/* The user and the password in a request of HELLO, or of either command. Return: false: there are none. */
bool auth_find_hello(const struct request *request, struct bytes *user, struct bytes *password);
bool auth_find(const struct command *command, const struct request *request, struct bytes *user,
               struct bytes *password);

/* Asks whether that is the user's password: the client waits from here on. Return: COMMAND_WAIT. */
enum command_result auth_ask(struct client *c, struct bytes user, struct bytes password);

/* Whether the answer is there, to be used. */
static inline bool auth_is_answered(const struct client *c)
{
        return c->verified.verdict != VERIFY_NONE;
}

/* Whether a user of that name is known, and may be known of by this client. */
bool auth_sees(const struct client *c, struct bytes name);

/* Makes the client that user if the answer says so. Return: false: the error was answered. */
bool auth_use(struct client *c, struct bytes user);

/* Makes it nobody, as it came. */
void auth_drop(struct client *c);

/* Control answered; the client may be gone. */
void auth_on_verified(struct shard *shard, const struct message_verified *m);

/* The client waits no more, if it does, and what it said is wiped. */
void auth_cancel(struct client *c);

/* There is a new policy: disconnects who authenticated with a secret that is no more. */
void auth_review(struct shard *shard);

/* The name of the user that it is. */
static inline const char *auth_user(const struct client *c)
{
        return c->user ? c->user : "default";
}

/* Overwrites bytes that held a password, wherever they are. */
void auth_wipe(struct bytes bytes);

/* Overwrites the request that is being served, which held one. */
void auth_wipe_request(struct client *c, const struct request *request);
