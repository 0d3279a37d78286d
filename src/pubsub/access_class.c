/* SPDX-License-Identifier: MIT */
/*
 * Classes and verdicts. A class is found by the set of rules that fit it, which is formed once for each
 * subject; subjects are remembered, since most clients of a user are alike. How many different ones come is up
 * to the machine's users, so the memory of them is emptied when it grows long; classes are as many as the rules
 * make.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pubsub/access.h"
#include "pubsub/access_rule.h"
#include "pubsub/contain.h"
#include "util/hash.h"
#include "util/mem.h"

#define SUBJECTS_MAX 4096

/* Patterns of several rules, and of which each is. */
struct patterns_of {
        struct bytes *patterns;
        const struct rule **rules;
        size_t n;
        const struct rule *all; /* one of them covers every channel; NULL: none does */
};

struct class
{
        struct access_class public;
        bool allow_by_default;
        bool stranger, trusted;    /* trusted: administers by default */
        uint64_t *fits;            /* bits of the rules */
        const struct rule **rules; /* that fit, those that deny first */
        unsigned n_deny, n;
        struct patterns_of silence; /* what deny rules keep from patterns */
        struct patterns_of open;    /* what allow rules let patterns match */
};

struct subject {
        uint64_t hash;
        struct access_subject key;
        const struct class *class;
};

struct access_classes {
        const struct access *access;
        uint32_t owner;
        uint64_t generation;
        struct class **classes;
        size_t n, cap;
        struct table subjects;
};

static const struct class *class_of(const struct access_class *class)
{
        return (const struct class *)(const void *)class; /* its first member */
}

/* -------------------------------------------------------------------------------------------- classes */

static unsigned bit_of(enum access_action action)
{
        return 1u << action;
}

static void patterns_add_rule(struct patterns_of *to, const struct rule *rule)
{
        if (rule->n_channels == 0)
                to->all = to->all ? to->all : rule;
        to->patterns = mem_realloc(to->patterns, (to->n + rule->n_channels + 1) * sizeof(*to->patterns));
        to->rules = mem_realloc(to->rules, (to->n + rule->n_channels + 1) * sizeof(*to->rules));
        for (unsigned i = 0; i < rule->n_channels; i++) {
                to->patterns[to->n] = rule->channels[i].pattern;
                to->rules[to->n++] = rule;
        }
}

static bool class_administers(const struct class *class)
{
        bool admin = class->trusted;

        for (unsigned i = 0; i < class->n; i++)
                if (class->rules[i]->actions & bit_of(ACCESS_ADMIN)) {
                        if (class->rules[i]->deny)
                                return false;
                        admin = true;
                }
        return admin;
}

static void class_add_rules(struct class *class, const struct access *access, bool deny)
{
        for (unsigned i = 0; i < access->n; i++) {
                const struct rule *rule = &access->rules[i];

                if (rule->deny != deny || !(class->fits[i / 64] >> i % 64 & 1))
                        continue;
                class->rules[class->n++] = rule;
                class->n_deny += deny;
                if (deny && rule->actions & (bit_of(ACCESS_SUBSCRIBE) | bit_of(ACCESS_PSUBSCRIBE)))
                        patterns_add_rule(&class->silence, rule);
                else if (!deny && rule->actions & bit_of(ACCESS_PSUBSCRIBE))
                        patterns_add_rule(&class->open, rule);
        }
}

/* Takes fits over. */
static struct class *class_new(struct access_classes *classes, uint64_t *fits, const struct class *key)
{
        struct class *class = mem_zalloc(sizeof(*class));

        *class = *key;
        class->fits = fits;
        class->public.generation = classes->generation;
        class->public.bit = classes->n < 64 ? UINT64_C(1) << classes->n : 0;
        class->allow_by_default = classes->access->allow_by_default && !class->stranger;
        class->rules = mem_alloc((classes->access->n + 1) * sizeof(*class->rules));
        class_add_rules(class, classes->access, true);
        class_add_rules(class, classes->access, false);
        class->public.admin = class_administers(class);
        class->public.hears_less = class->silence.all || class->silence.n > 0;
        if (classes->n == classes->cap) {
                classes->cap = classes->cap ? 2 * classes->cap : 8;
                classes->classes = mem_realloc(classes->classes, classes->cap * sizeof(*classes->classes));
        }
        classes->classes[classes->n++] = class;
        return class;
}

static void class_free(struct class *class)
{
        free(class->fits);
        free(class->rules);
        free(class->silence.patterns);
        free(class->silence.rules);
        free(class->open.patterns);
        free(class->open.rules);
        free(class);
}

