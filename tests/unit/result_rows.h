/* SPDX-License-Identifier: MIT */
/* result_rows.h - compare events in tests and fuzz targets. */
#ifndef TESTS_EVENT_ROWS_H
#define TESTS_EVENT_ROWS_H

#include <string.h>

#include "model/session_result.h"

static inline bool texts_are_equal(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static inline bool result_policies_are_equal(const struct result_policy *a, const struct result_policy *b)
{
    if (policy_compare(&a->policy, &b->policy) != 0 || a->is_failed != b->is_failed ||
        a->detail_count != b->detail_count)
        return false;
    for (size_t i = 0; i < a->detail_count; i++)
        if (failure_detail_compare(&a->details[i], &b->details[i]) != 0)
            return false;
    return true;
}

/* All that a datagram tells: not is_repaired and dropped_policies. */
static inline bool results_are_equal(const struct session_result *a, const struct session_result *b)
{
    if (strcmp(a->domain, b->domain) != 0 || !texts_are_equal(a->record, b->record) ||
        a->has_utc_day != b->has_utc_day || (a->has_utc_day && a->utc_day != b->utc_day) ||
        a->policy_count != b->policy_count)
        return false;
    for (size_t i = 0; i < a->policy_count; i++)
        if (!result_policies_are_equal(&a->policies[i], &b->policies[i]))
            return false;
    return true;
}

#endif
