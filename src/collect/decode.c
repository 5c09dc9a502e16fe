/* SPDX-License-Identifier: MIT */
/*
 * If every datagram is a new one, decoding takes as long as storing, so two processors share the work.
 *
 * Entries are taken in order, a chunk at a time, by whichever thread is free: the decoder's own thread as
 * long as a chunk is free, and the caller's when decoder_next finds no chunk decoded.  Chunks are a queue:
 * the caller gets the oldest, and gives it back with the next call.  Only these two threads use the
 * condition, so a signal always reaches the other one.
 */
#include "decode.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "datagram/datagram.h"
#include "datagram/exim_line.h"

#define CHUNK_ARENA_BYTES ((size_t)2 * DATAGRAM_ARENA_BYTES)

struct decode_chunk {
    struct decoded items[DECODE_CHUNK_ITEMS];
    size_t count;
    struct arena arena; /* of the items' results */
    bool is_decoded;    /* under the lock */
};

struct decoder {
    bool has_thread;
    pthread_t thread;
    size_t given; /* items of the oldest chunk that the caller had; the caller's */

    pthread_mutex_t lock; /* of all that follows, but for the insides of used chunks */
    pthread_cond_t is_changed;
    bool is_ending;
    const struct ring *ring;
    struct aggregate *aggregate;
    struct aggregate_entry *next; /* the first that no chunk has; NULL: none */
    size_t first, used;           /* chunks in use */
    struct decode_chunk chunks[DECODE_CHUNKS];
};

/* ---- one chunk ---- */

static enum status decode(const struct ring_record *record, struct arena *arena,
                          struct session_result *result_out, struct err *err)
{
    if (exim_line_is_one(record->bytes, record->len))
        return exim_line_decode(record->bytes, record->len, record->arrival_ns / 1000000000, arena,
                                result_out, err);
    return datagram_decode(record->bytes, record->len, arena, result_out, err);
}

static void decode_chunk(struct decode_chunk *chunk)
{
    for (size_t i = 0; i < chunk->count; i++) {
        struct decoded *item = &chunk->items[i];
        struct err err = {.code = ST_OK};

        item->status = decode(&item->record, &chunk->arena, &item->result, &err);
        if (item->status != ST_OK)
            (void)snprintf(item->reason, sizeof item->reason, "%.*s", DECODE_REASON_SIZE - 1, err.text);
    }
}

/* ---- under the lock ---- */

static struct decode_chunk *oldest(struct decoder *decoder)
{
    return &decoder->chunks[decoder->first];
}

static struct aggregate_entry *find_new(struct aggregate *aggregate, struct aggregate_entry *entry)
{
    while (entry != NULL && entry->state != AGGREGATE_NEW)
        entry = aggregate_next(aggregate, entry);
    return entry;
}

/* The next entries in a free chunk; NULL: no entry or no chunk. */
static struct decode_chunk *fill_chunk(struct decoder *decoder)
{
    struct decode_chunk *chunk = &decoder->chunks[(decoder->first + decoder->used) % DECODE_CHUNKS];
    size_t bytes = 0;

    if (decoder->next == NULL || decoder->used == DECODE_CHUNKS)
        return NULL;
    decoder->used++;
    chunk->is_decoded = false;
    for (chunk->count = 0;
         decoder->next != NULL && chunk->count < DECODE_CHUNK_ITEMS && bytes < DECODE_CHUNK_BYTES;) {
        struct decoded *item = &chunk->items[chunk->count++];

        item->entry = decoder->next;
        ring_get(decoder->ring, item->entry->sequence, &item->record);
        bytes += item->record.len;
        decoder->next = find_new(decoder->aggregate, aggregate_next(decoder->aggregate, decoder->next));
    }
    return chunk;
}

/*
 * Decode the next chunk; if there is none, or no room for it, wait until the other thread has changed
 * something.
 */
