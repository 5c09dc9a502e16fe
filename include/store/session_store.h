/* SPDX-License-Identifier: MIT */
/*
 * session_store.h - the store of counted sessions: per domain and UTC day, how many sessions met or failed
 * each policy, and how often each failure detail occurred.
 *
 * In: canonical events (model/session_result.h).  Out: rows in the canonical order of a report (rfc8460.md B.4, R35).
 * Source: RFC 8460 section 4; design: texts are kept once and referenced by number, domain first in every
 * key.  A store is reached through one method table.  The kind that counts is a SQLite file, opened by URL
 * ("sqlite:PATH", or just PATH); a fleet's store (store/fleet.h) sums over what many of them counted.
 *
 * Limits: per domain and day at most max_policies policies and max_details details.  What comes beyond is
 * folded, and every total stays exact:
 *   - a session under one policy too many is counted under a policy of the same type whose policy-domain is
 *     the reporting domain, without strings and mx hosts (at most one such row per type);
 *   - a detail too many is counted under the same policy with its result type and nothing else.
 * Of the TLSRPT records that MTAs saw for a domain, the SESSION_RECORDS_MAX latest per day are kept.
 *
 * One store belongs to one thread.  Readers do not block the writer.
 */
#ifndef STORE_SESSION_STORE_H
#define STORE_SESSION_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "model/policy.h"
#include "model/report_source.h"
#include "model/session_result.h"
#include "model/tally.h"

#define SESSION_RECORDS_MAX      10
#define SESSION_RECORD_LAG_S     300 /* last_seen_s of a record may be that much too early */
#define SESSION_MAX_POLICIES     100 /* defaults of the limits */
#define SESSION_MAX_DETAILS      1000
#define SESSION_STORE_ID_SIZE    33 /* 32 hexadecimal digits and NUL */
#define SESSION_LAST_RECORD_NONE INT64_MIN
#define SESSION_INSTANCE_NOTE                                                                                \
    "instance" /* its text: 32 hexadecimal digits, new at each start of the collector */

struct session_store;

enum session_store_mode {
    SESSION_STORE_READ,  /* must exist; the only writes allowed are none */
    SESSION_STORE_WRITE, /* made if missing */
};

struct session_limits {
    int64_t max_policies; /* per domain and day; 0: the default */
    int64_t max_details;
    int64_t busy_ms; /* how long to wait for somebody else's lock; 0: 10 s */
};

/*
 * Open by URL or path.  limits may be NULL (defaults); they matter to writers only.  *store_out belongs to
 * the caller: session_store_close.
 * ST_NOT_FOUND    SESSION_STORE_READ and there is none
 * ST_UNSUPPORTED  a kind of store, or a version of it, that this program does not know
 * ST_BUSY         somebody else held it for longer than the busy timeout
 * ST_FULL, ST_IO, ST_NOMEM
 */
MUST_CHECK enum status session_store_open(const char *url, enum session_store_mode mode,
                                          const struct session_limits *limits,
                                          struct session_store **store_out, struct err *err);
void session_store_close(struct session_store **store);

/* Which store this is: random, from its first day on; lives as long as the store is open. */
const char *session_store_id(const struct session_store *store);

/*
 * All functions below return, besides what they name,
 * ST_BUSY  locked by somebody else (try again), ST_FULL (disk), ST_IO, ST_NOMEM, ST_INTERNAL, ST_UNSUPPORTED
 */

/* ---- writing: everything between begin and commit happens as a whole or not at all ---- */

MUST_CHECK enum status session_store_begin(struct session_store *store, struct err *err);

/* After a failed commit the transaction is rolled back already. */
MUST_CHECK enum status session_store_commit(struct session_store *store, struct err *err);

/*
 * A commit does not wait for the disk: a power cut can undo the last ones, in order.  After this, what was
 * committed before is on the disk.  Outside a transaction.
 */
MUST_CHECK enum status session_store_sync(struct session_store *store, struct err *err);

