/* SPDX-License-Identifier: MIT */
/*
 * run.h - `tlsrpt-gen` without a subcommand: close complete days, build their reports, deliver what is due.
 * It can be started at any time and any number of times.
 */
#ifndef GENERATE_RUN_H
#define GENERATE_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "model/config.h"

enum dry_run_format {
    DRY_RUN_TABLE,
    DRY_RUN_JSON,
    DRY_RUN_MAIL
};

enum dry_run_days {
    DRY_RUN_OPEN_DAYS, /* every complete day that is not reported yet, as in a real run */
    DRY_RUN_ONE_DAY,   /* utc_day, even if it is reported already */
};

struct dry_run_options {
    enum dry_run_days days;
    int32_t utc_day;
    const char *domain; /* canonical name, or NULL: all */
    enum dry_run_format format;
    bool is_verbose; /* table: each policy and failure in words */
};

struct run_options {
    bool is_flush;          /* also deliver what is due later */
    bool is_linger;         /* continue until no delivery is open and no domain waits */
    bool is_clock_accepted; /* the operator says that the clock is right, although it jumped */
};

/* One run; returns an exit code.  A delivery that fails waits for the next run and is not a failure. */
int cmd_run(const struct config *config, const struct run_options *options);

/* Show what a run would send; changes and sends nothing.  Returns an exit code. */
int cmd_dry_run(const struct config *config, const struct dry_run_options *options);

#endif
