/* SPDX-License-Identifier: MIT */
/* libtlsrpt's datagrams: what is understood, what is refused, and that encoding loses nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../names.h"
#include "../result_rows.h"
#include "datagram/datagram.h"
#include "model/utc_day.h"

/* A datagram around one policy. */
#define EVENT(policy)  "{\"dpv\": \"1\",\"d\": \"a.example\",\"policies\":[" policy "]}"
#define NONE           "{\"policy-type\":9,\"t\":0,\"f\":0}"
#define FAILED(detail) "{\"policy-type\":9,\"failure-details\":[" detail "],\"t\":1,\"f\":1}"

struct fixture {
    struct arena arena;
    struct session_result result;
    struct err err;
};

static int setup(void **state)
{
    static struct fixture fixture;

    fixture = (struct fixture){0};
    arena_init(&fixture.arena, DATAGRAM_ARENA_BYTES);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    arena_done(&fixture->arena);
    return 0;
}

static enum status decode(struct fixture *fixture, const char *text)
{
    return datagram_decode(text, strlen(text), &fixture->arena, &fixture->result, &fixture->err);
}

static void must_decode(struct fixture *fixture, const char *text)
{
    enum status status = decode(fixture, text);

    if (status != ST_OK)
        print_error("%.200s: %s\n", text, fixture->err.text);
    assert_int_equal(status, ST_OK);
}

static void test_refused(void **state)
{
    static const struct {
        const char *sentence;
        const char *text;
        enum status want;
    } ROWS[] = {
        {"empty", "", ST_SYNTAX},
        {"not JSON", "hello", ST_SYNTAX},
        {"cut off", "{\"d\": \"a.example\",\"policies\":[{", ST_SYNTAX},
        {"something behind the object", EVENT(NONE) "x", ST_SYNTAX},
        {"an array", "[]", ST_SYNTAX},
        {"a number", "1", ST_SYNTAX},
        {"a key twice", "{\"d\": \"a.example\",\"d\": \"b.example\",\"policies\":[" NONE "]}", ST_SYNTAX},
        {"a wrong dpv", "{\"dpv\": \"2x\",\"d\": \"a.example\",\"policies\":[" NONE "]}", ST_UNSUPPORTED},
        {"dpv is a number below 1", "{\"dpv\": 0,\"d\": \"a.example\",\"policies\":[" NONE "]}",
         ST_UNSUPPORTED},
        {"dpv is null", "{\"dpv\": null,\"d\": \"a.example\",\"policies\":[" NONE "]}", ST_UNSUPPORTED},
        {"no d", "{\"policies\":[" NONE "]}", ST_SYNTAX},
        {"d is no text", "{\"d\": 7,\"policies\":[" NONE "]}", ST_SYNTAX},
        {"d is empty", "{\"d\": \"\",\"policies\":[" NONE "]}", ST_SYNTAX},
        {"d is no name", "{\"d\": \"a b\",\"policies\":[" NONE "]}", ST_SYNTAX},
        {"d is an address", "{\"d\": \"192.0.2.1\",\"policies\":[" NONE "]}", ST_SYNTAX},
        {"d has a NUL", "{\"d\": \"a.example\\u0000.evil.example\",\"policies\":[" NONE "]}", ST_SYNTAX},
        {"no policies", "{\"d\": \"a.example\"}", ST_SYNTAX},
        {"policies is no array", "{\"d\": \"a.example\",\"policies\":{}}", ST_SYNTAX},
        {"policies is empty", EVENT(""), ST_SYNTAX},
        {"no policy of a known type", EVENT("{\"policy-type\":3,\"t\":0,\"f\":0}"), ST_SYNTAX},
        {"a policy that is no object", EVENT("7"), ST_SYNTAX},
        {"9 levels deep", "[[[[[[[[[]]]]]]]]]", ST_RANGE},
        {"9 levels deep behind escaped quotes", "[\"\\\"[[[\\\\\",[[[[[[[[]]]]]]]]]", ST_RANGE},
        {"brackets in a text are no levels", "{\"d\": \"[[[[[[[[[[\\\"[[\"}", ST_SYNTAX},
        {"a text that does not end", "[\"[[[[[[[[[[[[\\", ST_SYNTAX},
    };
    struct fixture *fixture = *state;
    int failed = 0;

    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        enum status got = decode(fixture, ROWS[i].text);

        if (got != ROWS[i].want || fixture->err.text[0] == '\0') {
            print_error("%s: got %s, want %s\n", ROWS[i].sentence, status_name(got),
                        status_name(ROWS[i].want));
            failed++;
        }
    }
    assert_int_equal(failed, 0);
}

