/* SPDX-License-Identifier: MIT */
/* The worked examples of tests/data/worked as the rows that a session store would tell. */
#ifndef TESTS_UNIT_REPORT_ROWS_H
#define TESTS_UNIT_REPORT_ROWS_H

#include "base/attr.h"
#include "model/report_source.h"

struct detail_row {
    struct failure_detail detail;
    uint64_t sessions;
};

struct policy_row {
    struct policy policy;
    struct session_counts counts;
    const struct detail_row *details;
    size_t detail_count;
};

struct report_rows {
    const char *domain;
    const struct policy_row *policies;
    size_t policy_count;
};

#define TEXTS(...)                                                                                           \
    {                                                                                                        \
        (const char *[]){__VA_ARGS__}, sizeof((const char *[]){__VA_ARGS__}) / sizeof(const char *)          \
    }
#define TA "3 1 1 0F1E2D3C4B5A69788796A5B4C3D2E1F00112233445566778899AABBCCDDEEFF0"
#define TB "3 1 1 A1B2C3D4E5F60718293A4B5C6D7E8F90FEDCBA98765432100123456789ABCDEF"

// clang-format off
static const struct policy_row HARBOUR[] = {
    {.policy = {POLICY_STS, "harbour.example",
                TEXTS("version: STSv1", "mode: enforce", "mx: mx1.harbour.example",
                      "mx: *.backup.harbour.example", "max_age: 1209600"),
                TEXTS("mx1.harbour.example", "*.backup.harbour.example")},
     .counts = {3, 0}},
};

static const struct detail_row LANTERN_DETAILS[] = {
    {{RESULT_CERTIFICATE_EXPIRED, "192.0.2.10", "mx1.lantern.example", "mx1.lantern.example", "198.51.100.25",
      NULL, NULL}, 2},
    {{RESULT_VALIDATION_FAILURE, "2001:db8::10", "mx1.lantern.example", "mx1.lantern.example",
      "2001:db8:77::25", NULL, "self-signed_certificate"}, 1},
};

static const struct policy_row LANTERN[] = {
    {.policy = {POLICY_TLSA, "mx1.lantern.example", TEXTS(TA, TB), {NULL, 0}},
     .counts = {4, 3}, .details = LANTERN_DETAILS, .detail_count = 2},
};

static const struct detail_row QUAY_STS[] = {
    {{RESULT_CERTIFICATE_HOST_MISMATCH, "192.0.2.10", "mx2.quay.example", "mx2.quay.example",
      "198.51.100.80", NULL, NULL}, 1},
};

static const struct detail_row QUAY_NONE[] = {
    {{RESULT_STARTTLS_NOT_SUPPORTED, "192.0.2.10", "mx9.quay.example", "mx9.quay.example",
      "198.51.100.89", NULL, NULL}, 1},
};

static const struct policy_row QUAY[] = {
    {.policy = {POLICY_TLSA, "mx2.quay.example", TEXTS(TA), {NULL, 0}}, .counts = {1, 0}},
    {.policy = {POLICY_STS, "quay.example",
                TEXTS("version: STSv1", "mode: testing", "mx: *.quay.example", "max_age: 86400"),
                TEXTS("*.quay.example")},
     .counts = {0, 1}, .details = QUAY_STS, .detail_count = 1},
    {.policy = {POLICY_NO_POLICY_FOUND, "quay.example", {NULL, 0}, {NULL, 0}},
     .counts = {2, 1}, .details = QUAY_NONE, .detail_count = 1},
};
// clang-format on

static const struct report_rows WORKED[] = {
    {"harbour.example", HARBOUR, ARRAY_COUNT(HARBOUR)},
    {"lantern.example", LANTERN, ARRAY_COUNT(LANTERN)},
    {"quay.example", QUAY, ARRAY_COUNT(QUAY)},
};

/* report_source.replay over a struct report_rows. */
static inline enum status rows_replay(void *context, const struct report_visitor *visitor, struct err *err)
{
    const struct report_rows *rows = context;
    enum status status = ST_OK;

    for (size_t i = 0; i < rows->policy_count && status == ST_OK; i++) {
        const struct policy_row *row = &rows->policies[i];

        status = visitor->policy(visitor->context, &row->policy, &row->counts, err);
        for (size_t k = 0; k < row->detail_count && status == ST_OK; k++)
            status =
                visitor->detail(visitor->context, &row->details[k].detail, row->details[k].sessions, err);
    }
    return status;
}

#endif
