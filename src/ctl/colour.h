/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "ctl/args.h"

/*
 * Colours, for what is said in words anyway. --color=always and never decide; else there are colours where out
 * is a terminal that has them (TERM is neither missing nor "dumb") and NO_COLOR is not set to anything.
 */

enum colour {
        COLOUR_WARNING,
        COLOUR_BAD,
        COLOUR_GOOD,
        COLOUR_HEAD,
};

/* Return: whether output for this stream is coloured. */
bool colour_wanted(const struct ctl_request *request, FILE *out);

/* Writes the text, in the colour if wanted. The text is the program's own. */
void colour_put(FILE *out, bool wanted, enum colour colour, const char *text);
