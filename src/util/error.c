/* SPDX-License-Identifier: MIT */
/* Where a fatal error was raised and which callers forwarded it. */

#include "util/error.h"

#include <string.h>

#include "util/log.h"

int error_log_origin(int r, const char *file, int line, const char *func)
{
        if (r < 0)
                log_error("%s at %s:%d in %s()", strerror(-r), file, line, func);
        return r;
}

int error_log_trace(int r, const char *file, int line, const char *func)
{
        if (r < 0)
                log_error("  forwarded at %s:%d in %s()", file, line, func);
        return r;
}
