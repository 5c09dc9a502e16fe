/* SPDX-License-Identifier: MIT */
/* Whole UTC days (R16): the same in every time zone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/attr.h"
#include "model/utc_day.h"

static const struct {
    int64_t utc_s;
    int32_t day;
    const char *text;
} DAYS[] = {
    {0, 0, "1970-01-01"},
    {86399, 0, "1970-01-01"},
    {86400, 1, "1970-01-02"},
    {951782400, 11016, "2000-02-29"},
    {1773446400, 20526, "2026-03-14"}, /* the worked examples' day */
    {1773532799, 20526, "2026-03-14"},
    {1773532800, 20527, "2026-03-15"},
    {4107542400, 47541, "2100-03-01"},
    {253402300799, UTC_DAY_MAX, "9999-12-31"},
    {253402300800, UTC_DAY_MAX, "9999-12-31"},
    {INT64_MAX, UTC_DAY_MAX, "9999-12-31"},
    {-1, 0, "1970-01-01"},
    {INT64_MIN, 0, "1970-01-01"},
};

static void check_days(void)
{
    for (size_t i = 0; i < ARRAY_COUNT(DAYS); i++) {
        char text[UTC_DAY_TEXT_SIZE];
        int32_t again = -1;

        assert_int_equal(utc_day_of(DAYS[i].utc_s), DAYS[i].day);
        utc_day_format(DAYS[i].day, text);
        assert_string_equal(text, DAYS[i].text);
        assert_true(utc_day_parse(text, &again));
        assert_int_equal(again, DAYS[i].day);
    }
}

static void test_days_in_every_time_zone(void **state)
{
    static const char *const ZONES[] = {"UTC0", "JST-9", "PST8PDT", "LINT-14"};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(ZONES); i++) {
        assert_int_equal(setenv("TZ", ZONES[i], 1), 0);
        tzset();
        check_days();
    }
    unsetenv("TZ");
    tzset();
}

static void test_window(void **state)
{
    char text[UTC_STAMP_TEXT_SIZE];

    (void)state;
    assert_int_equal(utc_day_begin_s(20526), 1773446400);
    assert_int_equal(utc_day_last_s(20526), 1773532799);
    utc_stamp_format(utc_day_begin_s(20526), text);
    assert_string_equal(text, "2026-03-14T00:00:00Z");
    utc_stamp_format(utc_day_last_s(20526), text);
    assert_string_equal(text, "2026-03-14T23:59:59Z");
}

static void test_what_has_no_date_gets_the_nearest(void **state)
{
    char day[UTC_DAY_TEXT_SIZE], stamp[UTC_STAMP_TEXT_SIZE];

    (void)state;
    utc_day_format(INT32_MAX, day);
    assert_string_equal(day, "9999-12-31");
    utc_day_format(INT32_MIN, day);
    assert_string_equal(day, "1970-01-01");
    utc_stamp_format(253402300800, stamp);
    assert_string_equal(stamp, "9999-12-31T23:59:59Z");
    utc_stamp_format(INT64_MAX, stamp);
    assert_string_equal(stamp, "9999-12-31T23:59:59Z");
    utc_stamp_format(INT64_MIN, stamp);
    assert_string_equal(stamp, "1970-01-01T00:00:00Z");
}

static void test_every_day_reads_back(void **state)
{
    (void)state;
    for (int32_t day = 0; day <= UTC_DAY_MAX; day += 13) {
        char text[UTC_DAY_TEXT_SIZE];
        int32_t again;

        utc_day_format(day, text);
        assert_true(utc_day_parse(text, &again));
        assert_int_equal(again, day);
    }
}

static void test_seconds_beyond_the_range(void **state)
{
    (void)state;
    assert_int_equal(utc_day_of(-1), 0);
    assert_int_equal(utc_day_of(-(int64_t)UTC_DAY_SECONDS), 0);
    assert_int_equal(utc_day_of(-2 * (int64_t)UTC_DAY_SECONDS), 0);
    assert_int_equal(utc_day_of(INT64_MIN), 0);
    assert_int_equal(utc_day_of(INT64_MAX), UTC_DAY_MAX);
}

static void test_what_is_no_day(void **state)
{
    static const char *const BAD[] = {
        "",           "2026",       "2026-3-14",   "2026-03-14 ", " 2026-03-14", "2026/03/14", "2026-02-29",
        "2026-04-31", "2026-13-01", "2026-00-01",  "2026-01-00",  "1969-12-31",  "20260314",   "2026-03-14T",
        "-026-03-14", "+026-03-14", "10000-01-01", "today",       "2026-03-1x",
    };
    int32_t day = 7;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(BAD); i++)
        if (utc_day_parse(BAD[i], &day) || day != 7)
            fail_msg("\"%s\" passed for a day", BAD[i]);
}

int main(void)
{
    static const struct CMUnitTest TESTS[] = {
        cmocka_unit_test(test_days_in_every_time_zone),           cmocka_unit_test(test_window),
        cmocka_unit_test(test_what_has_no_date_gets_the_nearest), cmocka_unit_test(test_every_day_reads_back),
        cmocka_unit_test(test_seconds_beyond_the_range),          cmocka_unit_test(test_what_is_no_day),
    };

    return cmocka_run_group_tests_name("utc_day", TESTS, NULL, NULL);
}
