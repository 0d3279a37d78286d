/* SPDX-License-Identifier: MIT */
/* The table of verbs. Every one but help connects, asks, and prints what came as data on stdout. */

#include "ctl/verbs.h"

#include <stdio.h>
#include <string.h>

#include "ctl/completion.h"
#include "ctl/say.h"

int verb_strange(const struct link *link)
{
        say_error("%s gave an answer that does not fit the question: is it brokerd's, and of this version?",
                  link->path);
        return CTL_FAILED;
}

/* For a shell that completes a line, which must not be disturbed. */
static int verb_help_values(const struct ctl_request *request)
{
        int r = completion_print_values(stdout, request);

        return r ? r : say_flush();
}

int verb_help(const struct ctl_request *request)
{
        const struct ctl_verb *verb = NULL;
        int used;

        if (request->completion && strcmp(request->completion, "bash") != 0)
                return verb_help_values(request);
        if (request->completion) {
                completion_print_bash(stdout);
                return say_flush();
        }
        if (request->n_operands > 0) {
                verb = args_find_verb(request->operands, request->n_operands, &used);
                if (!verb)
                        return args_unknown_verb(request->operands, request->n_operands);
                if (used < request->n_operands)
                        return say_usage("\"%s\" is one command; one at a time is explained", verb->name);
        }
        args_print_help(stdout, verb);
        return say_flush();
}

#define ONLY_ADMINS "Only uid 0 and the user that brokerd runs as may ask.\n"

