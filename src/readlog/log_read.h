/* SPDX-License-Identifier: MIT */
/*
 * log_read.h - the three inputs of tlsrpt-gen-log: files, standard input, and a log that is followed.
 */
#ifndef READLOG_LOG_READ_H
#define READLOG_LOG_READ_H

#include <stdbool.h>

#include "base/arena.h"
#include "log_sink.h"
#include "mtalog/mtalog.h"

/* Reads lines and emits session results; with mtalog for an MTA's log, else one JSON object a line. */
struct log_reader {
    struct log_sink *sink;
    struct mtalog *mtalog; /* NULL: lines of JSON */
    struct arena arena;    /* for those */
    uint64_t lines, malformed;
    uint64_t emitted_before;       /* results of the current line that an earlier process emitted */
    bool is_replaying;             /* emit nothing */
    struct err err;                /* why emitting failed */
    struct log_follower *follower; /* saves its checkpoint after each result; NULL: no log is followed */
};

/* mtalog_result_fn; context: struct log_reader. */
enum status log_reader_emit(void *context, const struct session_result *result, int64_t utc_s);

/* name "-": standard input.  Ends at the end of the file, or when the program is to end. */
MUST_CHECK enum status log_read_file(struct log_reader *reader, const char *name, struct err *err);

/* No more lines will come: emit what is certain. */
MUST_CHECK enum status log_read_end(struct log_reader *reader, struct err *err);

/*
 * Follow the log at path from the position that was saved in STATE_DIR/log-MTA-HASH.place, HASH from the log's
 * absolute path.  is_once: up to its present end; what is open then stays open for the next time.
 */
MUST_CHECK enum status log_follow(struct log_reader *reader, const char *path, const char *state_dir,
                                  const char *mta, bool is_once, struct err *err);

#endif
