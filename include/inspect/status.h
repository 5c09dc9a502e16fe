/* SPDX-License-Identifier: MIT */
/*
 * status.h - `tlsrpt-gen status`: is the collector up, what was counted on which day, what was delivered.
 */
#ifndef INSPECT_STATUS_H
#define INSPECT_STATUS_H

#include "model/config.h"

/*
 * argv[0] is "status".  Exit code:
 * 0              the state was printed, good or bad
 * EXIT_NEGATIVE  it was printed, and a part that --require names does not work
 * EXIT_NO_INPUT  state_dir holds no store
 */
int cmd_status(const struct config *config, int argc, char **argv);

#endif