static void test_large_ones_are_refused(void **state)
{
    struct fixture *fixture = *state;
    static char text[DATAGRAM_BYTES_MAX + 1];

    memset(text, 'x', sizeof text);
    assert_int_equal(datagram_decode(text, 200000, &fixture->arena, &fixture->result, &fixture->err),
                     ST_SYNTAX);
    assert_int_equal(datagram_decode(text, sizeof text, &fixture->arena, &fixture->result, &fixture->err),
                     ST_RANGE);
    memset(text, '[', 1000);
    memset(text + 1000, ']', 1000);
    assert_int_equal(datagram_decode(text, 2000, &fixture->arena, &fixture->result, &fixture->err), ST_RANGE);
    for (size_t i = 0; i + 3 <= 200000; i += 3)
        memcpy(text + i, "{},", 3);
    text[0] = '[';
    assert_int_equal(datagram_decode(text, 200000, &fixture->arena, &fixture->result, &fixture->err),
                     ST_RANGE);
}

static void test_versions(void **state)
{
    struct fixture *fixture = *state;

    must_decode(fixture, "{\"dpv\": \"1\",\"d\": \"a.example\",\"policies\":[" NONE "]}");
    must_decode(fixture, "{\"dpv\":1,\"d\": \"a.example\",\"policies\":[" NONE "]}");
    assert_int_equal(fixture->result.newer_version, 0);
    must_decode(fixture, "{\"dpv\":\"12\",\"new\":{\"x\":[1]},\"d\": \"a.example\",\"policies\":[" NONE "]}");
    assert_int_equal(fixture->result.newer_version, 12);
    must_decode(fixture, "{\"d\": \"a.example\",\"policies\":[" NONE "]}");
    must_decode(fixture, "{\"d\": \"a.example\",\"later\":{\"x\":[1]},\"policies\":[" NONE "]}\n");
}

static void test_domains_are_folded(void **state)
{
    struct fixture *fixture = *state;

    must_decode(fixture, "{\"d\": \"QUAY.example.\",\"policies\":[" NONE "]}");
    assert_string_equal(fixture->result.domain, "quay.example");
    assert_string_equal(fixture->result.policies[0].policy.domain, "quay.example"); /* R31 */
    must_decode(fixture, EVENT("{\"policy-type\":1,\"policy-domain\": \"MX.B\xC3\xBC"
                               "cher.Example\",\"f\":0}"));
    assert_string_equal(fixture->result.policies[0].policy.domain, "mx.xn--bcher-kva.example"); /* R21 */
    must_decode(fixture, EVENT("{\"policy-type\":1,\"policy-domain\": \"not a name\",\"f\":0}"));
    assert_string_equal(fixture->result.policies[0].policy.domain, "a.example");
}

static void test_what_a_policy_carries(void **state)
{
    struct fixture *fixture = *state;
    const struct policy *policy;

    must_decode(fixture, EVENT("{\"policy-type\":1,\"policy-string\":[\"3 1 1 ff\",\"junk\",\"2 1 1 00\","
                               "\"3 1 1 FF\",7],\"mx-host\":[\"x.example\"],\"f\":0}"));
    policy = &fixture->result.policies[0].policy;
    assert_int_equal(policy->strings.count, 2); /* R33 */
    assert_string_equal(policy->strings.items[0], "2 1 1 00");
    assert_string_equal(policy->strings.items[1], "3 1 1 FF");
    assert_int_equal(policy->mx_hosts.count, 0); /* R22 */
    must_decode(fixture, EVENT("{\"policy-type\":2,\"policy-string\":[\"version: STSv1\",\"\",\"mx: B\\r\"],"
                               "\"mx-host\":[\"*.B.example\",\"not a name\",\"a.example.\"],\"f\":0}"));
    policy = &fixture->result.policies[0].policy;
    assert_int_equal(policy->strings.count, 2);
    assert_string_equal(policy->strings.items[1], "mx: B");
    assert_int_equal(policy->mx_hosts.count, 2);
    assert_string_equal(policy->mx_hosts.items[0], "*.b.example");
    assert_string_equal(policy->mx_hosts.items[1], "a.example");
    must_decode(fixture,
                EVENT("{\"policy-type\":9,\"policy-string\":[\"x\"],\"mx-host\":[\"a.example\"],\"f\":0}"));
    policy = &fixture->result.policies[0].policy;
    assert_int_equal(policy->strings.count + policy->mx_hosts.count, 0);
}

