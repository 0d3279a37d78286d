/* SPDX-License-Identifier: MIT */
/* The helper thread: answers, turns, bounds, other secrets meanwhile, and its end. */

#include <check.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/verifier.h"
#include "support/suite.h"
#include "util/clock.h"

/* Of the password "secret". */
#define FAST "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"

static const struct hash_key key = { 1, 2 };
static struct verifier *v;
static struct verifier_answer answers[VERIFIER_OPEN_MAX * 2];
static unsigned n_answers;

static struct secrets *secrets(const char *text)
{
        struct secrets *s = NULL;

        ck_assert_int_eq(secrets_parse(&s, "FILE", text, strlen(text), &key, stderr), 0);
        return s;
}

static void start(const char *text)
{
        n_answers = 0;
        ck_assert_int_eq(verifier_new(&v), 0);
        ck_assert_int_eq(verifier_start(v), 0);
        verifier_set_secrets(v, secrets(text));
}

static int ask(uint64_t client, uid_t uid, const char *name, const char *password)
{
        struct message_verify m = { .client = client, .uid = uid, .pid = 4 };

        m.name_size = (uint16_t)strlen(name);
        memcpy(m.name, name, m.name_size);
        m.password_size = (uint16_t)strlen(password);
        memcpy(m.password, password, m.password_size);
        return verifier_ask(v, 3, &m);
}

static void note(void *arg, const struct verifier_answer *answer)
{
        (void)arg;
        answers[n_answers++] = *answer;
}

static void take(unsigned n)
{
        struct pollfd fd = { .fd = verifier_fd(v), .events = POLLIN };

        while (n_answers < n) {
                ck_assert_int_eq(poll(&fd, 1, 20000), 1);
                verifier_take(v, note, NULL);
        }
        ck_assert_uint_eq(n_answers, n);
        ck_assert_int_eq(poll(&fd, 1, 0), 0);
}

START_TEST(questions_are_answered)
{
        size_t n;
        struct secrets *same = secrets("a:" FAST "\n");

        start("a:" FAST "\n");
        ck_assert_int_eq(ask(1, 7, "a", "secret"), 0);
        take(1);
        ck_assert_uint_eq(answers[0].client, 1);
        ck_assert_uint_eq(answers[0].shard, 3);
        ck_assert_uint_eq(answers[0].uid, 7);
        ck_assert_int_eq(answers[0].pid, 4);
        ck_assert_int_eq(answers[0].verdict, VERIFY_RIGHT);
        ck_assert_uint_eq(answers[0].mark, secrets_list(same, &n)->mark);
        ck_assert_int_eq(ask(2, 7, "a", "wrong"), 0);
        ck_assert_int_eq(ask(3, 7, "b", "secret"), 0);
        take(3);
        ck_assert_int_eq(answers[1].verdict, VERIFY_WRONG);
        ck_assert_int_eq(answers[2].verdict, VERIFY_WRONG);
        ck_assert_uint_eq(answers[1].mark, 0);
        ck_assert_uint_eq(answers[2].name_size, 1);
        ck_assert_uint_eq(answers[2].name[0], 'b');
        secrets_free(same);
        v = verifier_free(v);
}
END_TEST

START_TEST(what_did_not_fit_is_wrong)
{
        struct message_verify m = { .client = 1,
                                    .name_size = 1,
                                    .name = "a",
                                    .password_size = 6,
                                    .password = "secret",
                                    .hopeless = 1 };

        start("a:" FAST "\n");
        ck_assert_int_eq(verifier_ask(v, 0, &m), 0);
        take(1);
        ck_assert_int_eq(answers[0].verdict, VERIFY_WRONG);
        ck_assert_uint_eq(answers[0].mark, 0);
        v = verifier_free(v);
}
END_TEST

/* Before the helper gets to it, the whole queue is there: it starts late. */
static void start_late(void)
{
        n_answers = 0;
        ck_assert_int_eq(verifier_new(&v), 0);
        verifier_set_secrets(v, secrets("a:" FAST "\n"));
}

START_TEST(users_take_turns)
{
        static const uint64_t order[] = { 1, 11, 21, 2, 12, 3, 4 };

        start_late();
        for (uint64_t i = 1; i <= 4; i++)
                ask(i, 100, "a", "x");
        ask(11, 101, "a", "x");
        ask(12, 101, "a", "x");
        ask(21, 102, "a", "x");
        ck_assert_int_eq(verifier_start(v), 0);
        take(7);
        for (unsigned i = 0; i < 7; i++)
                ck_assert_uint_eq(answers[i].client, order[i]);
        v = verifier_free(v);
}
END_TEST

