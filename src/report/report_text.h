/* SPDX-License-Identifier: MIT */
/*
 * report_text.h - clean outside text for a report.
 *
 * In:     any bytes.
 * Out:    UTF-8 without noncharacters and control characters.
 * Source: RFC 7493 section 2.1, rfc8460.md B.1 (R14, R71).
 */
#ifndef REPORT_REPORT_TEXT_H
#define REPORT_REPORT_TEXT_H

#include <stddef.h>

#include "base/strbuf.h"

/*
 * Append text[0..len) to out: invalid bytes and noncharacters become U+FFFD; control characters and the line
 * and paragraph separators become one blank each.  What would pass max_bytes is cut off between characters.
 */
void report_text_clean(const char *text, size_t len, size_t max_bytes, struct strbuf *out);

#endif