/* Also forgets the counters added since begin, and makes every plan from session_store_add_planned invalid.
 */
void session_store_rollback(struct session_store *store);

/*
 * Count the event count times under utc_day; arrival_s is when the last of them came.  *is_late_out is set,
 * and nothing counted, when that day is closed already.  Needs a transaction.
 */
MUST_CHECK enum status session_store_add(struct session_store *store, const struct session_result *result,
                                         int32_t utc_day, uint64_t count, int64_t arrival_s,
                                         bool *is_late_out, struct err *err);

/*
 * For a caller that counts the same event again and again: count it, as session_store_add does for a day that
 * is open, and learn the rows it adds to; then count into those.  plan_out->target_count is 0 if it adds to
 * more than TALLY_TARGETS_MAX.  session_store_count returns ST_NOT_FOUND, and has counted nothing, when a row
 * of the plan is gone.
 */
MUST_CHECK enum status session_store_add_planned(struct session_store *store,
                                                 const struct session_result *result, int32_t utc_day,
                                                 uint64_t count, int64_t arrival_s,
                                                 struct tally_plan *plan_out, struct err *err);
MUST_CHECK enum status session_store_count(struct session_store *store, struct tally_plan *plan,
                                           uint64_t count, int64_t arrival_s, struct err *err);

/* Is the report of that day built, so that what still comes is late? */
MUST_CHECK enum status session_store_is_closed(struct session_store *store, int32_t utc_day,
                                               bool *is_closed_out, struct err *err);

/* How far counting has come; belongs to the same transaction as what was counted. */
struct session_mark {
    int64_t counted_through_s; /* all that arrived before this second is counted; 0: never */
    uint64_t ring_sequence;    /* everything below it in the ring is counted */
    uint64_t ring_dropped;     /* the ring's count of dropped datagrams that the counters contain */
};

MUST_CHECK enum status session_store_set_mark(struct session_store *store, const struct session_mark *mark,
                                              struct err *err);
MUST_CHECK enum status session_store_get_mark(struct session_store *store, struct session_mark *mark_out,
                                              struct err *err);

/* Counters since the store was made: identifier, name, help. */
// clang-format off
#define SESSION_COUNTERS(X) \
    X(RECEIVED,         "received",         "datagrams taken from the sockets") \
    X(STORED,           "stored",           "outcomes counted") \
    X(REPAIRED,         "repaired",         "stored outcomes in whose texts invalid UTF-8 was replaced") \
    X(LATE,             "late",             "outcomes for a day whose report was built already") \
    X(MALFORMED,        "malformed",        "datagrams that could not be understood") \
    X(REFUSED,          "refused",          "datagrams from a user id that is not in allow_uid") \
    X(NO_RESULT,       "no_outcome",       "lines of Exim that tell no outcome: no TLS, and none was asked for") \
    X(REPEATED,         "repeated",         "outcomes that a log reader told again after it was killed, not counted") \
    X(DROPPED,          "dropped",          "datagrams dropped because the ring was full") \
    X(CORRUPT,          "corrupt",          "damaged records skipped in the ring") \
    X(UNKNOWN_POLICIES, "unknown_policies", "policies of an unknown type, left out of stored outcomes") \
    X(FOLDED_POLICIES,  "folded_policies",  "policies beyond the cap of a domain and day") \
    X(FOLDED_DETAILS,   "folded_details",   "failure details beyond the cap of a domain and day") \
    X(STORE_RETRIES,    "store_retries",    "batches that had to be stored again after an error") \
    X(RING_HIGH_WATER,  "ring_high_water",  "most bytes that ever waited in the ring")
// clang-format on

enum session_counter {
#define SESSION_COUNTER_ID(id, name, help) COUNTER_##id,
    SESSION_COUNTERS(SESSION_COUNTER_ID)
#undef SESSION_COUNTER_ID
    COUNTER_COUNT,
};

const char *session_counter_name(enum session_counter counter);
const char *session_counter_help(enum session_counter counter);

