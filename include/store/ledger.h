/* SPDX-License-Identifier: MIT */
/*
 * ledger.h - every report that was built, frozen, and every delivery of it, so that nothing is sent twice and
 * nothing is forgotten: the file reports.db, or the database of a fleet (store/fleet.h).
 *
 * A domain's day is in at most one of three places: report (built), skipped (gets none, with the reason) or
 * waiting (its DNS record could not be read yet).  A report's bytes never change once added; a delivery goes
 * through the states of model/delivery.h.
 *
 * Durable: what a function here has done, or ledger_commit after it, survives a power cut.  Functions that
 * write join the transaction of ledger_begin if there is one, else each is its own; a fleet's ledger writes
 * it all at ledger_commit, which returns ST_BUSY when another generator has taken over.
 *
 * Unless said otherwise every function can return ST_BUSY, ST_FULL (disk), ST_IO, ST_NOMEM and ST_INTERNAL.
 * One ledger belongs to one thread.  Texts given in are borrowed for the call; texts in rows given to
 * callbacks live until the callback returns; a callback that returns other than ST_OK ends the walk with that
 * status, and it may call any ledger function but the one that called it.
 */
#ifndef STORE_LEDGER_H
#define STORE_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "model/delivery.h"
#include "model/delivery_result.h"

#define LEDGER_GZIP_MAX (64u << 20) /* bytes of one report's gzip */

struct ledger;

enum ledger_mode {
    LEDGER_READ,
    LEDGER_WRITE, /* made if missing */
};

/* What the ledger knows of a domain's day. */
enum ledger_entry {
    LEDGER_NOTHING,
    LEDGER_REPORT,
    LEDGER_SKIPPED,
    LEDGER_WAITING,
};

/* Everything that is needed to make the same file and the same mails again, whatever the settings say then.
 */
struct ledger_report {
    int32_t utc_day;
    const char *domain;
    const char *report_id; /* RFC 8460 report-id: unique */
    int64_t created_at_s;  /* the mails' Date */
    const char *organization_name;
    const char *contact_info;
    const char *from;
    const char *envelope_from;
    const char *file_name; /* "submitter!domain!begin!end.json.gz" */
    const void *gzip;
    size_t gzip_len;
    int64_t inflated_bytes;
    int64_t success; /* sessions, summed over the policies */
    int64_t failure;
    const char *note; /* what was folded or left out; "" if nothing */
};

struct ledger_delivery {
    int64_t id; /* given by the ledger; means something together with utc_day and domain */
    int32_t utc_day;
    const char *domain;
    const char *report_id;
    enum delivery_kind kind;
    const char *rua;        /* as used: addr-spec or URL */
    const char *host;       /* mailbox domain or URL host: work is sorted by it */
    const char *message_id; /* mails: without <>; "" for https */
    enum delivery_state state;
    int64_t tries;
    int64_t first_at_s; /* 0: not tried yet */
    int64_t next_at_s;
    int64_t last_at_s; /* 0: not tried yet */
    int64_t last_code;
    const char *last_text; /* "" if nothing happened yet */
};

struct ledger_counts {
    int64_t by_state[DELIVERY_STATE_COUNT];
    int64_t reports;
    int64_t skipped;
    int64_t waiting;
};

typedef enum status ledger_delivery_fn(void *context, const struct ledger_delivery *row, struct err *err);
typedef enum status ledger_report_fn(void *context, const struct ledger_report *row, struct err *err);

/* A domain's day that was skipped or waits: reason, and since when. */
typedef enum status ledger_domain_fn(void *context, int32_t utc_day, const char *domain, const char *reason,
                                     int64_t since_s, struct err *err);
typedef enum status ledger_day_fn(void *context, int32_t utc_day, int64_t closed_at_s, struct err *err);
typedef enum status ledger_suppression_fn(void *context, const char *address, int64_t until_s,
                                          int64_t strikes, const char *reason, struct err *err);

/* ST_NOT_FOUND (LEDGER_READ and no file), ST_UNSUPPORTED (made by a newer program, or no database). */
MUST_CHECK enum status ledger_open(const char *path, enum ledger_mode mode, struct ledger **ledger_out,
                                   struct err *err);
void ledger_close(struct ledger **ledger);

MUST_CHECK enum status ledger_begin(struct ledger *ledger, struct err *err);
MUST_CHECK enum status ledger_commit(struct ledger *ledger, struct err *err);
void ledger_rollback(struct ledger *ledger);

/* ---- days and domains ---- */

/* *since_s_out (may be NULL): when it was entered. */
MUST_CHECK enum status ledger_find(struct ledger *ledger, int32_t utc_day, const char *domain,
                                   enum ledger_entry *entry_out, int64_t *since_s_out, struct err *err);

/* ledger_find will be called for these, in any order: a ledger that is far away may look them up at once. */
MUST_CHECK enum status ledger_prefetch(struct ledger *ledger, int32_t utc_day, const char *const *domains,
                                       size_t count, struct err *err);

/*
 * A report and its deliveries (state, next_at_s and last_text of each are taken as given; tries start at 0),
 * all or nothing; a waiting or skipped entry of that domain's day goes.  Two deliveries to the same rua
 * become one. ST_DENIED  that domain's day has a report already ST_RANGE   gzip is larger than
 * LEDGER_GZIP_MAX
 */
MUST_CHECK enum status ledger_add_report(struct ledger *ledger, const struct ledger_report *report,
                                         const struct ledger_delivery *deliveries, size_t count,
                                         struct err *err);

