/* SPDX-License-Identifier: MIT */
/* UTF-8: what is valid (RFC 3629), and how the rest is repaired. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/utf8.h"

#define R "\xEF\xBF\xBD" /* U+FFFD */

static const struct {
    const char *what;
    const char *text;
    const char *repaired; /* equal to text if it is valid */
    size_t count;
} ROWS[] = {
    {"nothing", "", "", 0},
    {"ASCII", "abc\x01\x7F", "abc\x01\x7F", 0},
    {"two bytes, first and last", "\xC2\x80\xDF\xBF", "\xC2\x80\xDF\xBF", 0},
    {"three bytes, first and last", "\xE0\xA0\x80\xEF\xBF\xBF", "\xE0\xA0\x80\xEF\xBF\xBF", 0},
    {"four bytes, first and last", "\xF0\x90\x80\x80\xF4\x8F\xBF\xBF", "\xF0\x90\x80\x80\xF4\x8F\xBF\xBF", 0},
    {"around the surrogates", "\xED\x9F\xBF\xEE\x80\x80", "\xED\x9F\xBF\xEE\x80\x80", 0},
    {"Latin-1", "caf\xE9!", "caf" R "!", 1},
    {"a tail alone", "\x80", R, 1},
    {"cut off at the end", "a\xE2\x82", "a" R R, 2},
    {"cut off in the middle", "\xE2\x82z", R R "z", 2},
    {"overlong '/'", "\xC0\xAF", R R, 2},
    {"overlong NUL", "\xE0\x80\x80", R R R, 3},
    {"overlong in four bytes", "\xF0\x80\x80\xAF", R R R R, 4},
    {"surrogate", "\xED\xA0\x80", R R R, 3},
    {"above U+10FFFF", "\xF4\x90\x80\x80", R R R R, 4},
    {"five bytes", "\xF8\x88\x80\x80\x80", R R R R R, 5},
    {"FE and FF", "\xFE\xFF", R R, 2},
    {"good after bad", "\xE2\xC3\xBC", R "\xC3\xBC", 1},
};

static void test_rows(void **state)
{
    struct strbuf buf;

    (void)state;
    strbuf_init(&buf, 1000);
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        size_t len = strlen(ROWS[i].text);
        size_t count;

        strbuf_reset(&buf);
        count = utf8_repair(ROWS[i].text, len, &buf);
        if (utf8_is_valid(ROWS[i].text, len) != (ROWS[i].count == 0))
            fail_msg("%s: want %s", ROWS[i].what, ROWS[i].count == 0 ? "valid" : "invalid");
        if (count != ROWS[i].count || strcmp(buf.data, ROWS[i].repaired) != 0)
            fail_msg("%s: got %zu repairs, want %zu", ROWS[i].what, count, ROWS[i].count);
        assert_true(utf8_is_valid(buf.data, buf.len));
    }
    strbuf_done(&buf);
}

/* Every text of up to three bytes is valid or repaired to valid, and NUL is a byte like others. */
/* What lies behind the text, even if it would complete a character, is not part of it. */
static void test_cut_in_a_character(void **state)
{
    (void)state;
    assert_int_equal(utf8_sequence_len("\xE2\x82\xAC", 3), 3);
    assert_int_equal(utf8_sequence_len("\xE2\x82\xAC", 2), 0);
    assert_int_equal(utf8_sequence_len("\xC3\xA9", 1), 0);
    assert_int_equal(utf8_sequence_len("\xF0\x9F\x98\x80", 3), 0);
    assert_int_equal(utf8_sequence_len("a", 0), 0);
    assert_false(utf8_is_valid("ab\xC3\xA9", 3));
}

static void test_all_short_texts(void **state)
{
    struct strbuf buf;

    (void)state;
    strbuf_init(&buf, 100);
    for (unsigned long n = 0; n < 1ul << 24; n += 7) {
        char text[3] = {(char)(n >> 16), (char)(n >> 8), (char)n};
        bool is_valid = utf8_is_valid(text, 3);

        strbuf_reset(&buf);
        assert_true((utf8_repair(text, 3, &buf) == 0) == is_valid);
        assert_true(utf8_is_valid(buf.data, buf.len));
    }
    assert_int_equal(utf8_sequence_len("", 0), 0);
    assert_int_equal(utf8_sequence_len("\0", 1), 1);
    strbuf_done(&buf);
}

int main(void)
{
    static const struct CMUnitTest TESTS[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_cut_in_a_character),
        cmocka_unit_test(test_all_short_texts),
    };

    return cmocka_run_group_tests_name("utf8", TESTS, NULL, NULL);
}
