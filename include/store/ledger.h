/* SPDX-License-Identifier: MIT */
/*
 * ledger.h - every report that was built, frozen, and every delivery of it, so that nothing is sent twice and
 * nothing is forgotten: the file reports.db, or the database of a fleet (fleet/fleet.h).
 *
 * A domain's day is in at most one of three places: report (built), skipped (gets none, with the reason) or
 * waiting (its DNS record could not be read yet).  A report's bytes never change once added; a delivery goes
 * through the states of model/delivery.h.
 *
 * Durable: what a function here has done, or ledger_commit after it, survives a power cut.  Functions that
 * write join the transaction of ledger_begin if there is one, else each is its own; a fleet's ledger writes
 * it all at ledger_commit, which returns ST_BUSY when another generator has taken over.
 *
 * One ledger belongs to one thread.  Texts given in are borrowed for the call.  Unless said otherwise a
 * function can return
 * ST_BUSY      locked by somebody else: try again
 * ST_FULL      disk full
 * ST_IO
 * ST_NOMEM
 * ST_INTERNAL
 */
#ifndef STORE_LEDGER_H
#define STORE_LEDGER_H

#include "store/ledger_methods.h"
#include "store/ledger_rows.h"

enum ledger_mode {
    LEDGER_READ,
    LEDGER_WRITE, /* made if missing */
};

/*
 * reports.db.
 * ST_NOT_FOUND    LEDGER_READ and no file
 * ST_UNSUPPORTED  made by a newer program, or not a database
 */
MUST_CHECK enum status ledger_open(const char *path, enum ledger_mode mode, struct ledger **ledger_out,
                                   struct err *err);
void ledger_close(struct ledger **ledger);

MUST_CHECK static inline enum status ledger_begin(struct ledger *ledger, struct err *err)
{
    return ledger->methods->begin(ledger, err);
}

MUST_CHECK static inline enum status ledger_commit(struct ledger *ledger, struct err *err)
{
    return ledger->methods->commit(ledger, err);
}

static inline void ledger_rollback(struct ledger *ledger)
{
    ledger->methods->rollback(ledger);
}

/* ---- days and domains ---- */

MUST_CHECK static inline enum status ledger_find(struct ledger *ledger, int32_t utc_day, const char *domain,
                                                 struct ledger_found *found_out, struct err *err)
{
    return ledger->methods->find(ledger, utc_day, domain, found_out, err);
}

/* ledger_find will be called for these, in any order: a ledger that is far away may look them up at once. */
MUST_CHECK static inline enum status ledger_prefetch(struct ledger *ledger, int32_t utc_day,
                                                     const char *const *domains, size_t count,
                                                     struct err *err)
{
    return ledger->methods->prefetch != NULL ? ledger->methods->prefetch(ledger, utc_day, domains, count, err)
                                             : ST_OK;
}

/*
 * A report and its deliveries (state, next_at_s and last_text of each are taken as given; tries start at 0),
 * all or nothing; a waiting or skipped entry of that domain's day is removed.  Two deliveries to the same rua
 * become one.
 * ST_DENIED  that domain's day has a report already
 * ST_RANGE   gzip is larger than LEDGER_GZIP_MAX
 */
MUST_CHECK enum status ledger_add_report(struct ledger *ledger, const struct ledger_report *report,
                                         const struct ledger_delivery *deliveries, size_t count,
                                         struct err *err);

/* This domain's day gets no report; a waiting entry is removed.  A second call keeps the first reason. */
MUST_CHECK static inline enum status ledger_skip(struct ledger *ledger, int32_t utc_day, const char *domain,
                                                 const char *reason, int64_t now_s, struct err *err)
{
    return ledger->methods->add_skipped(ledger, utc_day, domain, reason, now_s, err);
}

/* Its record could not be read: ask again at next_at_s.  Keeps the first now_s, takes the last reason. */
MUST_CHECK static inline enum status ledger_wait(struct ledger *ledger, int32_t utc_day, const char *domain,
                                                 const char *reason, int64_t now_s, int64_t next_at_s,
                                                 struct err *err)
{
    return ledger->methods->add_waiting(ledger, utc_day, domain, reason, now_s, next_at_s, err);
}

