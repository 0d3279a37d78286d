/* SPDX-License-Identifier: MIT */
/*
 * The parser is written out because getopt_long() takes any beginning of a long option for the whole, which
 * turns every new option into a change of what old scripts mean, and cannot say what was meant.
 */

#include "ctl/args.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/say.h"
#include "util/clock.h"
#include "util/mem.h"
#include "util/suggest.h"

struct args_option {
        char letter; /* names the option in struct ctl_verb; on the command line only if it has a short form */
        bool is_short;
        const char *name;
        const char *value; /* what it takes, as the help shows it; NULL: nothing */
        bool is_common;    /* goes with every verb */
        const char *help;  /* NULL: it is for programs, and no help shows it */
};

static const struct args_option options[] = {
        { 's', true, "socket", "SOCKET", true, "the broker's socket: a path, or @NAME for an abstract one" },
        { 't', true, "timeout", "SECONDS", true, "wait at most this long for the broker (default 5)" },
        { 'q', true, "quiet", NULL, true, "no notes on standard error, only errors" },
        { 'h', true, "help", NULL, true, "print help and exit" },
        { 'V', true, "version", NULL, true, "print the version and exit" },
        { 'r', false, "require-receivers", NULL, false, "exit with 5 when nobody received the message" },
        { 'p', true, "pattern", NULL, false, "the channels are patterns (* ? [a-z] [^x] \\x)" },
        { 'n', true, "count", "N", false, "exit after N messages, or N looks" },
        { 'j', true, "json", NULL, false, "JSON, each value on a line of its own" },
        { 'u', true, "user", "USER", false, "clients of this user, by name or number" },
        { 'S', false, "shard", "N", false, "clients of this shard" },
        { 'N', false, "name", "PATTERN", false, "clients with such a name (* ? [a-z])" },
        { 'o', false, "sort", "KEY", false, "by which column; the text above names the keys" },
        { 'O', false, "once", NULL, false, "one look instead of two; the text above says what rates are then" },
        { 'L', false, "limit", "N", false,
          "the first N names (default 1000, at most 10000), or messages to show in a second (tap: 1000)" },
        { 'w', true, "wide", NULL, false, "all columns" },
        { 'y', true, "yes", NULL, false, "do not ask" },
        { 'd', false, "dry-run", NULL, false, "only show what it would do" },
        { 'R', false, "raw", NULL, false, "no escapes, no human units: see the verb's help" },
        { '0', false, "output", "FILE", false, "write to this file, whole or not at all" },
        { '1', false, "color", "WHEN", true, "auto (the default), always or never" },
        { '2', false, "time", NULL, false, "when each message came, as 2026-11-23T14:05:06.123+01:00" },
        { '3', false, "clients", "N", false, "clients that publish (default 4)" },
        { '4', false, "subscribers", "N", false, "clients that subscribe (default 4)" },
        { '5', false, "size", "BYTES", false,
          "of a message (bench: default 100), or of it to show (tap: 128)" },
        { '6', false, "seconds", "SECONDS", false, "measure for so long (default 5)" },
        { '7', false, "rate", "N", false, "publish so many messages/s, whether or not they are answered" },
        { '8', false, "pipeline", "N", false,
          "without --rate: unanswered messages of each client (default 1)" },
        { 'i', true, "interval", "SECONDS", false, "between the two looks that rates are of (default 1)" },
        { 'e', false, "delay", "SECONDS", false, "between two looks, at least 1 (default 1)" },
        { 'b', true, "batch", NULL, false, "lines instead of a screen" },
        { 'x', false, "reset", NULL, false, "count anew from here on" },
        { 'X', false, "hex", NULL, false, "the payload as hexadecimal digits" },
        { '9', false, "completion", "WHAT", false, NULL },
        { 'D', false, "defaults", NULL, false, "also what is as it is by default" },
        { 'F', false, "off", NULL, false, "take it back" },
        { 'W', false, "wait", NULL, false, "until no client is left, at most as long as -t says" },
        { 'A', false, "as", "USER", false, "the user that it is asked for, by name or number" },
        { 'l', false, "listener", "PATH", false, "the listener that the user comes by (default: the first)" },
};

#define N_OPTIONS (sizeof(options) / sizeof(options[0]))

