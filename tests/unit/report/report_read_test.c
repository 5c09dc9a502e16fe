/* SPDX-License-Identifier: MIT */
/* What is said about single typos in a report that somebody else wrote. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../names.h"
#include "report/report_read.h"

#define GOOD_RANGE  "\"start-datetime\":\"2026-03-14T00:00:00Z\",\"end-datetime\":\"2026-03-14T23:59:59Z\""
#define GOOD_POLICY "\"policy-type\":\"no-policy-found\",\"policy-domain\":\"a.example\""
#define GOOD_COUNTS "\"total-successful-session-count\":1,\"total-failure-session-count\":2"
#define GOOD_DETAIL "\"result-type\":\"certificate-expired\",\"failed-session-count\":2"

/* A report with one piece exchanged. */
static void make_report(const char *range, const char *policy, const char *counts, const char *detail,
                        char *text_out, size_t size)
{
    (void)snprintf(text_out, size,
                   "{\"organization-name\":\"A\",\"date-range\":{%s},\"contact-info\":\"a@a.example\","
                   "\"report-id\":\"1\",\"policies\":[{\"policy\":{%s},\"summary\":{%s},"
                   "\"failure-details\":[{%s}]}]}",
                   range != NULL ? range : GOOD_RANGE, policy != NULL ? policy : GOOD_POLICY,
                   counts != NULL ? counts : GOOD_COUNTS, detail != NULL ? detail : GOOD_DETAIL);
}

struct row {
    const char *what;
    const char *range, *policy, *counts, *detail; /* NULL: a good one */
    enum finding_level level;
    const char *where; /* NULL: nothing to find */
    const char *text;
};

#define STS    "\"policy-type\":\"sts\",\"policy-domain\":\"a.example\""
#define TLSA   "\"policy-type\":\"tlsa\",\"policy-domain\":\"a.example\""
#define RESULT "\"failed-session-count\":2,\"result-type\":\"certificate-expired\""
#define P      "policies[0]."
#define F      "policies[0].failure-details[0]."

