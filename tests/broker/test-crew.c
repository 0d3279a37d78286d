/* SPDX-License-Identifier: MIT */
/* The threads with a shard of this test in place of the real one. */

#include "broker/crew.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/suite.h"
#include "util/clock.h"

#define SHARDS 3

struct shard {
        const struct shard_options *options;
        unsigned turns;
};

/* What the shards of a case do. Written before the threads start; the counts are under the mutex. */
static struct {
        int new_result[SHARDS], turn_result;
        unsigned n_turns; /* until a shard stops; 0: never */
        pthread_mutex_t mutex;
        unsigned n_new, n_freed, n_turned, n_signals_open, n_names_right;
} act = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static void act_reset(void)
{
        memset(act.new_result, 0, sizeof(act.new_result));
        act.turn_result = SHARD_E_STOPPED;
        act.n_turns = 3;
        act.n_new = act.n_freed = act.n_turned = act.n_signals_open = act.n_names_right = 0;
}

int shard_new(struct shard **shardp, const struct shard_options *options)
{
        char name[16], expected[] = { 'b', 'r', 'o', 'k', 'e', 'r', 'd', '-', (char)('0' + options->id), '\0' };
        sigset_t blocked;

        ck_assert_int_eq(pthread_sigmask(SIG_SETMASK, NULL, &blocked), 0);
        ck_assert_int_eq(pthread_getname_np(pthread_self(), name, sizeof(name)), 0);
        ck_assert_ptr_nonnull(options->port);
        ck_assert_uint_eq(port_id(options->port), options->id);
        ck_assert_int_ge(options->reactor.wake_fd, 0);
        ck_assert_uint_eq(options->n_shards, SHARDS);
        pthread_mutex_lock(&act.mutex);
        act.n_new++;
        act.n_signals_open += !sigismember(&blocked, SIGTERM) || !sigismember(&blocked, SIGUSR1);
        act.n_names_right += strcmp(name, expected) == 0;
        pthread_mutex_unlock(&act.mutex);
        if (act.new_result[options->id])
                return act.new_result[options->id];
        *shardp = calloc(1, sizeof(**shardp));
        (*shardp)->options = options;
        return 0;
}

struct shard *shard_free(struct shard *shard)
{
        pthread_mutex_lock(&act.mutex);
        act.n_freed += shard != NULL;
        pthread_mutex_unlock(&act.mutex);
        free(shard);
        return NULL;
}

int shard_turn(struct shard *shard)
{
        pthread_mutex_lock(&act.mutex);
        act.n_turned++;
        pthread_mutex_unlock(&act.mutex);
        if (++shard->turns == act.n_turns)
                return act.turn_result;
        usleep(1000);
        return 0;
}

static const struct reactor_ops reactor_none = { .name = "none" };
static const int unpinned[SHARDS] = { -1, -1, -1 };

static struct mesh *mesh_for(struct crew_options *options, const int *cpus)
{
        struct mesh_options mesh_options = { .n_ports = SHARDS + 1, .capacity = 2, .backlog_bytes = 1 << 20 };
        struct mesh *mesh;

        act_reset();
        ck_assert_int_eq(mesh_new(&mesh, &mesh_options), 0);
        *options = (struct crew_options){
                .n_shards = SHARDS, .mesh = mesh, .cpus = cpus, .shard = { .reactor_ops = &reactor_none }
        };
        return mesh;
}

START_TEST(no_shard_takes_a_turn_before_the_word)
{
        struct crew_options options;
        struct mesh *mesh = mesh_for(&options, unpinned);
        struct crew *crew;

        ck_assert_int_eq(crew_new(&crew, &options), 0);
        usleep(10000);
        pthread_mutex_lock(&act.mutex);
        ck_assert_uint_eq(act.n_new, SHARDS);
        ck_assert_uint_eq(act.n_names_right, SHARDS);
        ck_assert_uint_eq(act.n_signals_open, 0);
        ck_assert_uint_eq(act.n_turned, 0);
        pthread_mutex_unlock(&act.mutex);
        crew_go(crew);
        ck_assert_int_eq(crew_join(crew, clock_now() + 20 * NSEC_PER_SEC), 0);
        ck_assert_uint_eq(act.n_turned, SHARDS * 3);
        ck_assert_uint_eq(act.n_freed, SHARDS);
        crew_free(crew);
        mesh_free(mesh, NULL, NULL);
}
END_TEST

