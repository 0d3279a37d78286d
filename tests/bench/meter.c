/* SPDX-License-Identifier: MIT */

#include "bench/meter.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SAMPLE_MAX UINT32_C(4000000000)

_Noreturn void meter_fail(const char *format, ...)
{
        va_list args;

        va_start(args, format);
        fputs("load: ", stderr);
        vfprintf(stderr, format, args);
        fputc('\n', stderr);
        va_end(args);
        exit(1);
}

void *meter_alloc(size_t n)
{
        void *p = calloc(1, n ? n : 1);

        if (!p)
                meter_fail("no memory");
        return p;
}

static uint64_t clock_read(clockid_t clock)
{
        struct timespec ts;

        clock_gettime(clock, &ts);
        return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

uint64_t meter_now(void)
{
        return clock_read(CLOCK_MONOTONIC);
}

uint64_t meter_own_cpu(void)
{
        return clock_read(CLOCK_PROCESS_CPUTIME_ID);
}

static void meter_add_thread(struct meter_usage *usage, pid_t pid, const char *thread)
{
        char path[64 + 256];
        uint64_t cpu, waited, runs;
        FILE *file;

        snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", (int)pid, thread);
        file = fopen(path, "re");
        if (!file)
                return; /* it has ended */
        if (fscanf(file, "%" SCNu64 " %" SCNu64 " %" SCNu64, &cpu, &waited, &runs) != 3)
                meter_fail("%s cannot be read", path);
        fclose(file);
        usage->cpu_ns += cpu;
        usage->runs += runs;
}

struct meter_usage meter_usage(pid_t pid)
{
        struct meter_usage usage = { 0 };
        struct dirent *entry;
        char path[64];
        DIR *dir;

        if (!pid)
                return usage;
        snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
        dir = opendir(path);
        if (!dir)
                meter_fail("process %d is gone", (int)pid);
        while ((entry = readdir(dir)))
                if (entry->d_name[0] != '.')
                        meter_add_thread(&usage, pid, entry->d_name);
        closedir(dir);
        return usage;
}

void samples_deinit(struct samples *s)
{
        free(s->v);
        *s = (struct samples){ 0 };
}

static void samples_reserve(struct samples *s, size_t more)
{
        if (s->cap - s->n >= more)
                return;
        while (s->cap - s->n < more)
                s->cap = s->cap ? 2 * s->cap : 65536;
        s->v = realloc(s->v, s->cap * sizeof(*s->v));
        if (!s->v)
                meter_fail("no memory for samples");
}

void samples_add(struct samples *s, uint64_t ns)
{
        samples_reserve(s, 1);
        s->v[s->n++] = ns < SAMPLE_MAX ? (uint32_t)ns : SAMPLE_MAX;
}

void samples_join(struct samples *s, const struct samples *more)
{
        for (size_t i = 0; i < more->n; i++)
                samples_add(s, more->v[i]);
}

static int samples_compare(const void *a, const void *b)
{
        uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

        return (x > y) - (x < y);
}

uint64_t samples_quantile(struct samples *s, double q)
{
        size_t i;

        if (!s->n)
                return 0;
        qsort(s->v, s->n, sizeof(*s->v), samples_compare);
        i = (size_t)(q * (double)s->n);
        return s->v[i < s->n ? i : s->n - 1];
}
