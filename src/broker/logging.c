/* SPDX-License-Identifier: MIT */

#include "broker/logging.h"

#include <string.h>

#include "broker/config_text.h"
#include "util/buffer.h"
#include "util/log.h"

bool logging_is_stderr(const struct config_log *log)
{
        return strcmp(log->target, "stderr") == 0;
}

bool logging_differs(const struct config_log *a, const struct config_log *b)
{
        return strcmp(a->target, b->target) != 0 || a->format != b->format;
}

int logging_open(const struct config_log *log)
{
        struct log_options options = { .target = LOG_TARGET_FILE,
                                       .file = log->target,
                                       .format = (enum log_format)log->format };
        struct buffer name = { 0 };
        int r;

        if (logging_is_stderr(log) || strcmp(log->target, "journal") == 0) {
                options.target = logging_is_stderr(log) ? LOG_TARGET_STDERR : LOG_TARGET_JOURNAL;
                options.file = NULL;
        }
        r = log_open(&options);
        if (!r)
                return 0;
        config_text_put(&name, bytes_str(log->target));
        log_error("cannot log to %s: %s", (const char *)name.data, strerror(r));
        buffer_deinit(&name);
        return LOGGING_E_REFUSED;
}

void logging_reopen(void)
{
        int r = log_reopen();

        if (r > 0)
                log_error("cannot open the log anew, the old file goes on: %s", strerror(r));
        else if (!r)
                log_info("the log was opened anew");
}
