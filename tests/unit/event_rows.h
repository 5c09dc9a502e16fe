/* SPDX-License-Identifier: MIT */
/* event_rows.h - compare events in tests and fuzz targets. */
#ifndef TESTS_EVENT_ROWS_H
#define TESTS_EVENT_ROWS_H

#include <string.h>

#include "model/event.h"

static inline bool texts_are_equal(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static inline bool event_policies_are_equal(const struct event_policy *a, const struct event_policy *b)
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
static inline bool events_are_equal(const struct event *a, const struct event *b)
{
    if (strcmp(a->domain, b->domain) != 0 || !texts_are_equal(a->record, b->record) ||
        a->has_utc_day != b->has_utc_day || (a->has_utc_day && a->utc_day != b->utc_day) ||
        a->policy_count != b->policy_count)
        return false;
    for (size_t i = 0; i < a->policy_count; i++)
        if (!event_policies_are_equal(&a->policies[i], &b->policies[i]))
            return false;
    return true;
}

#endif
