/* SPDX-License-Identifier: MIT */
/*
 * exim_sts.h - the MTA-STS policy that an Exim transport applied, as the "sts" key of its event line carries it.
 *
 * In:     the policy's lines joined by '|': "version: STSv1|mode: testing|mx: *.a.test|max_age: 604800", or why there is
 *         none: "error: RESULT-TYPE", one of those that RFC 8460 section 4.3.2.2 has for policies.
 * Out:    RFC 8460's policy-string and mx-host, and whether the policy allows the session's host.
 * Source: RFC 8461 sections 3.2 and 4.1.
 * Limits: all lines are read; the first POLICY_LINES_MAX, cut to POLICY_LINE_MAX bytes, and as many patterns are kept.
 */
#ifndef DATAGRAM_EXIM_STS_H
#define DATAGRAM_EXIM_STS_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/attr.h"
#include "base/cursor.h"
#include "base/err.h"
#include "model/policy.h"
#include "model/result_type.h"

enum exim_sts_mode {
    EXIM_STS_NONE, /* no policy, mode none, or a mode that RFC 8461 does not know */
    EXIM_STS_TESTING,
    EXIM_STS_ENFORCE,
    EXIM_STS_ERROR, /* the domain has a policy, but it could not be used: error */
};

struct exim_sts {
    enum exim_sts_mode mode;
    enum result_type error; /* EXIM_STS_ERROR only */
    struct text_list lines;
    struct text_list patterns; /* canonical (domain.h) */
    bool allows_mx;            /* one of the patterns, kept or not */
};

/*
 * mx: the session's MX host (canonical), or NULL.  "*." of a pattern stands for exactly one label (RFC 8461 section 4.1).
 * The texts live as long as arena.  ST_NOMEM
 */
MUST_CHECK enum status exim_sts_parse(struct span text, const char *mx, struct arena *arena,
                                      struct exim_sts *sts_out);

#endif