START_TEST(a_crew_that_never_got_the_word_leaves_without_a_turn)
{
        struct crew_options options;
        struct mesh *mesh = mesh_for(&options, unpinned);
        struct crew *crew;

        ck_assert_int_eq(crew_new(&crew, &options), 0);
        crew_free(crew);
        ck_assert_uint_eq(act.n_turned, 0);
        ck_assert_uint_eq(act.n_freed, SHARDS);
        mesh_free(mesh, NULL, NULL);
}
END_TEST

START_TEST(a_shard_that_cannot_be_made_fails_the_start_and_frees_the_others)
{
        static const int results[] = { SHARD_E_UNSUPPORTED, -EMFILE };
        struct crew_options options;
        struct crew *crew;

        for (unsigned i = 0; i < 2; i++) {
                struct mesh *mesh = mesh_for(&options, unpinned);

                act.new_result[i] = results[i];
                ck_assert_int_eq(crew_new(&crew, &options), CREW_E_FAILED);
                ck_assert_uint_eq(act.n_turned, 0);
                ck_assert_uint_eq(act.n_new, SHARDS);
                ck_assert_uint_eq(act.n_freed, SHARDS - 1);
                mesh_free(mesh, NULL, NULL);
        }
}
END_TEST

START_TEST(a_cpu_that_is_not_to_be_had_fails_the_start_only_if_it_was_asked_for)
{
        static const int cpus[SHARDS] = { -1, 65000, -1 };
        struct crew_options options;
        struct mesh *mesh = mesh_for(&options, cpus);
        struct crew *crew;

        options.must_pin = true;
        ck_assert_int_eq(crew_new(&crew, &options), CREW_E_FAILED);
        ck_assert_uint_eq(act.n_new, SHARDS - 1);
        options.must_pin = false;
        act_reset();
        ck_assert_int_eq(crew_new(&crew, &options), 0);
        crew_free(crew);
        mesh_free(mesh, NULL, NULL);
}
END_TEST

START_TEST(a_thread_that_does_not_end_is_reported_at_the_deadline)
{
        struct crew_options options;
        struct mesh *mesh = mesh_for(&options, unpinned);
        struct crew *crew;

        act.n_turns = 200;
        ck_assert_int_eq(crew_new(&crew, &options), 0);
        crew_go(crew);
        ck_assert_int_eq(crew_join(crew, clock_now() + 10 * NSEC_PER_MSEC), CREW_E_LATE);
        ck_assert_int_eq(crew_join(crew, clock_now() + 20 * NSEC_PER_SEC), 0);
        crew_free(crew);
        mesh_free(mesh, NULL, NULL);
}
END_TEST

START_TEST(a_shard_that_fails_while_it_serves_ends_the_process)
{
        struct crew_options options;
        struct mesh *mesh = mesh_for(&options, unpinned);
        struct crew *crew;
        int status;
        pid_t pid = fork();

        if (pid == 0) {
                act.turn_result = -EIO;
                alarm(20);
                if (crew_new(&crew, &options) == 0) {
                        crew_go(crew);
                        crew_join(crew, CLOCK_NEVER);
                }
                _exit(0);
        }
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert(WIFEXITED(status));
        ck_assert_int_eq(WEXITSTATUS(status), CREW_EXIT_FAILED);
        mesh_free(mesh, NULL, NULL);
}
END_TEST

static void add(TCase *cases)
{
        tcase_add_test(cases, no_shard_takes_a_turn_before_the_word);
        tcase_add_test(cases, a_crew_that_never_got_the_word_leaves_without_a_turn);
        tcase_add_test(cases, a_shard_that_cannot_be_made_fails_the_start_and_frees_the_others);
        tcase_add_test(cases, a_cpu_that_is_not_to_be_had_fails_the_start_only_if_it_was_asked_for);
        tcase_add_test(cases, a_thread_that_does_not_end_is_reported_at_the_deadline);
        tcase_add_test(cases, a_shard_that_fails_while_it_serves_ends_the_process);
}

int main(void)
{
        return suite_run("crew", add);
}
