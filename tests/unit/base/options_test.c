/* SPDX-License-Identifier: MIT */
/* The settings file's grammar, and what an operator reads when it is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/options.h"

struct values {
    const char *name;
    struct option_list paths;
    int64_t number;
    int64_t delay_s;
    int64_t size;
    int64_t mode;
    int color;
};

static const char *const COLORS[] = {"red", "green", NULL};

static const char *check_lower(const char *value)
{
    return strpbrk(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != NULL ? "has capital letters; use small ones"
                                                                : NULL;
}

#define ROW(row_kind, row_name, field)                                                                       \
    .kind = (row_kind), .name = (row_name), .offset = offsetof(struct values, field)

// clang-format off
static const struct option_row TABLE[] = {
    {ROW(OPTION_TEXT, "name", name), .default_value = "nobody", .check = check_lower, .help = "A name."},
    {ROW(OPTION_LIST, "paths", paths), .default_value = "/a, /b", .check = check_lower, .help = "Paths."},
    {ROW(OPTION_NUMBER, "number", number), .default_value = "7", .min = 1, .max = 9, .help = "A number."},
    {ROW(OPTION_DURATION, "delay", delay_s), .default_value = "10min", .min = 0, .max = 86400, .help = "A delay."},
    {ROW(OPTION_SIZE, "size", size), .default_value = "16M", .min = 1024, .max = 1 << 30, .help = "A size."},
    {ROW(OPTION_MODE, "mode", mode), .default_value = "0660", .min = 0200, .max = 0777, .help = "A mode."},
    {ROW(OPTION_CHOICE, "color", color), .default_value = "red", .choices = COLORS, .help = "A colour."},
    {.kind = OPTION_OBSOLETE, .name = "shade", .default_value = "", .help = "no longer used, see color"},
};
// clang-format on

struct fixture {
    char path[64];
    struct values values;
    struct options options;
};

static int setup(void **state)
{
    static struct fixture fixture;
    int fd;

    fixture = (struct fixture){.path = "/tmp/options_test.XXXXXX"};
    fd = mkstemp(fixture.path);
    assert_true(fd >= 0);
    (void)close(fd);
    assert_int_equal(options_init(&fixture.options, TABLE, ARRAY_COUNT(TABLE), &fixture.values, NULL), ST_OK);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    options_done(&fixture->options);
    return unlink(fixture->path);
}

static enum status read_text(struct fixture *fixture, const char *text, size_t len, struct err *err)
{
    FILE *file = fopen(fixture->path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
    return options_read_file(&fixture->options, fixture->path, err);
}

static void defaults_stand_without_a_file(void **state)
{
    struct fixture *fixture = *state;

    assert_string_equal(fixture->values.name, "nobody");
    assert_int_equal(fixture->values.paths.count, 2);
    assert_string_equal(fixture->values.paths.items[1], "/b");
    assert_int_equal(fixture->values.delay_s, 600);
    assert_int_equal(fixture->values.size, 16 * 1024 * 1024);
    assert_int_equal(fixture->values.mode, 0660);
    assert_int_equal(fixture->values.color, 0);
}

static void a_file_is_read_as_postfix_reads_main_cf(void **state)
{
    static const char TEXT[] = "# a comment\n"
                               "\n"
                               "name=alice\n"
                               "paths = /one,\n"
                               "    # a comment inside a value\n"
                               "\t/two /three\r\n"
                               "delay = 2h\n"
                               "size = 2 K\n"
                               "mode = 0600\n"
                               "number\t=  8  \n"
                               "color = green";
    struct fixture *fixture = *state;
    char origin[128], want[128];

    assert_int_equal(read_text(fixture, TEXT, strlen(TEXT), NULL), ST_OK);
    assert_string_equal(fixture->values.name, "alice");
    assert_int_equal(fixture->values.paths.count, 3);
    assert_string_equal(fixture->values.paths.items[0], "/one");
    assert_string_equal(fixture->values.paths.items[2], "/three");
    assert_int_equal(fixture->values.delay_s, 7200);
    assert_int_equal(fixture->values.size, 2048);
    assert_int_equal(fixture->values.mode, 0600);
    assert_int_equal(fixture->values.number, 8);
    assert_int_equal(fixture->values.color, 1);
    options_origin_format(&fixture->options, "delay", origin, sizeof origin);
    (void)snprintf(want, sizeof want, "%s:7", fixture->path);
    assert_string_equal(origin, want);
}

static void the_command_line_wins_over_the_file(void **state)
{
    struct fixture *fixture = *state;
    char origin[128];

    assert_int_equal(read_text(fixture, "number = 2\n", 11, NULL), ST_OK);
    assert_int_equal(options_override(&fixture->options, "number=5", NULL), ST_OK);
    assert_int_equal(options_override(&fixture->options, "number = 6", NULL), ST_OK);
    assert_int_equal(fixture->values.number, 6);
    options_origin_format(&fixture->options, "number", origin, sizeof origin);
    assert_string_equal(origin, "-o");
}

static void the_environment_wins_over_the_file_and_loses_to_the_command_line(void **state)
{
    char name[] = "OUR_NAME=  bob ", number[] = "OUR_NUMBER=3", other[] = "OUR_OTHER=x", foreign[] = "OURS=x";
    char *environment[] = {name, number, other, foreign, NULL};
    static const char *const OTHERS[] = {"OUR_OTHER", NULL};
    struct fixture *fixture = *state;
    char origin[128];

    assert_int_equal(read_text(fixture, "number = 2\nname = file\n", 23, NULL), ST_OK);
    assert_int_equal(options_read_environment(&fixture->options, "OUR_", OTHERS, environment, NULL), ST_OK);
    assert_string_equal(fixture->values.name, "bob");
    assert_int_equal(fixture->values.number, 3);
    options_origin_format(&fixture->options, "number", origin, sizeof origin);
    assert_string_equal(origin, "OUR_NUMBER");
    assert_int_equal(options_override(&fixture->options, "number=4", NULL), ST_OK);
    assert_int_equal(fixture->values.number, 4);
}

static void a_wrong_variable_is_named(void **state)
{
    static const struct {
        const char *variable;
        const char *want;
    } ROWS[] = {
        {"OUR_NMAE=x", "OUR_NMAE: nmae: unknown setting; did you mean name?"},
        {"OUR_name=x", "OUR_name: unknown variable; write its name in capitals"},
        {"OUR_=x", "OUR_: : unknown setting"},
        {"OUR_NUMBER", "OUR_NUMBER: number: \"\": not a number"},
        {"OUR_NUMBER=1\n2", "OUR_NUMBER: number: \"1\n2\": not a number"},
        {"OUR_NAME=Bob", "OUR_NAME: name: \"Bob\": has capital letters"},
        {"OUR_NAME=", "OUR_NAME: name: empty; remove it for the default, nobody"},
    };
    static const char *const NONE[] = {NULL};
    struct fixture *fixture = *state;

    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        struct err err = {.text = ""};
        char text[64];
        char *environment[] = {text, NULL};

        (void)snprintf(text, sizeof text, "%s", ROWS[i].variable);
        if (options_read_environment(&fixture->options, "OUR_", NONE, environment, &err) != ST_CONFIG ||
            strncmp(err.text, ROWS[i].want, strlen(ROWS[i].want)) != 0)
            fail_msg("%s: got \"%s\", want \"%s\"", ROWS[i].variable, err.text, ROWS[i].want);
    }
    assert_string_equal(fixture->values.name, "nobody");
}

static void every_mistake_names_file_line_key_and_fix(void **state)
{
    static const struct {
        const char *what;
        const char *text;
        unsigned line;
        const char *words; /* that the error must contain */
    } ROWS[] = {
        {"an unknown name, with the one that was meant", "\nnmae = x\n", 2, "did you mean name?"},
        {"an unknown name that resembles nothing", "zzzzzzzzzz = x\n", 1, "unknown setting; remove it"},
        {"no equals sign", "name alice\n", 1, "not of the form name = value"},
        {"no name", "= alice\n", 1, "not of the form name = value"},
        {"a continuation of nothing", "  alice\n", 1, "not of the form name = value"},
        {"a check that fails", "name = Alice\n", 1, "name: \"Alice\": has capital letters; use small ones"},
        {"a check that fails for one item of a list", "paths = /a /B\n", 1, "paths: \"/B\": has capital"},
        {"not a number", "number = few\n", 1, "use digits only"},
        {"a number with a unit", "number = 3s\n", 1, "use digits only"},
        {"a negative number", "number = -3\n", 1, "use digits only"},
        {"a number below its range", "number = 0\n", 1, "out of range; use 1 to 9"},
        {"a number above its range", "number = 10\n", 1, "out of range; use 1 to 9"},
        {"a number that overflows", "number = 99999999999999999999999\n", 1, "use digits only"},
        {"a duration with an unknown unit", "delay = 3 weeks\n", 1, "s, min, h or d"},
        {"a duration out of range", "delay = 2d\n", 1, "use 0 to 1d"},
        {"a size without number", "size = M\n", 1, "K, M or G"},
        {"a size out of range", "size = 2G\n", 1, "use 1K to 1G"},
        {"a mode that is not octal", "mode = 0689\n", 1, "octal digits"},
        {"a mode out of range", "mode = 0100\n", 1, "use 0200 to 0777"},
        {"a choice that is not offered", "color = blue\n", 1, "is no choice here; use one of: red, green"},
        {"an empty value where one is needed", "number =\n", 1, "use digits only"},
        {"a name set twice", "number = 1\nnumber = 2\n", 2, "set twice, first in line 1"},
        {"the last line without line feed", "\n\nnumber = 0", 3, "out of range"},
        {"a bad continuation is told with its first line", "number = 1\n  2\nname = x\n", 1,
         "use digits only"},
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        struct err err = {.text = ""};
        char place[128];

        options_done(&fixture->options);
        assert_int_equal(options_init(&fixture->options, TABLE, ARRAY_COUNT(TABLE), &fixture->values, NULL),
                         ST_OK);
        (void)snprintf(place, sizeof place, "%s:%u: ", fixture->path, ROWS[i].line);
        if (read_text(fixture, ROWS[i].text, strlen(ROWS[i].text), &err) != ST_CONFIG)
            fail_msg("%s: accepted", ROWS[i].what);
        if (strncmp(err.text, place, strlen(place)) != 0 || strstr(err.text, ROWS[i].words) == NULL)
            fail_msg("%s: got \"%s\", want \"%s...%s\"", ROWS[i].what, err.text, place, ROWS[i].words);
    }
}