/* What the rules are to a subject. Return: the class, a new one if nobody was like this. */
static const struct class *class_find(struct access_classes *classes, const struct access_subject *subject)
{
        const struct access *access = classes->access;
        size_t n_words = access->n / 64 + 1;
        uint64_t *fits = mem_zalloc(n_words * sizeof(*fits));
        struct class key = { .stranger = access_is_stranger(subject, classes->owner),
                             .trusted = subject->uid == 0 || subject->uid == classes->owner };
        bool granted = false;

        for (unsigned i = 0; i < access->n; i++) {
                const struct rule *rule = &access->rules[i];

                if (rule_fits(rule, subject, false))
                        fits[i / 64] |= UINT64_C(1) << i % 64;
                granted |= key.stranger && !rule->deny && rule_fits(rule, subject, true);
        }
        key.public.refused = key.stranger && !granted;
        for (size_t i = 0; i < classes->n; i++) {
                struct class *class = classes->classes[i];

                if (class->stranger == key.stranger && class->trusted == key.trusted &&
                    class->public.refused == key.public.refused &&
                    !memcmp(class->fits, fits, n_words * sizeof(*fits))) {
                        free(fits);
                        return class;
                }
        }
        return class_new(classes, fits, &key);
}

/* -------------------------------------------------------------------------------------------- subjects */

static bool text_equal(const char *a, const char *b)
{
        return a == b || (a && b && !strcmp(a, b));
}

static bool subject_equal(const void *item, const void *key)
{
        const struct access_subject *a = &((const struct subject *)item)->key, *b = key;

        return a->uid == b->uid && a->gid == b->gid && a->n_groups == b->n_groups &&
               (!a->n_groups || !memcmp(a->groups, b->groups, a->n_groups * sizeof(*a->groups))) &&
               text_equal(a->name, b->name) && text_equal(a->listener, b->listener);
}

static uint64_t subject_hash(const struct access_subject *subject)
{
        uint64_t hash = hash_word((uint64_t)subject->uid << 32 | subject->gid);

        for (unsigned i = 0; i < subject->n_groups; i++)
                hash = hash_word(hash + subject->groups[i]);
        for (const char *p = subject->name; p && *p; p++)
                hash = hash_word(hash + (uint8_t)*p);
        for (const char *p = subject->listener; *p; p++)
                hash = hash_word(hash + (uint8_t)*p);
        return hash;
}

static char *subject_text(const char *text)
{
        return text ? memcpy(mem_alloc(strlen(text) + 1), text, strlen(text) + 1) : NULL;
}

static struct subject *subject_new(const struct access_subject *key, uint64_t hash)
{
        struct subject *subject = mem_alloc(sizeof(*subject));
        size_t size = key->n_groups * sizeof(*key->groups);
        uint32_t *groups = size ? memcpy(mem_alloc(size), key->groups, size) : NULL;

        *subject = (struct subject){ .hash = hash, .key = *key };
        subject->key.groups = groups;
        subject->key.name = subject_text(key->name);
        subject->key.listener = subject_text(key->listener);
        return subject;
}

static void subjects_empty(struct access_classes *classes)
{
        struct subject *subject;
        size_t pos = 0;

        while ((subject = table_next(&classes->subjects, &pos))) {
                free((void *)(uintptr_t)subject->key.groups);
                free((void *)(uintptr_t)subject->key.name);
                free((void *)(uintptr_t)subject->key.listener);
                free(subject);
        }
        table_deinit(&classes->subjects);
}

const struct access_class *access_classify(struct access_classes *classes, const struct access_subject *key)
{
        uint64_t hash = subject_hash(key);
        struct subject *subject = table_find(&classes->subjects, hash, subject_equal, key);

        if (!subject) {
                if (classes->subjects.n == SUBJECTS_MAX)
                        subjects_empty(classes);
                subject = subject_new(key, hash);
                subject->class = class_find(classes, key);
                table_add(&classes->subjects, hash, subject);
        }
        return &subject->class->public;
}

struct access_classes *access_classes_new(const struct access *access, uint32_t owner, uint64_t generation)
{
        struct access_classes *classes = mem_zalloc(sizeof(*classes));

        classes->access = access;
        classes->owner = owner;
        classes->generation = generation;
        return classes;
}

struct access_classes *access_classes_free(struct access_classes *classes)
{
        if (!classes)
                return NULL;
        subjects_empty(classes);
        for (size_t i = 0; i < classes->n; i++)
                class_free(classes->classes[i]);
        free(classes->classes);
        free(classes);
        return NULL;
}

/* -------------------------------------------------------------------------------------------- verdicts */

struct access_verdict access_decide(const struct access_class *public, enum access_action action,
                                    struct bytes channel)
{
        const struct class *class = class_of(public);

        for (unsigned i = 0; i < class->n; i++) {
                const struct rule *rule = class->rules[i];

                if (rule->actions & bit_of(action) && rule_covers(rule, channel))
                        return (struct access_verdict){ .allowed = !rule->deny, .place = rule->place };
        }
        return (struct access_verdict){ .allowed = class->allow_by_default };
}

