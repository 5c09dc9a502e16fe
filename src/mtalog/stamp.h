/* SPDX-License-Identifier: MIT */
/*
 * stamp.h - the time at the begin of a log line.
 *
 * In: "Nov 21 18:23:07 " (RFC 3164), "2026-11-21T18:23:07.123456+01:00 " (RFC 3339; journalctl's short-iso
 * writes +0100), "2026-11-21 18:21:19[.123][ +0100] " (Exim).  Out: seconds since 1970, UTC.
 * A stamp without a zone is local time (TZ).  A stamp without a year is the latest such day that is not more
 * than a day ahead of the clock.  An hour that occurs twice (clocks go back) is taken as mktime(3) takes it.
 */
#ifndef MTALOG_STAMP_H
#define MTALOG_STAMP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cursor.h"

/* Remembers the last minute it worked out; one per log. */
struct stamp_reader {
    int64_t now_s;        /* the caller keeps it; for stamps without a year */
    char minute[24];      /* text of the last stamp without zone, up to its minute */
    int64_t minute_now_s; /* now_s when it was worked out */
    int64_t minute_s;
};

/* Length of the stamp that line begins with and of the blank behind it; 0 if there is none. */
size_t stamp_length(struct span line);

/* Parse it; false if there is none, or no such day or time. */
bool stamp_parse(struct stamp_reader *reader, struct span line, int64_t *utc_s_out);

#endif
