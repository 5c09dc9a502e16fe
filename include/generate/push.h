/* SPDX-License-Identifier: MIT */
/*
 * push.h - what a host does for its fleet: push what it counted (`tlsrpt-gen push`, and at the start of every
 * run), create the database's tables (`tlsrpt-gen fleet-init`), and forget hosts that have left (`tlsrpt-gen
 * fleet-forget`).
 */
#ifndef GENERATE_PUSH_H
#define GENERATE_PUSH_H

#include "base/err.h"
#include "fleet/fleet.h"
#include "model/config.h"

/*
 * Join the fleet and push once.  Another push that is in progress is no failure: it does the same.  Statuses
 * of the stores.
 */
MUST_CHECK enum status push_now(const struct config *config, struct fleet *fleet, struct err *err);

/* All return an exit code. */
int cmd_push(const struct config *config, int argc, char **argv);
int cmd_fleet_init(const struct config *config, int argc, char **argv);
int cmd_fleet_forget(const struct config *config, int argc, char **argv);

#endif
