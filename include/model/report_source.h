/* SPDX-License-Identifier: MIT */
/*
 * report_source.h - how one domain's day is handed to the report builder: a source that can replay all of it,
 * any number of times, in canonical order, one row at a time.  The session store is such a source.
 *
 * Order: policies by policy_compare; behind each policy its details, by sessions descending and then
 * failure_detail_compare (R35).
 */
#ifndef MODEL_REPORT_SOURCE_H
#define MODEL_REPORT_SOURCE_H

#include <stdint.h>

#include "base/err.h"
#include "model/policy.h"

/* Rows are borrowed for the call.  A status other than ST_OK ends the replay and is its result. */
struct report_visitor {
    enum status (*policy)(void *context, const struct policy *policy, const struct session_counts *counts,
                          struct err *err);
    enum status (*detail)(void *context, const struct failure_detail *detail, uint64_t sessions,
                          struct err *err); /* may be NULL: not wanted */
    void *context;
};

struct report_source {
    /* Pass every row to visitor; the same every time.  ST_OK, the visitor's status, or a status of its own. */
    enum status (*replay)(void *context, const struct report_visitor *visitor, struct err *err);
    void *context;
};

#endif
