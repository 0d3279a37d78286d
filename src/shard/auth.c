/* SPDX-License-Identifier: MIT */

#include "shard/auth.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "mesh/port.h"
#include "shard/gather.h"
#include "shard/permit.h"
#include "shard/transaction.h"
#include "util/plant.h"

#define AUTH_REQUEST_MAX (16 * 1024) /* bytes of a barred client's request: Redis has the same for a string */

const struct reader_limits *auth_limits(const struct client *c)
{
        static const struct reader_limits barred = { AUTH_REQUEST_MAX, AUTH_REQUEST_MAX };
        const struct reader_limits *limits = &c->shard->limits;

        return c->barred && limits->request_max > AUTH_REQUEST_MAX ? &barred : limits;
}

/* ------------------------------------------------------------------ a request */

/* The last AUTH, if there are several. */
bool auth_find_hello(const struct request *request, struct bytes *user, struct bytes *password)
{
        bool found = false;

        for (uint32_t i = 2; i < request->argc; i++) {
                uint32_t left = request->argc - 1 - i;

                if (bytes_is(request->argv[i], "auth") && left >= 2) {
                        *user = request->argv[++i];
                        *password = request->argv[++i];
                        found = true;
                } else if (bytes_is(request->argv[i], "setname") && left >= 1) {
                        i++;
                } else {
                        return false; /* it is refused */
                }
        }
        return found;
}

bool auth_find(const struct command *command, const struct request *request, struct bytes *user,
               struct bytes *password)
{
        if (command->run == command_hello)
                return auth_find_hello(request, user, password);
        if (command->run != command_auth || request->argc < 2 || request->argc > 3)
                return false;
        *user = request->argc == 3 ? request->argv[1] : BYTES_LITERAL("default");
        *password = request->argv[request->argc - 1];
        return true;
}

void auth_wipe(struct bytes bytes)
{
        if (bytes.n)
                explicit_bzero((void *)(uintptr_t)bytes.p,
                               bytes.n); /* views are const, what they show is not */
}

void auth_wipe_request(struct client *c, const struct request *request)
{
        reader_wipe(&c->reader, request);
}

/* ------------------------------------------------------------------ the question */

enum command_result auth_ask(struct client *c, struct bytes user, struct bytes password)
{
        struct shard *s = c->shard;
        struct message_verify *m;

        assert(c->wait == CLIENT_RUNS && !c->gather && !auth_is_answered(c));
        m = port_send(s->port, s->options.n_shards, MESSAGE_VERIFY, sizeof(*m), PORT_UNCOUNTED);
        memset(m, 0, sizeof(*m));
        m->client = c->id;
        m->pid = c->pid;
        m->uid = c->uid;
        m->hopeless = user.n > sizeof(m->name) || password.n > sizeof(m->password);
        m->name_size = (uint16_t)(user.n < sizeof(m->name) ? user.n : sizeof(m->name));
        if (m->name_size)
                memcpy(m->name, user.p, m->name_size);
        if (password.n && !m->hopeless) {
                m->password_size = (uint16_t)password.n;
                memcpy(m->password, password.p, password.n);
        }
        c->wait = CLIENT_VERIFIES;
        return COMMAND_WAIT;
}

void auth_cancel(struct client *c)
{
        if (c->wait != CLIENT_VERIFIES)
                return;
        c->wait = CLIENT_RUNS;
        auth_wipe(buffer_view(&c->reader.in));
}

void auth_on_verified(struct shard *s, const struct message_verified *m)
{
        struct client *c = client_find(s, m->client);

        assert(m->verdict != VERIFY_NONE);
        if (!c || c->wait != CLIENT_VERIFIES)
                return;
        c->wait = CLIENT_RUNS;
        c->verified = *m;
        client_resume(c);
        if (!auth_is_answered(c))
                return;
        c->verified.verdict = VERIFY_NONE; /* it is on its way out, and nothing is served any more */
        auth_wipe(buffer_view(&c->reader.in));
}

/* ------------------------------------------------------------------ the answer */

static int secret_compare(const void *name, const void *secret)
{
        return strcmp(name, ((const struct policy_secret *)secret)->name);
}

/* Whether somebody still has that secret. */
static bool auth_holds(const struct policy *policy, const char *name, uint64_t mark)
{
        const struct policy_secret *found;

        if (!policy->n_secrets)
                return false;
        found = bsearch(name, policy->secrets, policy->n_secrets, sizeof(*policy->secrets), secret_compare);
        return found && found->mark == mark;
}

/* Only who may administer sees more than himself. */
bool auth_sees(const struct client *c, struct bytes name)
{
        const struct policy *policy = c->shard->policy;

        if (bytes_equal(name, BYTES_LITERAL("default")) || bytes_equal(name, bytes_str(auth_user(c))))
                return true;
        for (unsigned i = 0; c->admin && i < policy->n_secrets; i++)
                if (bytes_equal(name, bytes_str(policy->secrets[i].name)))
                        return true;
        return false;
}

bool auth_use(struct client *c, struct bytes user)
{
        struct message_verified verified = c->verified;
        char name[VERIFY_NAME_MAX + 1];

        c->verified.verdict = VERIFY_NONE;
        if (verified.verdict == VERIFY_BUSY) {
                command_error(c, "too many passwords are waiting to be verified, try again");
                return false;
        }
        if (verified.verdict == VERIFY_FAILED) {
                command_error(c, "the password cannot be verified for want of memory, try again");
                return false;
        }
        if (verified.verdict == VERIFY_RIGHT && user.n < sizeof(name)) {
                memcpy(name, user.p, user.n);
                name[user.n] = 0;
        }
        /* the secrets may have changed meanwhile */
        if (verified.verdict != VERIFY_RIGHT ||
            (!auth_holds(c->shard->policy, name, verified.mark) && !PLANTED(35))) {
                command_error_coded(c, "WRONGPASS invalid username-password pair or user is disabled.");
                return false;
        }
        client_set_text(&c->user, user);
        c->mark = verified.mark;
        c->barred = false;
        permit_classify(c);
        return true;
}

void auth_drop(struct client *c)
{
        c->barred = c->adopt_flags & ADOPT_AUTHENTICATE;
        if (!c->user)
                return;
        client_set_text(&c->user, (struct bytes){ 0 });
        c->mark = 0;
        permit_classify(c);
}

void auth_review(struct shard *s)
{
        list_for_each_safe (i, next, &s->clients) {
                struct client *c = container_of(i, struct client, all);

                if (!c->user || c->end == CLIENT_CLOSING || c->killed ||
                    auth_holds(s->policy, c->user, c->mark))
                        continue;
                shard_notice(s, c, "disconnected, the secret that it authenticated with is no more");
                client_kill(c);
        }
}
