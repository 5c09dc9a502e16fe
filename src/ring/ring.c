/* SPDX-License-Identifier: MIT */
/*
 * The file is a header page and then the data, which the writer fills in laps.  A record lies at its sequence
 * modulo the capacity and never crosses the end of a lap: a PAD record fills what is left.
 *
 * The header's head and tail are sequences: records between them are not counted yet.  Only the writer moves
 * head, after the record is complete; only the reader moves tail.  Each side keeps copies of its own, because
 * reading what the other side writes costs a cache miss.
 *
 * Every record has its own sequence and a checksum, so remains of an earlier lap are never taken for a
 * record.  After a crash ring_open compares head and tail with the store's sequence (set_positions), and the
 * reader checks the bytes of records that an earlier process wrote; damaged ones are skipped and reported.
 *
 * Where the file cannot be written through the mapping (ring_file.h), ring_publish writes what was appended.
 * If that fails or takes long (a full disk on btrfs), is_lazy hands the task to the main thread, until a write
 * is quick again.
 */
#include "ring/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "ring_file.h"

#define HEADER_BYTES  4096
#define VERSION       1 /* of the header */
#define RECORD_FORMAT 1 /* of the records */
#define PAD           0 /* kind of a record that fills the rest of a lap */
#define ALIGNMENT     8
#define PREPARE_SHARE 4 /* a quarter of the ring is kept ready to be written */
#define SLOW_MS       5 /* a write that takes longer is slow */
#define SLOW_WRITES   8 /* after so many in a row they are left to ring_catch_up */

static const char MAGIC[8] = "TLSRPTq";

/* The file's first page. */
struct ring_header {
    char magic[8];
    uint32_t version;
    uint32_t record_format;
    uint64_t capacity;
    char owner[40];
    struct hash_key key;
    _Atomic uint64_t head;    /* end of the last record; written by the writer */
    _Atomic uint64_t dropped; /* likewise */
    _Atomic uint64_t high_water;
    alignas(64) _Atomic uint64_t tail; /* first record not freed; written by the reader */
};

struct record_header {
    uint64_t sequence; /* its own */
    int64_t arrival_ns;
    uint32_t len;
    uint32_t kind;
    struct hash hash; /* of the bytes that follow */
    uint64_t check;   /* of the fields above */
};

struct ring {
    struct ring_file file;
    struct ring_header *header; /* in it */
    char *data;                 /* in it */
    uint64_t capacity;
    char path[PATH_MAX];
    char set_aside[ERR_TEXT_MAX]; /* why the ring that was there could not be used; "": it could */
    /* not shared: records before written are in the file; the writer's, but while is_lazy ring_sync's */
    uint64_t written;
    unsigned slow_writes;
    _Atomic bool is_lazy;
    size_t wanted_size;        /* of the file that would be made now */
    uint64_t verified;         /* records before this sequence are an earlier process's: check their bytes */
    alignas(64) uint64_t head; /* the writer's own copy */
    alignas(64) uint64_t next; /* the reader's */
    uint64_t seen_head;        /* the reader's copy of head */
    uint64_t prepared;         /* pages before it are writable; the reader's */
};

static size_t round_up(size_t value, size_t unit)
{
    return (value + unit - 1) / unit * unit;
}

static uint64_t span_of(size_t len)
{
    return sizeof(struct record_header) + round_up(len, ALIGNMENT);
}

static struct record_header *record_at(const struct ring *ring, uint64_t sequence)
{
    return (struct record_header *)(void *)(ring->data + sequence % ring->capacity);
}

static uint64_t room_to_end(const struct ring *ring, uint64_t sequence)
{
    return ring->capacity - sequence % ring->capacity;
}

/* Against damage, not against forgery: each field is spread by its own odd factor. */
static uint64_t check_of(const struct record_header *record)
{
    uint64_t check = record->sequence * 0x9E3779B97F4A7C15;

    check = (check ^ (uint64_t)record->arrival_ns) * 0xBF58476D1CE4E5B9;
    check = (check ^ ((uint64_t)record->len << 32 | record->kind)) * 0x94D049BB133111EB;
    check ^= check >> 31;
    return (check ^ record->hash.words[0] ^ record->hash.words[1]) * 0x9E3779B97F4A7C15;
}

/* ---- a file that is not shared ---- */

/* The reader and the writer may both do this: at worst a field is as old as a moment ago. */
static enum status write_header(const struct ring *ring, struct err *err)
{
    const struct ring_header *header = ring->header;
    struct ring_header copy;

