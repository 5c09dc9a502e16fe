/* SPDX-License-Identifier: MIT */
/*
 * The counting thread: from the ring into the store, a batch at a time (count_batch).
 *
 * 1. gather: take what is in the ring; equal datagrams become one entry of the aggregate with a count
 * 2. settle what is known: entries that an earlier batch decoded add to the rows they added to then
 * 3. decode the others, in a thread of their own some chunks ahead of 4
 * 4. settle what is decoded
 * 5. commit the counts together with the mark and the ring's sequence; flush them to the disk if that was
 *    asked for before 1 (durable.h)
 *
 * If one of them fails, nothing of the batch is stored and the ring still has all of it: after a pause the
 * thread gathers again.
 *
 * A batch is what arrived while the one before was stored, and at most one starts in LINGER_MS unless the
 * ring fills up: a single datagram is stored at once, and thousands cost one commit.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "app/log_events.h"
#include "base/clock.h"
#include "durable.h"
#include "model/utc_day.h"
#include "settle.h"

#define LINGER_MS      50
#define MARK_EVERY_S   20  /* an idle collector moves the mark this often */
#define BACKOFF_MIN_MS 100 /* after a failed batch, doubling */
#define BACKOFF_MAX_MS 5000
#define LOG_EVERY_MS   60000 /* a store that keeps failing is logged this often */

/* ---- 1. gather ---- */

static void gather_refused(struct collect_batch *batch, const struct ring_record *record)
{
    int64_t uid = OTHER_UID;
    uid_t sender;
    size_t i = 0;

    if (record->len == sizeof sender) {
        memcpy(&sender, record->bytes, sizeof sender);
        uid = sender;
    }
    while (i < batch->refused_count && batch->refused[i].uid != uid)
        i++;
    if (i == REFUSED_MAX) {
        i = REFUSED_MAX - 1;
        batch->refused[i].uid = OTHER_UID;
    } else if (i == batch->refused_count) {
        batch->refused[batch->refused_count++] = (struct refused){.uid = uid};
    }
    batch->refused[i].count++;
}

/* False: no room for one more distinct datagram; the batch ends before it. */
static bool gather_record(struct counter *counter, const struct ring_record *record)
{
    struct collect_batch *batch = &counter->batch;
    int64_t arrival_s = record->arrival_ns / 1000000000;

    if (record->kind == RING_REFUSED) {
        gather_refused(batch, record);
    } else if (record->kind == RING_CUT) {
        settle_log_malformed(record, "longer than a datagram may be");
        batch->cut++;
    } else if (!aggregate_add(counter->aggregate, &record->hash, utc_day_of(arrival_s), record->sequence,
                              arrival_s)) {
        return false;
    }
    batch->received++;
    batch->counted_through_s = arrival_s;
    return true;
}

/*
 * Take records until none is left or the batch fills most of the ring.  The mark may then move to the last
 * arrival taken; or to now, if the ring was seen empty while the receiving thread was not stamping datagrams.
 */
static void gather(struct counter *counter)
{
    struct ring *ring = counter->collector->ring;
    int64_t now_s = clock_utc_s();
    bool is_stamping = atomic_load(&counter->collector->is_stamping);
    struct ring_record record;
    enum ring_read read = RING_READ;
    uint64_t begin;

    counter->batch = (struct collect_batch){.counted_through_s = counter->collector->mark.counted_through_s};
    ring_rewind(ring);
    begin = ring_sequence(ring);
    while (ring_sequence(ring) - begin < ring_capacity_bytes(ring) * 3 / 4) {
        read = ring_next(ring, &record);
        if (read == RING_EMPTY)
            break;
        if (read == RING_SKIPPED) {
            counter->batch.corrupt++;
        } else if (!gather_record(counter, &record)) {
            ring_step_back(ring, record.sequence);
            break;
        }
    }
    if (read == RING_EMPTY && !is_stamping)
        counter->batch.counted_through_s = now_s;
}

/* ---- 2. to 5. settle, decode, commit ---- */

