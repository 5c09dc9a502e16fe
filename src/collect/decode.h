/* SPDX-License-Identifier: MIT */
/*
 * decode.h - decode the new datagrams of a batch, with a second thread some chunks ahead of the caller.
 *
 * In:     the entries of an aggregate whose state is AGGREGATE_NEW, and their records in the ring.
 * Out:    each of them decoded, in the aggregate's order.
 * Limits: DECODE_CHUNKS chunks of at most DECODE_CHUNK_ITEMS datagrams and about DECODE_CHUNK_BYTES bytes.
 */
#ifndef COLLECT_DECODE_H
#define COLLECT_DECODE_H

#include "aggregate/aggregate.h"
#include "model/session_result.h"
#include "ring/ring.h"

#define DECODE_CHUNKS      4 /* one is being settled */
#define DECODE_CHUNK_ITEMS 256
#define DECODE_CHUNK_BYTES ((size_t)128 * 1024) /* of datagrams; a chunk ends with the one that reaches it */
#define DECODE_REASON_SIZE 120

struct decoded {
    struct aggregate_entry *entry;
    struct ring_record record;
    enum status status;              /* as datagram_decode or exim_line_decode */
    struct session_result result;    /* status is ST_OK */
    char reason[DECODE_REASON_SIZE]; /* status is not ST_OK */
};

struct decoder;

/* If no thread can be had, the caller's thread decodes everything.  NULL: out of memory. */
MUST_CHECK struct decoder *decoder_new(void);
void decoder_free(struct decoder **decoder);

/*
 * Begin with a batch.  Until decoder_next returns NULL or decoder_stop, the ring must keep its records, and
 * the caller changes no entry but those that decoder_next gave.
 */
void decoder_start(struct decoder *decoder, const struct ring *ring, struct aggregate *aggregate);

/* The next one, valid until the next call; NULL: that was all. */
struct decoded *decoder_next(struct decoder *decoder);

/* Drop the rest of the batch. */
void decoder_stop(struct decoder *decoder);

#endif
