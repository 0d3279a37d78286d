/* SPDX-License-Identifier: MIT */

#include "pubsub/access.h"

#include <stdio.h>
#include <stdlib.h>

#include "pubsub/contain.h"
#include "pubsub/glob.h"
#include "pubsub/reference.h"
#include "support/suite.h"
#include "util/prng.h"

#define OWNER 500

#define P (1u << ACCESS_PUBLISH)
#define S (1u << ACCESS_SUBSCRIBE)
#define Q (1u << ACCESS_PSUBSCRIBE)
#define A (1u << ACCESS_ADMIN)

#define ALLOW(_actions) .deny = false, .actions = (_actions)
#define DENY(_actions)  .deny = true, .actions = (_actions)
#define USER(_uid)      .users = &(const struct access_range){ _uid, _uid }, .n_users = 1
#define GROUP(_gid)     .groups = &(const uint32_t){ _gid }, .n_groups = 1
#define NAME(_name)     .names = &(const char *const){ _name }, .n_names = 1
#define CHANNEL(_text)                                                                                         \
        .channels = &(const struct bytes){ (const uint8_t *)(_text), sizeof(_text) - 1 }, .n_channels = 1

/* -------------------------------------------------------------------------------------------- cases */

/* A question to rules, and its answer. */
struct question {
        const char *about;
        struct access_rule rules[3]; /* those with actions */
        bool allow_by_default;
        struct access_subject subject;
        unsigned action;
        const char *channel;
        size_t size; /* 0: strlen() */
        bool allowed;
};

#define SOMEBODY                                                                                               \
        {                                                                                                      \
                .uid = 7, .gid = 70, .listener = "/s"                                                          \
        }
#define STRANGER                                                                                               \
        {                                                                                                      \
                .uid = 7, .gid = 70, .listener = "@s"                                                          \
        }

static const uint32_t groups[] = { 71, 72 };

