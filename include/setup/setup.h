/* SPDX-License-Identifier: MIT */
/*
 * setup.h - `tlsrpt-gen setup-postfix` and `tlsrpt-gen setup-exim`: what the mail server's configuration
 * needs so that its TLS sessions reach the collector, shown, and for Postfix applied on demand.
 *
 * In: the answers of postconf(1), the Exim fragment that was installed.  Out: text for a person on stdout;
 * with
 * --apply three settings of main.cf and one drop-in of the collector's socket unit.  A second run changes
 * nothing.
 */
#ifndef SETUP_SETUP_H
#define SETUP_SETUP_H

#include "model/config.h"

/*
 * setup-postfix [--apply] [--unit-dir DIR]
 * 0 done or shown; 69 no Postfix that can report (the words say what to do instead); 64 wrong words; 73, 74
 */
int cmd_setup_postfix(const struct config *config, int argc, char **argv);

/* setup-exim: 0 shown; 66 the fragment is not installed; 64 */
int cmd_setup_exim(const struct config *config, int argc, char **argv);

#endif
