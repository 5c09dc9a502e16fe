/* SPDX-License-Identifier: MIT */
/*
 * policy_maps.h - what Postfix's TLS policy tables answer for a domain with an enforced MTA-STS policy, and what that
 * means for reports.
 *
 * In:     main.cf's smtp_tls_policy_maps, asked through postmap(1).
 * Out:    one finding for each table that answers "secure".
 * Source: TLS_README of Postfix 3.10 (policy_type and its kin); postfix-mta-sts-resolver, postfix-tlspol.
 * Limits: POLICY_MAPS_MAX tables, POLICY_MAPS_TIMEOUT_MS for each question: a socketmap may hang.
 */
#ifndef APP_POLICY_MAPS_H
#define APP_POLICY_MAPS_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/err.h"

#define POLICY_MAPS_MAX        8
#define POLICY_MAPS_TIMEOUT_MS 5000

enum policy_map_state {
    POLICY_MAP_REPORTED,     /* with TLSRPT attributes, as Postfix >= 3.10 needs them */
    POLICY_MAP_NOT_REPORTED, /* without: MTA-STS is reported as no-policy-found */
    POLICY_MAP_DEFERS,       /* with, but Postfix <= 3.9 does not know them: mail to the domain is deferred */
    POLICY_MAP_HIDES_DANE,   /* its answer wins over DANE: broken DANE is reported as success under MTA-STS */
};

struct policy_map_finding {
    enum policy_map_state state;
    const char *table;
    char fix[1024]; /* what changes it; "" for POLICY_MAP_REPORTED */
};

struct policy_maps_question {
    const char *maps;           /* smtp_tls_policy_maps */
    const char *security_level; /* smtp_tls_security_level */
    const char *counted;        /* a domain whose sessions were counted under an enforced policy, or "" */
    const char *domain;         /* one that enforces MTA-STS, asked if the tables do not know the former */
    bool knows_attributes;      /* Postfix >= 3.10 */
};

typedef void policy_map_fn(void *context, const struct policy_map_finding *finding);

/* Tables that do not answer, or with another level, give no finding.  ST_NOT_FOUND: no postmap here. */
MUST_CHECK enum status policy_maps_look(const struct policy_maps_question *question, policy_map_fn *callback,
                                        void *context, struct err *err);

#endif
