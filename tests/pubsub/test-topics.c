/* SPDX-License-Identifier: MIT */

#include "pubsub/topics.h"

#include <stdio.h>

#include "support/suite.h"
#include "util/clock.h"

static const struct hash_key key = { 1, 2 };

static struct subscription *join(struct topics *topics, struct subscriber *subscriber, enum topic_kind kind,
                                 const char *name)
{
        struct subscription *s = topics_subscribe(topics, subscriber, kind, bytes_str(name));

        topics_activate(topics, s);
        return s;
}

static void leave(struct topics *topics, struct subscriber *subscriber, enum topic_kind kind, const char *name)
{
        topics_unsubscribe(topics, topics_subscription(topics, subscriber, kind, bytes_str(name)));
}

static struct topic *route(struct topics *topics, const char *channel)
{
        return topics_route(topics, bytes_str(channel));
}

static struct topic *route_shard(struct topics *topics, const char *channel)
{
        return topics_route_shard(topics, bytes_str(channel));
}

START_TEST(a_pending_subscription_counts_but_receives_nothing)
{
        struct topics *topics = topics_new(&key, 4);
        struct subscriber a;
        struct subscription *s;
        size_t pos = 0;

        subscriber_init(&a, 0);
        s = topics_subscribe(topics, &a, TOPIC_CHANNEL, bytes_str("news"));
        ck_assert_ptr_eq(topics_subscription(topics, &a, TOPIC_CHANNEL, bytes_str("news")), s);
        ck_assert_ptr_null(topics_subscription(topics, &a, TOPIC_PATTERN, bytes_str("news")));
        ck_assert_uint_eq(a.n[TOPIC_CHANNEL], 1);
        ck_assert(topics_is_last(s));
        ck_assert_ptr_null(route(topics, "news"));
        ck_assert_ptr_null(topics_next(topics, TOPIC_CHANNEL, &pos));
        ck_assert_uint_eq(topics_count(topics, TOPIC_CHANNEL), 0);
        ck_assert_uint_eq(topic_subscriptions(s->topic), 0);

        topics_activate(topics, s);
        ck_assert_ptr_eq(route(topics, "news"), s->topic);
        ck_assert_uint_eq(topic_receivers(s->topic), 1);
        ck_assert_uint_eq(topics_count(topics, TOPIC_CHANNEL), 1);
        pos = 0;
        ck_assert_ptr_eq(topics_next(topics, TOPIC_CHANNEL, &pos), s->topic);

        topics_unsubscribe(topics, s);
        ck_assert_uint_eq(a.n[TOPIC_CHANNEL], 0);
        ck_assert_ptr_null(topics_find(topics, TOPIC_CHANNEL, bytes_str("news")));
        topics_free(topics);
}
END_TEST

START_TEST(a_pending_pattern_routes_nothing_until_it_is_live)
{
        struct topics *topics = topics_new(&key, 4);
        struct subscriber a;
        struct subscription *s;

        subscriber_init(&a, 1);
        s = topics_subscribe(topics, &a, TOPIC_PATTERN, bytes_str("n*"));
        ck_assert_ptr_null(route(topics, "news"));
        topics_activate(topics, s);
        ck_assert_uint_eq(topic_receivers(route(topics, "news")), 1);
        ck_assert_uint_eq(route(topics, "news")->n_matches, 1);
        ck_assert_ptr_eq(route(topics, "news")->matches[0], s->topic);
        topics_unsubscribe(topics, s);
        ck_assert_ptr_null(route(topics, "news"));
        topics_free(topics);
}
END_TEST

START_TEST(a_pending_subscription_of_another_keeps_one_from_being_last)
{
        struct topics *topics = topics_new(&key, 4);
        struct subscriber a, b;
        struct subscription *live, *pending;

        subscriber_init(&a, 0);
        subscriber_init(&b, 0);
        live = join(topics, &a, TOPIC_CHANNEL, "news");
        ck_assert(topics_is_last(live));
        pending = topics_subscribe(topics, &b, TOPIC_CHANNEL, bytes_str("news"));
        ck_assert(!topics_is_last(live));
        topics_unsubscribe(topics, live);
        ck_assert(topics_is_last(pending));
        ck_assert_ptr_null(route(topics, "news"));
        topics_unsubscribe(topics, pending);
        topics_free(topics);
}
END_TEST

