/* SPDX-License-Identifier: MIT */
/* The command line. Everything that is not a start happens before a thread, a socket or a signal mask exists.
 */

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <config.h>

#include "broker/broker.h"
#include "broker/config.h"
#include "broker/service.h"
#include "util/log.h"

#define MAIN_DEFAULT_FILE SYSCONFDIR "/brokerd/broker.yaml"

enum {
        MAIN_EXIT_FAILURE = 1,
        MAIN_EXIT_USAGE = 2,
        MAIN_EXIT_CONFIG = 78, /* EX_CONFIG: a supervisor need not try again */
};

enum mode {
        MODE_RUN,
        MODE_CHECK,
        MODE_DUMP,
        MODE_HELP,
        MODE_VERSION,
};

struct arguments {
        enum mode mode;
        const char *file;
};

static const char help[] =
        "Usage: brokerd [-c FILE] [--check | --dump-config]\n"
        "\n"
        "Serves publish/subscribe over Unix sockets in the Redis protocol, in the foreground, until SIGTERM.\n"
        "\n"
        "  -c, --config FILE  the configuration (default: " MAIN_DEFAULT_FILE ")\n"
        "      --check        validate the configuration and exit; opens no socket, creates nothing\n"
        "      --dump-config  print the effective configuration as YAML, defaults included, and exit\n"
        "      --version      print the version and exit\n"
        "  -h, --help         print this and exit\n"
        "\n"
        "Exit status: 0 stopped on request, or the check found nothing wrong; 1 cannot start or serve, or the\n"
        "check found errors; 2 wrong usage; 70 an internal failure; 78 a start with a configuration that is\n"
        "not valid. A second SIGTERM or SIGINT while stopping ends it at once with 128 + the signal's number.\n"
        "\n"
        "See broker.yaml(5), brokerctl(1).\n";

static int main_usage(const char *format, const char *what)
{
        fputs("brokerd: ", stderr);
        fprintf(stderr, format, what);
        fputs("\nTry 'brokerd --help' for more information.\n", stderr);
        return MAIN_EXIT_USAGE;
}

/* Return: 0, MAIN_EXIT_USAGE (said to stderr). */
static int main_set_mode(struct arguments *args, enum mode mode)
{
        if (args->mode != MODE_RUN && args->mode != mode)
                return main_usage("%s exclude each other", "--check, --dump-config, --help and --version");
        args->mode = mode;
        return 0;
}

static int main_set_file(struct arguments *args, const char *file)
{
        if (args->file)
                return main_usage("there can be one configuration file only; the second is '%s'", file);
        args->file = file;
        return 0;
}

/* Return: 0, MAIN_EXIT_USAGE (said to stderr). */
static int main_parse(struct arguments *args, int argc, char **argv)
{
        static const struct option options[] = {
                { "config", required_argument, NULL, 'c' }, { "check", no_argument, NULL, 'k' },
                { "dump-config", no_argument, NULL, 'd' },  { "version", no_argument, NULL, 'v' },
                { "help", no_argument, NULL, 'h' },         { NULL, 0, NULL, 0 },
        };
        static const int modes[] = {
                ['k'] = MODE_CHECK, ['d'] = MODE_DUMP, ['v'] = MODE_VERSION, ['h'] = MODE_HELP
        };
        int option, r = 0;

        while (!r && (option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
                if (option == '?') {
                        fputs("Try 'brokerd --help' for more information.\n", stderr);
                        return MAIN_EXIT_USAGE;
                }
                r = option == 'c' ? main_set_file(args, optarg) : main_set_mode(args, (enum mode)modes[option]);
        }
        if (!r && optind < argc)
                r = main_usage("unexpected argument '%s'; the configuration file is given with -c",
                               argv[optind]);
        if (!args->file)
                args->file = MAIN_DEFAULT_FILE;
        return r;
}

/* What was printed counts only once it has left. */
static int main_flush(void)
{
        if (fflush(stdout) == 0 && !ferror(stdout))
                return EXIT_SUCCESS;
        perror("brokerd: cannot write to the standard output");
        return MAIN_EXIT_FAILURE;
}

static int main_with_config(const struct arguments *args)
{
        struct config *config = NULL;
        int r = config_load_as(&config, args->file, service_has_sockets() ? CONFIG_LOAD_SOCKETS : 0, stderr);

        if (r < 0) {
                fprintf(stderr, "brokerd: cannot read %s: %s\n", args->file, strerror(-r));
                return MAIN_EXIT_FAILURE;
        }
        if (r)
                return args->mode == MODE_RUN ? MAIN_EXIT_CONFIG : MAIN_EXIT_FAILURE;
        if (args->mode == MODE_CHECK && broker_check(config, stderr)) {
                r = MAIN_EXIT_FAILURE;
        } else if (args->mode == MODE_CHECK) {
                printf("%s: the configuration is valid\n", args->file);
                r = main_flush();
        } else if (args->mode == MODE_DUMP) {
                config_dump(config, stdout);
                r = main_flush();
        } else {
                log_set_level((enum log_level)config->log.level);
                r = broker_run(config);
                r = r == BROKER_E_CONFIG ? MAIN_EXIT_CONFIG : r ? MAIN_EXIT_FAILURE : EXIT_SUCCESS;
                config = NULL;
        }
        config_free(config);
        return r;
}

int main(int argc, char **argv)
{
        struct arguments args = { .mode = MODE_RUN };
        int r = main_parse(&args, argc, argv);

        if (r)
                return r;
        log_init();
        switch (args.mode) {
        case MODE_HELP:
                fputs(help, stdout);
                return main_flush();
        case MODE_VERSION:
                puts("brokerd " PACKAGE_VERSION);
                return main_flush();
        default:
                return main_with_config(&args);
        }
}