    memset(&copy, 0, sizeof copy);
    memcpy(&copy, header, offsetof(struct ring_header, head));
    atomic_store(&copy.head, atomic_load(&header->head));
    atomic_store(&copy.dropped, atomic_load(&header->dropped));
    atomic_store(&copy.high_water, atomic_load(&header->high_water));
    atomic_store(&copy.tail, atomic_load(&header->tail));
    return ring_file_write(&ring->file, 0, &copy, sizeof copy, err);
}

/* Write the records that are not in the file yet, then the header.  Freed ones are of no use there. */
static enum status write_back(struct ring *ring, struct err *err)
{
    uint64_t head = atomic_load(&ring->header->head), tail = atomic_load(&ring->header->tail);
    enum status status = ST_OK;

    if (ring->written < tail)
        ring->written = tail;
    while (status == ST_OK && ring->written < head) {
        uint64_t room = room_to_end(ring, ring->written);
        size_t len = (size_t)(head - ring->written < room ? head - ring->written : room);
        size_t offset = (size_t)(ring->written % ring->capacity);

        status = ring_file_write(&ring->file, HEADER_BYTES + offset, ring->data + offset, len, err);
        if (status == ST_OK)
            ring->written += len;
    }
    return status == ST_OK ? write_header(ring, err) : status;
}

/* False if it failed, or if SLOW_WRITES in a row were slow: then the writer must not do it, because datagrams do
 * not wait for a disk. */
static bool write_back_quickly(struct ring *ring)
{
    int64_t begin_ms = clock_monotonic_ms();

    if (write_back(ring, NULL) != ST_OK)
        return false;
    ring->slow_writes = clock_monotonic_ms() - begin_ms < SLOW_MS ? 0 : ring->slow_writes + 1;
    return ring->slow_writes < SLOW_WRITES;
}

/* ---- making and opening ---- */

/* keeps_old: as for ring_file_create. */
static enum status make_file(const char *path, size_t size, const char *owner,
                             const struct ring_position *from, bool keeps_old, struct err *err)
{
    struct ring_header header;

    memset(&header, 0, sizeof header); /* the padding too: it goes to a file */
    header.version = VERSION;
    header.record_format = RECORD_FORMAT;
    header.capacity = size - HEADER_BYTES;
    header.key = hash_key_new();
    header.head = from->sequence;
    header.dropped = from->dropped;
    header.tail = from->sequence;
    memcpy(header.magic, MAGIC, sizeof header.magic);
    (void)snprintf(header.owner, sizeof header.owner, "%s", owner);
    return ring_file_create(path, size, &header, sizeof header, keeps_old, err);
}

static enum status not_a_ring(const char *path, struct err *err)
{
    return err_set(err, ST_DENIED, "%s is not a ring of tlsrpt-gen-collect", path);
}

static enum status open_file(struct ring *ring, struct err *err)
{
    enum status status = ring_file_open(ring->path, HEADER_BYTES + RING_RECORD_MAX, &ring->file, err);

    if (status == ST_RANGE)
        return not_a_ring(ring->path, err);
    if (status != ST_OK)
        return status;
    ring->header = (struct ring_header *)(void *)ring->file.memory;
    ring->data = ring->file.memory + HEADER_BYTES;
    ring->capacity = ring->file.size - HEADER_BYTES;
    return ST_OK;
}

static enum status check_header(const struct ring *ring, const char *owner, struct err *err)
{
    const struct ring_header *header = ring->header;

    if (memcmp(header->magic, MAGIC, sizeof MAGIC) != 0 || header->capacity != ring->capacity ||
        header->capacity % ALIGNMENT != 0)
        return not_a_ring(ring->path, err);
    if (strncmp(header->owner, owner, sizeof header->owner) != 0)
        return err_set(err, ST_DENIED,
                       "ring %s belongs to another store (its id is %.32s, the store's is %.32s)", ring->path,
                       header->owner, owner);
    if (header->record_format != RECORD_FORMAT && atomic_load(&header->head) != atomic_load(&header->tail))
        return err_set(
            err, ST_UNSUPPORTED,
            "ring %s holds records of an unknown format %u; start the version of tlsrpt-gen-collect "
            "that wrote it once, so that it counts them",
            ring->path, header->record_format);
    return ST_OK;
}

/*
 * Where to continue.  The store is right about what is counted, the ring about what was appended:
 * 1. the ring ends before the store's sequence (the power failed before its pages were written), or its
 *    header makes no sense: there are no records; continue at the store's sequence
 * 2. the store's sequence has been overwritten (an old store was restored): read what the ring still has
 * 3. otherwise: read from the store's sequence on
 */
