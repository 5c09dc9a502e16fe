/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "app/log_events.h"
#include "batch.h"
#include "model/utc_day.h"

#define BEGIN_BYTES 80 /* of a malformed datagram that the log shows */

void collect_log_malformed(const struct ring_record *record, const char *reason)
{
    char begin[BEGIN_BYTES + 1];
    size_t len = record->len < BEGIN_BYTES ? record->len : BEGIN_BYTES;

    for (size_t i = 0; i < len; i++)
        begin[i] = (char)(record->bytes[i] != '\0' ? record->bytes[i] : ' ');
    begin[len] = '\0';
    LOG_FACT(EV_DATAGRAM_MALFORMED, log_number("bytes", (int64_t)record->len), log_text("reason", reason),
             log_text("begin", begin));
}

/* ---- one datagram ---- */

static enum status is_closed(struct counter *counter, int32_t utc_day, bool *is_closed_out, struct err *err)
{
    enum status status;

    for (size_t i = 0; i < counter->closed_day_count; i++)
        if (counter->closed_days[i].utc_day == utc_day) {
            *is_closed_out = counter->closed_days[i].is_closed;
            return ST_OK;
        }
    status = session_store_is_closed(counter->collect->store, utc_day, is_closed_out, err);
    if (status == ST_OK && counter->closed_day_count < CLOSED_DAYS_MAX)
        counter->closed_days[counter->closed_day_count++] =
            (struct closed_day){.utc_day = utc_day, .is_closed = *is_closed_out};
    return status;
}

/* The day an outcome counts for: a log reader's word, never in the future (G.1). */
static int32_t day_of(const struct session_result *result, int32_t arrival_day)
{
    return result->has_utc_day && result->utc_day < arrival_day ? result->utc_day : arrival_day;
}

static void bump_stored(struct counter *counter, const struct aggregate_entry *entry)
{
    struct session_store *store = counter->collect->store;

    session_store_bump(store, COUNTER_STORED, entry->count);
    session_store_bump(store, COUNTER_REPAIRED, entry->is_repaired ? entry->count : 0);
    session_store_bump(store, COUNTER_UNKNOWN_POLICIES, (uint64_t)entry->dropped_policies * entry->count);
    counter->stored += entry->count;
}

static void bump_late(struct counter *counter, const struct aggregate_entry *entry)
{
    session_store_bump(counter->collect->store, COUNTER_LATE, entry->count);
}

static void bump_malformed(struct counter *counter, const struct aggregate_entry *entry)
{
    session_store_bump(counter->collect->store, COUNTER_MALFORMED, entry->count);
    counter->malformed += entry->count;
}

/* Count by the plan.  ST_NOT_FOUND: its rows are gone (a clean-up), make a new one. */
static enum status settle_planned(struct counter *counter, struct aggregate_entry *entry, struct err *err)
{
    bool is_late;
    enum status status = is_closed(counter, entry->plan.utc_day, &is_late, err);

    if (status == ST_OK && is_late) {
        bump_late(counter, entry);
        return ST_OK;
    }
    if (status == ST_OK)
        status = session_store_count(counter->collect->store, &entry->plan, entry->count,
                                     entry->last_arrival_s, err);
    if (status == ST_OK)
        bump_stored(counter, entry);
    return status;
}

static enum status settle_result(struct counter *counter, struct aggregate_entry *entry,
                                 const struct session_result *result, struct err *err)
{
    int32_t utc_day = day_of(result, entry->arrival_day);
    bool is_late;
    enum status status;

    entry->is_repaired = result->is_repaired;
    entry->dropped_policies =
        (uint8_t)(result->dropped_policies < UINT8_MAX ? result->dropped_policies : UINT8_MAX);
    if (entry->arrival_day - utc_day > counter->collect->max_age_days) {
        entry->state = AGGREGATE_LATE;
        bump_late(counter, entry);
        return ST_OK;
    }
    status = is_closed(counter, utc_day, &is_late, err);
    if (status == ST_OK && is_late) {
        bump_late(counter, entry); /* its state stays NEW: no row is made for a closed day */
        return ST_OK;
    }
    if (status == ST_OK)
        status = session_store_add_planned(counter->collect->store, result, utc_day, entry->count,
                                           entry->last_arrival_s, &entry->plan, err);
    if (status != ST_OK)
        return status;
    entry->state = entry->plan.target_count > 0 ? AGGREGATE_PLANNED : AGGREGATE_NEW;
    bump_stored(counter, entry);
    return ST_OK;
}

