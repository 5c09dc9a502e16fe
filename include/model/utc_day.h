/* SPDX-License-Identifier: MIT */
/*
 * utc_day.h - a whole UTC day, the window of every report (RFC 8460 section 4.1, R16).
 *
 * A day is an int32_t named utc_day: days since 1970-01-01.  Range 0 (1970-01-01) to UTC_DAY_MAX
 * (9999-12-31).
 */
#ifndef MODEL_UTC_DAY_H
#define MODEL_UTC_DAY_H

#include <stdbool.h>
#include <stdint.h>

#define UTC_DAY_MAX         2932896
#define UTC_DAY_SECONDS     86400
#define UTC_DAY_TEXT_SIZE   11 /* "2026-03-14" and NUL */
#define UTC_STAMP_TEXT_SIZE 21 /* "2026-03-14T00:00:00Z" and NUL */

/* The day that the second utc_s (since 1970) lies in; clamped to the range. */
int32_t utc_day_of(int64_t utc_s);

/* First and last second of the day: T00:00:00Z and T23:59:59Z. */
int64_t utc_day_begin_s(int32_t utc_day);
int64_t utc_day_last_s(int32_t utc_day);

/* "2026-03-14" */
void utc_day_format(int32_t utc_day, char text_out[UTC_DAY_TEXT_SIZE]);

/* Exactly YYYY-MM-DD and a day that exists; false and *utc_day_out untouched otherwise. */
bool utc_day_parse(const char *text, int32_t *utc_day_out);

/* RFC 3339 with Z, "2026-03-14T00:00:00Z", whatever TZ is. */
void utc_stamp_format(int64_t utc_s, char text_out[UTC_STAMP_TEXT_SIZE]);

#endif
