/* SPDX-License-Identifier: MIT */
/* One report as JSON, against the worked examples and rule by rule. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../report_rows.h"
#include "report/report_writer.h"

#define DAY 20526 /* 2026-03-14 */

static struct report_meta meta_of(const char *domain)
{
    static char id[512];

    (void)snprintf(id, sizeof id, "1773446400.1.%s@reports.seaport.example", domain);
    return (struct report_meta){
        .organization_name = "Seaport Mail Operations",
        .contact_info = "tlsrpt-team@reports.seaport.example",
        .submitter = "reports.seaport.example",
        .domain = domain,
        .report_id = id,
        .utc_day = DAY,
    };
}

static enum status keep(void *context, const char *bytes, size_t len, struct err *err)
{
    (void)err;
    strbuf_add(context, bytes, len);
    return ST_OK;
}

/* Write rows with meta; the caller frees the text. */
static char *written(const struct report_rows *rows, const struct report_meta *meta,
                     struct report_summary *summary_out)
{
    struct strbuf out;
    struct report_sink sink = {.write = keep, .context = &out};
    struct report_writer writer;
    struct err err;
    char *text;

    strbuf_init(&out, 64 << 20);
    assert_int_equal(report_begin(&writer, meta, &sink, &err), ST_OK);
    for (size_t i = 0; i < rows->policy_count; i++) {
        const struct policy_row *row = &rows->policies[i];

        assert_int_equal(report_add_policy(&writer, &row->policy, &row->counts, &err), ST_OK);
        for (size_t k = 0; k < row->detail_count; k++)
            assert_int_equal(
                report_add_detail(&writer, &row->details[k].detail, row->details[k].sessions, &err), ST_OK);
    }
    assert_int_equal(report_end(&writer, &err), ST_OK);
    assert_int_equal(writer.total_bytes, out.len);
    if (summary_out != NULL)
        *summary_out = writer.summary;
    report_done(&writer);
    text = strdup(out.data);
    assert_non_null(text);
    strbuf_done(&out);
    return text;
}

static void test_worked_examples_byte_for_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(WORKED); i++) {
        struct report_meta meta = meta_of(WORKED[i].domain);
        char path[64];
        char *want, *got;
        json_t *golden;

        (void)snprintf(path, sizeof path, "tests/data/worked/%zu.report.json", i + 1);
        golden = json_load_file(path, 0, NULL);
        assert_non_null(golden);
        want = json_dumps(golden, JSON_COMPACT); /* keeps the file's key order */
        got = written(&WORKED[i], &meta, NULL);
        assert_string_equal(got, want);
        free(got);
        free(want);
        json_decref(golden);
    }
}

/* ---- one detail or policy, and what must stand in the report for it ---- */

struct piece {
    const char *says;
    struct failure_detail detail;
    uint64_t sessions;
    const char *want; /* the detail's JSON */
};

#define BARE .result_type = RESULT_VALIDATION_FAILURE
#define HEAD "{\"result-type\":\"validation-failure\""
#define TAIL "\"failed-session-count\":1"

static const struct piece PIECES[] = {
    {"R32: what is unknown is left out", {BARE}, 1, HEAD "," TAIL "}"},
    {"R32: an empty text is left out",
     {BARE, .sending_mta_ip = "", .receiving_mx_hostname = "", .receiving_mx_helo = "", .receiving_ip = "",
      .additional_information = "", .failure_reason_code = ""},
     1,
     HEAD "," TAIL "}"},
    {"R25: a v4-mapped address is unmapped",
     {BARE, .sending_mta_ip = "::ffff:192.0.2.7"},
     1,
     HEAD ",\"sending-mta-ip\":\"192.0.2.7\"," TAIL "}"},
    {"R25: an address takes its RFC 5952 form",
     {BARE, .receiving_ip = "2001:DB8:0:0::10"},
     1,
     HEAD ",\"receiving-ip\":\"2001:db8::10\"," TAIL "}"},
    {"R25: what is no address is left out",
     {BARE, .sending_mta_ip = "[192.0.2.7]", .receiving_ip = "fe80::1%eth0"},
     1,
     HEAD "," TAIL "}"},
    {"additional-information is kept if it is a URI",
     {BARE, .additional_information = "https://a.example/x?y=1"},
     1,
     HEAD "," TAIL ",\"additional-information\":\"https://a.example/x?y=1\"}"},
    {"additional-information that is no URI is left out",
     {BARE, .additional_information = "see the log"},
     1,
     HEAD "," TAIL "}"},
    {"R24: a reason is kept",
     {BARE, .failure_reason_code = "self-signed_certificate"},
     1,
     HEAD "," TAIL ",\"failure-reason-code\":\"self-signed_certificate\"}"},
    {"R71: control characters and line separators become blanks",
     {BARE, .failure_reason_code = "a\r\nb\x7f"
                                   "c\xc2\x85"
                                   "d\xe2\x80\xa8"
                                   "e"},
     1,
     HEAD "," TAIL ",\"failure-reason-code\":\"a  b c d e\"}"},
    {"R14: invalid UTF-8 and noncharacters become U+FFFD, non-ASCII is escaped",
     {BARE, .failure_reason_code = "\xff\xef\xbf\xbf\xc3\xa9\xf0\x9f\x98\x80"},
     1,
     HEAD "," TAIL ",\"failure-reason-code\":\"\\uFFFD\\uFFFD\\u00E9\\uD83D\\uDE00\"}"},
    {"R71: quotes and backslashes are escaped",
     {BARE, .failure_reason_code = "\"\\</>"},
     1,
     HEAD "," TAIL ",\"failure-reason-code\":\"\\\"\\\\</>\"}"},
    {"R34: the largest count that receivers read",
     {BARE},
     2147483647,
     HEAD ",\"failed-session-count\":2147483647}"},
    {"R34: a larger count is clamped", {BARE}, 2147483648, HEAD ",\"failed-session-count\":2147483647}"},
};

