/* SPDX-License-Identifier: MIT */
/* The file of secrets: what is read, what is refused and how, and who is let in. */

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "broker/secrets.h"
#include "support/suite.h"

/* All of the password "secret". */
#define YESCRYPT       "$y$j75$abcdefgh$uMUXG79B2cFpoAYyDccUnsaH/aGTyBYMlnQidzyag01"
#define YESCRYPT_USUAL "$y$j9T$abcdefgh$IUWJt2doU4Kf6E/JP1UkAT3S5O3Q7SSA8SJirXIlEu9"
#define GOST           "$gy$j9T$abcdefgh$Fi3mUfLMwr2ZyDlmydp6rw5RwzYJnsb1LquZlQ2CYq0"
#define BCRYPT         "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"
#define SHA512                                                                                                 \
        "$6$rounds=1000$a$"                                                                                    \
        "EO06KpA4dY4rcQyxbgyqAqCfX6Y3jTFNZTMtMMJ8fEeaLpk5OTEYAPw6mn4jNvHAKYGbluaXVE9prhfmyceQW0"
#define SHA512_USUAL                                                                                           \
        "$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1"
#define SHA256 "$5$rounds=100000$saltsalt$QSCvvMHVmupp5d074I35AmJnfAvqw9mY8Ak4IItaCdC"

static const struct hash_key key = { 1, 2 };
static char *errors;
static size_t n_errors;

static int parse(struct secrets **secretsp, const char *text)
{
        FILE *out;
        int r;

        free(errors);
        errors = NULL;
        out = open_memstream(&errors, &n_errors);
        r = secrets_parse(secretsp, "FILE", text, strlen(text), &key, out);
        fclose(out);
        return r;
}

static void expect_error(const char *text, const char *wanted)
{
        struct secrets *s = NULL;

        ck_assert_int_eq(parse(&s, text), SECRETS_E_INVALID);
        ck_assert_ptr_null(s);
        ck_assert_msg(strstr(errors, wanted) != NULL, "\"%s\" lacks \"%s\"", errors, wanted);
        ck_assert_uint_eq(strcspn(errors, "\n"), n_errors - 1);
}

static struct secrets *good(const char *text)
{
        struct secrets *s = NULL;

        ck_assert_msg(parse(&s, text) == 0, "%s", errors);
        ck_assert_str_eq(errors, "");
        return s;
}

static int verify(const struct secrets *s, const char *name, const char *password)
{
        uint64_t mark;

        return secrets_verify(s, bytes_str(name), bytes_str(password), &mark);
}

START_TEST(each_kind_verifies)
{
        struct secrets *s = good("# who may\n\nyes:" YESCRYPT "\nusual:" YESCRYPT_USUAL "\ngost:" GOST
                                 "\nb:" BCRYPT "\nsha:" SHA512 "\nsha-usual:" SHA512_USUAL);
        size_t n;
        const struct secret *list = secrets_list(s, &n);

        ck_assert_uint_eq(n, 6);
        for (size_t i = 0; i < n; i++) {
                uint64_t mark = 0;

                ck_assert_int_eq(secrets_verify(s, bytes_str(list[i].name), BYTES_LITERAL("secret"), &mark), 0);
                ck_assert_uint_eq(mark, list[i].mark);
                ck_assert_int_eq(verify(s, list[i].name, "Secret"), SECRETS_E_WRONG);
                ck_assert_int_eq(verify(s, list[i].name, ""), SECRETS_E_WRONG);
                ck_assert_int_eq(verify(s, list[i].name, "secret "), SECRETS_E_WRONG);
                ck_assert_msg(!i || strcmp(list[i - 1].name, list[i].name) < 0, "sorted by name");
        }
        ck_assert_int_eq(verify(s, "nobody", "secret"), SECRETS_E_WRONG);
        ck_assert_int_eq(verify(s, "", "secret"), SECRETS_E_WRONG);
        ck_assert_int_eq(verify(s, "ye", "secret"), SECRETS_E_WRONG);
        ck_assert_int_eq(verify(s, "yes ", "secret"), SECRETS_E_WRONG);
        secrets_free(s);
}
END_TEST