/* What people get wrong. */
static const struct question questions[] = {
        { "nothing is said", { { 0 } }, true, SOMEBODY, P, "a", 0, true },
        { "nothing is said, and that means no", { { 0 } }, false, SOMEBODY, P, "a", 0, false },
        { "a prefix is no word", { { ALLOW(P), CHANNEL("a*") } }, false, SOMEBODY, P, "ab", 0, true },
        { "the dot counts", { { ALLOW(P), CHANNEL("a.*") } }, false, SOMEBODY, P, "ab", 0, false },
        { "the prefix itself lacks the dot",
          { { ALLOW(P), CHANNEL("a.*") } },
          false,
          SOMEBODY,
          P,
          "a",
          0,
          false },
        { "nothing may follow", { { ALLOW(P), CHANNEL("a.*") } }, false, SOMEBODY, P, "a.", 0, true },
        { "a dot is no separator", { { ALLOW(P), CHANNEL("a.*") } }, false, SOMEBODY, P, "a.b.c", 0, true },
        { "no regular expression", { { ALLOW(P), CHANNEL("a.c") } }, false, SOMEBODY, P, "abc", 0, false },
        { "a star is not the empty channel", { { ALLOW(P), CHANNEL("*") } }, false, SOMEBODY, P, "", 0, false },
        { "no pattern is", { { ALLOW(P) } }, false, SOMEBODY, P, "", 0, true },
        { "nor is it denied by a star", { { DENY(P), CHANNEL("*") } }, true, SOMEBODY, P, "", 0, true },
        { "case counts", { { ALLOW(P), CHANNEL("News") } }, false, SOMEBODY, P, "news", 0, false },
        { "a class is one byte", { { ALLOW(P), CHANNEL("[ab]") } }, false, SOMEBODY, P, "ab", 0, false },
        { "a class is not itself", { { ALLOW(P), CHANNEL("x[1]") } }, false, SOMEBODY, P, "x[1]", 0, false },
        { "but escaped", { { ALLOW(P), CHANNEL("x\\[1]") } }, false, SOMEBODY, P, "x[1]", 0, true },
        /* known failure 43: names that look like patterns */
        { "a channel * is a name", { { ALLOW(P), CHANNEL("a.*") } }, false, SOMEBODY, P, "*", 0, false },
        { "a channel a.* is a name", { { DENY(P), CHANNEL("a.b") } }, true, SOMEBODY, P, "a.*", 0, true },
        { "a channel ? is a name", { { DENY(P), CHANNEL("x") } }, true, SOMEBODY, P, "?", 0, true },
        { "a channel [x] is a name", { { ALLOW(P), CHANNEL("x") } }, false, SOMEBODY, P, "[x]", 0, false },
        { "a channel # is a name", { { ALLOW(P), CHANNEL("a*") } }, false, SOMEBODY, P, "#", 0, false },
        { "a backslash is a byte", { { ALLOW(P), CHANNEL("\\\\") } }, false, SOMEBODY, P, "\\", 0, true },
        { "a NUL is a byte", { { ALLOW(P), CHANNEL("a") } }, false, SOMEBODY, P, "a\0b", 3, false },
        { "of patterns, too", { { ALLOW(P), CHANNEL("a\0?") } }, false, SOMEBODY, P, "a\0b", 3, true },
        /* order */
        { "deny is first", { { DENY(P), CHANNEL("a") }, { ALLOW(P) } }, false, SOMEBODY, P, "a", 0, false },
        { "deny is last", { { ALLOW(P) }, { DENY(P), CHANNEL("a") } }, false, SOMEBODY, P, "a", 0, false },
        { "deny is wider",
          { { ALLOW(P), CHANNEL("a.b") }, { DENY(P), CHANNEL("a.*") } },
          true,
          SOMEBODY,
          P,
          "a.b",
          0,
          false },
        { "deny is somebody else's", { { DENY(P), USER(8) }, { ALLOW(P) } }, false, SOMEBODY, P, "a", 0, true },
        { "deny is of another action", { { DENY(S) }, { ALLOW(P) } }, false, SOMEBODY, P, "a", 0, true },
        { "to publish is not to subscribe", { { ALLOW(P) } }, false, SOMEBODY, S, "a", 0, false },
        { "nor is to psubscribe", { { ALLOW(Q) } }, false, SOMEBODY, S, "a", 0, false },
        { "deny of psubscribe is none of subscribe", { { DENY(Q) } }, true, SOMEBODY, S, "a", 0, true },
        /* subjects */
        { "a range has both ends",
          { { ALLOW(P), .users = &(const struct access_range){ 7, 9 }, .n_users = 1 } },
          false,
          SOMEBODY,
          P,
          "a",
          0,
          true },
        { "and no more",
          { { ALLOW(P), .users = &(const struct access_range){ 8, 9 }, .n_users = 1 } },
          false,
          SOMEBODY,
          P,
          "a",
          0,
          false },
        { "the primary group", { { ALLOW(P), GROUP(70) } }, false, SOMEBODY, P, "a", 0, true },
        { "a supplementary group",
          { { ALLOW(P), GROUP(72) } },
          false,
          { .uid = 7, .gid = 70, .groups = groups, .n_groups = 2, .listener = "/s" },
          P,
          "a",
          0,
          true },
        { "no group",
          { { ALLOW(P), GROUP(73) } },
          false,
          { .uid = 7, .gid = 70, .groups = groups, .n_groups = 2, .listener = "/s" },
          P,
          "a",
          0,
          false },
        { "a uid is no gid", { { ALLOW(P), GROUP(7) } }, false, SOMEBODY, P, "a", 0, false },
        { "user and group", { { ALLOW(P), USER(8), GROUP(70) } }, false, SOMEBODY, P, "a", 0, false },
        { "uid 0 is nobody special",
          { { ALLOW(P), USER(7) } },
          false,
          { .uid = 0, .gid = 0, .listener = "/s" },
          P,
          "a",
          0,
          false },
        { "another listener", { { ALLOW(P), .listener = "/t" } }, false, SOMEBODY, P, "a", 0, false },
        { "a listener is no pattern", { { ALLOW(P), .listener = "/*" } }, false, SOMEBODY, P, "a", 0, false },
        { "a name",
          { { ALLOW(P), NAME("joe") } },
          false,
          { .uid = 7, .name = "joe", .listener = "/s" },
          P,
          "a",
          0,
          true },
        { "no name", { { ALLOW(P), NAME("joe") } }, false, SOMEBODY, P, "a", 0, false },
        { "a name is no pattern",
          { { ALLOW(P), NAME("*") } },
          false,
          { .uid = 7, .name = "joe", .listener = "/s" },
          P,
          "a",
          0,
          false },
        { "names have case",
          { { ALLOW(P), NAME("joe") } },
          false,
          { .uid = 7, .name = "Joe", .listener = "/s" },
          P,
          "a",
          0,
          false },
        /* patterns */
        { "all is more than a part", { { ALLOW(Q), CHANNEL("a.*") } }, false, SOMEBODY, Q, "*", 0, false },
        { "the part itself", { { ALLOW(Q), CHANNEL("a.*") } }, false, SOMEBODY, Q, "a.*", 0, true },
        { "a part of the part", { { ALLOW(Q), CHANNEL("a.*") } }, false, SOMEBODY, Q, "a.b?", 0, true },
        { "a wider prefix", { { ALLOW(Q), CHANNEL("a.*") } }, false, SOMEBODY, Q, "a*", 0, false },
        { "a class that leaves it", { { ALLOW(Q), CHANNEL("a.*") } }, false, SOMEBODY, Q, "[ab].*", 0, false },
        { "two parts together",
          { { ALLOW(Q), CHANNEL("a.*") }, { ALLOW(Q), CHANNEL("b.*") } },
          false,
          SOMEBODY,
          Q,
          "[ab].*",
          0,
          true },
        { "to subscribe is not to psubscribe", { { ALLOW(S) } }, false, SOMEBODY, Q, "a", 0, false },
        { "a pattern that is a name", { { ALLOW(Q), CHANNEL("a.*") } }, false, SOMEBODY, Q, "a.b", 0, true },
        { "with a hole, by the default", { { DENY(S), CHANNEL("a.*") } }, true, SOMEBODY, Q, "*", 0, true },
        { "inside of the hole", { { DENY(S), CHANNEL("a.*") } }, true, SOMEBODY, Q, "a.b*", 0, false },
        { "with a hole, by a rule",
          { { ALLOW(Q) }, { DENY(Q), CHANNEL("a.*") } },
          false,
          SOMEBODY,
          Q,
          "*",
          0,
          true },
        { "two holes together",
          { { DENY(S), CHANNEL("[a-m]*") }, { DENY(Q), CHANNEL("[^a-m]*") } },
          true,
          SOMEBODY,
          Q,
          "*",
          0,
          false },
        { "deny of publish is no hole", { { DENY(P), CHANNEL("a.*") } }, true, SOMEBODY, Q, "a.*", 0, true },
        { "a rule without channels is about all", { { ALLOW(Q) } }, false, SOMEBODY, Q, "*", 0, true },
        /* strangers: by an abstract socket, neither root nor the owner */
        { "the default is not for strangers", { { 0 } }, true, STRANGER, P, "a", 0, false },
        { "a rule is", { { ALLOW(P), USER(7) } }, false, STRANGER, P, "a", 0, true },
        { "with its channels", { { ALLOW(P), CHANNEL("a") } }, true, STRANGER, P, "b", 0, false },
        { "with its action", { { ALLOW(P) } }, true, STRANGER, S, "a", 0, false },
        { "nor are patterns", { { ALLOW(S) } }, true, STRANGER, Q, "a", 0, false },
        { "root is no stranger", { { 0 } }, true, { .uid = 0, .listener = "@s" }, P, "a", 0, true },
        { "nor is the owner", { { 0 } }, true, { .uid = OWNER, .listener = "@s" }, P, "a", 0, true },
        /* administering */
        { "root administers", { { 0 } }, false, { .uid = 0, .listener = "/s" }, A, "", 0, true },
        { "the owner administers", { { 0 } }, false, { .uid = OWNER, .listener = "/s" }, A, "", 0, true },
        { "no default administers", { { 0 } }, true, SOMEBODY, A, "", 0, false },
        { "a rule lets him", { { ALLOW(A), USER(7) } }, false, SOMEBODY, A, "", 0, true },
        { "whatever its channels are", { { ALLOW(A | P), CHANNEL("a") } }, false, SOMEBODY, A, "", 0, true },
        { "a deny rule does not let root",
          { { DENY(A) } },
          true,
          { .uid = 0, .listener = "/s" },
          A,
          "",
          0,
          false },
        { "deny beats allow here, too", { { DENY(A) }, { ALLOW(A) } }, true, SOMEBODY, A, "", 0, false },
};

