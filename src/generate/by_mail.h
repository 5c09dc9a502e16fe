/* SPDX-License-Identifier: MIT */
/*
 * by_mail.h - send the due mails, to the relay or to the recipients' mail hosts.
 */
#ifndef GENERATE_BY_MAIL_H
#define GENERATE_BY_MAIL_H

#include "delivery.h"

/*
 * Send every due mail.  What a server does is the result of a delivery, not an error.
 * ST_NOT_FOUND  tlsrpt-gen-smtp is not installed where it should be
 * ST_NOMEM
 * else          as mail_targets_open, smtp_deliver and the ledger
 */
MUST_CHECK enum status deliver_mail(struct delivery *delivery, struct err *err);

#endif