static void batch_stored(struct counter *counter)
{
    struct collector *collector = counter->collector;
    const struct collect_batch *batch = &counter->batch;

    ring_free(collector->ring);
    aggregate_end_batch(counter->aggregate);
    (void)atomic_fetch_add_explicit(&collector->stored, batch->stored, memory_order_relaxed);
    (void)atomic_fetch_add_explicit(&collector->malformed, batch->malformed + batch->cut,
                                    memory_order_relaxed);
    if (batch->corrupt > 0)
        LOG_FACT(EV_RING_DAMAGED, log_number("skipped", (int64_t)batch->corrupt));
    if (counter->backoff_ms > 0)
        LOG_FACT(EV_STORE_RECOVERED, log_number("retries", (int64_t)counter->retries));
    counter->backoff_ms = 0;
    counter->retries = 0;
    counter->has_poison = false;
}

/*
 * A datagram at which the second batch in a row fails, though the store works, is the cause: settle_known
 * skips it.
 */
static void note_poison(struct counter *counter, enum status status)
{
    if ((status != ST_INTERNAL && status != ST_NOMEM) || counter->batch.entry == NULL ||
        counter->retries == 0)
        return;
    counter->has_poison = true;
    counter->poison = counter->batch.entry->hash;
}

static void batch_failed(struct counter *counter, enum status status, const struct err *err)
{
    int64_t now_ms = clock_monotonic_ms();

    note_poison(counter, status);
    settle_undo(counter);
    aggregate_clear(counter->aggregate);
    ring_rewind(counter->collector->ring);
    counter->retries++;
    counter->backoff_ms = counter->backoff_ms == 0 ? BACKOFF_MIN_MS : 2 * counter->backoff_ms;
    if (counter->backoff_ms > BACKOFF_MAX_MS)
        counter->backoff_ms = BACKOFF_MAX_MS;
    if (counter->retries > 1 && now_ms - counter->logged_ms < LOG_EVERY_MS)
        return;
    counter->logged_ms = now_ms;
    LOG_FACT(EV_STORE_FAILED, log_text("reason", err->text),
             log_number("waiting_bytes", (int64_t)ring_used_bytes(counter->collector->ring)),
             log_number("retry_ms", counter->backoff_ms));
}

static void end_batch(struct counter *counter, enum status status, const struct err *err)
{
    if (status == ST_OK)
        batch_stored(counter);
    else
        batch_failed(counter, status, err);
    log_sources_end_batch(&counter->logs, status == ST_OK);
    counter->last_batch_ms = clock_monotonic_ms();
    atomic_store(&counter->collector->is_store_away, status != ST_OK);
    ring_prepare(counter->collector->ring);
}

/* The steps at the head of this file. */
static enum status count_batch(struct counter *counter, struct err *err)
{
    bool wants_flush = atomic_exchange(&counter->collector->wants_flush, false);
    enum status status;

    gather(counter);                     /* 1 */
    status = settle_known(counter, err); /* 2 */
    if (status == ST_OK) {
        decoder_start(counter->decoder, counter->collector->ring, counter->aggregate); /* 3 */
        status = settle_decoded(counter, err);                                         /* 4 */
    }
    if (status == ST_OK)
        status = settle_commit(counter, err); /* 5 */
    end_batch(counter, status, err);
    if (status == ST_OK && wants_flush)
        durable_flush_store(counter->collector);
    return status;
}

/* ---- when ---- */

static bool is_mark_old(const struct collector *collector)
{
    int64_t age_s = clock_utc_s() - collector->mark.counted_through_s;

    return age_s >= MARK_EVERY_S || age_s < 0; /* below 0: the clock was set back */
}

/* Time until the next batch; 0: start it now. */
static int64_t wait_ms(const struct counter *counter)
{
    const struct collector *collector = counter->collector;
    int64_t since_ms = clock_monotonic_ms() - counter->last_batch_ms;
    size_t used = ring_used_bytes(collector->ring);
    int64_t pause_ms = counter->backoff_ms > 0 ? counter->backoff_ms : LINGER_MS;

    if (counter->backoff_ms == 0 && (used >= ring_capacity_bytes(collector->ring) / COLLECT_RUSH_SHARE ||
                                     (used > 0 && atomic_load(&collector->is_stopping))))
        return 0;
    if (used == 0 && counter->backoff_ms == 0)
        return is_mark_old(collector) || atomic_load(&collector->wants_flush) ? 0 : COLLECT_TICK_MS;
    return since_ms >= pause_ms ? 0 : pause_ms - since_ms;
}