/* What only few options have. */
static const struct args_extra {
        char letter;
        char short_form;   /* where the letter is the short form of none, or of another; 0: none */
        const char *words; /* the only values, with spaces between them; NULL: any */
} extras[] = {
        { '0', 'o', NULL },
        { '1', 0, "auto always never" },
        { 'e', 'd', NULL },
        { 'X', 'x', NULL },
        { '9', 0, "bash channels clients shards" },
};

static const struct args_extra *args_extra(const struct args_option *option)
{
        static const struct args_extra none;

        for (size_t i = 0; i < sizeof(extras) / sizeof(*extras); i++)
                if (extras[i].letter == option->letter)
                        return &extras[i];
        return &none;
}

/* 0: there is only the long form. */
static char args_letter(const struct args_option *option)
{
        return option->is_short ? option->letter : args_extra(option)->short_form;
}

bool args_show(struct args_shown *shown, size_t i)
{
        if (i >= N_OPTIONS)
                return false;
        *shown = (struct args_shown){ .name = options[i].name,
                                      .letter = args_letter(&options[i]),
                                      .value = options[i].value,
                                      .words = args_extra(&options[i])->words };
        return true;
}

bool args_goes_with(const struct ctl_verb *verb, size_t i)
{
        if (!options[i].help)
                return false;
        return options[i].is_common || (verb && strchr(verb->options, options[i].letter));
}

/* ---------------------------------------------------------------- values */

static int args_bad_value(const struct args_option *option, const char *value, const char *expected)
{
        return say_usage("bad value for --%s: got \"%s\", expected %s", option->name, value, expected);
}

/* Decimal seconds with an optional fraction; no sign, no exponent. */
static int args_seconds(uint64_t *nsp, const struct args_option *option, const char *value)
{
        const char *expected = "seconds from 0.001 to 86400";
        size_t whole = strspn(value, "0123456789"), rest = 0;
        double seconds;

        if (value[whole] == '.')
                rest = 1 + strspn(value + whole + 1, "0123456789");
        if (whole + rest == 0 || whole + rest > 16 || value[whole + rest] || !strcmp(value, "."))
                return args_bad_value(option, value, expected);
        seconds = strtod(value, NULL);
        if (seconds < 0.001 || seconds > 86400)
                return args_bad_value(option, value, expected);
        *nsp = (uint64_t)(seconds * (double)NSEC_PER_SEC);
        return CTL_OK;
}

static int args_range(uint64_t *np, const struct args_option *option, const char *value, uint64_t min,
                      uint64_t max)
{
        size_t digits = strspn(value, "0123456789");
        char expected[64];
        uint64_t n = 0;
        bool is_number = digits > 0 && digits <= 18 && !value[digits];

        if (is_number)
                n = strtoull(value, NULL, 10);
        if (!is_number || n < min || n > max) {
                snprintf(expected, sizeof(expected), "an integer from %" PRIu64 " to %" PRIu64, min, max);
                return args_bad_value(option, value, expected);
        }
        *np = n;
        return CTL_OK;
}

static int args_number(uint64_t *np, const struct args_option *option, const char *value)
{
        return args_range(np, option, value, 1, UINT64_C(999999999999999999));
}

static bool args_is_word(const char *words, const char *value)
{
        size_t n = strlen(value);

        for (const char *p = words; *p; p += strspn(p, " ")) {
                size_t size = strcspn(p, " ");

                if (size == n && !memcmp(p, value, n))
                        return true;
                p += size;
        }
        return false;
}

