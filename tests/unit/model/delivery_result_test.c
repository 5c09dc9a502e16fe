/* SPDX-License-Identifier: MIT */
/* What a server answered becomes harmless text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/attr.h"
#include "model/delivery_result.h"

static void test_result_text_is_harmless(void **state)
{
    static const struct {
        const char *what;
        const char *text;
        const char *want;
    } ROWS[] = {
        {"line ends become blanks, the last one goes", "one\r\ntwo\r\n", "one  two"},
        {"escape sequences lose their teeth", "a\x1b[2Jb", "a?[2Jb"},
        {"bytes above ASCII go", "caf\xc3\xa9", "caf??"},
        {"nothing stays nothing", "", ""},
    };
    struct delivery_result result;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        delivery_result_set(&result, DELIVERY_RESULT_GIVE_UP, DELIVERY_AT_RCPT, 550, "%s", ROWS[i].text);
        assert_string_equal(result.text, ROWS[i].want);
    }
    delivery_result_set(&result, DELIVERY_RESULT_TRY_LATER, DELIVERY_AT_DATA, 0, "no answer");
    delivery_result_put_in_doubt(&result);
    assert_string_equal(result.text, "no answer; it may have arrived");
    delivery_result_set(&result, DELIVERY_RESULT_GIVE_UP, DELIVERY_AT_RCPT, 550, "%0600d", 1);
    assert_int_equal(sizeof result.text, 512);
    assert_int_equal(result.text[510], '0');
    assert_int_equal(result.text[511], '\0');
    delivery_result_put_in_doubt(&result);
    assert_string_equal(result.text + 486, "0000; it may have arrived");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_result_text_is_harmless),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
