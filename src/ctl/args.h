/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/*
 * The command line of brokerctl. One table of verbs (verbs.c) and one of options (args.c) are the source of the
 * parser, of the help texts and of "did you mean".
 */

/* The exit status. In this room a positive return code is one of these, and is passed up to main(). */
enum ctl_exit {
        CTL_OK,
        CTL_FAILED,  /* the broker answered an error, or reading or writing went wrong */
        CTL_USAGE,   /* the command line is wrong */
        CTL_CONNECT, /* no connection, or it was lost */
        CTL_DENIED,  /* by the file system or by the broker */
        CTL_TIMEOUT, /* no answer in time; nobody received the message that somebody had to receive */
        CTL_PARTIAL, /* some of several channels were refused */
};

struct ctl_verb;

/* A command line, understood. Strings are those of argv. */
struct ctl_request {
        const struct ctl_verb *verb; /* NULL: print help or version */
        const char **operands;       /* what follows the verb; owned */
        int n_operands;
        const char *socket;                      /* -s; NULL: not given */
        uint64_t timeout;                        /* ns */
        uint64_t count;                          /* messages to print; 0: without end */
        const char *user, *shard, *name, *sort;  /* NULL: not given */
        const char *output;                      /* a file; NULL: standard output */
        const char *color;                       /* "auto", "always", "never"; NULL: not given */
        uint64_t interval;                       /* between looks, ns; 0: not given */
        const char *completion;                  /* what to complete; NULL: not given */
        uint64_t clients, subscribers;           /* of the bench; UINT64_MAX: not given */
        uint64_t size, rate, pipeline, duration; /* bytes, messages/s, messages, ns; UINT64_MAX: not given */
        uint64_t limit;                          /* names to show, or messages/s of the tap; 0: not given */
        const char *as, *listener;               /* NULL: not given */
        bool defaults, off, wait, has_timeout;
        bool wide, yes, dry_run, time, once;
        bool batch, reset;
        bool hex;
        bool pattern, raw, json, require_receivers, quiet, help, version;
};

struct ctl_verb {
        const char *name;     /* of one word, or of two with a blank between them */
        const char *operands; /* as the usage line shows them, "" for none */
        int min, max;         /* how many; max -1: any number */
        const char *options;  /* the short letters of the options that go with this verb only */
        const char *summary;  /* one line, for the list of verbs */
        const char *help;     /* lines, for `brokerctl help VERB` */
        int (*run)(const struct ctl_request *request); /* Return: enum ctl_exit */
};

/* Ends with an entry without a name. */
extern const struct ctl_verb ctl_verbs[];

#define ARGS_TIMEOUT_DEFAULT 5 /* seconds */

/*
 * Reads the command line: options before or after the verb, as "--name value" or "--name=value", up to "--".
 * What is wrong is said on stderr.
 * Return: CTL_OK, CTL_USAGE. The request needs args_deinit() in both cases.
 */
int args_parse(struct ctl_request *request, int argc, char **argv);
void args_deinit(struct ctl_request *request);

/* The verb that n words begin with; *usedp is how many it takes. Return: NULL when there is none. */
const struct ctl_verb *args_find_verb(const char *const *words, int n, int *usedp);

/* The length of the first word of a verb of two; 0: it is of one. */
size_t args_group(const struct ctl_verb *verb);

/* Whether the verb is of two words, of which this is the first. */
bool args_is_in_group(const struct ctl_verb *verb, const char *word);

/* Says that words begin with no verb, and which one may have been meant; there is one word at least. Return:
 * CTL_USAGE. */
int args_unknown_verb(const char *const *words, int n);

/* The help of one verb, or of all with NULL. */
void args_print_help(FILE *out, const struct ctl_verb *verb);

/* An option as others may see it. */
struct args_shown {
        const char *name;
        char letter;       /* 0: it has no short form */
        const char *value; /* what it takes, as the help shows it; NULL: nothing */
        const char *words; /* the only values, with spaces between them; NULL: any */
};

/* The option at that place of the table. Return: whether there are so many. */
bool args_show(struct args_shown *shown, size_t i);

/* Whether it goes with the verb and a user may know of it; verb NULL: with every verb. */
bool args_goes_with(const struct ctl_verb *verb, size_t i);
