/* SPDX-License-Identifier: MIT */
/*
 * report_build.h - one domain's day, told by a source, becomes one JSON report of a bounded size.
 *
 * In: a source that tells policies and details in canonical order, as often as asked.  Out: JSON into a sink
 * (report_writer.h) and the numbers about it.  Memory is the same for one detail and for a million.
 *
 * Limits: a report of more than max_bytes loses its rarest details: of each policy they become one entry for
 * each result type that holds nothing but the type and their sum, so every total stays exact.  What says
 * nothing but its type already joins that entry.  Policies are never left out: if they alone pass max_bytes,
 * so does the report.
 */
#ifndef REPORT_REPORT_BUILD_H
#define REPORT_REPORT_BUILD_H

#include <stdint.h>

#include "base/err.h"
#include "model/report_meta.h"
#include "model/report_source.h"
#include "model/report_summary.h"
#include "report/report_writer.h"

struct report_built {
    struct report_summary summary; /* folded > 0: say so to the receiver */
    uint64_t json_bytes;
};

/*
 * source is asked once if the report fits, three times or a few more if not; sink->restart is called when the
 * first bytes turn out to be of a report that is too large.
 * ST_NOT_FOUND  the source tells of no policy (R74); bytes written so far are worth nothing
 * ST_NOMEM, ST_INTERNAL, or a status of source or sink
 */
MUST_CHECK enum status report_build(const struct report_meta *meta, uint64_t max_bytes,
                                    const struct report_source *source, const struct report_sink *sink,
                                    struct report_built *built_out, struct err *err);

#endif