static unsigned count_rules(const struct access_rule *rules)
{
        unsigned n = 0;

        while (n < 3 && rules[n].actions)
                n++;
        return n;
}

static bool may(const struct access_class *class, unsigned action, struct bytes channel)
{
        size_t steps = CONTAIN_STEPS;

        if (action == A)
                return class->admin;
        if (action == Q)
                return access_decide_pattern(class, channel, &steps).allowed;
        return access_decide(class, action == P ? ACCESS_PUBLISH : ACCESS_SUBSCRIBE, channel).allowed;
}

START_TEST(rules_mean_what_the_manual_says)
{
        const struct question *q = &questions[_i];
        struct access *access = access_new(q->rules, count_rules(q->rules), q->allow_by_default);
        struct access_classes *classes = access_classes_new(access, OWNER, 1);
        const struct access_class *class = access_classify(classes, &q->subject);
        struct bytes channel = bytes_of(q->channel, q->size ? q->size : strlen(q->channel));

        ck_assert_msg(may(class, q->action, channel) == q->allowed, "%s: \"%s\"", q->about, q->channel);
        access_classes_free(classes);
        access_free(access);
}
END_TEST

START_TEST(long_names_are_names)
{
        size_t size = 65536;
        uint8_t *name = malloc(size);
        struct access_rule rules[] = { { DENY(P), CHANNEL("*secret*") },
                                       { ALLOW(P), .channels = &(struct bytes){ name, size },
                                         .n_channels = 1 } };
        struct access *access;
        struct access_classes *classes;
        const struct access_class *class;

        memset(name, '\\', size); /* as a pattern these are half as many */
        access = access_new(rules, 2, false);
        classes = access_classes_new(access, OWNER, 1);
        class = access_classify(classes, &(struct access_subject)SOMEBODY);
        ck_assert(!may(class, P, bytes_of(name, size)));
        ck_assert(may(class, P, bytes_of(name, size / 2)));
        memcpy(name + size - 6, "secret", 6);
        ck_assert(!may(class, P, bytes_of(name, size)));
        access_classes_free(classes);
        access_free(access);
        free(name);
}
END_TEST

