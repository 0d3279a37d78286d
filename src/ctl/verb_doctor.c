/* SPDX-License-Identifier: MIT */
/* The verb doctor: findings about a broker that runs, each of which is well or says what to do. */

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "config.h"
#include "ctl/colour.h"
#include "ctl/json.h"
#include "ctl/outcome.h"
#include "ctl/say.h"
#include "ctl/status.h"
#include "ctl/text.h"
#include "ctl/verbs.h"

#define DOCTOR_TEXT_MAX 1024

struct doctor {
        const struct ctl_request *request;
        struct json json;
        bool colours;
        unsigned n_warnings;
        redisReply *status, *info, *yaml, *diff; /* what the broker answered */
};

/* ---------------------------------------------------------------- findings */

/* todo NULL: it is well. */
__attribute__((format(printf, 4, 5))) static void doctor_find(struct doctor *d, const char *check,
                                                              const char *todo, const char *format, ...)
{
        char text[DOCTOR_TEXT_MAX];
        va_list ap;

        va_start(ap, format);
        vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        d->n_warnings += todo != NULL;
        if (d->request->json) {
                json_object(&d->json, NULL);
                json_string(&d->json, "check", check);
                json_bool(&d->json, "ok", !todo);
                json_bytes(&d->json, "text", bytes_str(text));
                if (todo)
                        json_string(&d->json, "todo", todo);
                else
                        json_null(&d->json, "todo");
                json_close(&d->json);
                return;
        }
        colour_put(stdout, d->colours, todo ? COLOUR_WARNING : COLOUR_GOOD, todo ? "warning" : "ok");
        printf("%s  %-8s ", todo ? "" : "     ", check);
        text_escape(stdout, bytes_str(text));
        printf("%s%s\n", todo ? "; " : "", todo ? todo : "");
}

static uint64_t doctor_broker(const struct doctor *d, const char *name)
{
        uint64_t n = 0;

        status_number(&n, status_get(d->status, "broker"), name);
        return n;
}

/* A counter of all shards, or of the broker. */
static uint64_t doctor_count(const struct doctor *d, const char *name)
{
        const redisReply *shards = status_get(d->status, "shards");
        uint64_t sum = doctor_broker(d, name), n;

        for (size_t i = 0; i < shards->elements; i++)
                if (status_number(&n, shards->element[i], name))
                        sum += n;
        return sum;
}

static const char *doctor_text(const redisReply *map, const char *name)
{
        const redisReply *value = status_get(map, name);

        return status_is_text(value) ? value->str : "?";
}

/* ---------------------------------------------------------------- the configuration as YAML */

/* The value of a line "key: value" that begins at p. Return: false: it is another line. */
static bool yaml_value(const char *p, const char *key, char *value, size_t size)
{
        size_t n = strlen(key), out = 0;
        bool quoted;

        if (strncmp(p, key, n) != 0)
                return false;
        quoted = p[n] == '"';
        for (p += n + quoted; *p && *p != '\n' && !(quoted && *p == '"') && out + 1 < size; p++) {
                unsigned c;

                if (quoted && p[0] == '\\' && p[1] == 'x' && sscanf(p + 2, "%2x", &c) == 1) {
                        value[out++] = (char)c;
                        p += 3;
                } else {
                        p += quoted && *p == '\\' && p[1];
                        value[out++] = *p;
                }
        }
        value[out] = 0;
        return true;
}

static const char *yaml_next(const char *p)
{
        p += strcspn(p, "\n");
        return *p ? p + 1 : p;
}

/* An option of the whole file. */
static bool yaml_find(const struct doctor *d, const char *key, char *value, size_t size)
{
        for (const char *p = d->yaml->str; *p; p = yaml_next(p))
                if (yaml_value(p, key, value, size))
                        return true;
        return false;
}

/* ---------------------------------------------------------------- the checks */

