/* SPDX-License-Identifier: MIT */
/* Texts from servers and DNS in the one form that is stored and reported. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "../names.h"
#include "model/detail_text.h"
#include "model/session_result.h"

typedef enum status clean_fn(struct span text, struct arena *arena, const char **text_out);

struct row {
    const char *sentence;
    const char *text;
    const char *want; /* NULL: to be left out */
};

static void check_rows(const struct row *rows, size_t count, clean_fn *clean)
{
    struct arena arena;
    int failed = 0;

    arena_init(&arena, 1 << 20);
    for (size_t i = 0; i < count; i++) {
        const char *got = NULL;
        enum status status = clean((struct span){rows[i].text, strlen(rows[i].text)}, &arena, &got);

        if (status != (rows[i].want != NULL ? ST_OK : ST_NOT_FOUND) ||
            (rows[i].want != NULL && strcmp(got, rows[i].want) != 0)) {
            print_error("%s: got \"%s\" (%s), want \"%s\"\n", rows[i].sentence, got != NULL ? got : "-",
                        status_name(status), rows[i].want != NULL ? rows[i].want : "-");
            failed++;
        }
    }
    arena_done(&arena);
    assert_int_equal(failed, 0);
}

static void test_helo_host(void **state)
{
    static const struct row ROWS[] = {
        {"the first line's first word", "250-mx.example Hello you\r\n250 SIZE 1", "mx.example"},
        {"a one-line answer", "250 mx9.quay.example", "mx9.quay.example"},
        {"a bare name", "mx2.quay.example", "mx2.quay.example"},
        {"folded", "250-MX.Example.\r\n", "mx.example"},
        {"a name that looks like a reply code", "250 250-mx.example", "250-mx.example"},
        {"an address literal is no name", "250-[192.0.2.1] Hello", NULL},
        {"an address is no name", "250 192.0.2.1", NULL},
        {"markup is no name", "250-<script>alert(1)</script>", NULL},
        {"empty", "", NULL},
        {"only a code", "250 ", NULL},
        {"only a line end", "\r\n", NULL},
    };

    (void)state;
    check_rows(ROWS, ARRAY_COUNT(ROWS), detail_text_helo_host);
}

static void test_reason(void **state)
{
    static const struct row ROWS[] = {
        {"kept", "self-signed_certificate", "self-signed_certificate"},
        {"line ends become a blank", "a\r\nb", "a b"},
        {"trimmed", " \t a  b \n", "a b"},
        {"C1 controls go",
         "a\xC2\x85"
         "b",
         "a b"},
        {"DEL goes",
         "a\x7F"
         "b",
         "a b"},
        {"other UTF-8 stays", "caf\xC3\xA9", "caf\xC3\xA9"},
        {"a noncharacter is replaced", "a\xEF\xBF\xBE", "a\xEF\xBF\xBD"},
        {"nothing but blanks", " \r\n", NULL},
        {"empty", "", NULL},
    };

    (void)state;
    check_rows(ROWS, ARRAY_COUNT(ROWS), detail_text_reason);
}

static void test_reason_is_cut_between_characters(void **state)
{
    char text[3 * DETAIL_REASON_MAX];
    const char *got = NULL;
    struct arena arena;

    (void)state;
    for (size_t i = 0; i + 1 < sizeof text; i += 2)
        memcpy(text + i, "\xC3\xA9", 2);
    text[0] = 'x';
    text[1] = 'y';
    memmove(text + 1, text + 2, sizeof text - 2); /* an odd offset, so that the cut would split one */
    arena_init(&arena, 1 << 16);
    assert_int_equal(detail_text_reason((struct span){text, sizeof text - 1}, &arena, &got), ST_OK);
    assert_int_equal(strlen(got), DETAIL_REASON_MAX - 1);
    assert_memory_equal(got + strlen(got) - 2, "\xC3\xA9", 2);
    arena_done(&arena);
}

static void test_uri(void **state)
{
    static const struct row ROWS[] = {
        {"https", "https://example.org/a?b=c#d", "https://example.org/a?b=c#d"},
        {"mailto", "mailto:a@b.example", "mailto:a@b.example"},
        {"an escape", "https://example.org/%20", "https://example.org/%20"},
        {"a half escape", "https://example.org/%2", NULL},
        {"a wrong escape", "https://example.org/%zz", NULL},
        {"a blank", "https://example.org/a b", NULL},
        {"no scheme", "example.org/a", NULL},
        {"a scheme begins with a letter", "1http://example.org/", NULL},
        {"nothing behind the scheme", "https:", NULL},
        {"markup", "https://example.org/<b>", NULL},
        {"not ASCII", "https://ex\xC3\xA4mple.org/", NULL},
        {"empty", "", NULL},
    };

    (void)state;
    check_rows(ROWS, ARRAY_COUNT(ROWS), detail_text_uri);
}

static void test_address(void **state)
{
    static const struct row ROWS[] = {
        {"R25: IPv6 is shortened", "2001:DB8:0:0:0:0:0:10", "2001:db8::10"},
        {"R25: a mapped address is IPv4", "::ffff:192.0.2.7", "192.0.2.7"},
        {"IPv4", "192.0.2.10", "192.0.2.10"},
        {"brackets are no address", "[192.0.2.10]", NULL},
        {"nor is a zone", "fe80::1%eth0", NULL},
        {"empty", "", NULL},
    };

    (void)state;
    check_rows(ROWS, ARRAY_COUNT(ROWS), detail_text_address);
}

