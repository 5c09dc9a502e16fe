/* SPDX-License-Identifier: MIT */
/* sessions.db: what the writer counts comes out of a reader in a report's order, with exact totals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../names.h"
#include "base/strbuf.h"
#include "store/session_writer.h"

#define DAY  20526 /* 2026-03-14 */
#define NOON (DAY * 86400LL + 43200)

static const struct session_limits LIMITS = {
    .max_policies = 100, .max_details = 1000, .max_subdomains = 1000};

struct fixture {
    char folder[64];
    char path[96];
    struct session_writer *writer;
    struct session_reader *reader; /* the writer's; other readers are opened where they are wanted */
    struct err err;
    struct strbuf out; /* what was read, one row a line */
};

static void must(struct fixture *fixture, enum status status)
{
    if (status != ST_OK)
        print_error("%s: %s\n", status_name(status), fixture->err.text);
    assert_int_equal(status, ST_OK);
}

static void reopen(struct fixture *fixture, const struct session_limits *limits)
{
    session_writer_close(&fixture->writer);
    must(fixture, session_writer_open(fixture->path, limits, &fixture->writer, &fixture->err));
    fixture->reader = session_writer_reader(fixture->writer);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    assert_non_null(fixture);
    strcpy(fixture->folder, "/tmp/session_sqlite_test.XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    (void)snprintf(fixture->path, sizeof fixture->path, "%s/sessions.db", fixture->folder);
    strbuf_init(&fixture->out, 16 * 1024 * 1024);
    reopen(fixture, &LIMITS);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    static const char *const SUFFIXES[] = {"", "-wal", "-shm"};
    struct fixture *fixture = *state;

    session_writer_close(&fixture->writer);
    for (size_t i = 0; i < ARRAY_COUNT(SUFFIXES); i++) {
        char path[128];

        (void)snprintf(path, sizeof path, "%s%s", fixture->path, SUFFIXES[i]);
        (void)unlink(path);
    }
    (void)rmdir(fixture->folder);
    strbuf_done(&fixture->out);
    free(fixture);
    return 0;
}

/* ---- going in ---- */

/* As the collector does; false: the day is closed. */
static bool add_result(struct fixture *fixture, const struct session_result *result, int32_t utc_day,
                       uint64_t count)
{
    struct tally_plan plan;
    bool is_closed = false;

    must(fixture, session_writer_begin(fixture->writer, &fixture->err));
    must(fixture, session_reader_is_closed(fixture->reader, utc_day, &is_closed, &fixture->err));
    if (!is_closed)
        must(fixture,
             session_writer_add(fixture->writer, result, utc_day, count, NOON, &plan, &fixture->err));
    must(fixture, session_writer_commit(fixture->writer, &fixture->err));
    return !is_closed;
}

static void add(struct fixture *fixture, const char *domain, const struct policy *policy, bool is_failed,
                const struct failure_detail *detail, uint64_t count)
{
    struct failure_detail copy = detail != NULL ? *detail : (struct failure_detail){0};
    struct result_policy row = {
        .policy = *policy, .is_failed = is_failed, .details = &copy, .detail_count = detail != NULL};
    struct session_result result = {.domain = domain, .policies = &row, .policy_count = 1};

    assert_true(add_result(fixture, &result, DAY, count));
}

static struct policy none_of(const char *domain)
{
    return (struct policy){.type = POLICY_NO_POLICY_FOUND, .domain = domain};
}

/* ---- coming out ---- */

static enum status write_policy(void *context, const struct policy *policy,
                                const struct session_counts *sessions, struct err *err)
{
    struct strbuf *out = context;

    (void)err;
    strbuf_addf(out, "%s %s", policy_type_name(policy->type), policy->domain);
    for (size_t i = 0; i < policy->strings.count; i++)
        strbuf_addf(out, " [%s]", policy->strings.items[i]);
    for (size_t i = 0; i < policy->mx_hosts.count; i++)
        strbuf_addf(out, " {%s}", policy->mx_hosts.items[i]);
    strbuf_addf(out, " %llu/%llu\n", (unsigned long long)sessions->success,
                (unsigned long long)sessions->failure);
    return ST_OK;
}

static const char *or_dash(const char *text)
{
    return text != NULL ? text : "-";
}

static enum status write_detail(void *context, const struct failure_detail *detail, uint64_t sessions,
                                struct err *err)
{
    (void)err;
    strbuf_addf(context, "  %llu %s %s %s %s %s %s %s\n", (unsigned long long)sessions,
                result_type_name(detail->result_type), or_dash(detail->sending_mta_ip),
                or_dash(detail->receiving_mx_hostname), or_dash(detail->receiving_mx_helo),
                or_dash(detail->receiving_ip), or_dash(detail->additional_information),
                or_dash(detail->failure_reason_code));
    return ST_OK;
}

static const char *read_day(struct fixture *fixture, int32_t utc_day, const char *domain)
{
    const struct report_visitor sink = {write_policy, write_detail, &fixture->out};

    strbuf_reset(&fixture->out);
    must(fixture, session_reader_read_domain(fixture->reader, utc_day, domain, &sink, &fixture->err));
    return fixture->out.data;
}

static enum status write_day(void *context, const struct session_day *day, struct err *err)
{
    (void)err;
    strbuf_addf(context, "%d %s %lld %llu %llu/%llu\n", day->utc_day - DAY,
                day->is_closed ? "closed" : "open", (long long)day->closed_at_s,
                (unsigned long long)day->domains, (unsigned long long)day->sessions.success,
                (unsigned long long)day->sessions.failure);
    return ST_OK;
}

static const char *read_days(struct fixture *fixture)
{
    strbuf_reset(&fixture->out);
    must(fixture, session_reader_each_day(fixture->reader, write_day, &fixture->out, &fixture->err));
    return fixture->out.data;
}

static enum status write_domain(void *context, const char *domain, const struct session_counts *sessions,
                                struct err *err)
{
    (void)err;
    strbuf_addf(context, "%s %llu/%llu\n", domain, (unsigned long long)sessions->success,
                (unsigned long long)sessions->failure);
    return ST_OK;
}

static const char *read_page(struct fixture *fixture, int32_t utc_day, const char *after, int64_t max)
{
    strbuf_reset(&fixture->out);
    must(fixture, session_reader_each_domain(fixture->reader, utc_day, after, max, write_domain,
                                             &fixture->out, &fixture->err));
    return fixture->out.data;
}

static const char *read_domains(struct fixture *fixture, int32_t utc_day)
{
    return read_page(fixture, utc_day, "", 100);
}

static enum status write_record(void *context, const char *record, int64_t last_seen_s, struct err *err)
{
    (void)err;
    strbuf_addf(context, "%s %lld\n", record, (long long)(last_seen_s - NOON));
    return ST_OK;
}

static uint64_t counter(struct fixture *fixture, enum session_counter id)
{
    uint64_t counters[COUNTER_COUNT];

    must(fixture, session_reader_counters(fixture->reader, counters, &fixture->err));
    return counters[id];
}

/* ---- tests ---- */

static void test_equal_policies_and_details_are_one_row(void **state)
{
    struct fixture *fixture = *state;
    const char *strings[] = {"version: STSv1", "mode: enforce"};
    const char *hosts[] = {"*.a.example"};
    struct policy sts = {POLICY_STS, "a.example", {strings, 2}, {hosts, 1}};
    struct failure_detail detail = {.result_type = RESULT_CERTIFICATE_EXPIRED, .receiving_ip = "192.0.2.1"};
    struct failure_detail bare = {.result_type = RESULT_CERTIFICATE_EXPIRED};

    add(fixture, "a.example", &sts, false, NULL, 3);
    add(fixture, "a.example", &sts, true, &detail, 2);
    reopen(fixture, &LIMITS);
    add(fixture, "a.example", &sts, true, &detail, 1);
    add(fixture, "a.example", &sts, true, &bare, 4);
    assert_string_equal(read_day(fixture, DAY, "a.example"),
                        "sts a.example [version: STSv1] [mode: enforce] {*.a.example} 3/7\n"
                        "  4 certificate-expired - - - - - -\n"
                        "  3 certificate-expired - - - 192.0.2.1 - -\n");
}

static void test_canonical_order(void **state)
{
    struct fixture *fixture = *state;
    const char *one[] = {"3 1 1 00"}, *two[] = {"3 1 1 00", "3 1 1 FF"}, *other[] = {"3 1 1 0000"};
    struct policy policies[] = {
        none_of("a.example"),
        {POLICY_STS, "a.example", {NULL, 0}, {NULL, 0}},
        {POLICY_TLSA, "mx2.a.example", {one, 1}, {NULL, 0}},
        {POLICY_TLSA, "mx1.a.example", {other, 1}, {NULL, 0}},
        {POLICY_TLSA, "mx1.a.example", {two, 2}, {NULL, 0}},
        {POLICY_TLSA, "mx1.a.example", {one, 1}, {NULL, 0}},
    };
    struct failure_detail details[] = {
        {.result_type = RESULT_VALIDATION_FAILURE, .failure_reason_code = "b"},
        {.result_type = RESULT_VALIDATION_FAILURE, .failure_reason_code = "a"},
        {.result_type = RESULT_VALIDATION_FAILURE, .receiving_ip = "192.0.2.1"},
        {.result_type = RESULT_CERTIFICATE_EXPIRED},
        {.result_type = RESULT_STARTTLS_NOT_SUPPORTED},
    };

    for (size_t i = 0; i < ARRAY_COUNT(policies); i++)
        add(fixture, "a.example", &policies[i], false, NULL, i + 1);
    for (size_t i = 0; i < ARRAY_COUNT(details); i++)
        add(fixture, "a.example", &policies[0], true, &details[i], i == 4 ? 9 : 1);
    assert_string_equal(read_day(fixture, DAY, "a.example"), "tlsa mx1.a.example [3 1 1 00] 6/0\n"
                                                             "tlsa mx1.a.example [3 1 1 00] [3 1 1 FF] 5/0\n"
                                                             "tlsa mx1.a.example [3 1 1 0000] 4/0\n"
                                                             "tlsa mx2.a.example [3 1 1 00] 3/0\n"
                                                             "sts a.example 2/0\n"
                                                             "no-policy-found a.example 1/13\n"
                                                             "  9 starttls-not-supported - - - - - -\n"
                                                             "  1 certificate-expired - - - - - -\n"
                                                             "  1 validation-failure - - - - - a\n"
                                                             "  1 validation-failure - - - - - b\n"
                                                             "  1 validation-failure - - - 192.0.2.1 - -\n");
    for (size_t i = 0; i + 1 < ARRAY_COUNT(details); i++) /* the same order as the model's */
        assert_true(failure_detail_compare(&details[3], &details[i]) <= 0);
    assert_true(failure_detail_compare(&details[1], &details[2]) < 0);
}

static void test_details_stay_with_their_policy(void **state)
{
    struct fixture *fixture = *state;
    struct policy first = {POLICY_STS, "a.example", {NULL, 0}, {NULL, 0}}, second = none_of("a.example");
    struct failure_detail detail = {.result_type = RESULT_CERTIFICATE_EXPIRED};

    add(fixture, "a.example", &first, true, &detail, 1);
    add(fixture, "a.example", &second, true, &detail, 2);
    assert_string_equal(read_day(fixture, DAY, "a.example"), "sts a.example 0/1\n"
                                                             "  1 certificate-expired - - - - - -\n"
                                                             "no-policy-found a.example 0/2\n"
                                                             "  2 certificate-expired - - - - - -\n");
}

static void test_days_and_domains_are_apart(void **state)
{
    struct fixture *fixture = *state;
    struct policy policy = none_of("x.example");
    struct result_policy row = {.policy = policy};
    struct session_result result = {.domain = "b.example", .policies = &row, .policy_count = 1};

    assert_true(add_result(fixture, &result, DAY, 1));
    assert_true(add_result(fixture, &result, DAY + 1, 2));
    result.domain = "a.example";
    row.is_failed = true;
    assert_true(add_result(fixture, &result, DAY + 1, 4));
    assert_string_equal(read_days(fixture), "0 open 0 1 1/0\n1 open 0 2 2/4\n");
    assert_string_equal(read_domains(fixture, DAY), "b.example 1/0\n");
    assert_string_equal(read_domains(fixture, DAY + 1), "a.example 0/4\nb.example 2/0\n");
    assert_string_equal(read_domains(fixture, DAY + 2), "");
    assert_int_equal(session_reader_read_domain(fixture->reader, DAY, "a.example",
                                                &(struct report_visitor){write_policy, NULL, &fixture->out},
                                                &fixture->err),
                     ST_NOT_FOUND);
}

static void test_domains_are_read_page_by_page(void **state)
{
    static const struct {
        const char *text; /* what is asked for */
        const char *after;
        int64_t max;
        const char *want;
    } rows[] = {
        {"the first page", "", 2, "a.example 1/0\nb.example 2/0\n"},
        {"the next page", "b.example", 2, "c-d.example 1/0\nc.example 1/0\n"},
        {"a last page that is full", "c-d.example", 1, "c.example 1/0\n"},
        {"a page with room left", "a.example", 9, "b.example 2/0\nc-d.example 1/0\nc.example 1/0\n"},
        {"after a name without sessions", "aa.example", 1, "b.example 2/0\n"},
        {"after the last", "c.example", 2, ""},
    };
    static const char *const names[] = {"c.example", "b.example", "a.example", "c-d.example"};
    struct fixture *fixture = *state;
    struct policy policy = none_of("x.example");
    struct result_policy other_day = {.policy = policy};
    struct session_result other = {.domain = "bb.example", .policies = &other_day, .policy_count = 1};

    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        add(fixture, names[i], &policy, false, NULL, 1);
    policy.type = POLICY_STS;
    add(fixture, "b.example", &policy, false, NULL, 1); /* two rows of one domain */
    assert_true(add_result(fixture, &other, DAY + 1, 1));
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        const char *got = read_page(fixture, DAY, rows[i].after, rows[i].max);

        if (strcmp(got, rows[i].want) != 0)
            print_error("%s\n", rows[i].text);
        assert_string_equal(got, rows[i].want);
    }
}