static void a_wrong_override_is_named(void **state)
{
    struct fixture *fixture = *state;
    struct err err = {.text = ""};

    assert_int_equal(options_override(&fixture->options, "number", &err), ST_CONFIG);
    assert_non_null(strstr(err.text, "-o \"number\": not of the form name=value"));
    assert_int_equal(options_override(&fixture->options, "number=x", &err), ST_CONFIG);
    assert_non_null(strstr(err.text, "-o: number: \"x\""));
    assert_int_equal(fixture->values.number, 7);
}

static void an_obsolete_setting_is_taken_and_shown_as_such(void **state)
{
    struct fixture *fixture = *state;
    char *shown = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&shown, &len);

    assert_int_equal(read_text(fixture, "shade = any words\n", 18, NULL), ST_OK);
    assert_non_null(out);
    options_show(&fixture->options, out);
    options_help(TABLE, ARRAY_COUNT(TABLE), out);
    assert_int_equal(fclose(out), 0);
    assert_non_null(strstr(shown, "shade = any words"));
    assert_non_null(strstr(shown, ":1: no longer used, see color"));
    assert_null(strstr(shown, "shade = \n"));
    free(shown);
}

static void files_that_cannot_be_settings_are_refused(void **state)
{
    struct fixture *fixture = *state;
    struct err err = {.text = ""};

    assert_int_equal(read_text(fixture, "name = a\0b\n", 11, &err), ST_CONFIG);
    assert_non_null(strstr(err.text, "NUL byte at offset 8"));
    assert_int_equal(options_read_file(&fixture->options, "/nonexistent/x.conf", &err), ST_NOT_FOUND);
    assert_int_equal(options_read_file(&fixture->options, "/", &err), ST_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(defaults_stand_without_a_file, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_is_read_as_postfix_reads_main_cf, setup, teardown),
        cmocka_unit_test_setup_teardown(the_command_line_wins_over_the_file, setup, teardown),
        cmocka_unit_test_setup_teardown(the_environment_wins_over_the_file_and_loses_to_the_command_line,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_wrong_variable_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(every_mistake_names_file_line_key_and_fix, setup, teardown),
        cmocka_unit_test_setup_teardown(a_wrong_override_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(an_obsolete_setting_is_taken_and_shown_as_such, setup, teardown),
        cmocka_unit_test_setup_teardown(files_that_cannot_be_settings_are_refused, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
