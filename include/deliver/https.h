/* SPDX-License-Identifier: MIT */
/*
 * https.h - deliver reports by HTTPS: POST each gzip file to its URL, several at once; the only place that
 * knows libcurl.
 *
 * In:     posts with the addresses of their hosts, asked for one by one through hooks.
 * Out:    exactly one result per post, through hooks.
 * Source: RFC 8460 sections 3 and 5.4 (R56 to R61).
 * Limits: HTTPS_PARALLEL_MAX posts at once; an answer is read up to HTTPS_ANSWER_MAX bytes; time limits.
 *
 * Every address is checked against the address policy before the connection and again when its socket is
 * made, and curl never looks up a name itself.  One request per post; a second one only if the certificate
 * was bad (HTTPS_VERIFY_FALLBACK), or after a redirect that is allowed.
 */
#ifndef DELIVER_HTTPS_H
#define DELIVER_HTTPS_H

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
    void *owner; /* the caller's */
};

struct https_hooks {
    void *context;
    /* The next post, which must live until post_done; false: none now.  Asked again when a post is done. */
    bool (*next)(void *context, struct https_post *post_out);
    void (*result)(void *context, int64_t id, const struct delivery_result *result);
    /* There were results in the last few milliseconds: time to commit them.  May be NULL. */
    void (*settled)(void *context);
    void (*post_done)(void *context, const struct https_post *post);
    /* Addresses of a redirect's host; how many, at most max.  NULL: no redirects. */
    size_t (*locate)(void *context, const char *host, struct address *addresses_out, size_t max);
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
    int64_t stop_at_ms; /* clock_monotonic_ms: ask for no post after that; 0: no limit */
};

#define HTTPS_PARALLEL_DEFAULT   32
#define HTTPS_CONNECT_TIMEOUT_MS 10000
#define HTTPS_TOTAL_TIMEOUT_MS   60000

/*
 * Deliver posts until next has no more (or stop_at_ms has passed) and none is in progress.  SIGPIPE must be
 * ignored.  Also after a failure, every post that was taken has had its result.
 * ST_CONFIG    ca_file cannot be used
 * ST_NOMEM
 * ST_INTERNAL  curl cannot do what we need
 */
MUST_CHECK enum status https_deliver(const struct https_settings *settings, const struct https_hooks *hooks,
                                     struct err *err);

#endif
