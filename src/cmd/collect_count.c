/* SPDX-License-Identifier: MIT */
/*
 * The counting thread: from the ring into the store.
 *
 * 1. gather: take what has arrived, and count equal datagrams with one look-up each
 * 2. settle: in one transaction, decode each new one, add each count, move the mark and the ring's sequence
 * 3. committed: free the ring up to there.  Failed: forget what is known, wait, begin again at 1
 *
 * A batch is what came while the one before was stored, and at most one begins in LINGER_MS unless the ring
 * fills up: so one datagram of an idle hour is stored at once, and thousands cost one commit.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>

#include "aggregate/aggregate.h"
#include "base/clock.h"
#include "cmd/log_events.h"
#include "collect.h"
#include "collect_logs.h"
#include "datagram/datagram.h"
#include "datagram/exim_line.h"
#include "model/utc_day.h"

#define LINGER_MS       50
#define MARK_EVERY_S    20  /* how often an idle collector moves the mark */
#define BEGIN_BYTES     80  /* of a malformed datagram that the log shows */
#define BACKOFF_MIN_MS  100 /* after a failed batch, doubling */
#define BACKOFF_MAX_MS  5000
#define SAY_EVERY_MS    60000 /* a store that stays away is logged that often */
#define REFUSED_MAX     16    /* user ids told apart in one batch; others count as OTHER_UID */
#define OTHER_UID       (-1)
#define CLOSED_DAYS_MAX 8

struct refused {
    int64_t uid;
    uint64_t count;
};

/* Is that day's report built?  Asked once per transaction. */
struct closed_day {
    int32_t utc_day;
    bool is_closed;
};

struct counter {
    struct collect *collect;
    struct aggregate *aggregate;
    struct arena arena;
    struct log_sources logs;
    bool has_logs; /* they were read from the store */

    /* this batch */
    uint64_t received;
    uint64_t cut;
    uint64_t corrupt;
    struct refused refused[REFUSED_MAX];
    size_t refused_count;
    uint64_t begin_sequence;
    int64_t counted_through_s; /* what the mark may say once the batch is stored */
    struct closed_day closed_days[CLOSED_DAYS_MAX];
    size_t closed_day_count;
    const struct aggregate_entry *entry; /* being settled */
    uint64_t stored, malformed;

    /* failures */
    int64_t backoff_ms; /* 0: the last batch was stored */
    int64_t said_ms;
    uint64_t retries;
    bool has_poison; /* a datagram that the store cannot take and that is not the store's fault */
    struct hash poison;

    int64_t last_commit_ms;
};

/* ---- 1. gather -------------------------------------------------------------------------------------------
 */

static void log_malformed(const struct ring_record *record, const char *reason)
{
    char begin[BEGIN_BYTES + 1];
    size_t len = record->len < BEGIN_BYTES ? record->len : BEGIN_BYTES;

    for (size_t i = 0; i < len; i++)
        begin[i] = (char)(record->bytes[i] != '\0' ? record->bytes[i] : ' ');
    begin[len] = '\0';
    LOG_FACT(EV_DATAGRAM_MALFORMED, log_number("bytes", (int64_t)record->len), log_text("reason", reason),
             log_text("begin", begin));
}

static void gather_refused(struct counter *counter, const struct ring_record *record)
{
    int64_t uid = OTHER_UID;
    uid_t sender;
    size_t i = 0;

    if (record->len == sizeof sender) {
        memcpy(&sender, record->bytes, sizeof sender);
        uid = sender;
    }
    while (i < counter->refused_count && counter->refused[i].uid != uid)
        i++;
    if (i == REFUSED_MAX) {
        i = REFUSED_MAX - 1;
        counter->refused[i].uid = OTHER_UID;
    } else if (i == counter->refused_count) {
        counter->refused[counter->refused_count++] = (struct refused){.uid = uid};
    }
    counter->refused[i].count++;
}

/* False: no room for one more distinct datagram; the batch ends before it. */
static bool gather_record(struct counter *counter, const struct ring_record *record)
{
    int64_t arrival_s = record->arrival_ns / 1000000000;

    if (record->kind == RING_REFUSED) {
        gather_refused(counter, record);
    } else if (record->kind == RING_CUT) {
        log_malformed(record, "longer than a datagram may be");
        counter->cut++;
    } else if (!aggregate_add(counter->aggregate, &record->hash, utc_day_of(arrival_s), record->sequence,
                              arrival_s)) {
        return false;
    }
    counter->received++;
    counter->counted_through_s = arrival_s;
    return true;
}

