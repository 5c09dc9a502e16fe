/* SPDX-License-Identifier: MIT */
/*
 * collector_state.h - is this host's collector alive, and what has it counted?  Read from the files that it
 * keeps in state_dir: sessions.db, its lock and the ring.
 *
 * Limits: at most COLLECTOR_NOTES_MAX notes.
 */
#ifndef APP_COLLECTOR_STATE_H
#define APP_COLLECTOR_STATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "model/config.h"
#include "store/session_reader.h"

#define COLLECTOR_NOTES_MAX 100
#define COLLECTOR_FRESH_S   25 /* an idle collector moves its mark every 20 seconds */
#define COLLECTOR_SILENT_S  90 /* a busy one may take longer */

enum collector_liveness {
    COLLECTOR_NEVER,  /* it has not run here */
    COLLECTOR_UP,     /* its mark is fresh */
    COLLECTOR_STUCK,  /* it holds its lock, but its mark is old: it hangs, or cannot write its store */
    COLLECTOR_SILENT, /* it does not run */
};

/* Free text that the collector keeps in its store under a name. */
struct collector_note {
    const char *name;
    const char *text;
};

struct collector_state {
    enum collector_liveness liveness;
    int64_t started_s;      /* 0: unknown */
    int64_t alive_s;        /* its last sign of life: its mark, or when it started; 0: none */
    int64_t queue_len;      /* net.unix.max_dgram_qlen when its sockets were made; 0: unknown */
    uint64_t ring_used;     /* bytes that wait to be counted */
    uint64_t ring_capacity; /* 0: there is no ring */
    struct session_mark mark;
    uint64_t counters[COUNTER_COUNT];
    struct collector_note notes[COLLECTOR_NOTES_MAX];
    size_t note_count;
};

/*
 * Fill *state_out.  sessions is this host's store, or NULL if no collector has run yet; arena holds the notes.
 * Statuses of the session store; a ring or lock that cannot be read counts as absent.
 */
MUST_CHECK enum status collector_state_read(const struct config *config, struct session_reader *sessions,
                                            int64_t now_s, struct arena *arena,
                                            struct collector_state *state_out, struct err *err);

#endif
