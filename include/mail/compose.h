/* SPDX-License-Identifier: MIT */
/*
 * compose.h - the mail that brings one report to one address.
 *
 * In:     values frozen with the report, so that a retry gives the same bytes (R66).
 * Out:    the whole message, CRLF line ends, 7bit, to be signed (dkim.h) and sent as it is.
 * Source: RFC 8460 section 5.3, RFC 6522, RFC 8689 section 3, RFC 3834 section 5; rfc8460.md C.3.
 *
 * Every value that goes into a header is checked here again: no byte of it can end a line, a quoted string or an
 * angle bracket (R71).  The organisation's name goes into the text only.
 */
#ifndef MAIL_COMPOSE_H
#define MAIL_COMPOSE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/strbuf.h"
#include "model/report_meta.h"
#include "model/report_summary.h"

/* All texts are borrowed and never NULL. */
struct mail_parts {
    const struct report_meta *meta;
    const struct report_summary *summary;
    const char *from;       /* addr-spec, ASCII */
    const char *to;         /* addr-spec, ASCII: one address for each message (R55) */
    const char *message_id; /* without angle brackets */
    int64_t date_s;         /* when the report was built */
    const char *file_name;  /* report_file_name_format */
    const void *gzip;
    size_t gzip_len;
};

/*
 * Append the message to out; discard out after a failure.
 * ST_SYNTAX  a value is not allowed in a mail; err says which
 * ST_RANGE   out's limit is reached
 * ST_NOMEM
 */
MUST_CHECK enum status mail_compose(const struct mail_parts *parts, struct strbuf *out, struct err *err);

#endif
