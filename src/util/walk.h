/* SPDX-License-Identifier: MIT */
#pragma once

#include "util/list.h"

/*
 * A list that is walked in pieces, while items come and go between them. Each item that is there from the
 * beginning of a walk to its end is met once; what comes meanwhile is not met, so that a walk ends.
 */

struct walk_list {
        struct list items;
        struct list walks; /* under way, by walk.link */
};

/* Zeroed is none. */
struct walk {
        struct list link;
        struct walk_list *list; /* NULL: it has ended */
        struct list *at;        /* the next one to be met; items: none */
};

static inline void walk_list_init(struct walk_list *l)
{
        list_init(&l->items);
        list_init(&l->walks);
}

/* In front, where no walk comes any more. */
static inline void walk_list_add(struct walk_list *l, struct list *item)
{
        list_add_tail(l->items.next, item);
}

static inline void walk_list_del(struct walk_list *l, struct list *item)
{
        list_for_each (i, &l->walks) {
                struct walk *walk = container_of(i, struct walk, link);

                if (walk->at == item)
                        walk->at = item->next;
        }
        list_del(item);
}

static inline void walk_begin(struct walk *walk, struct walk_list *l)
{
        walk->list = l;
        walk->at = l->items.next;
        list_add_tail(&l->walks, &walk->link);
}

/* It may have ended. */
static inline void walk_end(struct walk *walk)
{
        if (walk->list)
                list_del(&walk->link);
        walk->list = NULL;
}

/* Return: the next item; NULL at the end, where the walk has ended. */
static inline struct list *walk_next(struct walk *walk)
{
        struct list *item = walk->at;

        if (!walk->list)
                return NULL;
        if (item == &walk->list->items) {
                walk_end(walk);
                return NULL;
        }
        walk->at = item->next;
        return item;
}
