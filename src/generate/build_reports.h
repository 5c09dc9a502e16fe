/* SPDX-License-Identifier: MIT */
/*
 * build_reports.h - the first half of a run: every complete UTC day that is not closed yet gets its reports,
 * which are frozen in the ledger together with their deliveries.
 */
#ifndef GENERATE_BUILD_REPORTS_H
#define GENERATE_BUILD_REPORTS_H

#include <stdint.h>

#include "generator.h"

struct build_totals {
    uint64_t days; /* closed now */
    uint64_t reports;
    uint64_t skipped; /* domains that get none */
    uint64_t waiting; /* domains whose record could not be read yet */
};

/*
 * Build every report that can be built now and add to *totals.  is_flush: ask also for records that wait for a later time.
 * What was done before a failure stays done.
 * ST_NOMEM
 * else      as the functions of store/session_reader.h and store/ledger.h
 */
MUST_CHECK enum status build_reports(struct generator *generator, bool is_flush, struct build_totals *totals,
                                     struct err *err);

#endif
