/* SPDX-License-Identifier: MIT */
/*
 * run.h - what `tlsrpt-gen` without a subcommand does: close complete days, build their reports, deliver what
 * is due.  Safe to start at any time and any number of times.
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
    DRY_RUN_OPEN_DAYS, /* every complete day that has no report yet, as a real run would take them */
    DRY_RUN_ONE_DAY,   /* the one in utc_day, whatever became of it */
};

struct dry_run_options {
    enum dry_run_days days;
    int32_t utc_day;
    const char *domain; /* canonical name, or NULL: all */
    enum dry_run_format format;
    bool is_verbose; /* table: each policy and failure in words */
};

struct run_options {
    bool is_flush;          /* try what is due later, too */
    bool is_linger;         /* go on until no delivery is open and no domain waits */
    bool is_clock_accepted; /* the operator says that the clock is right, although it jumped */
};

/* One run; returns an exit code.  What could not be delivered waits for the next run and is no failure. */
int cmd_run(const struct config *config, const struct run_options *options);

/* Show what a run would send: changes nothing, sends nothing; returns an exit code. */
int cmd_dry_run(const struct config *config, const struct dry_run_options *options);

#endif
