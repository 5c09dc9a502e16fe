/* SPDX-License-Identifier: MIT */
/* Reports of a bounded size: what is folded; nothing is lost; the order of equals does not matter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../report_rows.h"
#include "report/report_build.h"

static const struct report_meta META = {
    .organization_name = "Seaport Mail Operations",
    .contact_info = "tlsrpt-team@reports.seaport.example",
    .submitter = "reports.seaport.example",
    .domain = "a.example",
    .report_id = "1773446400.1.a.example@reports.seaport.example",
    .utc_day = 20526,
};

/* A made-up day: policies, each with details of which the first occurred most often. */
struct crowd {
    unsigned policies;
    unsigned details; /* of each policy */
    uint64_t (*sessions)(unsigned detail);
    unsigned replays;
};

static enum status crowd_replay(void *context, const struct report_visitor *visitor, struct err *err)
{
    struct crowd *crowd = context;
    enum status status = ST_OK;

    crowd->replays++;
    for (unsigned i = 0; i < crowd->policies; i++) {
        char domain[32];
        const struct policy policy = {.type = POLICY_TLSA, .domain = domain};
        struct session_counts counts = {.success = i};

        (void)snprintf(domain, sizeof domain, "mx%03u.a.example", i);
        for (unsigned k = 0; k < crowd->details; k++)
            counts.failure += crowd->sessions(k);
        status = visitor->policy(visitor->context, &policy, &counts, err);
        for (unsigned k = 0; k < crowd->details && status == ST_OK; k++) {
            char name[32];
            const struct failure_detail detail = {.result_type = k % 3 == 0 ? RESULT_CERTIFICATE_EXPIRED
                                                                            : RESULT_VALIDATION_FAILURE,
                                                  .receiving_mx_hostname = name};

            (void)snprintf(name, sizeof name, "h%06u.a.example", k);
            status = visitor->detail(visitor->context, &detail, crowd->sessions(k), err);
        }
        if (status != ST_OK)
            break;
    }
    return status;
}

static uint64_t once(unsigned detail)
{
    (void)detail;
    return 1;
}

static uint64_t falling(unsigned detail)
{
    return 100000 - detail * 10;
}

static uint64_t huge(unsigned detail)
{
    return ((uint64_t)1 << 40) - detail;
}

static enum status keep(void *context, const char *bytes, size_t len, struct err *err)
{
    (void)err;
    strbuf_add(context, bytes, len);
    return ST_OK;
}

static enum status restart(void *context, struct err *err)
{
    (void)err;
    strbuf_reset(context);
    return ST_OK;
}

static char *built(struct report_source source, uint64_t max_bytes, struct report_built *built_out)
{
    struct strbuf out;
    struct report_sink sink = {.write = keep, .restart = restart, .context = &out};
    struct err err;
    char *text;

    strbuf_init(&out, 256 << 20);
    if (report_build(&META, max_bytes, &source, &sink, built_out, &err) != ST_OK)
        fail_msg("%s", err.text);
    assert_int_equal(out.len, built_out->json_bytes);
    text = strdup(out.data);
    assert_non_null(text);
    strbuf_done(&out);
    return text;
}

/* Sums of all failed-session-counts, of the unfolded ones, and the smallest unfolded. */
struct seen {
    uint64_t total, smallest, entries, bare;
};

static struct seen look(const char *text)
{
    json_t *report = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    struct seen seen = {.smallest = UINT64_MAX};
    size_t i, k;
    json_t *policy, *detail;

    assert_non_null(report);
    json_array_foreach(json_object_get(report, "policies"), i, policy)
    {
        json_array_foreach(json_object_get(policy, "failure-details"), k, detail)
        {
            uint64_t count = (uint64_t)json_integer_value(json_object_get(detail, "failed-session-count"));

            seen.total += count;
            seen.entries++;
            if (json_object_get(detail, "receiving-mx-hostname") == NULL)
                seen.bare++;
            else if (count < seen.smallest)
                seen.smallest = count;
        }
    }
    json_decref(report);
    return seen;
}

static void test_what_fits_is_written_in_one_pass(void **state)
{
    struct crowd crowd = {.policies = 2, .details = 10, .sessions = falling};
    struct report_built result;
    char *text = built((struct report_source){crowd_replay, &crowd}, 1 << 20, &result);
    struct seen seen = look(text);

    (void)state;
    assert_int_equal(crowd.replays, 1);
    assert_int_equal(seen.entries, 20);
    assert_int_equal(result.summary.details, 20);
    assert_int_equal(result.summary.folded, 0);
    free(text);
}

static const struct {
    const char *says;
    struct crowd crowd;
    uint64_t max_bytes;
} LARGE[] = {
    {"all occurred once: the first that fit are kept",
     {.policies = 1, .details = 5000, .sessions = once},
     100000},
    {"counts fall: the rarest go", {.policies = 1, .details = 5000, .sessions = falling}, 100000},
    {"counts near 2^40 are told apart", {.policies = 3, .details = 5000, .sessions = huge}, 100000},
    {"many policies share the room", {.policies = 50, .details = 200, .sessions = falling}, 100000},
    {"no room for any detail", {.policies = 10, .details = 100, .sessions = falling}, 3600},
};

