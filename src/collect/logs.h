/* SPDX-License-Identifier: MIT */
/*
 * collect_logs.h - how far each log reader's outcomes are counted.
 *
 * A log reader that is killed between telling an outcome and remembering that it did tells it again, under
 * the same number.  The greatest number counted of each reader is a note in the store, written in the
 * transaction of the counts: so each outcome is counted once.  In one batch the same outcome is the same
 * bytes, and counts once too. Limits: COLLECT_LOGS_MAX readers; of more, the one unheard of for longest is
 * forgotten.
 */
#ifndef COLLECT_LOGS_H
#define COLLECT_LOGS_H

#include "store/session_store.h"

#define COLLECT_LOGS_MAX 64

struct log_source {
    uint64_t id;      /* 0: unused */
    uint64_t counted; /* as committed */
    uint64_t pending; /* greatest number of this batch */
    uint64_t heard;   /* when, in batches */
};

struct log_sources {
    struct log_source sources[COLLECT_LOGS_MAX];
    uint64_t batches;
};

/* What the store remembers.  Statuses as session_store_each_note. */
MUST_CHECK enum status log_sources_load(struct log_sources *sources, struct session_store *store,
                                        struct err *err);

/* Was this outcome counted in an earlier batch?  If not, it is of this batch now. */
bool log_sources_is_counted(struct log_sources *sources, uint64_t id, uint64_t number);

/* Note this batch's numbers in its transaction.  Statuses as session_store_set_note. */
MUST_CHECK enum status log_sources_store(struct log_sources *sources, struct session_store *store,
                                         struct err *err);

/* The batch was committed, or rolled back. */
void log_sources_end_batch(struct log_sources *sources, bool is_committed);

#endif
