/* SPDX-License-Identifier: MIT */
/*
 * deliver_mail.h - hand due reports to the relay, and due posts to their hosts.
 */
#ifndef GENERATE_BY_MAIL_H
#define GENERATE_BY_MAIL_H

#include "delivery.h"

/*
 * Deliver every due mail of the delivery through `relay`.  What a server does to us is an outcome, not an
 * error. ST_NOT_FOUND  tlsrpt-gen-smtp is not where it should be ST_NOMEM, or the ledger's status
 */
MUST_CHECK enum status deliver_mail(struct delivery *delivery, struct err *err);

#endif