static void set_positions(struct ring *ring, const struct ring_position *from)
{
    struct ring_header *header = ring->header;
    uint64_t head = atomic_load(&header->head), tail = atomic_load(&header->tail);
    bool is_sane =
        head % ALIGNMENT == 0 && tail % ALIGNMENT == 0 && tail <= head && head - tail <= ring->capacity;
    uint64_t begin = round_up(from->sequence, ALIGNMENT);

    if (!is_sane || head < begin)
        head = begin;
    else if (head - begin > ring->capacity)
        begin = tail;
    if (atomic_load(&header->dropped) < from->dropped)
        atomic_store(&header->dropped, from->dropped);
    atomic_store(&header->head, head);
    atomic_store(&header->tail, begin);
    ring->head = ring->verified = ring->written = head;
    ring->next = ring->seen_head = begin;
    ring->prepared = head;
}

/* Open a ring of ours.  ST_DENIED: the file is another store's, or no ring. */
static enum status open_existing(struct ring *ring, const char *owner, struct err *err)
{
    enum status status = open_file(ring, err);

    return status == ST_OK ? check_header(ring, owner, err) : status;
}

/*
 * 1. open the ring that is there
 * 2. if it cannot be read, it will be kept under another name: the collector must start
 * 3. make one if there is none that can be read
 */
static enum status open_or_make(struct ring *ring, const char *owner, const struct ring_position *from,
                                struct err *err)
{
    struct err why;
    enum status status = open_existing(ring, owner, &why); /* 1 */
    bool is_unreadable = status == ST_DENIED;

    if (is_unreadable) { /* 2 */
        ring_file_close(&ring->file);
        memcpy(ring->set_aside, why.text, sizeof ring->set_aside);
    }
    if (is_unreadable || status == ST_NOT_FOUND) { /* 3 */
        status = make_file(ring->path, ring->wanted_size, owner, from, is_unreadable, &why);
        if (status == ST_OK)
            status = open_existing(ring, owner, &why);
        else if (is_unreadable)
            status = err_wrap(&why, "%s, and no other can be made", ring->set_aside);
    }
    if (status != ST_OK && err != NULL)
        *err = why;
    return status;
}

enum status ring_open(const char *path, size_t size, const char *owner, const struct ring_position *from,
                      struct ring **ring_out, struct err *err)
{
    struct ring *ring = aligned_alloc(alignof(struct ring), sizeof *ring);
    enum status status;

    if (ring == NULL)
        return err_set(err, ST_NOMEM, "ring: out of memory");
    memset(ring, 0, sizeof *ring);
    if (strlen(path) >= sizeof ring->path) {
        free(ring);
        return err_set(err, ST_IO, "path of the ring is too long");
    }
    memcpy(ring->path, path, strlen(path) + 1);
    ring->wanted_size = round_up(size, HEADER_BYTES);
    status = open_or_make(ring, owner, from, err);
    if (status != ST_OK) {
        ring_close(&ring);
        return status;
    }
    set_positions(ring, from);
    if (!ring->file.is_shared)
        (void)write_header(ring, NULL);
    *ring_out = ring;
    return ST_OK;
}

void ring_close(struct ring **ring)
{
    if (*ring != NULL && (*ring)->file.memory != NULL) {
        if (!(*ring)->file.is_shared)
            (void)write_back(*ring, NULL);
        ring_file_close(&(*ring)->file);
    }
    free(*ring);
    *ring = NULL;
}

const char *ring_set_aside_reason(const struct ring *ring)
{
    return ring->set_aside;
}

bool ring_is_outdated(const struct ring *ring)
{
    return ring->header->version != VERSION || ring->header->record_format != RECORD_FORMAT ||
           ring->capacity + HEADER_BYTES != ring->wanted_size;
}

enum status ring_remake(struct ring *ring, struct err *err)
{
    struct ring_position from = {ring->head, ring_dropped(ring)};
    char owner[RING_OWNER_SIZE];
    struct ring *fresh; /* from the heap: sanitizers' stacks do not keep its alignment */
    enum status status;

