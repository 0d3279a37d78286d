/* SPDX-License-Identifier: MIT */

#include "util/bucket.h"

#include "util/clock.h"

/* One token in the unit of what is lacking: with it, a rate is how many units flow in per ns. Twice BUCKET_MAX
 * of them do not overflow. */
#define BUCKET_TOKEN NSEC_PER_SEC

static uint64_t bucket_cut(uint64_t tokens)
{
        return tokens < BUCKET_MAX ? tokens : BUCKET_MAX;
}

/* What is lacking now. */
static uint64_t bucket_lacking(const struct bucket *bucket, uint64_t rate, uint64_t now)
{
        uint64_t ns = now > bucket->at ? now - bucket->at : 0;

        return ns > bucket->lacking / rate ? 0 : bucket->lacking - ns * rate;
}

uint64_t bucket_wait(const struct bucket *bucket, uint64_t rate, uint64_t n, uint64_t now)
{
        uint64_t lacking, may_lack;

        if (!rate)
                return 0;
        rate = bucket_cut(rate);
        n = bucket_cut(n);
        lacking = bucket_lacking(bucket, rate, now);
        may_lack = n < rate ? (rate - n) * BUCKET_TOKEN : 0;
        return lacking <= may_lack ? 0 : (lacking - may_lack - 1) / rate + 1;
}

void bucket_take(struct bucket *bucket, uint64_t rate, uint64_t n, uint64_t now)
{
        uint64_t lacking, more = bucket_cut(n) * BUCKET_TOKEN;

        if (!rate)
                return;
        lacking = bucket_lacking(bucket, bucket_cut(rate), now);
        bucket->lacking = lacking < UINT64_MAX - more ? lacking + more : UINT64_MAX;
        bucket->at = now;
}

void bucket_give(struct bucket *bucket, uint64_t rate, uint64_t n, uint64_t now)
{
        uint64_t lacking, less = bucket_cut(n) * BUCKET_TOKEN;

        if (!rate)
                return;
        lacking = bucket_lacking(bucket, bucket_cut(rate), now);
        bucket->lacking = lacking > less ? lacking - less : 0;
        bucket->at = now;
}

uint64_t bucket_left(const struct bucket *bucket, uint64_t rate, uint64_t now)
{
        uint64_t lacking;

        if (!rate)
                return BUCKET_MAX;
        rate = bucket_cut(rate);
        lacking = bucket_lacking(bucket, rate, now);
        return lacking < rate * BUCKET_TOKEN ? (rate * BUCKET_TOKEN - lacking) / BUCKET_TOKEN : 0;
}

uint64_t bucket_used(const struct bucket *bucket, uint64_t rate, uint64_t now)
{
        uint64_t lacking = rate ? bucket_lacking(bucket, bucket_cut(rate), now) : 0;

        return lacking / BUCKET_TOKEN + (lacking % BUCKET_TOKEN > 0);
}

bool bucket_is_full(const struct bucket *bucket, uint64_t rate, uint64_t now)
{
        return !rate || !bucket_lacking(bucket, bucket_cut(rate), now);
}
