/* SPDX-License-Identifier: MIT */
/* The file of the configuration: its bytes, of which there is a bound, and what it says when they cannot be
 * had. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/config.h"
#include "broker/config_report.h"
#include "broker/config_tree.h"
#include "util/error.h"
#include "util/mem.h"

#define FILE_BYTES (CONFIG_TREE_BYTES_MAX + 1) /* one more than is good, so that too much is seen */

/* Return: the descriptor, -errno. */
static int file_open(const char *file, bool again)
{
        int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY | (again ? O_NONBLOCK : 0));

        return fd < 0 ? -errno : fd;
}

/* Return: 0, -errno. */
static int file_read_all(int fd, uint8_t *bytes, size_t *np)
{
        size_t n = 0;
        ssize_t got;

        while (n < FILE_BYTES) {
                got = read(fd, bytes + n, FILE_BYTES - n);
                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0)
                        return -errno;
                if (got == 0)
                        break;
                n += (size_t)got;
        }
        *np = n;
        return 0;
}

static bool file_is_plain(int fd)
{
        struct stat st;

        return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

/* Reads at most FILE_BYTES. Return: whether it could; if not, the report says why. */
static bool file_read(struct config_report *report, bool again, uint8_t *bytes, size_t *np)
{
        int fd = file_open(report->file, again), r;

        if (fd < 0) {
                config_report_add(report, CONFIG_REPORT_NOWHERE, 0, "cannot open the configuration file: %s",
                                  strerror(-fd));
                return false;
        }
        if (again && !file_is_plain(fd)) {
                config_report_add(report, CONFIG_REPORT_NOWHERE, 0,
                                  "cannot read the configuration file: it is not a plain file");
                close(fd);
                return false;
        }
        r = file_read_all(fd, bytes, np);
        close(fd);
        if (r < 0)
                config_report_add(report, CONFIG_REPORT_NOWHERE, 0, "cannot read the configuration file: %s",
                                  strerror(-r));
        return r == 0;
}

int config_load_as(struct config **configp, const char *file, unsigned flags, FILE *errors)
{
        bool again = flags & CONFIG_LOAD_AGAIN;
        uint8_t *bytes = mem_alloc(FILE_BYTES);
        struct config_report report;
        size_t n = 0;
        int r;

        config_report_init(&report, file, bytes_of(bytes, 0));
        if (file_read(&report, again, bytes, &n)) {
                report.text = bytes_of(bytes, n);
                if (again && n && n < FILE_BYTES && bytes[n - 1] != '\n')
                        config_report_add(&report, n, 0, "the last line does not end; the file may be cut off");
        }
        if (report.n) {
                config_report_print(&report, errors);
                r = CONFIG_E_INVALID;
        } else {
                r = config_parse_as(configp, file, bytes, n, flags, errors);
        }
        config_report_deinit(&report);
        free(bytes);
        return error_trace(r);
}

int config_load(struct config **configp, const char *file, FILE *errors)
{
        return config_load_as(configp, file, 0, errors);
}
