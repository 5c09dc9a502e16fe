/* SPDX-License-Identifier: MIT */
/*
 * collect_decode.h - decode datagrams in a thread of its own, one chunk ahead of the store.
 *
 * Where each datagram is a new one, decoding takes as long as storing: two processors do both at once.
 */
#ifndef CMD_COLLECT_DECODE_H
#define CMD_COLLECT_DECODE_H

#include "aggregate/aggregate.h"
#include "base/arena.h"
#include "model/event.h"
#include "ring/ring.h"

#define DECODE_JOBS_MAX    256
#define DECODE_BYTES_MAX   ((size_t)128 * 1024) /* of a chunk's datagrams, unless a single one is longer */
#define DECODE_REASON_SIZE 120

struct decode_job {
    struct aggregate_entry *entry;
    struct ring_record record;

    enum status status;              /* as datagram_decode or exim_line_decode */
    struct event event;              /* ST_OK; lives in the chunk's arena */
    char reason[DECODE_REASON_SIZE]; /* not ST_OK */
};

struct decode_chunk {
    struct decode_job jobs[DECODE_JOBS_MAX];
    size_t count;
    size_t bytes;
    struct arena arena;
};

struct decoder;

/* Starts the thread; NULL if that cannot be. */
MUST_CHECK struct decoder *decoder_new(void);
void decoder_free(struct decoder **decoder);

/* Let the thread decode chunk, which is its own until decoder_wait; at most one at a time. */
void decoder_start(struct decoder *decoder, struct decode_chunk *chunk);

/* Wait until it is decoded. */
void decoder_wait(struct decoder *decoder);

void decode_chunk_init(struct decode_chunk *chunk);
void decode_chunk_done(struct decode_chunk *chunk);

/* Empty it. */
void decode_chunk_reset(struct decode_chunk *chunk);

/* Put one more datagram in; the record's bytes are borrowed. */
void decode_chunk_add(struct decode_chunk *chunk, struct aggregate_entry *entry,
                      const struct ring_record *record);
bool decode_chunk_is_full(const struct decode_chunk *chunk);

/* Decode it here and now. */
void decode_chunk_run(struct decode_chunk *chunk);

#endif
