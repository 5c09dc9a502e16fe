/* SPDX-License-Identifier: MIT */
/*
 * status.h - `tlsrpt-gen status`: is the collector up, what was counted on which day, what became of the
 * reports.
 */
#ifndef INSPECT_STATUS_H
#define INSPECT_STATUS_H

#include "model/config.h"

/*
 * argv[0] is "status".  Returns an exit code: 0 if there was something to tell, whatever it is; EXIT_NO_INPUT
 * if state_dir holds nothing of ours.
 */
int cmd_status(const struct config *config, int argc, char **argv);

#endif