static enum status write_sts(void *context, const struct session_sts *sts, struct err *err)
{
    (void)err;
    strbuf_addf(context, "%s %s %llu\n", sts->domain, sts->is_enforced ? "enforced" : "-",
                (unsigned long long)sts->without_type);
    return ST_OK;
}

static void test_domains_with_mta_sts_and_their_certificate_failures(void **state)
{
    const char *enforce[] = {"version: STSv1", "mode: enforce"}, *testing[] = {"mode: testing"};
    const struct policy none = none_of("x.example");
    const struct policy enforced = {POLICY_STS, "x.example", {enforce, 2}, {NULL, 0}};
    const struct policy tested = {POLICY_STS, "x.example", {testing, 1}, {NULL, 0}};
    const struct policy dane = {POLICY_TLSA, "mx.x.example", {NULL, 0}, {NULL, 0}};
    const struct {
        const char *domain;
        const struct policy *policy;
        int day;                 /* counted from DAY */
        enum result_type failed; /* RESULT_TYPE_COUNT: success */
        uint64_t count;
    } rows[] = {
        {"ok.example", &enforced, 0, RESULT_TYPE_COUNT, 1},
        {"failing.example", &enforced, -9, RESULT_TYPE_COUNT, 1},
        {"failing.example", &none, 0, RESULT_CERTIFICATE_HOST_MISMATCH, 2},
        {"failing.example", &none, 1, RESULT_CERTIFICATE_EXPIRED, 3},
        {"failing.example", &none, 1, RESULT_CERTIFICATE_NOT_TRUSTED, 4},
        {"failing.example", &none, 1, RESULT_STARTTLS_NOT_SUPPORTED, 100},
        {"failing.example", &none, -1, RESULT_CERTIFICATE_EXPIRED, 100},
        {"failing.example", &none, 2, RESULT_CERTIFICATE_EXPIRED, 100},
        {"failing.example", &tested, 0, RESULT_CERTIFICATE_EXPIRED, 100},
        {"tested.example", &tested, 0, RESULT_CERTIFICATE_EXPIRED, 1},
        {"later.example", &none, 0, RESULT_CERTIFICATE_EXPIRED, 100}, /* its policy came on the day after */
        {"later.example", &enforced, 1, RESULT_TYPE_COUNT, 1},
        {"none.example", &none, 0, RESULT_CERTIFICATE_EXPIRED, 100},
        {"dane.example", &dane, 0, RESULT_CERTIFICATE_EXPIRED, 100},
        {"known.example", &none, 0, RESULT_CERTIFICATE_EXPIRED, 5},
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        bool is_failed = rows[i].failed != RESULT_TYPE_COUNT;
        struct failure_detail detail = {.result_type =
                                            is_failed ? rows[i].failed : RESULT_STARTTLS_NOT_SUPPORTED};
        struct result_policy policy = {
            .policy = *rows[i].policy, .is_failed = is_failed, .details = &detail, .detail_count = is_failed};
        struct session_result result = {.domain = rows[i].domain, .policies = &policy, .policy_count = 1};

        assert_true(add_result(fixture, &result, DAY + rows[i].day, rows[i].count));
    }
    strbuf_reset(&fixture->out);
    must(fixture, session_reader_each_sts(fixture->reader, DAY, "known.example", write_sts, &fixture->out,
                                          &fixture->err));
    assert_string_equal(fixture->out.data, "failing.example enforced 9\n"
                                           "known.example - 5\n"
                                           "later.example enforced 0\n"
                                           "ok.example enforced 0\n"
                                           "tested.example - 0\n");
}

