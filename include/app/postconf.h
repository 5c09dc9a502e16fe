/* SPDX-License-Identifier: MIT */
/*
 * postconf.h - ask and change Postfix's main.cf through its own postconf(1).
 *
 * Limits: an answer has at most POSTCONF_VALUE_MAX bytes, and only its first line is taken.
 */
#ifndef APP_POSTCONF_H
#define APP_POSTCONF_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

#define POSTCONF_VALUE_MAX 8192

/* Where Postfix reports to, below its queue directory: smtp(8) may be chrooted there. */
#define POSTFIX_SOCKET_FOLDER "run/tlsrpt"
#define POSTFIX_SOCKET_NAME   POSTFIX_SOCKET_FOLDER "/tlsrpt.sock"

/* A version as one number, to compare: 3.10.6 is POSTFIX_VERSION(3, 10, 6). */
#define POSTFIX_VERSION(major, minor, patch)                                                                 \
    ((uint64_t)(major)*1000000 + (uint64_t)(minor)*1000 + (uint64_t)(patch))

/* The number of "3.10.13" or "3.11-20250101" (mail_version; absent parts are 0); 0: not a version. */
uint64_t postfix_version_parse(const char *text);

/*
 * The value of a setting, cut to size; "" if this Postfix does not know it or it is empty.
 * ST_NOT_FOUND  there is no postconf (Postfix is not installed)
 * ST_RANGE      the answer is longer than POSTCONF_VALUE_MAX
 * ST_IO         postconf failed
 */
MUST_CHECK enum status postconf_get(const char *name, char *value_out, size_t size, struct err *err);

/* Set it in main.cf.  What postconf complains about goes to stderr.  Statuses as postconf_get. */
MUST_CHECK enum status postconf_set(const char *name, const char *value, struct err *err);

#endif
