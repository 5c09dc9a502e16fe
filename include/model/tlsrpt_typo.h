/* SPDX-License-Identifier: MIT */
/*
 * tlsrpt_typo.h - why is this TXT record no TLSRPT record?  Names the mistakes that people make, for `explain`.
 *
 * In:      the joined text of a TXT RR that tlsrpt_record_choose did not take for a candidate; hostile.
 * Out:     the likeliest mistake, in words with the fix.  Only for people: no decision depends on it.
 */
#ifndef MODEL_TLSRPT_TYPO_H
#define MODEL_TLSRPT_TYPO_H

#include <stddef.h>

#include "base/cursor.h"

enum tlsrpt_typo {
    TLSRPT_TYPO_NONE = 0, /* it was never meant to be one */
    TLSRPT_TYPO_EMPTY,
    TLSRPT_TYPO_LEADING_BLANK,
    TLSRPT_TYPO_QUOTES,
    TLSRPT_TYPO_BACKSLASH,
    TLSRPT_TYPO_NO_SEMICOLON,
    TLSRPT_TYPO_VERSION_NUMBER,
    TLSRPT_TYPO_VERSION_CASE,
    TLSRPT_TYPO_VERSION_TYPO,
    TLSRPT_TYPO_VERSION_BLANKS,
    TLSRPT_TYPO_VERSION_NOT_FIRST,
    TLSRPT_TYPO_NO_VERSION,
    TLSRPT_TYPO_OTHER_RECORD,
    TLSRPT_TYPO_COUNT,
};

enum tlsrpt_typo tlsrpt_typo_find(struct span text);

/* A sentence without the final dot, "the record must ..."; "" for TLSRPT_TYPO_NONE. */
const char *tlsrpt_typo_words(enum tlsrpt_typo typo);

#endif
