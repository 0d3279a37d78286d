/* SPDX-License-Identifier: MIT */

#include "ctl/completion.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/clients.h"
#include "ctl/link.h"
#include "ctl/verbs.h"
#include "util/clock.h"

#define COMPLETION_MAX     500                   /* names */
#define COMPLETION_TIMEOUT (100 * NSEC_PER_MSEC) /* for the connection, and again for the answer */

/* ---------------------------------------------------------------- what stands where */

#define COMPLETION_FILES "_brokerctl_files"

/* A name, and the command of bash that completes what stands there. */
struct completion_kind {
        const char *name, *command;
};

/* Behind a verb. */
static const struct completion_kind operands[] = {
        { "channels", "if ((n == 0)); then _brokerctl_ask channels; fi" },
        { "client", "if ((n == 0)); then _brokerctl_ask clients; fi" },
        { "config\\ check", "if ((n == 0)); then " COMPLETION_FILES "; fi" },
        { "explain", "if ((n == 0)); then _brokerctl_words \"publish subscribe psubscribe admin\"; "
                     "elif ((n == 1)); then _brokerctl_ask channels; fi" },
        { "help", "if ((n == 0)); then _brokerctl_words \"$verbs\"; fi" },
        { "kill", "_brokerctl_ask clients" },
        { "log", "if ((n == 0)); then _brokerctl_words \"error warning notice info debug\"; fi" },
        { "pub", "if ((n == 0)); then _brokerctl_ask channels; fi" },
        { "sub", "_brokerctl_ask channels" },
        { NULL, NULL },
};

/* Behind an option, by what the help calls its value. */
static const struct completion_kind values[] = {
        { "SOCKET", COMPLETION_FILES },
        { "FILE", COMPLETION_FILES },
        { "USER", "_brokerctl_users" },
        { NULL, NULL },
};

/* Behind an option of a certain verb. */
static const struct {
        const char *verb, *option, *command;
} verb_values[] = {
#define SORT_CLIENTS "_brokerctl_words \"id age idle waits lost subs patterns user pid name memory\""
        { "channels", "sort", "_brokerctl_words \"name subs rate messages bytes last\"" },
        { "patterns", "sort", "_brokerctl_words \"name subs channels\"" },
        { "clients", "sort", SORT_CLIENTS },
        { "kill", "sort", SORT_CLIENTS },
        { "clients", "shard", "_brokerctl_ask shards" },
        { "kill", "shard", "_brokerctl_ask shards" },
};

static const char *completion_find(const struct completion_kind *kinds, const char *name)
{
        for (; kinds->name; kinds++)
                if (!strcmp(kinds->name, name))
                        return kinds->command;
        return NULL;
}

/* ---------------------------------------------------------------- the script */

/*
 * The words are read from the line, since bash splits what it hands over at = : @ as well, which names hold.
 * What bash has of the word already, up to the last of these, is taken off the answers.
 */
static const char bash_head[] =
        "# Completion of brokerctl for bash, written by `brokerctl help --completion bash`.\n"
        "_brokerctl_words() {\n"
        "        mapfile -t COMPREPLY < <(compgen -W \"$1\" -- \"$cur\")\n"
        "}\n"
        "_brokerctl_files() {\n"
        "        mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
        "        compopt -o filenames 2>/dev/null\n"
        "}\n"
        "_brokerctl_users() {\n"
        "        mapfile -t COMPREPLY < <(compgen -u -- \"$cur\")\n"
        "}\n"
        "_brokerctl_ask() {\n"
        "        local names head=${cur%\"${cur##*[:@=]}\"}\n"
        "        mapfile -t names < <(\"$program\" ${socket:+-s \"$socket\"} help --completion \"$1\" "
        "2>/dev/null)\n"
        "        _brokerctl_words \"${names[*]}\"\n"
        "        COMPREPLY=(\"${COMPREPLY[@]#\"$head\"}\")\n"
        "}\n"
        "_brokerctl() {\n"
        "        local IFS=$' \\t\\n' program=${COMP_WORDS[0]} line=${COMP_LINE:0:COMP_POINT}\n"
        "        local typed word cur='' verb='' option='' socket='' only_operands='' options='' n=0\n";

