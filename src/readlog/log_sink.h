/* SPDX-License-Identifier: MIT */
/*
 * log_sink.h - where tlsrpt-gen-log's session results go: to the collector's socket, to standard output, or into
 * a summary.
 */
#ifndef READLOG_LOG_SINK_H
#define READLOG_LOG_SINK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "base/strbuf.h"
#include "model/session_result.h"
#include "readlog/readlog.h"

struct log_memo;
struct log_counts;

struct log_sink {
    enum readlog_output output;
    const char *socket_path;
    int64_t from_s, until_s; /* only results logged in [from_s, until_s) */
    int64_t patience_ms;     /* how long to wait for a collector; -1: until the program is stopped */
    int fd;
    bool is_waiting; /* the collector is away, and that was logged */
    uint64_t emitted;
    uint64_t log_id;     /* sent with each result, and its number; 0: results are not numbered */
    uint64_t log_number; /* of the last one sent */
    struct strbuf bytes, numbered;
    struct log_memo *memo;     /* recently encoded results: many sessions are equal */
    struct log_counts *counts; /* READLOG_TO_SUMMARY */
};

/* ST_NOMEM.  socket_path is borrowed. */
MUST_CHECK enum status log_sink_open(struct log_sink *sink, enum readlog_output output,
                                     const char *socket_path, struct err *err);
void log_sink_close(struct log_sink *sink);

/*
 * Emit one session result.
 * ST_TEMPORARY  no collector took it within patience_ms, or the program is stopped
 * ST_IO         standard output
 * ST_NOMEM
 */
MUST_CHECK enum status log_sink_emit(struct log_sink *sink, const struct session_result *result,
                                     int64_t utc_s, struct err *err);

/* Print the summary as a table. */
void log_sink_print_summary(const struct log_sink *sink, FILE *out);

/* Set by the signal handler: stop as soon as possible. */
extern volatile int log_sink_is_stopping;

#endif