static void test_results(void **state)
{
    static const struct {
        const char *sentence;
        const char *policy;
        bool want_failed;
        size_t want_details;
    } ROWS[] = {
        {"f is 0", "{\"policy-type\":9,\"t\":0,\"f\":0}", false, 0},
        {"f is 1 without details", "{\"policy-type\":9,\"t\":0,\"f\":1}", true, 0},
        {"f is 1 with one", FAILED("{\"c\":201}"), true, 1},
        {"details of a success are kept",
         "{\"policy-type\":9,\"failure-details\":[{\"c\":201}],\"t\":1,\"f\":0}", false, 1},
        {"t does not matter", "{\"policy-type\":9,\"failure-details\":[{\"c\":201}],\"t\":9,\"f\":1}", true,
         1},
        {"f is missing and there are details", "{\"policy-type\":9,\"failure-details\":[{\"c\":201}]}", true,
         1},
        {"f is missing and there are none", "{\"policy-type\":9}", false, 0},
        {"f is true", "{\"policy-type\":9,\"f\":true}", true, 0},
        {"a detail that is no object is left out",
         "{\"policy-type\":9,\"failure-details\":[7,{\"c\":201}],\"f\":1}", true, 1},
        {"failure-details is no array", "{\"policy-type\":9,\"failure-details\":7,\"f\":1}", true, 0},
    };
    struct fixture *fixture = *state;
    char text[1000];

    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        (void)snprintf(text, sizeof text, "{\"d\": \"a.example\",\"policies\":[%s]}", ROWS[i].policy);
        must_decode(fixture, text);
        if (fixture->result.policies[0].is_failed != ROWS[i].want_failed ||
            fixture->result.policies[0].detail_count != ROWS[i].want_details)
            fail_msg("%s", ROWS[i].sentence);
    }
}

static void test_detail(void **state)
{
    struct fixture *fixture = *state;
    const struct failure_detail *detail;

    must_decode(fixture,
                EVENT(FAILED("{\"c\":205,\"s\": \"2001:DB8:0:0:0:0:0:10\",\"n\": \"MX1.A.Example.\","
                             "\"h\": \"250-mx1.a.example\\r\\n250 STARTTLS\",\"r\": \"::ffff:192.0.2.7\","
                             "\"a\": \"https://a.example/x\",\"f\": \"self-signed_certificate\"}")));
    detail = &fixture->result.policies[0].details[0];
    assert_int_equal(detail->result_type, RESULT_VALIDATION_FAILURE);
    assert_string_equal(detail->sending_mta_ip, "2001:db8::10");
    assert_string_equal(detail->receiving_mx_hostname, "mx1.a.example");
    assert_string_equal(detail->receiving_mx_helo, "mx1.a.example");
    assert_string_equal(detail->receiving_ip, "192.0.2.7");
    assert_string_equal(detail->additional_information, "https://a.example/x");
    assert_string_equal(detail->failure_reason_code, "self-signed_certificate");
}

static void test_bad_fields_cost_only_themselves(void **state)
{
    struct fixture *fixture = *state;
    const struct failure_detail *detail;

    must_decode(fixture,
                "{\"d\": \"a.example\",\"pr\":7,\"utc-day\": \"2026-02-30\",\"policies\":[" FAILED(
                    "{\"c\":202,\"s\": \"[192.0.2.1]\",\"n\":[],\"h\": \"250-[192.0.2.1]\",\"r\":null,"
                    "\"a\": \"not a uri\",\"f\": \"\\u0000\\r\\n\"}") "]}");
    assert_null(fixture->result.record);
    assert_false(fixture->result.has_utc_day);
    detail = &fixture->result.policies[0].details[0];
    assert_int_equal(detail->result_type, RESULT_CERTIFICATE_HOST_MISMATCH);
    assert_null(detail->sending_mta_ip);
    assert_null(detail->receiving_mx_hostname);
    assert_null(detail->receiving_mx_helo);
    assert_null(detail->receiving_ip);
    assert_null(detail->additional_information);
    assert_null(detail->failure_reason_code);
}

