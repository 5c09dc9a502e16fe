/* SPDX-License-Identifier: MIT */
#include "base/clock.h"

#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000LL

_Static_assert(sizeof(time_t) == 8 && sizeof(size_t) == 8,
               "tlsrpt-gen needs a 64-bit system: with 32, days end in 2038");

/* Longest shift that is believed, in seconds: about 300 years. */
#define MAX_SHIFT_S 10000000000LL

static int64_t believed(long long shift_s)
{
    return shift_s > -MAX_SHIFT_S && shift_s < MAX_SHIFT_S ? shift_s : 0;
}

/* Of UTC and of the time since the start. */
static void read_shifts(int64_t *utc_s_out, int64_t *boot_s_out)
{
    const char *path = getenv("TLSRPT_GEN_CLOCK");
    char text[64];
    char *rest;
    ssize_t len;
    int fd;

    *utc_s_out = *boot_s_out = 0;
    if (path == NULL)
        return;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    len = read(fd, text, sizeof text - 1);
    (void)close(fd);
    if (len <= 0)
        return;
    text[len] = '\0';
    *utc_s_out = believed(strtoll(text, &rest, 10));
    *boot_s_out = believed(strtoll(rest, NULL, 10));
}

int64_t clock_utc_ns(void)
{
    struct timespec now;
    int64_t shift_s, ignored;

    read_shifts(&shift_s, &ignored);
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return ((int64_t)now.tv_sec + shift_s) * NS_PER_S + now.tv_nsec;
}

int64_t clock_utc_s(void)
{
    return clock_utc_ns() / NS_PER_S;
}

int64_t clock_monotonic_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t clock_boot_s(void)
{
    struct timespec now;
    int64_t ignored, shift_s;

    read_shifts(&ignored, &shift_s);
    (void)clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec + shift_s;
}

void clock_sleep_us(int64_t us)
{
    struct timespec span = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};

    (void)nanosleep(&span, NULL);
}

void clock_sleep_ms(int64_t ms)
{
    clock_sleep_us(1000 * ms);
}