/*
 * Sleep until the next batch is due or somebody wakes us.  The ring is looked at again after the state is
 * set: what the receiving thread published before it could see the state woke nobody.
 */
static void wait_for_batch(struct counter *counter)
{
    struct collector *collector = counter->collector;
    struct pollfd wakeups = {.fd = collector->wakeup_fd, .events = POLLIN};
    bool is_empty = ring_used_bytes(collector->ring) == 0;
    eventfd_t wakeup_count;
    int64_t ms;

    atomic_store(&collector->rest, is_empty ? REST_ASLEEP : REST_LINGERING);
    ms = wait_ms(counter);
    if (is_empty && ring_used_bytes(collector->ring) > 0)
        ms = 0;
    if (ms > COLLECT_TICK_MS)
        ms = COLLECT_TICK_MS;
    if (ms > 0 && poll(&wakeups, 1, (int)ms) > 0)
        (void)eventfd_read(collector->wakeup_fd, &wakeup_count);
    atomic_store(&collector->rest, REST_AWAKE);
}

void counter_wake(struct collector *collector)
{
    atomic_store(&collector->rest, REST_AWAKE);
    (void)eventfd_write(collector->wakeup_fd, 1);
}

void counter_wake_if_resting(struct collector *collector)
{
    int rest = atomic_load(&collector->rest);

    if (rest == REST_AWAKE)
        return;
    if (rest == REST_LINGERING &&
        ring_used_bytes(collector->ring) < ring_capacity_bytes(collector->ring) / COLLECT_RUSH_SHARE)
        return;
    if (atomic_compare_exchange_strong(&collector->rest, &rest, REST_AWAKE))
        (void)eventfd_write(collector->wakeup_fd, 1);
}

/* ---- the thread ---- */

static void log_counters(struct counter *counter)
{
    uint64_t counters[COUNTER_COUNT];
    struct log_field fields[COUNTER_COUNT + 2] = {0};
    struct err err;

    if (session_reader_counters(session_writer_reader(counter->collector->store), counters, &err) != ST_OK)
        return;
    for (int i = 0; i < COUNTER_COUNT; i++)
        fields[i] = log_number(session_counter_name((enum session_counter)i), (int64_t)counters[i]);
    fields[COUNTER_COUNT] = log_number("waiting_bytes", (int64_t)ring_used_bytes(counter->collector->ring));
    log_write(&log_events[EV_COLLECTOR_COUNTERS], fields);
}

/* After the order to stop: nothing more can arrive and the ring is empty, or the deadline has passed. */
static bool is_done(const struct collector *collector)
{
    if (!atomic_load(&collector->is_stopping))
        return false;
    if (clock_monotonic_ms() >= atomic_load(&collector->deadline_ms))
        return true;
    return atomic_load(&collector->is_receiver_done) && ring_used_bytes(collector->ring) == 0;
}

void *counter_run(void *argument)
{
    struct counter *counter = argument;
    struct collector *collector = counter->collector;
    struct err err;

    while (!is_done(collector)) {
        (void)atomic_fetch_add(&collector->count_beats, 1);
        if (atomic_exchange(&collector->wants_counters, false))
            log_counters(counter);
        if (wait_ms(counter) == 0)
            (void)count_batch(counter, &err);
        else
            wait_for_batch(counter);
    }
    atomic_store(&collector->wants_flush, true);
    (void)count_batch(counter, &err); /* at least the mark */
    return NULL;
}

enum status counter_drain(struct counter *counter, struct err *err)
{
    enum status status;

    do
        status = count_batch(counter, err);
    while (status == ST_OK && ring_used_bytes(counter->collector->ring) > 0);
    return status;
}

struct counter *counter_new(struct collector *collector)
{
    struct counter *counter = calloc(1, sizeof *counter);

    if (counter == NULL)
        return NULL;
    counter->collector = collector;
    counter->aggregate = aggregate_new();
    counter->decoder = decoder_new();
    if (counter->aggregate == NULL || counter->decoder == NULL)
        counter_free(&counter);
    return counter;
}

void counter_free(struct counter **counter)
{
    if (*counter == NULL)
        return;
    decoder_free(&(*counter)->decoder);
    aggregate_free(&(*counter)->aggregate);
    free(*counter);
    *counter = NULL;
}