/* Of those that there are, some would do for any unknown name. */
START_TEST(an_unknown_name_is_never_right)
{
        struct secrets *s = good("a:" BCRYPT "\nb:" SHA512 "\n");
        char name[16];

        for (int i = 0; i < 50; i++) {
                snprintf(name, sizeof(name), "x%d", i);
                ck_assert_int_eq(verify(s, name, "secret"), SECRETS_E_WRONG);
        }
        secrets_free(s);
}
END_TEST

START_TEST(what_crypt_would_cut_is_wrong)
{
        struct secrets *s = good("a:" BCRYPT "\n");
        static char large[SECRETS_PASSWORD_MAX + 2];
        uint64_t mark;

        ck_assert_int_eq(secrets_verify(s, BYTES_LITERAL("a"), BYTES_LITERAL("secret\0x"), &mark),
                         SECRETS_E_WRONG);
        ck_assert_int_eq(secrets_verify(s, BYTES_LITERAL("a"), BYTES_LITERAL("secret\0"), &mark),
                         SECRETS_E_WRONG);
        ck_assert_int_eq(secrets_verify(s, BYTES_LITERAL("a\0"), BYTES_LITERAL("secret"), &mark),
                         SECRETS_E_WRONG);
        ck_assert_int_eq(secrets_verify(s, BYTES_LITERAL("a"), (struct bytes){ 0 }, &mark), SECRETS_E_WRONG);
        memset(large, 'x', sizeof(large) - 1);
        ck_assert_int_eq(verify(s, "a", large), SECRETS_E_WRONG);
        secrets_free(s);
}
END_TEST

static double verify_ms(const struct secrets *s, const char *name)
{
        double best = 1e9;

        for (int i = 0; i < 7; i++) {
                struct timespec a, b;
                double ms;

                clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
                verify(s, name, "wrong");
                clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
                ms = (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6;
                best = ms < best ? ms : best;
        }
        return best;
}

/* CPU time of this thread, the best of a few; an unknown name that were not hashed would take a hundredth. */
START_TEST(an_unknown_name_takes_as_long_as_a_known_one)
{
        struct secrets *s = good("a:" SHA512_USUAL "\nb:" SHA512_USUAL "\n");
        double known = verify_ms(s, "a");

        for (int i = 0; i < 4; i++) {
                double unknown = verify_ms(s, (const char *[]){ "x", "nobody", "ab", "" }[i]);

                ck_assert_msg(unknown > known / 3 && unknown < known * 3, "%f against %f ms", unknown, known);
        }
        secrets_free(s);
}
END_TEST

START_TEST(marks_follow_name_and_hash)
{
        struct secrets *one = good("a:" BCRYPT "\nb:" BCRYPT "\n");
        struct secrets *two = good("# changed\nb:" BCRYPT "\na:" SHA512 "\n");
        size_t n;
        const struct secret *before = secrets_list(one, &n), *after = secrets_list(two, &n);

        ck_assert_uint_ne(before[0].mark, before[1].mark);
        ck_assert_uint_ne(before[0].mark, after[0].mark);
        ck_assert_uint_eq(before[1].mark, after[1].mark);
        secrets_free(one);
        secrets_free(two);
}
END_TEST

START_TEST(errors_say_where_and_what_to_do)
{
        expect_error("", "FILE: error: there is no secret in it; add a line name:hash");
        expect_error("# nothing\n\n", "there is no secret in it");
        expect_error("a\n", "FILE:1: error: there is no colon; a line is name:hash");
        expect_error("#\na:" BCRYPT "\n:" BCRYPT "\n", "FILE:3: error: \"\" is no name");
        expect_error("a b:" BCRYPT "\n", "FILE:1: error: \"a b\" is no name");
        expect_error("a\"b:" BCRYPT "\n", "\"a\\\"b\" is no name");
        expect_error("\xc3\xa4:" BCRYPT "\n", "\"\\xc3\\xa4\" is no name");
        expect_error("a\033[1m:" BCRYPT "\n", "\"a\\x1b[1m\" is no name");
        expect_error("a:" BCRYPT "\r\n", "carriage return");
        expect_error("a:" BCRYPT "\nb:" BCRYPT "\na:" SHA512 "\n",
                     "FILE:3: error: \"a\" has a secret already, in line 1; remove one of the two");
        expect_error("a:\n", "the hash of \"a\" is no hash of a password; make one with mkpasswd");
        expect_error("a:secret\n", "is no hash of a password");
        expect_error("a:*\n", "is no hash of a password");
        expect_error("a:!" BCRYPT "\n", "is no hash of a password");
        expect_error("a:abJnggxhB/yWI\n", "is no hash of a password"); /* DES */
        expect_error("a:$1$abc$BXBqpb9BZcZhXLgbee.0s/\n", "is of a kind that is weak or not known");
        expect_error("a:$7$CU..../....x$y\n", "is of a kind that is weak or not known");
        expect_error("a:" BCRYPT ":1:2\n", "is no hash alone");
        expect_error("a:" BCRYPT " \n", "is not whole");
        expect_error("a:" SHA512 "x\n", "is not whole");
        expect_error(
                "a:$6$EO06KpA4dY4rcQyxbgyqAqCfX6Y3jTFNZTMtMMJ8fEeaLpk5OTEYAPw6mn4jNvHAKYGbluaXVE9prhfmyceQW0\n",
                "is not whole"); /* without salt */
        expect_error("a:$6$\n", "is not whole");
        expect_error("a:$2b$04$\n", "is not whole");
}
END_TEST

/* A digit less of each. */
START_TEST(a_hash_that_was_cut_is_not_whole)
{
        static const char *const all[] = { YESCRYPT, GOST, BCRYPT, SHA512, SHA512_USUAL, SHA256 };

        for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
                char line[300];

                snprintf(line, sizeof(line), "a:%.*s\n", (int)strlen(all[i]) - 1, all[i]);
                expect_error(line, "is not whole");
        }
}
END_TEST

