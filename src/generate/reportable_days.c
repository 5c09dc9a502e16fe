/* SPDX-License-Identifier: MIT */
#include "reportable_days.h"

#include "model/utc_day.h"

/* How long a collector that is down or slow holds a day open after its end. */
#define COLLECTOR_WAIT_S (24 * 3600)

struct day_search {
    struct generator *generator;
    struct session_mark mark;
    struct reportable_days days;
};

static int64_t longest_wait_s(const struct generator *generator)
{
    return generator->fleet != NULL ? generator->config->fleet_wait_s : COLLECTOR_WAIT_S;
}

static enum status take_day(void *context, const struct session_day *day, struct err *err)
{
    struct day_search *search = context;
    int64_t end_s = utc_day_last_s(day->utc_day) + 1;
    int32_t today = utc_day_of(search->generator->now_s);
    bool is_closed = false;
    bool is_waited;
    enum status status = ST_OK;

    if (day->utc_day >= today)
        return ST_OK;
    if (search->generator->ledger != NULL)
        status = ledger_day_is_closed(search->generator->ledger, day->utc_day, &is_closed, err);
    if (status != ST_OK || is_closed)
        return status;
    if (day->utc_day < today - search->generator->config->max_age_days ||
        search->days.count == REPORTABLE_DAYS_MAX) {
        search->days.missed += day->domains > 0;
        return ST_OK;
    }
    is_waited = search->mark.counted_through_s < end_s &&
                search->generator->now_s >= end_s + longest_wait_s(search->generator);
    search->days.items[search->days.count++] = (struct reportable_day){
        .utc_day = day->utc_day,
        .is_complete = search->mark.counted_through_s >= end_s || is_waited,
        .is_waited = is_waited,
    };
    return ST_OK;
}

enum status reportable_days_find(struct generator *generator, struct reportable_days *days_out,
                                 struct err *err)
{
    struct day_search search = {.generator = generator};
    enum status status;

    if (generator->sessions == NULL) {
        *days_out = search.days;
        return ST_OK;
    }
    status = session_reader_get_mark(generator->sessions, &search.mark, err);
    if (status == ST_OK)
        status = session_reader_each_day(generator->sessions, take_day, &search, err);
    if (status == ST_OK)
        *days_out = search.days;
    return status;
}
