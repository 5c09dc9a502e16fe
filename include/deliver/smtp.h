/* SPDX-License-Identifier: MIT */
/*
 * smtp.h - deliver mails by SMTP: batches over a few connections at once, each connection in a worker process
 * of its own (tlsrpt-gen-smtp), which is killed if it takes too long.
 *
 * In:     batches, asked for one by one through hooks; a batch is what one connection carries.
 * Out:    exactly one result per mail, through hooks, as soon as it is known.
 * Source: RFC 5321; RFC 8460 section 3 (R48: deliver in spite of TLS errors).
 * Limits: SMTP_BATCH_MAX mails a batch, SMTP_CONNECTIONS_MAX workers; a server that hangs, crashes or lies
 *         costs its own batch a retry and nothing else.
 *
 * A batch names targets in order of preference.  If a session fails before its first mail, the next target is
 * tried; but if TLS was opportunistic and TLS failed, the same target is tried again without TLS first.
 */
#ifndef DELIVER_SMTP_H
#define DELIVER_SMTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "deliver/smtp_wire.h"
#include "model/delivery_result.h"

#define SMTP_BATCH_MAX       100
#define SMTP_CONNECTIONS_MAX 32

struct smtp_mail {
    int64_t id; /* the caller's */
    const char *envelope_from;
    const char *recipient;
    const void *bytes; /* CRLF lines, exactly one From, To, Date and Message-ID */
    size_t len;
};

/* No text is NULL. */
struct smtp_target {
    const char *host;
    uint16_t port;
    const char *address; /* connect to this checked address; "": to any of host's */
    const char *ehlo_name;
    enum smtp_tls tls;
    const char *ca_file; /* SMTP_TLS_REQUIRE; "": the system's */
    const char *user;    /* "": no AUTH */
    const char *password;
};

struct smtp_batch {
    const struct smtp_target *targets; /* at least one */
    size_t target_count;
    const struct smtp_mail *mails;
    size_t count; /* 1 .. SMTP_BATCH_MAX */
    void *owner;  /* the caller's */
};

struct smtp_hooks {
    void *context;
    /* The next batch, which must live until batch_done; false: none now.  Asked again when one is done. */
    bool (*next)(void *context, struct smtp_batch *batch_out);
    void (*result)(void *context, int64_t id, const struct delivery_result *result);
    /* There were results in the last few milliseconds: time to commit them.  May be NULL. */
    void (*settled)(void *context);
    /* All mails of the batch have had their result. */
    void (*batch_done)(void *context, const struct smtp_batch *batch);
};

struct smtp_limits {
    unsigned connections;       /* at once */
    int64_t connect_timeout_ms; /* lookup of the name and TCP, all addresses together */
    int64_t step_timeout_ms;    /* each answer */
    int64_t session_timeout_ms; /* from start to end of one connection */
    int64_t stop_at_ms;         /* clock_monotonic_ms: ask for no batch after that; 0: no limit */
};

#define SMTP_LIMITS_DEFAULT                                                                                  \
    ((struct smtp_limits){.connections = 4,                                                                  \
                          .connect_timeout_ms = 30000,                                                       \
                          .step_timeout_ms = 60000,                                                          \
                          .session_timeout_ms = 300000})

/*
 * Deliver batches until next has no more (or stop_at_ms has passed) and none is in progress.  worker: path of
 * tlsrpt-gen-smtp; if it cannot be started, each mail's result is "try later".
 * ST_NOMEM  before the first batch was asked for
 * ST_IO     poll failed; every mail has had its result all the same
 */
MUST_CHECK enum status smtp_deliver(const char *worker, const struct smtp_limits *limits,
                                    const struct smtp_hooks *hooks, struct err *err);

/*
 * Find the worker: beside the running program (as in the build folder), or where it is installed.
 * ST_NOT_FOUND  in neither place
 * ST_RANGE      its path is longer than size
 */
MUST_CHECK enum status smtp_find_worker(char *path_out, size_t size, struct err *err);

#endif
