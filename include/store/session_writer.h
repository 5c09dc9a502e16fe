/* SPDX-License-Identifier: MIT */
/*
 * session_writer.h - count sessions into sessions.db: the collector's side of the session store.
 *
 * In: session results (model/session_result.h).  Everything between begin and commit happens as a whole or
 * not at all.  Texts are kept once and referenced by number.
 *
 * Limits: per domain and day at most max_policies policies and max_details details.  What comes beyond is
 * folded, and every total stays exact:
 *   - a session under one policy too many is counted under a policy of the same type whose policy-domain is
 *     the reporting domain, without strings and mx hosts (at most one such row per type);
 *   - a detail too many is counted under the same policy with its result type and nothing else.
 * An organization (model/organization.h) has at most max_subdomains names below its own on a day; a session of a
 * further one is refused, and its sum over the organization's day is kept in place of its rows.
 * Of the TLSRPT records that MTAs saw for a domain, the SESSION_RECORDS_MAX latest per day are kept.
 *
 * One writer belongs to one thread.  Unless said otherwise a function can return
 * ST_BUSY      locked by somebody else: try again
 * ST_FULL      disk full
 * ST_IO
 * ST_NOMEM
 * ST_INTERNAL
 */
#ifndef STORE_SESSION_WRITER_H
#define STORE_SESSION_WRITER_H

#include <stdint.h>

#include "base/err.h"
#include "model/session_result.h"
#include "model/tally.h"
#include "store/session_reader.h"

#define SESSION_RECORDS_MAX  10
#define SESSION_RECORD_LAG_S 300 /* last_seen_s of a record may be that much too early */

struct session_writer;

struct session_limits {
    int64_t max_policies; /* per domain and day */
    int64_t max_details;
    int64_t max_subdomains; /* per organization and day; 1 or more */
    int64_t busy_ms;        /* how long to wait for somebody else's lock; 0: 10 s */
};

/*
 * Open sessions.db, made if missing; *writer_out belongs to the caller: session_writer_close.
 * ST_UNSUPPORTED  a version that this program does not know, or not a database
 */
MUST_CHECK enum status session_writer_open(const char *path, const struct session_limits *limits,
                                           struct session_writer **writer_out, struct err *err);
void session_writer_close(struct session_writer **writer);

/* What is in the store, and in the transaction; closed together with writer. */
struct session_reader *session_writer_reader(struct session_writer *writer);

MUST_CHECK enum status session_writer_begin(struct session_writer *writer, struct err *err);

/* After a failed commit the transaction is rolled back already. */
MUST_CHECK enum status session_writer_commit(struct session_writer *writer, struct err *err);

/*
 * A commit does not wait for the disk: a power cut can undo the last ones, in order.  After this, what was
 * committed before is on the disk.  Outside a transaction.
 */
MUST_CHECK enum status session_writer_sync(struct session_writer *writer, struct err *err);

/* Also forgets the counters added since begin, and makes every plan from session_writer_add invalid. */
void session_writer_rollback(struct session_writer *writer);

/*
 * Count the result count times under utc_day, whether or not that day is closed; arrival_s is when the last
 * of them came.  *plan_out is for session_writer_count, which counts an equal result of the same day.
 * ST_DENIED  its domain is one of too many subdomains; nothing was counted: session_writer_add_over_budget
 */
MUST_CHECK enum status session_writer_add(struct session_writer *writer, const struct session_result *result,
                                          int32_t utc_day, uint64_t count, int64_t arrival_s,
                                          struct tally_plan *plan_out, struct err *err);

/* ST_NOT_FOUND  a row of the plan is gone; nothing was counted */
MUST_CHECK enum status session_writer_count(struct session_writer *writer, struct tally_plan *plan,
                                            uint64_t count, int64_t arrival_s, struct err *err);

/*
 * Add count to the sessions that the domain's organization had beyond max_subdomains on that day; *sessions_out: how
 * many that makes.  After ST_DENIED from session_writer_add.
 */
MUST_CHECK enum status session_writer_add_over_budget(struct session_writer *writer, const char *domain,
                                                      int32_t utc_day, uint64_t count, uint64_t *sessions_out,
                                                      struct err *err);

MUST_CHECK enum status session_writer_set_mark(struct session_writer *writer, const struct session_mark *mark,
                                               struct err *err);

/* Add to a counter; it is written by the next commit. */
void session_writer_bump(struct session_writer *writer, enum session_counter counter, uint64_t by);

/* Raise a counter that is a maximum; written by the next commit. */
void session_writer_raise(struct session_writer *writer, enum session_counter counter, uint64_t to);

MUST_CHECK enum status session_writer_add_refused(struct session_writer *writer, int64_t uid, uint64_t count,
                                                  struct err *err);
MUST_CHECK enum status session_writer_set_note(struct session_writer *writer, const char *name,
                                               const char *text, struct err *err);

#endif