START_TEST(a_stranger_without_any_rule_is_refused)
{
        struct access_rule none = { DENY(P) }, his = { ALLOW(P), USER(7) }, other = { ALLOW(P), USER(8) },
                           named = { ALLOW(S), NAME("joe") };
        const struct {
                const struct access_rule *rule;
                struct access_subject subject;
                bool refused;
        } cases[] = {
                { &none, STRANGER, true },
                { &none, SOMEBODY, false },
                { &other, STRANGER, true },
                { &his, STRANGER, false },
                { &named, STRANGER, false }, /* he may turn out to be joe */
                { &none, { .uid = 0, .listener = "@s" }, false },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
                struct access *access = access_new(cases[i].rule, 1, true);
                struct access_classes *classes = access_classes_new(access, OWNER, 1);

                ck_assert_int_eq(access_classify(classes, &cases[i].subject)->refused, cases[i].refused);
                access_classes_free(classes);
                access_free(access);
        }
}
END_TEST

static void check_words(const struct access_verdict *verdict, const char *words)
{
        struct buffer b = { 0 };

        access_explain(&b, verdict);
        ck_assert_int_eq(buffer_size(&b), strlen(words));
        ck_assert(!memcmp(buffer_view(&b).p, words, strlen(words)));
        buffer_deinit(&b);
}

START_TEST(a_verdict_names_its_rule)
{
        struct access_rule rules[] = {
                { ALLOW(P | Q), CHANNEL("a.*"), .place = "f:1: access[0]" },
                { DENY(P | S), CHANNEL("a.b"), .place = "f:2: access[1]" },
                { DENY(Q), CHANNEL("[a-m]?"), .place = "f:3: access[2]" },
                { DENY(Q), CHANNEL("[n-z]?"), .place = "f:4: access[3]" },
        };
        struct access *access = access_new(rules, 4, false);
        struct access_classes *classes = access_classes_new(access, OWNER, 1);
        const struct access_class *class = access_classify(classes, &(struct access_subject)SOMEBODY);
        struct access_verdict verdict = access_decide(class, ACCESS_PUBLISH, BYTES_LITERAL("a.b"));
        size_t steps = 1000;

        check_words(&verdict, "f:2: access[1] denies it");
        verdict = access_decide(class, ACCESS_PUBLISH, BYTES_LITERAL("a.c"));
        check_words(&verdict, "f:1: access[0] allows it");
        verdict = access_decide(class, ACCESS_PUBLISH, BYTES_LITERAL("x"));
        check_words(&verdict, "no rule allows it");
        verdict = access_decide_pattern(class, BYTES_LITERAL("b?"), &steps);
        check_words(&verdict, "f:3: access[2] denies it");
        steps = CONTAIN_STEPS;
        verdict = access_decide_pattern(class, BYTES_LITERAL("[a-z]?"), &steps);
        check_words(&verdict, "several rules together deny it");
        steps = 100;
        verdict = access_decide_pattern(class, BYTES_LITERAL("[a-z]?"), &steps);
        check_words(&verdict, "it would take too long to find out whether the rules allow it");
        ck_assert(!verdict.allowed);
        steps = CONTAIN_STEPS;
        verdict = access_decide_pattern(class, BYTES_LITERAL("a.x*"), &steps);
        check_words(&verdict, "f:1: access[0] allows it");
        access_classes_free(classes);
        access_free(access);
}
END_TEST

