/* SPDX-License-Identifier: MIT */
/*
 * base64.h - bytes as base64 text (RFC 4648 section 4), in lines if wanted.
 */
#ifndef MAIL_BASE64_H
#define MAIL_BASE64_H

#include <stddef.h>

#include "base/strbuf.h"

/*
 * Append bytes[0..len) to out; separator goes between lines of line_len characters (a multiple of 4; 0: one
 * line), not behind the last.
 */
void base64_encode(const void *bytes, size_t len, size_t line_len, const char *separator, struct strbuf *out);

#endif
