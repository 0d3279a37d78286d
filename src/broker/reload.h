/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>

#include "broker/authority.h"
#include "broker/config.h"
#include "broker/config_diff.h"
#include "broker/control.h"
#include "broker/listeners.h"
#include "broker/plan.h"
#include "broker/policies.h"
#include "broker/secrets.h"
#include "util/buffer.h"
#include "util/hash.h"

/*
 * Reading the configuration again while the broker serves. It is done by control's thread, in three steps, of
 * which the first two may refuse it, and then everything is as before:
 *
 *      look      the file and that of the secrets are read and checked, compared with what runs, and planned
 * for on this machine. Nothing is changed, so it can be done for the answer alone prepare   what can fail of
 * the change itself: new sockets, the thread that verifies passwords, and where the log goes apply     cannot
 * fail: shards get a new policy, control its limits and sockets
 */

/* What runs, and whom to tell. */
struct reload {
        const char *file;                   /* absolute, since the directory of the start is nobody's promise */
        struct config *config;              /* owned */
        const struct plan_machine *machine; /* its CPUs; descriptors are counted anew */
        struct plan plan;
        struct listeners *listeners;
        struct policies *policies;
        struct control *control;
        struct authority *authority; /* NULL: there can be no secrets */
        struct hash_key secrets_key; /* of marks, for the life of the broker */
};

/* What a reload comes to. */
struct reload_outlook {
        struct config *config; /* to run: as the file, but with what runs where only a start changes it */
        struct plan plan;
        struct secrets *secrets; /* NULL: none */
        struct config_diff diff; /* of the file and what runs */
};

enum {
        _RELOAD_E_SUCCESS,
        RELOAD_E_REFUSED,
};

/* Looks, and changes nothing. Return: 0, RELOAD_E_REFUSED; errors then has lines that say why. */
int reload_look(const struct reload *reload, struct reload_outlook *outlook, struct buffer *errors);
void reload_outlook_deinit(struct reload_outlook *outlook);

/* Takes the next error off such text; what else is in it are excerpts of the file. Return: false: no more. */
bool reload_next_error(struct bytes *text, struct bytes *line);

/*
 * All of it, with its result in the log. *diff is what changed, to be freed by config_diff_deinit().
 * Return: 0; RELOAD_E_REFUSED, and errors has lines that say why.
 */
int reload_run(struct reload *reload, struct config_diff *diff, struct buffer *errors);
