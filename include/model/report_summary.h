/* SPDX-License-Identifier: MIT */
/*
 * report_summary.h - the few numbers about a built report that people see: in the mail's text, in `--dry-run`
 * and in the ledger.
 */
#ifndef MODEL_REPORT_SUMMARY_H
#define MODEL_REPORT_SUMMARY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/strbuf.h"
#include "model/policy.h"
#include "model/result_type.h"

#define REPORT_SUMMARY_TEXT_MAX 1024

struct report_summary {
    struct session_counts sessions; /* summed over policies: a session held against two counts in both */
    uint64_t failures[RESULT_TYPE_COUNT]; /* failed-session-count summed by type; no relation to sessions */
    uint64_t policies;
    uint64_t details; /* as seen, before folding */
    uint64_t folded;  /* details left out in favour of one entry for each result type */
    uint64_t clamped; /* counts that did not fit and became 2147483647 (R34) */
};

/* The type with most failures; of equals the first in the table; RESULT_TYPE_COUNT if there are none. */
enum result_type report_summary_top(const struct report_summary *summary);

/*
 * One line for the ledger, as in
 * "success=4 failure=3 policies=1 details=2 folded=0 clamped=0 certificate-expired=2"; zero types are left out.
 */
void report_summary_format(const struct report_summary *summary, struct strbuf *out);

/* The reverse.  ST_SYNTAX  not such a line; *summary_out is untouched. */
MUST_CHECK enum status report_summary_parse(const char *text, struct report_summary *summary_out,
                                            struct err *err);

#endif