    if (ring_used_bytes(ring) != 0)
        return err_set(err, ST_BUSY, "ring %s is not empty", ring->path);
    fresh = aligned_alloc(alignof(struct ring), sizeof *fresh);
    if (fresh == NULL)
        return err_set(err, ST_NOMEM, "ring: out of memory");
    memset(fresh, 0, sizeof *fresh);
    fresh->wanted_size = ring->wanted_size;
    memcpy(owner, ring->header->owner, sizeof owner);
    memcpy(fresh->path, ring->path, sizeof fresh->path);
    status = make_file(ring->path, ring->wanted_size, owner, &from, false, err);
    if (status == ST_OK)
        status = open_file(fresh, err);
    if (status == ST_OK) {
        ring_file_close(&ring->file);
        *ring = *fresh;
        set_positions(ring, &from);
    }
    free(fresh);
    return status;
}

/* ---- the writer ---- */

static void write_record(struct ring *ring, uint32_t kind, const void *bytes, size_t len, int64_t arrival_ns)
{
    struct record_header *record = record_at(ring, ring->head);

    record->sequence = ring->head;
    record->arrival_ns = arrival_ns;
    record->len = (uint32_t)len;
    record->kind = kind;
    if (kind == PAD) {
        record->hash = (struct hash){{0, 0}};
    } else {
        memcpy(record + 1, bytes, len);
        record->hash = hash_bytes(&ring->header->key, record + 1, len);
    }
    record->check = check_of(record);
    ring->head += span_of(len);
}

/* Fill the rest of the lap.  If it is too short for a record's header, the reader skips it by its length. */
static void write_pad(struct ring *ring, uint64_t room)
{
    if (room >= sizeof(struct record_header))
        write_record(ring, PAD, NULL, (size_t)room - sizeof(struct record_header), 0);
    else
        ring->head += room;
}

bool ring_append(struct ring *ring, enum ring_kind kind, const void *bytes, size_t len, int64_t arrival_ns)
{
    uint64_t need = span_of(len);
    uint64_t room = room_to_end(ring, ring->head);
    uint64_t pad = room < need ? room : 0;
    uint64_t used = ring->head - atomic_load_explicit(&ring->header->tail, memory_order_acquire);

    if (len > RING_RECORD_MAX || used + pad + need > ring->capacity)
        return false;
    if (pad > 0)
        write_pad(ring, pad);
    write_record(ring, (uint32_t)kind, bytes, len, arrival_ns);
    atomic_store_explicit(&ring->header->head, ring->head, memory_order_release);
    if (used + pad + need > atomic_load_explicit(&ring->header->high_water, memory_order_relaxed))
        atomic_store_explicit(&ring->header->high_water, used + pad + need, memory_order_relaxed);
    return true;
}

void ring_drop(struct ring *ring, uint64_t count)
{
    (void)atomic_fetch_add(&ring->header->dropped, count);
}

void ring_publish(struct ring *ring)
{
    atomic_store(&ring->header->head, ring->head);
    if (ring->file.is_shared || atomic_load(&ring->is_lazy) || ring->written == ring->head)
        return;
    if (!write_back_quickly(ring))
        atomic_store(&ring->is_lazy, true);
}

/* ---- the reader ---- */

/* Can a whole record lie at sequence, before head and before the end of the lap? */
static bool fits(const struct ring *ring, uint64_t sequence, uint64_t head)
{
    const struct record_header *record = record_at(ring, sequence);
    uint64_t room = room_to_end(ring, sequence);

    return room >= sizeof *record && head - sequence >= sizeof *record && record->sequence == sequence &&
           record->check == check_of(record) && (record->kind == PAD || record->len <= RING_RECORD_MAX) &&
           span_of(record->len) <= room && span_of(record->len) <= head - sequence;
}

/* Bytes that this process wrote are right; those of an earlier one are checked. */
static bool is_sound(const struct ring *ring, const struct record_header *record)
{
    struct hash hash;

    if (record->sequence >= ring->verified || record->kind == PAD)
        return true;
    hash = hash_bytes(&ring->header->key, record + 1, record->len);
    return hash.words[0] == record->hash.words[0] && hash.words[1] == record->hash.words[1];
}

/* Skip to the next valid record, or to head. */
static void skip_damage(struct ring *ring, uint64_t head)
{
    do
        ring->next += ALIGNMENT;
    while (ring->next < head && !fits(ring, ring->next, head));
}

void ring_get(const struct ring *ring, uint64_t sequence, struct ring_record *record_out)
{
    const struct record_header *record = record_at(ring, sequence);

    *record_out = (struct ring_record){.sequence = sequence,
                                       .kind = (enum ring_kind)record->kind,
                                       .arrival_ns = record->arrival_ns,
                                       .bytes = (const char *)(record + 1),
                                       .len = record->len,
                                       .hash = record->hash};
}

