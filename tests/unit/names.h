/* SPDX-License-Identifier: MIT */
/* names.h - words for status codes and delivery results, for what tests and their tools print. */
#ifndef TESTS_UNIT_NAMES_H
#define TESTS_UNIT_NAMES_H

#include <stddef.h>

#include "base/err.h"
#include "model/delivery_result.h"

static inline const char *status_name(enum status code)
{
    static const char *const NAMES[] = {
        [ST_OK] = "ok",
        [ST_NOT_FOUND] = "not_found",
        [ST_SYNTAX] = "syntax",
        [ST_RANGE] = "range",
        [ST_CONFIG] = "config",
        [ST_UNSUPPORTED] = "unsupported",
        [ST_DENIED] = "denied",
        [ST_BUSY] = "busy",
        [ST_TEMPORARY] = "temporary",
        [ST_FULL] = "full",
        [ST_IO] = "io",
        [ST_NOMEM] = "nomem",
        [ST_INTERNAL] = "internal",
    };

    return (size_t)code < ARRAY_COUNT(NAMES) ? NAMES[code] : "unknown";
}

static inline const char *delivery_result_kind_name(enum delivery_result_kind kind)
{
    static const char *const NAMES[] = {
        [DELIVERY_RESULT_DELIVERED] = "delivered",
        [DELIVERY_RESULT_TRY_LATER] = "try-later",
        [DELIVERY_RESULT_GIVE_UP] = "give-up",
    };

    return NAMES[kind];
}

#endif