static void test_a_result_with_several_policies(void **state)
{
    struct fixture *fixture = *state;
    struct failure_detail details[] = {{.result_type = RESULT_CERTIFICATE_EXPIRED},
                                       {.result_type = RESULT_CERTIFICATE_EXPIRED},
                                       {.result_type = RESULT_TLSA_INVALID}};
    struct result_policy rows[] = {
        {.policy = {POLICY_STS, "a.example", {NULL, 0}, {NULL, 0}},
         .is_failed = true,
         .details = details,
         .detail_count = 3},
        {.policy = {POLICY_TLSA, "mx.a.example", {NULL, 0}, {NULL, 0}}},
        {.policy = {POLICY_TLSA, "mx.a.example", {NULL, 0}, {NULL, 0}}},
    };
    struct session_result result = {.domain = "a.example", .policies = rows, .policy_count = 3};

    assert_true(add_result(fixture, &result, DAY, 5));
    assert_string_equal(read_day(fixture, DAY, "a.example"), "tlsa mx.a.example 10/0\n"
                                                             "sts a.example 0/5\n"
                                                             "  10 certificate-expired - - - - - -\n"
                                                             "  5 tlsa-invalid - - - - - -\n");
}

static void test_what_comes_for_a_closed_day_is_late(void **state)
{
    struct fixture *fixture = *state;
    struct result_policy row = {.policy = none_of("a.example")};
    struct session_result result = {.domain = "a.example", .policies = &row, .policy_count = 1};

    assert_true(add_result(fixture, &result, DAY, 1));
    must(fixture, session_reader_close_day(fixture->reader, DAY, 77, &fixture->err));
    must(fixture, session_reader_close_day(fixture->reader, DAY, 99, &fixture->err));
    assert_false(add_result(fixture, &result, DAY, 1));
    assert_true(add_result(fixture, &result, DAY + 1, 1));
    assert_string_equal(read_days(fixture), "0 closed 77 1 1/0\n1 open 0 1 1/0\n");
}

