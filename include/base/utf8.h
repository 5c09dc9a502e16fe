/* SPDX-License-Identifier: MIT */
/*
 * utf8.h - is this UTF-8, and if not, make it so.  Source: RFC 3629 (no surrogates, no overlong forms,
 * nothing above U+10FFFF).
 */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

#include "base/strbuf.h"

bool utf8_is_valid(const char *text, size_t len);

/* Append text to out with U+FFFD for each byte that is part of no valid sequence; returns how many. */
size_t utf8_repair(const char *text, size_t len, struct strbuf *out);

/* Length of the valid sequence that begins at text[0] (1..4), or 0 if there is none in len bytes. */
size_t utf8_sequence_len(const char *text, size_t len);

#endif
