/* SPDX-License-Identifier: MIT */
/*
 * dane_lookup.h - does DANE apply to an MX host that a log names?  A TLSA lookup, remembered for a day.
 *
 * In:     host names from a log; the resolver's answers (RFC 7672 section 2.2: a TLSA RRset counts only if the resolver
 *         validated it, bit AD).
 * Out:    yes, no, or unknown: no answer in time, or no validating resolver.
 * Limits: DANE_LOOKUP_HOSTS remembered, DANE_LOOKUP_PENDING asked at once.  Reading never waits longer than
 *         DANE_LOOKUP_HOST_MS for one host, nor over time for more than a tenth of it, whatever name servers do.
 */
#ifndef READLOG_DANE_LOOKUP_H
#define READLOG_DANE_LOOKUP_H

#include "base/options.h"
#include "mtalog/mtalog.h"

#define DANE_LOOKUP_HOSTS   16384
#define DANE_LOOKUP_PENDING 1000
#define DANE_LOOKUP_HOST_MS 1000
#define DANE_LOOKUP_DAY_MS  INT64_C(86400000) /* an answer is remembered so long; a failure for ten minutes */
#define DANE_LOOKUP_PIPE_MS 2000              /* waiting at once: a pipe or a log that is followed */
#define DANE_LOOKUP_FILE_MS 60000             /* a finished file, which nobody waits for */

struct dane_lookup;

/*
 * servers: the setting resolver.  burst_ms: one of the two above.
 * ST_CONFIG  as resolve_open
 * ST_NOMEM
 * ST_IO
 */
MUST_CHECK enum status dane_lookup_open(const struct option_list *servers, int64_t burst_ms,
                                        struct dane_lookup **lookup_out, struct err *err);
void dane_lookup_close(struct dane_lookup **lookup);

/* mtalog_dane_fn; context: struct dane_lookup. */
enum mtalog_dane dane_lookup_of(void *context, struct span mx, bool is_needed);

#endif
