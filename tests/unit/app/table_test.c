/* SPDX-License-Identifier: MIT */
/* Tables that fit their terminal, numbers, paragraphs and bars. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "app/table.h"

static const struct terminal ASCII = {.columns = 40};

static const struct table_column COLUMNS[] = {
    {.title = "name", .min = 10},
    {.title = "count", .is_right = true},
    {.title = "note", .min = 6},
};

/* The table at so many columns; the caller frees it. */
static char *print_table(size_t columns)
{
    const struct terminal terminal = {.columns = columns, .is_utf8 = true};
    struct table table;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    assert_non_null(out);
    table_init(&table, &terminal, COLUMNS, ARRAY_COUNT(COLUMNS));
    table_add_row(&table);
    table_add_cell(&table, STYLE_BAD, "a-rather-long-name.example");
    table_add_number(&table, STYLE_PLAIN, 1234567);
    table_add_cell(&table, STYLE_PLAIN, "x\033y, and much more to be read");
    table_add_rule(&table);
    table_add_row(&table);
    table_add_cellf(&table, STYLE_PLAIN, "%d rows", 1);
    assert_int_equal(table_print(&table, out, NULL), ST_OK);
    table_done(&table);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void a_table_fits_its_terminal(void **state)
{
    static const struct {
        size_t columns;
        const char *want;
    } ROWS[] = {
        {80, "name                            count  note\n"
             "a-rather-long-name.example  1,234,567  x\\x1by, and much more to be read\n"
             "───────────────────────────────────────────────────────────────────────\n"
             "1 rows\n"},
        {50, "name                    count  note\n"
             "a-rather-long-nam…  1,234,567  x\\x1by, and much m…\n"
             "──────────────────────────────────────────────────\n"
             "1 rows\n"},
        {32, "name            count  note\n"
             "a-rather-…  1,234,567  x\\x1by, …\n"
             "────────────────────────────────\n"
             "1 rows\n"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        char *got = print_table(ROWS[i].columns);

        assert_string_equal(got, ROWS[i].want);
        free(got);
    }
}

static void numbers_and_durations_are_readable(void **state)
{
    char text[TABLE_NUMBER_SIZE];

    (void)state;
    assert_string_equal(table_number(0, text), "0");
    assert_string_equal(table_number(999, text), "999");
    assert_string_equal(table_number(1000, text), "1,000");
    assert_string_equal(table_number(UINT64_MAX, text), "18,446,744,073,709,551,615");
    assert_string_equal(table_duration(-5, text), "0 s");
    assert_string_equal(table_duration(59, text), "59 s");
    assert_string_equal(table_duration(61, text), "1 min 1 s");
    assert_string_equal(table_duration(3600, text), "1 h");
    assert_string_equal(table_duration(2 * 86400 + 3 * 3600 + 59, text), "2 d 3 h");
}

/* What a printing function wrote to a memory stream. */
static char *wrapped(size_t columns, size_t first, size_t indent, const char *text)
{
    const struct terminal terminal = {.columns = columns, .is_utf8 = true};
    char *got = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&got, &len);

    assert_non_null(out);
    table_print_wrapped(&terminal, first, indent, text, out);
    assert_int_equal(fclose(out), 0);
    return got;
}

static void paragraphs_keep_to_the_width(void **state)
{
    static const struct {
        size_t columns, first, indent;
        const char *text, *want;
    } ROWS[] = {
        {20, 0, 0, "one two three four five", "one two three four\nfive\n"},
        {20, 10, 2, "one two three four five", "one two\n  three four five\n"},
        {20, 4, 4, "a word-that-is-longer-than-the-line b",
         "a\n    word-that-is-lon\n    ger-than-the-lin\n    e b\n"},
        {20, 0, 0, "", "\n"},
        {20, 0, 0, "tab\tand  blanks", "tab\\x09and blanks\n"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        char *got = wrapped(ROWS[i].columns, ROWS[i].first, ROWS[i].indent, ROWS[i].text);

        assert_string_equal(got, ROWS[i].want);
        free(got);
    }
}

static void a_bar_hides_no_share(void **state)
{
    static const struct {
        uint64_t good, bad;
        const char *want;
    } ROWS[] = {
        {0, 0, "          "},
        {1, 0, "##########"},
        {0, 1, "!!!!!!!!!!"},
        {1000000, 1, "#########!"},
        {1, 1000000, "#!!!!!!!!!"},
        {1, 1, "#####!!!!!"},
        {UINT64_MAX, UINT64_MAX, "#####!!!!!"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        char *got = NULL;
        size_t len = 0;
        FILE *out = open_memstream(&got, &len);

        assert_non_null(out);
        table_print_bar(&ASCII, ROWS[i].good, ROWS[i].bad, 10, out);
        assert_int_equal(fclose(out), 0);
        assert_string_equal(got, ROWS[i].want);
        free(got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_fits_its_terminal),
        cmocka_unit_test(numbers_and_durations_are_readable),
        cmocka_unit_test(paragraphs_keep_to_the_width),
        cmocka_unit_test(a_bar_hides_no_share),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
