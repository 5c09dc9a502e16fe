/* SPDX-License-Identifier: MIT */
/*
 * mail_text.h - the text of a report's mail, for the person who opens it.
 */
#ifndef MAIL_MAIL_TEXT_H
#define MAIL_MAIL_TEXT_H

#include "base/strbuf.h"
#include "mail/compose.h"

/* Append the text, UTF-8 with CRLF line ends, to out. */
void mail_text_write(const struct mail_parts *parts, struct strbuf *out);

#endif