static void test_caps_fold_with_exact_totals(void **state)
{
    const struct session_limits limits = {.max_policies = 3, .max_details = 4, .max_subdomains = 1};
    struct fixture *fixture = *state;
    char domain[64], ip[64];

    reopen(fixture, &limits);
    for (int i = 0; i < 10; i++) {
        struct policy policy = {POLICY_TLSA, domain, {NULL, 0}, {NULL, 0}};
        struct failure_detail detail = {
            .result_type = i % 2 ? RESULT_TLSA_INVALID : RESULT_CERTIFICATE_EXPIRED, .receiving_ip = ip};

        (void)snprintf(domain, sizeof domain, "mx%d.a.example", i);
        (void)snprintf(ip, sizeof ip, "192.0.2.%d", i);
        add(fixture, "a.example", &policy, true, &detail, 1);
        add(fixture, "a.example", &policy, true, &detail, 1); /* the second time is folded the same way */
    }
    add(fixture, "a.example", &(struct policy){POLICY_STS, "b.example", {NULL, 0}, {NULL, 0}}, false, NULL,
        7);
    assert_string_equal(read_day(fixture, DAY, "a.example"), "tlsa a.example 0/14\n"
                                                             "  6 certificate-expired - - - - - -\n"
                                                             "  6 tlsa-invalid - - - - - -\n"
                                                             "  2 tlsa-invalid - - - 192.0.2.3 - -\n"
                                                             "tlsa mx0.a.example 0/2\n"
                                                             "  2 certificate-expired - - - 192.0.2.0 - -\n"
                                                             "tlsa mx1.a.example 0/2\n"
                                                             "  2 tlsa-invalid - - - 192.0.2.1 - -\n"
                                                             "tlsa mx2.a.example 0/2\n"
                                                             "  2 certificate-expired - - - 192.0.2.2 - -\n"
                                                             "sts a.example 7/0\n");
    assert_int_equal(counter(fixture, COUNTER_FOLDED_POLICIES), 14 + 7);
    assert_int_equal(counter(fixture, COUNTER_FOLDED_DETAILS), 12);
}

