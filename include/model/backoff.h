/* SPDX-License-Identifier: MIT */
/*
 * backoff.h - when to try a failed delivery again.
 * Source: RFC 8460 section 5.5 (R64, R65): exponential, for 24 hours after the first try.
 */
#ifndef MODEL_BACKOFF_H
#define MODEL_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

#define BACKOFF_FIRST_S        (15 * 60)
#define BACKOFF_LIMIT_S        (24 * 3600) /* from the first try to the last */
#define BACKOFF_JITTER_PERCENT 20

/*
 * The time of the next try of a delivery that was first tried at first_at_s and failed for the tries-th time
 * (from 1) at now_s: 15 minutes doubled with each try, up to 20 % more or less as random (any number) says,
 * not before now_s + retry_after_s, but the last one exactly BACKOFF_LIMIT_S after the first.  False (and
 * *next_at_s_out untouched) if this was the last: the delivery has expired.
 */
bool backoff_next(int64_t first_at_s, unsigned tries, int64_t now_s, int64_t retry_after_s, uint32_t random,
                  int64_t *next_at_s_out);

#endif
