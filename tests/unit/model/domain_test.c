/* SPDX-License-Identifier: MIT */
/* Domain names in their one form (R21), and patterns of MTA-STS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "../names.h"
#include "model/domain.h"

#define L10 "abcdefghij"
#define L63 L10 L10 L10 L10 L10 L10 "abc"

struct row {
    const char *what;
    const char *text;
    const char *want; /* or NULL */
    enum status status;
};

static const struct row NAMES[] = {
    {"plain", "north.example", "north.example", ST_OK},
    {"folded", "North.EXAMPLE", "north.example", ST_OK},
    {"final dot", "north.example.", "north.example", ST_OK},
    {"one label", "localhost", "localhost", ST_OK},
    {"underscore", "_smtp._tls.north.example", "_smtp._tls.north.example", ST_OK},
    {"digits and dashes", "a1-b.2c.example", "a1-b.2c.example", ST_OK},
    {"label of digits", "4.north.example", "4.north.example", ST_OK},
    {"A-labels stay", "xn--bcher-kva.example", "xn--bcher-kva.example", ST_OK},
    {"A-labels in capitals", "XN--BCHER-KVA.example", "xn--bcher-kva.example", ST_OK},
    {"U-label (R21)",
     "b\xC3\xBC"
     "cher.example",
     "xn--bcher-kva.example", ST_OK},
    {"U-label in capitals",
     "B\xC3\x9C"
     "CHER.Example",
     "xn--bcher-kva.example", ST_OK},
    {"U-label in two pieces (NFD)",
     "bu\xCC\x88"
     "cher.example",
     "xn--bcher-kva.example", ST_OK},
    {"sharp s is a letter of its own (IDNA2008)",
     "stra\xC3\x9F"
     "e.example",
     "xn--strae-oqa.example", ST_OK},
    {"ideographic full stop",
     "\xE4\xBE\x8B\xE3\x80\x82"
     "example",
     "xn--fsq.example", ST_OK},
    {"label of 63 bytes", L63 ".example", L63 ".example", ST_OK},
    {"name of 253 bytes", L63 "." L63 "." L63 "." L10 L10 L10 L10 L10 L10 "a",
     L63 "." L63 "." L63 "." L10 L10 L10 L10 L10 L10 "a", ST_OK},
    {"nothing", "", NULL, ST_SYNTAX},
    {"only a dot", ".", NULL, ST_SYNTAX},
    {"empty label", "a..example", NULL, ST_SYNTAX},
    {"dot in front", ".example", NULL, ST_SYNTAX},
    {"two final dots", "example..", NULL, ST_SYNTAX},
    {"dash in front", "-a.example", NULL, ST_SYNTAX},
    {"dash behind", "a-.example", NULL, ST_SYNTAX},
    {"blank", "a b.example", NULL, ST_SYNTAX},
    {"blank in front", " a.example", NULL, ST_SYNTAX},
    {"LF", "a.example\n", NULL, ST_SYNTAX},
    {"slash", "a/b.example", NULL, ST_SYNTAX},
    {"wildcard", "*.example", NULL, ST_SYNTAX},
    {"at", "a@b.example", NULL, ST_SYNTAX},
    {"quote", "a\".example", NULL, ST_SYNTAX},
    {"DEL", "a\x7F.example", NULL, ST_SYNTAX},
    {"IPv4 address", "192.0.2.1", NULL, ST_SYNTAX},
    {"address literal", "[192.0.2.1]", NULL, ST_SYNTAX},
    {"IPv6 address", "2001:db8::1", NULL, ST_SYNTAX},
    {"invalid UTF-8", "b\xFF.example", NULL, ST_SYNTAX},
    {"emoji", "\xF0\x9F\x92\xA9.example", NULL, ST_OK}, /* the library's version decides */
    {"label of 64 bytes", L63 "a.example", NULL, ST_RANGE},
    {"name of 254 bytes", L63 "." L63 "." L63 "." L10 L10 L10 L10 L10 L10 "ab", NULL, ST_RANGE},
};