static void begin_batch(struct counter *counter)
{
    counter->received = counter->cut = counter->corrupt = 0;
    counter->stored = counter->malformed = 0;
    counter->refused_count = 0;
    counter->closed_day_count = 0;
    counter->counted_through_s = counter->collect->mark.counted_through_s;
    ring_rewind(counter->collect->ring);
    counter->begin_sequence = ring_sequence(counter->collect->ring);
}

/*
 * Take records until none is left or the batch fills half the ring.  The mark may then be moved to the last
 * arrival taken; or to now, if the ring was seen empty at a time when the receiving thread had nothing in
 * hand.
 */
static void gather(struct counter *counter)
{
    struct ring *ring = counter->collect->ring;
    int64_t now_s = clock_utc_s();
    bool is_in_hand = atomic_load(&counter->collect->is_stamping);
    struct ring_record record;
    enum ring_read read = RING_READ;

    begin_batch(counter);
    while (ring_sequence(ring) - counter->begin_sequence < ring_capacity_bytes(ring) / 2) {
        read = ring_next(ring, &record);
        if (read == RING_EMPTY)
            break;
        if (read == RING_SKIPPED)
            counter->corrupt++;
        else if (!gather_record(counter, &record)) {
            ring_step_back(ring, record.sequence);
            break;
        }
    }
    if (read == RING_EMPTY && !is_in_hand)
        counter->counted_through_s = now_s;
}

