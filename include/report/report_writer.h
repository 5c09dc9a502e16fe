/* SPDX-License-Identifier: MIT */
/*
 * report_writer.h - write one report as JSON, piece by piece, into a sink: begin, then each policy followed
 * by its details, then end.  Memory does not grow with the number of policies or details.
 *
 * In:     canonical policies and details (model/policy.h).
 * Out:    the one line of ASCII JSON of RFC 8460 section 4 in the key order of rfc8460.md B.2, without blanks
 *         and without a final newline.  It is valid whatever the texts hold and in whatever order policies and
 *         details come; it is reproducible if the caller keeps the order of model/report_source.h.
 * Limits: texts longer than policy.h allows are cut, items beyond POLICY_LINES_MAX left out.
 */
#ifndef REPORT_REPORT_WRITER_H
#define REPORT_REPORT_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/strbuf.h"
#include "model/policy.h"
#include "model/report_meta.h"
#include "model/report_summary.h"

#define REPORT_COUNT_MAX    2147483647 /* some receivers read counts into 32 signed bits (R34) */
#define REPORT_BUFFER_BYTES 4096

/* Where the bytes go.  A status other than ST_OK ends the writing and is its result. */
struct report_sink {
    enum status (*write)(void *context, const char *bytes, size_t len, struct err *err);
    /* Drop what was written: the same report comes again, shorter.  Only report_build calls it. */
    enum status (*restart)(void *context, struct err *err);
    void *context;
};

/* Private but for summary and total_bytes, which may be read at any time. */
struct report_writer {
    const struct report_sink *sink;
    struct report_summary summary;
    uint64_t total_bytes; /* of JSON so far */
    struct strbuf text;   /* one text being cleaned */
    bool is_in_policy;
    bool is_in_details;
    size_t used;
    char buffer[REPORT_BUFFER_BYTES];
};

/*
 * Begin a report.  sink is borrowed until report_done; meta only for the call.
 * All four functions below:
 * ST_INTERNAL  called out of order
 * ST_NOMEM     or the sink's status
 */
MUST_CHECK enum status report_begin(struct report_writer *writer, const struct report_meta *meta,
                                    const struct report_sink *sink, struct err *err);

/* A new policy entry; the details that follow belong to it (R30). */
MUST_CHECK enum status report_add_policy(struct report_writer *writer, const struct policy *policy,
                                         const struct session_counts *counts, struct err *err);

/* sessions is at least 1. */
MUST_CHECK enum status report_add_detail(struct report_writer *writer, const struct failure_detail *detail,
                                         uint64_t sessions, struct err *err);

/* Close the report and hand the last bytes to the sink.  ST_NOT_FOUND  it has no policy (R15, R74). */
MUST_CHECK enum status report_end(struct report_writer *writer, struct err *err);

/* Free what the writer holds, also after a failure. */
void report_done(struct report_writer *writer);

#endif
