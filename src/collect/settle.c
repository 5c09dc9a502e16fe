/* SPDX-License-Identifier: MIT */
/*
 * Everything in this file happens in one transaction: the counts, the counters, the log readers' numbers, the
 * mark and the ring's sequence.  So after a crash the store says exactly up to where the ring is counted.
 *
 * The first datagram of its kind is decoded, and its entry of the aggregate keeps what was learned: a plan
 * (the rows it adds to), or why it adds to none.  Its equals are counted by that, until settle_undo.
 */
#include "settle.h"

#include <string.h>

#include "app/log_events.h"
#include "model/organization.h"
#include "model/utc_day.h"

#define BEGIN_BYTES 80 /* of a malformed datagram that are logged */

void settle_log_malformed(const struct ring_record *record, const char *reason)
{
    char begin[BEGIN_BYTES + 1];
    size_t len = record->len < BEGIN_BYTES ? record->len : BEGIN_BYTES;

    for (size_t i = 0; i < len; i++)
        begin[i] = (char)(record->bytes[i] != '\0' ? record->bytes[i] : ' ');
    begin[len] = '\0';
    LOG_FACT(EV_DATAGRAM_MALFORMED, log_number("bytes", (int64_t)record->len), log_text("reason", reason),
             log_text("begin", begin));
}

/* ---- counters ---- */

static void count(struct counter *counter, enum session_counter which, uint64_t by)
{
    session_writer_bump(counter->collector->store, which, by);
}

static void count_stored(struct counter *counter, const struct aggregate_entry *entry)
{
    count(counter, COUNTER_STORED, entry->count);
    count(counter, COUNTER_REPAIRED, entry->is_repaired ? entry->count : 0);
    count(counter, COUNTER_UNKNOWN_POLICIES, (uint64_t)entry->dropped_policies * entry->count);
    counter->batch.stored += entry->count;
}

static void count_malformed(struct counter *counter, const struct aggregate_entry *entry)
{
    count(counter, COUNTER_MALFORMED, entry->count);
    counter->batch.malformed += entry->count;
}

/* The entry and its equals in later batches are malformed. */
static void settle_malformed(struct counter *counter, struct aggregate_entry *entry,
                             const struct ring_record *record, const char *reason)
{
    settle_log_malformed(record, reason);
    entry->state = AGGREGATE_MALFORMED;
    count_malformed(counter, entry);
}

static enum status is_day_closed(struct counter *counter, int32_t utc_day, bool *is_closed_out,
                                 struct err *err)
{
    struct collect_batch *batch = &counter->batch;
    enum status status;

    for (size_t i = 0; i < batch->closed_day_count; i++)
        if (batch->closed_days[i].utc_day == utc_day) {
            *is_closed_out = batch->closed_days[i].is_closed;
            return ST_OK;
        }
    status = session_reader_is_closed(session_writer_reader(counter->collector->store), utc_day,
                                      is_closed_out, err);
    if (status == ST_OK && batch->closed_day_count < CLOSED_DAYS_MAX)
        batch->closed_days[batch->closed_day_count++] =
            (struct closed_day){.utc_day = utc_day, .is_closed = *is_closed_out};
    return status;
}

/* ---- known datagrams ---- */

/* The store refused this datagram twice.  Counted as malformed, it holds up the others no longer. */
static void settle_poison(struct counter *counter, struct aggregate_entry *entry)
{
    struct ring_record record;

    if (!counter->has_poison || counter->poison.words[0] != entry->hash.words[0] ||
        counter->poison.words[1] != entry->hash.words[1])
        return;
    ring_get(counter->collector->ring, entry->sequence, &record);
    settle_malformed(counter, entry, &record, "the store cannot take it");
}

static enum status settle_planned(struct counter *counter, struct aggregate_entry *entry, struct err *err)
{
    bool is_late;
    enum status status = is_day_closed(counter, entry->plan.utc_day, &is_late, err);

    if (status != ST_OK)
        return status;
    if (is_late) {
        count(counter, COUNTER_LATE, entry->count);
        return ST_OK;
    }
    status = session_writer_count(counter->collector->store, &entry->plan, entry->count,
                                  entry->last_arrival_s, err);
    if (status == ST_NOT_FOUND) { /* retention deleted the plan's rows: decode it once more */
        entry->state = AGGREGATE_NEW;
        return ST_OK;
    }
    if (status == ST_OK)
        count_stored(counter, entry);
    return status;
}