const struct ctl_verb ctl_verbs[] = {
        { "ping", "", 0, 0, "j", "ask whether the broker answers",
          "Asks the broker for a sign of life, and prints its answer, PONG.\n", verb_ping },
        { "status", "", 0, 0, "jR", "show the broker and its shards on one screen",
          "Shows what the broker and each of its shards are doing. Sizes (back, waits) are in\n"
          "binary units, counts in decimal ones; a total of ring and back is the largest value.\n"
          "With --raw: exact lines \"broker.NAME VALUE\" and \"shard.ID.NAME VALUE\".\n"
          "Only uid 0 and the user that brokerd runs as may ask.\n",
          verb_status },
        { "top", "", 0, 0, "benj", "watch rates, channels, publishers and slow clients",
          "A screen with rates, shards, and the channels, publishers and slow clients that stand out;\n"
          "? lists the keys. With --batch, --json, or where no terminal is, a line for each look.\n"
          "Only who may administer the broker may ask.\n",
          verb_top },
        { "shards", "", 0, 0, "jiO", "show what each shard does",
          "Shows CPU time and what it goes to, rates, wakes between shards, and what is full, of each\n"
          "shard. Rates are between two looks; with --once they are since the start of the broker.\n"
          "ring is the fullest ring to another shard now, high the most that was seen.\n"
          "Only who may administer the broker may ask.\n",
          verb_shards },
        { "latency", "", 0, 0, "jx", "show how long turns take, and whose fault slow is",
          "Shows how long the turns of each shard take, and those in which clients said something,\n"
          "from when that is seen to when all that comes of it is written; then what waits, where,\n"
          "and for whom. With --reset turns are counted anew, after they were shown.\n"
          "Only who may administer the broker may ask.\n",
          verb_latency },
        { "pub", "CHANNEL [MESSAGE]", 1, 2, "jr", "publish a message, print the number of receivers",
          "Publishes MESSAGE and prints how many subscribers it went to. Without MESSAGE, or when\n"
          "it is \"-\", the message is all of standard input, byte for byte.\n",
          verb_pub },
        { "sub", "CHANNEL...", 1, -1, "pnjR2", "subscribe, print messages as they come",
          "Prints a line for each message: the channel, a tab, the message. Backslash, tab, newline\n"
          "and carriage return appear as \\\\ \\t \\n \\r, other bytes that are not printable as \\xHH.\n"
          "With --raw: the message's bytes only, as they are, and nothing between messages.\n"
          "With --time: before the channel, when it came, and a tab.\n"
          "Runs until interrupted, or until --count messages came.\n",
          verb_sub },
        { "tap", "[PATTERN]", 0, 1, "njL5X", "watch the messages of all clients",
          "Prints a line for each message that anybody publishes to a channel that matches PATTERN:\n"
          "time, publisher (its name, else its program), its process id and uid, channel, size,\n"
          "receivers, and the beginning of the payload, with tabs between them. Bytes appear as with\n"
          "`brokerctl sub`; \"...\" says that there is more. What is above --limit, or more than brokerctl\n"
          "can read, is skipped and counted on standard error; the broker never waits for a tap.\n"
          "Only uid 0 and the user that brokerd runs as may ask.\n",
          verb_tap },
        { "clients", "", 0, 0, "juSNow", "list the clients",
          "Lists the clients with what waits for them (bytes), what they lost (messages), and what\n"
          "they are called. program is what the kernel knows the process by.\n"
          "--sort takes id, age, idle, waits, lost, subs, patterns, user, pid, name, memory.\n"
          "Who may not administer the broker sees clients of the own user only.\n",
          verb_clients },
        { "client", "ID", 1, 1, "j", "show all that is known of a client",
          "Shows who the client is, what it subscribes to, what waits for it, what it lost, and\n"
          "which limits hold for it and how near it is to each. The command line of its process is\n"
          "what the kernel of this machine knows now.\n"
          "Only who may administer the broker may ask.\n",
          verb_client },
        { "channels", "[PATTERN]", 0, 1, "joOL", "list the channels, who subscribes, and how much comes",
          "Lists channels and shard channels that somebody wants, or those that match, with their\n"
          "subscribers by name (program[id] for those without), and the patterns that match with\n"
          "their number of subscribers. The rate is that of one second, for which it waits.\n"
          "--sort takes name, subs, rate, messages, bytes, last.\n"
          "Only who may administer the broker may ask.\n",
          verb_channels },
        { "patterns", "[PATTERN]", 0, 1, "joL", "list the patterns and who subscribes",
          "Lists the patterns that somebody subscribes to, or those whose text matches, with their\n"
          "subscribers by name, and the number of channels with subscribers that they match.\n"
          "--sort takes name, subs, channels.\n"
          "Only who may administer the broker may ask.\n",
          verb_patterns },
        { "kill", "[ID...]", 0, -1, "juSNowyd", "disconnect clients",
          "Disconnects the clients with these ids, or those that fit the options, after showing\n"
          "them and asking. Never itself. Exit status 6: some had gone already.\n"
          "--sort takes what it does for clients.\n",
          verb_kill },
        { "config check", "[FILE]", 0, 1, "j", "check a configuration file",
          "Checks FILE, or the default one, as the brokerd beside this brokerctl would read it. No\n"
          "broker need run, and the file is read with the rights of who asks.\n",
          verb_config_check },
        { "config show", "", 0, 0, "jD", "show the configuration that runs",
          "Prints the configuration that runs as YAML: what differs from its default, and with\n"
          "--defaults all of it.\n" ONLY_ADMINS,
          verb_config_show },
        { "config diff", "", 0, 0, "j", "compare the file with what runs",
          "Shows what a reload would change, and what waits for the next start. Nothing is "
          "changed.\n" ONLY_ADMINS,
          verb_config_diff },
        { "config reload", "", 0, 0, "jd", "read the configuration file again",
          "Reads the file again, as SIGHUP does, and shows what changed and what waits for the next\n"
          "start. A file with an error changes nothing; then the exit status is 1.\n" ONLY_ADMINS,
          verb_config_reload },
        { "log", "LEVEL", 1, 1, "j", "set what is logged, until the next reload",
          "Sets the least severe level that is logged: error, warning, notice, info or debug. The next\n"
          "reload takes it from the file again.\n" ONLY_ADMINS,
          verb_log },
        { "drain", "", 0, 0, "jFW", "let no new clients in",
          "From here on the broker refuses who connects, but for the admin socket. Who is there stays,\n"
          "and is told nothing. --off lets everybody in again. With --wait it returns when the last\n"
          "client has gone.\n" ONLY_ADMINS,
          verb_drain },
        { "explain", "ACTION [CHANNEL]", 1, 2, "jAl", "say which rule decides, and why",
          "Says whether a user may publish to CHANNEL, subscribe to it, psubscribe to it as a pattern,\n"
          "or admin, which has no channel; and which rule of the configuration decides that. The user's\n"
          "groups are those of the system's files. Without --as: who asks.\n" ONLY_ADMINS,
          verb_explain },
        { "doctor", "", 0, 0, "j", "look for what is wrong, and say what to do",
          "Looks at limits, the reactor, sockets, the configuration file, versions, and what was lost or\n"
          "refused since the start. Each finding is a line; the exit status is 1 if one is a "
          "warning.\n" ONLY_ADMINS,
          verb_doctor },
        { "metrics", "", 0, 0, "0", "the broker's figures for Prometheus",
          "Prints the figures of `brokerctl status --raw` as Prometheus reads them, in its text format\n"
          "0.0.4. With -o FILE: into a file for node_exporter, which is replaced as a whole.\n"
          "Only uid 0 and the user that brokerd runs as may ask.\n",
          verb_metrics },
        { "bench", "", 0, 0, "j345678y", "measure the running broker under load",
          "Publishes to a channel of its own and subscribes to it, and prints how many messages went\n"
          "how fast, the latency, and what was lost; with what figures compare by. Without --rate a\n"
          "client sends when it is answered; with it by the clock, and what is late counts from when\n"
          "it was due. A warm-up is not counted. It loads the broker that runs, and asks first.\n",
          verb_bench },
        { "shutdown", "", 0, 0, "", "stop the broker",
          "Asks the broker to stop, and waits until it closes the connection. Only uid 0 and the\n"
          "user that brokerd runs as may ask.\n",
          verb_shutdown },
        { "help", "[COMMAND]", 0, 2, "9", "explain a command", "Explains a command, or lists them all.\n",
          verb_help },
        { .name = NULL },
};