static void settle_malformed(struct counter *counter, struct aggregate_entry *entry,
                             const struct ring_record *record, const char *reason)
{
    if (entry->state != AGGREGATE_MALFORMED)
        collect_log_malformed(record, reason);
    entry->state = AGGREGATE_MALFORMED;
    bump_malformed(counter, entry);
}

/* An outcome that a log reader numbered counts once, however often it came; so it is looked at each time. */
static enum status settle_numbered(struct counter *counter, struct aggregate_entry *entry,
                                   const struct session_result *result, struct err *err)
{
    bool is_counted = log_sources_is_counted(&counter->logs, result->log_id, result->log_number);
    enum status status = ST_OK;

    session_store_bump(counter->collect->store, COUNTER_REPEATED, entry->count - (is_counted ? 0 : 1));
    entry->count = 1;
    if (!is_counted)
        status = settle_result(counter, entry, result, err);
    entry->state = AGGREGATE_NEW;
    return status;
}

/* Once: a newer libtlsrpt, or another producer, may say more than we read. */
static void note_version(struct counter *counter, unsigned version)
{
    if (counter->is_newer_noted)
        return;
    counter->is_newer_noted = true;
    LOG_FACT(EV_DATAGRAM_NEWER, log_number("version", version),
             log_text("hint", "upgrade tlsrpt-gen; what it understands is counted"));
}

static void bump_nothing(struct counter *counter, const struct aggregate_entry *entry)
{
    session_store_bump(counter->collect->store, COUNTER_NO_RESULT, entry->count);
}

static bool is_poison(const struct counter *counter, const struct hash *hash)
{
    return counter->has_poison && counter->poison.words[0] == hash->words[0] &&
           counter->poison.words[1] == hash->words[1];
}

static enum status settle_decoded(struct counter *counter, struct decode_job *job, struct err *err)
{
    struct aggregate_entry *entry = job->entry;
    const char *sending_mta_ip = counter->collect->program.config.sending_mta_ip;

    counter->entry = entry;
    if (job->status == ST_NOMEM)
        return err_set(err, ST_NOMEM, "%s", job->reason);
    if (job->status == ST_NOT_FOUND) {
        entry->state = AGGREGATE_NOTHING;
        bump_nothing(counter, entry);
        return ST_OK;
    }
    if (job->status != ST_OK) {
        settle_malformed(counter, entry, &job->record, job->reason);
        return ST_OK;
    }
    if (job->result.newer_version != 0)
        note_version(counter, job->result.newer_version);
    if (*sending_mta_ip != '\0')
        session_result_set_sending_mta_ip(&job->result, sending_mta_ip); /* R73 */
    if (job->result.log_id != 0)
        return settle_numbered(counter, entry, &job->result, err);
    return settle_result(counter, entry, &job->result, err);
}

/* ---- decoding, some chunks ahead ---- */

/* Store the oldest chunk.  ST_NOT_FOUND: there is none. */
static enum status settle_oldest(struct counter *counter, struct err *err)
{
    struct decode_chunk *chunk = decode_line_take(counter->decoding);
    enum status status = ST_OK;

    if (chunk == NULL)
        return ST_NOT_FOUND;
    for (size_t i = 0; status == ST_OK && i < chunk->count; i++)
        status = settle_decoded(counter, &chunk->jobs[i], err);
    return status;
}

static enum status decode_later(struct counter *counter, struct aggregate_entry *entry, struct err *err)
{
    struct decode_line *decoding = counter->decoding;
    struct ring_record record;

    ring_get(counter->collect->ring, entry->sequence, &record);
    if (is_poison(counter, &entry->hash)) {
        settle_malformed(counter, entry, &record, "the store cannot take it");
        return ST_OK;
    }
    decode_line_add(decoding, entry, &record);
    if (!decode_line_is_full(decoding))
        return ST_OK;
    decode_line_push(decoding);
    return decode_line_has_room(decoding) ? ST_OK : settle_oldest(counter, err);
}