static void work_or_wait(struct decoder *decoder)
{
    struct decode_chunk *chunk = fill_chunk(decoder);

    if (chunk == NULL) {
        (void)pthread_cond_wait(&decoder->is_changed, &decoder->lock);
        return;
    }
    if (decoder->next != NULL)
        (void)pthread_cond_signal(&decoder->is_changed);
    (void)pthread_mutex_unlock(&decoder->lock);
    decode_chunk(chunk);
    (void)pthread_mutex_lock(&decoder->lock);
    chunk->is_decoded = true;
    (void)pthread_cond_signal(&decoder->is_changed);
}

static void give_back_oldest(struct decoder *decoder)
{
    arena_reset(&oldest(decoder)->arena);
    decoder->first = (decoder->first + 1) % DECODE_CHUNKS;
    decoder->used--;
    decoder->given = 0;
    if (decoder->next != NULL)
        (void)pthread_cond_signal(&decoder->is_changed);
}

/* ---- the caller ---- */

void decoder_start(struct decoder *decoder, const struct ring *ring, struct aggregate *aggregate)
{
    (void)pthread_mutex_lock(&decoder->lock);
    decoder->ring = ring;
    decoder->aggregate = aggregate;
    decoder->next = find_new(aggregate, aggregate_first(aggregate));
    (void)pthread_mutex_unlock(&decoder->lock);
}

/* Give back the chunk whose items the caller had, and wait for the next one; NULL: that was all. */
static struct decode_chunk *next_chunk(struct decoder *decoder)
{
    struct decode_chunk *chunk = NULL;

    (void)pthread_mutex_lock(&decoder->lock);
    if (decoder->given > 0)
        give_back_oldest(decoder);
    while (decoder->used > 0 ? !oldest(decoder)->is_decoded : decoder->next != NULL)
        work_or_wait(decoder);
    if (decoder->used > 0)
        chunk = oldest(decoder);
    (void)pthread_mutex_unlock(&decoder->lock);
    return chunk;
}

struct decoded *decoder_next(struct decoder *decoder)
{
    struct decode_chunk *chunk = oldest(decoder);

    if (decoder->given == 0 || decoder->given == chunk->count)
        chunk = next_chunk(decoder);
    return chunk != NULL ? &chunk->items[decoder->given++] : NULL;
}

void decoder_stop(struct decoder *decoder)
{
    (void)pthread_mutex_lock(&decoder->lock);
    decoder->next = NULL;
    while (decoder->used > 0) {
        while (!oldest(decoder)->is_decoded)
            work_or_wait(decoder);
        give_back_oldest(decoder);
    }
    (void)pthread_mutex_unlock(&decoder->lock);
}

/* ---- the thread ---- */

static void *run(void *argument)
{
    struct decoder *decoder = argument;

    (void)pthread_mutex_lock(&decoder->lock);
    while (!decoder->is_ending)
        work_or_wait(decoder);
    (void)pthread_mutex_unlock(&decoder->lock);
    return NULL;
}

struct decoder *decoder_new(void)
{
    struct decoder *decoder = calloc(1, sizeof *decoder);

    if (decoder == NULL)
        return NULL;
    for (size_t i = 0; i < DECODE_CHUNKS; i++)
        arena_init(&decoder->chunks[i].arena, CHUNK_ARENA_BYTES);
    (void)pthread_mutex_init(&decoder->lock, NULL);
    (void)pthread_cond_init(&decoder->is_changed, NULL);
    decoder->has_thread = pthread_create(&decoder->thread, NULL, run, decoder) == 0;
    return decoder;
}

void decoder_free(struct decoder **decoder)
{
    if (*decoder == NULL)
        return;
    decoder_stop(*decoder);
    (void)pthread_mutex_lock(&(*decoder)->lock);
    (*decoder)->is_ending = true;
    (void)pthread_cond_signal(&(*decoder)->is_changed);
    (void)pthread_mutex_unlock(&(*decoder)->lock);
    if ((*decoder)->has_thread)
        (void)pthread_join((*decoder)->thread, NULL);
    for (size_t i = 0; i < DECODE_CHUNKS; i++)
        arena_done(&(*decoder)->chunks[i].arena);
    (void)pthread_cond_destroy(&(*decoder)->is_changed);
    (void)pthread_mutex_destroy(&(*decoder)->lock);
    free(*decoder);
    *decoder = NULL;
}
