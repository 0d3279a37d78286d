/* SPDX-License-Identifier: MIT */

#include "ctl/colour.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* From the eight that every terminal has, so that they fit light and dark ones. */
static const char *const colour_codes[] = {
        [COLOUR_WARNING] = "\033[1;33m",
        [COLOUR_BAD] = "\033[1;31m",
        [COLOUR_GOOD] = "\033[32m",
        [COLOUR_HEAD] = "\033[1m",
};

bool colour_wanted(const struct ctl_request *request, FILE *out)
{
        const char *never = getenv("NO_COLOR"), *terminal = getenv("TERM");

        if (request->color && !strcmp(request->color, "always"))
                return true;
        if (request->color && !strcmp(request->color, "never"))
                return false;
        if (never && *never)
                return false;
        return terminal && *terminal && strcmp(terminal, "dumb") != 0 && isatty(fileno(out));
}

void colour_put(FILE *out, bool wanted, enum colour colour, const char *text)
{
        fprintf(out, "%s%s%s", wanted ? colour_codes[colour] : "", text, wanted ? "\033[0m" : "");
}