/* -------------------------------------------------------------------------------------------- by a reference
 */

static const char *const channel_pool[] = {
        "", "a", "b", "ab", "ba", "a.", "*", "aa", "bb", "abb", ".a", "b.a"
};
static const char *const pattern_pool[] = { "a",     "b",   "*",   "a*", "*b", "?",  "[ab]*",
                                            "[^a]*", "a.*", "?*b", "",   "ab", "[b]" };
static const char *const name_pool[] = { "joe", "ann", "*" };
static const char *const listener_pool[] = { "/s", "/t", "@s" };

#define COUNT(_pool)       (sizeof(_pool) / sizeof(*(_pool)))
#define PICK(_prng, _pool) (_pool)[prng_below(_prng, COUNT(_pool))]
#define RULES_MAX          6
#define LIST_MAX           3

/* A rule and what its pointers point to. */
struct made {
        struct access_rule rule;
        struct access_range users[LIST_MAX];
        uint32_t groups[LIST_MAX];
        const char *names[LIST_MAX];
        struct bytes channels[LIST_MAX];
};

static unsigned some(struct prng *prng)
{
        return prng_below(prng, 2) ? 0 : (unsigned)prng_below(prng, LIST_MAX + 1);
}

static void make_rule(struct prng *prng, struct made *made)
{
        made->rule = (struct access_rule){ .deny = prng_below(prng, 2),
                                           .actions = (unsigned)prng_below(prng, 16),
                                           .users = made->users,
                                           .n_users = some(prng),
                                           .groups = made->groups,
                                           .n_groups = some(prng),
                                           .names = made->names,
                                           .n_names = prng_below(prng, 3) ? 0 : some(prng),
                                           .listener = prng_below(prng, 3) ? NULL : PICK(prng, listener_pool),
                                           .channels = made->channels,
                                           .n_channels = (unsigned)prng_below(prng, LIST_MAX + 1) };
        for (unsigned i = 0; i < LIST_MAX; i++) {
                made->users[i].least = (uint32_t)prng_below(prng, 4);
                made->users[i].greatest = made->users[i].least + (uint32_t)prng_below(prng, 2);
                made->groups[i] = (uint32_t)prng_below(prng, 4);
                made->names[i] = PICK(prng, name_pool);
                made->channels[i] = bytes_str(PICK(prng, pattern_pool));
        }
}

/* The slow truth: the definition, once more and without any preparation. */
static bool reference_fits(const struct access_rule *r, const struct access_subject *s)
{
        bool user = !r->n_users, group = !r->n_groups, name = !r->n_names;

        for (unsigned i = 0; i < r->n_users; i++)
                user |= s->uid >= r->users[i].least && s->uid <= r->users[i].greatest;
        for (unsigned i = 0; i < r->n_groups; i++) {
                group |= s->gid == r->groups[i];
                for (unsigned k = 0; k < s->n_groups; k++)
                        group |= s->groups[k] == r->groups[i];
        }
        for (unsigned i = 0; i < r->n_names; i++)
                name |= s->name && !strcmp(s->name, r->names[i]);
        return user && group && name && (!r->listener || !strcmp(r->listener, s->listener));
}

static bool reference_covers(const struct access_rule *r, struct bytes channel)
{
        bool covers = !r->n_channels;

        for (unsigned i = 0; i < r->n_channels; i++)
                covers |= reference_glob(r->channels[i], channel);
        return covers;
}

struct world {
        struct made made[RULES_MAX];
        unsigned n;
        bool allow_by_default;
};