/* At the bound, and just over it. */
START_TEST(costs_are_bounded)
{
        secrets_free(good("a:$6$rounds=100000$a$"
                          "EO06KpA4dY4rcQyxbgyqAqCfX6Y3jTFNZTMtMMJ8fEeaLpk5OTEYAPw6mn4jNvHAKYGbluaXVE"
                          "9prhfmyceQW0\n"));
        expect_error("a:$6$rounds=100001$a$"
                     "EO06KpA4dY4rcQyxbgyqAqCfX6Y3jTFNZTMtMMJ8fEeaLpk5OTEYAPw6mn4jNvHAKYGbluaXVE9prh"
                     "fmyceQW0\n",
                     "use at most 100000 rounds");
        expect_error("a:$5$rounds=99999999999999999999999$a$x\n", "use at most 100000 rounds");
        expect_error("a:$5$rounds=-5$a$x\n", "is no hash of SHA-crypt");
        expect_error("a:$5$rounds=5x$a$x\n", "is no hash of SHA-crypt");
        secrets_free(good("a:$2b$12$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n"));
        expect_error("a:$2b$13$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n",
                     "use a cost of at most 12");
        expect_error("a:$2b$99$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n",
                     "use a cost of at most 12");
        expect_error("a:$2b$1\n", "is no hash of bcrypt");
        secrets_free(good("a:$y$jBT$abcdefgh$uMUXG79B2cFpoAYyDccUnsaH/aGTyBYMlnQidzyag01\n"));
        expect_error("a:$y$jCT$abcdefgh$uMUXG79B2cFpoAYyDccUnsaH/aGTyBYMlnQidzyag01\n",
                     "use a cost of at most 7");
        expect_error("a:$y$jzz$abcdefgh$uMUXG79B2cFpoAYyDccUnsaH/aGTyBYMlnQidzyag01\n",
                     "use a cost of at most 7");
        expect_error("a:$gy$jCT$abcdefgh$uMUXG79B2cFpoAYyDccUnsaH/aGTyBYMlnQidzyag01\n",
                     "use a cost of at most 7");
        expect_error("a:$y$j9T1$abcdefgh$uMUXG79B2cFpoAYyDccUnsaH/aGTyBYMlnQidzyag01\n", "not the usual ones");
        expect_error("a:$y$\n", "not the usual ones");
}
END_TEST

START_TEST(names_and_lines_are_bounded)
{
        char line[600], name[SECRETS_NAME_MAX + 2];
        struct secrets *s;

        memset(name, 'n', sizeof(name));
        name[SECRETS_NAME_MAX] = 0;
        snprintf(line, sizeof(line), "%s:" BCRYPT "\n", name);
        s = good(line);
        ck_assert_int_eq(verify(s, name, "secret"), 0);
        secrets_free(s);
        name[SECRETS_NAME_MAX] = 'n';
        name[SECRETS_NAME_MAX + 1] = 0;
        snprintf(line, sizeof(line), "%s:" BCRYPT "\n", name);
        expect_error(line, "is no name");
        snprintf(line, sizeof(line), "a:$6$%0500d\n", 0);
        expect_error(line, "is no hash alone");
}
END_TEST

