/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

#include "reactor/reactor.h"

/*
 * Whether a reactor does on this kernel, under this user's limits, what reactor.h promises, tried out on socket
 * pairs: the places where kernels were seen to go wrong. Takes some 20 ms when all is well.
 *
 * n: how many reactors have to exist at a time. A thread is made and joined meanwhile; it inherits the signal
 * mask. why has REACTOR_WHY_BYTES and says in words what is wrong.
 * Return: 0, REACTOR_E_UNSUPPORTED (it cannot be made), REACTOR_E_MISBEHAVES.
 */
int reactor_selftest(const struct reactor_ops *ops, const struct reactor_options *options, unsigned n,
                     char *why);

/*
 * What a turn's sends cost one reactor in relation to another: CPU time of this thread for 25 sends of 3 KiB,
 * the least of some rounds that alternate. Takes some milliseconds.
 * Return: the cost of ops in percent of that of base; 0: it could not be measured.
 */
unsigned reactor_compare(const struct reactor_ops *ops, const struct reactor_ops *base,
                         const struct reactor_options *options);
