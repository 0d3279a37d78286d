/* SPDX-License-Identifier: MIT */
#pragma once

#include "util/bytes.h"

/*
 * Why a command of Redis is none of brokerd's, so that who connects the wrong program is told at once: what
 * brokerd lacks, in words that follow "brokerd". Return: NULL: Redis has no command of this name either.
 */
const char *foreign_reason(struct bytes name);
