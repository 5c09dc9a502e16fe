/* SPDX-License-Identifier: MIT */
/*
 * ledger_methods.h - what a kind of ledger must offer: SQLite (store) or a fleet's database.  store/ledger.h
 * has the contract of each method, under its name with "ledger_" in front (add_skipped: ledger_skip,
 * add_waiting: ledger_wait); what is different is said here.
 * Rules that hold for every kind are in src/store/ledger.c.  A kind embeds struct ledger as its first member.
 */
#ifndef STORE_LEDGER_METHODS_H
#define STORE_LEDGER_METHODS_H

#include <stdbool.h>

#include "base/arena.h"
#include "model/delivery_result.h"
#include "store/ledger_rows.h"

struct ledger;

/* How often and until when a mailbox was suppressed. */
struct ledger_suppression {
    int64_t until_s;
    int64_t strikes;
};

struct ledger_methods {
    void (*close)(struct ledger *ledger);
    enum status (*begin)(struct ledger *ledger, struct err *err);
    enum status (*commit)(struct ledger *ledger, struct err *err);
    void (*rollback)(struct ledger *ledger);

    enum status (*find)(struct ledger *ledger, int32_t utc_day, const char *domain,
                        struct ledger_found *found_out, struct err *err);
    /* NULL: there is nothing to gain */
    enum status (*prefetch)(struct ledger *ledger, int32_t utc_day, const char *const *domains, size_t count,
                            struct err *err);
    /* There is no report; was is the entry that goes: LEDGER_NOTHING, _SKIPPED or _WAITING. */
    enum status (*add_report)(struct ledger *ledger, const struct ledger_report *report,
                              const struct ledger_delivery *deliveries, size_t count, enum ledger_entry was,
                              struct err *err);
    enum status (*add_skipped)(struct ledger *ledger, int32_t utc_day, const char *domain, const char *reason,
                               int64_t now_s, struct err *err);
    enum status (*add_waiting)(struct ledger *ledger, int32_t utc_day, const char *domain, const char *reason,
                               int64_t now_s, int64_t next_at_s, struct err *err);
    enum status (*each_skipped)(struct ledger *ledger, int32_t utc_day, ledger_domain_fn *fn, void *context,
                                struct err *err);
    enum status (*each_waiting)(struct ledger *ledger, int32_t utc_day, ledger_domain_fn *fn, void *context,
                                struct err *err);
    enum status (*close_day)(struct ledger *ledger, int32_t utc_day, int64_t now_s, struct err *err);
    enum status (*day_is_closed)(struct ledger *ledger, int32_t utc_day, bool *is_closed_out,
                                 struct err *err);
    enum status (*each_closed_day)(struct ledger *ledger, ledger_day_fn *fn, void *context, struct err *err);
    enum status (*each_report)(struct ledger *ledger, int32_t utc_day, ledger_report_fn *fn, void *context,
                               struct err *err);
    /* ST_NOT_FOUND: err is untouched */
    enum status (*read_report)(struct ledger *ledger, int32_t utc_day, const char *domain,
                               struct arena *arena, struct ledger_report *report_out, struct err *err);

    enum status (*each_open)(struct ledger *ledger, ledger_delivery_fn *fn, void *context, struct err *err);
    enum status (*make_due)(struct ledger *ledger, int64_t now_s, struct err *err);
    enum status (*read_page)(struct ledger *ledger, const struct ledger_page *page, ledger_delivery_fn *fn,
                             void *context, struct err *err);
    enum status (*each_budget)(struct ledger *ledger, int32_t utc_day, int64_t destination_limit,
                               int64_t owner_limit, int64_t max, ledger_budget_fn *fn, void *context,
                               struct err *err);
    enum status (*add_known)(struct ledger *ledger, const struct ledger_delivery *delivery, int64_t now_s,
                             struct err *err);
    enum status (*each_delivery)(struct ledger *ledger, int32_t utc_day, ledger_delivery_fn *fn,
                                 void *context, struct err *err);
    enum status (*each_delivery_of)(struct ledger *ledger, int32_t utc_day, const char *domain,
                                    ledger_delivery_fn *fn, void *context, struct err *err);
    /* ST_NOT_FOUND: err is untouched */
    enum status (*next_due)(struct ledger *ledger, int64_t *next_at_s_out, struct err *err);
    enum status (*mark_sending)(struct ledger *ledger, const struct ledger_delivery *delivery, int64_t now_s,
                                struct err *err);
    enum status (*put_back)(struct ledger *ledger, const struct ledger_delivery *delivery, const char *reason,
                            int64_t marked_at_s, struct err *err);
    enum status (*record_result)(struct ledger *ledger, const struct ledger_delivery *delivery,
                                 enum delivery_state state, int64_t next_at_s,
                                 const struct delivery_result *result, int64_t now_s, struct err *err);
    enum status (*recover)(struct ledger *ledger, int64_t now_s, int64_t *count_out, struct err *err);
    enum status (*count)(struct ledger *ledger, int32_t utc_day, struct ledger_counts *counts_out,
                         struct err *err);
    /* Suppressions that ended before suppressed_s go. */
    enum status (*delete_before)(struct ledger *ledger, const struct ledger_retention *limits,
                                 int64_t suppressed_s, int64_t *count_out, struct err *err);

    /* ST_NOT_FOUND (err untouched): never suppressed, or so long ago that it is forgotten */
    enum status (*find_suppression)(struct ledger *ledger, const char *address,
                                    struct ledger_suppression *suppression_out, struct err *err);
    enum status (*set_suppression)(struct ledger *ledger, const char *address,
                                   const struct ledger_suppression *suppression, const char *reason,
                                   struct err *err);
    enum status (*unsuppress)(struct ledger *ledger, const char *address, struct err *err);
    enum status (*each_suppression)(struct ledger *ledger, int64_t now_s, ledger_suppression_fn *fn,
                                    void *context, struct err *err);
};

struct ledger {
    const struct ledger_methods *methods;
};

/* ---- for kinds: what they share in reading rows ---- */

/* Let all texts of report live in arena; false: out of memory. */
MUST_CHECK bool ledger_report_keep(struct ledger_report *report, struct arena *arena);

/* Numbers as they were stored; one that this program does not know counts as given up. */
enum delivery_state ledger_state_of(int64_t number);
enum delivery_kind ledger_kind_of(int64_t number);

#endif
