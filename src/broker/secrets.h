/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "util/bytes.h"
#include "util/hash.h"

/*
 * The file of secrets: a line "name:hash" for each, where hash is what crypt(3) makes of a password. It is read
 * whole and checked whole, and then const; verifying is all that is done with it.
 *
 * Hashes are salted and slow: yescrypt, bcrypt and SHA-crypt, of at most some 200 ms on a usual machine.
 * Others, which are weak, and costs that are absurd, are refused when the file is read.
 */

struct secrets;

#define SECRETS_NAME_MAX     64        /* bytes */
#define SECRETS_PASSWORD_MAX 511       /* bytes; what crypt(3) takes */
#define SECRETS_FILE_MAX     (1 << 20) /* bytes */
#define SECRETS_MAX          4096      /* lines with a secret */
#define SECRETS_ERRORS_MAX   20        /* reported in one pass */

struct secret {
        char *name; /* printable ASCII without blanks and quotes */
        char *hash;
        uint64_t mark; /* the same for the same name with the same hash, and never 0 */
        unsigned line;
};

enum {
        _SECRETS_E_SUCCESS,
        SECRETS_E_INVALID, /* what is wrong was written to the error stream */
        SECRETS_E_WRONG,   /* there is no such name, or it has another password */
        SECRETS_E_FAILED,  /* it could not be computed, for want of memory */
};

/*
 * Reads a file, which must be a regular one of the mode 0600 or less, owned by uid 0 or the owner. Errors have
 * the shape file:line: error: text; no error shows a hash. The key is what marks are made with: they can be
 * compared if it is the same, and cannot be guessed without it.
 * Return: 0, SECRETS_E_INVALID (also for a file that cannot be read).
 */
int secrets_load(struct secrets **secretsp, const char *file, uid_t owner, const struct hash_key *key,
                 FILE *errors);

/* secrets_load() of n bytes that are at hand; file is what errors call them. */
int secrets_parse(struct secrets **secretsp, const char *file, const char *text, size_t n,
                  const struct hash_key *key, FILE *errors);

/* Return: NULL. */
struct secrets *secrets_free(struct secrets *secrets);

/* Return: the secrets in the order of their names, n of them. */
const struct secret *secrets_list(const struct secrets *secrets, size_t *np);

/* Whether somebody has that name. */
bool secrets_has(const struct secrets *secrets, struct bytes name);

/*
 * Whether this is the password of that name. It takes as long for a name that there is not as for one that
 * there is. *markp: that of the secret. Return: 0, SECRETS_E_WRONG, SECRETS_E_FAILED.
 */
int secrets_verify(const struct secrets *secrets, struct bytes name, struct bytes password, uint64_t *markp);
