/* SPDX-License-Identifier: MIT */
/*
 * push.h - what a host does for its fleet: bring in what it counted (`tlsrpt-gen push`, and first in every
 * run), and make the database's tables (`tlsrpt-gen fleet-init`).
 */
#ifndef GENERATE_PUSH_H
#define GENERATE_PUSH_H

#include "base/err.h"
#include "fleet/fleet.h"
#include "model/config.h"

/*
 * Push once; owner_out gets the state folder's id as a generator.  Another push that is under way is no
 * failure: it does the same.  Statuses of the stores.
 */
MUST_CHECK enum status push_now(const struct config *config, struct fleet *fleet,
                                char owner_out[FLEET_ID_SIZE], struct err *err);

/* All return an exit code. */
int cmd_push(const struct config *config, int argc, char **argv);
int cmd_fleet_init(const struct config *config, int argc, char **argv);
int cmd_fleet_forget(const struct config *config, int argc, char **argv);

#endif
