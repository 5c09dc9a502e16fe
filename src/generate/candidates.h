/* SPDX-License-Identifier: MIT */
/*
 * candidates.h - which domains of a day get a report, where it goes, and why the others get none.
 */
#ifndef GENERATE_CANDIDATES_H
#define GENERATE_CANDIDATES_H

#include <stdint.h>

#include "generator.h"
#include "model/tlsrpt_record.h"

#define CANDIDATES_AT_ONCE 200 /* domains whose records are looked up together */

enum candidate_disposition {
    CANDIDATE_REPORT, /* to record.ruas */
    CANDIDATE_SKIP,   /* it gets none, because of reason */
    CANDIDATE_WAIT,   /* not to be known now, because of reason */
};

/* Texts live in the arena that was given for the batch. */
struct candidate {
    const char *domain;
    struct session_counts sessions; /* summed over its policies */
    enum candidate_disposition disposition;
    const char *reason;
    struct tlsrpt_record record;
};

/* Called with up to CANDIDATES_AT_ONCE candidates whose fates are known; arena lives until it returns. */
typedef enum status candidates_fn(void *context, struct candidate *candidates, size_t count,
                                  struct arena *arena, struct err *err);

/* Is this domain wanted? */
typedef enum status candidates_filter_fn(void *context, const char *domain, bool *is_wanted_out,
                                         struct err *err);

/*
 * Every domain of the day that filter wants, in batches, each with its record looked up (R1) and its fate.
 * A temporary failure falls back to the record that the MTA saw, if it is younger than 24 hours
 * (rfc8460.md A.1.6).
 * Statuses of the session store, the resolver, filter and fn.
 */
MUST_CHECK enum status candidates_each(struct generator *generator, int32_t utc_day,
                                       candidates_filter_fn *filter, candidates_fn *fn, void *context,
                                       struct err *err);

#endif
