/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "model/send_rules.h"

/* A list of up to four items, as the options table would give it. */
static struct option_list list_of(const char *const *items)
{
    static const char *copies[4][4];
    static int next;
    struct option_list list = {.items = copies[next]};

    for (; list.count < 4 && items[list.count] != NULL; list.count++)
        list.items[list.count] = items[list.count];
    next = (next + 1) % 4;
    return list;
}

static const struct {
    const char *what;
    const char *only[4], *never[4], *except[4];
    enum send_what send;
    int64_t min_sessions;
    const char *domain;
    struct session_counts sessions;
    const char *want; /* a word of the reason, or NULL: a report */
} RULES[] = {
    {"no rule", {0}, {0}, {0}, SEND_ALL, 0, "a.example", {1, 0}, NULL},
    {"named by only", {"a.example"}, {0}, {0}, SEND_ALL, 0, "a.example", {1, 0}, NULL},
    {"not named by only", {"a.example"}, {0}, {0}, SEND_ALL, 0, "b.example", {1, 0}, "other domains"},
    {"below a name is not the name", {"a.example"}, {0}, {0}, SEND_ALL, 0, "x.a.example", {1, 0}, "other"},
    {"below a pattern", {"*.a.example"}, {0}, {0}, SEND_ALL, 0, "x.a.example", {1, 0}, NULL},
    {"a pattern is not its own name", {"*.a.example"}, {0}, {0}, SEND_ALL, 0, "a.example", {1, 0}, "other"},
    {"upper case and final dot", {"A.Example."}, {0}, {0}, SEND_ALL, 0, "a.example", {1, 0}, NULL},
    {"a U-label",
     {"b\xc3\xbc"
      "cher.example"},
     {0},
     {0},
     SEND_ALL,
     0,
     "xn--bcher-kva.example",
     {1, 0},
     NULL},
    {"never", {0}, {"a.example"}, {0}, SEND_ALL, 0, "a.example", {1, 1}, "never"},
    {"never wins over only", {"a.example"}, {"*.example"}, {0}, SEND_ALL, 0, "a.example", {1, 1}, "never"},
    {"failures only, and there is one", {0}, {0}, {0}, SEND_FAILURES, 0, "a.example", {9, 1}, NULL},
    {"failures only, and there is none",
     {0},
     {0},
     {0},
     SEND_FAILURES,
     0,
     "a.example",
     {9, 0},
     "no session failed"},
    {"off", {0}, {0}, {0}, SEND_OFF, 0, "a.example", {9, 9}, "nothing"},
    {"off, but not for this one", {0}, {0}, {"a.example:all"}, SEND_OFF, 0, "a.example", {9, 0}, NULL},
    {"all, but not for this one", {0}, {0}, {"*.example:off"}, SEND_ALL, 0, "a.example", {9, 0}, "nothing"},
    {"the first exception wins",
     {0},
     {0},
     {"a.example:failures", "*.example:off"},
     SEND_ALL,
     0,
     "a.example",
     {9, 1},
     NULL},
    {"as many as min_sessions", {0}, {0}, {0}, SEND_ALL, 5, "a.example", {3, 2}, NULL},
    {"fewer than min_sessions", {0}, {0}, {0}, SEND_ALL, 5, "a.example", {3, 1}, "min_sessions"},
};

static void test_rules(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(RULES); i++) {
        struct send_rules rules = {.only = list_of(RULES[i].only),
                                   .never = list_of(RULES[i].never),
                                   .except = list_of(RULES[i].except),
                                   .min_sessions = RULES[i].min_sessions,
                                   .what = (int)RULES[i].send};
        struct arena arena;
        const char *got;

        arena_init(&arena, 65536);
        assert_int_equal(send_rules_normalise(&rules, &arena, NULL), ST_OK);
        got = send_rules_refuse(&rules, RULES[i].domain, &RULES[i].sessions);
        if (RULES[i].want == NULL ? got != NULL : got == NULL || strstr(got, RULES[i].want) == NULL)
            fail_msg("%s: got %s", RULES[i].what, got != NULL ? got : "a report");
        arena_done(&arena);
    }
}

static void test_bad_settings(void **state)
{
    static const char *const BAD_PATTERNS[] = {"", "a b", "*", "*.*.example", "user@a.example", "a..example"};
    static const char *const BAD_EXCEPTIONS[] = {"",     "a.example", "a.example:", "a.example:some",
                                                 ":off", "a b:off"};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(BAD_PATTERNS); i++)
        if (send_rules_check_pattern(BAD_PATTERNS[i]) == NULL)
            fail_msg("pattern \"%s\" passed", BAD_PATTERNS[i]);
    for (size_t i = 0; i < ARRAY_COUNT(BAD_EXCEPTIONS); i++)
        if (send_rules_check_exception(BAD_EXCEPTIONS[i]) == NULL)
            fail_msg("exception \"%s\" passed", BAD_EXCEPTIONS[i]);
    assert_null(send_rules_check_pattern("*.example.org"));
    assert_null(send_rules_check_exception("*.example.org:off"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_bad_settings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
