/* SPDX-License-Identifier: MIT */
/* TLSRPT records: choice among RRs, grammar, what is skipped and what is said about it (R2 to R11). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/tlsrpt_record.h"

#define CASES_FILE "tests/data/tlsrpt-records.json"
#define RRS_MAX    8

struct row {
    const char *what;
    const char *rrs[RRS_MAX]; /* ends with NULL */
    enum tlsrpt_record_result want;
    const char *want_ruas; /* joined by blanks */
    size_t want_skipped;
};

#define V "v=TLSRPTv1"
#define A "mailto:a@n.example"
#define B "mailto:b@n.example"

static const struct row ROWS[] = {
    /* version (R5) */
    {"no record", {NULL}, TLSRPT_NO_RECORD, "", 0},
    {"plain", {V "; rua=" A}, TLSRPT_OK, A, 0},
    {"blanks of both kinds around ';'", {V " \t ;\t rua=" A}, TLSRPT_OK, A, 0},
    {"empty text", {""}, TLSRPT_NO_RECORD, "", 0},
    {"version without ';'", {V " rua=" A}, TLSRPT_NO_RECORD, "", 0},
    {"version in capitals", {"V=TLSRPTv1;rua=" A}, TLSRPT_NO_RECORD, "", 0},
    {"blank around '=' of the version", {"v = TLSRPTv1;rua=" A}, TLSRPT_NO_RECORD, "", 0},
    {"quotes around all", {"\"" V "; rua=" A "\""}, TLSRPT_NO_RECORD, "", 0},

    /* choice (R3, R4) */
    {"others are thrown away", {"x", V "; rua=" A, "v=spf1 -all"}, TLSRPT_OK, A, 0},
    {"the same record twice", {V "; rua=" A, V "; rua=" A}, TLSRPT_MULTIPLE, "", 0},
    {"an unusable second one counts too", {V "; rua=" A, V ";"}, TLSRPT_MULTIPLE, "", 0},
    {"several: the 11 bytes decide", {V " ; rua=" A, V "; rua=" B}, TLSRPT_OK, B, 0},
    {"several: one with a blank if none has the 11 bytes", {"x", V " ; rua=" A}, TLSRPT_OK, A, 0},
    {"several with a blank", {V " ; rua=" A, V "\t; rua=" B}, TLSRPT_MULTIPLE, "", 0},
    {"several others", {"x", "y"}, TLSRPT_NO_RECORD, "", 0},

    /* fields (R6, R7, R8) */
    {"trailing ';'", {V "; rua=" A ";"}, TLSRPT_OK, A, 0},
    {"trailing ';' and blanks", {V "; rua=" A " ; "}, TLSRPT_OK, A, 0},
    {"trailing blank", {V "; rua=" A " "}, TLSRPT_OK, A, 0},
    {"two ';' are not in the grammar", {V ";; rua=" A}, TLSRPT_OK, A, 1},
    {"two ';' at the end", {V "; rua=" A ";;"}, TLSRPT_OK, A, 1},
    {"unknown fields before and behind", {V "; a=1; rua=" A "; z.y-x_w=~"}, TLSRPT_OK, A, 0},
    {"rua twice", {V "; rua=" A "; rua=" B}, TLSRPT_OK, A " " B, 0},
    {"blanks around the comma", {V "; rua=" A " \t,  " B}, TLSRPT_OK, A " " B, 0},
    {"'=' in a URL", {V "; rua=https://n.example/?a=b=c"}, TLSRPT_OK, "https://n.example/?a=b=c", 0},
    {"rua in capitals is another field", {V "; RUA=" A}, TLSRPT_NO_RUA, "", 0},
    {"no rua", {V "; ruf=" A}, TLSRPT_NO_RUA, "", 0},
    {"nothing behind the version", {V ";"}, TLSRPT_NO_RUA, "", 0},
    {"only blanks behind the version", {V "; \t"}, TLSRPT_NO_RUA, "", 0},
    {"blank before '='", {V "; rua =" A}, TLSRPT_NO_RUA, "", 1},
    {"blank behind '='", {V "; rua= " A}, TLSRPT_NO_USABLE_RUA, "", 1},
    {"colon for '='", {V "; rua:" A}, TLSRPT_NO_RUA, "", 1},
    {"rua= forgotten", {V "; " A}, TLSRPT_NO_RUA, "", 1},
    {"empty rua", {V "; rua=;"}, TLSRPT_NO_USABLE_RUA, "", 1},
    {"unknown field with a blank in it", {V "; note=hello world; rua=" A}, TLSRPT_OK, A, 1},
    {"unknown field without a value", {V "; note=; rua=" A}, TLSRPT_OK, A, 1},
    {"unknown field without a name", {V "; =x; rua=" A}, TLSRPT_OK, A, 1},
    {"unknown field with two '='", {V "; a=b=c; rua=" A}, TLSRPT_OK, A, 1},
    {"name of 32 bytes", {V "; abcdefghijabcdefghijabcdefghijab=1; rua=" A}, TLSRPT_OK, A, 0},
    {"name of 33 bytes", {V "; abcdefghijabcdefghijabcdefghijabc=1; rua=" A}, TLSRPT_OK, A, 1},
    {"name that begins with '-'", {V "; -a=1; rua=" A}, TLSRPT_OK, A, 1},

    /* URIs (R9, R10, R11) */
    {"a bad URI between good ones", {V "; rua=" A ",ftp://x.example/," B}, TLSRPT_OK, A " " B, 1},
    {"an empty URI between good ones", {V "; rua=" A ",," B}, TLSRPT_OK, A " " B, 1},
    {"trailing comma", {V "; rua=" A ","}, TLSRPT_OK, A, 1},
    {"only bad ones", {V "; rua=a@n.example,http://n.example/"}, TLSRPT_NO_USABLE_RUA, "", 2},
    {"blanks for commas", {V "; rua=" A " " B}, TLSRPT_NO_USABLE_RUA, "", 1},
    {"the same one twice", {V "; rua=" A "," A}, TLSRPT_OK, A, 0},
    {"the same one in two forms", {V "; rua=" A ",MAILTO:a@N.Example?x=y"}, TLSRPT_OK, A, 0},
    {"the same one in two fields", {V "; rua=" A "; rua=" A}, TLSRPT_OK, A, 0},
    {"backslash before the trailing ';'", {V "; rua=" A "\\;"}, TLSRPT_NO_USABLE_RUA, "", 1},
    {"scheme in capitals", {V "; rua=MAILTO:a@n.example"}, TLSRPT_OK, A, 0},
};

