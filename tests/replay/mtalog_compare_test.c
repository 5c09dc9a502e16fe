/* SPDX-License-Identifier: MIT */
/*
 * What each way of hearing from an MTA reports about recorded situations, beside what happened in them.
 *
 *   tests/data/mta   77 situations; what happened is what Postfix 3.10 sent (expected-postfix-3.10.tsv)
 *   tests/data/sts   MTA-STS with the stock plugins, and our own Exim hook; what RFC 8460 wants (expected.tsv)
 *
 * comparison.tsv of each folder has one row for each file with a verdict:
 *   equal        the same as expected
 *   correct      not the same, and right: the reason says why the MTA's own session was another one, or why the
 *                expectation is not RFC 8460's
 *   unknowable   wrong or incomplete, because this way does not hold the fact; the reason names the fact
 *   wrong        wrong, although the fact is there
 * The test works out each result, compares it with the row's, and checks the verdict against the expectation; a
 * file without a row fails.  tests/mta/ways prints the sums.
 *
 * Compared are domain, policy type, policy domain, result type and number of sessions.  The texts of failure
 * reasons are each library's own and are in the rows for the reader.
 *
 * SHOW_OUTCOMES=1 prints the rows instead (without verdicts).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/strbuf.h"
#include "datagram/exim_line.h"
#include "mtalog/mtalog.h"

#define DATA       "tests/data/"
#define ROWS_MAX   16
#define FILES_MAX  800
#define RESULT_MAX 1024

struct data_set {
    const char *folder, *expected;
    int64_t now_s; /* the evening of the recordings */
};

static const struct data_set MTA = {"mta", "expected-postfix-3.10.tsv", 1795290000};
static const struct data_set STS = {"sts", "expected.tsv", 1796076000};

static const struct {
    const struct data_set *set;
    const char *folder, *suffix;
    bool is_events;
    enum mtalog_mta mta;
    unsigned situations;
    bool has_dns; /* a validating resolver answers from tlsa.tsv; the rows are those of FOLDER+dns */
} SOURCES[] = {
    {&MTA, "exim-4.96", ".events", true, MTALOG_EXIM, 77, false},
    {&MTA, "exim-4.96", ".log", false, MTALOG_EXIM, 77, false},
    {&MTA, "postfix-3.7", ".log", false, MTALOG_POSTFIX, 77, false},
    {&MTA, "postfix-3.10", ".log", false, MTALOG_POSTFIX, 77, false},
    {&MTA, "exim-4.96", ".log", false, MTALOG_EXIM, 77, true},
    {&MTA, "postfix-3.7", ".log", false, MTALOG_POSTFIX, 77, true},
    {&MTA, "postfix-3.10", ".log", false, MTALOG_POSTFIX, 77, true},
    {&STS, "ex496-sts", ".events", true, MTALOG_EXIM, 35, false},
    {&STS, "ex498-sts", ".events", true, MTALOG_EXIM, 35, false},
    {&STS, "hook-4.96", ".events", true, MTALOG_EXIM, 70, false},
    {&STS, "hook-4.98", ".events", true, MTALOG_EXIM, 70, false},
};

/* Outcomes of one scenario: text of each, and how often. */
struct results {
    char text[ROWS_MAX][RESULT_MAX];     /* for the reader: with the reason */
    char compared[ROWS_MAX][RESULT_MAX]; /* without it */
    unsigned count[ROWS_MAX];
    size_t rows;
};

static void add_row(struct results *results, const char *compared, const char *text, unsigned count)
{
    for (size_t i = 0; i < results->rows; i++)
        if (strcmp(results->text[i], text) == 0) {
            results->count[i] += count;
            return;
        }
    assert_true(results->rows < ROWS_MAX);
    (void)snprintf(results->text[results->rows], RESULT_MAX, "%s", text);
    (void)snprintf(results->compared[results->rows], RESULT_MAX, "%s", compared);
    results->count[results->rows++] = count;
}

