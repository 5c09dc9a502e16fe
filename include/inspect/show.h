/* SPDX-License-Identifier: MIT */
/*
 * show.h - `tlsrpt-gen show`: a report from a file, a mail or stdin, ours or a stranger's, for a person to
 * read; or what the ledger knows of a domain.
 */
#ifndef INSPECT_SHOW_H
#define INSPECT_SHOW_H

#include "base/err.h"
#include "model/config.h"

/*
 * argv[0] is "show".  Returns an exit code: 0; EXIT_DATA if it is no report, or one that breaks a MUST of RFC
 * 8460; EXIT_NO_INPUT if there is no such file or the ledger knows nothing of the domain.
 */
int cmd_show(const struct config *config, int argc, char **argv);

/* The same without settings, which could not be read because of err: files only. */
int cmd_show_unset(const struct err *err, int argc, char **argv);

#endif