static void doctor_version(struct doctor *d)
{
        const char *version = doctor_text(status_get(d->status, "broker"), "version");

        if (strcmp(version, PACKAGE_VERSION) != 0)
                doctor_find(d, "version", "restart the broker, or use the brokerctl that came with it",
                            "the broker is %.40s, this brokerctl " PACKAGE_VERSION, version);
        else
                doctor_find(d, "version", NULL, "the broker and this brokerctl are %s", version);
}

static void doctor_limits(struct doctor *d)
{
        uint64_t clients = doctor_broker(d, "clients"), max = doctor_broker(d, "max_clients"), wanted;
        char text[32];

        wanted = yaml_find(d, "max_clients: ", text, sizeof(text)) ? strtoull(text, NULL, 10) : max;
        if (max < wanted)
                doctor_find(d, "limits",
                            "raise LimitNOFILE= of the unit (or ulimit -n) and restart, or lower max_clients",
                            "max_clients is %" PRIu64 ", but the limit of descriptors leaves room for %" PRIu64,
                            wanted, max);
        else
                doctor_find(d, "limits", NULL, "there are descriptors for all of max_clients, %" PRIu64, max);
        if (max && clients >= max - max / 10)
                doctor_find(d, "clients", "raise max_clients, or see who they are by `brokerctl clients`",
                            "%" PRIu64 " of %" PRIu64 " clients are connected", clients, max);
        else
                doctor_find(d, "clients", NULL, "%" PRIu64 " of %" PRIu64 " clients are connected", clients,
                            max);
}

static void doctor_accepting(struct doctor *d)
{
        if (doctor_broker(d, "accept_paused"))
                doctor_find(d, "accept", "raise the limit of descriptors, or of open files of the machine",
                            "accepting pauses: the broker is out of descriptors or memory");
        if (doctor_broker(d, "draining"))
                doctor_find(d, "accept", "`brokerctl drain --off` ends that",
                            "the broker is draining, %" PRIu64 " clients are left",
                            doctor_broker(d, "drain_left"));
}

/* "reactor_reason:TEXT", as INFO has it. */
static void doctor_reactor(struct doctor *d)
{
        const char *name = doctor_text(status_get(d->status, "broker"), "reactor"), *reason, *bad;
        int n;

        reason = strstr(d->info->str, "\nreactor_reason:");
        reason = reason ? reason + strlen("\nreactor_reason:") : "";
        n = (int)strcspn(reason, "\r\n");
        bad = strstr(reason, "does not work here");
        if (bad && bad < reason + n)
                doctor_find(d, "reactor",
                            "it costs more without io_uring: allow it (kernel.io_uring_disabled, seccomp, "
                            "LimitMEMLOCK=), or set reactor: libev",
                            "%.20s, %.*s", name, n, reason);
        else
                doctor_find(d, "reactor", NULL, "%.20s, %.*s", name, n, reason);
}

struct socket {
        char path[256], mode[16], owner[16], group[16]; /* "": not set */
};

static bool doctor_id_differs(const char *wanted, uint32_t is)
{
        return *wanted && strtoull(wanted, NULL, 10) != is;
}

/* An abstract socket has no file. */
static void doctor_socket(struct doctor *d, const struct socket *s)
{
        static const char restart[] = "nobody finds the broker there any more; restart it";
        static const char back[] = "somebody changed it: restart the broker, or change it back";
        struct stat st;

        if (!*s->path || *s->path == '@')
                return;
        if (stat(s->path, &st) < 0)
                doctor_find(d, "sockets", errno == EACCES ? "ask as a user who may look there" : restart,
                            "%s: %s", s->path, strerror(errno));
        else if (!S_ISSOCK(st.st_mode))
                doctor_find(d, "sockets", restart, "%s is no socket", s->path);
        else if (strtoul(s->mode, NULL, 8) != (st.st_mode & 07777))
                doctor_find(d, "sockets", back, "%s has mode %04o, and the configuration says %s", s->path,
                            (unsigned)(st.st_mode & 07777), s->mode);
        else if (doctor_id_differs(s->owner, st.st_uid) || doctor_id_differs(s->group, st.st_gid))
                doctor_find(d, "sockets", back, "%s is of uid %u, gid %u, and the configuration says others",
                            s->path, (unsigned)st.st_uid, (unsigned)st.st_gid);
        else
                doctor_find(d, "sockets", NULL, "%s: mode %s, uid %u, gid %u", s->path, s->mode,
                            (unsigned)st.st_uid, (unsigned)st.st_gid);
}