/* The words before the one that is completed: the verb, the socket, and the option that wants a value now. */
static const char bash_walk[] =
        "        COMPREPLY=()\n"
        "        read -ra typed <<<\"$line\"\n"
        "        case $line in *[![:space:]]) cur=${typed[-1]} && unset 'typed[-1]' ;; esac\n"
        "        for word in \"${typed[@]:1}\"; do\n"
        "                if [[ $option ]]; then\n"
        "                        case $option in -s | --socket) socket=$word ;; esac\n"
        "                        option=''\n"
        "                elif [[ $word == -- ]]; then\n"
        "                        only_operands=1\n"
        "                elif [[ $word == -* && ! $only_operands ]]; then\n"
        "                        case $word in -s?*) socket=${word:2} ;; --socket=*) socket=${word#*=} ;; "
        "esac\n"
        "                        case \" $valued \" in *\" $word \"*) option=$word ;; esac\n"
        "                elif [[ ! $verb ]]; then\n"
        "                        verb=$word\n"
        "                elif [[ \" $groups \" == *\" $verb \"* ]]; then\n"
        "                        verb=\"$verb $word\"\n"
        "                else\n"
        "                        n=$((n + 1))\n"
        "                fi\n"
        "        done\n"
        "        if [[ ! $option && ! $only_operands && $cur == --*=* ]]; then\n"
        "                option=${cur%%=*} cur=${cur#*=}\n"
        "        fi\n"
        "        case $socket in \\~/*) socket=$HOME/${socket:2} ;; esac\n"
        "        case $program in \\~/*) program=$HOME/${program:2} ;; esac\n";

static void completion_put_option(FILE *out, const struct args_shown *option)
{
        fprintf(out, " --%s", option->name);
        if (option->letter)
                fprintf(out, " -%c", option->letter);
}

static int completion_first(const struct ctl_verb *verb)
{
        return (int)(args_group(verb) ? args_group(verb) : strlen(verb->name));
}

/* Whether it is the first with this first word: those of a group follow each other in the table. */
static bool completion_begins(const struct ctl_verb *verb)
{
        size_t n = args_group(verb);

        return !n || verb == ctl_verbs || args_group(verb - 1) != n ||
               memcmp(verb[-1].name, verb->name, n) != 0;
}

/* In a pattern of `case` the blank of a name is escaped. */
static void completion_put_name(FILE *out, const struct ctl_verb *verb)
{
        size_t n = args_group(verb);

        if (n)
                fprintf(out, "%.*s\\ %s", (int)n, verb->name, verb->name + n + 1);
        else
                fputs(verb->name, out);
}

static void completion_put_groups(FILE *out)
{
        for (const struct ctl_verb *verb = ctl_verbs; verb->name; verb++) {
                if (completion_begins(verb) && args_group(verb))
                        fprintf(out, "                %.*s) _brokerctl_words \"", completion_first(verb),
                                verb->name);
                if (args_group(verb))
                        fprintf(out, " %s", verb->name + args_group(verb) + 1);
                if (args_group(verb) && (!verb[1].name || completion_begins(verb + 1)))
                        fputs("\" ;;\n", out);
        }
}

static void completion_put_lists(FILE *out)
{
        struct args_shown option;

        fputs("        local verbs=\"", out);
        for (const struct ctl_verb *verb = ctl_verbs; verb->name; verb++)
                if (completion_begins(verb))
                        fprintf(out, " %.*s", completion_first(verb), verb->name);
        fputs("\"\n        local groups=\"", out);
        for (const struct ctl_verb *verb = ctl_verbs; verb->name; verb++)
                if (completion_begins(verb) && args_group(verb))
                        fprintf(out, " %.*s", completion_first(verb), verb->name);
        fputs("\"\n        local valued=\"", out);
        for (size_t i = 0; args_show(&option, i); i++)
                if (option.value)
                        completion_put_option(out, &option);
        fputs("\"\n        local common=\"", out);
        for (size_t i = 0; args_show(&option, i); i++)
                if (args_goes_with(NULL, i))
                        completion_put_option(out, &option);
        fputs("\"\n", out);
}

/* A pattern of `case` for an option behind a verb ("*": any), and its command. */
static void completion_put_case(FILE *out, const char *verb, const struct args_shown *option,
                                const char *command)
{
        fprintf(out, "                %s\\ --%s", verb, option->name);
        if (option->letter)
                fprintf(out, " | %s\\ -%c", verb, option->letter);
        fprintf(out, ") %s ;;\n", command);
}

static void completion_put_verb_values(FILE *out, const struct args_shown *option)
{
        for (size_t k = 0; k < sizeof(verb_values) / sizeof(*verb_values); k++)
                if (!strcmp(verb_values[k].option, option->name))
                        completion_put_case(out, verb_values[k].verb, option, verb_values[k].command);
}

