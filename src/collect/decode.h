/* SPDX-License-Identifier: MIT */
/*
 * collect_decode.h - decode datagrams in a thread of its own, some chunks ahead of the store.
 *
 * Where each datagram is a new one, decoding takes as long as storing: two processors do both at once.  Who
 * has to wait for a chunk decodes another one meanwhile.
 */
#ifndef COLLECT_DECODE_H
#define COLLECT_DECODE_H

#include "aggregate/aggregate.h"
#include "base/arena.h"
#include "model/session_result.h"
#include "ring/ring.h"

#define DECODE_JOBS_MAX    256
#define DECODE_BYTES_MAX   ((size_t)128 * 1024) /* of a chunk's datagrams, unless a single one is longer */
#define DECODE_REASON_SIZE 120
#define DECODE_CHUNKS      5

struct decode_job {
    struct aggregate_entry *entry;
    struct ring_record record;

    enum status status;              /* as datagram_decode or exim_line_decode */
    struct session_result result;    /* ST_OK; lives in the chunk's arena */
    char reason[DECODE_REASON_SIZE]; /* not ST_OK */
};

enum decode_state {
    DECODE_FILLING,
    DECODE_QUEUED,
    DECODE_RUNNING,
    DECODE_DONE,
};

struct decode_chunk {
    struct decode_job jobs[DECODE_JOBS_MAX];
    size_t count;
    size_t bytes;
    struct arena arena;
    enum decode_state state; /* under the line's lock, but for the chunk that is being filled */
};

/* The chunks, in the order in which they were filled, and the thread that decodes them. */
struct decode_line;

/* Without a thread, if none can be had; NULL: out of memory. */
MUST_CHECK struct decode_line *decode_line_new(void);
void decode_line_free(struct decode_line **line);

/* Put one more datagram into the chunk that is being filled; the record's bytes are borrowed. */
void decode_line_add(struct decode_line *line, struct aggregate_entry *entry,
                     const struct ring_record *record);

/* Does the chunk that is being filled take no more? */
bool decode_line_is_full(const struct decode_line *line);

/* Let the full chunk be decoded, and begin another.  Only while decode_line_has_room. */
void decode_line_push(struct decode_line *line);
bool decode_line_has_room(const struct decode_line *line);

/*
 * The oldest chunk that was pushed, decoded, now the caller's until the next take; when all were taken the
 * one that is being filled, if it holds anything; else NULL.
 */
struct decode_chunk *decode_line_take(struct decode_line *line);

/* Drop everything. */
void decode_line_forget(struct decode_line *line);

#endif
