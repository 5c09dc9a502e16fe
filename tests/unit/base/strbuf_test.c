/* SPDX-License-Identifier: MIT */
/* The growing buffer: its limit, its failure that sticks, and text that is safe to show. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"

static void test_adds(void **state)
{
    struct strbuf buf;

    (void)state;
    strbuf_init(&buf, 1000);
    assert_string_equal(buf.data, "");
    strbuf_add(&buf, NULL, 0);
    strbuf_addf(&buf, "%s", "");
    strbuf_add_text(&buf, "ab");
    strbuf_add_char(&buf, 'c');
    strbuf_addf(&buf, "%d%s", 12, "x");
    strbuf_add(&buf, "\0y", 2);
    assert_false(strbuf_is_failed(&buf));
    assert_int_equal(buf.len, 8);
    assert_memory_equal(buf.data, "abc12x\0y", 9);
    strbuf_reset(&buf);
    assert_string_equal(buf.data, "");
    assert_int_equal(buf.len, 0);
    strbuf_done(&buf);
    assert_string_equal(buf.data, "");
}

static void test_grows(void **state)
{
    struct strbuf buf;

    (void)state;
    strbuf_init(&buf, 100000);
    for (int i = 0; i < 10000; i++)
        strbuf_addf(&buf, "%04d", i);
    assert_false(strbuf_is_failed(&buf));
    assert_int_equal(buf.len, 40000);
    assert_memory_equal(buf.data + 4 * 1234, "1234", 4);
    assert_int_equal(buf.data[40000], '\0');
    strbuf_done(&buf);
}

static void test_limit_sticks(void **state)
{
    struct strbuf buf;

    (void)state;
    strbuf_init(&buf, 5);
    strbuf_add_text(&buf, "12345");
    assert_false(strbuf_is_failed(&buf));
    strbuf_add_char(&buf, '6');
    assert_true(strbuf_is_failed(&buf));
    assert_string_equal(buf.data, "12345");
    strbuf_reset(&buf);
    strbuf_addf(&buf, "%s", "123456");
    assert_true(strbuf_is_failed(&buf));
    strbuf_add_text(&buf, "1"); /* would fit, but something before it is missing */
    assert_int_equal(buf.len, 0);
    strbuf_reset(&buf);
    assert_false(strbuf_is_failed(&buf));
    strbuf_done(&buf);
}

static void test_printable(void **state)
{
    struct strbuf buf;

    (void)state;
    strbuf_init(&buf, 1000);
    strbuf_add_printable(&buf, "a ~\x1b[31m\n\t\x7f\x80\xff\0b", 15);
    assert_string_equal(buf.data, "a ~\\x1b[31m\\x0a\\x09\\x7f\\x80\\xff\\x00b");
    strbuf_done(&buf);
}

int main(void)
{
    static const struct CMUnitTest TESTS[] = {
        cmocka_unit_test(test_adds),
        cmocka_unit_test(test_grows),
        cmocka_unit_test(test_limit_sticks),
        cmocka_unit_test(test_printable),
    };

    return cmocka_run_group_tests_name("strbuf", TESTS, NULL, NULL);
}
