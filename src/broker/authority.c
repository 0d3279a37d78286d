/* SPDX-License-Identifier: MIT */
/*
 * Wrong passwords are counted for each uid. Lines in the log are at most one a second; what they leave out they
 * count. The uids that are kept are bounded: when there are more, the counts of all begin anew.
 */

#include "broker/authority.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "broker/verifier.h"
#include "util/clock.h"
#include "util/escape.h"
#include "util/hash.h"
#include "util/log.h"
#include "util/mem.h"

#define AUTHORITY_UIDS_MAX 1024

struct suspect {
        uid_t uid;
        uint64_t wrong; /* passwords */
};

struct authority {
        struct port *port;
        struct verifier *verifier;
        struct table suspects; /* by uid */
        uint64_t wrong;        /* passwords, of all */
        uint64_t noticed_at;   /* monotonic ns of the last line in the log; 0: none */
        uint64_t unnoticed;    /* what was left out since */
};

int authority_new(struct authority **authorityp, struct port *port)
{
        struct authority *a = mem_zalloc(sizeof(*a));
        int r = verifier_new(&a->verifier);

        if (r < 0) {
                free(a);
                return r;
        }
        a->port = port;
        *authorityp = a;
        return 0;
}

static void suspects_forget(struct authority *a)
{
        size_t pos = 0;
        struct suspect *one;

        while ((one = table_next(&a->suspects, &pos)))
                free(one);
        table_deinit(&a->suspects);
        a->suspects = (struct table){ 0 };
}

struct authority *authority_free(struct authority *a)
{
        if (!a)
                return NULL;
        a->verifier = verifier_free(a->verifier);
        suspects_forget(a);
        free(a);
        return NULL;
}

int authority_prepare(struct authority *a)
{
        int r = verifier_start(a->verifier);

        if (r < 0)
                log_error("cannot start the thread that verifies passwords: %s", strerror(-r));
        return r;
}

void authority_set_secrets(struct authority *a, struct secrets *secrets)
{
        verifier_set_secrets(a->verifier, secrets);
}

int authority_fd(const struct authority *a)
{
        return verifier_fd(a->verifier);
}

uint64_t authority_wrong(const struct authority *a)
{
        return a->wrong;
}

void authority_stop(struct authority *a)
{
        verifier_stop(a->verifier);
}

bool authority_join(struct authority *a, uint64_t deadline)
{
        return verifier_join(a->verifier, deadline) == 0;
}

/* ------------------------------------------------------------------ what is noticed */

/* Whether a line may be written now. */
static bool authority_may_notice(struct authority *a)
{
        uint64_t now = clock_now();

        if (a->noticed_at && now < a->noticed_at + NSEC_PER_SEC) {
                a->unnoticed++;
                return false;
        }
        a->noticed_at = now;
        return true;
}

static bool suspect_has_uid(const void *item, const void *uid)
{
        return ((const struct suspect *)item)->uid == *(const uid_t *)uid;
}

static struct suspect *authority_suspect(struct authority *a, uid_t uid)
{
        uint64_t hash = hash_word(uid);
        struct suspect *one = table_find(&a->suspects, hash, suspect_has_uid, &uid);

        if (one)
                return one;
        if (a->suspects.n >= AUTHORITY_UIDS_MAX)
                suspects_forget(a);
        one = mem_zalloc(sizeof(*one));
        one->uid = uid;
        table_add(&a->suspects, hash, one);
        return one;
}

/* A name that is nobody's stays out of the log: it could be a password that was typed in the wrong place. */
static void authority_note_wrong(struct authority *a, const struct verifier_answer *answer)
{
        struct suspect *suspect = authority_suspect(a, answer->uid);
        struct buffer whom = { 0 };

        a->wrong++;
        suspect->wrong++;
        if (!authority_may_notice(a))
                return;
        if (answer->known)
                escape_put(&whom, bytes_of(answer->name, answer->name_size), VERIFY_NAME_MAX);
        else
                buffer_printf(&whom, "a user that there is not");
        log_notice(
                "client %llu (pid %d, uid %u): wrong password for %.*s; %llu wrong ones by this uid, %llu more "
                "notices since the last one",
                (unsigned long long)answer->client, (int)answer->pid, (unsigned)answer->uid,
                (int)buffer_size(&whom), (const char *)buffer_view(&whom).p, (unsigned long long)suspect->wrong,
                (unsigned long long)a->unnoticed);
        buffer_deinit(&whom);
        a->unnoticed = 0;
}

static void authority_note_busy(struct authority *a, const struct message_verify *question)
{
        if (!authority_may_notice(a))
                return;
        log_notice("client %llu (pid %d, uid %u): its password was not verified, too many wait for that; %llu "
                   "more "
                   "notices since the last one",
                   (unsigned long long)question->client, (int)question->pid, (unsigned)question->uid,
                   (unsigned long long)a->unnoticed);
        a->unnoticed = 0;
}

/* ------------------------------------------------------------------ questions and answers */

static void authority_answer(struct authority *a, unsigned shard, uint64_t client, enum verify_verdict verdict,
                             uint64_t mark)
{
        struct message_verified *m = port_send(a->port, shard, MESSAGE_VERIFIED, sizeof(*m), PORT_UNCOUNTED);

        *m = (struct message_verified){ .client = client, .mark = mark, .verdict = verdict };
}

void authority_on_question(struct authority *a, unsigned shard, struct message_verify *question)
{
        uint64_t client = question->client;

        if (verifier_ask(a->verifier, shard, question) == VERIFIER_E_BUSY) {
                authority_note_busy(a, question);
                authority_answer(a, shard, client, VERIFY_BUSY, 0);
        }
        explicit_bzero(question, sizeof(*question));
}

static void authority_on_answer(void *arg, const struct verifier_answer *answer)
{
        struct authority *a = arg;

        if (answer->verdict == VERIFY_WRONG)
                authority_note_wrong(a, answer);
        authority_answer(a, answer->shard, answer->client, answer->verdict, answer->mark);
}

void authority_on_answers(struct authority *a)
{
        verifier_take(a->verifier, authority_on_answer, a);
}