static int args_apply(struct ctl_request *request, const struct args_option *option, const char *value)
{
        const char *words = args_extra(option)->words;
        char expected[64];

        if (words && !args_is_word(words, value)) {
                snprintf(expected, sizeof(expected), "one of %s", words);
                return args_bad_value(option, value, expected);
        }
        switch (option->letter) {
        case 's':
                request->socket = value;
                return CTL_OK;
        case 't':
                request->has_timeout = true;
                return args_seconds(&request->timeout, option, value);
        case 'n':
                return args_number(&request->count, option, value);
        case 'q':
                request->quiet = true;
                return CTL_OK;
        case 'h':
                request->help = true;
                return CTL_OK;
        case 'V':
                request->version = true;
                return CTL_OK;
        case 'r':
                request->require_receivers = true;
                return CTL_OK;
        case 'j':
                request->json = true;
                return CTL_OK;
        case 'u':
                request->user = value;
                return CTL_OK;
        case 'S':
                request->shard = value;
                return CTL_OK;
        case 'N':
                request->name = value;
                return CTL_OK;
        case 'o':
                request->sort = value;
                return CTL_OK;
        case 'O':
                request->once = true;
                return CTL_OK;
        case 'L':
                return args_number(&request->limit, option, value);
        case 'w':
                request->wide = true;
                return CTL_OK;
        case 'y':
                request->yes = true;
                return CTL_OK;
        case 'd':
                request->dry_run = true;
                return CTL_OK;
        case 'p':
                request->pattern = true;
                return CTL_OK;
        case '0':
                request->output = value;
                return CTL_OK;
        case '1':
                request->color = value;
                return CTL_OK;
        case '2':
                request->time = true;
                return CTL_OK;
        case '3':
                return args_range(&request->clients, option, value, 1, 1000);
        case '4':
                return args_range(&request->subscribers, option, value, 0, 1000);
        case '5':
                return args_range(&request->size, option, value, 0, 16 << 20);
        case '6':
                return args_seconds(&request->duration, option, value);
        case '7':
                return args_range(&request->rate, option, value, 1, 10000000);
        case '8':
                return args_range(&request->pipeline, option, value, 1, 10000);
        case 'i':
        case 'e':
                return args_seconds(&request->interval, option, value);
        case 'b':
                request->batch = true;
                return CTL_OK;
        case 'x':
                request->reset = true;
                return CTL_OK;
        case 'X':
                request->hex = true;
                return CTL_OK;
        case '9':
                request->completion = value;
                return CTL_OK;
        case 'D':
                request->defaults = true;
                return CTL_OK;
        case 'F':
                request->off = true;
                return CTL_OK;
        case 'W':
                request->wait = true;
                return CTL_OK;
        case 'A':
                request->as = value;
                return CTL_OK;
        case 'l':
                request->listener = value;
                return CTL_OK;
        default:
                request->raw = true;
                return CTL_OK;
        }
}

/* ---------------------------------------------------------------- words */

static int args_unknown_option(const char *name)
{
        const char *names[N_OPTIONS];
        size_t i;

        for (size_t k = 0; k < N_OPTIONS; k++)
                names[k] = options[k].name;
        i = suggest_best(bytes_str(name), names, N_OPTIONS);
        if (i < N_OPTIONS)
                return say_usage("unknown option --%s; did you mean --%s?", name, names[i]);
        return say_usage("unknown option --%s", name);
}

static const struct args_option *args_find(const char *name, size_t n, char letter)
{
        for (size_t i = 0; i < N_OPTIONS; i++) {
                if (name && strlen(options[i].name) == n && !memcmp(options[i].name, name, n))
                        return &options[i];
                if (!name && args_letter(&options[i]) == letter)
                        return &options[i];
        }
        return NULL;
}

/* A set of the options that were given: bit i is options[i]. */
static void args_mark(uint64_t *given, const struct args_option *option)
{
        *given |= UINT64_C(1) << (option - options);
}

/* arg is "--name" or "--name=value"; next is what follows it on the command line, and is NULL at the end. */
static int args_long(struct ctl_request *request, uint64_t *given, const char *arg, const char *next,
                     int *usedp)
{
        const char *equals = strchr(arg, '=');
        size_t n = equals ? (size_t)(equals - arg) - 2 : strlen(arg) - 2;
        const struct args_option *option = args_find(arg + 2, n, 0);
        char name[64];

        if (!option) {
                snprintf(name, sizeof(name), "%.*s", (int)(n < 63 ? n : 63), arg + 2);
                return args_unknown_option(name);
        }
        if (!option->value && equals)
                return say_usage("option --%s takes no value", option->name);
        if (option->value && !equals && !next)
                return say_usage("option --%s needs a value: %s", option->name, option->value);
        *usedp = option->value && !equals;
        args_mark(given, option);
        return args_apply(request, option, equals ? equals + 1 : next);
}

/* arg is "-abc", "-sVALUE", or "-s" with its value in next. */
static int args_short(struct ctl_request *request, uint64_t *given, const char *arg, const char *next,
                      int *usedp)
{
        for (const char *p = arg + 1; *p; p++) {
                const struct args_option *option = args_find(NULL, 0, *p);
                int r;

                if (!option)
                        return say_usage("unknown option -%c; put \"--\" before a word that begins with \"-\"",
                                         *p);
                if (option->value && !p[1] && !next)
                        return say_usage("option -%c needs a value: %s", *p, option->value);
                *usedp = option->value && !p[1];
                args_mark(given, option);
                r = args_apply(request, option, p[1] ? p + 1 : next);
                if (r || option->value)
                        return r;
        }
        return CTL_OK;
}

