/* SPDX-License-Identifier: MIT */
/* A build without ncurses: `brokerctl top` prints lines. */

#include "ctl/top_screen.h"

#include "ctl/say.h"

int top_screen(struct top_session *session)
{
        say_note(session->request, "built without ncurses: a line for each period instead of a screen");
        return TOP_SCREEN_NONE;
}
