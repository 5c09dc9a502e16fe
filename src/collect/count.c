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
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "app/log_events.h"
#include "base/clock.h"
#include "batch.h"
#include "model/utc_day.h"

#define LINGER_MS      50
#define MARK_EVERY_S   20  /* how often an idle collector moves the mark */
#define BACKOFF_MIN_MS 100 /* after a failed batch, doubling */
#define BACKOFF_MAX_MS 5000
#define SAY_EVERY_MS   60000 /* a store that stays away is logged that often */

/* ---- 1. gather ---- */

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
        collect_log_malformed(record, "longer than a datagram may be");
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
 * Take records until none is left or the batch fills most of the ring.  The mark may then be moved to the
 * last arrival taken; or to now, if the ring was seen empty at a time when the receiving thread had nothing
 * in hand.
 */
static void gather(struct counter *counter)
{
    struct ring *ring = counter->collect->ring;
    int64_t now_s = clock_utc_s();
    bool is_in_hand = atomic_load(&counter->collect->is_stamping);
    struct ring_record record;
    enum ring_read read = RING_READ;

    begin_batch(counter);
    while (ring_sequence(ring) - counter->begin_sequence < ring_capacity_bytes(ring) * 3 / 4) {
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

/* ---- 3. committed, or failed ---- */

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
    status = collect_settle(counter, err);
    log_sources_end_batch(&counter->logs, status == ST_OK);
    counter->last_commit_ms = clock_monotonic_ms();
    if (status == ST_OK)
        batch_stored(counter);
    else
        batch_failed(counter, status, err);
    atomic_store(&counter->collect->is_store_away, status != ST_OK);
    ring_prepare(counter->collect->ring);
    return status;
}

/* ---- the thread ---- */

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

    if (counter->backoff_ms == 0 && (used >= ring_capacity_bytes(collect->ring) / COLLECT_RUSH_SHARE ||
                                     (used > 0 && atomic_load(&collect->is_stopping))))
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
    struct pollfd wakeups = {.fd = collect->wakeup_fd, .events = POLLIN};
    bool is_empty = ring_used_bytes(collect->ring) == 0;
    eventfd_t rings;
    int64_t ms;

    atomic_store(&collect->rest, is_empty ? REST_ASLEEP : REST_LINGERING);
    ms = wait_ms(counter);
    if (is_empty && ring_used_bytes(collect->ring) > 0)
        ms = 0;
    if (ms > COLLECT_TICK_MS)
        ms = COLLECT_TICK_MS;
    if (ms > 0 && poll(&wakeups, 1, (int)ms) > 0)
        (void)eventfd_read(collect->wakeup_fd, &rings);
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
    *counter =
        (struct counter){.collect = collect, .aggregate = aggregate_new(), .decoding = decode_line_new()};
    return counter->aggregate != NULL && counter->decoding != NULL;
}

static void counter_done(struct counter *counter)
{
    decode_line_free(&counter->decoding);
    aggregate_free(&counter->aggregate);
}

void *collect_count_run(void *argument)
{
    struct collect *collect = argument;
    struct counter counter;
    struct err err;

    if (!counter_init(&counter, collect)) {
        LOG_FACT(EV_FATAL, log_text("reason", "out of memory"));
        counter_done(&counter);
        (void)kill(getpid(), SIGTERM);
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

    if (!counter_init(&counter, collect)) {
        counter_done(&counter);
        return err_set(err, ST_NOMEM, "out of memory");
    }
    do
        status = do_batch(&counter, err);
    while (status == ST_OK && ring_used_bytes(collect->ring) > 0);
    counter_done(&counter);
    return status;
}
