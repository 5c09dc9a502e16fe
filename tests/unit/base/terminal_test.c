/* SPDX-License-Identifier: MIT */
/* Outside text made harmless for a terminal, its width, and what the environment says of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

int main(void)
{
    const struct CMUnitTest TESTS[] = {
        cmocka_unit_test(text_is_made_harmless),
        cmocka_unit_test(width_is_counted_in_columns),
        cmocka_unit_test(columns_come_from_the_environment),
        cmocka_unit_test(utf8_is_what_the_first_setting_says),
    };

    return cmocka_run_group_tests(TESTS, NULL, NULL);
}
