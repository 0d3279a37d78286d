/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/buffer.h"
#include "util/bytes.h"

/*
 * Who may say what to whom: rules, and the verdicts on what somebody wants to do.
 *
 * A rule names subjects, actions and channels. Every key that is given must fit; of a list one entry is enough.
 * Deny beats allow, in whatever order the rules stand, so that a rule can be read without the others and
 * another file's allow opens nothing that is closed here. Where no rule fits, the default decides.
 *
 * What rules say of subscribing to a channel holds for shard channels, too. A pattern may be subscribed to
 * unless deny rules (of subscribe or psubscribe) cover every channel that it matches; else it must lie within
 * what allow rules of psubscribe cover together, or the default must be allow. A part that deny rules cover is
 * left out of what it hears.
 *
 * The right to administer has no channel, and no default: it is that of uid 0 and the broker's own. Allow rules
 * give it to others, deny rules take it from anybody.
 *
 * An abstract socket has no mode, so that everybody can connect to it. By one, users other than uid 0 and the
 * broker's own may do only what an allow rule says, whatever the default.
 */

enum access_action {
        ACCESS_PUBLISH,
        ACCESS_SUBSCRIBE,
        ACCESS_PSUBSCRIBE,
        ACCESS_ADMIN,
        _ACCESS_ACTION_N,
};

struct access_range {
        uint32_t least, greatest; /* of uids, both included */
};

struct access_rule {
        bool deny;
        unsigned actions;                 /* bits 1 << enum access_action */
        const struct access_range *users; /* 0 of them: any */
        unsigned n_users;
        const uint32_t *groups; /* 0: any; of the client's, one is enough */
        unsigned n_groups;
        const char *const *names; /* authenticated names; 0: any, and none */
        unsigned n_names;
        const char *listener;         /* path; NULL: any */
        const struct bytes *channels; /* patterns; 0: any channel */
        unsigned n_channels;
        const char *place; /* "broker.yaml:17: access[2]", for logs */
};

struct access;

/* Copies what it needs. */
struct access *access_new(const struct access_rule *rules, unsigned n, bool allow_by_default);

/* Return: NULL. */
struct access *access_free(struct access *access);

/* -------------------------------------------------------------------------------------------- subjects */

struct access_subject {
        uint32_t uid, gid;
        const uint32_t *groups; /* supplementary ones */
        unsigned n_groups;
        const char *name;     /* authenticated; NULL: none */
        const char *listener; /* path, "@name" of an abstract socket */
};

/* Whether it comes by an abstract socket, and is neither uid 0 nor the owner, who is the broker's own user. */
bool access_is_stranger(const struct access_subject *subject, uint32_t owner);

/*
 * What a set of rules is to those whom the same of them fit. Verdicts depend on the class and the channel only,
 * so they are kept by channel, for the first 64 classes.
 */
struct access_class {
        uint64_t generation; /* of access_classes_new(); 0 is none's */
        uint64_t bit;        /* in struct access_verdicts; 0: nothing is kept */
        bool admin;          /* may administer */
        bool refused;        /* a stranger whom no allow rule fits, whoever he turns out to be */
        bool hears_less;     /* there are channels that its patterns match and it must not hear */
};

/* The classes of one thread under one set of rules, which must outlive them. */
struct access_classes;

struct access_classes *access_classes_new(const struct access *access, uint32_t owner, uint64_t generation);

/* Return: NULL. */
struct access_classes *access_classes_free(struct access_classes *classes);

/* Return: a class, which lives as long as the classes. */
const struct access_class *access_classify(struct access_classes *classes,
                                           const struct access_subject *subject);

/* -------------------------------------------------------------------------------------------- verdicts */

struct access_verdict {
        bool allowed;
        bool unknown;      /* denied, since it could not be found out within the steps */
        bool several;      /* it took more than one rule */
        const char *place; /* of the rule that decided; NULL: the default, or several */
};

/* Whether the class may publish or subscribe to a channel; action is one of the two. */
struct access_verdict access_decide(const struct access_class *class, enum access_action action,
                                    struct bytes channel);

/* Whether it may subscribe to a pattern. steps: as contain_check() takes them. */
struct access_verdict access_decide_pattern(const struct access_class *class, struct bytes pattern,
                                            size_t *steps);

/* Whether it may administer; a place, unless that is by default. */
struct access_verdict access_decide_admin(const struct access_class *class);

/* Whether its patterns hear a channel that they match. */
bool access_hears(const struct access_class *class, struct bytes channel);

/* Says in words why something was denied. */
void access_explain(struct buffer *b, const struct access_verdict *verdict);

/* -------------------------------------------------------------------------------------------- kept verdicts */

enum access_question {
        ACCESS_MAY_PUBLISH,
        ACCESS_MAY_SUBSCRIBE, /* to the channel, or, kept by a pattern, to the pattern */
        ACCESS_MAY_HEAR,      /* access_hears() */
        _ACCESS_QUESTION_N,
};

/* What was found out about one channel or pattern, by the bits of classes. Zeroed: nothing. */
struct access_verdicts {
        uint64_t generation; /* of the classes; for others nothing is known */
        struct {
                uint64_t allowed, denied;
        } of[_ACCESS_QUESTION_N];
};

extern const struct access_verdicts access_nothing_known;

/* Return: whether it is known that the class may. */
static inline bool access_known_allowed(const struct access_verdicts *verdicts,
                                        const struct access_class *class, enum access_question question)
{
        return verdicts->generation == class->generation && verdicts->of[question].allowed & class->bit;
}

/* Answers from what is kept, or finds it out and keeps it. */
bool access_may(const struct access_class *class, enum access_question question, struct bytes channel,
                struct access_verdicts *verdicts);
bool access_may_pattern(const struct access_class *class, struct bytes pattern,
                        struct access_verdicts *verdicts, size_t *steps);