START_TEST(many_errors_are_reported_in_one_pass)
{
        char text[200] = "";
        struct secrets *s = NULL;
        unsigned lines = 0;

        for (int i = 0; i < 50; i++)
                strcat(text, "x\n");
        ck_assert_int_eq(parse(&s, text), SECRETS_E_INVALID);
        for (const char *c = errors; *c; c++)
                lines += *c == '\n';
        ck_assert_uint_eq(lines, SECRETS_ERRORS_MAX);
        ck_assert_ptr_nonnull(strstr(errors, "FILE:20: error"));
}
END_TEST

/* ------------------------------------------------------------------ the file */

static char dir[32], path[64];

static int load(struct secrets **secretsp, uid_t owner)
{
        FILE *out;
        int r;

        free(errors);
        errors = NULL;
        out = open_memstream(&errors, &n_errors);
        r = secrets_load(secretsp, path, owner, &key, out);
        fclose(out);
        return r;
}

static void write_file(mode_t mode)
{
        FILE *file = fopen(path, "w");

        ck_assert_ptr_nonnull(file);
        fputs("a:" BCRYPT "\n", file);
        fclose(file);
        ck_assert(chmod(path, mode) == 0);
}

static void refused(const char *why)
{
        struct secrets *s = NULL;

        ck_assert_int_eq(load(&s, getuid()), SECRETS_E_INVALID);
        ck_assert_msg(strstr(errors, path) == errors && strstr(errors, why), "\"%s\" lacks \"%s\"", errors,
                      why);
}

START_TEST(the_file_is_private)
{
        static const mode_t well[] = { 0600, 0400 };
        static const mode_t bad[] = { 0640, 0604, 0620, 0602, 0610, 0601, 0700, 0644, 0666, 0777 };
        struct secrets *s;

        strcpy(dir, "/tmp/test-secrets.XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(dir));
        snprintf(path, sizeof(path), "%s/secrets", dir);
        refused("No such file or directory");
        for (size_t i = 0; i < 2; i++) {
                write_file(well[i]);
                ck_assert_msg(load(&s, getuid()) == 0, "%s", errors);
                secrets_free(s);
                unlink(path);
        }
        for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
                write_file(bad[i]);
                refused("chmod it to 0600");
                unlink(path);
        }
        ck_assert(mkdir(path, 0600) == 0);
        refused("is no regular file");
        rmdir(path);
        ck_assert(mkfifo(path, 0600) == 0);
        refused("is no regular file"); /* and nobody waits for a writer */
        unlink(path);
        write_file(0600);
        if (getuid() == 0) {
                ck_assert(load(&s, 77) == 0);
                secrets_free(s);
                ck_assert(chown(path, 77, 0) == 0);
                ck_assert(load(&s, 77) == 0);
                secrets_free(s);
                refused("is owned by uid 77; it has to be owned by uid 0 or 0: chown it");
        }
        ck_assert(truncate(path, SECRETS_FILE_MAX + 1) == 0);
        ck_assert(chown(path, getuid(), (gid_t)-1) == 0);
        refused("is larger than");
        unlink(path);
        rmdir(dir);
}
END_TEST

static void add(TCase *cases)
{
        tcase_add_test(cases, each_kind_verifies);
        tcase_add_test(cases, an_unknown_name_is_never_right);
        tcase_add_test(cases, what_crypt_would_cut_is_wrong);
        tcase_add_test(cases, an_unknown_name_takes_as_long_as_a_known_one);
        tcase_add_test(cases, marks_follow_name_and_hash);
        tcase_add_test(cases, errors_say_where_and_what_to_do);
        tcase_add_test(cases, a_hash_that_was_cut_is_not_whole);
        tcase_add_test(cases, costs_are_bounded);
        tcase_add_test(cases, names_and_lines_are_bounded);
        tcase_add_test(cases, many_errors_are_reported_in_one_pass);
        tcase_add_test(cases, the_file_is_private);
}

int main(void)
{
        return suite_run("secrets", add);
}