static enum status settle_entry(struct counter *counter, struct aggregate_entry *entry, struct err *err)
{
    switch ((enum aggregate_state)entry->state) {
    case AGGREGATE_PLANNED:
        return settle_planned(counter, entry, err);
    case AGGREGATE_MALFORMED:
        count_malformed(counter, entry);
        return ST_OK;
    case AGGREGATE_LATE:
        count(counter, COUNTER_LATE, entry->count);
        return ST_OK;
    case AGGREGATE_NOTHING:
        count(counter, COUNTER_NO_RESULT, entry->count);
        return ST_OK;
    case AGGREGATE_NEW:
    default:
        settle_poison(counter, entry);
        return ST_OK;
    }
}

enum status settle_known(struct counter *counter, struct err *err)
{
    struct session_writer *store = counter->collector->store;
    enum status status = session_writer_begin(store, err);

    if (status == ST_OK)
        status = log_sources_load(&counter->logs, store, err);
    for (struct aggregate_entry *entry = aggregate_first(counter->aggregate);
         status == ST_OK && entry != NULL; entry = aggregate_next(counter->aggregate, entry)) {
        counter->batch.entry = entry;
        status = settle_entry(counter, entry, err);
    }
    return status;
}

/* ---- decoded datagrams ---- */

/* The day the session counts for: the log reader's if it gave one, but never one in the future. */
static int32_t day_of(const struct session_result *result, int32_t arrival_day)
{
    return result->has_utc_day && result->utc_day < arrival_day ? result->utc_day : arrival_day;
}

/* The first of an organization and day is logged. */
static enum status settle_over_budget(struct counter *counter, const struct aggregate_entry *entry,
                                      const char *domain, int32_t utc_day, struct err *err)
{
    uint64_t sessions = 0;
    char day[UTC_DAY_TEXT_SIZE];
    enum status status = session_writer_add_over_budget(counter->collector->store, domain, utc_day,
                                                        entry->count, &sessions, err);

    if (status != ST_OK)
        return status;
    count(counter, COUNTER_OVER_BUDGET, entry->count);
    if (sessions > entry->count)
        return ST_OK;
    utc_day_format(utc_day, day);
    LOG_FACT(EV_OVER_BUDGET, log_text("domain", organization_of(domain)), log_text("day", day),
             log_number("max_subdomains", counter->collector->config->max_subdomains),
             log_text("hint", "if these are real recipients, set max_subdomains higher"));
    return ST_OK;
}

/* While its day is closed, or its organization over budget, an entry stays AGGREGATE_NEW: it has no rows to plan
 * for. */
static enum status settle_result(struct counter *counter, struct aggregate_entry *entry,
                                 const struct session_result *result, struct err *err)
{
    int32_t utc_day = day_of(result, entry->arrival_day);
    bool is_late;
    enum status status;

    entry->is_repaired = result->is_repaired;
    entry->dropped_policies =
        (uint8_t)(result->dropped_policies < UINT8_MAX ? result->dropped_policies : UINT8_MAX);
    if (entry->arrival_day - utc_day > counter->collector->config->max_age_days) {
        entry->state = AGGREGATE_LATE;
        count(counter, COUNTER_LATE, entry->count);
        return ST_OK;
    }
    status = is_day_closed(counter, utc_day, &is_late, err);
    if (status == ST_OK && is_late) {
        count(counter, COUNTER_LATE, entry->count);
        return ST_OK;
    }
    if (status == ST_OK)
        status = session_writer_add(counter->collector->store, result, utc_day, entry->count,
                                    entry->last_arrival_s, &entry->plan, err);
    if (status == ST_DENIED)
        return settle_over_budget(counter, entry, result->domain, utc_day, err);
    if (status != ST_OK)
        return status;
    entry->state = entry->plan.is_made ? AGGREGATE_PLANNED : AGGREGATE_NEW;
    count_stored(counter, entry);
    return ST_OK;
}

