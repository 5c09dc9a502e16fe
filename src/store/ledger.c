/* SPDX-License-Identifier: MIT */
#include "store/ledger.h"

#include <stddef.h>

#include "store/ledger_methods.h"

enum status ledger_open(const char *path, enum ledger_mode mode, struct ledger **ledger_out, struct err *err)
{
    return ledger_sqlite_open(path, mode, ledger_out, err);
}

void ledger_close(struct ledger **ledger)
{
    if (*ledger != NULL)
        (*ledger)->methods->close(*ledger);
    *ledger = NULL;
}

void ledger_rollback(struct ledger *ledger)
{
    ledger->methods->rollback(ledger);
}

/* ---- the rest is handed to the kind of ledger as it is ---- */

enum status ledger_begin(struct ledger *ledger, struct err *err)
{
    return ledger->methods->begin(ledger, err);
}

enum status ledger_commit(struct ledger *ledger, struct err *err)
{
    return ledger->methods->commit(ledger, err);
}

enum status ledger_find(struct ledger *ledger, int32_t utc_day, const char *domain,
                        enum ledger_entry *entry_out, int64_t *since_s_out, struct err *err)
{
    return ledger->methods->find(ledger, utc_day, domain, entry_out, since_s_out, err);
}

enum status ledger_prefetch(struct ledger *ledger, int32_t utc_day, const char *const *domains, size_t count,
                            struct err *err)
{
    return ledger->methods->prefetch != NULL ? ledger->methods->prefetch(ledger, utc_day, domains, count, err)
                                             : ST_OK;
}

enum status ledger_add_report(struct ledger *ledger, const struct ledger_report *report,
                              const struct ledger_delivery *deliveries, size_t count, struct err *err)
{
    return ledger->methods->add_report(ledger, report, deliveries, count, err);
}

enum status ledger_skip(struct ledger *ledger, int32_t utc_day, const char *domain, const char *reason,
                        int64_t now_s, struct err *err)
{
    return ledger->methods->skip(ledger, utc_day, domain, reason, now_s, err);
}

enum status ledger_wait(struct ledger *ledger, int32_t utc_day, const char *domain, const char *reason,
                        int64_t now_s, struct err *err)
{
    return ledger->methods->wait(ledger, utc_day, domain, reason, now_s, err);
}

enum status ledger_each_skipped(struct ledger *ledger, int32_t utc_day, ledger_domain_fn *fn, void *context,
                                struct err *err)
{
    return ledger->methods->each_skipped(ledger, utc_day, fn, context, err);
}

enum status ledger_each_waiting(struct ledger *ledger, int32_t utc_day, ledger_domain_fn *fn, void *context,
                                struct err *err)
{
    return ledger->methods->each_waiting(ledger, utc_day, fn, context, err);
}

enum status ledger_close_day(struct ledger *ledger, int32_t utc_day, int64_t now_s, struct err *err)
{
    return ledger->methods->close_day(ledger, utc_day, now_s, err);
}

enum status ledger_day_is_closed(struct ledger *ledger, int32_t utc_day, bool *is_closed_out, struct err *err)
{
    return ledger->methods->day_is_closed(ledger, utc_day, is_closed_out, err);
}

enum status ledger_each_closed_day(struct ledger *ledger, ledger_day_fn *fn, void *context, struct err *err)
{
    return ledger->methods->each_closed_day(ledger, fn, context, err);
}

enum status ledger_each_report(struct ledger *ledger, int32_t utc_day, ledger_report_fn *fn, void *context,
                               struct err *err)
{
    return ledger->methods->each_report(ledger, utc_day, fn, context, err);
}

enum status ledger_read_report(struct ledger *ledger, int32_t utc_day, const char *domain,
                               struct arena *arena, struct ledger_report *report_out, struct err *err)
{
    return ledger->methods->read_report(ledger, utc_day, domain, arena, report_out, err);
}

enum status ledger_each_due(struct ledger *ledger, int64_t now_s, ledger_delivery_fn *fn, void *context,
                            struct err *err)
{
    return ledger->methods->each_due(ledger, now_s, fn, context, err);
}

enum status ledger_each_delivery(struct ledger *ledger, int32_t utc_day, ledger_delivery_fn *fn,
                                 void *context, struct err *err)
{
    return ledger->methods->each_delivery(ledger, utc_day, fn, context, err);
}

enum status ledger_each_delivery_of(struct ledger *ledger, int32_t utc_day, const char *domain,
                                    ledger_delivery_fn *fn, void *context, struct err *err)
{
    return ledger->methods->each_delivery_of(ledger, utc_day, domain, fn, context, err);
}

enum status ledger_next_due(struct ledger *ledger, int64_t *next_at_s_out, struct err *err)
{
    return ledger->methods->next_due(ledger, next_at_s_out, err);
}

enum status ledger_mark_sending(struct ledger *ledger, const struct ledger_delivery *delivery, int64_t now_s,
                                struct err *err)
{
    return ledger->methods->mark_sending(ledger, delivery, now_s, err);
}

enum status ledger_put_back(struct ledger *ledger, const struct ledger_delivery *delivery, struct err *err)
{
    return ledger->methods->put_back(ledger, delivery, err);
}

enum status ledger_record_result(struct ledger *ledger, const struct ledger_delivery *delivery,
                                 enum delivery_state state, int64_t next_at_s,
                                 const struct delivery_result *result, int64_t now_s, struct err *err)
{
    return ledger->methods->record_result(ledger, delivery, state, next_at_s, result, now_s, err);
}

enum status ledger_recover(struct ledger *ledger, int64_t now_s, int64_t *count_out, struct err *err)
{
    return ledger->methods->recover(ledger, now_s, count_out, err);
}

enum status ledger_count(struct ledger *ledger, int32_t utc_day, struct ledger_counts *counts_out,
                         struct err *err)
{
    return ledger->methods->count(ledger, utc_day, counts_out, err);
}

enum status ledger_delete_before(struct ledger *ledger, const struct ledger_retention *limits,
                                 int64_t *count_out, struct err *err)
{
    return ledger->methods->delete_before(ledger, limits, count_out, err);
}

enum status ledger_suppress(struct ledger *ledger, const char *address, const char *reason, int64_t now_s,
                            int64_t *until_s_out, struct err *err)
{
    return ledger->methods->suppress(ledger, address, reason, now_s, until_s_out, err);
}

enum status ledger_is_suppressed(struct ledger *ledger, const char *address, int64_t now_s,
                                 bool *is_suppressed_out, struct err *err)
{
    return ledger->methods->is_suppressed(ledger, address, now_s, is_suppressed_out, err);
}

enum status ledger_unsuppress(struct ledger *ledger, const char *address, struct err *err)
{
    return ledger->methods->unsuppress(ledger, address, err);
}

enum status ledger_each_suppression(struct ledger *ledger, int64_t now_s, ledger_suppression_fn *fn,
                                    void *context, struct err *err)
{
    return ledger->methods->each_suppression(ledger, now_s, fn, context, err);
}

enum status ledger_add_mailed(struct ledger *ledger, int32_t utc_day, const char *mailbox_domain,
                              int64_t count, struct err *err)
{
    return ledger->methods->add_mailed(ledger, utc_day, mailbox_domain, count, err);
}

enum status ledger_mailed(struct ledger *ledger, int32_t utc_day, const char *mailbox_domain,
                          int64_t *count_out, struct err *err)
{
    return ledger->methods->mailed(ledger, utc_day, mailbox_domain, count_out, err);
}