/* Whether the patterns cover all that the pattern matches; sets all of the verdict but whether it is allowed.
 */
static enum contain patterns_cover(const struct patterns_of *of, struct bytes pattern, size_t *steps,
                                   struct access_verdict *verdict)
{
        const struct rule *rule = of->all;
        enum contain result = CONTAIN_YES;
        size_t which;

        if (!of->all) {
                result = contain_check(pattern, of->patterns, of->n, steps, &which);
                rule = result == CONTAIN_YES && which < of->n ? of->rules[which] : NULL;
        }
        *verdict = (struct access_verdict){ .unknown = result == CONTAIN_UNKNOWN,
                                            .several = result == CONTAIN_YES && !rule,
                                            .place = rule ? rule->place : NULL };
        return result;
}

struct access_verdict access_decide_pattern(const struct access_class *public, struct bytes pattern,
                                            size_t *steps)
{
        const struct class *class = class_of(public);
        struct access_verdict verdict;

        if (patterns_cover(&class->silence, pattern, steps, &verdict) != CONTAIN_NO)
                return verdict;
        if (class->allow_by_default)
                verdict.allowed = true;
        else
                verdict.allowed = patterns_cover(&class->open, pattern, steps, &verdict) == CONTAIN_YES;
        return verdict;
}

/* The first rule that fits decides, since those that deny come first. */
struct access_verdict access_decide_admin(const struct access_class *public)
{
        const struct class *class = class_of(public);

        for (unsigned i = 0; i < class->n; i++)
                if (class->rules[i]->actions & bit_of(ACCESS_ADMIN))
                        return (struct access_verdict){ .allowed = !class->rules[i]->deny,
                                                        .place = class->rules[i]->place };
        return (struct access_verdict){ .allowed = class->trusted };
}

bool access_hears(const struct access_class *public, struct bytes channel)
{
        const struct class *class = class_of(public);

        for (unsigned i = 0; i < class->n_deny; i++) {
                const struct rule *rule = class->rules[i];

                if (rule->actions & (bit_of(ACCESS_SUBSCRIBE) | bit_of(ACCESS_PSUBSCRIBE)) &&
                    rule_covers(rule, channel))
                        return false;
        }
        return true;
}

void access_explain(struct buffer *b, const struct access_verdict *verdict)
{
        if (verdict->unknown)
                buffer_printf(b, "it would take too long to find out whether the rules allow it");
        else if (verdict->place)
                buffer_printf(b, "%s %s it", verdict->place, verdict->allowed ? "allows" : "denies");
        else if (verdict->several)
                buffer_printf(b, "several rules together %s it", verdict->allowed ? "allow" : "deny");
        else
                buffer_printf(b, "no rule %s it", verdict->allowed ? "denies" : "allows");
}

/* -------------------------------------------------------------------------------------------- kept verdicts */

const struct access_verdicts access_nothing_known;

/* Return: 1 allowed, 0 denied, -1 not known. */
static int verdicts_look(struct access_verdicts *verdicts, const struct access_class *class,
                         enum access_question question)
{
        if (verdicts->generation != class->generation)
                *verdicts = (struct access_verdicts){ .generation = class->generation };
        if (verdicts->of[question].allowed & class->bit)
                return 1;
        return verdicts->of[question].denied & class->bit ? 0 : -1;
}

static bool verdicts_keep(struct access_verdicts *verdicts, const struct access_class *class,
                          enum access_question question, bool allowed)
{
        if (allowed)
                verdicts->of[question].allowed |= class->bit;
        else
                verdicts->of[question].denied |= class->bit;
        return allowed;
}

bool access_may(const struct access_class *class, enum access_question question, struct bytes channel,
                struct access_verdicts *verdicts)
{
        int known = verdicts_look(verdicts, class, question);
        bool allowed;

        if (known >= 0)
                return known;
        if (question == ACCESS_MAY_HEAR)
                allowed = access_hears(class, channel);
        else
                allowed =
                        access_decide(class, question == ACCESS_MAY_PUBLISH ? ACCESS_PUBLISH : ACCESS_SUBSCRIBE,
                                      channel)
                                .allowed;
        return verdicts_keep(verdicts, class, question, allowed);
}

bool access_may_pattern(const struct access_class *class, struct bytes pattern,
                        struct access_verdicts *verdicts, size_t *steps)
{
        int known = verdicts_look(verdicts, class, ACCESS_MAY_SUBSCRIBE);
        struct access_verdict verdict;

        if (known >= 0)
                return known;
        verdict = access_decide_pattern(class, pattern, steps);
        if (verdict.unknown)
                return false; /* with more steps it may be another */
        return verdicts_keep(verdicts, class, ACCESS_MAY_SUBSCRIBE, verdict.allowed);
}
