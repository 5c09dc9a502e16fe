/* SPDX-License-Identifier: MIT */
/*
 * smtp.h - deliver mails by SMTP: batches over a few connections at once, each connection in a worker process
 * of its own (tlsrpt-gen-smtp), which is killed if it takes too long.
 *
 * In:     batches, started one by one; a batch is what one connection carries.
 * Out:    exactly one result per mail, from smtp_take, as soon as it is known.
 * Source: RFC 5321; RFC 8460 section 3 (R48: deliver in spite of TLS errors).
 * Limits: SMTP_BATCH_MAX mails a batch, SMTP_CONNECTIONS_MAX workers; a batch has one deadline for all its targets;
 *         a server's hang, crash or lie costs its batch a retry and nothing else.
 *
 * Nothing here waits: one loop drives this, the HTTPS transfers and the resolver.
 *
 * A batch names targets in order of preference.  If a session fails before its first mail, the next target is
 * tried; but if TLS was opportunistic and TLS failed, the same target is tried again without TLS first.
 */
#ifndef DELIVER_SMTP_H
#define DELIVER_SMTP_H

#include <poll.h>
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
    size_t count;        /* 1 .. SMTP_BATCH_MAX */
    int64_t deadline_ms; /* clock_monotonic_ms: the whole batch is ended then */
    void *owner;         /* the caller's */
};

struct smtp_limits {
    unsigned connections;       /* at once */
    int64_t connect_timeout_ms; /* lookup of the name and TCP, all addresses together */
    int64_t step_timeout_ms;    /* each answer */
    int64_t session_timeout_ms; /* from start to end of one connection */
};

#define SMTP_LIMITS_DEFAULT                                                                                  \
    ((struct smtp_limits){.connections = 4,                                                                  \
                          .connect_timeout_ms = 30000,                                                       \
                          .step_timeout_ms = 60000,                                                          \
                          .session_timeout_ms = 300000})

struct smtp_pool;

/* worker (path of tlsrpt-gen-smtp) and limits are borrowed for the pool's life.  ST_NOMEM */
MUST_CHECK enum status smtp_open(const char *worker, const struct smtp_limits *limits,
                                 struct smtp_pool **pool_out, struct err *err);

/* Kills the workers.  Accepts NULL, sets it to NULL. */
void smtp_close(struct smtp_pool **pool);

/*
 * At most limits.connections batches at a time.  The batch and all it points to must live until smtp_finish gives it back.  A worker that cannot be
 * started is a result (try later) of each mail.
 */
void smtp_start(struct smtp_pool *pool, const struct smtp_batch *batch);

/* What to poll for (at most SMTP_CONNECTIONS_MAX), and for how long at most (-1: nothing is under way). */
size_t smtp_prepare(const struct smtp_pool *pool, struct pollfd *fds_out, int *wait_ms_out);

/* Feed and read the workers whose descriptors are ready, and end what is over its time. */
void smtp_step(struct smtp_pool *pool, const struct pollfd *fds, size_t count);

/* The next result of a mail; false if none is known. */
bool smtp_take(struct smtp_pool *pool, int64_t *id_out, struct delivery_result *result_out);

/* The owner of a batch whose results are all taken and whose worker has ended; NULL if there is none. */
void *smtp_finish(struct smtp_pool *pool);

/* Kill all workers; the mails under way have a result that says why. */
void smtp_end(struct smtp_pool *pool, const char *reason);

/*
 * Find the worker: beside the running program (as in the build folder), or where it is installed.
 * ST_NOT_FOUND  in neither place
 * ST_RANGE      its path is longer than size
 */
MUST_CHECK enum status smtp_find_worker(char *path_out, size_t size, struct err *err);

#endif
