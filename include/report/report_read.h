/* SPDX-License-Identifier: MIT */
/*
 * report_read.h - read anybody's TLSRPT report, as far as it can be understood, and say where it departs
 * from RFC 8460.
 *
 * In:     the JSON text, any bytes.
 * Out:    its contents with nothing trusted (texts as the sender wrote them), and a list of findings.
 * Source: RFC 8460 sections 4 and 5, RFC 7493, and what receivers refuse (rfc8460.md B.2 to B.5).
 * Limits: the text should be at most REPORT_READ_BYTES_MAX; at most REPORT_READ_ITEMS_MAX items of each array
 *         are kept (all are counted).
 */
#ifndef REPORT_REPORT_READ_H
#define REPORT_REPORT_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/strbuf.h"
#include "model/finding.h"
#include "model/policy.h"
#include "model/report_envelope.h"

#define REPORT_READ_BYTES_MAX (32u << 20)
#define REPORT_READ_ITEMS_MAX 100000

/* Texts are never NULL: "" is absent, null or no text. */
struct report_read_detail {
    const char *result_type; /* as written */
    bool is_registered;
    enum result_type type; /* if is_registered */
    const char *sending_mta_ip;
    const char *receiving_mx_hostname;
    const char *receiving_mx_helo;
    const char *receiving_ip;
    const char *additional_information;
    const char *failure_reason_code;
    uint64_t sessions;
};

struct report_read_policy {
    const char *type; /* as written */
    bool is_known_type;
    enum policy_type known_type;
    const char *domain;
    struct text_list strings;
    struct text_list mx_hosts;
    uint64_t success;
    uint64_t failure;
    struct report_read_detail *details;
    size_t detail_count;
};

struct report_document {
    const char *organization_name;
    const char *contact_info;
    const char *report_id;
    const char *start; /* as written */
    const char *end;
    bool has_period; /* both could be read */
    int64_t begin_s;
    int64_t end_s;
    struct report_read_policy *policies;
    size_t policy_count;
    uint64_t success; /* summed over the policies */
    uint64_t failure;
};

/*
 * Read json[0..len).  Everything lives in arena; findings are added to the list.
 * ST_SYNTAX  not JSON, or a JSON text that is no TLSRPT report
 * ST_NOMEM   or the arena is full
 */
MUST_CHECK enum status report_read(const char *json, size_t len, struct arena *arena,
                                   struct finding_list *findings, struct report_document *document_out,
                                   struct err *err);

/* Add what the envelope does wrong, by itself and held against the document. */
void report_check_envelope(const struct report_envelope *envelope, const struct report_document *document,
                           struct finding_list *findings);

/*
 * Append the JSON text with one member a line and two blanks for each level, as `jq .` prints it, and a final
 * newline.  Characters that could disturb a terminal are written as \uXXXX.
 * ST_SYNTAX  not JSON
 * ST_RANGE   out is full
 * ST_NOMEM
 */
MUST_CHECK enum status report_format_pretty(const char *json, size_t len, struct strbuf *out,
                                            struct err *err);

#endif