static void completion_put_values(FILE *out)
{
        struct args_shown option;
        char command[256];

        fputs("        if [[ $option ]]; then\n                case \"$verb $option\" in\n", out);
        for (size_t i = 0; args_show(&option, i); i++) {
                const char *known = option.value ? completion_find(values, option.value) : NULL;

                completion_put_verb_values(out, &option);
                snprintf(command, sizeof(command), "_brokerctl_words \"%s\"", option.words ? option.words : "");
                if (option.words || known)
                        completion_put_case(out, "*", &option, option.words ? command : known);
        }
        fputs("                esac\n                return\n        fi\n", out);
}

static void completion_put_verbs(FILE *out)
{
        struct args_shown option;

        fputs("        case $verb in\n", out);
        for (const struct ctl_verb *verb = ctl_verbs; verb->name; verb++) {
                fputs("                ", out);
                completion_put_name(out, verb);
                fputs(") options=\"", out);
                for (size_t i = 0; args_show(&option, i); i++)
                        if (!args_goes_with(NULL, i) && args_goes_with(verb, i))
                                completion_put_option(out, &option);
                fputs("\" ;;\n", out);
        }
        fputs("        esac\n"
              "        if [[ $cur == -* && ! $only_operands ]]; then\n"
              "                _brokerctl_words \"$common $options\"\n"
              "                return\n"
              "        fi\n"
              "        case $verb in\n"
              "                '') _brokerctl_words \"$verbs\" ;;\n",
              out);
        completion_put_groups(out);
        for (const struct completion_kind *kind = operands; kind->name; kind++)
                fprintf(out, "                %s) %s ;;\n", kind->name, kind->command);
        fputs("        esac\n", out);
}

void completion_print_bash(FILE *out)
{
        fputs(bash_head, out);
        completion_put_lists(out);
        fputs(bash_walk, out);
        completion_put_values(out);
        completion_put_verbs(out);
        fputs("}\ncomplete -F _brokerctl brokerctl\n", out);
}

/* ---------------------------------------------------------------- names of the broker */

/* Whether a shell takes the name as it stands, and brokerctl for no option. Other clients choose names. */
static bool completion_is_plain(struct bytes name)
{
        static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:/@%+,=-";

        for (size_t i = 0; i < name.n; i++)
                if (!name.p[i] || !strchr(plain, name.p[i]))
                        return false;
        return name.n > 0 && name.p[0] != '-';
}

static void completion_print_channels(FILE *out, const redisReply *reply)
{
        size_t n = reply->type == REDIS_REPLY_ARRAY ? reply->elements : 0, printed = 0;

        for (size_t i = 0; i < n && printed < COMPLETION_MAX; i++) {
                const redisReply *name = reply->element[i];

                if (name->type != REDIS_REPLY_STRING || !completion_is_plain(bytes_of(name->str, name->len)))
                        continue;
                fprintf(out, "%s\n", name->str);
                printed++;
        }
}

static void completion_print_clients(FILE *out, const redisReply *reply)
{
        struct client_list list;

        if (client_list_init(&list, reply))
                for (size_t i = 0; i < list.n && i < COMPLETION_MAX; i++)
                        fprintf(out, "%" PRIu64 "\n", list.rows[i].id);
        client_list_deinit(&list);
}

/* INFO says how many there are. */
static void completion_print_shards(FILE *out, const redisReply *reply)
{
        const char *line = reply->type == REDIS_REPLY_STRING ? strstr(reply->str, "\nshards:") : NULL;
        unsigned long n = line ? strtoul(line + strlen("\nshards:"), NULL, 10) : 0;

        for (unsigned long i = 0; i < n && i < COMPLETION_MAX; i++)
                fprintf(out, "%lu\n", i);
}

static const struct {
        const char *what;
        struct bytes words[2];
        void (*print)(FILE *out, const redisReply *reply);
} questions[] = {
        { "channels", { BYTES_LITERAL("PUBSUB"), BYTES_LITERAL("CHANNELS") }, completion_print_channels },
        { "clients", { BYTES_LITERAL("CLIENT"), BYTES_LITERAL("LIST") }, completion_print_clients },
        { "shards", { BYTES_LITERAL("INFO"), BYTES_LITERAL("broker") }, completion_print_shards },
};

int completion_print_values(FILE *out, const struct ctl_request *request)
{
        struct ctl_request quick = *request;
        redisReply *reply;
        struct link link;
        size_t k = 0;
        int r;

        while (strcmp(questions[k].what, request->completion) != 0)
                k++;
        quick.timeout = COMPLETION_TIMEOUT;
        r = link_ask(&link, &quick, questions[k].words, 2, &reply);
        if (!r) {
                questions[k].print(out, reply);
                freeReplyObject(reply);
        }
        link_close(&link);
        return r;
}
