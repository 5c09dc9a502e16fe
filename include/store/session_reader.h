/* SPDX-License-Identifier: MIT */
/*
 * session_reader.h - read the counted sessions: per domain and UTC day, how many met or failed each policy,
 * and how often each failure detail occurred; close and delete days.
 *
 * Out: rows in the canonical order of a report (R35).  Source: RFC 8460 section 4.
 * A reader is reached through one method table.  There are two kinds: of sessions.db, which the collector of
 * this host writes (store/session_writer.h), and of a fleet's database, which sums over what many hosts
 * counted (fleet/fleet.h).
 *
 * One reader belongs to one thread.  Readers do not block the writer.  Unless said otherwise a function can
 * return
 * ST_BUSY         locked by somebody else: try again
 * ST_FULL         disk full
 * ST_UNSUPPORTED  the store holds something that this program does not know
 * ST_IO
 * ST_NOMEM
 * ST_INTERNAL
 * A status other than ST_OK from a callback ends the reading and is returned.
 */
#ifndef STORE_SESSION_READER_H
#define STORE_SESSION_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"
#include "model/policy.h"
#include "model/report_source.h"
#include "store/session_counters.h"

#define SESSION_STORE_ID_SIZE 33 /* 32 hexadecimal digits and NUL */
#define SESSION_INSTANCE_NOTE                                                                                \
    "instance" /* its text: 32 hexadecimal digits, new at each start of the collector */

enum session_access {
    SESSION_READ,     /* must exist; nothing is written */
    SESSION_MAINTAIN, /* made if missing; days can be closed and deleted */
};

/* How far counting has come; it belongs to the same transaction as what was counted. */
struct session_mark {
    int64_t counted_through_s; /* all that arrived before this second is counted; 0: never */
    uint64_t ring_sequence;    /* everything below it in the ring is counted */
    uint64_t ring_dropped;     /* the ring's count of dropped datagrams that the counters contain */
};

struct session_day {
    int32_t utc_day;
    bool is_closed;
    int64_t closed_at_s; /* 0 while open */
    uint64_t domains;
    struct session_counts sessions; /* summed over policies */
};

/* A domain that publishes an MTA-STS policy, as far as its sessions show. */
struct session_sts {
    const char *domain;
    bool is_enforced; /* sessions were counted under a policy with "mode: enforce" */
    uint64_t
        without_type; /* sessions that failed for their certificate and were counted as no-policy-found */
};

typedef enum status session_day_fn(void *context, const struct session_day *day, struct err *err);
typedef enum status session_domain_fn(void *context, const char *domain,
                                      const struct session_counts *sessions, struct err *err);
typedef enum status session_record_fn(void *context, const char *record, int64_t last_seen_s,
                                      struct err *err);
typedef enum status session_refused_fn(void *context, int64_t uid, uint64_t count, struct err *err);
typedef enum status session_sts_fn(void *context, const struct session_sts *sts, struct err *err);
typedef enum status session_note_fn(void *context, const char *name, const char *text, struct err *err);

/* Sessions that were counted under no report: too many subdomains of one organization on one day. */
struct session_over_budget {
    int32_t utc_day;
    const char *organization; /* lives until the callback returns */
    uint64_t subdomains;      /* that are counted */
    uint64_t sessions;        /* of all its other subdomains */
};
typedef enum status session_over_budget_fn(void *context, const struct session_over_budget *over,
                                           struct err *err);

struct session_reader;

/* What a kind of reader must offer; the contracts are those of the functions below. */
struct session_reader_methods {
    void (*close)(struct session_reader *reader);
    enum status (*get_mark)(struct session_reader *reader, struct session_mark *mark_out, struct err *err);
    enum status (*delete_before)(struct session_reader *reader, int32_t utc_day, struct err *err);
    enum status (*each_day)(struct session_reader *reader, session_day_fn *fn, void *context,
                            struct err *err);
    enum status (*each_domain)(struct session_reader *reader, int32_t utc_day, const char *after, int64_t max,
                               session_domain_fn *fn, void *context, struct err *err);
    enum status (*read_domain)(struct session_reader *reader, int32_t utc_day, const char *domain,
                               const struct report_visitor *visitor, struct err *err);
    enum status (*each_record)(struct session_reader *reader, int32_t utc_day, const char *domain,
                               session_record_fn *fn, void *context, struct err *err);

