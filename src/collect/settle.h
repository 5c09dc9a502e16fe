/* SPDX-License-Identifier: MIT */
/*
 * settle.h - the steps that put one batch into the store, in the order in which count.c calls them.
 */
#ifndef COLLECT_SETTLE_H
#define COLLECT_SETTLE_H

#include "aggregate/aggregate.h"
#include "decode.h"
#include "logs.h"
#include "threads.h"

#define REFUSED_MAX     16 /* user ids counted separately in one batch; others count as OTHER_UID */
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

/* What one batch adds besides the aggregate's entries. */
struct collect_batch {
    uint64_t received;
    uint64_t cut;     /* datagrams that were too long */
    uint64_t corrupt; /* damaged places in the ring */
    struct refused refused[REFUSED_MAX];
    size_t refused_count;
    int64_t counted_through_s; /* the mark, once the batch is stored */

    /* settling */
    struct closed_day closed_days[CLOSED_DAYS_MAX];
    size_t closed_day_count;
    const struct aggregate_entry *entry; /* being settled; NULL: none */
    uint64_t stored, malformed;
};

struct counter {
    struct collector *collector;
    struct aggregate *aggregate;
    struct decoder *decoder;
    struct log_sources logs;
    struct collect_batch batch;
    int64_t last_batch_ms; /* when the last one ended */

    /* failures */
    int64_t backoff_ms; /* 0: the last batch was stored */
    int64_t logged_ms;
    uint64_t retries;
    bool is_newer_logged; /* that a datagram of a newer format came was logged */
    bool has_poison;      /* a datagram that the store refuses although the store works */
    struct hash poison;
};

/* Log a datagram that counts as malformed. */
void settle_log_malformed(const struct ring_record *record, const char *reason);

/*
 * The next three return the statuses that session_writer.h gives for all its functions.  On failure
 * batch.entry is the datagram at which it happened, or NULL, and settle_undo must follow.
 */

/*
 * Begin the transaction, and count the entries that an earlier batch decoded.  The others are AGGREGATE_NEW.
 */
MUST_CHECK enum status settle_known(struct counter *counter, struct err *err);

/* Count what the decoder gives until it has no more. */
MUST_CHECK enum status settle_decoded(struct counter *counter, struct err *err);

/* Add the batch's own counters, the log readers' numbers, the mark and the ring's sequence, and commit. */
MUST_CHECK enum status settle_commit(struct counter *counter, struct err *err);

/* Roll back; every plan in the aggregate is invalid then. */
void settle_undo(struct counter *counter);

#endif
