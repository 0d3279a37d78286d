/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Intrusive doubly linked ring. An unlinked node points at itself, so membership is a pointer compare. */

#define container_of(_ptr, _type, _member) ((_type *)((char *)(_ptr)-offsetof(_type, _member)))

struct list {
        struct list *next, *prev;
};

#define LIST_INIT(_l)                                                                                          \
        {                                                                                                      \
                &(_l), &(_l)                                                                                   \
        }

static inline void list_init(struct list *l)
{
        l->next = l->prev = l;
}

/* Of a head: nothing is linked. Of a node: it is linked nowhere. */
static inline bool list_empty(const struct list *l)
{
        return l->next == l;
}

static inline void list_add_tail(struct list *head, struct list *node)
{
        node->prev = head->prev;
        node->next = head;
        head->prev->next = node;
        head->prev = node;
}

/* Unlinks node, which may be linked nowhere. */
static inline void list_del(struct list *node)
{
        node->prev->next = node->next;
        node->next->prev = node->prev;
        list_init(node);
}

/* Moves all nodes of from to the empty list to. */
static inline void list_swap(struct list *to, struct list *from)
{
        list_init(to);
        if (list_empty(from))
                return;
        to->next = from->next;
        to->prev = from->prev;
        to->next->prev = to;
        to->prev->next = to;
        list_init(from);
}

/* Moves all nodes of from behind those of to. */
static inline void list_join(struct list *to, struct list *from)
{
        if (list_empty(from))
                return;
        from->next->prev = to->prev;
        to->prev->next = from->next;
        from->prev->next = to;
        to->prev = from->prev;
        list_init(from);
}

#define list_first(_head, _type, _member) container_of((_head)->next, _type, _member)

#define list_for_each(_i, _head) for (struct list *_i = (_head)->next; _i != (_head); _i = _i->next)
#define list_for_each_safe(_i, _next, _head)                                                                   \
        for (struct list *_i = (_head)->next, *_next = _i->next; _i != (_head); _i = _next, _next = _i->next)
