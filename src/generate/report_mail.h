/* SPDX-License-Identifier: MIT */
/*
 * report_mail.h - the message that carries a report to one address, as it is sent.
 */
#ifndef GENERATE_REPORT_MAIL_H
#define GENERATE_REPORT_MAIL_H

#include "generator.h"
#include "mail/compose.h"

/* Most bytes of one message: a report's gzip in base64 and some text. */
#define REPORT_MAIL_MAX (400u << 20)

/*
 * Append the whole message, signed if there are keys, to out.
 * ST_RANGE  longer than out may be
 * else      as mail_compose and dkim_sign
 */
MUST_CHECK enum status report_mail_write(struct generator *generator, const struct mail_parts *parts,
                                         struct strbuf *out, struct err *err);

#endif
