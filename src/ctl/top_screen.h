/* SPDX-License-Identifier: MIT */
#pragma once

#include "ctl/top_session.h"

/*
 * The live view on a terminal. Nothing but this knows curses, and whatever ends it, the terminal is as it was:
 * signals are read from a descriptor, and what is wrong is said when the screen is gone.
 */

#define TOP_SCREEN_NONE                                                                                        \
        (-1) /* there can be no screen: the terminal is too simple, or curses is not built in                  \
              */

/* Runs until somebody quits. Return: enum ctl_exit, TOP_SCREEN_NONE. */
int top_screen(struct top_session *session);