/* utc_day < 0: of all days.  By day and domain. */
MUST_CHECK static inline enum status ledger_each_skipped(struct ledger *ledger, int32_t utc_day,
                                                         ledger_domain_fn *fn, void *context, struct err *err)
{
    return ledger->methods->each_skipped(ledger, utc_day, fn, context, err);
}

MUST_CHECK static inline enum status ledger_each_waiting(struct ledger *ledger, int32_t utc_day,
                                                         ledger_domain_fn *fn, void *context, struct err *err)
{
    return ledger->methods->each_waiting(ledger, utc_day, fn, context, err);
}

/* Closed: every domain of the day has a report or is skipped; nothing more will be built for it. */
MUST_CHECK static inline enum status ledger_close_day(struct ledger *ledger, int32_t utc_day, int64_t now_s,
                                                      struct err *err)
{
    return ledger->methods->close_day(ledger, utc_day, now_s, err);
}

MUST_CHECK static inline enum status ledger_day_is_closed(struct ledger *ledger, int32_t utc_day,
                                                          bool *is_closed_out, struct err *err)
{
    return ledger->methods->day_is_closed(ledger, utc_day, is_closed_out, err);
}

MUST_CHECK static inline enum status ledger_each_closed_day(struct ledger *ledger, ledger_day_fn *fn,
                                                            void *context, struct err *err)
{
    return ledger->methods->each_closed_day(ledger, fn, context, err);
}

/* Reports of one day (< 0: all), newest day first, without gzip (NULL). */
MUST_CHECK static inline enum status ledger_each_report(struct ledger *ledger, int32_t utc_day,
                                                        ledger_report_fn *fn, void *context, struct err *err)
{
    return ledger->methods->each_report(ledger, utc_day, fn, context, err);
}

/*
 * With gzip; everything lives in arena.
 * ST_NOT_FOUND
 */
MUST_CHECK enum status ledger_read_report(struct ledger *ledger, int32_t utc_day, const char *domain,
                                          struct arena *arena, struct ledger_report *report_out,
                                          struct err *err);

/* ---- deliveries ---- */

/* Due or being sent, sorted by kind, host and age. */
MUST_CHECK static inline enum status ledger_each_open(struct ledger *ledger, ledger_delivery_fn *fn,
                                                      void *context, struct err *err)
{
    return ledger->methods->each_open(ledger, fn, context, err);
}

/* What is due later is due now. */
MUST_CHECK static inline enum status ledger_make_due(struct ledger *ledger, int64_t now_s, struct err *err)
{
    return ledger->methods->make_due(ledger, now_s, err);
}

/*
 * The first max deliveries of a kind that are due at due_s or before, to destinations that are known or not, in the order of turn, quarter of an hour, and chance.  now_s: of the day of destination_started and
 * owner_started.  The callback may change the ledger.
 */
MUST_CHECK static inline enum status ledger_read_page(struct ledger *ledger, const struct ledger_page *page,
                                                      ledger_delivery_fn *fn, void *context, struct err *err)
{
    return ledger->methods->read_page(ledger, page, fn, context, err);
}

/*
 * Budgets of this day that are used up (limits of 0 are none), those of all owners first, then those with most reports;
 * at most max.
 */
MUST_CHECK static inline enum status ledger_each_budget(struct ledger *ledger, int32_t utc_day,
                                                        int64_t destination_limit, int64_t owner_limit,
                                                        int64_t max, ledger_budget_fn *fn, void *context,
                                                        struct err *err)
{
    return ledger->methods->each_budget(ledger, utc_day,
                                        destination_limit > 0 ? destination_limit : INT64_MAX,
                                        owner_limit > 0 ? owner_limit : INT64_MAX, max, fn, context, err);
}

/* The delivery's destination accepted a report: what is added, put off or recovered from now on is known. */
MUST_CHECK static inline enum status ledger_add_known(struct ledger *ledger,
                                                      const struct ledger_delivery *delivery, int64_t now_s,
                                                      struct err *err)
{
    return ledger->methods->add_known(ledger, delivery, now_s, err);
}