/* The same name in each namespace, and a pattern that matches it. */
START_TEST(a_shard_channel_is_a_topic_of_its_own)
{
        struct topics *topics = topics_new(&key, 4);
        struct subscriber a, b;
        struct subscription *pending;
        struct topic *shard;
        size_t pos = 0;

        subscriber_init(&a, 0);
        subscriber_init(&b, 1);
        ck_assert_ptr_null(route_shard(topics, "news"));
        join(topics, &a, TOPIC_CHANNEL, "news");
        join(topics, &a, TOPIC_PATTERN, "n*");
        ck_assert_ptr_null(route_shard(topics, "news"));
        ck_assert_ptr_null(
                topics_find(topics, TOPIC_SHARD, bytes_str("news"))); /* not for a match cache either */

        pending = topics_subscribe(topics, &b, TOPIC_SHARD, bytes_str("news"));
        shard = pending->topic;
        ck_assert_ptr_null(route_shard(topics, "news"));
        ck_assert_uint_eq(topics_count(topics, TOPIC_SHARD), 0);
        topics_activate(topics, pending);
        ck_assert_ptr_eq(route_shard(topics, "news"), shard);
        ck_assert_ptr_eq(route_shard(topics, "news"), shard); /* as the one routed last */
        ck_assert_uint_eq(topic_receivers(shard), 1);
        ck_assert_uint_eq(shard->n_matches, 0);
        ck_assert_ptr_null(route_shard(topics, "next"));
        ck_assert_uint_eq(topic_receivers(route(topics, "news")), 2);
        ck_assert_ptr_ne(route(topics, "news"), shard);

        ck_assert_uint_eq(b.n[TOPIC_SHARD], 1);
        ck_assert_uint_eq(b.n[TOPIC_CHANNEL], 0);
        ck_assert_uint_eq(b.n_all, 1);
        ck_assert_uint_eq(a.n_all, 2);
        ck_assert_uint_eq(topics_count(topics, TOPIC_CHANNEL), 1);
        ck_assert_uint_eq(topics_count(topics, TOPIC_SHARD), 1);
        ck_assert_ptr_eq(topics_next(topics, TOPIC_SHARD, &pos), shard);
        ck_assert_ptr_null(topics_next(topics, TOPIC_SHARD, &pos));

        leave(topics, &b, TOPIC_SHARD, "news");
        ck_assert_ptr_null(route_shard(topics, "news"));
        ck_assert_uint_eq(b.n_all, 0);
        ck_assert_uint_eq(topic_receivers(route(topics, "news")), 2);
        leave(topics, &a, TOPIC_CHANNEL, "news");
        leave(topics, &a, TOPIC_PATTERN, "n*");
        topics_free(topics);
}
END_TEST

START_TEST(a_shard_channel_has_remote_interest_of_its_own)
{
        struct topics *topics = topics_new(&key, 4);

        topics_remote_add(topics, 2, TOPIC_SHARD, bytes_str("news"), 3);
        topics_remote_add(topics, 4, TOPIC_CHANNEL, bytes_str("news"), 1);
        topics_remote_add(topics, 5, TOPIC_PATTERN, bytes_str("*"), 1);
        ck_assert_uint_eq(topic_receivers(route_shard(topics, "news")), 3);
        ck_assert_uint_eq(topic_remote_mask(route_shard(topics, "news")), 1u << 2);
        ck_assert_uint_eq(topic_remote_mask(route(topics, "news")), 1u << 4 | 1u << 5);
        topics_remote_remove(topics, 2, TOPIC_SHARD, bytes_str("news"), 3, true);
        ck_assert_ptr_null(route_shard(topics, "news"));
        ck_assert_ptr_null(topics_find(topics, TOPIC_SHARD, bytes_str("news")));
        topics_remote_add(topics, 2, TOPIC_SHARD, bytes_str("news"), 1);
        topics_free(topics); /* remote interest may be left */
}
END_TEST

