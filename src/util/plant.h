/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Planted bugs: PLANTED(n) is true in a build with -DPLANT=n and nowhere else, so that `make check-plants` can
 * show that the tests catch bug n. Always false, and no code, in any other build. tests/plant/run.sh lists what
 * each number breaks and what catches it.
 */
#ifndef PLANT
#define PLANT 0
#endif

#define PLANTED(_n) (PLANT == (_n))
