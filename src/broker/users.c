/* SPDX-License-Identifier: MIT */

#include "broker/users.h"

#include <assert.h>
#include <stdlib.h>

#include "util/bucket.h"
#include "util/mem.h"

#define USERS_FORGET 2 /* at most, when one enters: more than come in, so those who left become fewer */

struct user {
        uid_t uid;
        unsigned n_clients;
        struct bucket connects;
        struct list left; /* in users.left while n_clients is 0 */
};

static bool user_is(const void *item, const void *key)
{
        return ((const struct user *)item)->uid == *(const uid_t *)key;
}

static struct user *users_find(const struct users *users, uid_t uid)
{
        return table_find(&users->by_uid, hash_word(uid), user_is, &uid);
}

static struct user *users_add(struct users *users, uid_t uid)
{
        struct user *user = mem_zalloc(sizeof(*user));

        user->uid = uid;
        list_init(&user->left);
        table_add(&users->by_uid, hash_word(uid), user);
        return user;
}

static void users_remove(struct users *users, struct user *user)
{
        table_remove(&users->by_uid, hash_word(user->uid), user);
        list_del(&user->left);
        free(user);
}

/* Forgets some of those who left, if there is nothing to remember. */
static void users_forget(struct users *users, uint64_t rate, uint64_t now)
{
        for (int i = 0; i < USERS_FORGET && !list_empty(&users->left); i++) {
                struct user *user = list_first(&users->left, struct user, left);

                if (!bucket_is_full(&user->connects, rate, now))
                        break;
                users_remove(users, user);
        }
}

void users_init(struct users *users)
{
        *users = (struct users){ 0 };
        list_init(&users->left);
}

void users_deinit(struct users *users)
{
        struct user *user;
        size_t pos = 0;

        while ((user = table_next(&users->by_uid, &pos)))
                free(user);
        table_deinit(&users->by_uid);
}

int users_enter(struct users *users, uid_t uid, unsigned max_clients, uint64_t rate, uint64_t now)
{
        struct user *user;

        users_forget(users, rate, now);
        user = users_find(users, uid);
        if (user && max_clients && user->n_clients >= max_clients)
                return USERS_E_CLIENTS;
        if (user && bucket_wait(&user->connects, rate, 1, now))
                return USERS_E_CONNECTS;
        if (!user)
                user = users_add(users, uid);
        list_del(&user->left);
        user->n_clients++;
        bucket_take(&user->connects, rate, 1, now);
        return 0;
}

void users_leave(struct users *users, uid_t uid, unsigned n, uint64_t rate, uint64_t now)
{
        struct user *user = users_find(users, uid);

        assert(user && n <= user->n_clients);
        user->n_clients -= n;
        if (user->n_clients)
                return;
        if (bucket_is_full(&user->connects, rate, now))
                users_remove(users, user);
        else
                list_add_tail(&users->left, &user->left);
}

unsigned users_clients(const struct users *users, uid_t uid)
{
        const struct user *user = users_find(users, uid);

        return user ? user->n_clients : 0;
}