START_TEST(members_are_counted_by_protocol)
{
        struct topics *topics = topics_new(&key, 4);
        struct subscriber a, b;
        struct subscription *pending;
        struct topic *news, *other;

        subscriber_init(&a, 0);
        subscriber_init(&b, 1);
        news = join(topics, &a, TOPIC_CHANNEL, "news")->topic;
        join(topics, &b, TOPIC_CHANNEL, "news");
        pending = topics_subscribe(topics, &a, TOPIC_PATTERN, bytes_str("n*"));
        other = pending->topic;
        ck_assert_uint_eq(news->n_protocol[0], 1);
        ck_assert_uint_eq(news->n_protocol[1], 1);
        subscriber_set_protocol(&a, 1);
        ck_assert_uint_eq(news->n_protocol[0], 0);
        ck_assert_uint_eq(news->n_protocol[1], 2);
        ck_assert_uint_eq(other->n_protocol[0] + other->n_protocol[1], 0);
        topics_activate(topics, pending);
        ck_assert_uint_eq(other->n_protocol[1], 1);
        subscriber_set_protocol(&a, 1);
        ck_assert_uint_eq(news->n_protocol[1], 2);
        subscriber_set_protocol(&b, 0);
        leave(topics, &b, TOPIC_CHANNEL, "news");
        ck_assert_uint_eq(news->n_protocol[0], 0);
        ck_assert_uint_eq(news->n_protocol[1], 1);
        leave(topics, &a, TOPIC_CHANNEL, "news");
        leave(topics, &a, TOPIC_PATTERN, "n*");
        topics_free(topics);
}
END_TEST

START_TEST(remote_interest_makes_and_ends_topics)
{
        struct topics *topics = topics_new(&key, 4);
        struct topic *news;

        topics_remote_add(topics, 2, TOPIC_CHANNEL, bytes_str("news"), 3);
        topics_remote_add(topics, 62, TOPIC_CHANNEL, bytes_str("news"), 1);
        news = route(topics, "news");
        ck_assert_uint_eq(topic_remote_mask(news), UINT64_C(1) << 2 | UINT64_C(1) << 62);
        ck_assert_uint_eq(topic_receivers(news), 4);
        topics_remote_remove(topics, 2, TOPIC_CHANNEL, bytes_str("news"), 2, false);
        ck_assert_uint_eq(topic_receivers(route(topics, "news")), 2);
        topics_remote_remove(topics, 2, TOPIC_CHANNEL, bytes_str("news"), 1, true);
        ck_assert_uint_eq(topic_remote_mask(route(topics, "news")), UINT64_C(1) << 62);
        ck_assert_uint_eq(topics_count(topics, TOPIC_CHANNEL), 1);
        topics_remote_remove(topics, 62, TOPIC_CHANNEL, bytes_str("news"), 1, true);
        ck_assert_uint_eq(topics_count(topics, TOPIC_CHANNEL), 0);
        ck_assert_ptr_null(route(topics, "news"));
        topics_free(topics);
}
END_TEST

START_TEST(counts_of_a_cached_pattern_stay_right_as_they_change)
{
        struct topics *topics = topics_new(&key, 4);
        struct subscriber a;

        subscriber_init(&a, 0);
        topics_remote_add(topics, 1, TOPIC_PATTERN, bytes_str("n*"), 1);
        ck_assert_uint_eq(topic_receivers(route(topics, "news")), 1);
        ck_assert_uint_eq(topic_remote_mask(route(topics, "news")), 2);
        topics_remote_add(topics, 3, TOPIC_PATTERN, bytes_str("n*"), 5);
        ck_assert_uint_eq(topic_receivers(route(topics, "news")), 6);
        ck_assert_uint_eq(topic_remote_mask(route(topics, "news")), 10);
        join(topics, &a, TOPIC_PATTERN, "n*");
        ck_assert_uint_eq(topic_receivers(route(topics, "news")), 7);
        topics_remote_remove(topics, 1, TOPIC_PATTERN, bytes_str("n*"), 1, true);
        ck_assert_uint_eq(topic_receivers(route(topics, "news")), 6);
        ck_assert_uint_eq(topic_remote_mask(route(topics, "news")), 8);
        leave(topics, &a, TOPIC_PATTERN, "n*");
        ck_assert_uint_eq(topic_receivers(route(topics, "news")), 5);
        topics_free(topics); /* remote interest may be left */
}
END_TEST

/* Known failure 37. */
START_TEST(the_last_subscriber_leaving_takes_the_topic_out_of_every_cache)
{
        struct topics *topics = topics_new(&key, 4);
        struct subscriber a, b;

        subscriber_init(&a, 0);
        subscriber_init(&b, 0);
        for (int turn = 0; turn < 3; turn++) {
                struct topic *news;

                join(topics, &a, TOPIC_CHANNEL, "news");
                join(topics, &b, TOPIC_CHANNEL, "news");
                join(topics, &a, TOPIC_PATTERN, "n*");
                news = route(topics, "news");
                ck_assert_uint_eq(topic_receivers(news), 3);
                /* everybody leaves while a delivery walks the members */
                while (news && news->n_members > 0) {
                        struct subscription *s = news->members[0].subscription;

                        if (news->n_members == 1)
                                news = NULL;
                        topics_unsubscribe(topics, s);
                }
                ck_assert_ptr_null(topics_find(topics, TOPIC_CHANNEL, bytes_str("news")));
                ck_assert_uint_eq(topic_receivers(route(topics, "news")), 1);
                leave(topics, &a, TOPIC_PATTERN, "n*");
                ck_assert_ptr_null(route(topics, "news"));
                ck_assert_ptr_null(topics_find(topics, TOPIC_CHANNEL, bytes_str("news")));
        }
        topics_free(topics);
}
END_TEST

