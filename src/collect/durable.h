/* SPDX-License-Identifier: MIT */
/*
 * durable.h - what arrived is on the disk after ring_sync: the bound for what a power cut can cost.
 *
 * Twice in that time the main thread asks the counting thread to flush the store with its next batch, which has
 * everything that arrived until then.  If that has not happened at the next tick, because the store is away or
 * slow, the main thread flushes the ring.  So the ring, which changes all the time, is flushed only when it
 * holds what the store does not.
 */
#ifndef COLLECT_DURABLE_H
#define COLLECT_DURABLE_H

#include "threads.h"

/* What the main thread remembers between two ticks. */
struct durable {
    int64_t last_ms;
    uint64_t appended; /* what the ring had at the last tick */
    uint64_t in_ring;  /* of it, flushed with the ring */
    bool is_failing;   /* and that was logged */
};

/* How often durable_tick wants to be called, up to COLLECT_TICK_MS. */
int64_t durable_tick_ms(const struct collector *collector);

/* Called by the main thread. */
void durable_tick(struct collector *collector, struct durable *durable, int64_t now_ms);

/*
 * Called by the counting thread, after a commit: what is committed is flushed.  A failure is logged; the ring
 * still has everything.
 */
void durable_flush_store(struct collector *collector);

#endif
