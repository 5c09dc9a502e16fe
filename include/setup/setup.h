/* SPDX-License-Identifier: MIT */
/*
 * setup.h - `tlsrpt-gen setup-postfix` and `tlsrpt-gen setup-exim`: show what the mail server's configuration
 * needs so that its TLS sessions reach the collector, and for Postfix apply it on demand.
 *
 * In:  the answers of postconf(1), the installed Exim fragment.
 * Out: text for a person on stdout; with --apply three settings of main.cf and one drop-in of the collector's
 *      socket unit.  A second run changes nothing.
 */
#ifndef SETUP_SETUP_H
#define SETUP_SETUP_H

#include "model/config.h"

/*
 * setup-postfix [--apply] [--unit-dir DIR].  Exit code:
 *  0      done or shown
 * 64      wrong arguments
 * 69      no Postfix that can report; the text says what to do instead
 * 73, 74  a file cannot be written
 */
int cmd_setup_postfix(const struct config *config, int argc, char **argv);

/*
 * setup-exim.  Exit code:
 *  0  shown
 * 64  wrong arguments
 * 66  the fragment is not installed
 */
int cmd_setup_exim(const struct config *config, int argc, char **argv);

#endif