static bool exists(struct topics *topics, const char *channel)
{
        return topics_find(topics, TOPIC_CHANNEL, bytes_str(channel)) != NULL;
}

START_TEST(recent_channels_are_kept_up_to_their_number_and_only_for_patterns)
{
        struct topics *topics = topics_new(&key, 4);
        struct subscriber a;
        unsigned n = 0;
        char name[16];

        subscriber_init(&a, 0);
        ck_assert_ptr_null(route(topics, "news"));
        ck_assert(!exists(topics, "news"));
        join(topics, &a, TOPIC_PATTERN, "channel-[3-5]");
        for (int i = 0; i < 10; i++) {
                snprintf(name, sizeof(name), "channel-%d", i);
                ck_assert_int_eq(route(topics, name) != NULL, i >= 3 && i <= 5);
                ck_assert(exists(topics, name));
        }
        for (int i = 0; i < 10; i++) {
                snprintf(name, sizeof(name), "channel-%d", i);
                n += exists(topics, name);
        }
        ck_assert_uint_eq(n, 4);
        ck_assert(exists(topics, "channel-9") && exists(topics, "channel-6"));
        ck_assert_uint_eq(topics_count(topics, TOPIC_CHANNEL), 0);

        /* held by a subscription, it is not a recent one any more */
        join(topics, &a, TOPIC_CHANNEL, "channel-6");
        for (int i = 10; i < 30; i++) {
                snprintf(name, sizeof(name), "channel-%d", i);
                route(topics, name);
        }
        ck_assert_uint_eq(topic_receivers(route(topics, "channel-6")), 1);
        leave(topics, &a, TOPIC_CHANNEL, "channel-6");
        ck_assert(!exists(topics, "channel-6"));

        ck_assert(exists(topics, "channel-29"));
        leave(topics, &a, TOPIC_PATTERN, "channel-[3-5]");
        ck_assert(!exists(topics, "channel-29"));
        topics_free(topics);
}
END_TEST

START_TEST(a_recent_channel_that_is_subscribed_keeps_matching)
{
        struct topics *topics = topics_new(&key, 1);
        struct subscriber a;

        subscriber_init(&a, 0);
        join(topics, &a, TOPIC_PATTERN, "n*");
        ck_assert_uint_eq(topic_receivers(route(topics, "news")), 1);
        join(topics, &a, TOPIC_CHANNEL, "news");
        ck_assert_uint_eq(topic_receivers(route(topics, "news")), 2);
        ck_assert_uint_eq(topic_receivers(route(topics, "next")), 1);
        ck_assert_uint_eq(topic_receivers(route(topics, "number")), 1);
        ck_assert(!exists(topics, "next"));
        ck_assert_uint_eq(topic_receivers(route(topics, "news")), 2);
        join(topics, &a, TOPIC_PATTERN, "*s");
        ck_assert_uint_eq(topic_receivers(route(topics, "news")), 3);
        leave(topics, &a, TOPIC_PATTERN, "n*");
        ck_assert_uint_eq(topic_receivers(route(topics, "news")), 2);
        leave(topics, &a, TOPIC_PATTERN, "*s");
        leave(topics, &a, TOPIC_CHANNEL, "news");
        ck_assert_ptr_null(route(topics, "news"));
        topics_free(topics);
}
END_TEST

/* Bytes of the match arrays of all channels with a subscription. */
static size_t matches_size(struct topics *topics)
{
        struct topic *topic;
        size_t pos = 0, size = 0;

        while ((topic = topics_next(topics, TOPIC_CHANNEL, &pos)))
                size += topic->n_matches * sizeof(*topic->matches);
        return size;
}