START_TEST(questions_are_bounded_for_a_user_and_for_all)
{
        uint64_t client = 1;

        start_late();
        for (uid_t uid = 0; uid < VERIFIER_OPEN_MAX / VERIFIER_OPEN_USER_MAX; uid++) {
                for (unsigned i = 0; i < VERIFIER_OPEN_USER_MAX; i++)
                        ck_assert_int_eq(ask(client++, uid, "a", "secret"), 0);
                ck_assert_int_eq(ask(client++, uid, "a", "secret"), VERIFIER_E_BUSY);
        }
        ck_assert_int_eq(ask(client++, 77, "a", "secret"), VERIFIER_E_BUSY);
        ck_assert_int_eq(verifier_start(v), 0);
        take(VERIFIER_OPEN_MAX);
        ck_assert_int_eq(ask(client++, 77, "a", "secret"), 0);
        take(VERIFIER_OPEN_MAX + 1);
        ck_assert_int_eq(answers[n_answers - 1].verdict, VERIFY_RIGHT);
        v = verifier_free(v);
}
END_TEST

START_TEST(answers_that_are_not_taken_count)
{
        struct pollfd fd;

        start("a:" FAST "\n");
        fd = (struct pollfd){ .fd = verifier_fd(v), .events = POLLIN };
        for (unsigned i = 0; i < VERIFIER_OPEN_USER_MAX; i++)
                ck_assert_int_eq(ask(i, 7, "a", "secret"), 0);
        ck_assert_int_eq(poll(&fd, 1, 20000), 1);
        ck_assert_int_eq(ask(99, 7, "a", "secret"), VERIFIER_E_BUSY);
        take(VERIFIER_OPEN_USER_MAX);
        ck_assert_int_eq(ask(99, 7, "a", "secret"), 0);
        v = verifier_free(v);
}
END_TEST

/* Other secrets come while it hashes, again and again. */
START_TEST(secrets_change_under_it)
{
        static const char *const texts[] = { "a:" FAST "\n", "b:" FAST "\n" };
        unsigned asked = 0, right = 0;

        start(texts[0]);
        while (asked < 40) {
                for (int i = 0; i < 4; i++)
                        asked += ask(asked, 7, "a", "secret") == 0;
                verifier_set_secrets(v, secrets(texts[1]));
                verifier_set_secrets(v, secrets(texts[0]));
                take(asked);
        }
        for (unsigned i = 0; i < n_answers; i++)
                right += answers[i].verdict == VERIFY_RIGHT;
        ck_assert_uint_gt(right, 0);
        verifier_set_secrets(v, NULL);
        ask(1, 7, "a", "secret");
        take(asked + 1);
        ck_assert_int_eq(answers[asked].verdict, VERIFY_WRONG);
        v = verifier_free(v);
}
END_TEST

START_TEST(at_a_stop_questions_are_forgotten)
{
        uint64_t now;

        start("a:" FAST "\n");
        for (unsigned i = 0; i < VERIFIER_OPEN_USER_MAX; i++)
                ask(i, 7, "a", "secret");
        verifier_stop(v);
        ck_assert_int_eq(ask(1, 8, "a", "secret"), VERIFIER_E_BUSY);
        now = clock_now();
        ck_assert_int_eq(verifier_join(v, now + 20 * NSEC_PER_SEC), 0);
        ck_assert_int_eq(verifier_join(v, now), 0);
        v = verifier_free(v);
}
END_TEST

START_TEST(it_ends_however_far_it_came)
{
        ck_assert_int_eq(verifier_new(&v), 0);
        v = verifier_free(v);
        start_late();
        ask(1, 7, "a", "secret");
        v = verifier_free(v);
        start("a:" FAST "\n");
        ck_assert_int_eq(verifier_start(v), 0); /* it is started */
        v = verifier_free(v);
        v = verifier_free(v);
}
END_TEST

static void add(TCase *cases)
{
        tcase_add_test(cases, questions_are_answered);
        tcase_add_test(cases, what_did_not_fit_is_wrong);
        tcase_add_test(cases, users_take_turns);
        tcase_add_test(cases, questions_are_bounded_for_a_user_and_for_all);
        tcase_add_test(cases, answers_that_are_not_taken_count);
        tcase_add_test(cases, secrets_change_under_it);
        tcase_add_test(cases, at_a_stop_questions_are_forgotten);
        tcase_add_test(cases, it_ends_however_far_it_came);
}

int main(void)
{
        return suite_run("verifier", add);
}
