/* SPDX-License-Identifier: MIT */
/*
 * What both threads touch is in `struct verifier` below the mutex: two lists of jobs, the secrets, and the word
 * to quit. A job is in one of them, or under way and the helper's alone. The mutex is held to move jobs, never
 * while a password is hashed.
 */

#include "broker/verifier.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "mesh/waker.h"
#include "util/clock.h"
#include "util/list.h"
#include "util/log.h"
#include "util/mem.h"

#define VERIFIER_NICE 10 /* the shards' work goes first */

static_assert(VERIFY_NAME_MAX == SECRETS_NAME_MAX && VERIFY_PASSWORD_MAX == SECRETS_PASSWORD_MAX,
              "what fits a message is what secrets allow");

struct job {
        struct list link;
        unsigned shard;
        struct message_verify question; /* the password is wiped before the job is done */
        enum verify_verdict verdict;
        uint64_t mark;
        bool known; /* the name is somebody's */
};

struct verifier {
        struct waker_eventfd answered;
        pthread_t thread;
        bool joinable; /* control's own */
        pthread_mutex_t mutex;
        pthread_cond_t changed;
        /* below the mutex */
        struct list waiting; /* jobs, in the order in which they are taken */
        struct list done;    /* jobs for control */
        uid_t under_way_uid;
        bool under_way;
        bool quit;
        struct secrets *secrets; /* NULL: none; the helper uses them while a job is under way */
        struct secrets *retired; /* others that the job under way uses */
};

static struct job *job_free(struct job *job)
{
        list_del(&job->link);
        explicit_bzero(&job->question, sizeof(job->question));
        free(job);
        return NULL;
}

static void jobs_free(struct list *jobs)
{
        while (!list_empty(jobs))
                job_free(list_first(jobs, struct job, link));
}

/* ------------------------------------------------------------------ the helper */

/* Takes the first job, and puts the others of its user behind those of all other users. */
static struct job *verifier_next(struct verifier *v)
{
        struct job *job = list_first(&v->waiting, struct job, link);
        struct list others;

        list_del(&job->link);
        list_init(&others);
        list_for_each_safe (i, next, &v->waiting) {
                if (container_of(i, struct job, link)->question.uid != job->question.uid)
                        continue;
                list_del(i);
                list_add_tail(&others, i);
        }
        while (!list_empty(&others)) {
                struct list *i = others.next;

                list_del(i);
                list_add_tail(&v->waiting, i);
        }
        return job;
}

static void job_run(struct job *job, const struct secrets *secrets)
{
        const struct message_verify *q = &job->question;
        size_t n = q->password_size;
        int r = SECRETS_E_WRONG;

        job->known = secrets && secrets_has(secrets, bytes_of(q->name, q->name_size));
        if (secrets)
                /* a hopeless one is verified all the same: it takes its time */
                r = secrets_verify(secrets, bytes_of(q->name, q->name_size), bytes_of(q->password, n),
                                   &job->mark);
        if (r == 0 && q->hopeless)
                r = SECRETS_E_WRONG;
        job->verdict = r == 0 ? VERIFY_RIGHT : r == SECRETS_E_FAILED ? VERIFY_FAILED : VERIFY_WRONG;
        explicit_bzero(job->question.password, sizeof(job->question.password));
}

static void *verifier_main(void *arg)
{
        struct verifier *v = arg;
        struct secrets *secrets;
        struct job *job;

        pthread_setname_np(pthread_self(), "brokerd-auth");
        setpriority(PRIO_PROCESS, (id_t)gettid(), VERIFIER_NICE);
        pthread_mutex_lock(&v->mutex);
        while (!v->quit) {
                if (list_empty(&v->waiting)) {
                        pthread_cond_wait(&v->changed, &v->mutex);
                        continue;
                }
                job = verifier_next(v);
                secrets = v->secrets;
                v->under_way = true;
                v->under_way_uid = job->question.uid;
                pthread_mutex_unlock(&v->mutex);
                job_run(job, secrets);
                pthread_mutex_lock(&v->mutex);
                v->under_way = false;
                v->retired = secrets_free(v->retired);
                list_add_tail(&v->done, &job->link);
                waker_eventfd_waker(&v->answered).fire(&v->answered);
        }
        pthread_mutex_unlock(&v->mutex);
        return NULL;
}

/* ------------------------------------------------------------------ control's side */

int verifier_new(struct verifier **verifierp)
{
        struct verifier *v = mem_zalloc(sizeof(*v));
        int r = waker_eventfd_init(&v->answered);

        if (r < 0) {
                free(v);
                return r;
        }
        list_init(&v->waiting);
        list_init(&v->done);
        pthread_mutex_init(&v->mutex, NULL);
        pthread_cond_init(&v->changed, NULL);
        *verifierp = v;
        return 0;
}

