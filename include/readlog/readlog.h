/* SPDX-License-Identifier: MIT */
/*
 * readlog.h - the job of tlsrpt-gen-log: read what an MTA's log says about its TLS sessions, and pass each
 * session's result on to the collector.
 *
 * In:  log files, standard input, or one log that is followed through rotation.
 * Out: datagrams to the collector's socket or to standard output, or a summary on standard output.
 */
#ifndef READLOG_READLOG_H
#define READLOG_READLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "model/config.h"
#include "mtalog/mtalog.h"

#define READLOG_RELAYS_MAX  64
#define READLOG_SENDERS_MAX 16

enum readlog_input {
    READLOG_NONE,
    READLOG_EXIM,
    READLOG_POSTFIX,
    READLOG_POSTFIX_STS, /* only the warning about MX hosts outside an MTA-STS policy */
    READLOG_NDJSON,      /* one JSON object a line */
};

enum readlog_output {
    READLOG_TO_SOCKET,
    READLOG_TO_STDOUT,
    READLOG_TO_SUMMARY,
};

/* All texts are borrowed. */
struct readlog_options {
    enum readlog_input input;
    enum readlog_output output;
    const char *follow; /* the log to follow; NULL: read files */
    bool is_once;       /* follow only to the log's present end */
    char **files;       /* "-": standard input */
    int file_count;
    const char *socket;             /* READLOG_TO_SOCKET; NULL: the first one in the settings */
    int64_t from_s, until_s;        /* only results logged in [from_s, until_s) */
    enum policy_type mandatory_tls; /* see struct mtalog_settings */
    struct mtalog_relay relays[READLOG_RELAYS_MAX];
    size_t relay_count;
    const char
        *senders[READLOG_SENDERS_MAX]; /* whose mail is not counted; none: envelope_from of the settings */
    size_t sender_count;
};

/*
 * Read to the end of the input, or until SIGTERM or SIGINT, and log how much was read.
 * ST_CONFIG     no socket, or a path is too long
 * ST_BUSY       another process follows this log
 * ST_TEMPORARY  no collector took the results
 * ST_NOT_FOUND
 * ST_IO
 * ST_NOMEM
 */
MUST_CHECK enum status readlog_run(const struct config *config, const struct readlog_options *options,
                                   struct err *err);

#endif
