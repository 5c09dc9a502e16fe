/* SPDX-License-Identifier: MIT */
/* Arrays as PostgreSQL reads them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/attr.h"
#include "base/strbuf.h"
#include "fleet/pg_array.h"

static void test_arrays_of_texts(void **state)
{
    static const struct {
        const char *what;
        const char *items[4];
        const char *want;
    } ROWS[] = {
        {"none", {NULL}, "{}"},
        {"an empty text is an item", {"", NULL}, "{\"\"}"},
        {"commas and braces are only text", {"a,b", "{c}", NULL}, "{\"a,b\",\"{c}\"}"},
        {"quotes and backslashes are escaped", {"say \"x\"", "\\", NULL}, "{\"say \\\"x\\\"\",\"\\\\\"}"},
        {"NULL in quotes is a text", {"NULL", NULL}, "{\"NULL\"}"},
        {"newlines stay", {"a\nb", NULL}, "{\"a\nb\"}"},
    };
    struct strbuf array;

    (void)state;
    strbuf_init(&array, 1024);
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        pg_array_begin(&array);
        for (size_t j = 0; ROWS[i].items[j] != NULL; j++)
            pg_array_add_text(&array, ROWS[i].items[j]);
        pg_array_end(&array);
        if (strcmp(array.data, ROWS[i].want) != 0)
            fail_msg("%s: got %s, want %s", ROWS[i].what, array.data, ROWS[i].want);
    }
    pg_array_begin(&array);
    pg_array_add_int(&array, -1);
    pg_array_add_int(&array, INT64_MAX);
    pg_array_end(&array);
    assert_string_equal(array.data, "{-1,9223372036854775807}");
    strbuf_done(&array);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arrays_of_texts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