static void test_too_large_folds_the_rarest(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(LARGE); i++) {
        struct crowd crowd = LARGE[i].crowd;
        struct report_built all, result;
        struct report_source source = {crowd_replay, &crowd};
        char *whole = built(source, UINT64_MAX, &all);
        char *text = built(source, LARGE[i].max_bytes, &result);
        struct seen want = look(whole), got = look(text);

        if (crowd.sessions != huge) /* there the sums are clamped */
            assert_int_equal(got.total, want.total);
        assert_memory_equal(&result.summary.sessions, &all.summary.sessions, sizeof all.summary.sessions);
        assert_memory_equal(result.summary.failures, all.summary.failures, sizeof all.summary.failures);
        assert_int_equal(result.summary.details, (uint64_t)crowd.policies * crowd.details);
        assert_int_equal(result.summary.folded + got.entries - got.bare, result.summary.details);
        if (result.json_bytes > LARGE[i].max_bytes)
            fail_msg("%s: %zu bytes", LARGE[i].says, (size_t)result.json_bytes);
        /* No room is wasted, but for what the fold entries might have needed. */
        if (got.entries > got.bare && result.json_bytes < LARGE[i].max_bytes * 8 / 10)
            fail_msg("%s: only %zu bytes", LARGE[i].says, (size_t)result.json_bytes);
        assert_int_equal(crowd.replays, 3); /* one for the whole report, two for the folded one */
        free(whole);
        free(text);
    }
}

static void test_one_byte_too_large_is_too_large(void **state)
{
    struct crowd crowd = {.policies = 1, .details = 500, .sessions = once}, again = crowd;
    struct report_built whole, result;

    (void)state;
    free(built((struct report_source){crowd_replay, &crowd}, UINT64_MAX, &whole));
    free(built((struct report_source){crowd_replay, &again}, whole.json_bytes, &result));
    assert_int_equal(result.summary.folded, 0);
    free(built((struct report_source){crowd_replay, &again}, whole.json_bytes - 1, &result));
    assert_true(result.summary.folded > 0 && result.json_bytes < whole.json_bytes);
}

/* Every kept detail occurred at least as often as every folded one. */
static void test_the_cut_is_exact(void **state)
{
    struct crowd crowd = {.policies = 1, .details = 5000, .sessions = falling};
    struct report_built result;
    char *text = built((struct report_source){crowd_replay, &crowd}, 100000, &result);
    struct seen seen = look(text);
    uint64_t kept = seen.entries - seen.bare;

    (void)state;
    assert_int_equal(seen.smallest, falling((unsigned)kept - 1));
    assert_int_equal(seen.bare, 2);
    free(text);
}

static void test_an_entry_without_fields_joins_the_folded_one(void **state)
{
    static struct detail_row details[400];
    static char names[400][24];
    struct policy_row policy = {.policy = {.type = POLICY_TLSA, .domain = "a.example"},
                                .counts = {0, 1},
                                .details = details,
                                .detail_count = ARRAY_COUNT(details)};
    struct report_rows rows = {"a.example", &policy, 1};
    struct report_built result;
    struct seen seen;
    char *text;

    (void)state;
    for (size_t i = 1; i < ARRAY_COUNT(details); i++) {
        (void)snprintf(names[i], sizeof names[i], "mx%03zu.a.example", i);
        details[i] =
            (struct detail_row){{.result_type = RESULT_DANE_REQUIRED, .receiving_mx_hostname = names[i]}, 1};
    }
    details[0] = (struct detail_row){{.result_type = RESULT_DANE_REQUIRED}, 700};
    text = built((struct report_source){rows_replay, &rows}, 8000, &result);
    seen = look(text);
    assert_int_equal(seen.bare, 1);
    assert_int_equal(seen.total, 700 + 399);
    assert_int_equal(result.summary.folded + seen.entries, 400);
    free(text);
}

static void test_nothing_to_report(void **state)
{
    struct report_rows rows = {"a.example", NULL, 0};
    struct report_source source = {rows_replay, &rows};
    struct strbuf out;
    struct report_sink sink = {.write = keep, .restart = restart, .context = &out};
    struct report_built result;
    struct err err;

    (void)state;
    strbuf_init(&out, 4096);
    assert_int_equal(report_build(&META, 4096, &source, &sink, &result, &err), ST_NOT_FOUND);
    strbuf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_fits_is_written_in_one_pass),
        cmocka_unit_test(test_too_large_folds_the_rarest),
        cmocka_unit_test(test_one_byte_too_large_is_too_large),
        cmocka_unit_test(test_the_cut_is_exact),
        cmocka_unit_test(test_an_entry_without_fields_joins_the_folded_one),
        cmocka_unit_test(test_nothing_to_report),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
