/* SPDX-License-Identifier: MIT */

#include "util/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "support/suite.h"

static char dir[32], path[64], moved[64];

static void make_dir(void)
{
        strcpy(dir, "/tmp/test-log.XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(dir));
        snprintf(path, sizeof(path), "%s/log", dir);
        snprintf(moved, sizeof(moved), "%s/log.1", dir);
}

static void remove_dir(void)
{
        log_close();
        unlink(path);
        unlink(moved);
        rmdir(dir);
}

static const char *content(const char *name)
{
        static char text[16384];
        FILE *file = fopen(name, "r");
        size_t n = file ? fread(text, 1, sizeof(text) - 1, file) : 0;

        if (file)
                fclose(file);
        text[n] = 0;
        return text;
}

static void start(enum log_format format)
{
        make_dir();
        ck_assert_int_eq(
                log_open(&(struct log_options){ .target = LOG_TARGET_FILE, .file = path, .format = format }),
                0);
}

/* The one line of the file, from the given text on. */
static void expect_tail(const char *from, const char *expected)
{
        const char *text = content(path), *tail = strstr(text, from);

        ck_assert_ptr_nonnull(tail);
        ck_assert_str_eq(tail, expected);
        ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1);
}

#define ODD "a \"b\" \\ \n\r\t\x1b\x7f \xc2\x85 \xc3\xa9 \xff"

START_TEST(a_line_for_people)
{
        unsigned ms;
        int pid;

        start(LOG_FORMAT_HUMAN);
        log_warning("%s", ODD);
        expect_tail("warning: ", "warning: a \"b\" \\ \\n\\r\\t\\x1b\\x7f \\x85 \xc3\xa9 \\xff\n");
        ck_assert_int_eq(sscanf(content(path), "%*4u-%*2u-%*2uT%*2u:%*2u:%*2u.%3uZ brokerd[%d] ", &ms, &pid),
                         2);
        ck_assert_int_eq(pid, getpid());
        remove_dir();
}
END_TEST

START_TEST(a_line_of_keys_and_values)
{
        char expected[200];

        start(LOG_FORMAT_LOGFMT);
        log_info("%s", ODD);
        snprintf(expected, sizeof(expected),
                 " level=info pid=%d msg=\"a \\\"b\\\" \\\\ \\n\\r\\t\\u001b\\u007f \\u0085 \xc3\xa9 "
                 "\\ufffd\"\n",
                 (int)getpid());
        expect_tail(" level=", expected);
        ck_assert_int_eq(strncmp(content(path), "time=2", 6), 0);
        remove_dir();
}
END_TEST

START_TEST(a_line_of_json)
{
        char expected[200];

        start(LOG_FORMAT_JSON);
        log_notice("%s", ODD);
        snprintf(expected, sizeof(expected),
                 "\",\"level\":\"notice\",\"pid\":%d,\"msg\":\"a \\\"b\\\" \\\\ \\n\\r\\t\\u001b\\u007f "
                 "\\u0085 \xc3\xa9 "
                 "\\ufffd\"}\n",
                 (int)getpid());
        expect_tail("\",\"level", expected);
        ck_assert_int_eq(strncmp(content(path), "{\"time\":\"2", 10), 0);
        remove_dir();
}
END_TEST

START_TEST(a_long_line_is_cut_and_closed)
{
        static char text[6000];

        memset(text, '"', sizeof(text) - 1); /* each becomes two */
        for (int format = LOG_FORMAT_HUMAN; format <= LOG_FORMAT_JSON; format++) {
                start((enum log_format)format);
                log_error("%s", text);
                ck_assert_uint_le(strlen(content(path)), 2048);
                ck_assert_uint_ge(strlen(content(path)), 1500);
                ck_assert_str_eq(content(path) + strlen(content(path)) - 2,
                                 format == LOG_FORMAT_JSON ? "}\n" : "\"\n");
                remove_dir();
        }
}
END_TEST