static enum status add_result(void *context, const struct session_result *result, int64_t utc_s)
{
    const struct result_policy *policy = &result->policies[0];
    char compared[RESULT_MAX], text[2 * RESULT_MAX];
    const char *type = "success", *reason = NULL;

    (void)utc_s;
    assert_int_equal(result->policy_count, 1);
    if (policy->is_failed) {
        assert_int_equal(policy->detail_count, 1);
        type = result_type_name(policy->details[0].result_type);
        reason = policy->details[0].failure_reason_code;
    }
    (void)snprintf(compared, sizeof compared, "%s %s %s %s", result->domain,
                   policy_type_name(policy->policy.type), policy->policy.domain, type);
    if (reason != NULL)
        (void)snprintf(text, sizeof text, "%s (%s)", compared, reason);
    else
        (void)snprintf(text, sizeof text, "%s", compared);
    add_row(context, compared, text, 1);
    return ST_OK;
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* "DOMAIN TYPE POLICY-DOMAIN RESULT xN; .." in order of text, or "nothing". */
static void join(const struct results *results, bool with_reason, char *out, size_t size)
{
    static char lines[ROWS_MAX][RESULT_MAX + 16];
    const char *sorted[ROWS_MAX];

    for (size_t i = 0; i < results->rows; i++) {
        (void)snprintf(lines[i], sizeof lines[i], "%s x%u",
                       with_reason ? results->text[i] : results->compared[i], results->count[i]);
        sorted[i] = lines[i];
    }
    qsort(sorted, results->rows, sizeof sorted[0], compare_texts);
    (void)snprintf(out, size, "%s", results->rows == 0 ? "nothing" : "");
    for (size_t i = 0; i < results->rows; i++)
        (void)snprintf(out + strlen(out), size - strlen(out), "%s%s", i > 0 ? "; " : "", sorted[i]);
}

/* ---- reading the recordings ---- */

static void read_whole(const char *path, struct strbuf *out)
{
    struct err err;

    strbuf_init(out, 1024 * 1024);
    if (file_read(path, out, &err) != ST_OK)
        fail_msg("%s", err.text);
}

/* The next line of *at; false at the end. */
static bool next_line(char **at, char **line_out)
{
    char *end = strchr(*at, '\n');

    if (**at == '\0')
        return false;
    *line_out = *at;
    if (end != NULL)
        *end = '\0';
    *at = end != NULL ? end + 1 : *at + strlen(*at);
    return true;
}

static void read_events(char *at, int64_t now_s, struct results *results)
{
    struct arena arena;
    struct session_result result;
    struct err err;
    char *line;

    arena_init(&arena, EXIM_LINE_ARENA_BYTES);
    while (next_line(&at, &line)) {
        enum status status = exim_line_decode(line, strlen(line), now_s, &arena, &result, &err);

        assert_true(exim_line_is_one(line, strlen(line)));
        if (status == ST_OK)
            assert_int_equal(add_result(results, &result, now_s), ST_OK);
        else
            assert_int_equal(status, ST_NOT_FOUND);
        arena_reset(&arena);
    }
    arena_done(&arena);
}

static struct strbuf tlsa_hosts;

/* Is the host a line of tlsa.tsv? */
static enum mtalog_dane dane_of(void *context, struct span mx, bool is_needed)
{
    char line[512];