static void doctor_sockets(struct doctor *d)
{
        struct socket s = { .path = "" };
        bool inside = false;

        for (const char *p = d->yaml->str; *p; p = yaml_next(p)) {
                if (*p != ' ')
                        inside = !strncmp(p, "listeners:", 10);
                if (!inside)
                        continue;
                if (!strncmp(p, "  - ", 4)) {
                        doctor_socket(d, &s);
                        s = (struct socket){ .path = "" };
                }
                yaml_value(p, "  - path: ", s.path, sizeof(s.path));
                yaml_value(p, "    mode: ", s.mode, sizeof(s.mode));
                yaml_value(p, "    owner: ", s.owner, sizeof(s.owner));
                yaml_value(p, "    group: ", s.group, sizeof(s.group));
        }
        doctor_socket(d, &s);
        s = (struct socket){ .mode = "0600" };
        if (yaml_find(d, "admin: ", s.path, sizeof(s.path)) && *s.path == '/')
                doctor_socket(d, &s);
}

static void doctor_file(struct doctor *d)
{
        const redisReply *changes = status_get(d->diff, "changes"), *errors = status_get(d->diff, "errors");
        const char *file = doctor_text(d->diff, "file");
        size_t n_later = 0;

        for (size_t i = 0; i < changes->elements; i++)
                n_later += !strcmp(doctor_text(changes->element[i], "applies"), "restart");
        if (!outcome_ok(d->diff))
                doctor_find(d, "config", "the next start will fail: `brokerctl config check` says more",
                            "%.300s has errors, the first: %.500s", file,
                            errors->elements ? errors->element[0]->str : "?");
        else if (changes->elements > n_later)
                doctor_find(d, "config", "see `brokerctl config diff`, then `brokerctl config reload`",
                            "%zu value%s of %.300s differ%s from what runs", changes->elements,
                            changes->elements == 1 ? "" : "s", file, changes->elements == 1 ? "s" : "");
        else if (n_later)
                doctor_find(d, "config", "see `brokerctl config diff`, and restart the broker",
                            "%zu value%s of %.300s wait%s for the next start", n_later, n_later == 1 ? "" : "s",
                            file, n_later == 1 ? "s" : "");
        else
                doctor_find(d, "config", NULL, "%.300s is what runs", file);
}

/* What was lost or refused since the start, and what to do about it. */
static const struct {
        const char *counter, *what, *todo;
} troubles[] = {
        { "lost_drop_oldest", "messages lost by slow subscribers (drop-oldest)",
          "see `brokerctl clients --sort lost`" },
        { "lost_drop_newest", "messages lost by slow subscribers (drop-newest)",
          "see `brokerctl clients --sort lost`" },
        { "lost_conflate", "messages lost by slow subscribers (conflate)",
          "that is what conflate is for, if it was meant" },
        { "output_limit_closed", "clients disconnected that did not read",
          "see the log for who; max_output_bytes is the limit" },
        { "block_timeouts", "subscribers disconnected that made publishers wait",
          "see the log for who they were" },
        { "rejected_full", "connections refused, since there were max_clients", "raise max_clients" },
        { "rejected_user_clients", "connections refused by max_clients_per_user",
          "see the log for whose they were" },
        { "rejected_user_connects", "connections refused by max_connects_per_user",
          "see the log for whose they were" },
        { "accept_errors", "connections lost while they were accepted", "see the log for why" },
        { "auth_wrong", "wrong passwords", "see the log for who gave them" },
        { "denied_publish", "publishes denied", "see the log, and `brokerctl explain`" },
        { "denied_subscribe", "subscriptions denied", "see the log, and `brokerctl explain`" },
        { "denied_admin", "attempts to administer denied", "see the log for whose they were" },
        { "denied_connections", "connections by abstract sockets denied",
          "see the log, and the rules of access" },
        { "protocol_errors", "requests that were not the protocol", "see the log for whose they were" },
        { "request_limit_closed", "clients disconnected by max_request_bytes",
          "see the log for who they were" },
        { "query_limit_closed", "clients disconnected by max_query_bytes", "see the log for who they were" },
        { "message_limit_refused", "messages refused by max_message_bytes", "see the log for whose they were" },
        { "subscription_limit_refused", "subscriptions refused by max_subscriptions", "see the log for whose" },
        { "pattern_limit_refused", "subscriptions refused by max_patterns", "see the log for whose they were" },
        { "channel_limit_refused", "subscriptions refused by max_channels", "see the log for whose they were" },
};