/* Whether a rule of that sort, about one of the actions, fits subject and channel. */
static bool reference_any(const struct world *w, bool deny, unsigned actions, const struct access_subject *s,
                          struct bytes channel)
{
        for (unsigned i = 0; i < w->n; i++) {
                const struct access_rule *r = &w->made[i].rule;

                if (r->deny == deny && r->actions & actions && reference_fits(r, s) &&
                    reference_covers(r, channel))
                        return true;
        }
        return false;
}

static bool reference_default(const struct world *w, const struct access_subject *s)
{
        bool stranger = *s->listener == '@' && s->uid != 0 && s->uid != 1;

        return w->allow_by_default && !stranger;
}

static bool reference_may(const struct world *w, unsigned action, const struct access_subject *s,
                          struct bytes channel)
{
        if (reference_any(w, true, action, s, channel))
                return false;
        return reference_any(w, false, action, s, channel) || reference_default(w, s);
}

/* The texts of up to five of four bytes: enough to tell apart what the pool of patterns matches. */
#define TEXTS 1365
static struct bytes text_number(unsigned number, uint8_t text[8])
{
        size_t n = 0;

        for (; number > 0; number = (number - 1) / 4)
                text[n++] = (uint8_t) "ab.x"[(number - 1) % 4];
        return bytes_of(text, n);
}

static bool reference_pattern(const struct world *w, const struct access_subject *s, struct bytes pattern)
{
        bool silent = true, open = true, any_deny = false, any_allow = false;

        for (unsigned i = 0; i < w->n; i++) {
                const struct access_rule *r = &w->made[i].rule;

                any_deny |= r->deny && r->actions & (S | Q) && reference_fits(r, s);
                any_allow |= !r->deny && r->actions & Q && reference_fits(r, s);
        }
        for (unsigned number = 0; number < TEXTS; number++) {
                uint8_t text[8];
                struct bytes channel = text_number(number, text);

                if (!reference_glob(pattern, channel))
                        continue;
                silent = silent && reference_any(w, true, S | Q, s, channel);
                open = open && reference_any(w, false, Q, s, channel);
        }
        return !(any_deny && silent) && (reference_default(w, s) || (any_allow && open));
}

static bool reference_admin(const struct world *w, const struct access_subject *s)
{
        bool allowed = s->uid <= 1, denied = false; /* root, and the owner */

        for (unsigned i = 0; i < w->n; i++) {
                const struct access_rule *r = &w->made[i].rule;

                if (r->actions & A && reference_fits(r, s))
                        *(r->deny ? &denied : &allowed) = true;
        }
        return allowed && !denied;
}

static void check_subject(struct prng *prng, const struct world *w, struct access_classes *classes,
                          struct access_verdicts kept[COUNT(channel_pool)], struct access_verdicts *patterns)
{
        uint32_t some_groups[] = { (uint32_t)prng_below(prng, 4), (uint32_t)prng_below(prng, 4) };
        struct access_subject s = { .uid = (uint32_t)prng_below(prng, 5),
                                    .gid = (uint32_t)prng_below(prng, 4),
                                    .groups = some_groups,
                                    .n_groups = (unsigned)prng_below(prng, 3),
                                    .name = prng_below(prng, 2) ? NULL : PICK(prng, name_pool),
                                    .listener = PICK(prng, listener_pool) };
        const struct access_class *class = access_classify(classes, &s);

        suite_need(class->admin == reference_admin(w, &s), "admin");
        for (size_t i = 0; i < COUNT(channel_pool); i++) {
                struct bytes channel = bytes_str(channel_pool[i]);
                bool publish = reference_may(w, P, &s, channel), subscribe = reference_may(w, S, &s, channel),
                     hears = !reference_any(w, true, S | Q, &s, channel);

                suite_need(may(class, P, channel) == publish, "publish \"%s\"", channel_pool[i]);
                suite_need(may(class, S, channel) == subscribe, "subscribe \"%s\"", channel_pool[i]);
                suite_need(access_hears(class, channel) == hears, "hear \"%s\"", channel_pool[i]);
                suite_need(hears || class->hears_less, "hears less");
                suite_need(access_may(class, ACCESS_MAY_PUBLISH, channel, &kept[i]) == publish, "kept");
                suite_need(access_may(class, ACCESS_MAY_SUBSCRIBE, channel, &kept[i]) == subscribe, "kept");
                suite_need(access_may(class, ACCESS_MAY_HEAR, channel, &kept[i]) == hears, "kept");
                suite_need(access_known_allowed(&kept[i], class, ACCESS_MAY_PUBLISH) == (publish && class->bit),
                           "known");
        }
        for (unsigned i = 0; i < 3; i++) {
                size_t which = prng_below(prng, COUNT(pattern_pool)), steps = CONTAIN_STEPS;
                struct bytes pattern = bytes_str(pattern_pool[which]);
                bool allowed = reference_pattern(w, &s, pattern);

                suite_need(may(class, Q, pattern) == allowed, "psubscribe \"%s\"", pattern_pool[which]);
                suite_need(access_may_pattern(class, pattern, &patterns[which], &steps) == allowed, "kept");
        }
}