// clang-format off
static const struct row ROWS[] = {
    {"a good report has no finding", NULL, NULL, NULL, NULL, FINDING_NOTE, NULL, NULL},
    {"an offset is as good as Z",
     "\"start-datetime\":\"2026-03-14T01:00:00+01:00\",\"end-datetime\":\"2026-03-14T23:59:59.000Z\"",
     NULL, NULL, NULL, FINDING_NOTE, NULL, NULL},
    {"no end", "\"start-datetime\":\"2026-03-14T00:00:00Z\"", NULL, NULL, NULL,
     FINDING_MUST, "date-range.end-datetime", "is missing"},
    {"a day that does not exist", "\"start-datetime\":\"2026-02-30T00:00:00Z\",\"end-datetime\":\"2026-03-14T23:59:59Z\"",
     NULL, NULL, NULL, FINDING_MUST, "date-range.start-datetime", "is not a time"},
    {"an hour that does not exist", "\"start-datetime\":\"2026-03-14T24:00:00Z\",\"end-datetime\":\"2026-03-14T23:59:59Z\"",
     NULL, NULL, NULL, FINDING_MUST, "date-range.start-datetime", "is not a time"},
    {"a number for a time", "\"start-datetime\":1773446400,\"end-datetime\":\"2026-03-14T23:59:59Z\"",
     NULL, NULL, NULL, FINDING_MUST, "date-range.start-datetime", "is a number; it must be text"},
    {"no zone", "\"start-datetime\":\"2026-03-14T00:00:00\",\"end-datetime\":\"2026-03-14T23:59:59Z\"",
     NULL, NULL, NULL, FINDING_MUST, "date-range.start-datetime", "no time zone"},
    {"begin and end exchanged", "\"start-datetime\":\"2026-03-15T00:00:00Z\",\"end-datetime\":\"2026-03-14T23:59:59Z\"",
     NULL, NULL, NULL, FINDING_MUST, "date-range", "ends before it begins"},
    {"a day of its own", "\"start-datetime\":\"2026-03-14T06:00:00Z\",\"end-datetime\":\"2026-03-15T05:59:59Z\"",
     NULL, NULL, NULL, FINDING_SHOULD, "date-range", "midnight UTC"},
    {"the next midnight", "\"start-datetime\":\"2026-03-14T00:00:00Z\",\"end-datetime\":\"2026-03-15T00:00:00Z\"",
     NULL, NULL, NULL, FINDING_NOTE, "date-range", "next midnight"},

    {"no policy type", NULL, "\"policy-domain\":\"a.example\"", NULL, NULL, FINDING_MUST, P "policy.policy-type", "is missing"},
    {"an empty policy type", NULL, "\"policy-type\":\"\",\"policy-domain\":\"a.example\"", NULL, NULL,
     FINDING_MUST, P "policy.policy-type", "is empty"},
    {"another policy type", NULL, "\"policy-type\":\"STS\",\"policy-domain\":\"a.example\"", NULL, NULL,
     FINDING_MUST, P "policy.policy-type", "is not one of"},
    {"no policy domain", NULL, "\"policy-type\":\"no-policy-found\"", NULL, NULL,
     FINDING_MUST, P "policy.policy-domain", "is missing"},
    {"a domain with a blank", NULL, "\"policy-type\":\"sts\",\"policy-domain\":\"a b\"", NULL, NULL,
     FINDING_MUST, P "policy.policy-domain", "is not a domain name"},
    {"a domain in capitals", NULL, "\"policy-type\":\"sts\",\"policy-domain\":\"A.example\"", NULL, NULL,
     FINDING_NOTE, P "policy.policy-domain", "capital letters"},
    {"a domain in its own letters", NULL, "\"policy-type\":\"sts\",\"policy-domain\":\"b\\u00fccher.example\"", NULL, NULL,
     FINDING_MUST, P "policy.policy-domain", "xn--bcher-kva.example"},
    {"policy-string as one string", NULL, STS ",\"policy-string\":\"version: STSv1\"", NULL, NULL,
     FINDING_MUST, P "policy.policy-string", "is text; it must be an array of strings"},
    {"policy-string with a number inside", NULL, STS ",\"policy-string\":[1]", NULL, NULL,
     FINDING_MUST, P "policy.policy-string[0]", "is a number; it must be text"},
    {"a whole policy in one string", NULL, STS ",\"policy-string\":[\"version: STSv1\\nmode: none\"]", NULL, NULL,
     FINDING_MUST, P "policy.policy-string[0]", "several lines"},
    {"a JSON array in a string", NULL, TLSA ",\"policy-string\":[\"[\\\"3 1 1 AB\\\"]\"]", NULL, NULL,
     FINDING_MUST, P "policy.policy-string[0]", "JSON array inside"},
    {"a TLSA record without its digits", NULL, TLSA ",\"policy-string\":[\"3 1 1\"]", NULL, NULL,
     FINDING_MUST, P "policy.policy-string[0]", "is not one TLSA record"},
    {"a TLSA record that SMTP cannot use", NULL, TLSA ",\"policy-string\":[\"1 1 1 abcd\"]", NULL, NULL,
     FINDING_NOTE, P "policy.policy-string[0]", "usage 1"},
    {"mx-host as a string", NULL, STS ",\"mx-host\":\"*.a.example\"", NULL, NULL,
     FINDING_MUST, P "policy.mx-host", "is text"},
    {"mx-host as null", NULL, STS ",\"mx-host\":null", NULL, NULL, FINDING_SHOULD, P "policy.mx-host", "is null"},
    {"mx-host for another type", NULL, TLSA ",\"mx-host\":[\"a.example\"]", NULL, NULL,
     FINDING_SHOULD, P "policy.mx-host", "sts only"},
    {"a policy beside no-policy-found", NULL, GOOD_POLICY ",\"policy-string\":[\"x: y\"]", NULL, NULL,
     FINDING_SHOULD, P "policy.policy-string", "beside no-policy-found"},
    {"a typo in a name", NULL, STS ",\"mx-host-pattern\":[]", NULL, NULL, FINDING_MUST, P "policy.mx-host-pattern", "\"mx-host\" is meant"},
    {"a member of their own", NULL, STS ",\"x-note\":1", NULL, NULL, FINDING_NOTE, P "policy.x-note", "does not know"},

    {"one count only", NULL, NULL, "\"total-successful-session-count\":1", NULL,
     FINDING_MUST, P "summary.total-failure-session-count", "is missing"},
    {"a count as text", NULL, NULL, "\"total-successful-session-count\":\"1\",\"total-failure-session-count\":2", NULL,
     FINDING_MUST, P "summary.total-successful-session-count", "is text; it must be a whole number"},
    {"a negative count", NULL, NULL, "\"total-successful-session-count\":-5,\"total-failure-session-count\":2", NULL,
     FINDING_MUST, P "summary.total-successful-session-count", "cannot be negative"},
    {"a count beyond 31 bits", NULL, NULL, "\"total-successful-session-count\":2147483648,\"total-failure-session-count\":2",
     NULL, FINDING_NOTE, P "summary.total-successful-session-count", "2147483647"},

    {"no result type", NULL, NULL, NULL, "\"failed-session-count\":2", FINDING_MUST, F "result-type", "is missing"},
    {"an invented result type", NULL, NULL, NULL, "\"result-type\":\"x\",\"failed-session-count\":2",
     FINDING_MUST, F "result-type", "eleven"},
    {"no sessions of a detail", NULL, NULL, NULL, "\"result-type\":\"certificate-expired\"",
     FINDING_MUST, F "failed-session-count", "is missing"},
    {"a detail of 0 sessions", NULL, NULL, NULL, "\"result-type\":\"certificate-expired\",\"failed-session-count\":0",
     FINDING_SHOULD, F "failed-session-count", "is 0"},
    {"an empty address", NULL, NULL, NULL, RESULT ",\"receiving-ip\":\"\"", FINDING_SHOULD, F "receiving-ip", "is empty"},
    {"an address in brackets", NULL, NULL, NULL, RESULT ",\"receiving-ip\":\"[1.2.3.4]\"", FINDING_MUST, F "receiving-ip", "brackets"},
    {"an address with a zone", NULL, NULL, NULL, RESULT ",\"receiving-ip\":\"fe80::1%2\"", FINDING_MUST, F "receiving-ip", "zone"},
    {"a name for an address", NULL, NULL, NULL, RESULT ",\"receiving-ip\":\"mx\"", FINDING_MUST, F "receiving-ip", "is not an IP address"},
    {"an address in capitals", NULL, NULL, NULL, RESULT ",\"sending-mta-ip\":\"2001:DB8::1\"", FINDING_NOTE, F "sending-mta-ip", "2001:db8::1"},
    {"a whole EHLO reply", NULL, NULL, NULL, RESULT ",\"receiving-mx-helo\":\"250-mx\\r\\n250 X\"", FINDING_SHOULD, F "receiving-mx-helo", "EHLO"},
    {"words for a URI", NULL, NULL, NULL, RESULT ",\"additional-information\":\"see below\"", FINDING_MUST, F "additional-information", "URI"},
    {"a key of a value type", NULL, NULL, NULL, RESULT ",\"additional-info-uri\":\"https://a.example\"",
     FINDING_MUST, F "additional-info-uri", "\"additional-information\" is meant"},
    {"not trusted, without a reason", NULL, NULL, NULL, "\"result-type\":\"certificate-not-trusted\",\"failed-session-count\":2",
     FINDING_SHOULD, "policies[0].failure-details[0]", "without a failure-reason-code"},
    {"tlsa under the recipient's domain", NULL, TLSA, NULL, RESULT ",\"receiving-mx-hostname\":\"mx.a.example\"",
     FINDING_NOTE, "policies[0]", "TLSA base domain"},
};
// clang-format on

