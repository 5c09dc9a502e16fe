/* SPDX-License-Identifier: MIT */
#include "model/schedule.h"

#include "model/utc_day.h"

/* FNV-1a; the terminating NUL is hashed too, so that ("ab", "c") and ("a", "bc") differ. */
static uint64_t hash_text(uint64_t hash, const char *text)
{
    const char *at = text;

    do {
        hash ^= (unsigned char)*at;
        hash *= 0x100000001b3u;
    } while (*at++ != '\0');
    return hash;
}

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
    uint64_t hash = mix(hash_text(hash_text(0xcbf29ce484222325u, domain), submitter));
    uint64_t share = spread_s > 0 ? hash % ((uint64_t)spread_s + 1) : 0;

    return utc_day_last_s(utc_day) + 1 + min_delay_s + (int64_t)share;
}