/* This domain's day gets no report; a waiting entry goes.  Saying it twice keeps the first. */
MUST_CHECK enum status ledger_skip(struct ledger *ledger, int32_t utc_day, const char *domain,
                                   const char *reason, int64_t now_s, struct err *err);

/* Its record could not be read; keeps the first time, takes the last reason. */
MUST_CHECK enum status ledger_wait(struct ledger *ledger, int32_t utc_day, const char *domain,
                                   const char *reason, int64_t now_s, struct err *err);

/* utc_day < 0: of all days.  By day and domain. */
MUST_CHECK enum status ledger_each_skipped(struct ledger *ledger, int32_t utc_day, ledger_domain_fn *fn,
                                           void *context, struct err *err);
MUST_CHECK enum status ledger_each_waiting(struct ledger *ledger, int32_t utc_day, ledger_domain_fn *fn,
                                           void *context, struct err *err);

/* Closed: every domain of the day has a report or is skipped; nothing more will be built for it. */
MUST_CHECK enum status ledger_close_day(struct ledger *ledger, int32_t utc_day, int64_t now_s,
                                        struct err *err);
MUST_CHECK enum status ledger_day_is_closed(struct ledger *ledger, int32_t utc_day, bool *is_closed_out,
                                            struct err *err);
MUST_CHECK enum status ledger_each_closed_day(struct ledger *ledger, ledger_day_fn *fn, void *context,
                                              struct err *err);

/* Reports of one day (< 0: all), newest day first, without gzip (NULL). */
MUST_CHECK enum status ledger_each_report(struct ledger *ledger, int32_t utc_day, ledger_report_fn *fn,
                                          void *context, struct err *err);

/* With gzip; everything lives in arena.  ST_NOT_FOUND. */
MUST_CHECK enum status ledger_read_report(struct ledger *ledger, int32_t utc_day, const char *domain,
                                          struct arena *arena, struct ledger_report *report_out,
                                          struct err *err);

/* ---- deliveries ---- */

/* Due at now_s or before (INT64_MAX: whenever), sorted by kind, host and age. */
MUST_CHECK enum status ledger_each_due(struct ledger *ledger, int64_t now_s, ledger_delivery_fn *fn,
                                       void *context, struct err *err);

/* All of one day (< 0: of all days), by day, domain and rua. */
MUST_CHECK enum status ledger_each_delivery(struct ledger *ledger, int32_t utc_day, ledger_delivery_fn *fn,
                                            void *context, struct err *err);
MUST_CHECK enum status ledger_each_delivery_of(struct ledger *ledger, int32_t utc_day, const char *domain,
                                               ledger_delivery_fn *fn, void *context, struct err *err);

/* When the next delivery is due; ST_NOT_FOUND: none is open. */
MUST_CHECK enum status ledger_next_due(struct ledger *ledger, int64_t *next_at_s_out, struct err *err);

/* Before the first byte goes out: state sending, tries + 1.  Here and below a delivery is known by its id,
 * utc_day and domain. */
MUST_CHECK enum status ledger_mark_sending(struct ledger *ledger, const struct ledger_delivery *delivery,
                                           int64_t now_s, struct err *err);

/* It was not begun after all: due as it was before ledger_mark_sending. */
MUST_CHECK enum status ledger_put_back(struct ledger *ledger, const struct ledger_delivery *delivery,
                                       struct err *err);

/* After: the new state, and when it is due again if that is DELIVERY_DUE. */
MUST_CHECK enum status ledger_record_result(struct ledger *ledger, const struct ledger_delivery *delivery,
                                            enum delivery_state state, int64_t next_at_s,
                                            const struct delivery_result *result, int64_t now_s,
                                            struct err *err);

/* After a crash: what is "sending" although nobody sends is in doubt, and due now.  Only under the run's
 * lock. */
MUST_CHECK enum status ledger_recover(struct ledger *ledger, int64_t now_s, int64_t *count_out,
                                      struct err *err);

/* utc_day < 0: over all days. */
MUST_CHECK enum status ledger_count(struct ledger *ledger, int32_t utc_day, struct ledger_counts *counts_out,
                                    struct err *err);

struct ledger_retention {
    int32_t utc_day;  /* days before this one go */
    int64_t now_s;    /* suppressions that ended long before go */
    int64_t ledger_s; /* time that really passed, whatever the clock did; never smaller than the last time */
    int64_t
        memory_s; /* so long, by that time, a day's reports stay, so that no domain's day is reported twice */
};

/*
 * Forget what the limits let go, but no report with an open delivery.
 * *count_out: reports that went.
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

/* The mailbox is fine (it took a report, or the operator says so); ST_NOT_FOUND if it was not listed. */
MUST_CHECK enum status ledger_unsuppress(struct ledger *ledger, const char *address, struct err *err);
MUST_CHECK enum status ledger_each_suppression(struct ledger *ledger, int64_t now_s,
                                               ledger_suppression_fn *fn, void *context, struct err *err);

/* Our own mails per mailbox domain and UTC day of sending: they cause sessions that are no news (R50). */
MUST_CHECK enum status ledger_add_mailed(struct ledger *ledger, int32_t utc_day, const char *mailbox_domain,
                                         int64_t count, struct err *err);
MUST_CHECK enum status ledger_mailed(struct ledger *ledger, int32_t utc_day, const char *mailbox_domain,
                                     int64_t *count_out, struct err *err);

#endif