/* Verbs of one and of two words: none of one word begins one of two. */
const struct ctl_verb *args_find_verb(const char *const *words, int n, int *usedp)
{
        for (const struct ctl_verb *verb = ctl_verbs; n > 0 && verb->name; verb++) {
                size_t first = args_group(verb);

                *usedp = first ? 2 : 1;
                if (!first && !strcmp(verb->name, words[0]))
                        return verb;
                if (first && n > 1 && strlen(words[0]) == first && !memcmp(verb->name, words[0], first) &&
                    !strcmp(verb->name + first + 1, words[1]))
                        return verb;
        }
        return NULL;
}

size_t args_group(const struct ctl_verb *verb)
{
        const char *space = strchr(verb->name, ' ');

        return space ? (size_t)(space - verb->name) : 0;
}

bool args_is_in_group(const struct ctl_verb *verb, const char *word)
{
        size_t n = args_group(verb);

        return n && strlen(word) == n && !memcmp(verb->name, word, n);
}

/* The first word of verbs of two, and what it may be followed by. */
static int args_incomplete_verb(const char *word)
{
        char list[256] = "";
        size_t n = 0;

        for (const struct ctl_verb *verb = ctl_verbs; verb->name; verb++)
                if (args_is_in_group(verb, word) && n < sizeof(list))
                        n += (size_t)snprintf(list + n, sizeof(list) - n, "%s\"%s\"", n ? ", " : "",
                                              verb->name);
        return say_usage("\"%s\" is no command by itself, but %s are", word, list);
}

int args_unknown_verb(const char *const *words, int n_words)
{
        char given[128], group[32];
        const char *names[64];
        size_t n = 0, i;
        bool known = false;

        for (const struct ctl_verb *verb = ctl_verbs; verb->name; verb++)
                known |= args_is_in_group(verb, words[0]);
        if (known && n_words < 2)
                return args_incomplete_verb(words[0]);
        snprintf(given, sizeof(given), "%.60s%s%.60s", words[0], known ? " " : "", known ? words[1] : "");
        while (n < 64 && ctl_verbs[n].name)
                names[n] = ctl_verbs[n].name, n++;
        i = suggest_best(bytes_str(given), names, n);
        if (i < n)
                return say_usage("unknown command \"%s\"; did you mean \"%s\"?", given, names[i]);
        for (const struct ctl_verb *verb = ctl_verbs; verb->name; verb++) {
                const char *one = group;

                snprintf(group, sizeof(group), "%.*s", (int)args_group(verb), verb->name);
                if (*group && suggest_best(bytes_str(given), &one, 1) == 0)
                        return say_usage("unknown command \"%s\"; did you mean \"%s\"?", given, group);
        }
        return say_usage("unknown command \"%s\"", given);
}

/* ---------------------------------------------------------------- the whole line */

static int args_split(struct ctl_request *request, uint64_t *given, int argc, char **argv)
{
        for (int i = 1; i < argc; i++) {
                const char *next = i + 1 < argc ? argv[i + 1] : NULL;
                int used = 0, r = CTL_OK;

                if (!strcmp(argv[i], "--")) {
                        while (++i < argc)
                                request->operands[request->n_operands++] = argv[i];
                        return CTL_OK;
                }
                if (argv[i][0] != '-' || !argv[i][1])
                        request->operands[request->n_operands++] = argv[i];
                else if (argv[i][1] == '-')
                        r = args_long(request, given, argv[i], next, &used);
                else
                        r = args_short(request, given, argv[i], next, &used);
                if (r)
                        return r;
                i += used;
        }
        return CTL_OK;
}

static int args_take_verb(struct ctl_request *request)
{
        int used;

        if (request->n_operands == 0)
                return request->help || request->version ? CTL_OK : say_usage("a command is missing");
        request->verb = args_find_verb(request->operands, request->n_operands, &used);
        if (!request->verb)
                return args_unknown_verb(request->operands, request->n_operands);
        request->n_operands -= used;
        memmove(request->operands, request->operands + used,
                (size_t)request->n_operands * sizeof(*request->operands));
        return CTL_OK;
}

