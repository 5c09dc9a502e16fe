/* SPDX-License-Identifier: MIT */
/*
 * clock_guard.h - may a run trust the clock?
 *
 * A clock can be wrong by years: a dead battery, a wrong time server, a typing error.  What a run does by a
 * wrong clock cannot be undone: days are deleted unreported, and reports go out twice.  So each trusted run
 * leaves its moment in the file "clock" of state_dir, and the next one compares:
 * - A clock that agrees with it, to a day, is trusted.  What should have passed since then is known from the
 *   time since the machine started, which nobody sets.
 * - A clock that jumped is doubted: nothing is deleted, closed or sent.
 * - It is trusted again when it goes back, when a second run at least an hour later finds the same jump, or when the
 *   operator says so (--accept-clock).
 * - Until the next start of the machine, the hour is one of real time.  After it the time that the machine was off is
 *   known from the clock alone, so the clock must have moved since the first run that doubted it by an hour, by no
 *   less than the time since the start, and by no more than 31 days.  So a machine that is on for some minutes a week
 *   goes on in its second week; a clock that begins at the same wrong time at each start is never confirmed by a
 *   start, and one that stops while the machine is off only after an hour with it on.
 *
 * In:  the time of day, the time since the start, the start's id (TLSRPT_GEN_BOOT_ID, or of the kernel), the
 *      file "clock".
 * Out: trusted or not, and the ledger time.
 */
#ifndef APP_CLOCK_GUARD_H
#define APP_CLOCK_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "model/config.h"

#define CLOCK_BOOT_ID_SIZE 33 /* 32 hexadecimal digits and NUL; "" if it is unknown */

struct clock_moment {
    int64_t utc_s;
    int64_t boot_s; /* since the start of the machine */
    char boot_id[CLOCK_BOOT_ID_SIZE];
};

/* What the file "clock" holds. */
struct clock_memory {
    bool has_trusted;
    struct clock_moment trusted; /* of the last trusted run */
    bool has_doubted;
    struct clock_moment doubted; /* of the first run that saw the present jump */
    int64_t ledger_s;            /* real seconds that passed between trusted runs, as far as that is known */
};

enum clock_verdict {
    CLOCK_TRUSTED,
    CLOCK_CONFIRMED, /* it jumped, and is trusted from now on */
    CLOCK_DOUBTED,
};

/* The rule above, without I/O; *memory is brought up to date. */
enum clock_verdict clock_guard_judge(struct clock_memory *memory, const struct clock_moment *now,
                                     bool is_accepted);

struct clock_answer {
    bool is_trusted;
    int64_t
        ledger_s; /* ledger time: it only grows, and never faster than real time, whatever the clock does */
};

/*
 * Judge the clock that now_s was read from, log a jump, and remember.  answer_out is filled in any case.
 * ST_TEMPORARY  the clock is doubted; err says what to do
 * else          the file could not be read (not trusted) or written (trusted):
 * ST_IO
 * ST_RANGE
 * ST_CONFIG
 * ST_NOMEM
 */
MUST_CHECK enum status clock_guard_check(const struct config *config, int64_t now_s, bool is_accepted,
                                         struct clock_answer *answer_out, struct err *err);

#endif
