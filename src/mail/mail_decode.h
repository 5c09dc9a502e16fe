/* SPDX-License-Identifier: MIT */
/*
 * mail_decode.h - undo what mail does to bytes: base64, quoted-printable, percent signs in parameters.
 * Lenient: bytes outside the encoding's alphabet are skipped.
 */
#ifndef MAIL_MAIL_DECODE_H
#define MAIL_MAIL_DECODE_H

#include <stddef.h>

#include "base/strbuf.h"

/* By the value of Content-Transfer-Encoding; anything but base64 and quoted-printable is taken as it is. */
void mail_decode_body(const char *encoding, const char *text, size_t len, struct strbuf *out);

/* %HH (RFC 2231). */
void mail_decode_percent(const char *text, struct strbuf *out);

#endif
