/* SPDX-License-Identifier: MIT */
#include "logs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOTE_PREFIX "log " /* then the reader's id, 16 hexadecimal digits */

/*
 * The one with this id; else a new one in an unused slot, or in that of the one that sent nothing for
 * longest.
 */
static struct log_source *get_source(struct log_sources *sources, uint64_t id)
{
    struct log_source *slot = &sources->sources[0];

    for (size_t i = 0; i < COLLECT_LOGS_MAX; i++) {
        struct log_source *source = &sources->sources[i];

        if (source->id == id)
            return source;
        if (slot->id != 0 && (source->id == 0 || source->heard < slot->heard))
            slot = source;
    }
    *slot = (struct log_source){.id = id};
    return slot;
}

static enum status load_note(void *context, const char *name, const char *text, struct err *err)
{
    struct log_sources *sources = context;
    uint64_t id;

    (void)err;
    if (strncmp(name, NOTE_PREFIX, strlen(NOTE_PREFIX)) != 0)
        return ST_OK;
    id = strtoull(name + strlen(NOTE_PREFIX), NULL, 16);
    if (id != 0)
        get_source(sources, id)->counted = strtoull(text, NULL, 10);
    return ST_OK;
}

enum status log_sources_load(struct log_sources *sources, struct session_writer *store, struct err *err)
{
    enum status status =
        sources->is_loaded ? ST_OK
                           : session_reader_each_note(session_writer_reader(store), load_note, sources, err);

    sources->is_loaded = status == ST_OK;
    return status;
}

bool log_sources_take(struct log_sources *sources, uint64_t id, uint64_t number)
{
    struct log_source *source = get_source(sources, id);

    source->heard = sources->batches + 1;
    if (number <= source->counted)
        return false;
    if (number > source->pending)
        source->pending = number;
    return true;
}

enum status log_sources_store(struct log_sources *sources, struct session_writer *store, struct err *err)
{
    enum status status = ST_OK;

    for (size_t i = 0; i < COLLECT_LOGS_MAX && status == ST_OK; i++) {
        const struct log_source *source = &sources->sources[i];
        char name[40], text[24];

        if (source->pending <= source->counted)
            continue;
        (void)snprintf(name, sizeof name, NOTE_PREFIX "%016" PRIx64, source->id);
        (void)snprintf(text, sizeof text, "%" PRIu64, source->pending);
        status = session_writer_set_note(store, name, text, err);
    }
    return status;
}

void log_sources_end_batch(struct log_sources *sources, bool is_committed)
{
    sources->batches++;
    for (size_t i = 0; i < COLLECT_LOGS_MAX; i++) {
        struct log_source *source = &sources->sources[i];

        if (is_committed && source->pending > source->counted)
            source->counted = source->pending;
        source->pending = 0;
    }
}