    /* NULL: there is nothing to gain */
    enum status (*prefetch)(struct session_reader *reader, int32_t utc_day, const char *const *domains,
                            size_t count, struct err *err);

    /* NULL: this store does not look for them */
    enum status (*each_sts)(struct session_reader *reader, int32_t since_day, const char *domain,
                            session_sts_fn *fn, void *context, struct err *err);

    /* NULL: days are not closed here */
    enum status (*close_day)(struct session_reader *reader, int32_t utc_day, int64_t now_s, struct err *err);
    enum status (*is_closed)(struct session_reader *reader, int32_t utc_day, bool *is_closed_out,
                             struct err *err);

    /* NULL: the store is of no single collector */
    enum status (*counters)(struct session_reader *reader, uint64_t counters_out[COUNTER_COUNT],
                            struct err *err);
    enum status (*each_refused)(struct session_reader *reader, session_refused_fn *fn, void *context,
                                struct err *err);
    enum status (*each_note)(struct session_reader *reader, session_note_fn *fn, void *context,
                             struct err *err);
    enum status (*each_over_budget)(struct session_reader *reader, int64_t max, session_over_budget_fn *fn,
                                    void *context, struct err *err);
};

/* A kind embeds it as its first member. */
struct session_reader {
    const struct session_reader_methods *methods;
    char id[SESSION_STORE_ID_SIZE]; /* which store it is: random, from its first day on; "" of a fleet */
};

/*
 * Open sessions.db.
 * ST_NOT_FOUND    SESSION_READ and there is none
 * ST_UNSUPPORTED  a version that this program does not know, or not a database
 */
MUST_CHECK enum status session_reader_open(const char *path, enum session_access access,
                                           struct session_reader **reader_out, struct err *err);

static inline void session_reader_close(struct session_reader **reader)
{
    if (*reader != NULL)
        (*reader)->methods->close(*reader);
    *reader = NULL;
}

MUST_CHECK static inline enum status session_reader_get_mark(struct session_reader *reader,
                                                             struct session_mark *mark_out, struct err *err)
{
    return reader->methods->get_mark(reader, mark_out, err);
}

/* ---- days ---- */

/* Each day that has sessions or is closed, oldest first. */
MUST_CHECK static inline enum status session_reader_each_day(struct session_reader *reader,
                                                             session_day_fn *fn, void *context,
                                                             struct err *err)
{
    return reader->methods->each_day(reader, fn, context, err);
}

/* From now on sessions of that day are late.  A transaction of its own.  Closing again changes nothing. */
MUST_CHECK static inline enum status session_reader_close_day(struct session_reader *reader, int32_t utc_day,
                                                              int64_t now_s, struct err *err)
{
    return reader->methods->close_day != NULL ? reader->methods->close_day(reader, utc_day, now_s, err)
                                              : ST_OK;
}

/* Is that day's report built, so that what still comes is late? */
MUST_CHECK static inline enum status session_reader_is_closed(struct session_reader *reader, int32_t utc_day,
                                                              bool *is_closed_out, struct err *err)
{
    if (reader->methods->is_closed != NULL)
        return reader->methods->is_closed(reader, utc_day, is_closed_out, err);
    *is_closed_out = false;
    return ST_OK;
}

/* Delete every day before utc_day, and texts that nothing uses any more; in many short transactions. */
MUST_CHECK static inline enum status session_reader_delete_before(struct session_reader *reader,
                                                                  int32_t utc_day, struct err *err)
{
    return reader->methods->delete_before(reader, utc_day, err);
}

/* ---- domains ---- */

/*
 * One page of the domains with sessions on that day, by name: those after the name after ("": from the first on), at
 * most max (1 or more).  sessions is summed over the domain's policies.
 */
