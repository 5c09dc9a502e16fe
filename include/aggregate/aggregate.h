/* SPDX-License-Identifier: MIT */
/*
 * aggregate.h - count datagrams by their bytes: each distinct one is decoded once, its equals cost a look-up.
 *
 * In: fingerprints of datagrams (base/keyed_hash.h) and the UTC day of their arrival.  Out: for each distinct
 * pair how often it came in this batch, and what the caller found out about it, kept over batches.
 * The table is open addressing by the fingerprint's own bits, which are random to everybody outside.
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
    AGGREGATE_NEW,       /* nothing is known, or too much for a plan: decode it */
    AGGREGATE_PLANNED,   /* plan says what it adds to */
    AGGREGATE_MALFORMED, /* it is no outcome */
    AGGREGATE_LATE,      /* it is for a day that is too old */
    AGGREGATE_NOTHING,   /* it tells no outcome, and need not */
};

struct aggregate_entry {
    struct hash hash;
    uint64_t sequence;      /* where the first of this batch lies in the ring */
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

/* The entries of this batch, in no order that means anything; NULL at the end. */
struct aggregate_entry *aggregate_first(struct aggregate *aggregate);
struct aggregate_entry *aggregate_next(struct aggregate *aggregate, const struct aggregate_entry *entry);

/* How many different datagrams are known, this batch's and older ones. */
size_t aggregate_size(const struct aggregate *aggregate);

/* The batch is done with: all counts are zero again, what is known is kept while there is room for it. */
void aggregate_end_batch(struct aggregate *aggregate);

/* Forget everything (after a rollback, which made the plans invalid). */
void aggregate_clear(struct aggregate *aggregate);

#endif
