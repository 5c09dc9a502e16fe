/* SPDX-License-Identifier: MIT */
/*
 * collect_batch.h - the counting thread's batch: collect_count.c gathers and commits it, collect_settle.c
 * puts it into the store.
 */
#ifndef COLLECT_BATCH_H
#define COLLECT_BATCH_H

#include "aggregate/aggregate.h"
#include "collect/collect.h"
#include "decode.h"
#include "logs.h"

#define REFUSED_MAX     16 /* user ids told apart in one batch; others count as OTHER_UID */
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
    struct decode_line *decoding;
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
    bool is_newer_noted; /* that datagrams of a newer format come was logged */
    bool has_poison;     /* a datagram that the store cannot take and that is not the store's fault */
    struct hash poison;

    int64_t last_commit_ms;
};

/* Log it, and nothing else. */
void collect_log_malformed(const struct ring_record *record, const char *reason);

/*
 * One transaction: decode what is new, add every count, move the mark and the ring's sequence; collect->mark
 * is what was committed.  On failure nothing is stored, and counter->entry is the datagram at which it
 * failed, or NULL.
 */
MUST_CHECK enum status collect_settle(struct counter *counter, struct err *err);

#endif
