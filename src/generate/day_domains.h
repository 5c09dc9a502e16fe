/* SPDX-License-Identifier: MIT */
/*
 * day_domains.h - the domains of one UTC day that a run has to look at, page by page.
 *
 *     day_domains_open(&domains, generator, utc_day, DAY_DOMAINS_OPEN, NULL);
 *     while ((status = day_domains_next(&domains, err)) == ST_OK && domains.count > 0)
 *         ...
 *     day_domains_close(&domains);
 *
 * In:     the day's sessions, the ledger.
 * Limits: one page of DAY_DOMAINS_PAGE domains in memory; DAY_DOMAINS_MAX domains of a day.
 */
#ifndef GENERATE_DAY_DOMAINS_H
#define GENERATE_DAY_DOMAINS_H

#include <stdint.h>

#include "generator.h"

#define DAY_DOMAINS_PAGE 200
#define DAY_DOMAINS_MAX  (16u << 20)

enum day_domains_scope {
    DAY_DOMAINS_DUE,  /* neither reported nor skipped, and not waiting for a later time */
    DAY_DOMAINS_OPEN, /* neither reported nor skipped */
    DAY_DOMAINS_ALL,
};

struct day_domain {
    const char *name;
    struct session_counts sessions; /* summed over its policies */
    int64_t since_s; /* when its record could not be read first; 0: it has not been asked for */
};

struct day_domains {
    struct generator *generator;
    int32_t utc_day;
    enum day_domains_scope scope;
    const char *only; /* this domain, if not NULL */

    /* the page; everything lives until day_domains_next is called again */
    struct day_domain *items;
    size_t count;
    struct arena arena;
    uint64_t waiting; /* domains so far that were left out because they wait for a later time */

    /* how far the day's names have been read */
    struct strbuf last; /* the last name */
    uint64_t names_read;
    bool is_at_end;
};

/* Borrows generator, whose session store must be there, and only.  Allocates nothing. */
void day_domains_open(struct day_domains *domains, struct generator *generator, int32_t utc_day,
                      enum day_domains_scope scope, const char *only);
void day_domains_close(struct day_domains *domains);

/*
 * Read the next domains in scope into items[0 .. count); no more of them: count is 0.
 * ST_RANGE  more than DAY_DOMAINS_MAX domains
 * ST_NOMEM, and the statuses of the session store and the ledger
 */
MUST_CHECK enum status day_domains_next(struct day_domains *domains, struct err *err);

#endif