enum ring_read ring_next(struct ring *ring, struct ring_record *record_out)
{
    if (ring->next >= ring->seen_head)
        ring->seen_head = atomic_load_explicit(&ring->header->head, memory_order_acquire);
    while (ring->next < ring->seen_head) {
        const struct record_header *record = record_at(ring, ring->next);
        uint64_t room = room_to_end(ring, ring->next);
        uint64_t sequence = ring->next;

        if (room < sizeof *record) {
            ring->next += room;
            continue;
        }
        if (!fits(ring, sequence, ring->seen_head)) {
            skip_damage(ring, ring->seen_head);
            return RING_SKIPPED;
        }
        ring->next += span_of(record->len);
        if (record->kind == PAD)
            continue;
        if (!is_sound(ring, record))
            return RING_SKIPPED;
        ring_get(ring, sequence, record_out);
        __builtin_prefetch(record_at(ring, ring->next));
        return RING_READ;
    }
    return RING_EMPTY;
}

uint64_t ring_sequence(const struct ring *ring)
{
    return ring->next;
}

void ring_step_back(struct ring *ring, uint64_t sequence)
{
    ring->next = sequence;
}

void ring_rewind(struct ring *ring)
{
    ring->next = atomic_load_explicit(&ring->header->tail, memory_order_relaxed);
}

void ring_free(struct ring *ring)
{
    atomic_store_explicit(&ring->header->tail, ring->next, memory_order_release);
    if (!ring->file.is_shared && !atomic_load(&ring->is_lazy))
        (void)write_header(ring, NULL);
}

void ring_prepare(struct ring *ring)
{
#ifdef MADV_POPULATE_WRITE
    uint64_t ahead = ring->capacity / PREPARE_SHARE;
    uint64_t head = atomic_load_explicit(&ring->header->head, memory_order_relaxed);
    uint64_t begin = ring->prepared > head ? ring->prepared : head;
    uint64_t place = begin % ring->capacity / HEADER_BYTES * HEADER_BYTES;
    uint64_t len = begin - head < ahead ? ahead - (begin - head) : 0;

    if (len < ahead / 4)
        return;
    if (len > ring->capacity - place)
        len = ring->capacity - place;
    (void)madvise(ring->data + place, (size_t)len, MADV_POPULATE_WRITE);
    ring->prepared = begin + len;
#else
    (void)ring;
#endif
}

/* ---- the main thread ---- */

/* The second time only what came meanwhile is written: if that is quick, the writer can do it again. */
enum status ring_catch_up(struct ring *ring, struct err *err)
{
    enum status status;

    if (ring->file.is_shared || !atomic_load(&ring->is_lazy))
        return ST_OK;
    status = write_back(ring, err);
    if (status == ST_OK && write_back_quickly(ring))
        atomic_store(&ring->is_lazy, false);
    return status;
}

enum status ring_sync(struct ring *ring, struct err *err)
{
    enum status status = ring_catch_up(ring, err);

    return status == ST_OK ? ring_file_sync(&ring->file, err) : status;
}

/* ---- any ---- */

uint64_t ring_appended(const struct ring *ring)
{
    return atomic_load(&ring->header->head);
}

size_t ring_used_bytes(const struct ring *ring)
{
    uint64_t tail = atomic_load(&ring->header->tail);

    return (size_t)(atomic_load(&ring->header->head) - tail);
}

size_t ring_capacity_bytes(const struct ring *ring)
{
    return (size_t)ring->capacity;
}

uint64_t ring_dropped(const struct ring *ring)
{
    return atomic_load(&ring->header->dropped);
}

size_t ring_high_water(const struct ring *ring)
{
    return (size_t)atomic_load_explicit(&ring->header->high_water, memory_order_relaxed);
}

enum status ring_read_level(const char *path, struct ring_level *level_out, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct ring_header header;
    ssize_t len;
    uint64_t head;

    if (fd < 0)
        return err_set_errno(err, errno == ENOENT ? ST_NOT_FOUND : ST_IO, errno, "open %s", path);
    len = pread(fd, &header, sizeof header, 0);
    (void)close(fd);
    if (len != (ssize_t)sizeof header || memcmp(header.magic, MAGIC, sizeof MAGIC) != 0)
        return not_a_ring(path, err);
    head = atomic_load(&header.head);
    *level_out = (struct ring_level){.used_bytes = head - atomic_load(&header.tail),
                                     .capacity_bytes = header.capacity,
                                     .dropped = atomic_load(&header.dropped)};
    return ST_OK;
}
