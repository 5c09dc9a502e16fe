/* SPDX-License-Identifier: MIT */
/*
 * schedule.h - when the first try of a report is due.
 * Source: RFC 8460 section 4.1 (R62): after the day, with a delay that differs between domains and reporters,
 * so that neither a receiver nor we have all of it at midnight.
 */
#ifndef MODEL_SCHEDULE_H
#define MODEL_SCHEDULE_H

#include <stdint.h>

/*
 * End of the day + min_delay_s + a share of spread_s (0 .. spread_s) that is always the same for this pair
 * of domain and submitter.
 */
int64_t schedule_due_s(int32_t utc_day, const char *domain, const char *submitter, int64_t min_delay_s,
                       int64_t spread_s);

#define SCHEDULE_TURNS 256

/*
 * The turn of a delivery whose owner had nth others (from 0) in the same run: up to 64 each its own, then one for
 * every eighth of a power of two.  Owners with many deliveries so take their turns after those with few.
 */
uint32_t schedule_turn(uint64_t nth);

#endif
