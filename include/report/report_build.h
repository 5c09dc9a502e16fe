/* SPDX-License-Identifier: MIT */
/*
 * report_build.h - one domain's day, replayed by a source, becomes one JSON report of a bounded size.
 *
 * In:  a source that replays policies and details in canonical order, as often as asked.
 * Out: JSON into a sink (report_writer.h) and the numbers about it.
 *
 * Limits: a report of more than max_bytes loses its rarest details: in each policy they become one entry for
 * each result type that holds nothing but the type and their sum, so every total stays exact.  A detail that
 * holds nothing but its type joins that entry.  Policies are never left out: if they alone pass max_bytes,
 * so does the report.  Memory: 16 bytes for each run of details with the same number of sessions.
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
 * The source is replayed once if the report fits, else twice, with a call of sink->restart in between.
 * ST_NOT_FOUND  the source has no policy (R74); discard the bytes written so far
 * ST_NOMEM
 * ST_INTERNAL
 * else          as the source or the sink
 */
MUST_CHECK enum status report_build(const struct report_meta *meta, uint64_t max_bytes,
                                    const struct report_source *source, const struct report_sink *sink,
                                    struct report_built *built_out, struct err *err);

#endif