START_TEST(random_rules_mean_what_the_reference_says)
{
        struct prng prng = { 3 };
        struct access_verdicts kept[COUNT(channel_pool)] = { 0 }, patterns[COUNT(pattern_pool)] = { 0 };

        for (unsigned round = 0; round < 400; round++) {
                struct world w = { .n = (unsigned)prng_below(&prng, RULES_MAX + 1),
                                   .allow_by_default = prng_below(&prng, 2) };
                struct access_rule rules[RULES_MAX];
                struct access *access;
                struct access_classes *classes;

                for (unsigned i = 0; i < w.n; i++) {
                        make_rule(&prng, &w.made[i]);
                        rules[i] = w.made[i].rule;
                }
                access = access_new(rules, w.n, w.allow_by_default);
                classes = access_classes_new(access, 1, round + 1);
                for (unsigned i = 0; i < 10; i++)
                        check_subject(&prng, &w, classes, kept, patterns);
                access_classes_free(classes);
                access_free(access);
        }
}
END_TEST

/* Each user fits another set of the rules, so there are more classes than bits. */
START_TEST(more_classes_than_bits_are_right)
{
        struct access_range users[200];
        struct access_rule rules[200];
        struct access *access;
        struct access_classes *classes;
        struct access_verdicts kept = { 0 };

        for (unsigned i = 0; i < 200; i++) {
                users[i] = (struct access_range){ 1000 + i, 1000 + i };
                rules[i] = (struct access_rule){
                        .deny = i % 2, .actions = P, .users = &users[i], .n_users = 1, .place = "x"
                };
        }
        access = access_new(rules, 200, true);
        classes = access_classes_new(access, OWNER, 1);
        for (unsigned round = 0; round < 3; round++)
                for (unsigned i = 0; i < 200; i++) {
                        struct access_subject s = { .uid = 1000 + i, .listener = "/s" };
                        const struct access_class *class = access_classify(classes, &s);

                        ck_assert_int_eq(class->bit != 0, i < 64);
                        ck_assert_int_eq(access_may(class, ACCESS_MAY_PUBLISH, BYTES_LITERAL("a"), &kept),
                                         i % 2 == 0);
                }
        access_classes_free(classes);
        access_free(access);
}
END_TEST

/* The memory of subjects is emptied; the classes stay. */
START_TEST(many_subjects_have_few_classes)
{
        struct access_rule rule = { ALLOW(P), USER(3) };
        struct access *access = access_new(&rule, 1, false);
        struct access_classes *classes = access_classes_new(access, OWNER, 1);
        const struct access_class *third = NULL, *other = NULL;

        for (uint32_t i = 1; i < 20000; i++) {
                struct access_subject s = { .uid = i % 2 ? 3 : 4, .gid = i, .listener = "/s" };
                const struct access_class *class = access_classify(classes, &s),
                                          **expected = i % 2 ? &third : &other;

                if (!*expected)
                        *expected = class;
                ck_assert_ptr_eq(class, *expected);
        }
        ck_assert_ptr_ne(third, other);
        access_classes_free(classes);
        access_free(access);
}
END_TEST

static void add(TCase *tests)
{
        tcase_add_loop_test(tests, rules_mean_what_the_manual_says, 0, COUNT(questions));
        tcase_add_test(tests, long_names_are_names);
        tcase_add_test(tests, a_stranger_without_any_rule_is_refused);
        tcase_add_test(tests, a_verdict_names_its_rule);
        tcase_add_test(tests, random_rules_mean_what_the_reference_says);
        tcase_add_test(tests, more_classes_than_bits_are_right);
        tcase_add_test(tests, many_subjects_have_few_classes);
}

int main(void)
{
        return suite_run("access", add);
}