START_TEST(memory_of_match_caches_is_bounded)
{
        enum { PATTERNS = 20000, CHANNELS = 240 };
        struct topics *topics = topics_new(&key, 1000);
        struct subscriber a;
        char name[24];

        subscriber_init(&a, 0);
        for (int i = 0; i < PATTERNS; i++) {
                snprintf(name, sizeof(name), "[c%d]*", i); /* each matches what begins with c */
                topics_remote_add(topics, 1, TOPIC_PATTERN, bytes_str(name), 1);
        }
        for (int i = 0; i < CHANNELS; i++) {
                snprintf(name, sizeof(name), "c%d", i);
                if (i % 2)
                        join(topics, &a, TOPIC_CHANNEL, name);
                ck_assert_uint_gt(topic_receivers(route(topics, name)), PATTERNS - 1);
                ck_assert_uint_le(matches_size(topics), TOPICS_CACHE_MAX);
        }
        ck_assert_uint_gt(matches_size(topics), 0);
        for (int i = 0; i < CHANNELS; i++) { /* those that were dropped are made anew */
                snprintf(name, sizeof(name), "c%d", i);
                if (i % 50 == 1)
                        ck_assert_uint_gt(topic_receivers(route(topics, name)), PATTERNS - 1);
                if (i % 2)
                        leave(topics, &a, TOPIC_CHANNEL, name);
        }
        topics_free(topics);
}
END_TEST

START_TEST(the_last_member_takes_the_place_of_one_that_leaves)
{
        enum { N = 64 };
        struct topics *topics = topics_new(&key, 4);
        struct subscriber subscribers[N];
        struct topic *news = NULL;

        for (unsigned i = 0; i < N; i++) {
                subscriber_init(&subscribers[i], 0);
                news = join(topics, &subscribers[i], TOPIC_CHANNEL, "news")->topic;
        }
        ck_assert_uint_le(news->cap_members, 2 * N);
        for (unsigned n = N; n > 1; n--) {
                unsigned i = (n * 7) % n;
                struct subscriber *moved = news->members[n - 1].subscriber;

                topics_unsubscribe(topics, news->members[i].subscription);
                ck_assert_uint_eq(news->n_members, n - 1);
                if (i < n - 1)
                        ck_assert_ptr_eq(news->members[i].subscriber, moved);
                ck_assert_uint_le(news->cap_members, 4 * (n - 1));
        }
        topics_unsubscribe(topics, news->members[0].subscription);
        topics_free(topics);
}
END_TEST

