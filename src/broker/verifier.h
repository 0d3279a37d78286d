/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "broker/secrets.h"
#include "shard/message.h"

/*
 * The helper thread that verifies passwords, one after the other. Control puts questions and takes answers;
 * neither it nor a shard ever hashes. Users (uids) take turns, and each has a bounded number of open questions,
 * so that nobody keeps the others waiting for more than one verification each.
 *
 * Passwords are wiped as soon as they were verified or are not wanted any more.
 */

struct verifier;

#define VERIFIER_OPEN_MAX      64 /* questions that are not answered */
#define VERIFIER_OPEN_USER_MAX 16 /* of these, of one uid */

/* A question's answer. */
struct verifier_answer {
        unsigned shard; /* that asked */
        uint64_t client;
        uid_t uid;
        pid_t pid;
        enum verify_verdict verdict; /* RIGHT, WRONG or FAILED */
        uint64_t mark;               /* of the secret, if it was right */
        bool known;                  /* the name is somebody's */
        uint32_t name_size;
        uint8_t name[VERIFY_NAME_MAX]; /* as it was asked for; cut, if it was too long */
};

/* Without secrets, and without its thread. Return: 0, -errno of eventfd(2). */
int verifier_new(struct verifier **verifierp);

/* Starts the thread, if it does not run yet. Return: 0, -errno of pthread_create(3). */
int verifier_start(struct verifier *verifier);

/* Readable when there are answers to take. */
int verifier_fd(const struct verifier *verifier);

/* Other secrets from the next verification on; takes them over. NULL: none, all passwords are wrong. */
void verifier_set_secrets(struct verifier *verifier, struct secrets *secrets);

enum {
        _VERIFIER_E_SUCCESS,
        VERIFIER_E_BUSY, /* too many questions are open */
        VERIFIER_E_LATE, /* the thread still runs */
};

/* Copies the question. Return: 0, VERIFIER_E_BUSY. */
int verifier_ask(struct verifier *verifier, unsigned shard, const struct message_verify *question);

/* Hands over every answer that there is. */
void verifier_take(struct verifier *verifier, void (*take)(void *arg, const struct verifier_answer *answer),
                   void *arg);

/* Forgets all questions, and lets the thread end after the one that is under way. */
void verifier_stop(struct verifier *verifier);

/* Waits for that until the deadline (monotonic ns). Return: 0, VERIFIER_E_LATE. */
int verifier_join(struct verifier *verifier, uint64_t deadline);

/* Stops it, waits as long as it takes, and frees the secrets. Return: NULL. */
struct verifier *verifier_free(struct verifier *verifier);