/* Add to a counter; it is written by the next commit.  Cannot fail. */
void session_store_bump(struct session_store *store, enum session_counter counter, uint64_t by);

/* Raise a counter that is a maximum; written by the next commit. */
void session_store_raise(struct session_store *store, enum session_counter counter, uint64_t to);

/* As committed, in the order of SESSION_COUNTERS. */
MUST_CHECK enum status session_store_counters(struct session_store *store,
                                              uint64_t counters_out[COUNTER_COUNT], struct err *err);

/* Refused datagrams by the sender's user id. */
MUST_CHECK enum status session_store_add_refused(struct session_store *store, int64_t uid, uint64_t count,
                                                 struct err *err);
typedef enum status session_refused_fn(void *context, int64_t uid, uint64_t count, struct err *err);
MUST_CHECK enum status session_store_each_refused(struct session_store *store, session_refused_fn *fn,
                                                  void *context, struct err *err);

/* Notes by name, written by the collector for `status` ("max_dgram_qlen"); needs a transaction. */
MUST_CHECK enum status session_store_set_note(struct session_store *store, const char *name, const char *text,
                                              struct err *err);
typedef enum status session_note_fn(void *context, const char *name, const char *text, struct err *err);
MUST_CHECK enum status session_store_each_note(struct session_store *store, session_note_fn *fn,
                                               void *context, struct err *err);

/* ---- days (used by the generator) ---- */

/* From now on events for that day are late.  A transaction of its own.  Closing again changes nothing. */
MUST_CHECK enum status session_store_close_day(struct session_store *store, int32_t utc_day, int64_t now_s,
                                               struct err *err);

/* Delete every day before utc_day, and texts that nothing uses any more; in many short transactions. */
MUST_CHECK enum status session_store_delete_before(struct session_store *store, int32_t utc_day,
                                                   struct err *err);

/* ---- reading: a status other than ST_OK from a callback ends the reading and is returned ---- */

struct session_day {
    int32_t utc_day;
    bool is_closed;
    int64_t closed_at_s; /* 0 while open */
    uint64_t domains;
    struct session_counts sessions; /* summed over policies */
};
typedef enum status session_day_fn(void *context, const struct session_day *day, struct err *err);

/* Each day that has sessions or is closed, oldest first. */
MUST_CHECK enum status session_store_each_day(struct session_store *store, session_day_fn *fn, void *context,
                                              struct err *err);

typedef enum status session_domain_fn(void *context, const char *domain,
                                      const struct session_counts *sessions, struct err *err);

/*
 * One page of the domains with sessions on that day, by name: those after the name after ("": from the first on), at
 * most max (1 or more).  sessions is summed over the domain's policies.
 */
MUST_CHECK enum status session_store_each_domain(struct session_store *store, int32_t utc_day,
                                                 const char *after, int64_t max, session_domain_fn *fn,
                                                 void *context, struct err *err);

/*
 * The domain's day in canonical order: policies as policy_compare, details by sessions descending and then as
 * failure_detail_compare (R35).  Row by row: memory does not grow with the number of details.  What the
 * callbacks get lives until they return.
 * ST_NOT_FOUND  no session of that domain on that day
 */
MUST_CHECK enum status session_store_read_domain(struct session_store *store, int32_t utc_day,
                                                 const char *domain, const struct report_visitor *visitor,
                                                 struct err *err);

/* session_store_read_domain will be called for these, in any order: a store that is far away may read them at
 * once. The names are borrowed until the next call. */
MUST_CHECK enum status session_store_prefetch(struct session_store *store, int32_t utc_day,
                                              const char *const *domains, size_t count, struct err *err);

typedef enum status session_record_fn(void *context, const char *record, int64_t last_seen_s,
                                      struct err *err);

/* Each TLSRPT record that MTAs saw for the domain on that day, latest first. */
MUST_CHECK enum status session_store_each_record(struct session_store *store, int32_t utc_day,
                                                 const char *domain, session_record_fn *fn, void *context,
                                                 struct err *err);

#endif
