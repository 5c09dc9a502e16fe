/* SPDX-License-Identifier: MIT */
#include "model/schedule.h"

#include <string.h>

#include "base/fnv1a.h"
#include "model/utc_day.h"

/* FNV's high bits are poor for short texts: mix before taking a remainder. */
static uint64_t mix(uint64_t hash)
{
    hash ^= hash >> 33;
    hash *= 0xff51afd7ed558ccdu;
    hash ^= hash >> 33;
    return hash;
}

int64_t schedule_due_s(int32_t utc_day, const char *domain, const char *submitter, int64_t min_delay_s,
                       int64_t spread_s)
{
    /* Each with its NUL, so that ("ab", "c") and ("a", "bc") differ. */
    uint64_t hash = fnv1a(fnv1a(FNV1A_START, domain, strlen(domain) + 1), submitter, strlen(submitter) + 1);
    uint64_t share = spread_s > 0 ? mix(hash) % ((uint64_t)spread_s + 1) : 0;

    return utc_day_last_s(utc_day) + 1 + min_delay_s + (int64_t)share;
}

uint32_t schedule_turn(uint64_t nth)
{
    uint32_t exponent = 6;

    if (nth < 64)
        return (uint32_t)nth;
    while (nth >> exponent > 1)
        exponent++;
    if (exponent > 29)
        return SCHEDULE_TURNS - 1;
    return 64 + 8 * (exponent - 6) + (uint32_t)(nth >> (exponent - 3) & 7);
}
