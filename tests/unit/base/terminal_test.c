/* SPDX-License-Identifier: MIT */
/* Outside text made harmless for a terminal, its width, tables that fit, and paragraphs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/table.h"
#include "base/terminal.h"

static const struct terminal UTF8 = {.columns = 40, .is_utf8 = true};
static const struct terminal ASCII = {.columns = 40};

static void text_is_made_harmless(void **state)
{
    static const struct {
        const char *what, *text, *utf8, *ascii;
    } ROWS[] = {
        {"plain text stays", "mx1.example [192.0.2.1]", "mx1.example [192.0.2.1]", "mx1.example [192.0.2.1]"},
        {"an escape sequence", "\033[31mred", "\\x1b[31mred", "\\x1b[31mred"},
        {"a line end", "a\r\nb\tc", "a\\x0d\\x0ab\\x09c", "a\\x0d\\x0ab\\x09c"},
        {"DEL", "\177", "\\x7f", "\\x7f"},
        {"letters",
         "b\xC3\xBC"
         "cher",
         "b\xC3\xBC"
         "cher",
         "b\\u{fc}cher"},
        {"C1 as UTF-8",
         "\xC2\x9B"
         "31m",
         "\\u{9b}31m", "\\u{9b}31m"},
        {"C1 as a byte",
         "\x9B"
         "31m",
         "\xEF\xBF\xBD"
         "31m",
         "\\x9b31m"},
        {"turned around",
         "a\xE2\x80\xAE" /* NOLINT(misc-misleading-bidirectional): that is the case */
         "b",
         "a\\u{202e}b", "a\\u{202e}b"},
        {"nothing to see",
         "a\xE2\x80\x8B"
         "b\xEF\xBB\xBF",
         "a\\u{200b}b\\u{feff}", "a\\u{200b}b\\u{feff}"},
        {"a cut letter", "a\xE2\x82", "a\xEF\xBF\xBD\xEF\xBF\xBD", "a\\xe2\\x82"},
        {"tags", "\xF3\xA0\x81\x81", "\\u{e0041}", "\\u{e0041}"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        struct strbuf got;

        strbuf_init(&got, 1024);
        terminal_clean(&UTF8, ROWS[i].text, strlen(ROWS[i].text), &got);
        if (strcmp(got.data, ROWS[i].utf8) != 0)
            print_message("%s\n", ROWS[i].what);
        assert_string_equal(got.data, ROWS[i].utf8);
        strbuf_reset(&got);
        terminal_clean(&ASCII, ROWS[i].text, strlen(ROWS[i].text), &got);
        assert_string_equal(got.data, ROWS[i].ascii);
        strbuf_done(&got);
    }
}

static void width_is_counted_in_columns(void **state)
{
    static const struct {
        const char *text;
        size_t width;
    } ROWS[] = {
        {"", 0}, {"abc", 3}, {"b\xC3\xBC", 2}, {"e\xCC\x81", 1}, {"\xE6\xB8\xAF", 2}, {"\xF0\x9F\x93\xA8", 2},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++)
        assert_int_equal(terminal_width(ROWS[i].text), ROWS[i].width);
    assert_int_equal(terminal_cut("b\xC3\xBC"
                                  "cher",
                                  2),
                     3);
    assert_int_equal(terminal_cut("\xE6\xB8\xAF\xE6\xB8\xAF", 3), 3);
    assert_int_equal(terminal_cut("abc", 10), 3);
    assert_int_equal(terminal_cut("abc", 0), 0);
}

static void columns_come_from_the_environment(void **state)
{
    static const struct {
        const char *columns;
        size_t want;
    } ROWS[] = {{"100", 100},
                {"0", 80},
                {"nonsense", 80},
                {"5", TERMINAL_COLUMNS_MIN},
                {"99999", TERMINAL_COLUMNS_MAX}};
    struct terminal terminal;
    FILE *file = tmpfile();

    (void)state;
    assert_non_null(file);
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        assert_int_equal(setenv("COLUMNS", ROWS[i].columns, 1), 0);
        terminal_detect(fileno(file), &terminal);
        assert_int_equal(terminal.columns, ROWS[i].want);
        assert_false(terminal.has_color);
    }
    assert_int_equal(fclose(file), 0);
}

static void utf8_is_what_the_first_setting_says(void **state)
{
    static const struct {
        const char *all, *ctype, *lang;
        bool want;
    } ROWS[] = {
        {"C.UTF-8", "C", "C", true},   {"C", "C.UTF-8", "C.UTF-8", false},
        {"", "en_GB.utf8", "C", true}, {"", "", "de_DE.UTF-8", true},
        {"", "", "", false},
    };
    struct terminal terminal;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        assert_int_equal(setenv("LC_ALL", ROWS[i].all, 1), 0);
        assert_int_equal(setenv("LC_CTYPE", ROWS[i].ctype, 1), 0);
        assert_int_equal(setenv("LANG", ROWS[i].lang, 1), 0);
        terminal_detect(0, &terminal);
        assert_int_equal(terminal.is_utf8, ROWS[i].want);
    }
}

/* ---- tables ---- */

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
    const struct CMUnitTest TESTS[] = {
        cmocka_unit_test(text_is_made_harmless),
        cmocka_unit_test(width_is_counted_in_columns),
        cmocka_unit_test(columns_come_from_the_environment),
        cmocka_unit_test(utf8_is_what_the_first_setting_says),
        cmocka_unit_test(a_table_fits_its_terminal),
        cmocka_unit_test(numbers_and_durations_are_readable),
        cmocka_unit_test(paragraphs_keep_to_the_width),
        cmocka_unit_test(a_bar_hides_no_share),
    };

    return cmocka_run_group_tests(TESTS, NULL, NULL);
}
