/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * Allocation of what is small and bounded by configuration: it either succeeds or ends the process with a
 * line in the log. What a client can make large is allocated with malloc() and answered when it fails.
 */

_Noreturn void mem_fail(void);

/*
 * A reserve of the calling thread. When memory is out it is given back and the allocation is tried again, so
 * what was begun can be ended; who takes requests then refuses new ones (mem_is_low()) until the reserve is
 * there again. mem_reserve() ends the process when there is not so much; it does nothing while the thread has
 * one.
 */
void mem_reserve(size_t size);
void mem_unreserve(void);

/* Whether the reserve was needed and is not back; mem_is_low() tries to take it back first. */
bool mem_is_short(void);
bool mem_is_low(void);

/* Gives the reserve back. Return: whether there was one: an allocation that failed can be tried again. */
bool mem_use_reserve(void);

/* An allocation that may fail. A small one uses the reserve before it does. Return: NULL: there is no memory.
 */
void *mem_try(size_t size) __attribute__((malloc));

/* Whether so much could be had now in one piece. */
bool mem_fits(size_t size);

void *mem_alloc(size_t size) __attribute__((malloc, returns_nonnull));
void *mem_zalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *mem_realloc(void *p, size_t size) __attribute__((returns_nonnull));

/* Zeroed memory aligned to a power of two; free() releases it. size is rounded up to the alignment. */
void *mem_zalloc_aligned(size_t alignment, size_t size) __attribute__((malloc, returns_nonnull));