/* All of one day (< 0: of all days), by day, domain and rua. */
MUST_CHECK static inline enum status ledger_each_delivery(struct ledger *ledger, int32_t utc_day,
                                                          ledger_delivery_fn *fn, void *context,
                                                          struct err *err)
{
    return ledger->methods->each_delivery(ledger, utc_day, fn, context, err);
}

MUST_CHECK static inline enum status ledger_each_delivery_of(struct ledger *ledger, int32_t utc_day,
                                                             const char *domain, ledger_delivery_fn *fn,
                                                             void *context, struct err *err)
{
    return ledger->methods->each_delivery_of(ledger, utc_day, domain, fn, context, err);
}

/*
 * When the next delivery is due.
 * ST_NOT_FOUND  none is open
 */
MUST_CHECK enum status ledger_next_due(struct ledger *ledger, int64_t *next_at_s_out, struct err *err);

/* Before the first byte goes out: state sending, tries + 1.  Here and below a delivery is known by its id,
 * utc_day and domain. */
MUST_CHECK static inline enum status ledger_mark_sending(struct ledger *ledger,
                                                         const struct ledger_delivery *delivery,
                                                         int64_t now_s, struct err *err)
{
    return ledger->methods->mark_sending(ledger, delivery, now_s, err);
}

/* It was not sent after all: due as it was before ledger_mark_sending (at marked_at_s).  reason: its last_text from now on. */
MUST_CHECK static inline enum status ledger_put_back(struct ledger *ledger,
                                                     const struct ledger_delivery *delivery,
                                                     const char *reason, int64_t marked_at_s, struct err *err)
{
    return ledger->methods->put_back(ledger, delivery, reason, marked_at_s, err);
}

/* After: the new state, and when it is due again if that is DELIVERY_DUE. */
MUST_CHECK static inline enum status ledger_record_result(struct ledger *ledger,
                                                          const struct ledger_delivery *delivery,
                                                          enum delivery_state state, int64_t next_at_s,
                                                          const struct delivery_result *result, int64_t now_s,
                                                          struct err *err)
{
    return ledger->methods->record_result(ledger, delivery, state, next_at_s, result, now_s, err);
}

/*
 * At the beginning of a run, under its lock.  After a crash: what is "sending" although nobody sends is in doubt, and due
 * again as after a failure.  Also, what goes to a destination that has become known is known from now on.
 */
MUST_CHECK static inline enum status ledger_recover(struct ledger *ledger, int64_t now_s, int64_t *count_out,
                                                    struct err *err)
{
    return ledger->methods->recover(ledger, now_s, count_out, err);
}

/* utc_day < 0: over all days. */
MUST_CHECK static inline enum status ledger_count(struct ledger *ledger, int32_t utc_day,
                                                  struct ledger_counts *counts_out, struct err *err)
{
    return ledger->methods->count(ledger, utc_day, counts_out, err);
}

/*
 * Forget the days that limits lets go, but no report with an open delivery; and suppressions that ended more
 * than 28 days before now_s.  *count_out: the reports that were deleted.
 */
MUST_CHECK enum status ledger_delete_before(struct ledger *ledger, const struct ledger_retention *limits,
                                            int64_t *count_out, struct err *err);

/* ---- mailboxes ---- */

/*
 * A mailbox refused for good: leave it alone for 3 days, then 7, then 28.  While it is suppressed a further
 * refusal changes nothing.
 */
MUST_CHECK enum status ledger_suppress(struct ledger *ledger, const char *address, const char *reason,
                                       int64_t now_s, int64_t *until_s_out, struct err *err);
MUST_CHECK enum status ledger_is_suppressed(struct ledger *ledger, const char *address, int64_t now_s,
                                            bool *is_suppressed_out, struct err *err);

/*
 * The mailbox is fine (it took a report, or the operator says so).
 * ST_NOT_FOUND  it was not listed
 */
MUST_CHECK enum status ledger_unsuppress(struct ledger *ledger, const char *address, struct err *err);
MUST_CHECK static inline enum status ledger_each_suppression(struct ledger *ledger, int64_t now_s,
                                                             ledger_suppression_fn *fn, void *context,
                                                             struct err *err)
{
    return ledger->methods->each_suppression(ledger, now_s, fn, context, err);
}

#endif
