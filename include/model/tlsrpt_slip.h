/* SPDX-License-Identifier: MIT */
/*
 * tlsrpt_slip.h - why is this TXT record no TLSRPT record?  Names the slips that people make, for `explain`.
 *
 * In:      the joined text of a TXT RR that tlsrpt_record_choose did not take for a candidate; hostile.
 * Out:     the likeliest slip, in words with the mend.  Nothing is decided by it.
 */
#ifndef MODEL_TLSRPT_SLIP_H
#define MODEL_TLSRPT_SLIP_H

#include <stddef.h>

#include "base/cursor.h"

enum tlsrpt_slip {
    TLSRPT_SLIP_NONE = 0, /* it was never meant to be one */
    TLSRPT_SLIP_EMPTY,
    TLSRPT_SLIP_LEADING_BLANK,
    TLSRPT_SLIP_QUOTES,
    TLSRPT_SLIP_BACKSLASH,
    TLSRPT_SLIP_NO_SEMICOLON,
    TLSRPT_SLIP_VERSION_NUMBER,
    TLSRPT_SLIP_VERSION_CASE,
    TLSRPT_SLIP_VERSION_TYPO,
    TLSRPT_SLIP_VERSION_BLANKS,
    TLSRPT_SLIP_VERSION_NOT_FIRST,
    TLSRPT_SLIP_NO_VERSION,
    TLSRPT_SLIP_OTHER_RECORD,
    TLSRPT_SLIP_COUNT,
};

enum tlsrpt_slip tlsrpt_slip_find(struct span text);

/* A sentence without the final dot, "the record must ..."; "" for TLSRPT_SLIP_NONE. */
const char *tlsrpt_slip_words(enum tlsrpt_slip slip);

#endif
