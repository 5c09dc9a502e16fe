/* SPDX-License-Identifier: MIT */
/*
 * candidates.h - the domains of one UTC day, batch by batch: which of them get a report, to which
 * destinations, and why the others get none.
 *
 *     candidates_open(&candidates, &(struct candidates_order){...});
 *     while ((status = candidates_next(&candidates, err)) == ST_OK && candidates.count > 0)
 *         ...
 *     candidates_close(&candidates);
 *
 * In:     the day's sessions, the ledger, the DNS, the operator's rules.
 * Out:    candidates, each with its disposition.
 * Source: RFC 8460 section 3 (R1).
 * Limits: CANDIDATES_AT_ONCE domains in memory and looked up at once.
 *
 * If the DNS gives no answer for a domain, the record that the MTA saw counts, provided that it is younger than 24 hours
 * (rfc8460.md A.1.6).  A domain whose name servers do not answer holds its own place until its lookup's time is up, and
 * keeps no other domain from being looked up meanwhile.
 */
#ifndef GENERATE_CANDIDATES_H
#define GENERATE_CANDIDATES_H

#include <stdint.h>

#include "base/sketch.h"
#include "day_domains.h"
#include "generator.h"
#include "model/tlsrpt_record.h"

#define CANDIDATES_AT_ONCE 200
#define CANDIDATES_WAIT_S  (24 * 3600) /* how long a domain waits for its record (rfc8460.md A.1.5) */
#define CANDIDATES_SILENT_MAX                                                                                \
    10 /* so many lookups without an answer, and an owner's other domains wait unasked */

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

struct candidates_order {
    struct generator *generator; /* borrowed; its session store must be there */
    int32_t utc_day;
    enum day_domains_scope scope;
    const char *only;   /* borrowed; this domain, if not NULL */
    bool is_sorted;     /* by name: whoever is slow keeps the others waiting */
    int64_t stop_at_ms; /* clock_monotonic_ms: look up nothing more after that; 0: no limit */
    struct sketch
        *silent; /* borrowed; lookups without an answer by owner, see CANDIDATES_SILENT_MAX; NULL: none */
};

/* A domain that is looked up, or has been. */
struct candidate_lookup {
    enum {
        LOOKUP_FREE,
        LOOKUP_ASKED,
        LOOKUP_ANSWERED,
        LOOKUP_GIVEN, /* to the caller */
    } state;
    enum status status; /* of reading the answer */
    struct sketch *silent;
    struct candidate candidate;
    struct arena arena; /* its texts */
};

struct candidates {
    struct candidates_order order;
    struct candidate *items[CANDIDATES_AT_ONCE]; /* the batch; lives until candidates_next is called again */
    size_t count;
    bool is_cut; /* the time was up before every domain was looked up */

    struct day_domains domains;
    size_t next_domain; /* of the page */
    struct candidate_lookup lookups[CANDIDATES_AT_ONCE];
};

/* Allocates nothing. */
void candidates_open(struct candidates *candidates, const struct candidates_order *order);
void candidates_close(struct candidates *candidates);

/*
 * Look up the TLSRPT records of the next domains (R1): items[0 .. count) are decided; no more of them: count is 0.
 * ST_NOMEM, and the statuses of the session store, the ledger and the resolver
 */
MUST_CHECK enum status candidates_next(struct candidates *candidates, struct err *err);

#endif