static enum status write_over_budget(void *context, const struct session_over_budget *over, struct err *err)
{
    (void)err;
    strbuf_addf(context, "%d %s %llu %llu\n", over->utc_day - DAY, over->organization,
                (unsigned long long)over->subdomains, (unsigned long long)over->sessions);
    return ST_OK;
}

static const char *read_over_budget(struct fixture *fixture)
{
    strbuf_reset(&fixture->out);
    must(fixture, session_reader_each_over_budget(fixture->reader, 10, write_over_budget, &fixture->out,
                                                  &fixture->err));
    return fixture->out.data;
}

/* One session without a policy, as the collector counts it. */
static enum status add_or_refuse(struct fixture *fixture, const char *domain, int32_t utc_day)
{
    struct result_policy row = {.policy = none_of(domain)};
    struct session_result result = {
        .domain = domain, .record = "v=TLSRPTv1", .policies = &row, .policy_count = 1};
    struct tally_plan plan;
    uint64_t sessions = 0;
    enum status status;

    must(fixture, session_writer_begin(fixture->writer, &fixture->err));
    status = session_writer_add(fixture->writer, &result, utc_day, 1, NOON, &plan, &fixture->err);
    if (status == ST_DENIED)
        must(fixture,
             session_writer_add_over_budget(fixture->writer, domain, utc_day, 1, &sessions, &fixture->err));
    must(fixture, session_writer_commit(fixture->writer, &fixture->err));
    return status;
}

