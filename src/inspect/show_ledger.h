/* SPDX-License-Identifier: MIT */
/*
 * show_ledger.h - what reports.db holds about one domain: its reports by day, and the state of each delivery.
 */
#ifndef INSPECT_SHOW_LEDGER_H
#define INSPECT_SHOW_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "model/config.h"
#include "store/ledger.h"

/*
 * Print the days and deliveries of domain (canonical) if is_verbose, then call show with the newest report,
 * its gzip bytes included.  utc_day < 0: all days.
 * ST_NOT_FOUND  the ledger has nothing about it; err says what to do
 * or a status of the ledger or of show
 */
MUST_CHECK enum status show_ledger(const struct config *config, const char *domain, int32_t utc_day,
                                   bool is_verbose, struct arena *arena, ledger_report_fn *show,
                                   void *context, struct err *err);

#endif