static void test_nul_bytes_do_not_cut(void **state)
{
    struct fixture *fixture = *state;

    must_decode(fixture, EVENT(FAILED("{\"c\":205,\"n\": \"mx.example\\u0000.evil\",\"f\": \"a\\u0000b\"}")));
    assert_null(fixture->result.policies[0].details[0].receiving_mx_hostname);
    assert_string_equal(fixture->result.policies[0].details[0].failure_reason_code, "a b");
}

static void test_codes(void **state)
{
    struct fixture *fixture = *state;
    const struct failure_detail *details;

    must_decode(fixture, EVENT(FAILED("{\"c\":204},{\"c\":999,\"f\": \"x\"},{\"c\":901},{\"f\": \"y\"},"
                                      "{\"c\": \"201\"},{\"c\":-1}")));
    details = fixture->result.policies[0].details;
    assert_int_equal(fixture->result.policies[0].detail_count, 6);
    assert_int_equal(details[0].result_type, RESULT_CERTIFICATE_EXPIRED);
    assert_null(details[0].failure_reason_code);
    for (int i = 1; i < 6; i++)
        assert_int_equal(details[i].result_type, RESULT_VALIDATION_FAILURE); /* R23, R69 */
    assert_string_equal(details[1].failure_reason_code, "libtlsrpt-code-999");
    assert_string_equal(details[2].failure_reason_code, "libtlsrpt-code-901");
    assert_string_equal(details[3].failure_reason_code, "y");
    assert_null(details[4].failure_reason_code);
    assert_string_equal(details[5].failure_reason_code, "libtlsrpt-code--1");
}

static void test_unknown_policy_types_are_dropped_and_counted(void **state)
{
    struct fixture *fixture = *state;

    must_decode(fixture, EVENT("{\"policy-type\":3,\"f\":1}," NONE ",{\"policy-type\": \"sts\"},7"));
    assert_int_equal(fixture->result.policy_count, 1);
    assert_int_equal(fixture->result.dropped_policies, 3);
}

static void test_invalid_utf8_is_repaired(void **state)
{
    struct fixture *fixture = *state;

    must_decode(fixture, EVENT(FAILED("{\"c\":205,\"f\": \"caf\xE9 \xFF\"}")));
    assert_true(fixture->result.is_repaired);
    assert_string_equal(fixture->result.policies[0].details[0].failure_reason_code,
                        "caf\xEF\xBF\xBD \xEF\xBF\xBD");
    must_decode(fixture, EVENT(FAILED("{\"c\":205,\"f\": \"caf\xC3\xA9\"}")));
    assert_false(fixture->result.is_repaired);
    assert_int_equal(decode(fixture, "{\"d\": \"a.example\",\xFF"), ST_SYNTAX);
}

static void test_log_readers_day(void **state)
{
    struct fixture *fixture = *state;
    int32_t want = 0;

    assert_true(utc_day_parse("2026-03-14", &want));
    must_decode(fixture, "{\"d\": \"a.example\",\"utc-day\": \"2026-03-14\",\"policies\":[" NONE "]}");
    assert_true(fixture->result.has_utc_day);
    assert_int_equal(fixture->result.utc_day, want);
}

static void test_limits(void **state)
{
    struct fixture *fixture = *state;
    struct strbuf text;

    strbuf_init(&text, DATAGRAM_BYTES_MAX);
    strbuf_add_text(&text, "{\"d\": \"a.example\",\"policies\":[{\"policy-type\":2,\"policy-string\":[\"a\"");
    for (int i = 0; i < 300; i++)
        strbuf_add_text(&text, ",\"b\"");
    strbuf_add_text(&text, "],\"failure-details\":[{\"c\":201}");
    for (int i = 0; i < 300; i++)
        strbuf_add_text(&text, ",{\"c\":201}");
    strbuf_add_text(&text, "]}");
    for (int i = 0; i < 40; i++)
        strbuf_add_text(&text, "," NONE);
    strbuf_add_text(&text, "]}");
    must_decode(fixture, text.data);
    assert_int_equal(fixture->result.policy_count, RESULT_POLICIES_MAX);
    assert_int_equal(fixture->result.dropped_policies, 41 - RESULT_POLICIES_MAX);
    assert_int_equal(fixture->result.policies[0].policy.strings.count, POLICY_LINES_MAX);
    assert_int_equal(fixture->result.policies[0].detail_count, RESULT_DETAILS_MAX);
    strbuf_done(&text);
}

