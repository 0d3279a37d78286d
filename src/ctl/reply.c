/* SPDX-License-Identifier: MIT */

#include "ctl/reply.h"

bool reply_is_list(const redisReply *reply)
{
        return reply && reply->type == REDIS_REPLY_ARRAY;
}

bool reply_is_text(const redisReply *reply)
{
        return reply && (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS);
}

const redisReply *reply_get(const redisReply *map, const char *name)
{
        if (!reply_is_list(map))
                return NULL;
        for (size_t i = 0; i + 1 < map->elements; i += 2) {
                const redisReply *key = map->element[i];

                if (reply_is_text(key) && bytes_equal(bytes_of(key->str, key->len), bytes_str(name)))
                        return map->element[i + 1];
        }
        return NULL;
}

bool reply_number(uint64_t *np, const redisReply *map, const char *name)
{
        const redisReply *value = reply_get(map, name);

        if (!value || value->type != REDIS_REPLY_INTEGER || value->integer < 0)
                return false;
        *np = (uint64_t)value->integer;
        return true;
}

uint64_t reply_count(const redisReply *map, const char *name)
{
        uint64_t n = 0;

        reply_number(&n, map, name);
        return n;
}

struct bytes reply_text(const redisReply *map, const char *name)
{
        const redisReply *value = reply_get(map, name);

        return reply_is_text(value) ? bytes_of(value->str, value->len) : (struct bytes){ 0 };
}

const redisReply *reply_item(const redisReply *list, size_t i)
{
        return reply_is_list(list) && i < list->elements ? list->element[i] : NULL;
}
