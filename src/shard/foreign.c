/* SPDX-License-Identifier: MIT */

#include "shard/foreign.h"

#include <stddef.h>

static const struct {
        const char *reason;
        const char *names; /* with one blank between two */
} foreign_table[] = {
        { "is a publish/subscribe broker and has no keys",
          "append bitcount bitfield bitfield_ro bitop bitpos blmove blmpop blpop brpop brpoplpush bzmpop "
          "bzpopmax "
          "bzpopmin copy decr decrby del dump exists expire expireat expiretime geoadd geodist geohash geopos "
          "georadius georadius_ro georadiusbymember georadiusbymember_ro geosearch geosearchstore get getbit "
          "getdel "
          "getex getrange getset hdel hexists hget hgetall hincrby hincrbyfloat hkeys hlen hmget hmset "
          "hrandfield "
          "hscan hset hsetnx hstrlen hvals incr incrby incrbyfloat lcs lindex linsert llen lmove lmpop lpop "
          "lpos "
          "lpush lpushx lrange lrem lset ltrim mget migrate move mset msetnx object persist pexpire pexpireat "
          "pexpiretime pfadd pfcount pfmerge psetex pttl randomkey rename renamenx restore rpop rpoplpush "
          "rpush "
          "rpushx sadd scard sdiff sdiffstore set setbit setex setnx setrange sinter sintercard sinterstore "
          "sismember smembers smismember smove sort sort_ro spop srandmember srem sscan strlen substr sunion "
          "sunionstore swapdb touch ttl type unlink xack xadd xautoclaim xclaim xdel xgroup xinfo xlen "
          "xpending "
          "xrange xread xreadgroup xrevrange xsetid xtrim zadd zcard zcount zdiff zdiffstore zincrby zinter "
          "zintercard zinterstore zlexcount zmpop zmscore zpopmax zpopmin zrandmember zrange zrangebylex "
          "zrangebyscore zrangestore zrank zrem zremrangebylex zremrangebyrank zremrangebyscore zrevrange "
          "zrevrangebylex zrevrangebyscore zrevrank zscan zscore zunion zunionstore" },
        { "is a publish/subscribe broker and runs no scripts",
          "eval eval_ro evalsha evalsha_ro fcall fcall_ro script" },
        { "is a publish/subscribe broker and stores nothing", "bgrewriteaof bgsave lastsave save" },
        { "is a publish/subscribe broker and has no replicas",
          "failover psync replconf replicaof slaveof sync wait waitaof" },
        { "is a publish/subscribe broker and no cluster", "asking cluster readonly readwrite" },
        { "is a publish/subscribe broker and loads no modules", "module" },
};

static bool foreign_names(const char *names, struct bytes name)
{
        size_t n;

        for (const char *word = names; *word; word += n + (word[n] == ' ')) {
                n = strcspn(word, " ");
                if (n == name.n && !strncasecmp((const char *)name.p, word, n))
                        return true;
        }
        return false;
}

const char *foreign_reason(struct bytes name)
{
        for (size_t i = 0; i < sizeof(foreign_table) / sizeof(*foreign_table); i++)
                if (foreign_names(foreign_table[i].names, name))
                        return foreign_table[i].reason;
        return NULL;
}
