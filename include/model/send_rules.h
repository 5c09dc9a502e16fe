/* SPDX-License-Identifier: MIT */
/*
 * send_rules.h - which policy domains the operator wants reports for.
 * Source: none in RFC 8460; the settings only, never, send, send_except and min_sessions of tlsrpt-gen.conf(5).
 */
#ifndef MODEL_SEND_RULES_H
#define MODEL_SEND_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/options.h"
#include "model/policy.h"

/* In the order of SEND_WORDS. */
enum send_what {
    SEND_ALL,
    SEND_FAILURES, /* only days on which a session failed */
    SEND_OFF,
};

extern const char *const SEND_WORDS[]; /* "all", "failures", "off", NULL */

/* Patterns are names, or "*.name" for everything below. */
struct send_rules {
    struct option_list only;   /* patterns; empty: every domain */
    struct option_list never;  /* patterns */
    struct option_list except; /* "pattern:word"; the first that matches wins over what */
    int64_t min_sessions;
    int what; /* enum send_what */
};

/* NULL if fine, else what is wrong with one pattern, or one exception. */
const char *send_rules_check_pattern(const char *value);
const char *send_rules_check_exception(const char *value);

/*
 * Bring all patterns into the form of domain.h; texts live in arena.
 * ST_SYNTAX  a name is no domain
 * ST_RANGE   too long
 * ST_NOMEM
 */
MUST_CHECK enum status send_rules_normalise(struct send_rules *rules, struct arena *arena, struct err *err);

/* NULL if the domain's day is to be reported, else why not.  sessions: summed over its policies. */
const char *send_rules_refuse(const struct send_rules *rules, const char *domain,
                              const struct session_counts *sessions);

#endif
