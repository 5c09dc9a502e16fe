/* SPDX-License-Identifier: MIT */
#include "collect_decode.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "datagram/datagram.h"
#include "datagram/exim_line.h"

#define CHUNK_ARENA_BYTES ((size_t)2 * DATAGRAM_ARENA_BYTES)

struct decoder {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t is_changed;
    struct decode_chunk *chunk; /* to be decoded; NULL: nothing to do */
    bool is_ending;
};

/* ---- chunks ----------------------------------------------------------------------------------------------
 */

void decode_chunk_init(struct decode_chunk *chunk)
{
    chunk->count = chunk->bytes = 0;
    arena_init(&chunk->arena, CHUNK_ARENA_BYTES);
}

void decode_chunk_done(struct decode_chunk *chunk)
{
    arena_done(&chunk->arena);
}

void decode_chunk_reset(struct decode_chunk *chunk)
{
    chunk->count = chunk->bytes = 0;
    arena_reset(&chunk->arena);
}

void decode_chunk_add(struct decode_chunk *chunk, struct aggregate_entry *entry,
                      const struct ring_record *record)
{
    struct decode_job *job = &chunk->jobs[chunk->count++];

    job->entry = entry;
    job->record = *record;
    chunk->bytes += record->len;
}

bool decode_chunk_is_full(const struct decode_chunk *chunk)
{
    return chunk->count == DECODE_JOBS_MAX || chunk->bytes >= DECODE_BYTES_MAX;
}

static enum status decode(const struct ring_record *record, struct arena *arena, struct event *event_out,
                          struct err *err)
{
    if (exim_line_is_one(record->bytes, record->len))
        return exim_line_decode(record->bytes, record->len, record->arrival_ns / 1000000000, arena, event_out,
                                err);
    return datagram_decode(record->bytes, record->len, arena, event_out, err);
}

void decode_chunk_run(struct decode_chunk *chunk)
{
    struct err err;

    for (size_t i = 0; i < chunk->count; i++) {
        struct decode_job *job = &chunk->jobs[i];

        err.text[0] = '\0';
        job->status = decode(&job->record, &chunk->arena, &job->event, &err);
        if (job->status != ST_OK)
            (void)snprintf(job->reason, sizeof job->reason, "%.*s", DECODE_REASON_SIZE - 1, err.text);
    }
}

/* ---- the thread ------------------------------------------------------------------------------------------
 */

static void *run(void *argument)
{
    struct decoder *decoder = argument;

    (void)pthread_mutex_lock(&decoder->lock);
    while (!decoder->is_ending) {
        struct decode_chunk *chunk = decoder->chunk;

        if (chunk == NULL) {
            (void)pthread_cond_wait(&decoder->is_changed, &decoder->lock);
            continue;
        }
        (void)pthread_mutex_unlock(&decoder->lock);
        decode_chunk_run(chunk);
        (void)pthread_mutex_lock(&decoder->lock);
        decoder->chunk = NULL;
        (void)pthread_cond_broadcast(&decoder->is_changed);
    }
    (void)pthread_mutex_unlock(&decoder->lock);
    return NULL;
}

struct decoder *decoder_new(void)
{
    struct decoder *decoder = calloc(1, sizeof *decoder);

    if (decoder == NULL)
        return NULL;
    (void)pthread_mutex_init(&decoder->lock, NULL);
    (void)pthread_cond_init(&decoder->is_changed, NULL);
    if (pthread_create(&decoder->thread, NULL, run, decoder) == 0)
        return decoder;
    free(decoder);
    return NULL;
}

static void set(struct decoder *decoder, struct decode_chunk *chunk, bool is_ending)
{
    (void)pthread_mutex_lock(&decoder->lock);
    decoder->chunk = chunk;
    decoder->is_ending = is_ending;
    (void)pthread_cond_broadcast(&decoder->is_changed);
    (void)pthread_mutex_unlock(&decoder->lock);
}

void decoder_free(struct decoder **decoder)
{
    if (*decoder == NULL)
        return;
    set(*decoder, NULL, true);
    (void)pthread_join((*decoder)->thread, NULL);
    (void)pthread_cond_destroy(&(*decoder)->is_changed);
    (void)pthread_mutex_destroy(&(*decoder)->lock);
    free(*decoder);
    *decoder = NULL;
}

void decoder_start(struct decoder *decoder, struct decode_chunk *chunk)
{
    set(decoder, chunk, false);
}

void decoder_wait(struct decoder *decoder)
{
    (void)pthread_mutex_lock(&decoder->lock);
    while (decoder->chunk != NULL)
        (void)pthread_cond_wait(&decoder->is_changed, &decoder->lock);
    (void)pthread_mutex_unlock(&decoder->lock);
}
