/* SPDX-License-Identifier: MIT */
/*
 * check.h - `tlsrpt-gen check`: is everything in place?  One line for each thing looked at: ok, warn or FAIL,
 * and what to do about it.
 */
#ifndef CHECK_CHECK_H
#define CHECK_CHECK_H

#include "base/err.h"
#include "model/config.h"

/* argv[0] is "check".  Returns 0 if nothing failed (warnings are fine), 1 if something did, EXIT_USAGE. */
int cmd_check(const struct config *config, int argc, char **argv);

/* The same when the settings cannot be read: that is the finding. */
int cmd_check_unset(const struct err *err, int argc, char **argv);

#endif
