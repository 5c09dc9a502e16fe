/* SPDX-License-Identifier: MIT */
/* The summary's one line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "model/report_summary.h"

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
        cmocka_unit_test(test_summary_round_trip),
        cmocka_unit_test(test_summary_that_is_none),
        cmocka_unit_test(test_summary_top),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
