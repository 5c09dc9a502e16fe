/* SPDX-License-Identifier: MIT */
/*
 * build_reports.h - the first half of a run: every complete UTC day that is not closed yet gets its reports,
 * which are frozen in the ledger together with their deliveries.
 */
#ifndef GENERATE_BUILD_REPORTS_H
#define GENERATE_BUILD_REPORTS_H

#include <stdint.h>

#include "generator.h"

#define REPORTABLE_DAYS_MAX 32 /* max_age_days is at most 30 */

/* A day with sessions, and whether it is time to report it. */
struct reportable_day {
    int32_t utc_day;
    bool is_complete; /* counted through its end, or the collector (the fleet) was waited for long enough */
    bool is_waited;   /* it is the waiting that makes it complete */
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

struct build_totals {
    uint64_t days; /* closed now */
    uint64_t reports;
    uint64_t skipped; /* domains that get none */
    uint64_t waiting; /* domains whose record could not be read yet */
};

/* Build what is to be built.  Statuses of the stores and stages; what was done before a failure stays done.
 */
MUST_CHECK enum status build_reports(struct generator *generator, struct build_totals *totals_out,
                                     struct err *err);

#endif
