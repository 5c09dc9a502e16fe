/* SPDX-License-Identifier: MIT */
/*
 * ring.h - a queue of datagrams in a mapped file: its records survive the death of the process, and those
 * before ring_sync a power cut.
 *
 * One thread appends (the writer), one reads and frees (the reader), without locks or system calls.  A
 * record's sequence is the number of bytes appended before it since the ring was made.  The reader commits
 * the sequence up to which it has counted in the same transaction as the counts, and passes it to ring_open
 * after a restart: so each record is counted exactly once.
 *
 * In:     bytes, their kind and their time of arrival.
 * Out:    the same in order, with a keyed hash of the bytes.
 * Limits: RING_RECORD_MAX bytes per record; the setting ring_size is the file's size.
 */
#ifndef RING_RING_H
#define RING_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/keyed_hash.h"

#define RING_RECORD_MAX (256 * 1024)
#define RING_OWNER_SIZE 33 /* 32 characters and NUL */

enum ring_kind {
    RING_DATAGRAM = 1, /* bytes are a datagram */
    RING_CUT,          /* bytes are the start of one that was too long */
    RING_REFUSED,      /* bytes are the user id (uid_t) of a sender that is not allowed */
};

struct ring_record {
    uint64_t sequence; /* its position */
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
 * The file's blocks are allocated at once, so a disk that fills up later does no harm.  Reading begins at
 * from->sequence; if the ring does not have that (the store is older or newer), at the oldest record.
 * A file that cannot be used, because it is damaged or belongs to another store, is renamed and a new ring made:
 * see ring_set_aside_reason.
 * ST_UNSUPPORTED  a newer program wrote its records, and some are not counted
 * ST_FULL         no room for the file
 * ST_IO
 * ST_NOMEM
 */
MUST_CHECK enum status ring_open(const char *path, size_t size, const char *owner,
                                 const struct ring_position *from, struct ring **ring_out, struct err *err);

/* Unmap; the file stays. */
void ring_close(struct ring **ring);

/* Why ring_open renamed the file that was there to "PATH.unreadable-1"; "" if it did not. */
const char *ring_set_aside_reason(const struct ring *ring);

/* Has the file another size or version than ring_open would make now?  Then read all and call ring_remake. */
bool ring_is_outdated(const struct ring *ring);

/*
 * Replace an empty ring by a new one that continues its sequence.  Before the writer's thread starts.  On
 * failure the old one is unchanged.
 * ST_BUSY   it is not empty
 * ST_FULL   no room for the file
 * ST_IO
 * ST_NOMEM
 */
MUST_CHECK enum status ring_remake(struct ring *ring, struct err *err);

/* How full a ring is. */
struct ring_level {
    uint64_t used_bytes;
    uint64_t capacity_bytes;
    uint64_t dropped;
};

/*
 * Read the level of the ring at path, without disturbing a collector that uses it.
 * ST_NOT_FOUND
 * ST_DENIED     the file is no ring
 * ST_IO
 */
MUST_CHECK enum status ring_read_level(const char *path, struct ring_level *level_out, struct err *err);

/* ---- the writer ---- */

/* Append a record; the reader can see it at once.  False: no room; nothing was written. */
MUST_CHECK bool ring_append(struct ring *ring, enum ring_kind kind, const void *bytes, size_t len,
                            int64_t arrival_ns);

/* Count records that found no room. */
void ring_drop(struct ring *ring, uint64_t count);

/*
 * Call it after appending and before looking whether the reader sleeps: a reader that announces its sleep and
 * then looks at the ring again has seen every record.
 */
void ring_publish(struct ring *ring);

/* ---- the reader ---- */

enum ring_read {
    RING_READ,    /* *record_out is filled */
    RING_EMPTY,   /* no more for now */
    RING_SKIPPED, /* damaged bytes were skipped; call again */
};

/* The next record; does not free it. */
MUST_CHECK enum ring_read ring_next(struct ring *ring, struct ring_record *record_out);

/* Read again a record that ring_next gave and ring_free did not free. */
void ring_get(const struct ring *ring, uint64_t sequence, struct ring_record *record_out);

/* The sequence up to which ring_next has read. */
uint64_t ring_sequence(const struct ring *ring);

/* Undo the last ring_next, which gave the record at this sequence. */
void ring_step_back(struct ring *ring, uint64_t sequence);

/* Read again from the first record not freed. */
void ring_rewind(struct ring *ring);

/* Free all records that ring_next gave: the writer may use their room. */
void ring_free(struct ring *ring);

/* Make the pages ahead of the writer writable, so that the writer does not wait for the file system. */
void ring_prepare(struct ring *ring);

/* ---- the main thread ---- */

/*
 * From time to time: write to the file what the writer had to leave, because the disk is slow or full.
 * ST_FULL
 * ST_IO
 */
MUST_CHECK enum status ring_catch_up(struct ring *ring, struct err *err);

/*
 * Flush to the disk what was appended so far: it survives a power cut.
 * ST_FULL
 * ST_IO
 */
MUST_CHECK enum status ring_sync(struct ring *ring, struct err *err);

/* ---- any thread ---- */

uint64_t ring_appended(const struct ring *ring); /* sequence behind the last record */

size_t ring_used_bytes(const struct ring *ring);     /* appended and not freed */
size_t ring_capacity_bytes(const struct ring *ring); /* room for records */
uint64_t ring_dropped(const struct ring *ring);      /* since the ring was made */
size_t ring_high_water(const struct ring *ring);     /* the most that was ever used, as the writer saw it */

#endif
