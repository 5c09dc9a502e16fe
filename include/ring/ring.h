/* SPDX-License-Identifier: MIT */
/*
 * ring.h - a queue of datagrams in a mapped file: what lies in it survives the death of the process.
 *
 * One thread appends (the writer), one reads and frees (the reader), without locks or system calls.  A
 * record's place is its sequence number: how many bytes were appended before it since the ring was made.  The
 * reader keeps the sequence up to which it has counted in its store, in the same transaction as the counts,
 * and gives it to ring_open after a restart: so each record is counted exactly once.
 *
 * In the file: a header page, then the data.  Every record has its own sequence, so that what an earlier lap
 * left behind is never taken for a record, and a checksum; damaged ones are skipped and counted.
 *
 * Limits: RING_RECORD_MAX bytes per record; ring sizes RING_SIZE_MIN to RING_SIZE_MAX.
 */
#ifndef RING_RING_H
#define RING_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/keyed_hash.h"

#define RING_RECORD_MAX (256 * 1024)
#define RING_SIZE_MIN   (1024 * 1024)
#define RING_SIZE_MAX   (1024L * 1024 * 1024)
#define RING_OWNER_SIZE 33 /* 32 characters and NUL */

enum ring_kind {
    RING_DATAGRAM = 1, /* bytes are a datagram */
    RING_CUT,          /* bytes are the begin of one that was too long */
    RING_REFUSED,      /* bytes are the user id (uid_t) of a sender that is not allowed */
};

struct ring_record {
    uint64_t sequence; /* where it lies */
    enum ring_kind kind;
    int64_t arrival_ns; /* UTC */
    const char *bytes;  /* in the ring: until ring_free reaches it */
    size_t len;
    struct hash hash; /* of bytes, with the ring's own random key */
};

struct ring;

/* What the store knows about its ring. */
struct ring_position {
    uint64_t sequence; /* everything before it is counted */
    uint64_t dropped;  /* dropped records that are counted */
};

/*
 * Open the ring at path, or make one of size bytes (rounded to pages).  owner names the store it belongs to.
 * The file's blocks are allocated, so that a full disk cannot hurt later.  Reading begins at from->sequence;
 * where that is not in the ring (the store is older than the ring or newer), reading begins at what there is.
 * ST_DENIED       the ring belongs to another store; err says what to do
 * ST_UNSUPPORTED  its records were written by a newer program, and some wait in it
 * ST_FULL         no room for the file
 * ST_IO, ST_NOMEM
 */
MUST_CHECK enum status ring_open(const char *path, size_t size, const char *owner,
                                 const struct ring_position *from, struct ring **ring_out, struct err *err);

/* Unmap and close; the file stays. */
void ring_close(struct ring **ring);

/* Was the ring found with another size or version than would be made now?  Then read it to its end and call
 * ring_remake. */
bool ring_is_outdated(const struct ring *ring);

/*
 * Replace the ring, which the reader has read and freed to its end, by a new one with the same sequence.
 * Before the writer's thread starts.  On failure the old one is still there.
 * ST_BUSY  it is not empty;  ST_FULL, ST_IO, ST_NOMEM
 */
MUST_CHECK enum status ring_remake(struct ring *ring, struct err *err);

/* What a ring holds, for somebody who only looks. */
struct ring_level {
    uint64_t used_bytes;
    uint64_t capacity_bytes;
    uint64_t dropped;
};

/* Look at the ring at path, whoever works with it.  ST_NOT_FOUND, ST_IO, ST_UNSUPPORTED (no ring that we
 * know). */
MUST_CHECK enum status ring_read_level(const char *path, struct ring_level *level_out, struct err *err);

/* ---- the writer ---- */

/* Append a record; the reader can see it at once.  False: no room; nothing was written. */
MUST_CHECK bool ring_append(struct ring *ring, enum ring_kind kind, const void *bytes, size_t len,
                            int64_t arrival_ns);

/* Count records that found no room. */
void ring_drop(struct ring *ring, uint64_t count);

/* After appending, before looking whether the reader rests: a reader that said so before it looked at the
 * ring for the last time has seen everything. */
void ring_publish(struct ring *ring);

/* ---- the reader ---- */

enum ring_read {
    RING_READ,    /* *record_out is filled */
    RING_EMPTY,   /* nothing more is there now */
    RING_SKIPPED, /* damaged bytes were stepped over; call again */
};

/* The next record; does not free it. */
MUST_CHECK enum ring_read ring_next(struct ring *ring, struct ring_record *record_out);

/* A record that ring_next gave before, by its sequence; not freed yet. */
void ring_get(const struct ring *ring, uint64_t sequence, struct ring_record *record_out);

/* Sequence of what ring_next gives next. */
uint64_t ring_sequence(const struct ring *ring);

/* Give the record at this sequence, the last one read, again. */
void ring_step_back(struct ring *ring, uint64_t sequence);

/* Read again from the first record not freed. */
void ring_rewind(struct ring *ring);

/* Everything that ring_next gave so far is counted: the writer may use its room. */
void ring_free(struct ring *ring);

/* Make the next pages writable ahead of the writer, so that it does not wait for the file system. */
void ring_prepare(struct ring *ring);

/* ---- either ---- */

size_t ring_used_bytes(const struct ring *ring);     /* appended and not freed */
size_t ring_capacity_bytes(const struct ring *ring); /* room for records in all */
uint64_t ring_dropped(const struct ring *ring);      /* since the ring was made */
size_t ring_high_water(const struct ring *ring);     /* most bytes that ever waited, by the writer's view */

#endif
