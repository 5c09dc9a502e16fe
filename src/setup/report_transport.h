/* SPDX-License-Identifier: MIT */
/*
 * report_transport.h - a Postfix transport without TLS policy for report mail.
 *
 * RFC 8460 section 3 wants reports delivered although TLS fails.  Postfix before 3.10 ignores the header TLS-Required: No
 * that asks for it, so reports go by their envelope sender over a copy of smtp; all other mail stays as it is.
 */
#ifndef SETUP_REPORT_TRANSPORT_H
#define SETUP_REPORT_TRANSPORT_H

#include <stdbool.h>

#include "base/err.h"
#include "model/config.h"

/* Print what is missing, and with is_apply do it.  Nothing where mail does not go through a relay.  Statuses as
 * postconf_set. */
MUST_CHECK enum status report_transport_set_up(const struct config *config, bool is_apply, struct err *err);

#endif
