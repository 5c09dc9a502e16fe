/* SPDX-License-Identifier: MIT */
#include "decode.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "datagram/datagram.h"
#include "datagram/exim_line.h"

#define CHUNK_ARENA_BYTES ((size_t)2 * DATAGRAM_ARENA_BYTES)

struct decode_line {
    struct decode_chunk *chunks[DECODE_CHUNKS];
    size_t first;               /* the oldest that was pushed */
    size_t pushed;              /* and not taken yet; the next one is being filled */
    struct decode_chunk *taken; /* to be emptied */
    bool has_thread;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t is_changed;
    bool is_ending;
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

static void decode_chunk_run(struct decode_chunk *chunk)
{
    struct err err;

    for (size_t i = 0; i < chunk->count; i++) {
        struct decode_job *job = &chunk->jobs[i];

        err.text[0] = '\0';
        job->status = decode(&job->record, &chunk->arena, &job->result, &err);
        if (job->status != ST_OK)
            (void)snprintf(job->reason, sizeof job->reason, "%.*s", DECODE_REASON_SIZE - 1, err.text);
    }
}

static void empty(struct decode_chunk *chunk)
{
    chunk->count = chunk->bytes = 0;
    chunk->state = DECODE_FILLING;
    arena_reset(&chunk->arena);
}

/* ---- the thread, and who helps it ---- */

static struct decode_chunk *chunk_at(const struct decode_line *line, size_t place)
{
    return line->chunks[(line->first + place) % DECODE_CHUNKS];
}

/* The oldest that waits, now the caller's to decode; NULL if none does.  Under the lock. */
static struct decode_chunk *claim(struct decode_line *line)
{
    for (size_t i = 0; i < line->pushed; i++) {
        struct decode_chunk *chunk = chunk_at(line, i);

        if (chunk->state == DECODE_QUEUED) {
            chunk->state = DECODE_RUNNING;
            return chunk;
        }
    }
    return NULL;
}

/* Decode the oldest that waits, else sleep until something has changed.  Under the lock, but for the work. */
static void work_or_wait(struct decode_line *line)
{
    struct decode_chunk *chunk = claim(line);

    if (chunk == NULL) {
        (void)pthread_cond_wait(&line->is_changed, &line->lock);
        return;
    }
    (void)pthread_mutex_unlock(&line->lock);
    decode_chunk_run(chunk);
    (void)pthread_mutex_lock(&line->lock);
    chunk->state = DECODE_DONE;
    (void)pthread_cond_broadcast(&line->is_changed);
}

static void *run(void *argument)
{
    struct decode_line *line = argument;

    (void)pthread_mutex_lock(&line->lock);
    while (!line->is_ending)
        work_or_wait(line);
    (void)pthread_mutex_unlock(&line->lock);
    return NULL;
}

/* ---- the line ---- */

static bool add_chunks(struct decode_line *line)
{
    for (size_t i = 0; i < DECODE_CHUNKS; i++) {
        line->chunks[i] = malloc(sizeof *line->chunks[i]);
        if (line->chunks[i] == NULL)
            return false;
        line->chunks[i]->count = line->chunks[i]->bytes = 0;
        line->chunks[i]->state = DECODE_FILLING;
        arena_init(&line->chunks[i]->arena, CHUNK_ARENA_BYTES);
    }
    return true;
}

struct decode_line *decode_line_new(void)
{
    struct decode_line *line = calloc(1, sizeof *line);

    if (line == NULL)
        return NULL;
    (void)pthread_mutex_init(&line->lock, NULL);
    (void)pthread_cond_init(&line->is_changed, NULL);
    if (add_chunks(line))
        line->has_thread = pthread_create(&line->thread, NULL, run, line) == 0;
    else
        decode_line_free(&line);
    return line;
}

static void end_thread(struct decode_line *line)
{
    (void)pthread_mutex_lock(&line->lock);
    line->is_ending = true;
    (void)pthread_cond_broadcast(&line->is_changed);
    (void)pthread_mutex_unlock(&line->lock);
    (void)pthread_join(line->thread, NULL);
}

void decode_line_free(struct decode_line **line)
{
    if (*line == NULL)
        return;
    if ((*line)->has_thread)
        end_thread(*line);
    for (size_t i = 0; i < DECODE_CHUNKS && (*line)->chunks[i] != NULL; i++) {
        arena_done(&(*line)->chunks[i]->arena);
        free((*line)->chunks[i]);
    }
    (void)pthread_cond_destroy(&(*line)->is_changed);
    (void)pthread_mutex_destroy(&(*line)->lock);
    free(*line);
    *line = NULL;
}

void decode_line_add(struct decode_line *line, struct aggregate_entry *entry,
                     const struct ring_record *record)
{
    struct decode_chunk *chunk = chunk_at(line, line->pushed);
    struct decode_job *job = &chunk->jobs[chunk->count++];

    job->entry = entry;
    job->record = *record;
    chunk->bytes += record->len;
}

bool decode_line_is_full(const struct decode_line *line)
{
    const struct decode_chunk *chunk = chunk_at(line, line->pushed);

    return chunk->count == DECODE_JOBS_MAX || chunk->bytes >= DECODE_BYTES_MAX;
}

bool decode_line_has_room(const struct decode_line *line)
{
    return line->pushed < DECODE_CHUNKS - 2; /* one is being filled, one was taken */
}

void decode_line_push(struct decode_line *line)
{
    (void)pthread_mutex_lock(&line->lock);
    chunk_at(line, line->pushed++)->state = DECODE_QUEUED;
    (void)pthread_cond_signal(&line->is_changed);
    (void)pthread_mutex_unlock(&line->lock);
}

static void put_back(struct decode_line *line)
{
    if (line->taken != NULL)
        empty(line->taken);
    line->taken = NULL;
}

static struct decode_chunk *take_oldest(struct decode_line *line)
{
    struct decode_chunk *chunk = chunk_at(line, 0);

    (void)pthread_mutex_lock(&line->lock);
    while (chunk->state != DECODE_DONE)
        work_or_wait(line);
    line->first = (line->first + 1) % DECODE_CHUNKS;
    line->pushed--;
    (void)pthread_mutex_unlock(&line->lock);
    return chunk;
}

struct decode_chunk *decode_line_take(struct decode_line *line)
{
    put_back(line);
    if (line->pushed > 0) {
        line->taken = take_oldest(line);
    } else if (chunk_at(line, 0)->count > 0) {
        /* Too few to wake another thread for. */
        line->taken = chunk_at(line, 0);
        decode_chunk_run(line->taken);
        line->first = (line->first + 1) % DECODE_CHUNKS;
    }
    return line->taken;
}

void decode_line_forget(struct decode_line *line)
{
    put_back(line);
    while (line->pushed > 0)
        empty(take_oldest(line));
    empty(chunk_at(line, 0));
}