static void doctor_troubles(struct doctor *d)
{
        unsigned before = d->n_warnings;

        for (size_t i = 0; i < sizeof(troubles) / sizeof(*troubles); i++) {
                uint64_t n = doctor_count(d, troubles[i].counter);

                if (n)
                        doctor_find(d, "losses", troubles[i].todo, "since the start: %" PRIu64 " %s", n,
                                    troubles[i].what);
        }
        if (d->n_warnings == before)
                doctor_find(d, "losses", NULL, "since the start nothing was lost or refused");
}

/* ---------------------------------------------------------------- the verb */

/* Return: CTL_OK, else enum ctl_exit. */
static int doctor_ask(struct link *link, const struct ctl_request *request, const char *question,
                      redisReply **replyp)
{
        struct bytes words[4];
        size_t n = 0;

        for (const char *p = question; *p; p += strspn(p, " ")) {
                words[n++] = bytes_of(p, strcspn(p, " "));
                p += words[n - 1].n;
        }
        return link_ask_on(link, request, words, n, replyp);
}

static int doctor_ask_all(struct doctor *d, struct link *link)
{
        int r = doctor_ask(link, d->request, "BROKER STATUS", &d->status);

        if (!r)
                r = doctor_ask(link, d->request, "INFO broker", &d->info);
        if (!r)
                r = doctor_ask(link, d->request, "BROKER CONFIG SHOW", &d->yaml);
        if (!r)
                r = doctor_ask(link, d->request, "BROKER CONFIG DIFF", &d->diff);
        if (r)
                return r;
        if (status_valid(d->status) && status_is_text(d->info) && status_is_text(d->yaml) &&
            outcome_valid(d->diff))
                return CTL_OK;
        return verb_strange(link);
}

/* Return: CTL_OK, CTL_FAILED: something is to be done. */
static int doctor_look(struct doctor *d)
{
        int r;

        if (d->request->json) {
                json_begin(&d->json, stdout, "brokerctl.doctor/1");
                json_list(&d->json, "checks");
        }
        doctor_version(d);
        doctor_limits(d);
        doctor_accepting(d);
        doctor_reactor(d);
        doctor_sockets(d);
        doctor_file(d);
        doctor_troubles(d);
        if (d->request->json) {
                json_close(&d->json);
                json_unsigned(&d->json, "warnings", d->n_warnings);
                json_end(&d->json);
        }
        r = say_flush();
        return r ? r : d->n_warnings ? CTL_FAILED : CTL_OK;
}

static void doctor_free(redisReply *reply)
{
        if (reply)
                freeReplyObject(reply);
}

int verb_doctor(const struct ctl_request *request)
{
        struct doctor d = { .request = request, .colours = colour_wanted(request, stdout) };
        struct link link;
        int r = link_open(&link, request);

        if (!r)
                r = doctor_ask_all(&d, &link);
        if (!r)
                r = doctor_look(&d);
        doctor_free(d.status);
        doctor_free(d.info);
        doctor_free(d.yaml);
        doctor_free(d.diff);
        link_close(&link);
        return r;
}