static const char *joined_ruas(const struct tlsrpt_record *record, struct strbuf *out)
{
    strbuf_reset(out);
    for (size_t i = 0; i < record->rua_count; i++)
        strbuf_addf(out, "%s%s", i > 0 ? " " : "", record->ruas[i].uri);
    return out->data;
}

static size_t count_skips(const struct tlsrpt_record *record)
{
    size_t skips = 0;

    for (const struct tlsrpt_finding *at = record->findings; at != NULL; at = at->next)
        skips += tlsrpt_finding_is_skip(at) ? 1 : 0;
    return skips;
}

static void check_record(const char *what, const struct span *rrs, size_t count,
                         enum tlsrpt_record_result want, const char *want_ruas, size_t want_skipped)
{
    struct tlsrpt_record record;
    struct strbuf ruas;
    struct arena arena;
    struct err err;

    strbuf_init(&ruas, 65536);
    arena_init(&arena, TLSRPT_ARENA_MAX);
    assert_int_equal(tlsrpt_record_choose(rrs, count, &arena, &record, &err), ST_OK);
    if (record.result != want)
        fail_msg("%s: outcome: got %s, want %s", what, tlsrpt_record_result_name(record.result),
                 tlsrpt_record_result_name(want));
    if (strcmp(joined_ruas(&record, &ruas), want_ruas) != 0)
        fail_msg("%s: rua: got %s, want %s", what, ruas.data, want_ruas);
    if (record.skipped_count != want_skipped)
        fail_msg("%s: skipped: got %zu, want %zu", what, record.skipped_count, want_skipped);
    assert_int_equal(count_skips(&record), want_skipped);
    arena_done(&arena);
    strbuf_done(&ruas);
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        struct span rrs[RRS_MAX];
        size_t count = 0;

