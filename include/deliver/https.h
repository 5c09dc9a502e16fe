/* SPDX-License-Identifier: MIT */
/*
 * https.h - deliver reports by HTTPS: POST each gzip file to its URL, several at once; the only place that
 * knows libcurl.
 *
 * In:     posts, started one by one, with the addresses that their host's name has.
 * Out:    exactly one result per post, from https_take.
 * Source: RFC 8460 sections 3 and 5.4 (R56 to R61).
 * Limits: HTTPS_PARALLEL_MAX posts at once; an answer is read up to HTTPS_ANSWER_MAX bytes; each post has a deadline.
 *
 * Only https_poll waits, and at most wait_ms: one loop drives this, the SMTP workers and the resolver.  Every address
 * is checked against the address policy before the connection and again when its socket is made, and curl never looks a
 * name up itself.  One request per post; a second one only where the first could not be sent because of the certificate
 * (HTTPS_VERIFY_FALLBACK), or after a redirect that is allowed.
 */
#ifndef DELIVER_HTTPS_H
#define DELIVER_HTTPS_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "deliver/address_policy.h"
#include "model/address.h"
#include "model/delivery_result.h"

#define HTTPS_PARALLEL_MAX  128
#define HTTPS_ADDRESSES_MAX 16
#define HTTPS_ANSWER_MAX    65536
#define HTTPS_URL_MAX       4096
#define HTTPS_POLL_MAX      1152 /* descriptors of others that https_poll can wait for */

/* What a bad certificate means. */
enum https_verify {
    HTTPS_VERIFY_FALLBACK, /* checked; if the check fails, sent without it, and the result says so (R59) */
    HTTPS_VERIFY_STRICT,   /* try later */
    HTTPS_VERIFY_OFF,      /* not checked */
};

struct https_post {
    int64_t id;       /* the caller's */
    const char *url;  /* used literally (R60) */
    const char *host; /* as in url; an IPv6 address without brackets */
    uint16_t port;
    const struct address *addresses; /* of host, in the order to try them */
    size_t address_count;
    const void *body;
    size_t len;
    int64_t deadline_ms; /* clock_monotonic_ms: ended then, with a result */
};

struct https_settings {
    const struct address_policy *address_policy;
    enum https_verify verify;
    const char *ca_file;    /* "": the system's */
    const char *user_agent; /* "tlsrpt-gen/0.1.0" */
    unsigned redirects;     /* 307 and 308 to https that are followed; 0: none */
    unsigned parallel;
    int64_t connect_timeout_ms;
    int64_t total_timeout_ms;
};

#define HTTPS_PARALLEL_DEFAULT   64
#define HTTPS_CONNECT_TIMEOUT_MS 10000
#define HTTPS_TOTAL_TIMEOUT_MS   60000

struct https_pool;

/*
 * settings are borrowed for the pool's life.  SIGPIPE must be ignored.
 * ST_CONFIG    ca_file cannot be read
 * ST_NOMEM
 * ST_INTERNAL  this curl lacks an option that is needed
 */
MUST_CHECK enum status https_open(const struct https_settings *settings, struct https_pool **pool_out,
                                  struct err *err);

/* Drops what is under way.  Accepts NULL, sets it to NULL. */
void https_close(struct https_pool **pool);

/* At most settings.parallel posts at a time.  The post and all it points to must live until its result is taken. */
void https_start(struct https_pool *pool, const struct https_post *post);

/*
 * Let curl work, and wait for it or for one of fds, wait_ms at most and not at all while a result can be taken.
 * ST_INTERNAL  curl cannot go on;  ST_NOMEM
 */
MUST_CHECK enum status https_poll(struct https_pool *pool, struct pollfd *fds, size_t count, int wait_ms,
                                  struct err *err);

/* The next post that has come to its end; false if none has. */
bool https_take(struct https_pool *pool, int64_t *id_out, struct delivery_result *result_out);

/*
 * The next redirect whose host must be looked up; host_out lives until https_locate, which answers it.  count 0: the host
 * has no address, or, if trouble is not NULL, it could not be looked up now, and trouble says why.
 */
bool https_wants_addresses(struct https_pool *pool, int64_t *id_out, const char **host_out);
void https_locate(struct https_pool *pool, int64_t id, const struct address *addresses, size_t count,
                  const char *trouble);

/* End all posts under way; each has a result that says why. */
void https_end(struct https_pool *pool, const char *reason);

#endif
