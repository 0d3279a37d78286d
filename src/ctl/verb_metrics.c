/* SPDX-License-Identifier: MIT */
/* The broker's figures for Prometheus. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/file.h"
#include "ctl/metrics.h"
#include "ctl/say.h"
#include "ctl/status.h"
#include "ctl/verbs.h"
#include "util/mem.h"

static int verb_metrics_write(const char *path, const redisReply *status)
{
        char *text = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&text, &size);
        int r;

        if (out)
                metrics_print(out, status);
        if (!out || fclose(out) != 0)
                mem_fail();
        r = file_replace(path, bytes_of(text, size));
        free(text);
        return r;
}

static int verb_metrics_show(const struct ctl_request *request, const struct link *link,
                             const redisReply *status)
{
        if (!status_valid(status))
                return verb_strange(link);
        if (request->output && strcmp(request->output, "-") != 0)
                return verb_metrics_write(request->output, status);
        metrics_print(stdout, status);
        return say_flush();
}

int verb_metrics(const struct ctl_request *request)
{
        struct bytes words[] = { BYTES_LITERAL("BROKER"), BYTES_LITERAL("STATUS") };
        redisReply *reply;
        struct link link;
        int r = link_ask(&link, request, words, 2, &reply);

        if (!r) {
                r = verb_metrics_show(request, &link, reply);
                freeReplyObject(reply);
        }
        link_close(&link);
        return r;
}
