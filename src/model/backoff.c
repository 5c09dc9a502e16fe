/* SPDX-License-Identifier: MIT */
#include "model/backoff.h"

/* 15 min << 7 is past the limit already, so more doublings change nothing. */
#define DOUBLINGS_MAX 7u

static int64_t interval_s(unsigned tries, uint32_t random)
{
    unsigned doublings = tries == 0 ? 0 : tries - 1;
    int64_t base = (int64_t)BACKOFF_FIRST_S << (doublings < DOUBLINGS_MAX ? doublings : DOUBLINGS_MAX);
    int64_t swing = base * BACKOFF_JITTER_PERCENT / 100;

    return base - swing + (int64_t)(random % (uint64_t)(2 * swing + 1));
}

bool backoff_next(int64_t first_at_s, unsigned tries, int64_t now_s, int64_t retry_after_s, uint32_t random,
                  int64_t *next_at_s_out)
{
    int64_t last_s = first_at_s + BACKOFF_LIMIT_S;
    int64_t next_s = now_s + interval_s(tries, random);

    if (now_s >= last_s)
        return false;
    if (retry_after_s > 0 && (retry_after_s > BACKOFF_LIMIT_S || now_s + retry_after_s > next_s))
        next_s = retry_after_s > BACKOFF_LIMIT_S ? last_s : now_s + retry_after_s;
    *next_at_s_out = next_s < last_s ? next_s : last_s;
    return true;
}
