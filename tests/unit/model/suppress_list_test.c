/* SPDX-License-Identifier: MIT */
/* The operator's list of destinations that get no report. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/attr.h"
#include "model/suppress_list.h"

static const char LIST[] = "# left alone\n"
                           "Gone@Mail.Example   # since May\n"
                           "\r\n"
                           "quiet.example\r\n"
                           "  *.spam.example\n"
                           "B\xc3\xbc"
                           "cher.example.";

static void test_suppress_list(void **state)
{
    static const struct {
        const char *uri;
        bool want;
    } ROWS[] = {
        {"mailto:gone@mail.example", true},       {"mailto:GONE@mail.example", true},
        {"mailto:here@mail.example", false},      {"mailto:a@quiet.example", true},
        {"mailto:a@x.quiet.example", false},      {"mailto:a@x.spam.example", true},
        {"mailto:a@y.x.spam.example", true},      {"mailto:a@spam.example", false},
        {"https://quiet.example/in", true},       {"https://www.quiet.example/in", false},
        {"https://a.b.spam.example/", true},      {"https://192.0.2.1/", false},
        {"mailto:x@xn--bcher-kva.example", true},
    };
    struct suppress_list list;
    struct arena arena;

    (void)state;
    suppress_list_init(&list);
    arena_init(&arena, 1 << 20);
    assert_int_equal(suppress_list_read(&list, "list", LIST, strlen(LIST), NULL), ST_OK);
    assert_int_equal(list.count, 4);
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        struct rua rua;

        assert_int_equal(rua_read(ROWS[i].uri, strlen(ROWS[i].uri), &arena, &rua), RUA_FAULT_NONE);
        if (suppress_list_has(&list, &rua) != ROWS[i].want)
            fail_msg("%s", ROWS[i].uri);
    }
    arena_done(&arena);
    suppress_list_done(&list);
}

static void test_bad_lines_are_named(void **state)
{
    static const char *const BAD[] = {"a b", "@", "x@", "*.", "a@b@c", "\x01"};
    struct suppress_list list;
    struct err err;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(BAD); i++) {
        char text[64] = "fine.example\n";

        (void)strcat(text, BAD[i]);
        suppress_list_init(&list);
        assert_int_equal(suppress_list_read(&list, "/etc/list", text, strlen(text), &err), ST_CONFIG);
        assert_memory_equal(err.text, "/etc/list:2:", 12);
        suppress_list_done(&list);
    }
    suppress_list_init(&list);
    assert_int_equal(suppress_list_read(&list, "empty", "", 0, &err), ST_OK);
    assert_int_equal(list.count, 0);
    suppress_list_done(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_suppress_list),
        cmocka_unit_test(test_bad_lines_are_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