/* Every option that was given must go with the verb. */
static int args_check_options(const struct ctl_verb *verb, uint64_t given)
{
        for (size_t i = 0; i < N_OPTIONS; i++) {
                if (!(given & UINT64_C(1) << i) || options[i].is_common ||
                    strchr(verb->options, options[i].letter))
                        continue;
                return say_usage("option --%s does not go with \"%s\"", options[i].name, verb->name);
        }
        return CTL_OK;
}

static int args_check_operands(const struct ctl_request *request)
{
        const struct ctl_verb *verb = request->verb;

        if (request->n_operands < verb->min)
                return say_usage("\"%s\" needs more: brokerctl %s %s", verb->name, verb->name, verb->operands);
        if (verb->max >= 0 && request->n_operands > verb->max)
                return say_usage("\"%s\" does not take \"%s\"; %s%s", verb->name, request->operands[verb->max],
                                 verb->max ? "quote words that belong together: brokerctl "
                                           : "it takes no operands",
                                 verb->max ? verb->name : "");
        return CTL_OK;
}

int args_parse(struct ctl_request *request, int argc, char **argv)
{
        uint64_t given = 0;
        int r;

        *request = (struct ctl_request){
                .operands = mem_zalloc(((size_t)argc + 1) * sizeof(*request->operands)),
                .timeout = ARGS_TIMEOUT_DEFAULT * NSEC_PER_SEC,
                .clients = UINT64_MAX,
                .subscribers = UINT64_MAX,
                .size = UINT64_MAX,
                .rate = UINT64_MAX,
                .pipeline = UINT64_MAX,
                .duration = UINT64_MAX,
        };
        r = args_split(request, &given, argc, argv);
        if (!r)
                r = args_take_verb(request);
        if (r || request->help || request->version)
                return r;
        r = args_check_options(request->verb, given);
        return r ? r : args_check_operands(request);
}

void args_deinit(struct ctl_request *request)
{
        free(request->operands);
        request->operands = NULL;
}

/* ---------------------------------------------------------------- help */

static void args_print_option(FILE *out, const struct args_option *option)
{
        char left[40], letter = args_letter(option);

        if (!option->help)
                return;
        snprintf(left, sizeof(left), "%c%c%c --%s%s%s", letter ? '-' : ' ', letter ? letter : ' ',
                 letter ? ',' : ' ', option->name, option->value ? " " : "",
                 option->value ? option->value : "");
        fprintf(out, "  %-26s %s\n", left, option->help);
}

static void args_print_all(FILE *out)
{
        fputs("Usage: brokerctl [OPTION...] COMMAND [ARGUMENT...]\n\nTalks to brokerd over its Unix socket.\n\n"
              "Commands:\n",
              out);
        for (const struct ctl_verb *verb = ctl_verbs; verb->name; verb++) {
                char left[48];

                snprintf(left, sizeof(left), "%s%s%s", verb->name, *verb->operands ? " " : "", verb->operands);
                fprintf(out, "  %-26s %s\n", left, verb->summary);
        }
        fputs("\nOptions:\n", out);
        for (size_t i = 0; i < N_OPTIONS; i++)
                if (options[i].is_common)
                        args_print_option(out, &options[i]);
        fputs("\nWithout -s the socket is $BROKERCTL_SOCKET, else /run/brokerd/admin.sock, else "
              "/run/brokerd/brokerd.sock.\n"
              "Exit status: 0 done, 1 the broker answered an error, 2 usage, 3 no connection, 4 denied,\n"
              "5 timed out or no receiver, 6 partly done. `brokerctl help COMMAND` says more; see "
              "brokerctl(1).\n",
              out);
}

void args_print_help(FILE *out, const struct ctl_verb *verb)
{
        if (!verb) {
                args_print_all(out);
                return;
        }
        fprintf(out, "Usage: brokerctl [OPTION...] %s%s%s\n\n%s", verb->name, *verb->operands ? " " : "",
                verb->operands, verb->help);
        if (*verb->options)
                fputs("\nOptions:\n", out);
        for (size_t i = 0; i < N_OPTIONS; i++)
                if (!options[i].is_common && strchr(verb->options, options[i].letter))
                        args_print_option(out, &options[i]);
        fputs("\nOptions of all commands: `brokerctl --help`.\n", out);
}