/* ---- the batch ---- */

static enum status settle_entry(struct counter *counter, struct aggregate_entry *entry, struct err *err)
{
    enum status status = ST_NOT_FOUND;

    counter->entry = entry;
    switch ((enum aggregate_state)entry->state) {
    case AGGREGATE_MALFORMED:
        bump_malformed(counter, entry);
        return ST_OK;
    case AGGREGATE_LATE:
        bump_late(counter, entry);
        return ST_OK;
    case AGGREGATE_NOTHING:
        bump_nothing(counter, entry);
        return ST_OK;
    case AGGREGATE_PLANNED:
        status = settle_planned(counter, entry, err);
        break;
    case AGGREGATE_NEW:
    default:
        break;
    }
    return status == ST_NOT_FOUND ? decode_later(counter, entry, err) : status;
}

static enum status settle_entries(struct counter *counter, struct err *err)
{
    enum status status = ST_OK;

    for (struct aggregate_entry *entry = aggregate_first(counter->aggregate);
         status == ST_OK && entry != NULL; entry = aggregate_next(counter->aggregate, entry))
        status = settle_entry(counter, entry, err);
    while (status == ST_OK)
        status = settle_oldest(counter, err);
    return status == ST_NOT_FOUND ? ST_OK : status;
}

static enum status settle_refused(struct counter *counter, struct err *err)
{
    enum status status = ST_OK;

    for (size_t i = 0; status == ST_OK && i < counter->refused_count; i++) {
        const struct refused *refused = &counter->refused[i];

        session_store_bump(counter->collect->store, COUNTER_REFUSED, refused->count);
        status = session_store_add_refused(counter->collect->store, refused->uid, refused->count, err);
        LOG_FACT(EV_DATAGRAM_REFUSED, log_number("uid", refused->uid),
                 log_number("count", (int64_t)refused->count),
                 log_text("mend", "add the user to allow_uid, or find out what it sends"));
    }
    return status;
}

static enum status settle_mark(struct counter *counter, struct err *err)
{
    struct collect *collect = counter->collect;
    struct session_mark mark = {.counted_through_s = counter->counted_through_s,
                                .ring_sequence = ring_sequence(collect->ring),
                                .ring_dropped = ring_dropped(collect->ring)};
    enum status status;

    session_store_bump(collect->store, COUNTER_RECEIVED, counter->received);
    session_store_bump(collect->store, COUNTER_MALFORMED, counter->cut);
    session_store_bump(collect->store, COUNTER_CORRUPT, counter->corrupt);
    session_store_bump(collect->store, COUNTER_DROPPED, mark.ring_dropped - collect->mark.ring_dropped);
    session_store_bump(collect->store, COUNTER_STORE_RETRIES, counter->retries);
    session_store_raise(collect->store, COUNTER_RING_HIGH_WATER, ring_high_water(collect->ring));
    status = session_store_set_mark(collect->store, &mark, err);
    if (status == ST_OK)
        status = session_store_commit(collect->store, err);
    if (status == ST_OK)
        collect->mark = mark;
    return status;
}

static enum status load_logs(struct counter *counter, struct err *err)
{
    enum status status = ST_OK;

    if (!counter->has_logs)
        status = log_sources_load(&counter->logs, counter->collect->store, err);
    counter->has_logs = status == ST_OK;
    return status;
}

enum status collect_settle(struct counter *counter, struct err *err)
{
    struct session_store *store = counter->collect->store;
    enum status status;

    counter->entry = NULL;
    status = session_store_begin(store, err);
    if (status == ST_OK)
        status = load_logs(counter, err);
    if (status == ST_OK)
        status = settle_entries(counter, err);
    if (status == ST_OK) {
        counter->entry = NULL;
        status = settle_refused(counter, err);
    }
    if (status == ST_OK)
        status = log_sources_store(&counter->logs, store, err);
    if (status == ST_OK)
        status = settle_mark(counter, err);
    if (status == ST_OK)
        return ST_OK;
    decode_line_forget(counter->decoding);
    session_store_rollback(store);
    return status;
}
