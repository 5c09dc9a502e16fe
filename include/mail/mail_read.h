/* SPDX-License-Identifier: MIT */
/*
 * mail_read.h - find the TLSRPT report in a mail that somebody saved.
 *
 * In:     a message (RFC 5322, MIME), lines ending in LF or CRLF, perhaps with an mbox "From " line in front.
 * Out:    the decoded bytes of the part that holds the report, and the envelope around it.
 * Limits: MAIL_READ_PARTS_MAX parts, MAIL_READ_DEPTH_MAX levels (a forwarded message is one); a header field
 *         longer than MAIL_READ_FIELD_MAX is cut.
 */
#ifndef MAIL_MAIL_READ_H
#define MAIL_MAIL_READ_H

#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/strbuf.h"
#include "model/report_envelope.h"

#define MAIL_READ_PARTS_MAX 200
#define MAIL_READ_DEPTH_MAX 8
#define MAIL_READ_FIELD_MAX 8192

/* True if the bytes begin as a message does: with a header field or an mbox line. */
bool mail_read_is_mail(const char *bytes, size_t len);

/*
 * Append the report's bytes, with the transfer encoding undone but still compressed if they were, to
 * report_out; fill *envelope_out (is_gzip is left to the caller), whose texts live in arena.
 * ST_NOT_FOUND  no part looks like a report
 * ST_RANGE      report_out is full
 * ST_NOMEM
 */
MUST_CHECK enum status mail_read_report(const char *bytes, size_t len, struct arena *arena,
                                        struct strbuf *report_out, struct report_envelope *envelope_out,
                                        struct err *err);

#endif
