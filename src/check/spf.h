/* SPDX-License-Identifier: MIT */
/*
 * spf.h - may this address send mail for that domain?  As much of RFC 7208 as `check` needs to warn an
 * operator; it refuses nothing.
 *
 * Limits: SPF_LOOKUPS_MAX look-ups, as the RFC has it; macros, "exists" and "ptr" are not evaluated: the
 * answer is then SPF_UNKNOWN.
 */
#ifndef CHECK_SPF_H
#define CHECK_SPF_H

#include "base/arena.h"
#include "model/address.h"
#include "resolve/resolve.h"

#define SPF_LOOKUPS_MAX 10

enum spf_result {
    SPF_PASS,
    SPF_FAIL,
    SPF_SOFTFAIL,
    SPF_NEUTRAL,
    SPF_NONE,      /* no record */
    SPF_BROKEN,    /* several records, a bad one, or too many look-ups */
    SPF_UNKNOWN,   /* it uses what is not evaluated here */
    SPF_TEMPORARY, /* the DNS did not answer */
};

enum spf_result spf_evaluate(struct resolver *resolver, struct arena *arena, const char *domain,
                             const struct address *address);

#endif
