/* SPDX-License-Identifier: MIT */
/*
 * candidates.h - the domains of one UTC day, batch by batch: which of them get a report, to which
 * destinations, and why the others get none.
 *
 *     candidates_open(&candidates, generator, utc_day, CANDIDATES_OPEN, NULL);
 *     while ((status = candidates_next(&candidates, err)) == ST_OK && candidates.count > 0) {
 *         status = candidates_look_up(&candidates, err);
 *         ...
 *     }
 *     candidates_close(&candidates);
 *
 * In:     the day's sessions, the ledger, the DNS, the operator's rules.
 * Out:    candidates, each with its disposition.
 * Source: RFC 8460 section 3 (R1).
 * Limits: one batch of CANDIDATES_AT_ONCE domains in memory; DAY_DOMAINS_MAX domains of a day.
 */
#ifndef GENERATE_CANDIDATES_H
#define GENERATE_CANDIDATES_H

#include <stdint.h>

#include "generator.h"
#include "model/tlsrpt_record.h"

#define CANDIDATES_AT_ONCE 200 /* domains whose records are looked up together */
#define DAY_DOMAINS_MAX    (16u << 20)

enum candidate_disposition {
    CANDIDATE_REPORT, /* to record.ruas */
    CANDIDATE_SKIP,   /* it gets none, because of reason */
    CANDIDATE_WAIT,   /* cannot be decided yet, because of reason */
};

struct candidate {
    const char *domain;
    struct session_counts sessions; /* summed over its policies */
    enum candidate_disposition disposition;
    const char *reason;
    struct tlsrpt_record record;
};

enum candidates_scope {
    CANDIDATES_OPEN, /* domains that the ledger has neither reported nor skipped */
    CANDIDATES_ALL,
};

struct candidates {
    struct generator *generator;
    int32_t utc_day;
    enum candidates_scope scope;
    const char *only; /* this domain, if not NULL */

    /* the batch; everything lives until candidates_next is called again */
    struct candidate *items;
    size_t count;
    struct arena arena;

    /* how far the day's names have been read */
    struct strbuf last; /* the last name */
    uint64_t names_read;
    bool is_at_end;
};

/* Borrows generator, whose session store must be there, and only.  Allocates nothing. */
void candidates_open(struct candidates *candidates, struct generator *generator, int32_t utc_day,
                     enum candidates_scope scope, const char *only);
void candidates_close(struct candidates *candidates);

/*
 * Read the next domains in scope into items[0 .. count); no more of them: count is 0.
 * ST_RANGE  more than DAY_DOMAINS_MAX domains
 * ST_NOMEM, and the statuses of the session store and the ledger
 */
MUST_CHECK enum status candidates_next(struct candidates *candidates, struct err *err);

/*
 * Look up the TLSRPT records of the batch (R1) and set disposition, reason and record of each.  If the DNS
 * gives no answer, the record that the MTA saw counts, provided that it is younger than 24 hours (rfc8460.md A.1.6).
 * ST_NOMEM, and the statuses of the session store, the ledger and the resolver
 */
MUST_CHECK enum status candidates_look_up(struct candidates *candidates, struct err *err);

#endif
