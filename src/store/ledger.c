/* SPDX-License-Identifier: MIT */
/*
 * The rules that hold for every kind of ledger: a domain's day is reported once, and a mailbox that refused is
 * suppressed for longer each time.  Kinds keep rows (ledger_sqlite.c, fleet/ledger_fleet.c); they decide
 * nothing.
 */
#include "store/ledger.h"

#include <string.h>

#include "model/utc_day.h"

/* For how long a mailbox is left alone after its first, second and every further refusal. */
static const int64_t SUPPRESSION_DAYS[] = {3, 7, 28};

/* Refusals are remembered for so long after the end of the last suppression. */
#define SUPPRESSION_MEMORY_S ((int64_t)28 * UTC_DAY_SECONDS)

void ledger_close(struct ledger **ledger)
{
    if (*ledger != NULL)
        (*ledger)->methods->close(*ledger);
    *ledger = NULL;
}

/* ---- reports ---- */

enum status ledger_add_report(struct ledger *ledger, const struct ledger_report *report,
                              const struct ledger_delivery *deliveries, size_t count, struct err *err)
{
    struct ledger_found found = {LEDGER_NOTHING, 0, 0};
    enum status status;

    if (report->gzip_len > LEDGER_GZIP_MAX)
        return err_set(err, ST_RANGE, "%s: a report of %zu bytes is larger than the ledger takes (%u)",
                       report->domain, report->gzip_len, LEDGER_GZIP_MAX);
    status = ledger_find(ledger, report->utc_day, report->domain, &found, err);
    if (status != ST_OK)
        return status;
    if (found.entry == LEDGER_REPORT)
        return err_set(err, ST_DENIED, "%s has a report for this day already", report->domain);
    return ledger->methods->add_report(ledger, report, deliveries, count, found.entry, err);
}

enum status ledger_read_report(struct ledger *ledger, int32_t utc_day, const char *domain,
                               struct arena *arena, struct ledger_report *report_out, struct err *err)
{
    enum status status = ledger->methods->read_report(ledger, utc_day, domain, arena, report_out, err);

    return status == ST_NOT_FOUND
               ? err_set(err, ST_NOT_FOUND, "the ledger has no report for %s of that day", domain)
               : status;
}

enum status ledger_next_due(struct ledger *ledger, int64_t *next_at_s_out, struct err *err)
{
    enum status status = ledger->methods->next_due(ledger, next_at_s_out, err);

    return status == ST_NOT_FOUND ? err_set(err, ST_NOT_FOUND, "no delivery is open") : status;
}

enum status ledger_delete_before(struct ledger *ledger, const struct ledger_retention *limits,
                                 int64_t *count_out, struct err *err)
{
    return ledger->methods->delete_before(ledger, limits, limits->now_s - SUPPRESSION_MEMORY_S, count_out,
                                          err);
}

/* ---- mailboxes ---- */

/* A mailbox that is not listed was suppressed until 0, no times. */
static enum status find_suppression(struct ledger *ledger, const char *address,
                                    struct ledger_suppression *suppression_out, struct err *err)
{
    enum status status;

    *suppression_out = (struct ledger_suppression){0, 0};
    status = ledger->methods->find_suppression(ledger, address, suppression_out, err);
    return status == ST_NOT_FOUND ? ST_OK : status;
}

enum status ledger_suppress(struct ledger *ledger, const char *address, const char *reason, int64_t now_s,
                            int64_t *until_s_out, struct err *err)
{
    const int64_t last = ARRAY_COUNT(SUPPRESSION_DAYS) - 1;
    struct ledger_suppression suppression;
    enum status status = find_suppression(ledger, address, &suppression, err);

    if (status == ST_OK && suppression.until_s <= now_s) {
        int64_t days = SUPPRESSION_DAYS[suppression.strikes < last ? suppression.strikes : last];

        suppression.until_s = now_s + days * UTC_DAY_SECONDS;
        suppression.strikes++;
        status = ledger->methods->set_suppression(ledger, address, &suppression, reason, err);
    }
    if (status == ST_OK)
        *until_s_out = suppression.until_s;
    return status;
}

enum status ledger_is_suppressed(struct ledger *ledger, const char *address, int64_t now_s,
                                 bool *is_suppressed_out, struct err *err)
{
    struct ledger_suppression suppression;
    enum status status = find_suppression(ledger, address, &suppression, err);

    if (status == ST_OK)
        *is_suppressed_out = suppression.until_s > now_s;
    return status;
}

enum status ledger_unsuppress(struct ledger *ledger, const char *address, struct err *err)
{
    struct ledger_suppression suppression;
    enum status status = ledger->methods->find_suppression(ledger, address, &suppression, err);

    if (status == ST_NOT_FOUND)
        return err_set(err, ST_NOT_FOUND, "%s is not suppressed", address);
    return status == ST_OK ? ledger->methods->unsuppress(ledger, address, err) : status;
}

/* ---- for kinds ---- */

bool ledger_report_keep(struct ledger_report *report, struct arena *arena)
{
    const char **const texts[] = {&report->domain,       &report->report_id, &report->organization_name,
                                  &report->contact_info, &report->from,      &report->envelope_from,
                                  &report->file_name,    &report->note};

    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        *texts[i] = arena_copy_text(arena, *texts[i], strlen(*texts[i]));
        if (*texts[i] == NULL)
            return false;
    }
    return true;
}

enum delivery_state ledger_state_of(int64_t number)
{
    return number >= 0 && number < DELIVERY_STATE_COUNT ? (enum delivery_state)number : DELIVERY_GIVEN_UP;
}

enum delivery_kind ledger_kind_of(int64_t number)
{
    return number == DELIVERY_MAIL ? DELIVERY_MAIL : DELIVERY_HTTPS;
}
