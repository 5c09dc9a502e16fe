/* SPDX-License-Identifier: MIT */
/*
 * aggregate.h - count datagrams by their bytes: each distinct one is decoded once, its equals cost a lookup.
 *
 * In:     hashes of datagrams (base/keyed_hash.h) and the UTC day of their arrival.
 * Out:    for each distinct pair how often it came in this batch, and what the caller learned about it, which
 *         is kept between batches.
 * Limits: AGGREGATE_MAX distinct entries; a table that is more than half full is emptied between batches.
 */
#ifndef AGGREGATE_AGGREGATE_H
#define AGGREGATE_AGGREGATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/keyed_hash.h"
#include "model/tally.h"

#define AGGREGATE_MAX 131072

enum aggregate_state {
    AGGREGATE_NEW,       /* must be decoded: not decoded yet, or it has no plan */
    AGGREGATE_PLANNED,   /* plan has the rows it adds to */
    AGGREGATE_MALFORMED, /* cannot be decoded */
    AGGREGATE_LATE,      /* its day is too old */
    AGGREGATE_NOTHING,   /* valid, but without a session result */
};

struct aggregate_entry {
    struct hash hash;
    uint64_t sequence;      /* of the first one of this batch in the ring */
    int64_t last_arrival_s; /* of this batch */
    int32_t arrival_day;
    uint32_t count;           /* in this batch */
    uint32_t next;            /* of the entries counted in this batch; private */
    uint8_t state;            /* enum aggregate_state */
    bool is_repaired;         /* invalid UTF-8 was replaced */
    uint8_t dropped_policies; /* of an unknown type */
    struct tally_plan plan;   /* AGGREGATE_PLANNED */
};

struct aggregate;

MUST_CHECK struct aggregate *aggregate_new(void); /* NULL: out of memory */
void aggregate_free(struct aggregate **aggregate);

/* Count one datagram.  False: out of memory or the table is full; nothing was counted. */
MUST_CHECK bool aggregate_add(struct aggregate *aggregate, const struct hash *hash, int32_t arrival_day,
                              uint64_t sequence, int64_t arrival_s);

/* The entries of this batch, in no particular order; NULL at the end. */
struct aggregate_entry *aggregate_first(struct aggregate *aggregate);
struct aggregate_entry *aggregate_next(struct aggregate *aggregate, const struct aggregate_entry *entry);

/* End the batch: all counts become zero; states and plans are kept while there is room. */
void aggregate_end_batch(struct aggregate *aggregate);

/* Forget everything (after a rollback, which makes plans invalid). */
void aggregate_clear(struct aggregate *aggregate);

#endif