int verifier_start(struct verifier *v)
{
        sigset_t all, saved;
        int r;

        if (v->joinable)
                return 0;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &saved);
        r = pthread_create(&v->thread, NULL, verifier_main, v);
        pthread_sigmask(SIG_SETMASK, &saved, NULL);
        v->joinable = r == 0;
        return -r;
}

int verifier_fd(const struct verifier *v)
{
        return v->answered.fd;
}

void verifier_set_secrets(struct verifier *v, struct secrets *secrets)
{
        struct secrets *old;

        pthread_mutex_lock(&v->mutex);
        old = v->secrets;
        v->secrets = secrets;
        if (v->under_way && !v->retired) {
                v->retired = old; /* the job under way began with these; it frees them */
                old = NULL;
        }
        pthread_mutex_unlock(&v->mutex);
        secrets_free(old);
}

static unsigned jobs_of(const struct list *jobs, uid_t uid, unsigned *of_uid)
{
        unsigned n = 0;

        list_for_each (i, jobs) {
                n++;
                *of_uid += container_of(i, struct job, link)->question.uid == uid;
        }
        return n;
}

int verifier_ask(struct verifier *v, unsigned shard, const struct message_verify *question)
{
        struct job *job;
        unsigned n, of_uid = 0;

        pthread_mutex_lock(&v->mutex);
        n = jobs_of(&v->waiting, question->uid, &of_uid) + jobs_of(&v->done, question->uid, &of_uid);
        n += v->under_way;
        of_uid += v->under_way && v->under_way_uid == question->uid;
        if (n >= VERIFIER_OPEN_MAX || of_uid >= VERIFIER_OPEN_USER_MAX || v->quit) {
                pthread_mutex_unlock(&v->mutex);
                return VERIFIER_E_BUSY;
        }
        job = mem_zalloc(sizeof(*job));
        job->shard = shard;
        job->question = *question;
        list_add_tail(&v->waiting, &job->link);
        pthread_cond_signal(&v->changed);
        pthread_mutex_unlock(&v->mutex);
        return 0;
}

static struct verifier_answer job_answer(const struct job *job)
{
        const struct message_verify *q = &job->question;
        struct verifier_answer answer = { .shard = job->shard,
                                          .client = q->client,
                                          .uid = q->uid,
                                          .pid = q->pid,
                                          .verdict = job->verdict,
                                          .known = job->known,
                                          .mark = job->verdict == VERIFY_RIGHT ? job->mark : 0 };

        answer.name_size = q->name_size;
        memcpy(answer.name, q->name, q->name_size);
        return answer;
}

void verifier_take(struct verifier *v, void (*take)(void *arg, const struct verifier_answer *answer), void *arg)
{
        struct list done;

        pthread_mutex_lock(&v->mutex);
        waker_eventfd_clear(
                v->answered.fd); /* under the mutex, as it is fired: it says just what is in the list */
        list_swap(&done, &v->done);
        pthread_mutex_unlock(&v->mutex);
        while (!list_empty(&done)) {
                struct job *job = list_first(&done, struct job, link);
                struct verifier_answer answer = job_answer(job);

                job_free(job);
                take(arg, &answer);
        }
}

void verifier_stop(struct verifier *v)
{
        pthread_mutex_lock(&v->mutex);
        v->quit = true;
        jobs_free(&v->waiting);
        pthread_cond_signal(&v->changed);
        pthread_mutex_unlock(&v->mutex);
}

int verifier_join(struct verifier *v, uint64_t deadline)
{
        struct timespec at;
        uint64_t now = clock_now(), ns;

        if (!v->joinable)
                return 0;
        clock_gettime(CLOCK_REALTIME, &at);
        ns = (uint64_t)at.tv_nsec + (deadline > now ? deadline - now : 0);
        at.tv_sec += (time_t)(ns / NSEC_PER_SEC);
        at.tv_nsec = (long)(ns % NSEC_PER_SEC);
        if (pthread_timedjoin_np(v->thread, NULL, &at))
                return VERIFIER_E_LATE;
        v->joinable = false;
        return 0;
}

struct verifier *verifier_free(struct verifier *v)
{
        if (!v)
                return NULL;
        verifier_stop(v);
        if (v->joinable)
                pthread_join(v->thread, NULL);
        jobs_free(&v->done);
        secrets_free(v->secrets);
        secrets_free(v->retired);
        waker_eventfd_deinit(&v->answered);
        pthread_cond_destroy(&v->changed);
        pthread_mutex_destroy(&v->mutex);
        free(v);
        return NULL;
}