struct reading {
    struct arena arena;
    struct finding_list findings;
    struct report_document document;
    struct err err;
    enum status status;
};

static void read_text(struct reading *reading, const char *text, size_t len)
{
    arena_init(&reading->arena, 64 << 20);
    finding_list_init(&reading->findings, &reading->arena);
    reading->status =
        report_read(text, len, &reading->arena, &reading->findings, &reading->document, &reading->err);
}

static void one_typo_is_one_finding(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        const struct row *row = &ROWS[i];
        struct reading got;
        char text[4096];

        make_report(row->range, row->policy, row->counts, row->detail, text, sizeof text);
        read_text(&got, text, strlen(text));
        if (got.status != ST_OK || got.findings.count != (row->where != NULL ? 1U : 0U))
            print_message("%s: %s, %zu findings; the first: %s\n", row->what, status_name(got.status),
                          got.findings.count, got.findings.count > 0 ? got.findings.items[0].text : "");
        assert_int_equal(got.status, ST_OK);
        assert_int_equal(got.findings.count, row->where != NULL ? 1 : 0);
        if (row->where != NULL) {
            assert_string_equal(got.findings.items[0].where, row->where);
            assert_non_null(strstr(got.findings.items[0].text, row->text));
            assert_int_equal(got.findings.items[0].level, row->level);
            assert_int_equal(got.findings.totals[row->level], got.findings.items[0].count);
        }
        arena_done(&got.arena);
    }
}