static void test_subdomains_beyond_the_budget_leave_no_rows(void **state)
{
    static const struct session_limits TWO = {.max_policies = 100, .max_details = 1000, .max_subdomains = 2};
    static const struct {
        const char *what, *domain;
        int32_t utc_day;
        enum status want;
    } ROWS[] = {
        {"the first subdomain", "a.zone.example", DAY, ST_OK},
        {"the second one", "b.zone.example", DAY, ST_OK},
        {"one too many", "c.zone.example", DAY, ST_DENIED},
        {"one below another", "c.b.zone.example", DAY, ST_DENIED},
        {"one too many again", "c.zone.example", DAY, ST_DENIED},
        {"one that is counted already", "a.zone.example", DAY, ST_OK},
        {"the organization's own domain", "zone.example", DAY, ST_OK},
        {"another organization", "a.other.example", DAY, ST_OK},
        {"an organization below a public suffix of two labels", "zone.co.uk", DAY, ST_OK},
        {"the next day", "c.zone.example", DAY + 1, ST_OK},
        {"a domain of the day before", "a.zone.example", DAY + 1, ST_OK},
        {"a domain of the day before, one too many", "b.zone.example", DAY + 1, ST_DENIED},
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        reopen(fixture, &TWO); /* the count is in the store */
        if (add_or_refuse(fixture, ROWS[i].domain, ROWS[i].utc_day) != ROWS[i].want)
            fail_msg("%s: %s", ROWS[i].what, ROWS[i].domain);
    }
    assert_string_equal(read_domains(fixture, DAY), "a.other.example 1/0\n"
                                                    "a.zone.example 2/0\n"
                                                    "b.zone.example 1/0\n"
                                                    "zone.co.uk 1/0\n"
                                                    "zone.example 1/0\n");
    assert_string_equal(read_domains(fixture, DAY + 1), "a.zone.example 1/0\nc.zone.example 1/0\n");
    assert_string_equal(read_over_budget(fixture), "1 zone.example 2 1\n0 zone.example 2 3\n");
    must(fixture, session_reader_delete_before(fixture->reader, DAY + 1, &fixture->err));
    assert_string_equal(read_over_budget(fixture), "1 zone.example 2 1\n");
}

static void test_only_a_refused_domain_is_over_budget(void **state)
{
    struct fixture *fixture = *state;
    uint64_t sessions = 7;

    must(fixture, session_writer_begin(fixture->writer, &fixture->err));
    assert_int_equal(
        session_writer_add_over_budget(fixture->writer, "a.zone.example", DAY, 1, &sessions, &fixture->err),
        ST_INTERNAL);
    assert_int_equal(sessions, 7);
    session_writer_rollback(fixture->writer);
}

static void test_plans_count_like_add(void **state)
{
    struct fixture *fixture = *state;
    struct failure_detail detail = {.result_type = RESULT_CERTIFICATE_EXPIRED, .receiving_ip = "192.0.2.1"};
    struct result_policy rows[] = {
        {.policy = none_of("a.example"), .is_failed = true, .details = &detail, .detail_count = 1},
        {.policy = none_of("b.example")}};
    struct session_result result = {
        .domain = "a.example", .record = "v=TLSRPTv1", .policies = rows, .policy_count = 1};
    struct tally_plan plan;

    must(fixture, session_writer_begin(fixture->writer, &fixture->err));
    must(fixture, session_writer_add(fixture->writer, &result, DAY, 2, NOON, &plan, &fixture->err));
    must(fixture, session_writer_commit(fixture->writer, &fixture->err));
    must(fixture, session_writer_begin(fixture->writer, &fixture->err));
    must(fixture,
         session_writer_count(fixture->writer, &plan, 3, NOON + 2 * SESSION_RECORD_LAG_S, &fixture->err));
    must(fixture, session_writer_commit(fixture->writer, &fixture->err));
    assert_true(add_result(fixture, &result, DAY, 1));
    assert_string_equal(read_day(fixture, DAY, "a.example"), "no-policy-found a.example 0/6\n"
                                                             "  6 certificate-expired - - - 192.0.2.1 - -\n");
    result.policy_count = 2;
    must(fixture, session_writer_begin(fixture->writer, &fixture->err));
    must(fixture, session_writer_add(fixture->writer, &result, DAY, 1, NOON, &plan, &fixture->err));
    assert_false(plan.is_made); /* too many rows for one */
    session_writer_rollback(fixture->writer);
}