static void test_tlsa(void **state)
{
    static const struct row ROWS[] = {
        {"R20: upper case", "3 1 1 0f1e", "3 1 1 0F1E"},
        {"blanks within the hexadecimal go", " 3  1\t1 0f 1e ", "3 1 1 0F1E"},
        {"canonical stays", "2 0 2 00FF", "2 0 2 00FF"},
        {"usage out of range", "4 1 1 00", NULL},
        {"selector out of range", "3 2 1 00", NULL},
        {"matching type out of range", "3 1 3 00", NULL},
        {"half a byte", "3 1 1 0F1", NULL},
        {"not hexadecimal", "3 1 1 0G", NULL},
        {"a field is missing", "3 1 00", NULL},
        {"no data", "3 1 1 ", NULL},
        {"no blank before the data", "3 1 1", NULL},
        {"a comment", "3 1 1 00 ; comment", NULL},
        {"empty", "", NULL},
    };
    char text[4 * POLICY_LINE_MAX];
    const char *got = NULL;
    struct arena arena;

    (void)state;
    check_rows(ROWS, ARRAY_COUNT(ROWS), detail_text_tlsa);
    memset(text, 'a', sizeof text);
    memcpy(text, "3 0 0 ", 6);
    arena_init(&arena, 1 << 16);
    assert_int_equal(detail_text_tlsa((struct span){text, sizeof text}, &arena, &got), ST_OK);
    assert_int_equal(strlen(got), POLICY_LINE_MAX);
    assert_memory_equal(got, "3 0 0 AAAA", 10);
    arena_done(&arena);
}

static void test_policy_line(void **state)
{
    static const struct row ROWS[] = {
        {"as published", "mx: *.example.org", "mx: *.example.org"},
        {"its errors included", "mode:enforce  ", "mode:enforce  "},
        {"without its line end", "max_age: 1\r\n", "max_age: 1"},
        {"nothing left", "\r\n", NULL},
    };

    (void)state;
    check_rows(ROWS, ARRAY_COUNT(ROWS), detail_text_policy_line);
}

static void test_record(void **state)
{
    static const struct row ROWS[] = {
        {"as it is", "v=TLSRPTv1; rua=mailto:a@b.example", "v=TLSRPTv1; rua=mailto:a@b.example"},
        {"a control becomes a blank", "v=TLSRPTv1;\trua=x:y\n", "v=TLSRPTv1; rua=x:y "},
        {"empty", "", NULL},
    };
    static char text[RESULT_RECORD_MAX + 1];
    const char *got = NULL;
    struct arena arena;

    (void)state;
    check_rows(ROWS, ARRAY_COUNT(ROWS), detail_text_record);
    memset(text, 'a', sizeof text);
    arena_init(&arena, 1 << 16);
    assert_int_equal(detail_text_record((struct span){text, sizeof text}, &arena, &got), ST_NOT_FOUND);
    assert_int_equal(detail_text_record((struct span){text, sizeof text - 1}, &arena, &got), ST_OK);
    assert_int_equal(strlen(got), RESULT_RECORD_MAX);
    arena_done(&arena);
}

static void test_sort_unique(void **state)
{
    const char *items[] = {"c", "a", "b", "a", "c"};
    struct text_list list = {items, ARRAY_COUNT(items)};
    struct text_list empty = {0};

    (void)state;
    detail_text_sort_unique(&list);
    assert_int_equal(list.count, 3);
    assert_string_equal(list.items[0], "a");
    assert_string_equal(list.items[1], "b");
    assert_string_equal(list.items[2], "c");
    detail_text_sort_unique(&empty);
    assert_int_equal(empty.count, 0);
}

static void test_full_arena(void **state)
{
    struct span text = {"3 1 1 00FF", 10};
    struct arena arena;
    const char *got;

    (void)state;
    arena_init(&arena, 1);
    assert_int_equal(detail_text_tlsa(text, &arena, &got), ST_NOMEM);
    assert_int_equal(detail_text_reason(text, &arena, &got), ST_NOMEM);
    assert_int_equal(detail_text_record(text, &arena, &got), ST_NOMEM);
    assert_int_equal(detail_text_uri((struct span){"a:b", 3}, &arena, &got), ST_NOMEM);
    assert_int_equal(detail_text_address((struct span){"::1", 3}, &arena, &got), ST_NOMEM);
    assert_int_equal(detail_text_helo_host((struct span){"a.b", 3}, &arena, &got), ST_NOMEM);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_helo_host),
        cmocka_unit_test(test_reason),
        cmocka_unit_test(test_reason_is_cut_between_characters),
        cmocka_unit_test(test_uri),
        cmocka_unit_test(test_address),
        cmocka_unit_test(test_tlsa),
        cmocka_unit_test(test_policy_line),
        cmocka_unit_test(test_record),
        cmocka_unit_test(test_sort_unique),
        cmocka_unit_test(test_full_arena),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
