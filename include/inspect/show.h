/* SPDX-License-Identifier: MIT */
/*
 * show.h - `tlsrpt-gen show`: a report from a file, a mail or stdin, of any sender, for a person to read; or what
 * the ledger has about a domain.
 */
#ifndef INSPECT_SHOW_H
#define INSPECT_SHOW_H

#include "base/err.h"
#include "model/config.h"

/*
 * argv[0] is "show".  Exit code:
 * 0
 * EXIT_DATA      it is no report, or breaks a MUST of RFC 8460
 * EXIT_NO_INPUT  there is no such file, or the ledger has nothing about the domain
 */
int cmd_show(const struct config *config, int argc, char **argv);

/* The same if the settings cannot be read (err says why): files only. */
int cmd_show_unset(const struct err *err, int argc, char **argv);

#endif