static void test_details(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(PIECES); i++) {
        const struct detail_row detail = {PIECES[i].detail, PIECES[i].sessions};
        const struct policy_row policy = {.policy = {.type = POLICY_NO_POLICY_FOUND, .domain = "a.example"},
                                          .counts = {0, 1},
                                          .details = &detail,
                                          .detail_count = 1};
        const struct report_rows rows = {"a.example", &policy, 1};
        struct report_meta meta = meta_of("a.example");
        char *got = written(&rows, &meta, NULL);
        const char *begin = strstr(got, "\"failure-details\":[");
        char want[1024];

        (void)snprintf(want, sizeof want, "\"failure-details\":[%s]}]}", PIECES[i].want);
        if (begin == NULL || strcmp(begin, want) != 0)
            fail_msg("%s: got %s, want %s", PIECES[i].says, begin, want);
        free(got);
    }
}

static const struct {
    const char *says;
    struct policy policy;
    const char *want;
} POLICIES[] = {
    {"R20, R22: no-policy-found has an empty policy-string and no mx-host",
     {POLICY_NO_POLICY_FOUND, "a.example", TEXTS("x"), TEXTS("y")},
     "{\"policy-type\":\"no-policy-found\",\"policy-string\":[],\"policy-domain\":\"a.example\"}"},
    {"R22: tlsa has no mx-host",
     {POLICY_TLSA, "mx.a.example", TEXTS(TA), TEXTS("y")},
     "{\"policy-type\":\"tlsa\",\"policy-string\":[\"" TA "\"],\"policy-domain\":\"mx.a.example\"}"},
    {"R20: an unknown policy-string is empty, mx-host is an array",
     {POLICY_STS, "a.example", {NULL, 0}, TEXTS("*.a.example")},
     "{\"policy-type\":\"sts\",\"policy-string\":[],\"policy-domain\":\"a.example\",\"mx-host\":[\"*.a."
     "example\"]}"},
    {"R32: empty items are left out, and with them an empty mx-host",
     {POLICY_STS, "a.example", TEXTS("", "mode: none"), TEXTS("")},
     "{\"policy-type\":\"sts\",\"policy-string\":[\"mode: none\"],\"policy-domain\":\"a.example\"}"},
};

static void test_policies(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(POLICIES); i++) {
        const struct policy_row policy = {.policy = POLICIES[i].policy, .counts = {1, 0}};
        const struct report_rows rows = {"a.example", &policy, 1};
        struct report_meta meta = meta_of("a.example");
        char *got = written(&rows, &meta, NULL);
        char want[1024];

        (void)snprintf(want, sizeof want,
                       "\"policies\":[{\"policy\":%s,\"summary\":{\"total-successful-session-count\":1,"
                       "\"total-failure-session-count\":0}}]}",
                       POLICIES[i].want);
        if (strstr(got, want) == NULL)
            fail_msg("%s: got %s, want %s", POLICIES[i].says, got, want);
        free(got);
    }
}

static void test_summary_counts_and_clamps(void **state)
{
    const struct detail_row detail = {{.result_type = RESULT_CERTIFICATE_EXPIRED}, 5000000000};
    const struct policy_row policy = {.policy = {.type = POLICY_TLSA, .domain = "a.example"},
                                      .counts = {3000000000, 7},
                                      .details = &detail,
                                      .detail_count = 1};
    const struct report_rows rows = {"a.example", &policy, 1};
    struct report_meta meta = meta_of("a.example");
    struct report_summary summary;
    char *got = written(&rows, &meta, &summary);

    (void)state;
    assert_non_null(strstr(got, "\"total-successful-session-count\":2147483647,"));
    assert_int_equal(summary.clamped, 2);
    assert_int_equal(summary.sessions.success, 3000000000);
    assert_int_equal(summary.failures[RESULT_CERTIFICATE_EXPIRED], 5000000000);
    assert_int_equal(report_summary_top(&summary), RESULT_CERTIFICATE_EXPIRED);
    free(got);
}