/* A result with a log reader's number counts once, however often it came; so it is decoded each time. */
static enum status settle_numbered(struct counter *counter, struct aggregate_entry *entry,
                                   const struct session_result *result, struct err *err)
{
    bool is_new = log_sources_take(&counter->logs, result->log_id, result->log_number);
    enum status status = ST_OK;

    count(counter, COUNTER_REPEATED, entry->count - (is_new ? 1 : 0));
    entry->count = 1;
    if (is_new)
        status = settle_result(counter, entry, result, err);
    entry->state = AGGREGATE_NEW;
    return status;
}

/* Once: a newer libtlsrpt, or another producer, may say more than we read. */
static void note_version(struct counter *counter, unsigned version)
{
    if (counter->is_newer_logged)
        return;
    counter->is_newer_logged = true;
    LOG_FACT(EV_DATAGRAM_NEWER, log_number("version", version),
             log_text("hint", "upgrade tlsrpt-gen; what it understands is counted"));
}

static enum status settle_item(struct counter *counter, struct decoded *item, struct err *err)
{
    const char *sending_mta_ip = counter->collector->config->sending_mta_ip;

    if (item->status == ST_NOMEM)
        return err_set(err, ST_NOMEM, "%s", item->reason);
    if (item->status == ST_NOT_FOUND) {
        item->entry->state = AGGREGATE_NOTHING;
        count(counter, COUNTER_NO_RESULT, item->entry->count);
        return ST_OK;
    }
    if (item->status != ST_OK) {
        settle_malformed(counter, item->entry, &item->record, item->reason);
        return ST_OK;
    }
    if (item->result.newer_version != 0)
        note_version(counter, item->result.newer_version);
    if (*sending_mta_ip != '\0')
        session_result_set_sending_mta_ip(&item->result, sending_mta_ip); /* R73 */
    if (item->result.log_id != 0)
        return settle_numbered(counter, item->entry, &item->result, err);
    return settle_result(counter, item->entry, &item->result, err);
}

enum status settle_decoded(struct counter *counter, struct err *err)
{
    enum status status = ST_OK;
    struct decoded *item;

    while (status == ST_OK && (item = decoder_next(counter->decoder)) != NULL) {
        counter->batch.entry = item->entry;
        status = settle_item(counter, item, err);
    }
    return status;
}

/* ---- the batch ---- */

static enum status settle_refused(struct counter *counter, struct err *err)
{
    enum status status = ST_OK;

    for (size_t i = 0; status == ST_OK && i < counter->batch.refused_count; i++) {
        const struct refused *refused = &counter->batch.refused[i];

        count(counter, COUNTER_REFUSED, refused->count);
        status = session_writer_add_refused(counter->collector->store, refused->uid, refused->count, err);
        LOG_FACT(EV_DATAGRAM_REFUSED, log_number("uid", refused->uid),
                 log_number("count", (int64_t)refused->count),
                 log_text("mend", "add the user to allow_uid, or find out what it sends"));
    }
    return status;
}

static enum status settle_mark(struct counter *counter, const struct session_mark *mark, struct err *err)
{
    struct collector *collector = counter->collector;

    count(counter, COUNTER_RECEIVED, counter->batch.received);
    count(counter, COUNTER_MALFORMED, counter->batch.cut);
    count(counter, COUNTER_CORRUPT, counter->batch.corrupt);
    count(counter, COUNTER_DROPPED, mark->ring_dropped - collector->mark.ring_dropped);
    count(counter, COUNTER_STORE_RETRIES, counter->retries);
    session_writer_raise(collector->store, COUNTER_RING_HIGH_WATER, ring_high_water(collector->ring));
    return session_writer_set_mark(collector->store, mark, err);
}

enum status settle_commit(struct counter *counter, struct err *err)
{
    struct collector *collector = counter->collector;
    const struct session_mark mark = {.counted_through_s = counter->batch.counted_through_s,
                                      .ring_sequence = ring_sequence(collector->ring),
                                      .ring_dropped = ring_dropped(collector->ring)};
    enum status status;

    counter->batch.entry = NULL;
    status = settle_refused(counter, err);
    if (status == ST_OK)
        status = log_sources_store(&counter->logs, collector->store, err);
    if (status == ST_OK)
        status = settle_mark(counter, &mark, err);
    if (status == ST_OK)
        status = session_writer_commit(collector->store, err);
    if (status == ST_OK)
        collector->mark = mark;
    return status;
}

void settle_undo(struct counter *counter)
{
    decoder_stop(counter->decoder);
    session_writer_rollback(counter->collector->store);
}