static void test_a_plan_whose_rows_are_gone(void **state)
{
    struct fixture *fixture = *state;
    struct result_policy row = {.policy = none_of("a.example")};
    struct session_result result = {.domain = "a.example", .policies = &row, .policy_count = 1};
    struct tally_plan plan;

    must(fixture, session_writer_begin(fixture->writer, &fixture->err));
    must(fixture, session_writer_add(fixture->writer, &result, DAY, 1, NOON, &plan, &fixture->err));
    must(fixture, session_writer_commit(fixture->writer, &fixture->err));
    must(fixture, session_reader_delete_before(fixture->reader, DAY + 1, &fixture->err));
    must(fixture, session_writer_begin(fixture->writer, &fixture->err));
    assert_int_equal(session_writer_count(fixture->writer, &plan, 1, NOON, &fixture->err), ST_NOT_FOUND);
    must(fixture, session_writer_commit(fixture->writer, &fixture->err));
    assert_string_equal(read_days(fixture), "");
}

static void test_rollback_leaves_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct result_policy row = {.policy = none_of("a.example")};
    struct session_result result = {.domain = "a.example", .policies = &row, .policy_count = 1};
    struct session_mark mark = {.counted_through_s = 5, .ring_sequence = 6, .ring_dropped = 7};
    struct tally_plan plan;

    must(fixture, session_writer_begin(fixture->writer, &fixture->err));
    must(fixture, session_writer_add(fixture->writer, &result, DAY, 1, NOON, &plan, &fixture->err));
    must(fixture, session_writer_set_mark(fixture->writer, &mark, &fixture->err));
    session_writer_bump(fixture->writer, COUNTER_STORED, 1);
    session_writer_rollback(fixture->writer);
    must(fixture, session_reader_get_mark(fixture->reader, &mark, &fixture->err));
    assert_int_equal(mark.counted_through_s, 0);
    assert_int_equal(mark.ring_sequence, 0);
    assert_int_equal(mark.ring_dropped, 0);
    assert_int_equal(counter(fixture, COUNTER_STORED), 0);
    assert_string_equal(read_days(fixture), "");
    assert_true(add_result(fixture, &result, DAY, 1));
    assert_string_equal(read_domains(fixture, DAY), "a.example 1/0\n");
}

static void test_mark_and_counters_survive(void **state)
{
    struct fixture *fixture = *state;
    struct session_mark mark = {
        .counted_through_s = NOON, .ring_sequence = UINT64_MAX / 2, .ring_dropped = 3};
    char id[SESSION_STORE_ID_SIZE];

    strcpy(id, fixture->reader->id);
    assert_int_equal(strlen(id), SESSION_STORE_ID_SIZE - 1);
    for (int i = 0; i < 2; i++) {
        must(fixture, session_writer_begin(fixture->writer, &fixture->err));
        session_writer_bump(fixture->writer, COUNTER_RECEIVED, 20);
        session_writer_raise(fixture->writer, COUNTER_RING_HIGH_WATER, i == 0 ? 500 : 400);
        must(fixture, session_writer_set_mark(fixture->writer, &mark, &fixture->err));
        must(fixture, session_writer_add_refused(fixture->writer, 1001, 2, &fixture->err));
        must(fixture, session_writer_set_note(fixture->writer, "kernel", i == 0 ? "a" : "b", &fixture->err));
        must(fixture, session_writer_commit(fixture->writer, &fixture->err));
    }
    reopen(fixture, &LIMITS);
    mark = (struct session_mark){0};
    must(fixture, session_reader_get_mark(fixture->reader, &mark, &fixture->err));
    assert_int_equal(mark.counted_through_s, NOON);
    assert_true(mark.ring_sequence == UINT64_MAX / 2);
    assert_int_equal(mark.ring_dropped, 3);
    assert_int_equal(counter(fixture, COUNTER_RECEIVED), 40);
    assert_int_equal(counter(fixture, COUNTER_RING_HIGH_WATER), 500);
    assert_string_equal(fixture->reader->id, id);
}

static void test_records(void **state)
{
    struct fixture *fixture = *state;
    struct result_policy row = {.policy = none_of("a.example")};
    struct session_result result = {.domain = "a.example", .policies = &row, .policy_count = 1};
    struct tally_plan plan;
    char text[32];

    result.record = text;
    must(fixture, session_writer_begin(fixture->writer, &fixture->err));
    for (int i = 0; i < 3 * SESSION_RECORDS_MAX; i++) {
        (void)snprintf(text, sizeof text, "record-%02d", i);
        must(fixture, session_writer_add(fixture->writer, &result, DAY, 1, NOON + i, &plan, &fixture->err));
    }
    strcpy(text, "record-25");
    must(fixture, session_writer_add(fixture->writer, &result, DAY, 1, NOON + 90, &plan, &fixture->err));
    must(fixture, session_writer_commit(fixture->writer, &fixture->err));
    strbuf_reset(&fixture->out);
    must(fixture, session_reader_each_record(fixture->reader, DAY, "a.example", write_record, &fixture->out,
                                             &fixture->err));
    assert_string_equal(fixture->out.data,
                        "record-25 90\nrecord-29 29\nrecord-28 28\nrecord-27 27\nrecord-26 26\nrecord-24 24\n"
                        "record-23 23\nrecord-22 22\nrecord-21 21\nrecord-20 20\n");
}

