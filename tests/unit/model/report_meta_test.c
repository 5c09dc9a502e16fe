/* SPDX-License-Identifier: MIT */
/* Report-id, Message-ID, and file name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "model/report_meta.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_instances),
        cmocka_unit_test(test_names_that_are_no_dot_atoms),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
