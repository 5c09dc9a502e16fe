/* SPDX-License-Identifier: MIT */
/*
 * log_read.h - the three ways in which tlsrpt-gen-log reads: files, standard input, and a log that is
 * followed.
 */
#ifndef READLOG_LOG_READ_H
#define READLOG_LOG_READ_H

#include <stdbool.h>

#include "base/arena.h"
#include "log_sink.h"
#include "mtalog/mtalog.h"

/* What reads lines and tells events; mtalog for an MTA's log, or one decoded line at a time. */
struct log_reader {
    struct log_sink *sink;
    struct mtalog *mtalog; /* NULL: lines of JSON */
    struct arena arena;    /* for those */
    uint64_t lines, malformed;
    uint64_t emitted_before;       /* events of the line in hand that an earlier life told */
    bool is_replaying;             /* tell nothing */
    struct err err;                /* why telling failed */
    struct log_follower *follower; /* learns of each event that was told; NULL: nobody does */
};

/* mtalog_result_fn; context: struct log_reader. */
enum status log_reader_emit(void *context, const struct session_result *result, int64_t utc_s);

/* name "-": standard input.  Ends at the end of the file, or when the program is to end. */
MUST_CHECK enum status log_read_file(struct log_reader *reader, const char *name, struct err *err);

/* Nothing more will come: tell what is certain. */
MUST_CHECK enum status log_read_end(struct log_reader *reader, struct err *err);

/*
 * Follow the log at path from the position that was saved in STATE_DIR/log-MTA-HASH.place, HASH from the log's
 * absolute path.  is_once: up to its present end; what is open then stays open for the next time.
 */
MUST_CHECK enum status log_follow(struct log_reader *reader, const char *path, const char *state_dir,
                                  const char *mta, bool is_once, struct err *err);

#endif
