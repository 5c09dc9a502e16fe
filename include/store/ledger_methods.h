/* SPDX-License-Identifier: MIT */
/*
 * ledger_methods.h - what a kind of ledger must offer; ledger.c gives each of these its public name and
 * contract.  A kind embeds struct ledger as its first member.
 */
#ifndef STORE_LEDGER_METHODS_H
#define STORE_LEDGER_METHODS_H

#include "store/ledger.h"

struct ledger_methods {
    void (*close)(struct ledger *ledger);
    void (*rollback)(struct ledger *ledger);
    enum status (*begin)(struct ledger *ledger, struct err *err);
    enum status (*commit)(struct ledger *ledger, struct err *err);
    enum status (*find)(struct ledger *ledger, int32_t utc_day, const char *domain,
                        enum ledger_entry *entry_out, int64_t *since_s_out, struct err *err);
    enum status (*prefetch)(struct ledger *ledger, int32_t utc_day, const char *const *domains, size_t count,
                            struct err *err);
    enum status (*add_report)(struct ledger *ledger, const struct ledger_report *report,
                              const struct ledger_delivery *deliveries, size_t count, struct err *err);
    enum status (*skip)(struct ledger *ledger, int32_t utc_day, const char *domain, const char *reason,
                        int64_t now_s, struct err *err);
    enum status (*wait)(struct ledger *ledger, int32_t utc_day, const char *domain, const char *reason,
                        int64_t now_s, struct err *err);
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
    enum status (*read_report)(struct ledger *ledger, int32_t utc_day, const char *domain,
                               struct arena *arena, struct ledger_report *report_out, struct err *err);
    enum status (*each_due)(struct ledger *ledger, int64_t now_s, ledger_delivery_fn *fn, void *context,
                            struct err *err);
    enum status (*each_delivery)(struct ledger *ledger, int32_t utc_day, ledger_delivery_fn *fn,
                                 void *context, struct err *err);
    enum status (*each_delivery_of)(struct ledger *ledger, int32_t utc_day, const char *domain,
                                    ledger_delivery_fn *fn, void *context, struct err *err);
    enum status (*next_due)(struct ledger *ledger, int64_t *next_at_s_out, struct err *err);
    enum status (*mark_sending)(struct ledger *ledger, const struct ledger_delivery *delivery, int64_t now_s,
                                struct err *err);
    enum status (*put_back)(struct ledger *ledger, const struct ledger_delivery *delivery, struct err *err);
    enum status (*record_result)(struct ledger *ledger, const struct ledger_delivery *delivery,
                                 enum delivery_state state, int64_t next_at_s,
                                 const struct delivery_result *result, int64_t now_s, struct err *err);
    enum status (*recover)(struct ledger *ledger, int64_t now_s, int64_t *count_out, struct err *err);
    enum status (*count)(struct ledger *ledger, int32_t utc_day, struct ledger_counts *counts_out,
                         struct err *err);
    enum status (*delete_before)(struct ledger *ledger, const struct ledger_retention *limits,
                                 int64_t *count_out, struct err *err);
    enum status (*suppress)(struct ledger *ledger, const char *address, const char *reason, int64_t now_s,
                            int64_t *until_s_out, struct err *err);
    enum status (*is_suppressed)(struct ledger *ledger, const char *address, int64_t now_s,
                                 bool *is_suppressed_out, struct err *err);
    enum status (*unsuppress)(struct ledger *ledger, const char *address, struct err *err);
    enum status (*each_suppression)(struct ledger *ledger, int64_t now_s, ledger_suppression_fn *fn,
                                    void *context, struct err *err);
    enum status (*add_mailed)(struct ledger *ledger, int32_t utc_day, const char *mailbox_domain,
                              int64_t count, struct err *err);
    enum status (*mailed)(struct ledger *ledger, int32_t utc_day, const char *mailbox_domain,
                          int64_t *count_out, struct err *err);
};

struct ledger {
    const struct ledger_methods *methods; /* prefetch may be NULL: there is nothing to gain */
};

enum status ledger_sqlite_open(const char *path, enum ledger_mode mode, struct ledger **ledger_out,
                               struct err *err);

#endif
