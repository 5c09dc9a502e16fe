/* SPDX-License-Identifier: MIT */
/*
 * sts_counts.h - what this host's sessions.db says about domains with an MTA-STS policy, for `check` and
 * `setup-postfix`.
 *
 * Limits: as session_reader_each_sts.
 */
#ifndef APP_STS_COUNTS_H
#define APP_STS_COUNTS_H

#include <stddef.h>
#include <stdint.h>

#include "model/config.h"
#include "model/domain.h"

#define STS_DOMAINS_SHOWN 3

struct sts_counts {
    char enforced[DOMAIN_NAME_MAX + 1]; /* one whose policy was enforced; "" if there is none */
    uint64_t sessions; /* of yesterday and today: failed for their certificate, counted as no-policy-found */
    size_t domains;    /* their domains */
    char names[STS_DOMAINS_SHOWN * (DOMAIN_NAME_MAX + 2) + sizeof "..."]; /* the first of them, for people */
};

/* All zero and "" if there is no store, or it cannot be read. */
void sts_counts_read(const struct config *config, struct sts_counts *counts_out);

#endif