static void test_long_texts_are_cut_between_characters(void **state)
{
    static char reason[70000];
    const struct detail_row detail = {{BARE, .failure_reason_code = reason}, 1};
    const struct policy_row policy = {
        .policy = {.type = POLICY_TLSA, .domain = "a.example"}, .details = &detail, .detail_count = 1};
    const struct report_rows rows = {"a.example", &policy, 1};
    struct report_meta meta = meta_of("a.example");
    const char *kept;
    json_t *report;
    char *got;

    (void)state;
    for (size_t i = 0; i + 3 < sizeof reason; i += 3)
        memcpy(reason + i, "\xe2\x82\xac", 4);
    got = written(&rows, &meta, NULL);
    report = json_loads(got, JSON_REJECT_DUPLICATES, NULL);
    assert_int_equal(
        json_unpack(report, "{s[{s[{s:s}]}]}", "policies", "failure-details", "failure-reason-code", &kept),
        0);
    assert_int_equal(strlen(kept), DETAIL_REASON_MAX / 3 * 3);
    json_decref(report);
    free(got);
}

static void test_a_report_without_a_policy_is_none(void **state)
{
    struct report_meta meta = meta_of("a.example");
    struct strbuf out;
    struct report_sink sink = {.write = keep, .context = &out};
    struct report_writer writer;
    const struct failure_detail detail = {BARE};
    struct err err;

    (void)state;
    strbuf_init(&out, 4096);
    assert_int_equal(report_begin(&writer, &meta, &sink, &err), ST_OK);
    assert_int_equal(report_add_detail(&writer, &detail, 1, &err), ST_INTERNAL);
    assert_int_equal(report_end(&writer, &err), ST_NOT_FOUND);
    report_done(&writer);
    strbuf_done(&out);
}

static enum status refuse(void *context, const char *bytes, size_t len, struct err *err)
{
    (void)context;
    (void)bytes;
    (void)len;
    return err_set(err, ST_FULL, "no room");
}

static void test_the_sink_status_comes_back(void **state)
{
    struct report_meta meta = meta_of("quay.example");
    struct report_sink sink = {.write = refuse};
    struct report_writer writer;
    enum status status;
    struct err err;

    (void)state;
    status = report_begin(&writer, &meta, &sink, &err);
    for (int i = 0; i < 100 && status == ST_OK; i++)
        status = report_add_policy(&writer, &QUAY[0].policy, &QUAY[0].counts, &err);
    assert_int_equal(status, ST_FULL);
    assert_string_equal(err.text, "no room");
    report_done(&writer);
}

/* ---- memory runs out ---- */

static unsigned allocations_left;

static void *few_allocations(size_t size)
{
    if (allocations_left == 0)
        return NULL;
    allocations_left--;
    return malloc(size);
}

static enum status write_quay(struct strbuf *out)
{
    struct report_meta meta = meta_of("quay.example");
    struct report_sink sink = {.write = keep, .context = out};
    struct report_writer writer;
    struct err err = {.text = ""};
    enum status status = report_begin(&writer, &meta, &sink, &err);

    for (size_t i = 0; i < ARRAY_COUNT(QUAY) && status == ST_OK; i++) {
        status = report_add_policy(&writer, &QUAY[i].policy, &QUAY[i].counts, &err);
        if (status == ST_OK && QUAY[i].detail_count > 0)
            status = report_add_detail(&writer, &QUAY[i].details[0].detail, 1, &err);
    }
    if (status == ST_OK)
        status = report_end(&writer, &err);
    if (status != ST_OK)
        assert_true(err.text[0] != '\0');
    report_done(&writer);
    return status;
}

/* The Nth allocation of the JSON library fails, N = 0, 1, 2 and so on until none does. */
static void test_memory_that_runs_out_is_a_status(void **state)
{
    enum status status = ST_NOMEM;
    unsigned failures = 0;
    struct strbuf out;

    (void)state;
    strbuf_init(&out, 1 << 20);
    for (; status != ST_OK && failures < 100000; failures++) {
        strbuf_reset(&out);
        allocations_left = failures;
        json_set_alloc_funcs(few_allocations, free);
        status = write_quay(&out);
        json_set_alloc_funcs(malloc, free);
        assert_true(status == ST_OK || status == ST_NOMEM);
    }
    assert_int_equal(status, ST_OK);
    assert_true(failures > 50);
    strbuf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worked_examples_byte_for_byte),
        cmocka_unit_test(test_details),
        cmocka_unit_test(test_policies),
        cmocka_unit_test(test_summary_counts_and_clamps),
        cmocka_unit_test(test_long_texts_are_cut_between_characters),
        cmocka_unit_test(test_a_report_without_a_policy_is_none),
        cmocka_unit_test(test_the_sink_status_comes_back),
        cmocka_unit_test(test_memory_that_runs_out_is_a_status),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