static void check_row(const struct row *row)
{
    const char *got = NULL;
    struct arena arena;
    struct err err;
    enum status status;

    arena_init(&arena, 65536);
    status = domain_normalise(row->text, strlen(row->text), &arena, &got, &err);
    if (row->status == ST_OK && row->want == NULL) {
        assert_true(status == ST_OK || status == ST_SYNTAX);
    } else if (status != row->status) {
        fail_msg("%s: got %s (%s), want %s", row->what, status_name(status), status != ST_OK ? err.text : got,
                 status_name(row->status));
    } else if (row->want != NULL && strcmp(got, row->want) != 0) {
        fail_msg("%s: got %s, want %s", row->what, got, row->want);
    }
    if (status != ST_OK)
        assert_true(got == NULL && strlen(err.text) > 0);
    arena_done(&arena);
}

static void test_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(NAMES); i++)
        check_row(&NAMES[i]);
}

static void test_bounded_lengths(void **state)
{
    static char huge[100000];
    static const char NUL_INSIDE[] = "a\0b.example";
    const char *got = NULL;
    struct arena arena;

    (void)state;
    memset(huge, 'a', sizeof huge);
    arena_init(&arena, 65536);
    assert_int_equal(domain_normalise(huge, sizeof huge, &arena, &got, NULL), ST_RANGE);
    memset(huge, 0xC3, sizeof huge);
    assert_int_equal(domain_normalise(huge, sizeof huge, &arena, &got, NULL), ST_RANGE);
    assert_int_equal(domain_normalise(NUL_INSIDE, sizeof NUL_INSIDE - 1, &arena, &got, NULL), ST_SYNTAX);
    assert_int_equal(domain_normalise("\xC3\xBC\0.example", 11, &arena, &got, NULL), ST_SYNTAX);
    assert_null(got);
    arena_done(&arena);
}

static void test_out_of_memory(void **state)
{
    const char *got = NULL;
    struct arena arena;

    (void)state;
    arena_init(&arena, 8);
    assert_int_equal(domain_normalise("north.example", 13, &arena, &got, NULL), ST_NOMEM);
    assert_int_equal(domain_normalise("b\xC3\xBC.example", 11, &arena, &got, NULL), ST_NOMEM);
    assert_int_equal(domain_pattern_normalise("*.a", 3, &arena, &got, NULL), ST_NOMEM);
    arena_done(&arena);
}

static const struct {
    const char *pattern;
    const char *domain;
    bool want;
} MATCHES[] = {
    {"mx.north.example", "mx.north.example", true},   {"mx.north.example", "mx2.north.example", false},
    {"*.north.example", "mx.north.example", true},    {"*.north.example", "a.b.north.example", true},
    {"*.north.example", "north.example", false},      {"*.north.example", "mxnorth.example", false},
    {"*.north.example", "mx.north.example.x", false},
};

static void test_patterns(void **state)
{
    const char *got = NULL;
    struct arena arena;

    (void)state;
    arena_init(&arena, 65536);
    assert_int_equal(domain_pattern_normalise("*.North.example.", 16, &arena, &got, NULL), ST_OK);
    assert_string_equal(got, "*.north.example");
    assert_int_equal(domain_pattern_normalise("mx.North.example", 16, &arena, &got, NULL), ST_OK);
    assert_string_equal(got, "mx.north.example");
    assert_int_equal(domain_pattern_normalise("*.", 2, &arena, &got, NULL), ST_SYNTAX);
    assert_int_equal(domain_pattern_normalise("*", 1, &arena, &got, NULL), ST_SYNTAX);
    assert_int_equal(domain_pattern_normalise("a.*.example", 11, &arena, &got, NULL), ST_SYNTAX);
    for (size_t i = 0; i < ARRAY_COUNT(MATCHES); i++)
        if (domain_matches(MATCHES[i].domain, MATCHES[i].pattern) != MATCHES[i].want)
            fail_msg("%s and %s", MATCHES[i].domain, MATCHES[i].pattern);
    arena_done(&arena);
}

int main(void)
{
    static const struct CMUnitTest TESTS[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_bounded_lengths),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_patterns),
    };

    return cmocka_run_group_tests_name("domain", TESTS, NULL, NULL);
}
