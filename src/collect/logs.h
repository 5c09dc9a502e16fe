/* SPDX-License-Identifier: MIT */
/*
 * logs.h - up to which number each log reader's results are counted.
 *
 * A log reader that is killed after it sent a result and before it saved its position sends the result again,
 * with the same number.  The greatest number counted of each reader is a note in the store, written in the
 * transaction of the counts: so each result is counted once.  In one batch equal results are equal bytes,
 * which count once too.
 *
 * Limits: COLLECT_LOGS_MAX readers; of more, the one that sent nothing for longest is forgotten.
 */
#ifndef COLLECT_LOGS_H
#define COLLECT_LOGS_H

#include "store/session_writer.h"

#define COLLECT_LOGS_MAX 64

struct log_source {
    uint64_t id;      /* 0: unused */
    uint64_t counted; /* as committed */
    uint64_t pending; /* greatest number of this batch */
    uint64_t heard;   /* the last batch with a result of it */
};

/* Starts as zeros. */
struct log_sources {
    struct log_source sources[COLLECT_LOGS_MAX];
    uint64_t batches;
    bool is_loaded;
};

/* Read the store's notes, unless that was done.  Statuses as session_reader_each_note. */
MUST_CHECK enum status log_sources_load(struct log_sources *sources, struct session_writer *store,
                                        struct err *err);

/* Take this result into this batch; false if an earlier batch counted it. */
bool log_sources_take(struct log_sources *sources, uint64_t id, uint64_t number);

/* Write this batch's numbers in its transaction.  Statuses as session_writer_set_note. */
MUST_CHECK enum status log_sources_store(struct log_sources *sources, struct session_writer *store,
                                         struct err *err);

/* The batch was committed, or rolled back. */
void log_sources_end_batch(struct log_sources *sources, bool is_committed);

#endif