static void test_delete_before(void **state)
{
    struct fixture *fixture = *state;
    struct result_policy row = {.policy = none_of("a.example")};
    struct session_result result = {
        .domain = "a.example", .record = "x", .policies = &row, .policy_count = 1};

    assert_true(add_result(fixture, &result, DAY, 1));
    result.domain = "b.example";
    assert_true(add_result(fixture, &result, DAY, 1));
    assert_true(add_result(fixture, &result, DAY + 1, 2));
    must(fixture, session_reader_close_day(fixture->reader, DAY, 77, &fixture->err));
    must(fixture, session_reader_delete_before(fixture->reader, DAY + 1, &fixture->err));
    assert_string_equal(read_days(fixture), "1 open 0 1 2/0\n");
    assert_string_equal(read_day(fixture, DAY + 1, "b.example"), "no-policy-found a.example 2/0\n");
    assert_true(add_result(fixture, &result, DAY + 1, 1));
    assert_string_equal(read_domains(fixture, DAY + 1), "b.example 3/0\n");
}

static enum status stop_reading(void *context, const struct session_day *day, struct err *err)
{
    (void)context;
    (void)day;
    return err_set(err, ST_NOT_FOUND, "enough");
}

static void test_a_callback_can_stop(void **state)
{
    struct fixture *fixture = *state;
    struct policy policy = none_of("a.example");

    add(fixture, "a.example", &policy, false, NULL, 1);
    assert_int_equal(session_reader_each_day(fixture->reader, stop_reading, NULL, &fixture->err),
                     ST_NOT_FOUND);
    assert_string_equal(fixture->err.text, "enough");
}

static void test_open(void **state)
{
    struct fixture *fixture = *state;
    struct session_reader *reader = NULL;

    assert_int_equal(session_reader_open("/nonexistent/sessions.db", SESSION_READ, &reader, &fixture->err),
                     ST_NOT_FOUND);
    assert_null(reader);
    must(fixture, session_reader_open(fixture->path, SESSION_READ, &reader, &fixture->err));
    assert_string_equal(reader->id, fixture->reader->id);
    assert_int_not_equal(session_reader_close_day(reader, DAY, 1, &fixture->err), ST_OK);
    session_reader_close(&reader);
    must(fixture, session_reader_open(fixture->path, SESSION_MAINTAIN, &reader, &fixture->err));
    must(fixture, session_reader_close_day(reader, DAY, 1, &fixture->err));
    session_reader_close(&reader);
    assert_string_equal(read_days(fixture), "0 closed 1 0 0/0\n");
}

static void test_a_reader_sees_whole_batches(void **state)
{
    struct fixture *fixture = *state;
    struct result_policy row = {.policy = none_of("a.example")};
    struct session_result result = {.domain = "a.example", .policies = &row, .policy_count = 1};
    struct fixture other = *fixture;
    struct tally_plan plan;

    must(fixture, session_reader_open(fixture->path, SESSION_READ, &other.reader, &fixture->err));
    strbuf_init(&other.out, 1000);
    must(fixture, session_writer_begin(fixture->writer, &fixture->err));
    must(fixture, session_writer_add(fixture->writer, &result, DAY, 1, NOON, &plan, &fixture->err));
    assert_string_equal(read_days(&other), "");
    assert_string_equal(read_days(fixture), "0 open 0 1 1/0\n"); /* the writer's own sees them before */
    must(fixture, session_writer_commit(fixture->writer, &fixture->err));
    assert_string_equal(read_days(&other), "0 open 0 1 1/0\n");
    strbuf_done(&other.out);
    session_reader_close(&other.reader);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_equal_policies_and_details_are_one_row),
        TEST(test_canonical_order),
        TEST(test_details_stay_with_their_policy),
        TEST(test_days_and_domains_are_apart),
        TEST(test_domains_are_read_page_by_page),
        TEST(test_domains_with_mta_sts_and_their_certificate_failures),
        TEST(test_a_result_with_several_policies),
        TEST(test_what_comes_for_a_closed_day_is_late),
        TEST(test_caps_fold_with_exact_totals),
        TEST(test_subdomains_beyond_the_budget_leave_no_rows),
        TEST(test_only_a_refused_domain_is_over_budget),
        TEST(test_plans_count_like_add),
        TEST(test_a_plan_whose_rows_are_gone),
        TEST(test_rollback_leaves_nothing),
        TEST(test_mark_and_counters_survive),
        TEST(test_records),
        TEST(test_delete_before),
        TEST(test_a_callback_can_stop),
        TEST(test_open),
        TEST(test_a_reader_sees_whole_batches),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
