/* SPDX-License-Identifier: MIT */
/*
 * session_result.h - the result of one TLS session as an MTA reported it: the unit that the collector receives
 * and counts.
 * Source: libtlsrpt's datagram (rfc8460.md part G); RFC 8460 section 4.
 *
 * All texts live in the arena that the result was decoded into, or are borrowed; all are canonical (policy.h).
 */
#ifndef MODEL_SESSION_RESULT_H
#define MODEL_SESSION_RESULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/policy.h"

#define RESULT_POLICIES_MAX 32  /* policies of one result */
#define RESULT_DETAILS_MAX  256 /* details of one policy of one result */
#define RESULT_RECORD_MAX   4096

struct result_policy {
    struct policy policy;
    bool is_failed; /* the session did not meet this policy */
    struct failure_detail *details;
    size_t detail_count; /* may be > 0 for a success, and 0 for a failure (rfc8460.md G.1) */
};

struct session_result {
    const char *domain; /* whose TLSRPT record asked for reports: canonical name, never NULL */
    const char *record; /* text of that record as the MTA saw it, or NULL */
    bool has_utc_day;   /* a log reader knows the day; else it is the day of arrival */
    int32_t utc_day;
    uint64_t log_id;     /* the log reader's random name of its log; 0: none */
    uint64_t log_number; /* it numbers its results from 1: one that is sent twice counts once */
    struct result_policy *policies;
    size_t policy_count;     /* at least 1 */
    bool is_repaired;        /* invalid UTF-8 was replaced by U+FFFD */
    size_t dropped_policies; /* policies of an unknown type that were left out */
};

/*
 * R73: put address (RFC 5952 text, borrowed) in place of the sending MTA's, in every detail: behind NAT the
 * real one tells a receiver nothing and everybody too much.
 */
void session_result_set_sending_mta_ip(struct session_result *result, const char *address);

#endif