static void test_small_arenas_are_no_memory(void **state)
{
    static const char TEXT[] =
        "{\"d\": \"a.example\",\"pr\": \"v=TLSRPTv1; rua=mailto:a@b.example\",\"policies\":["
        "{\"policy-type\":2,\"policy-string\":[\"mode: none\"],\"mx-host\":[\"*.a.example\"],"
        "\"failure-details\":[{\"c\":999,\"s\": \"::1\",\"h\": \"250 a\",\"f\": \"x\"}]}]}";
    struct fixture *fixture = *state;
    enum status status = ST_NOMEM;
    size_t limit;

    for (limit = 1; limit < 10000 && status == ST_NOMEM; limit++) {
        struct arena arena;

        arena_init(&arena, limit);
        status = datagram_decode(TEXT, sizeof TEXT - 1, &arena, &fixture->result, &fixture->err);
        arena_done(&arena);
    }
    assert_int_equal(status, ST_OK);
    assert_true(limit > 100);
}

/* ---- there and back ---- */

static void check_round_trip(struct fixture *fixture, const struct session_result *result)
{
    struct session_result again;
    struct strbuf text;

    strbuf_init(&text, DATAGRAM_BYTES_MAX);
    assert_int_equal(datagram_encode(result, &text, &fixture->err), ST_OK);
    assert_int_equal(datagram_decode(text.data, text.len, &fixture->arena, &again, &fixture->err), ST_OK);
    if (!results_are_equal(result, &again))
        fail_msg("not the same again: %s", text.data);
    strbuf_done(&text);
}

static void test_round_trip(void **state)
{
    static const char *const TEXTS[] = {
        EVENT(NONE),
        EVENT(FAILED("{\"c\":999,\"s\": \"::1\",\"n\": \"b.example\",\"h\": \"250 250-c.example\",\"r\": "
                     "\"192.0.2.1\","
                     "\"a\": \"x:y\",\"f\": \"caf\xC3\xA9 \\\"q\\\" \\\\\"}")),
        EVENT("{\"policy-type\":1,\"policy-string\":[\"3 1 1 ff\",\"2 1 1 00\"],\"f\":1}," NONE),
        "{\"d\": \"a.example\",\"pr\": \"v=TLSRPTv1\",\"utc-day\": \"2026-03-14\",\"policies\":["
        "{\"policy-type\":2,\"policy-domain\": \"b.example\",\"policy-string\":[\"mode: none\"],"
        "\"mx-host\":[\"*.a.example\"],\"failure-details\":[{\"c\":201},{\"c\":303}],\"f\":0}]}",
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < ARRAY_COUNT(TEXTS); i++) {
        must_decode(fixture, TEXTS[i]);
        check_round_trip(fixture, &fixture->result);
    }
}

static void test_real_datagrams(void **state)
{
    static const char FOLDER[] = "tests/data/mta/postfix-3.10";
    struct fixture *fixture = *state;
    DIR *folder = opendir(FOLDER);
    struct dirent *entry;
    int count = 0;

    assert_non_null(folder);
    while ((entry = readdir(folder)) != NULL) {
        char path[512], line[8192];
        FILE *file;

        if (strstr(entry->d_name, ".datagrams") == NULL)
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", FOLDER, entry->d_name);
        file = fopen(path, "r");
        assert_non_null(file);
        while (fgets(line, sizeof line, file) != NULL) {
            must_decode(fixture, line);
            check_round_trip(fixture, &fixture->result);
            arena_reset(&fixture->arena);
            count++;
        }
        (void)fclose(file);
    }
    (void)closedir(folder);
    assert_int_equal(count, 70);
}

static void test_encode_fails_cleanly(void **state)
{
    struct fixture *fixture = *state;
    struct strbuf text;

    must_decode(fixture, EVENT(NONE));
    strbuf_init(&text, 20);
    assert_int_equal(datagram_encode(&fixture->result, &text, &fixture->err), ST_RANGE);
    strbuf_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large_ones_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_versions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_domains_are_folded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_a_policy_carries, setup, teardown),
        cmocka_unit_test_setup_teardown(test_results, setup, teardown),
        cmocka_unit_test_setup_teardown(test_detail, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_fields_cost_only_themselves, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nul_bytes_do_not_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_codes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unknown_policy_types_are_dropped_and_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_invalid_utf8_is_repaired, setup, teardown),
        cmocka_unit_test_setup_teardown(test_log_readers_day, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_small_arenas_are_no_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_real_datagrams, setup, teardown),
        cmocka_unit_test_setup_teardown(test_encode_fails_cleanly, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