/* CPU time of this thread, ns. */
static uint64_t cpu_now(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
        return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* All subscribe to all, then each leaves all, first come first served. Return: CPU ns of the leaving. */
static uint64_t storm(unsigned n_subscribers, unsigned n_channels)
{
        struct topics *topics = topics_new(&key, 4);
        struct subscriber *subscribers = calloc(n_subscribers, sizeof(*subscribers));
        uint64_t start;
        char name[16];

        for (unsigned i = 0; i < n_subscribers; i++) {
                subscriber_init(&subscribers[i], i % 2);
                for (unsigned c = 0; c < n_channels; c++) {
                        snprintf(name, sizeof(name), "channel-%u", c);
                        join(topics, &subscribers[i], TOPIC_CHANNEL, name);
                }
        }
        start = cpu_now();
        for (unsigned i = 0; i < n_subscribers; i++)
                while (!list_empty(&subscribers[i].subscriptions))
                        topics_unsubscribe(
                                topics, list_first(&subscribers[i].subscriptions, struct subscription, link));
        start = cpu_now() - start;
        ck_assert_uint_eq(topics_count(topics, TOPIC_CHANNEL), 0);
        topics_free(topics);
        free(subscribers);
        return start;
}

/*
 * Known failure 36. As many subscriptions end in both storms; the second has ten times the members in a
 * channel, and may not take a time that grows with them. Caches make it somewhat slower.
 */
START_TEST(an_unsubscribe_storm_is_linear)
{
        uint64_t few = storm(500, 1000), many = storm(5000, 100);

        for (int again = 0; again < 3 && many >= 4 * few + NSEC_PER_SEC / 10; again++)
                many = storm(5000, 100); /* other programs took part of it */
        ck_assert_msg(many < 4 * few + NSEC_PER_SEC / 10, "%llu ns against %llu", (unsigned long long)many,
                      (unsigned long long)few);
}
END_TEST

/* ---------------------------------------------------------------------------------------- holds */

START_TEST(a_publisher_sees_the_oldest_hold_that_is_not_its_own)
{
        struct topics *topics = topics_new(&key, 4);
        struct subscriber a, b;
        struct topic *topic;

        subscriber_init(&a, 0);
        subscriber_init(&b, 0);
        join(topics, &a, TOPIC_CHANNEL, "news");
        join(topics, &b, TOPIC_PATTERN, "n*");
        topic = route(topics, "news");
        ck_assert_ptr_null(topic_hold(topic, &a, UINT64_MAX));
        ck_assert(topics_hold(topics, topics_subscription(topics, &a, TOPIC_CHANNEL, bytes_str("news")), NULL));
        topic = route(topics, "news");
        ck_assert_ptr_null(topic_hold(topic, &a, UINT64_MAX));
        ck_assert_uint_eq(topic_hold(topic, &b, UINT64_MAX)->since, 1);
        ck_assert_ptr_null(topic_hold(topic, &b, 0));
        ck_assert(topics_hold(topics, topics_subscription(topics, &b, TOPIC_PATTERN, bytes_str("n*")), NULL));
        topic = route(topics, "news");
        ck_assert_uint_eq(topic_hold(topic, &a, UINT64_MAX)->since, 2);
        ck_assert_ptr_null(topic_hold(topic, &a, 1));
        ck_assert_ptr_eq(topic_hold(topic, &b, UINT64_MAX)->by, &a);

        topics_remote_add(topics, 3, TOPIC_CHANNEL, bytes_str("news"), 1);
        topics_remote_hold(topics, 3, TOPIC_CHANNEL, bytes_str("news"));
        topic = route(topics, "news");
        ck_assert_uint_eq(topic_hold(topic, &a, UINT64_MAX)->shard, 3);
        topics_remote_release(topics, 3, TOPIC_CHANNEL, bytes_str("news"));
        topics_remote_remove(topics, 3, TOPIC_CHANNEL, bytes_str("news"), 1, true);
        ck_assert(topics_release(topics, topics_subscription(topics, &b, TOPIC_PATTERN, bytes_str("n*"))));
        ck_assert(topics_release(topics, topics_subscription(topics, &a, TOPIC_CHANNEL, bytes_str("news"))));
        ck_assert_uint_eq(topic_mask(route(topics, "news")), 0);
        leave(topics, &a, TOPIC_CHANNEL, "news");
        leave(topics, &b, TOPIC_PATTERN, "n*");
        topics_free(topics);
}
END_TEST

START_TEST(who_waits_for_a_hold_is_released_in_order)
{
        struct topics *topics = topics_new(&key, 4);
        struct list waiters[3];
        struct subscription *s;
        struct subscriber a;

        subscriber_init(&a, 0);
        s = join(topics, &a, TOPIC_SHARD, "news");
        topics_hold(topics, s, NULL);
        for (int i = 0; i < 3; i++)
                list_add_tail(&s->hold->waiting, &waiters[i]);
        ck_assert(list_empty(topics_released(topics)));
        topics_release(topics, s);
        for (int i = 0; i < 3; i++) {
                ck_assert_ptr_eq(topics_released(topics)->next, &waiters[i]);
                list_del(&waiters[i]);
        }
        leave(topics, &a, TOPIC_SHARD, "news");
        topics_free(topics);
}
END_TEST

static void add(TCase *tests)
{
        tcase_add_test(tests, a_publisher_sees_the_oldest_hold_that_is_not_its_own);
        tcase_add_test(tests, who_waits_for_a_hold_is_released_in_order);
        tcase_add_test(tests, a_pending_subscription_counts_but_receives_nothing);
        tcase_add_test(tests, a_pending_pattern_routes_nothing_until_it_is_live);
        tcase_add_test(tests, a_pending_subscription_of_another_keeps_one_from_being_last);
        tcase_add_test(tests, a_shard_channel_is_a_topic_of_its_own);
        tcase_add_test(tests, a_shard_channel_has_remote_interest_of_its_own);
        tcase_add_test(tests, members_are_counted_by_protocol);
        tcase_add_test(tests, remote_interest_makes_and_ends_topics);
        tcase_add_test(tests, counts_of_a_cached_pattern_stay_right_as_they_change);
        tcase_add_test(tests, the_last_subscriber_leaving_takes_the_topic_out_of_every_cache);
        tcase_add_test(tests, recent_channels_are_kept_up_to_their_number_and_only_for_patterns);
        tcase_add_test(tests, a_recent_channel_that_is_subscribed_keeps_matching);
        tcase_add_test(tests, memory_of_match_caches_is_bounded);
        tcase_add_test(tests, the_last_member_takes_the_place_of_one_that_leaves);
        tcase_add_test(tests, an_unsubscribe_storm_is_linear);
}

int main(void)
{
        return suite_run("topics", add);
}
