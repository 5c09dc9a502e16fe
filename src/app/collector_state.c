/* SPDX-License-Identifier: MIT */
/*
 * The mark in the store says through which second everything is counted, a note says when the collector
 * started, and the lock file says whether it runs.  From the three follows whether it is up, stuck or gone.
 */
#include "app/collector_state.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/stores.h"
#include "base/file.h"
#include "ring/ring.h"

#define NOTE_TEXT_MAX 300

struct note_reading {
    struct collector_state *state;
    struct arena *arena;
};

static const char *copy(struct arena *arena, const char *text)
{
    const char *made = arena_copy_text(arena, text, strnlen(text, NOTE_TEXT_MAX));

    return made != NULL ? made : "";
}

static enum status take_note(void *context, const char *name, const char *text, struct err *err)
{
    struct note_reading *reading = context;
    struct collector_state *state = reading->state;

    (void)err;
    if (state->note_count < COLLECTOR_NOTES_MAX &&
        strchr(name, ' ') == NULL) /* "log ID" is a log reader's position */
        state->notes[state->note_count++] =
            (struct collector_note){copy(reading->arena, name), copy(reading->arena, text)};
    return ST_OK;
}

static int64_t number_note(const struct collector_state *state, const char *name)
{
    for (size_t i = 0; i < state->note_count; i++)
        if (strcmp(state->notes[i].name, name) == 0)
            return strtoll(state->notes[i].text, NULL, 10);
    return 0;
}

/* A collector that has just started has no mark yet, or an old one, but its note says when it started. */
static void judge(struct collector_state *state, bool is_locked, int64_t now_s)
{
    int64_t age_s;

    state->started_s = number_note(state, "started_s");
    state->queue_len = number_note(state, "max_dgram_qlen");
    state->alive_s =
        state->mark.counted_through_s > state->started_s ? state->mark.counted_through_s : state->started_s;
    age_s = now_s - state->alive_s;
    if (state->alive_s == 0)
        state->liveness = is_locked ? COLLECTOR_UP : COLLECTOR_NEVER;
    else if (age_s <= COLLECTOR_FRESH_S || (is_locked && age_s <= COLLECTOR_SILENT_S))
        state->liveness = COLLECTOR_UP;
    else
        state->liveness = is_locked ? COLLECTOR_STUCK : COLLECTOR_SILENT;
}

static void read_ring_level(const char *path, struct collector_state *state)
{
    struct ring_level level;

    if (ring_read_level(path, &level, NULL) != ST_OK)
        return;
    state->ring_used = level.used_bytes;
    state->ring_capacity = level.capacity_bytes;
    if (level.dropped > state->counters[COUNTER_DROPPED])
        state->counters[COUNTER_DROPPED] = level.dropped; /* not in the store yet */
}

enum status collector_state_read(const struct config *config, struct session_reader *sessions, int64_t now_s,
                                 struct arena *arena, struct collector_state *state_out, struct err *err)
{
    struct note_reading reading = {state_out, arena};
    char lock[PATH_MAX], ring[PATH_MAX];
    enum status status;

    *state_out = (struct collector_state){.liveness = COLLECTOR_NEVER};
    if (sessions == NULL)
        return ST_OK;
    status = stores_path(config, "collector.lock", lock, err);
    if (status == ST_OK)
        status = stores_path(config, "ring", ring, err);
    if (status == ST_OK)
        status = session_reader_get_mark(sessions, &state_out->mark, err);
    if (status == ST_OK)
        status = session_reader_counters(sessions, state_out->counters, err);
    if (status == ST_OK)
        status = session_reader_each_note(sessions, take_note, &reading, err);
    if (status != ST_OK)
        return status;
    judge(state_out, file_lock_is_held(lock), now_s);
    read_ring_level(ring, state_out);
    return ST_OK;
}
