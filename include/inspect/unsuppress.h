/* SPDX-License-Identifier: MIT */
/*
 * unsuppress.h - `tlsrpt-gen unsuppress ADDRESS`: let a suppressed mailbox get reports again at once.
 */
#ifndef INSPECT_UNSUPPRESS_H
#define INSPECT_UNSUPPRESS_H

#include "model/config.h"

/* argv: "unsuppress" and one or more addresses.  Returns an exit code. */
int cmd_unsuppress(const struct config *config, int argc, char **argv);

#endif
