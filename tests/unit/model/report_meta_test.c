/* SPDX-License-Identifier: MIT */
/* Report-id, Message-ID, file name, and the summary's one line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "model/report_meta.h"
#include "model/report_summary.h"

static void test_names(void **state)
{
    struct arena arena;
    const char *text;
    struct err err;

    (void)state;
    arena_init(&arena, 100000);
    assert_int_equal(
        report_id_format(20526, 1, "", "harbour.example", "reports.seaport.example", &arena, &text, &err),
        ST_OK);
    assert_string_equal(text, "1773446400.1.harbour.example@reports.seaport.example");
    assert_int_equal(report_message_id_format(text, 2, &arena, &text, &err), ST_OK);
    assert_string_equal(text, "1773446400.1.harbour.example.rua2@reports.seaport.example");
    assert_int_equal(
        report_file_name_format(20526, "", "harbour.example", "reports.seaport.example", &arena, &text, &err),
        ST_OK);
    assert_string_equal(text, "reports.seaport.example!harbour.example!1773446400!1773532799.json.gz");
    arena_done(&arena);
}

/* Two hosts of one submitter: receivers must not take one's report for a copy of the other's. */
static void test_instances(void **state)
{
    static const char *const BAD[] = {"a.b", "a!b", "A", "-", "\xc3\xbc", "abcdefghijklmnopq"};
    struct arena arena;
    const char *text;

    (void)state;
    arena_init(&arena, 100000);
    assert_int_equal(report_id_format(20526, 1, "mx1", "a.example", "b.example", &arena, &text, NULL), ST_OK);
    assert_string_equal(text, "1773446400.1-mx1.a.example@b.example");
    assert_int_equal(report_file_name_format(20526, "mx1", "a.example", "b.example", &arena, &text, NULL),
                     ST_OK);
    assert_string_equal(text, "b.example!a.example!1773446400!1773532799!mx1.json.gz");
    for (size_t i = 0; i < ARRAY_COUNT(BAD); i++)
        if (report_id_format(1, 1, BAD[i], "a.example", "b.example", &arena, &text, NULL) != ST_SYNTAX ||
            report_file_name_format(1, BAD[i], "a.example", "b.example", &arena, &text, NULL) != ST_SYNTAX)
            fail_msg("instance \"%s\" was accepted", BAD[i]);
    arena_done(&arena);
}

static const struct {
    const char *says;
    const char *name;
} BAD_NAMES[] = {
    {"empty", ""},
    {"an empty label", "a..example"},
    {"a dot in front", ".a.example"},
    {"a dot at the end", "a.example."},
    {"a slash", "a/b.example"},
    {"an exclamation mark", "a!b.example"},
    {"an at sign", "a@b.example"},
    {"a line end", "a\r\nb.example"},
    {"a quote", "a\"b.example"},
    {"not ASCII", "b\xc3\xbc"
                  "cher.example"},
    {"a capital letter", "A.example"},
};

static void test_names_that_are_no_dot_atoms(void **state)
{
    const char *text = "untouched";
    struct arena arena;
    struct err err;

    (void)state;
    arena_init(&arena, 100000);
    for (size_t i = 0; i < ARRAY_COUNT(BAD_NAMES); i++)
        if (report_id_format(1, 1, "", BAD_NAMES[i].name, "b.example", &arena, &text, &err) != ST_SYNTAX ||
            report_id_format(1, 1, "", "b.example", BAD_NAMES[i].name, &arena, &text, &err) != ST_SYNTAX ||
            report_file_name_format(1, "", BAD_NAMES[i].name, "b.example", &arena, &text, &err) != ST_SYNTAX)
            fail_msg("%s: taken", BAD_NAMES[i].says);
    assert_int_equal(report_message_id_format("no-at-sign", 1, &arena, &text, &err), ST_SYNTAX);
    assert_string_equal(text, "untouched");
    arena_done(&arena);
}

static void test_summary_round_trip(void **state)
{
    struct report_summary summary = {.sessions = {4, 3}, .policies = 1, .details = 2, .clamped = 9};
    struct report_summary back;
    struct strbuf out;
    struct err err;

    (void)state;
    summary.failures[RESULT_CERTIFICATE_EXPIRED] = 2;
    summary.failures[RESULT_VALIDATION_FAILURE] = UINT64_MAX;
    strbuf_init(&out, REPORT_SUMMARY_TEXT_MAX);
    report_summary_format(&summary, &out);
    assert_string_equal(out.data, "success=4 failure=3 policies=1 details=2 folded=0 clamped=9 "
                                  "certificate-expired=2 validation-failure=18446744073709551615");
    assert_int_equal(report_summary_parse(out.data, &back, &err), ST_OK);
    assert_memory_equal(&back, &summary, sizeof back);
    strbuf_done(&out);
}

static void test_summary_that_is_none(void **state)
{
    static const char *const BAD[] = {"success",
                                      "success=",
                                      "success=x",
                                      "success=1 ,",
                                      "other=1",
                                      "success=1  failure=2",
                                      "success=99999999999999999999"};
    struct report_summary back = {.clamped = 77};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(BAD); i++)
        if (report_summary_parse(BAD[i], &back, NULL) != ST_SYNTAX)
            fail_msg("taken: %s", BAD[i]);
    assert_int_equal(back.clamped, 77);
}

static void test_summary_top(void **state)
{
    struct report_summary summary = {0};

    (void)state;
    assert_int_equal(report_summary_top(&summary), RESULT_TYPE_COUNT);
    summary.failures[RESULT_DANE_REQUIRED] = 3;
    summary.failures[RESULT_TLSA_INVALID] = 3;
    assert_int_equal(report_summary_top(&summary), RESULT_TLSA_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_instances),
        cmocka_unit_test(test_names_that_are_no_dot_atoms),
        cmocka_unit_test(test_summary_round_trip),
        cmocka_unit_test(test_summary_that_is_none),
        cmocka_unit_test(test_summary_top),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
