/* SPDX-License-Identifier: MIT */
/*
 * reportable_days.h - which UTC days have sessions that are not reported yet, and whether it is time to
 * report them.
 *
 * A day is complete when everything that arrived on it is counted.  A collector that is down holds a day open
 * for 24 hours, the hosts of a fleet for `fleet_wait`; then the day is reported with what there is.
 */
#ifndef GENERATE_REPORTABLE_DAYS_H
#define GENERATE_REPORTABLE_DAYS_H

#include <stdint.h>

#include "generator.h"

#define REPORTABLE_DAYS_MAX 32 /* max_age_days is at most 30 */

struct reportable_day {
    int32_t utc_day;
    bool is_complete; /* counted through its end, or the wait is over */
    bool is_waited;   /* complete only because the wait is over */
};

struct reportable_days {
    struct reportable_day items[REPORTABLE_DAYS_MAX];
    size_t count;
    size_t missed; /* days with sessions that are too old to be reported */
};

/*
 * The days before today, not older than max_age_days, that the ledger has not closed (all, if there is no
 * ledger), oldest first.  Statuses of the stores.
 */
MUST_CHECK enum status reportable_days_find(struct generator *generator, struct reportable_days *days_out,
                                            struct err *err);

#endif