        for (; ROWS[i].rrs[count] != NULL; count++)
            rrs[count] = (struct span){.at = ROWS[i].rrs[count], .len = strlen(ROWS[i].rrs[count])};
        check_record(ROWS[i].what, rrs, count, ROWS[i].want, ROWS[i].want_ruas, ROWS[i].want_skipped);
    }
}

/* ---- the shared cases ---- */

static char *joined_strings(const json_t *list, const char *glue)
{
    struct strbuf text;
    const json_t *item;
    char *copy;
    size_t i;

    strbuf_init(&text, 65536);
    json_array_foreach(list, i, item) strbuf_addf(&text, "%s%s", i > 0 ? glue : "", json_string_value(item));
    copy = strdup(text.data);
    assert_non_null(copy);
    strbuf_done(&text);
    return copy;
}

static enum tlsrpt_record_result result_named(const char *name)
{
    for (int result = TLSRPT_NO_RECORD; name != NULL && result < TLSRPT_RECORD_RESULT_COUNT; result++)
        if (strcmp(tlsrpt_record_result_name((enum tlsrpt_record_result)result), name) == 0)
            return (enum tlsrpt_record_result)result;
    return TLSRPT_OK;
}

static void check_case(const json_t *row)
{
    const json_t *txt = json_object_get(row, "txt");
    char *ruas = joined_strings(json_object_get(row, "rua"), " ");
    struct span rrs[RRS_MAX];
    char *texts[RRS_MAX];
    char what[32];

    (void)snprintf(what, sizeof what, "case %lld", (long long)json_integer_value(json_object_get(row, "id")));
    assert_in_range(json_array_size(txt), 1, RRS_MAX);
    for (size_t i = 0; i < json_array_size(txt); i++) {
        texts[i] = joined_strings(json_array_get(txt, i), ""); /* R2 */
        rrs[i] = (struct span){.at = texts[i], .len = strlen(texts[i])};
    }
    check_record(what, rrs, json_array_size(txt),
                 result_named(json_string_value(json_object_get(row, "error"))), ruas,
                 (size_t)json_integer_value(json_object_get(row, "warnings")));
    for (size_t i = 0; i < json_array_size(txt); i++)
        free(texts[i]);
    free(ruas);
}

static void test_shared_cases(void **state)
{
    json_t *file = json_load_file(CASES_FILE, JSON_REJECT_DUPLICATES, NULL);
    const json_t *cases = json_object_get(file, "cases");
    const json_t *row;
    size_t i;

    (void)state;
    assert_true(json_array_size(cases) >= 20);
    json_array_foreach(cases, i, row) check_case(row);
    json_decref(file);
}

/* ---- limits ---- */

static void test_at_most_ten(void **state)
{
    struct strbuf text, want;

    (void)state;
    strbuf_init(&text, 65536);
    strbuf_init(&want, 65536);
    strbuf_add_text(&text, V "; rua=");
    for (int i = 0; i < 13; i++) {
        strbuf_addf(&text, "%smailto:a%d@n.example", i > 0 ? "," : "", i);
        if (i < TLSRPT_RUA_MAX)
            strbuf_addf(&want, "%smailto:a%d@n.example", i > 0 ? " " : "", i);
    }
    check_record("13 destinations", &(struct span){text.data, text.len}, 1, TLSRPT_OK, want.data, 3);
    strbuf_done(&text);
    strbuf_done(&want);
}

