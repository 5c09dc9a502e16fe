/* SPDX-License-Identifier: MIT */
#include "retention.h"

#include "model/utc_day.h"

/* How long the ledger remembers a day after it can no longer be reported. */
#define LEDGER_KEEP_DAYS 60

static enum status delete_from_ledger(const struct config *config, struct ledger *ledger, int32_t oldest,
                                      const struct retention_time *time, struct err *err)
{
    const struct ledger_retention limits = {
        .utc_day = oldest - LEDGER_KEEP_DAYS,
        .now_s = time->now_s,
        .ledger_s = time->ledger_s,
        .memory_s = (config->max_age_days + LEDGER_KEEP_DAYS) * UTC_DAY_SECONDS,
    };
    int64_t ignored;

    return limits.utc_day > 0 ? ledger_delete_before(ledger, &limits, &ignored, err) : ST_OK;
}

enum status retention_run(const struct config *config, struct session_reader *sessions, struct ledger *ledger,
                          const struct retention_time *time, struct err *err)
{
    struct session_mark mark;
    enum status status = session_reader_get_mark(sessions, &mark, err);
    int32_t oldest;

    if (status != ST_OK)
        return status;
    oldest = utc_day_of(time->now_s < mark.counted_through_s ? time->now_s : mark.counted_through_s) -
             (int32_t)config->max_age_days;
    if (oldest > 0)
        status = session_reader_delete_before(sessions, oldest, err);
    return status == ST_OK && ledger != NULL ? delete_from_ledger(config, ledger, oldest, time, err) : status;
}
