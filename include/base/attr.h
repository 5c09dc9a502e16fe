/* SPDX-License-Identifier: MIT */
/*
 * attr.h - compiler attributes under names that say what they promise.
 */
#ifndef BASE_ATTR_H
#define BASE_ATTR_H

/* The caller must look at the result. */
#define MUST_CHECK __attribute__((warn_unused_result))

/* Checks a printf-like format; both numbers count from 1. */
#define PRINTF_LIKE(format_index, first_argument)                                                            \
    __attribute__((format(printf, format_index, first_argument)))

/* Number of elements of a real array (not of a pointer). */
#define ARRAY_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