/* Of an over-long record no URI is taken whose end is beyond the limit. */
static void test_record_length(void **state)
{
    struct strbuf text;

    (void)state;
    strbuf_init(&text, 65536);
    strbuf_add_text(&text, V "; rua=" A ";x=");
    while (text.len < TLSRPT_RECORD_MAX - strlen(";rua=" B))
        strbuf_add_char(&text, 'y');
    strbuf_add_text(&text, ";rua=" B);
    check_record("4096 bytes", &(struct span){text.data, text.len}, 1, TLSRPT_OK, A " " B, 0);
    strbuf_add_text(&text, ";");
    check_record("4097 bytes that end in ';'", &(struct span){text.data, text.len}, 1, TLSRPT_OK, A " " B, 1);
    text.data[text.len - 1] = 's';
    check_record("a URI that crosses the limit", &(struct span){text.data, text.len}, 1, TLSRPT_OK, A, 1);
    strbuf_done(&text);
}

static void test_hostile_bytes_are_shown_escaped(void **state)
{
    static const char TEXT[] = V "; rua=mailto:a\x1b[31m\xff\n@n.example; \x07=1; rua=";
    struct tlsrpt_record record;
    struct strbuf words;
    struct arena arena;

    (void)state;
    strbuf_init(&words, 65536);
    arena_init(&arena, TLSRPT_ARENA_MAX);
    assert_int_equal(tlsrpt_record_parse(TEXT, sizeof TEXT, &arena, &record, NULL), ST_OK); /* with its NUL */
    assert_int_equal(record.skipped_count, 3);
    for (const struct tlsrpt_finding *at = record.findings; at != NULL; at = at->next)
        tlsrpt_finding_describe(at, &words);
    assert_non_null(
        strstr(words.data, "\"mailto:a\\x1b[31m\\xff\\x0a@n.example\" (byte 16): it has a byte that"));
    for (size_t i = 0; i < words.len; i++)
        assert_in_range(words.data[i], ' ', '~');
    arena_done(&arena);
    strbuf_done(&words);
}

static void test_out_of_memory(void **state)
{
    static const char TEXT[] = V " ; rua=" A ",x," B "; y; z=1";
    enum status status = ST_NOMEM;
    size_t rounds = 0;

    (void)state;
    for (size_t max = 0; status == ST_NOMEM && max < 65536; max += 16, rounds++) {
        struct tlsrpt_record record;
        struct arena arena;

        arena_init(&arena, max);
        status = tlsrpt_record_parse(TEXT, strlen(TEXT), &arena, &record, NULL);
        if (status == ST_OK)
            assert_int_equal(record.rua_count, 2);
        arena_done(&arena);
    }
    assert_int_equal(status, ST_OK);
    assert_true(rounds > 10);
}

/* The worst that fits: every second byte is a comma. */
static void test_arena_fits_the_worst_record(void **state)
{
    static char text[TLSRPT_RECORD_MAX];
    struct tlsrpt_record record;
    struct arena arena;

    (void)state;
    memset(text, ',', sizeof text);
    memcpy(text, V ";rua=", strlen(V ";rua="));
    arena_init(&arena, TLSRPT_ARENA_MAX);
    assert_int_equal(tlsrpt_record_parse(text, sizeof text, &arena, &record, NULL), ST_OK);
    assert_int_equal(record.skipped_count, TLSRPT_RECORD_MAX - strlen(V ";rua=") + 1);
    arena_done(&arena);
}

int main(void)
{
    static const struct CMUnitTest TESTS[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_shared_cases),
        cmocka_unit_test(test_at_most_ten),
        cmocka_unit_test(test_record_length),
        cmocka_unit_test(test_hostile_bytes_are_shown_escaped),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_arena_fits_the_worst_record),
    };

    return cmocka_run_group_tests_name("tlsrpt_record", TESTS, NULL, NULL);
}
