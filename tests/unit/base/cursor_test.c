/* SPDX-License-Identifier: MIT */
/* The checked cursor: reads what is there, fails once and for good. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/attr.h"
#include "base/cursor.h"

static struct cursor over(const char *text)
{
    struct cursor cursor;

    cursor_init(&cursor, text, strlen(text));
    return cursor;
}

static void test_reads_in_order(void **state)
{
    struct cursor cursor = over("rua=  mailto:x,12;");

    (void)state;
    assert_true(cursor_skip_word(&cursor, "rua"));
    assert_false(cursor_skip_word(&cursor, "rua"));
    assert_int_equal(cursor_take_byte(&cursor), '=');
    assert_int_equal(cursor_skip_any(&cursor, " \t"), 2);
    assert_int_equal(cursor_peek(&cursor), 'm');
    assert_true(span_is(cursor_take_until(&cursor, ":"), "mailto"));
    cursor_expect(&cursor, ":");
    assert_true(span_is(cursor_take_while(&cursor, "xyz"), "x"));
    assert_true(span_is(cursor_take_while(&cursor, "xyz"), ""));
    assert_int_equal(cursor_offset(&cursor), 14);
    cursor_expect(&cursor, ",");
    assert_int_equal(cursor_take_number(&cursor, 12), 12);
    assert_false(cursor_at_end(&cursor));
    cursor_expect(&cursor, ";");
    assert_true(cursor_at_end(&cursor));
    assert_false(cursor.is_failed);
}

static void test_failure_sticks(void **state)
{
    struct cursor cursor = over("abc123");

    (void)state;
    cursor_expect(&cursor, "ab");
    cursor_expect(&cursor, "x");
    assert_true(cursor.is_failed);
    assert_int_equal(cursor.error_at, 2);
    assert_true(cursor_at_end(&cursor));
    assert_int_equal(cursor_peek(&cursor), '\0');
    assert_int_equal(cursor_take_byte(&cursor), '\0');
    assert_false(cursor_skip_word(&cursor, "c"));
    assert_int_equal(cursor_skip_any(&cursor, "c"), 0);
    assert_int_equal(cursor_take_until(&cursor, "1").len, 0);
    assert_int_equal(cursor_take_number(&cursor, 999), 0);
    cursor_fail(&cursor);
    assert_int_equal(cursor.error_at, 2);
}

static void test_end_of_text(void **state)
{
    struct cursor cursor = over("");

    (void)state;
    assert_true(cursor_at_end(&cursor));
    assert_true(cursor_skip_word(&cursor, ""));
    assert_int_equal(cursor_take_until(&cursor, ",").len, 0);
    assert_false(cursor.is_failed);
    assert_int_equal(cursor_take_byte(&cursor), '\0');
    assert_true(cursor.is_failed);
}

/* The text is bytes, not a C string: nothing beyond its length is read, and NUL is a byte like others. */
static void test_nul_and_length(void **state)
{
    static const char TEXT[] = "a\0b,";
    struct cursor cursor;

    (void)state;
    cursor_init(&cursor, TEXT, 4);
    assert_int_equal(cursor_take_until(&cursor, ",").len, 3);
    cursor_init(&cursor, TEXT, 1);
    assert_true(span_is(cursor_take_until(&cursor, ","), "a"));
    assert_true(cursor_at_end(&cursor));
    cursor_init(&cursor, "abc", 2);
    assert_false(cursor_skip_word(&cursor, "abc"));
    cursor_init(&cursor, TEXT + 1, 1);
    assert_int_equal(cursor_take_while(&cursor, "ab").len, 0);
}

static const struct {
    const char *what;
    const char *text;
    uint64_t max;
    bool want_ok;
    uint64_t want;
} NUMBERS[] = {
    {"zero", "0", 0, true, 0},
    {"leading zeros", "007", 7, true, 7},
    {"the limit", "65535", 65535, true, 65535},
    {"above the limit", "65536", 65535, false, 0},
    {"one digit above a small limit", "9", 5, false, 0},
    {"two digits above a small limit", "10", 5, false, 0},
    {"the largest", "18446744073709551615", UINT64_MAX, true, UINT64_MAX},
    {"one more than the largest", "18446744073709551616", UINT64_MAX, false, 0},
    {"many digits", "99999999999999999999999999", UINT64_MAX, false, 0},
    {"no digit", "x", 9, false, 0},
    {"sign", "-1", 9, false, 0},
    {"plus", "+1", 9, false, 0},
    {"blank", " 1", 9, false, 0},
    {"nothing", "", 9, false, 0},
};

static void test_numbers(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(NUMBERS); i++) {
        struct cursor cursor = over(NUMBERS[i].text);
        uint64_t got = cursor_take_number(&cursor, NUMBERS[i].max);

        if (got != NUMBERS[i].want || cursor.is_failed == NUMBERS[i].want_ok)
            fail_msg("%s: got %llu", NUMBERS[i].what, (unsigned long long)got);
    }
}

int main(void)
{
    static const struct CMUnitTest TESTS[] = {
        cmocka_unit_test(test_reads_in_order), cmocka_unit_test(test_failure_sticks),
        cmocka_unit_test(test_end_of_text),    cmocka_unit_test(test_nul_and_length),
        cmocka_unit_test(test_numbers),
    };

    return cmocka_run_group_tests_name("cursor", TESTS, NULL, NULL);
}