/* ---- 2. settle -------------------------------------------------------------------------------------------
 */

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
static int32_t day_of(const struct event *event, int32_t arrival_day)
{
    return event->has_utc_day && event->utc_day < arrival_day ? event->utc_day : arrival_day;
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

static enum status settle_event(struct counter *counter, struct aggregate_entry *entry,
                                const struct event *event, struct err *err)
{
    int32_t utc_day = day_of(event, entry->arrival_day);
    bool is_late;
    enum status status;

    entry->is_repaired = event->is_repaired;
    entry->dropped_policies =
        (uint8_t)(event->dropped_policies < UINT8_MAX ? event->dropped_policies : UINT8_MAX);
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
        status = session_store_add_planned(counter->collect->store, event, utc_day, entry->count,
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
        log_malformed(record, reason);
    entry->state = AGGREGATE_MALFORMED;
    bump_malformed(counter, entry);
}

/* An outcome that a log reader numbered counts once, however often it came; so it is looked at each time. */
static enum status settle_numbered(struct counter *counter, struct aggregate_entry *entry,
                                   const struct event *event, struct err *err)
{
    bool is_counted = log_sources_is_counted(&counter->logs, event->log_id, event->log_number);
    enum status status = ST_OK;

    session_store_bump(counter->collect->store, COUNTER_REPEATED, entry->count - (is_counted ? 0 : 1));
    entry->count = 1;
    if (!is_counted)
        status = settle_event(counter, entry, event, err);
    entry->state = AGGREGATE_NEW;
    return status;
}

static enum status decode(struct counter *counter, const struct ring_record *record, struct event *event_out,
                          struct err *err)
{
    arena_reset(&counter->arena);
    if (exim_line_is_one(record->bytes, record->len))
        return exim_line_decode(record->bytes, record->len, record->arrival_ns / 1000000000, &counter->arena,
                                event_out, err);
    return datagram_decode(record->bytes, record->len, &counter->arena, event_out, err);
}

static void bump_nothing(struct counter *counter, const struct aggregate_entry *entry)
{
    session_store_bump(counter->collect->store, COUNTER_NO_OUTCOME, entry->count);
}

static bool is_poison(const struct counter *counter, const struct hash *hash)
{
    return counter->has_poison && counter->poison.words[0] == hash->words[0] &&
           counter->poison.words[1] == hash->words[1];
}

static enum status settle_decoded(struct counter *counter, struct aggregate_entry *entry, struct err *err)
{
    struct ring_record record;
    struct event event;
    enum status status;

    ring_get(counter->collect->ring, entry->sequence, &record);
    if (is_poison(counter, &entry->hash)) {
        settle_malformed(counter, entry, &record, "the store cannot take it");
        return ST_OK;
    }
    status = decode(counter, &record, &event, err);
    if (status == ST_OK && *counter->collect->program.config.sending_mta_ip != '\0')
        event_set_sending_mta_ip(&event, counter->collect->program.config.sending_mta_ip); /* R73 */
    if (status == ST_OK && event.log_id != 0)
        return settle_numbered(counter, entry, &event, err);
    if (status == ST_OK)
        return settle_event(counter, entry, &event, err);
    if (status == ST_NOT_FOUND) {
        entry->state = AGGREGATE_NOTHING;
        bump_nothing(counter, entry);
        return ST_OK;
    }
    if (status == ST_NOMEM)
        return status;
    settle_malformed(counter, entry, &record, err != NULL ? err->text : "");
    return ST_OK;
}

static enum status settle_entry(struct counter *counter, struct aggregate_entry *entry, struct err *err)
{
    enum status status = ST_NOT_FOUND;

    counter->entry = entry;
    if (entry->state == AGGREGATE_MALFORMED) {
        bump_malformed(counter, entry);
        return ST_OK;
    }
    if (entry->state == AGGREGATE_LATE) {
        bump_late(counter, entry);
        return ST_OK;
    }
    if (entry->state == AGGREGATE_NOTHING) {
        bump_nothing(counter, entry);
        return ST_OK;
    }
    if (entry->state == AGGREGATE_PLANNED)
        status = settle_planned(counter, entry, err);
    return status == ST_NOT_FOUND ? settle_decoded(counter, entry, err) : status;
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

static enum status settle(struct counter *counter, struct err *err)
{
    struct collect *collect = counter->collect;
    enum status status;

    counter->entry = NULL;
    status = session_store_begin(collect->store, err);
    if (status == ST_OK && !counter->has_logs)
        status = log_sources_load(&counter->logs, collect->store, err);
    counter->has_logs = counter->has_logs || status == ST_OK;
    for (struct aggregate_entry *entry = aggregate_first(counter->aggregate);
         status == ST_OK && entry != NULL; entry = aggregate_next(counter->aggregate, entry))
        status = settle_entry(counter, entry, err);
    if (status == ST_OK) {
        counter->entry = NULL;
        status = settle_refused(counter, err);
    }
    if (status == ST_OK)
        status = log_sources_store(&counter->logs, collect->store, err);
    if (status == ST_OK)
        return settle_mark(counter, err);
    session_store_rollback(collect->store);
    return status;
}

/* ---- 3. committed, or failed -----------------------------------------------------------------------------
 */

static void batch_stored(struct counter *counter)
{
    struct collect *collect = counter->collect;

    ring_free(collect->ring);
    aggregate_end_batch(counter->aggregate);
    (void)atomic_fetch_add_explicit(&collect->stored, counter->stored, memory_order_relaxed);
    (void)atomic_fetch_add_explicit(&collect->malformed, counter->malformed + counter->cut,
                                    memory_order_relaxed);
    if (counter->corrupt > 0)
        LOG_FACT(EV_RING_DAMAGED, log_number("skipped", (int64_t)counter->corrupt));
    if (counter->backoff_ms > 0)
        LOG_FACT(EV_STORE_RECOVERED, log_number("retries", (int64_t)counter->retries));
    counter->backoff_ms = 0;
    counter->retries = 0;
    counter->has_poison = false;
}

/* The ring still holds the batch.  One datagram that is at fault by itself is not tried a third time. */
static void batch_failed(struct counter *counter, enum status status, const struct err *err)
{
    int64_t now_ms = clock_monotonic_ms();

    if ((status == ST_INTERNAL || status == ST_NOMEM) && counter->entry != NULL && counter->retries > 0) {
        counter->has_poison = true;
        counter->poison = counter->entry->hash;
    }
    aggregate_end_batch(counter->aggregate);
    aggregate_clear(counter->aggregate);
    ring_rewind(counter->collect->ring);
    counter->retries++;
    counter->backoff_ms = counter->backoff_ms == 0 ? BACKOFF_MIN_MS : 2 * counter->backoff_ms;
    if (counter->backoff_ms > BACKOFF_MAX_MS)
        counter->backoff_ms = BACKOFF_MAX_MS;
    if (counter->retries > 1 && now_ms - counter->said_ms < SAY_EVERY_MS)
        return;
    counter->said_ms = now_ms;
    LOG_FACT(EV_STORE_FAILED, log_text("reason", err->text),
             log_number("waiting_bytes", (int64_t)ring_used_bytes(counter->collect->ring)),
             log_number("retry_ms", counter->backoff_ms));
}

static enum status do_batch(struct counter *counter, struct err *err)
{
    enum status status;

    gather(counter);
    status = settle(counter, err);
    log_sources_end_batch(&counter->logs, status == ST_OK);
    counter->last_commit_ms = clock_monotonic_ms();
    if (status == ST_OK)
        batch_stored(counter);
    else
        batch_failed(counter, status, err);
    ring_prepare(counter->collect->ring);
    return status;
}

/* ---- the thread ------------------------------------------------------------------------------------------
 */

static bool is_mark_old(const struct collect *collect)
{
    int64_t age_s = clock_utc_s() - collect->mark.counted_through_s;

    return age_s >= MARK_EVERY_S || age_s < 0; /* below 0: the clock was set back */
}

/* How long to wait for the next batch: 0 begins it. */
static int64_t wait_ms(const struct counter *counter)
{
    const struct collect *collect = counter->collect;
    int64_t since_ms = clock_monotonic_ms() - counter->last_commit_ms;
    size_t used = ring_used_bytes(collect->ring);
    int64_t pause_ms = counter->backoff_ms > 0 ? counter->backoff_ms : LINGER_MS;

    if (counter->backoff_ms == 0 &&
        (used >= ring_capacity_bytes(collect->ring) / 4 || (used > 0 && atomic_load(&collect->is_stopping))))
        return 0;
    if (used == 0 && counter->backoff_ms == 0)
        return is_mark_old(collect) ? 0 : COLLECT_TICK_MS;
    return since_ms >= pause_ms ? 0 : pause_ms - since_ms;
}

/* Rest until it is time or the bell rings.  What the receiving thread published before it could see us rest
 * is seen by the second look. */
static void rest(struct counter *counter)
{
    struct collect *collect = counter->collect;
    struct pollfd bell = {.fd = collect->bell_fd, .events = POLLIN};
    bool is_empty = ring_used_bytes(collect->ring) == 0;
    eventfd_t rings;
    int64_t ms;

    atomic_store(&collect->rest, is_empty ? REST_ASLEEP : REST_LINGERING);
    ms = wait_ms(counter);
    if (is_empty && ring_used_bytes(collect->ring) > 0)
        ms = 0;
    if (ms > COLLECT_TICK_MS)
        ms = COLLECT_TICK_MS;
    if (ms > 0 && poll(&bell, 1, (int)ms) > 0)
        (void)eventfd_read(collect->bell_fd, &rings);
    atomic_store(&collect->rest, REST_AWAKE);
}

static void log_counters(struct counter *counter)
{
    uint64_t counters[COUNTER_COUNT];
    struct log_field fields[COUNTER_COUNT + 2] = {0};
    struct err err;

    if (session_store_counters(counter->collect->store, counters, &err) != ST_OK)
        return;
    for (int i = 0; i < COUNTER_COUNT; i++)
        fields[i] = log_number(session_counter_name((enum session_counter)i), (int64_t)counters[i]);
    fields[COUNTER_COUNT] = log_number("waiting_bytes", (int64_t)ring_used_bytes(counter->collect->ring));
    log_write(&log_events[EV_COLLECTOR_COUNTERS], fields);
}

/* Ended when we are told to, nothing can come any more, and the ring is empty or time is up. */
static bool is_done(const struct counter *counter)
{
    const struct collect *collect = counter->collect;

    if (!atomic_load(&collect->is_stopping))
        return false;
    if (clock_monotonic_ms() >= atomic_load(&collect->deadline_ms))
        return true;
    return atomic_load(&collect->is_receiver_done) && ring_used_bytes(collect->ring) == 0;
}

static bool counter_init(struct counter *counter, struct collect *collect)
{
    *counter = (struct counter){.collect = collect, .aggregate = aggregate_new()};
    arena_init(&counter->arena, DATAGRAM_ARENA_BYTES);
    return counter->aggregate != NULL;
}

static void counter_done(struct counter *counter)
{
    aggregate_free(&counter->aggregate);
    arena_done(&counter->arena);
}

void *collect_count_run(void *argument)
{
    struct collect *collect = argument;
    struct counter counter;
    struct err err;

    if (!counter_init(&counter, collect)) {
        LOG_FACT(EV_FATAL, log_text("reason", "out of memory"));
        return NULL;
    }
    while (!is_done(&counter)) {
        (void)atomic_fetch_add(&collect->count_beats, 1);
        if (atomic_exchange(&collect->wants_counters, false))
            log_counters(&counter);
        if (wait_ms(&counter) == 0)
            (void)do_batch(&counter, &err);
        else
            rest(&counter);
    }
    (void)do_batch(&counter, &err); /* at least the mark */
    atomic_store(&collect->is_counter_done, true);
    counter_done(&counter);
    return NULL;
}

enum status collect_count_all(struct collect *collect, struct err *err)
{
    struct counter counter;
    enum status status = ST_OK;

    if (!counter_init(&counter, collect))
        return err_set(err, ST_NOMEM, "out of memory");
    do
        status = do_batch(&counter, err);
    while (status == ST_OK && ring_used_bytes(collect->ring) > 0);
    counter_done(&counter);
    return status;
}
