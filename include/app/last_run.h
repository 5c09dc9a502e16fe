/* SPDX-License-Identifier: MIT */
/*
 * last_run.h - when a run of the generator last did all that it had to do.  The run writes the time into the lock
 * that it holds; `status` reads it.
 *
 * Limits: one line of at most 20 digits.
 */
#ifndef APP_LAST_RUN_H
#define APP_LAST_RUN_H

#include <stdint.h>

#include "model/config.h"

/* The file in state_dir that a run locks and that holds the time. */
#define LAST_RUN_FILE "tlsrpt-gen.lock"

/* Write utc_s (> 0) into the file, open as lock_fd.  If it fails, the time before stays. */
void last_run_note(int lock_fd, int64_t utc_s);

/* The time noted last; 0 if no run has noted one, or the file cannot be read. */
int64_t last_run_read(const struct config *config);

#endif
