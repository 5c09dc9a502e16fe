/* SPDX-License-Identifier: MIT */
/*
 * policy.h - RFC 8460's nouns: a policy that sessions were held against, a failure detail, and counts.
 * Source: RFC 8460 section 4.4; canonical form: rfc8460.md B.4 (R20, R25, R31 to R33).
 *
 * All texts are borrowed by these structs and live as long as the arena or row they came from.  "Canonical"
 * means: built by the datagram or log codec through the functions of domain.h, address.h and detail_text.h,
 * so that equal policies and details are equal byte for byte.
 */
#ifndef MODEL_POLICY_H
#define MODEL_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/result_type.h"

/* Limits on what one policy or detail may carry (rfc8460.md part F); longer texts are cut, more items left
 * out. */
#define POLICY_LINE_MAX   1024 /* bytes of one policy-string or mx-host item */
#define POLICY_LINES_MAX  200  /* items of policy-string, and of mx-host */
#define DETAIL_HELO_MAX   255
#define DETAIL_REASON_MAX 256
#define DETAIL_URI_MAX    1024

/* In the order that policies have in a report. */
enum policy_type {
    POLICY_TLSA,
    POLICY_STS,
    POLICY_NO_POLICY_FOUND,
    POLICY_TYPE_COUNT,
};

struct text_list {
    const char **items;
    size_t count;
};

struct policy {
    enum policy_type type;
    const char *domain;        /* policy-domain: A-labels, lower case, no final dot; never NULL */
    struct text_list strings;  /* policy-string, may be empty; tlsa: sorted, unique, "U S M HEX" (R20, R33) */
    struct text_list mx_hosts; /* mx-host patterns; sts only (R22), else empty */
};

/* Every text may be NULL: unknown, to be left out of the report (R32). */
struct failure_detail {
    enum result_type result_type;
    const char *sending_mta_ip;         /* RFC 5952 text */
    const char *receiving_mx_hostname;  /* A-labels, lower case */
    const char *receiving_mx_helo;      /* host name only */
    const char *receiving_ip;           /* RFC 5952 text */
    const char *additional_information; /* a URI (RFC 3986) */
    const char *failure_reason_code;    /* no control characters, at most DETAIL_REASON_MAX bytes */
};

/* Sessions of one policy (R34). */
struct session_counts {
    uint64_t success;
    uint64_t failure;
};

/* "tlsa", "sts", "no-policy-found" */
const char *policy_type_name(enum policy_type type);
bool policy_type_from_name(const char *name, enum policy_type *type_out);

/* libtlsrpt's number: 1, 2, 9. */
int policy_type_code(enum policy_type type);
bool policy_type_from_code(long long code, enum policy_type *type_out);

/* Canonical order: type, domain, strings, mx hosts; 0 if they are the same policy. */
int policy_compare(const struct policy *a, const struct policy *b);

/* Order of details that occurred equally often: result type's word, then each field, unknown first; 0 if
 * equal. */
int failure_detail_compare(const struct failure_detail *a, const struct failure_detail *b);

#endif
