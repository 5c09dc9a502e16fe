/* SPDX-License-Identifier: MIT */
/*
 * retention.h - delete what is older than max_age_days.  It runs before anything else of a run, so that a
 * delivery that fails or hangs does not let the stores grow.
 *
 * A day goes only when it is too old by the clock and by the collector's mark: one of them alone may be wrong.
 */
#ifndef GENERATE_RETENTION_H
#define GENERATE_RETENTION_H

#include <stdint.h>

#include "base/err.h"
#include "model/config.h"
#include "store/ledger.h"
#include "store/session_reader.h"

/* The moment of a run whose clock is trusted. */
struct retention_time {
    int64_t now_s;
    int64_t ledger_s; /* clock_guard.h */
};

/* ledger: NULL leaves it alone.  Statuses of the stores. */
MUST_CHECK enum status retention_run(const struct config *config, struct session_reader *sessions,
                                     struct ledger *ledger, const struct retention_time *time,
                                     struct err *err);

#endif