START_TEST(what_is_above_the_level_is_not_written)
{
        start(LOG_FORMAT_HUMAN);
        log_debug("fine");
        ck_assert_str_eq(content(path), "");
        log_set_level(LOG_LEVEL_ERROR);
        ck_assert(!log_would(LOG_LEVEL_WARNING));
        log_warning("coarse");
        ck_assert_str_eq(content(path), "");
        errno = EDOM;
        log_error("wrong");
        ck_assert_int_eq(errno, EDOM);
        expect_tail("error: ", "error: wrong\n");
        log_set_level(LOG_LEVEL_INFO);
        remove_dir();
}
END_TEST

START_TEST(a_file_that_was_moved_is_made_anew)
{
        struct stat st;

        start(LOG_FORMAT_HUMAN);
        log_info("one");
        ck_assert_int_eq(rename(path, moved), 0);
        log_info("two");
        ck_assert_int_eq(log_reopen(), 0);
        log_info("three");
        ck_assert_ptr_nonnull(strstr(content(moved), "two\n"));
        ck_assert_ptr_null(strstr(content(moved), "three"));
        expect_tail("info: ", "info: three\n");
        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_uint_eq(st.st_mode & 07137, 0); /* at most 0640 */
        remove_dir();
}
END_TEST

START_TEST(a_file_that_cannot_be_opened_leaves_the_old_one)
{
        start(LOG_FORMAT_HUMAN);
        ck_assert_int_eq(log_open(&(struct log_options){ .target = LOG_TARGET_FILE, .file = "/nonexistent/x" }),
                         ENOENT);
        log_info("still here");
        expect_tail("info: ", "info: still here\n");
        remove_dir();
}
END_TEST

START_TEST(the_journal_gets_fields)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        char text[4096];
        ssize_t n;
        int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

        make_dir();
        strcpy(address.sun_path, path);
        ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        ck_assert_int_eq(log_open(&(struct log_options){ .target = LOG_TARGET_JOURNAL, .file = path }), 0);
        log_error("one\nPRIORITY=7");
        n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
        ck_assert_int_gt(n, 0);
        text[n] = 0;
        ck_assert_str_eq(text, "PRIORITY=3\nSYSLOG_IDENTIFIER=brokerd\nMESSAGE=one\\nPRIORITY=7\n");
        close(fd);
        remove_dir();
}
END_TEST

#define LINES 2000

static void *write_lines(void *arg)
{
        for (int i = 0; i < LINES; i++)
                log_info("%s %d", (const char *)arg, i);
        return NULL;
}

/* Reopens while two threads write. No line is lost, cut or mixed. */
START_TEST(threads_write_whole_lines_while_the_file_changes)
{
        char names[2][8] = { "first", "second" };
        unsigned seen[2] = { 0 };
        pthread_t threads[2];
        char line[256], name[16];
        int i;

        start(LOG_FORMAT_HUMAN);
        for (int t = 0; t < 2; t++)
                pthread_create(&threads[t], NULL, write_lines, names[t]);
        for (int r = 0; r < 200; r++)
                ck_assert_int_eq(log_reopen(), 0);
        for (int t = 0; t < 2; t++)
                pthread_join(threads[t], NULL);
        FILE *file = fopen(path, "r");
        ck_assert_ptr_nonnull(file);
        while (fgets(line, sizeof(line), file)) {
                ck_assert_int_eq(sscanf(line, "%*s %*s info: %15s %d\n", name, &i), 2);
                ck_assert_uint_eq(seen[!strcmp(name, "second")]++, (unsigned)i);
        }
        fclose(file);
        ck_assert_uint_eq(seen[0], LINES);
        ck_assert_uint_eq(seen[1], LINES);
        remove_dir();
}
END_TEST

static void add(TCase *cases)
{
        tcase_add_test(cases, a_line_for_people);
        tcase_add_test(cases, a_line_of_keys_and_values);
        tcase_add_test(cases, a_line_of_json);
        tcase_add_test(cases, a_long_line_is_cut_and_closed);
        tcase_add_test(cases, what_is_above_the_level_is_not_written);
        tcase_add_test(cases, a_file_that_was_moved_is_made_anew);
        tcase_add_test(cases, a_file_that_cannot_be_opened_leaves_the_old_one);
        tcase_add_test(cases, the_journal_gets_fields);
        tcase_add_test(cases, threads_write_whole_lines_while_the_file_changes);
}

int main(void)
{
        return suite_run("log", add);
}
