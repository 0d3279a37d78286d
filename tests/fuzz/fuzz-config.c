/* SPDX-License-Identifier: MIT */
/*
 * Any bytes are a configuration or an error: a configuration's dump loads to the same dump; errors are printed,
 * at most so many, closed by the line that counts them, and free of bytes that would disturb a terminal.
 */

#include <stdlib.h>
#include <string.h>

#include "broker/config.h"
#include "broker/config_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
        if (!truth)
                abort();
}

static struct config *parse(const void *data, size_t size, char **errorsp, size_t *n_errorsp)
{
        struct config *config = NULL;
        FILE *errors = open_memstream(errorsp, n_errorsp);
        int r = config_parse(&config, "f", data, size, errors);

        fclose(errors);
        require(r == (config ? 0 : CONFIG_E_INVALID));
        return config;
}

static char *dump(const struct config *config, size_t *sizep)
{
        char *text;
        FILE *out = open_memstream(&text, sizep);

        config_dump(config, out);
        fclose(out);
        return text;
}

static void check_errors(const char *errors, size_t n)
{
        static const char end[] = "; configuration not loaded\n";
        struct bytes text = bytes_of(errors, n);
        unsigned lines = 0;
        uint32_t c;

        require(n > sizeof(end) && memcmp(errors + n - sizeof(end) + 1, end, sizeof(end) - 1) == 0);
        while (text.n) {
                require(config_text_next(&text, &c));
                require(config_text_printable(c) || c == '\n' || c == '\t');
                lines += c == '\n';
        }
        require(lines >= 2 && lines <= CONFIG_ERRORS_MAX * 3 + 1);
}

static void check_dump(const struct config *config)
{
        size_t n, m, n_errors;
        char *first = dump(config, &n), *second, *errors;
        struct config *again = parse(first, n, &errors, &n_errors);

        require(again && n_errors == 0);
        second = dump(again, &m);
        require(n == m && memcmp(first, second, n) == 0);
        config_free(again);
        free(errors);
        free(second);
        free(first);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct config *config;
        size_t n_errors;
        char *errors;

        config = parse(data, size, &errors, &n_errors);
        if (config) {
                require(n_errors == 0);
                check_dump(config);
        } else {
                check_errors(errors, n_errors);
        }
        config_free(config);
        free(errors);
        return 0;
}
