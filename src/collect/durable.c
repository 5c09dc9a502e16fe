/* SPDX-License-Identifier: MIT */
#include "durable.h"

#include "app/log_events.h"

#define TICK_SLACK_MS 20 /* a tick that comes so much early counts */

static int64_t interval_ms(const struct collector *collector)
{
    return collector->config->ring_sync_s * 1000 / 2;
}

int64_t durable_tick_ms(const struct collector *collector)
{
    int64_t interval = interval_ms(collector);

    return interval > 0 && interval < COLLECT_TICK_MS ? interval : COLLECT_TICK_MS;
}

static void log_failure(struct durable *durable, enum status status, const struct err *err)
{
    if (status != ST_OK && !durable->is_failing)
        LOG_FACT(EV_RING_UNSAVED, log_text("reason", err->text));
    durable->is_failing = status != ST_OK;
}

/* True: everything that arrived before the last tick is on the disk. */
static bool is_in_time(const struct collector *collector, const struct durable *durable)
{
    return atomic_load(&collector->durable_sequence) >= durable->appended ||
           durable->in_ring >= durable->appended;
}

static void flush_ring(struct collector *collector, struct durable *durable)
{
    uint64_t appended = ring_appended(collector->ring);
    struct err err;
    enum status status = ring_sync(collector->ring, &err);

    log_failure(durable, status, &err);
    if (status == ST_OK)
        durable->in_ring = appended;
}

void durable_tick(struct collector *collector, struct durable *durable, int64_t now_ms)
{
    int64_t interval = interval_ms(collector);
    struct err err;

    if (interval == 0 || now_ms - durable->last_ms + TICK_SLACK_MS < interval) {
        log_failure(durable, ring_catch_up(collector->ring, &err), &err);
        return;
    }
    durable->last_ms = now_ms;
    if (!is_in_time(collector, durable))
        flush_ring(collector, durable);
    durable->appended = ring_appended(collector->ring);
    if (is_in_time(collector, durable))
        return;
    atomic_store(&collector->wants_flush, true);
    counter_wake(collector);
}

void durable_flush_store(struct collector *collector)
{
    struct err err;

    if (collector->config->ring_sync_s == 0)
        return;
    if (session_writer_sync(collector->store, &err) == ST_OK)
        atomic_store(&collector->durable_sequence, collector->mark.ring_sequence);
    else
        LOG_FACT(EV_STORE_UNSAVED, log_text("reason", err.text));
}
