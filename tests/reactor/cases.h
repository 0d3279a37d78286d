/* SPDX-License-Identifier: MIT */
#pragma once

#include "peers.h"

/* Of test-reactor: the cases that each reactor runs, by file. */

struct uring_stats;

void add_crowd_cases(TCase *cases);
void add_race_cases(TCase *cases);

/* Of io_uring only; each ends by a signal. */
void add_death_cases(TCase *cases);

/* What the io_uring reactor counts. NULL: the reactor is another one. */
const struct uring_stats *reactor_stats(void);