    (void)context;
    (void)is_needed;
    (void)snprintf(line, sizeof line, "\n%.*s\n", (int)mx.len, mx.at);
    return strstr(tlsa_hosts.data, line) != NULL ? MTALOG_DANE_YES : MTALOG_DANE_NO;
}

static void read_log(char *at, bool has_dns, enum mtalog_mta mta, int64_t now_s, struct results *results)
{
    struct mtalog_settings settings = {.mta = mta,
                                       .mandatory_tls = POLICY_NO_POLICY_FOUND,
                                       .dane_of = has_dns ? dane_of : NULL,
                                       .on_result = add_result,
                                       .context = results};
    const char *begin = at;
    struct mtalog *log;
    struct err err;
    char *line;

    assert_int_equal(mtalog_new(&settings, &log, &err), ST_OK);
    mtalog_set_now(log, now_s);
    while (next_line(&at, &line)) {
        struct span span = {line, strlen(line)};

        assert_int_equal(mtalog_feed(log, span, (uint64_t)(line - begin), &err), ST_OK);
    }
    assert_int_equal(mtalog_flush(log, &err), ST_OK);
    mtalog_free(&log);
}

static void read_recording(size_t source, const char *scenario, struct results *results)
{
    struct strbuf bytes;
    char path[512];

    *results = (struct results){.rows = 0};
    (void)snprintf(path, sizeof path, DATA "%s/%s/%s%s", SOURCES[source].set->folder, SOURCES[source].folder,
                   scenario, SOURCES[source].suffix);
    read_whole(path, &bytes);
    if (bytes.len > 0 && SOURCES[source].is_events)
        read_events(bytes.data, SOURCES[source].set->now_s, results);
    else if (bytes.len > 0)
        read_log(bytes.data, SOURCES[source].has_dns, SOURCES[source].mta, SOURCES[source].set->now_s,
                 results);
    strbuf_done(&bytes);
}

/* ---- what happened ---- */

static void fold(char *text)
{
    for (; *text != '\0'; text++)
        if (*text >= 'A' && *text <= 'Z')
            *text = (char)(*text - 'A' + 'a');
}

/* scenario domain policy-type policy-domain result reason success failure */
static void read_expected(const struct data_set *set, const char *scenario, struct results *results)
{
    struct strbuf bytes;
    char path[512], *at, *line;

    *results = (struct results){.rows = 0};
    (void)snprintf(path, sizeof path, DATA "%s/%s", set->folder, set->expected);
    read_whole(path, &bytes);
    for (at = bytes.data; next_line(&at, &line);) {
        char name[64], domain[256], type[32], policy_domain[256], result[64], reason[256];
        char compared[RESULT_MAX];
        unsigned success, failure;

        if (sscanf(line, "%63s %255s %31s %255s %63s %255s %u %u", name, domain, type, policy_domain, result,
                   reason, &success, &failure) != 8 ||
            strcmp(name, scenario) != 0 || strcmp(result, "nothing-sent") == 0)
            continue;
        fold(domain);
        fold(policy_domain);
        (void)snprintf(compared, sizeof compared, "%s %s %s %s", domain, type, policy_domain, result);
        add_row(results, compared, compared, success + failure);
    }
    strbuf_done(&bytes);
}

/* ---- the table ---- */

struct row {
    char *file, *verdict, *result, *because;
    bool is_used;
};

static struct strbuf table_bytes[2];
static struct row table[FILES_MAX];
static size_t table_rows;

static char *next_field(char **at)
{
    char *field = *at, *tab = strchr(field, '\t');

    if (tab != NULL)
        *tab = '\0';
    *at = tab != NULL ? tab + 1 : field + strlen(field);
    return field;
}

static void read_table(const struct data_set *set, struct strbuf *text)
{
    char path[512], *at, *line;

    (void)snprintf(path, sizeof path, DATA "%s/comparison.tsv", set->folder);
    read_whole(path, text);
    for (at = text->data; next_line(&at, &line);) {
        if (line[0] == '#')
            continue;
        assert_true(table_rows < FILES_MAX);
        table[table_rows].file = next_field(&line);
        table[table_rows].verdict = next_field(&line);
        table[table_rows].result = next_field(&line);
        table[table_rows++].because = next_field(&line);
    }
}

static struct row *find_row(const char *file)
{
    for (size_t i = 0; i < table_rows; i++)
        if (strcmp(table[i].file, file) == 0)
            return &table[i];
    return NULL;
}

static bool is_verdict(const char *word)
{
    static const char *const VERDICTS[] = {"equal", "correct", "unknowable", "wrong"};

    for (size_t i = 0; i < ARRAY_COUNT(VERDICTS); i++)
        if (strcmp(word, VERDICTS[i]) == 0)
            return true;
    return false;
}

static void check_scenario(size_t source, const char *scenario)
{
    static struct results got, wanted;
    char file[512], result[RESULT_MAX * 2], compared[RESULT_MAX * 2], expected[RESULT_MAX * 2];
    bool is_equal;
    struct row *row;

    read_recording(source, scenario, &got);
    read_expected(SOURCES[source].set, scenario, &wanted);
    join(&got, true, result, sizeof result);
    join(&got, false, compared, sizeof compared);
    join(&wanted, false, expected, sizeof expected);
    is_equal = strcmp(compared, expected) == 0;
    (void)snprintf(file, sizeof file, "%s%s/%s%s", SOURCES[source].folder,
                   SOURCES[source].has_dns ? "+dns" : "", scenario, SOURCES[source].suffix);
    if (getenv("SHOW_OUTCOMES") != NULL) {
        printf("%s\t%s\t%s\t%s\n", file, is_equal ? "equal" : "?", result, is_equal ? "" : expected);
        return;
    }
    row = find_row(file);
    if (row == NULL)
        fail_msg("%s has no row in comparison.tsv", file);
    row->is_used = true;
    if (strcmp(row->result, result) != 0)
        fail_msg("%s:\n got    %s\n wanted %s", file, result, row->result);
    if (is_equal != (strcmp(row->verdict, "equal") == 0) || !is_verdict(row->verdict))
        fail_msg("%s is called %s:\n got      %s\n expected %s", file, row->verdict, compared, expected);
    if (!is_equal && row->because[0] == '\0')
        fail_msg("%s is not equal, but the row does not say why", file);
}

static int is_source(const struct dirent *entry, const char *suffix)
{
    size_t len = strlen(entry->d_name), suffix_len = strlen(suffix);

    return len > suffix_len && strcmp(entry->d_name + len - suffix_len, suffix) == 0;
}

static void check_source(size_t source)
{
    struct dirent **entries;
    char folder[256];
    unsigned checked = 0;
    int count;

    (void)snprintf(folder, sizeof folder, DATA "%s/%s", SOURCES[source].set->folder, SOURCES[source].folder);
    count = scandir(folder, &entries, NULL, alphasort);
    assert_true(count > 0);
    for (int i = 0; i < count; i++) {
        if (is_source(entries[i], SOURCES[source].suffix)) {
            char scenario[256];

            (void)snprintf(scenario, sizeof scenario, "%.*s",
                           (int)(strlen(entries[i]->d_name) - strlen(SOURCES[source].suffix)),
                           entries[i]->d_name);
            check_scenario(source, scenario);
            checked++;
        }
        free(entries[i]);
    }
    free(entries);
    assert_int_equal(checked, SOURCES[source].situations);
}

static void test_source(void **state)
{
    check_source((size_t)(uintptr_t)*state);
}

/* A row of a file that is gone would say something that nobody checks. */
static void test_every_row_was_used(void **state)
{
    (void)state;
    for (size_t i = 0; i < table_rows; i++)
        if (!table[i].is_used)
            fail_msg("%s: there is no such file", table[i].file);
}

int main(void)
{
    struct CMUnitTest tests[ARRAY_COUNT(SOURCES) + 1];
    int failed;

    read_whole(DATA "mta/tlsa.tsv", &tlsa_hosts);
    for (size_t i = 0; i < ARRAY_COUNT(SOURCES); i++)
        tests[i] = (struct CMUnitTest){
            .name = SOURCES[i].folder, .test_func = test_source, .initial_state = (void *)(uintptr_t)i};
    tests[ARRAY_COUNT(SOURCES)] = (struct CMUnitTest)cmocka_unit_test(test_every_row_was_used);
    if (getenv("SHOW_OUTCOMES") == NULL) {
        read_table(&MTA, &table_bytes[0]);
        read_table(&STS, &table_bytes[1]);
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    strbuf_done(&tlsa_hosts);
    strbuf_done(&table_bytes[0]);
    strbuf_done(&table_bytes[1]);
    return failed;
}