MUST_CHECK static inline enum status session_reader_each_domain(struct session_reader *reader,
                                                                int32_t utc_day, const char *after,
                                                                int64_t max, session_domain_fn *fn,
                                                                void *context, struct err *err)
{
    return reader->methods->each_domain(reader, utc_day, after, max, fn, context, err);
}

/*
 * The domain's day in canonical order: policies as policy_compare, details by sessions descending and then as
 * failure_detail_compare (R35).  Row by row: memory does not grow with the number of details.  What the
 * callbacks get lives until they return.
 * ST_NOT_FOUND  no session of that domain on that day
 */
MUST_CHECK static inline enum status session_reader_read_domain(struct session_reader *reader,
                                                                int32_t utc_day, const char *domain,
                                                                const struct report_visitor *visitor,
                                                                struct err *err)
{
    return reader->methods->read_domain(reader, utc_day, domain, visitor, err);
}

/* session_reader_read_domain will be called for these, in any order: a store that is far away may read them
 * at once.  The names are borrowed until the next call. */
MUST_CHECK static inline enum status session_reader_prefetch(struct session_reader *reader, int32_t utc_day,
                                                             const char *const *domains, size_t count,
                                                             struct err *err)
{
    return reader->methods->prefetch != NULL ? reader->methods->prefetch(reader, utc_day, domains, count, err)
                                             : ST_OK;
}

/* Each TLSRPT record that MTAs saw for the domain on that day, latest first. */
MUST_CHECK static inline enum status session_reader_each_record(struct session_reader *reader,
                                                                int32_t utc_day, const char *domain,
                                                                session_record_fn *fn, void *context,
                                                                struct err *err)
{
    return reader->methods->each_record(reader, utc_day, domain, fn, context, err);
}

/*
 * By name: the given domain, if it has sessions, and each domain with sessions under an MTA-STS policy on any kept day.
 * without_type covers since_day and the day after it, and no day before the first one with such a policy.  The search
 * is bounded: in a very large store it misses some.  A fleet's database gives none.
 */
MUST_CHECK static inline enum status session_reader_each_sts(struct session_reader *reader, int32_t since_day,
                                                             const char *domain, session_sts_fn *fn,
                                                             void *context, struct err *err)
{
    return reader->methods->each_sts != NULL
               ? reader->methods->each_sts(reader, since_day, domain, fn, context, err)
               : ST_OK;
}

/* ---- the collector's work; a fleet's database has nothing of it ---- */

/* As committed, in the order of SESSION_COUNTERS. */
MUST_CHECK static inline enum status session_reader_counters(struct session_reader *reader,
                                                             uint64_t counters_out[COUNTER_COUNT],
                                                             struct err *err)
{
    if (reader->methods->counters != NULL)
        return reader->methods->counters(reader, counters_out, err);
    memset(counters_out, 0, COUNTER_COUNT * sizeof counters_out[0]);
    return ST_OK;
}

/* Refused datagrams by the sender's user id. */
MUST_CHECK static inline enum status session_reader_each_refused(struct session_reader *reader,
                                                                 session_refused_fn *fn, void *context,
                                                                 struct err *err)
{
    return reader->methods->each_refused != NULL ? reader->methods->each_refused(reader, fn, context, err)
                                                 : ST_OK;
}

/* What the collector notes for `status`, for a fleet and for itself, by name. */
MUST_CHECK static inline enum status session_reader_each_note(struct session_reader *reader,
                                                              session_note_fn *fn, void *context,
                                                              struct err *err)
{
    return reader->methods->each_note != NULL ? reader->methods->each_note(reader, fn, context, err) : ST_OK;
}

/* At most max organizations with sessions over their budget, the newest day and the most sessions first. */
MUST_CHECK static inline enum status session_reader_each_over_budget(struct session_reader *reader,
                                                                     int64_t max, session_over_budget_fn *fn,
                                                                     void *context, struct err *err)
{
    return reader->methods->each_over_budget != NULL
               ? reader->methods->each_over_budget(reader, max, fn, context, err)
               : ST_OK;
}

#endif
