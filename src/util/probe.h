/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Static probes (USDT) for tracers: a place in the code that costs one instruction that does nothing, and a
 * note in the binary that says where it is and which registers hold its arguments. brokerd-internals(7) lists
 * them; a test compares that list with the binary. Arguments are numbers and pointers; they are evaluated in
 * any build, so they must be at hand.
 */

#include <config.h>

#ifdef WITH_USDT

#include <sys/sdt.h>

#define PROBE1(_name, _a)                 DTRACE_PROBE1(brokerd, _name, _a)
#define PROBE2(_name, _a, _b)             DTRACE_PROBE2(brokerd, _name, _a, _b)
#define PROBE3(_name, _a, _b, _c)         DTRACE_PROBE3(brokerd, _name, _a, _b, _c)
#define PROBE4(_name, _a, _b, _c, _d)     DTRACE_PROBE4(brokerd, _name, _a, _b, _c, _d)
#define PROBE5(_name, _a, _b, _c, _d, _e) DTRACE_PROBE5(brokerd, _name, _a, _b, _c, _d, _e)

#else

#define PROBE1(_name, _a)                 ((void)(_a))
#define PROBE2(_name, _a, _b)             ((void)(_a), (void)(_b))
#define PROBE3(_name, _a, _b, _c)         ((void)(_a), (void)(_b), (void)(_c))
#define PROBE4(_name, _a, _b, _c, _d)     ((void)(_a), (void)(_b), (void)(_c), (void)(_d))
#define PROBE5(_name, _a, _b, _c, _d, _e) ((void)(_a), (void)(_b), (void)(_c), (void)(_d), (void)(_e))

#endif