static void a_text_that_is_no_report_is_refused_with_a_reason(void **state)
{
    static const struct {
        const char *text, *words;
    } TEXTS[] = {
        {"", "not JSON"},
        {"hello", "not JSON"},
        {"{\"policies\":", "line 1"},
        {"[]", "an array without any of its members"},
        {"\"policies\"", "text without any of its members"},
        {"{\"feedback\":{}}", "an object without any of its members"},
        {"{\"report-id\":\"\\ud800\"}", "not JSON"},
        {"{\"policies\":99999999999999999999999}", "not JSON"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(TEXTS); i++) {
        struct reading got;

        read_text(&got, TEXTS[i].text, strlen(TEXTS[i].text));
        assert_int_equal(got.status, ST_SYNTAX);
        assert_non_null(strstr(got.err.text, TEXTS[i].words));
        arena_done(&got.arena);
    }
}

static void what_can_be_got_over_is_a_finding(void **state)
{
    static const struct {
        const char *begin, *end, *words;
    } SHELLS[] = {
        {"\xEF\xBB\xBF", "", "byte order mark"},
        {"", "tail", "something behind"},
        {"", " {}", "something behind"},
    };
    char report[4096], text[5000];

    (void)state;
    make_report(NULL, NULL, NULL, NULL, report, sizeof report);
    for (size_t i = 0; i < ARRAY_COUNT(SHELLS); i++) {
        struct reading got;

        (void)snprintf(text, sizeof text, "%s%s%s", SHELLS[i].begin, report, SHELLS[i].end);
        read_text(&got, text, strlen(text));
        assert_int_equal(got.status, ST_OK);
        assert_int_equal(got.findings.count, 1);
        assert_non_null(strstr(got.findings.items[0].text, SHELLS[i].words));
        assert_int_equal(got.document.failure, 2);
        arena_done(&got.arena);
    }
}

static void bad_utf8_and_doubled_names_are_two_findings(void **state)
{
    static const char TEXT[] = "{\"organization-name\":\"\xff\",\"organization-name\":\"A\",\"policies\":[]}";
    struct reading got;

    (void)state;
    read_text(&got, TEXT, strlen(TEXT));
    assert_int_equal(got.status, ST_OK);
    assert_string_equal(got.document.organization_name, "A");
    assert_non_null(strstr(got.findings.items[0].text, "UTF-8"));
    assert_non_null(strstr(got.findings.items[1].text, "same name"));
    arena_done(&got.arena);
}

static void findings_of_a_kind_are_counted_not_listed(void **state)
{
    struct strbuf text;
    struct reading got;

    (void)state;
    strbuf_init(&text, 1 << 20);
    strbuf_add_text(&text, "{\"policies\":[{\"policy\":{" GOOD_POLICY "},\"summary\":{" GOOD_COUNTS
                           "},\"failure-details\":[");
    for (int i = 0; i < 5000; i++)
        strbuf_addf(&text, "%s{" RESULT ",\"receiving-ip\":\"\"}", i > 0 ? "," : "");
    strbuf_add_text(&text, "]}]}");
    read_text(&got, text.data, text.len);
    assert_int_equal(got.status, ST_OK);
    assert_int_equal(got.document.policies[0].detail_count, 5000);
    assert_int_equal(got.findings.totals[FINDING_SHOULD], 5000);
    for (size_t i = 0; i < got.findings.count; i++)
        if (got.findings.items[i].level == FINDING_SHOULD)
            assert_int_equal(got.findings.items[i].count, 5000);
    arena_done(&got.arena);
    strbuf_done(&text);
}

static void pretty_print_is_what_jq_prints(void **state)
{
    static const struct {
        const char *text, *want;
    } ROWS_OF_JSON[] = {
        {"{}", "{}\n"},
        {"[]", "[]\n"},
        {"{\"a\":[],\"b\":{},\"c\":null}", "{\n  \"a\": [],\n  \"b\": {},\n  \"c\": null\n}\n"},
        {"{\"b\":[1,-2,0.5,1e3],\"a\":\"x\\ty\\u001b\\u007f\\u009b\\\"\\/\"}",
         "{\n  \"b\": [\n    1,\n    -2,\n    0.5,\n    1000\n  ],\n"
         "  \"a\": \"x\\ty\\u001b\\u007f\\u009b\\\"/\"\n}\n"},
        {"\"\xC3\xA9\\u202e\"", "\"\xC3\xA9\\u202e\"\n"},
        {"[true,[false,[]]]", "[\n  true,\n  [\n    false,\n    []\n  ]\n]\n"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(ROWS_OF_JSON); i++) {
        struct strbuf got;
        struct err err;

        strbuf_init(&got, 4096);
        assert_int_equal(report_format_pretty(ROWS_OF_JSON[i].text, strlen(ROWS_OF_JSON[i].text), &got, &err),
                         ST_OK);
        assert_string_equal(got.data, ROWS_OF_JSON[i].want);
        strbuf_done(&got);
    }
}

static void pretty_print_has_limits(void **state)
{
    char deep[1201];
    struct strbuf got;
    struct err err;

    (void)state;
    memset(deep, '[', 600);
    memset(deep + 600, ']', 600);
    deep[1200] = '\0';
    strbuf_init(&got, 1 << 20);
    assert_int_equal(report_format_pretty(deep, 1200, &got, &err), ST_RANGE);
    strbuf_done(&got);
    strbuf_init(&got, 4);
    assert_int_equal(report_format_pretty("[1,2]", 5, &got, &err), ST_RANGE);
    strbuf_done(&got);
}

static void memory_that_runs_out_is_a_status(void **state)
{
    char text[4096];

    (void)state;
    make_report(NULL, NULL, NULL, NULL, text, sizeof text);
    for (size_t bytes = 0; bytes < 2000; bytes += 50) {
        struct reading got = {0};

        arena_init(&got.arena, bytes);
        finding_list_init(&got.findings, &got.arena);
        got.status = report_read(text, strlen(text), &got.arena, &got.findings, &got.document, &got.err);
        assert_true(got.status == ST_OK || got.status == ST_NOMEM);
        arena_done(&got.arena);
    }
}

int main(void)
{
    const struct CMUnitTest TESTS[] = {
        cmocka_unit_test(one_typo_is_one_finding),
        cmocka_unit_test(a_text_that_is_no_report_is_refused_with_a_reason),
        cmocka_unit_test(what_can_be_got_over_is_a_finding),
        cmocka_unit_test(bad_utf8_and_doubled_names_are_two_findings),
        cmocka_unit_test(findings_of_a_kind_are_counted_not_listed),
        cmocka_unit_test(pretty_print_is_what_jq_prints),
        cmocka_unit_test(pretty_print_has_limits),
        cmocka_unit_test(memory_that_runs_out_is_a_status),
    };

    return cmocka_run_group_tests(TESTS, NULL, NULL);
}
