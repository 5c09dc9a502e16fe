/* SPDX-License-Identifier: MIT */
/*
 * clock.h - the one place that asks for the time, so that a test can shift it.
 *
 * Normally this is the system's UTC clock.  If the environment has TLSRPT_GEN_CLOCK=FILE, the file's first
 * line is a whole number of seconds that is added to it; it is read again at every call, so a running
 * daemon can be moved to another day (`make demo` does that).
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* UTC now, nanoseconds since 1970-01-01T00:00:00Z. */
int64_t clock_utc_ns(void);

/* UTC now, whole seconds since 1970-01-01T00:00:00Z. */
int64_t clock_utc_s(void);

/* Milliseconds of a clock that never jumps; only differences mean anything.  Never shifted. */
int64_t clock_monotonic_ms(void);

/*
 * Seconds since this machine started, the time it slept included: nobody sets that clock.  TLSRPT_GEN_CLOCK's
 * file may have a second number on its line, which is added to it: so many seconds that are taken as passed.
 */
int64_t clock_boot_s(void);

/* Sleep that long, or until a signal arrives. */
void clock_sleep_ms(int64_t ms);
void clock_sleep_us(int64_t us);

#endif
