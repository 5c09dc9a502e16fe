/* SPDX-License-Identifier: MIT */
/*
 * tlsrpt_record.h - what a domain's TXT records at _smtp._tls.<domain> say about TLS reports.
 *
 * In:      the TXT RRs of that name, each as its character-strings joined (R2); hostile.
 * Out:     a result, the usable destinations in order, and a list of findings: what was skipped and why, and
 *          what was accepted although it is odd.
 * Source:  RFC 8460 section 3; rfc8460.md parts A.1 to A.3 (R2 to R11).
 * Limits:  TLSRPT_RECORD_MAX bytes of one RR, TLSRPT_RUA_MAX destinations; the rest is skipped, with a finding.
 */
#ifndef MODEL_TLSRPT_RECORD_H
#define MODEL_TLSRPT_RECORD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/cursor.h"
#include "base/err.h"
#include "base/strbuf.h"
#include "model/rua.h"

#define TLSRPT_RECORD_MAX 4096
#define TLSRPT_RUA_MAX    10

/* An arena that every record up to TLSRPT_RECORD_MAX fits in. */
#define TLSRPT_ARENA_MAX (2 * 1024 * 1024)

enum tlsrpt_record_result {
    TLSRPT_OK,            /* at least one usable destination */
    TLSRPT_NO_RECORD,     /* no RR is a TLSRPT record: the domain wants no reports */
    TLSRPT_MULTIPLE,      /* more than one is: same as none (R4) */
    TLSRPT_NO_RUA,        /* a record without a "rua=" field (R7) */
    TLSRPT_NO_USABLE_RUA, /* a record of whose destinations none can be used */
    TLSRPT_RECORD_RESULT_COUNT,
};

enum tlsrpt_finding_kind {
    /* A part of the record was skipped: counted in skipped_count. */
    FINDING_BAD_URI,
    FINDING_OVER_COUNT,
    FINDING_BAD_FIELD,
    FINDING_BAD_RUA_FIELD,
    FINDING_BARE_URI,
    FINDING_EMPTY_FIELD,
    FINDING_OVER_LENGTH,
    /* Nothing is lost, but the record is not as it should be. */
    FINDING_DUPLICATE_URI,
    FINDING_DROPPED_FIELDS,
    FINDING_DROPPED_FRAGMENT,
    FINDING_UNKNOWN_FIELD,
    FINDING_RUA_CASE,
    FINDING_BLANK_IN_VERSION,
    FINDING_TRAILING_BLANK,
    FINDING_OTHER_RR,
    FINDING_KIND_COUNT,
};

struct tlsrpt_finding {
    enum tlsrpt_finding_kind kind;
    enum rua_fault fault; /* FINDING_BAD_URI: why */
    size_t offset;        /* of part in the RR's text */
    struct span part;     /* the bytes that it is about; borrowed from the RR's text */
    const struct tlsrpt_finding *next;
};

/* Lives as long as the arena, and as the RRs' texts it was made from. */
struct tlsrpt_record {
    enum tlsrpt_record_result result;
    struct span text;                      /* the RR that counts; empty if there is none */
    struct rua ruas[TLSRPT_RUA_MAX];       /* in the record's order, no two alike */
    size_t rua_count;                      /* 0 unless result is TLSRPT_OK */
    const struct tlsrpt_finding *findings; /* in the record's order */
    size_t skipped_count;                  /* findings that say that a part was skipped */
};

/*
 * Choose among the RRs of one name and read the one that counts.  Borrows rrs' texts; rrs itself is not kept.
 * ST_OK     *record_out is set, whatever its result
 * ST_NOMEM
 */
MUST_CHECK enum status tlsrpt_record_choose(const struct span *rrs, size_t rr_count, struct arena *arena,
                                            struct tlsrpt_record *record_out, struct err *err);

/* The same for one RR, such as the one that an MTA reports.  ST_OK, ST_NOMEM */
MUST_CHECK enum status tlsrpt_record_parse(const char *text, size_t len, struct arena *arena,
                                           struct tlsrpt_record *record_out, struct err *err);

/* "OK", "NO_RECORD", "MULTIPLE", "NO_RUA", "NO_USABLE_RUA" */
const char *tlsrpt_record_result_name(enum tlsrpt_record_result result);

/* Was a part skipped, or is it only a hint? */
bool tlsrpt_finding_is_skip(const struct tlsrpt_finding *finding);

/* Add what it is about and what is wrong with it, for people: printable ASCII whatever the record holds. */
void tlsrpt_finding_describe(const struct tlsrpt_finding *finding, struct strbuf *out);

#endif
