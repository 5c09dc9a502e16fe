/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/utc_day.h"
#include "store/ledger.h"

#define DAY   20526 /* 2026-03-14 */
#define NOW_S ((int64_t)(DAY + 1) * UTC_DAY_SECONDS + 600)

struct fixture {
    char folder[64];
    char path[96];
    struct ledger *ledger;
    struct arena arena;
    struct err err;
};

static void open_ledger(struct fixture *f)
{
    assert_int_equal(ledger_open(f->path, LEDGER_WRITE, &f->ledger, &f->err), ST_OK);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    strcpy(f->folder, "/tmp/ledger_test.XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    (void)snprintf(f->path, sizeof f->path, "%s/reports.db", f->folder);
    arena_init(&f->arena, 1 << 20);
    open_ledger(f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    static const char *const SUFFIXES[] = {"", "-wal", "-shm"};
    struct fixture *f = *state;
    char path[128];

    ledger_close(&f->ledger);
    for (size_t i = 0; i < ARRAY_COUNT(SUFFIXES); i++) {
        (void)snprintf(path, sizeof path, "%s%s", f->path, SUFFIXES[i]);
        (void)unlink(path);
    }
    (void)rmdir(f->folder);
    arena_done(&f->arena);
    free(f);
    return 0;
}

static struct ledger_report make_report(int32_t utc_day, const char *domain, const char *report_id)
{
    return (struct ledger_report){
        .utc_day = utc_day,
        .domain = domain,
        .report_id = report_id,
        .created_at_s = NOW_S,
        .organization_name = "Seaport",
        .contact_info = "tls@reports.example",
        .from = "noreply@reports.example",
        .envelope_from = "bounce@reports.example",
        .file_name = "reports.example!harbour.example!1!2.json.gz",
        .gzip = "\x1f\x8b\0bytes",
        .gzip_len = 8,
        .inflated_bytes = 100,
        .success = 3,
        .failure = 1,
        .note = "",
    };
}

static const struct ledger_delivery TWO[] = {
    {.kind = DELIVERY_HTTPS,
     .rua = "https://z.example/in",
     .host = "z.example",
     .next_at_s = NOW_S,
     .owner = "a.example",
     .destination = "z.example:443"},
    {.kind = DELIVERY_MAIL,
     .rua = "a@m.example",
     .host = "m.example",
     .message_id = "1@x",
     .next_at_s = NOW_S + 5,
     .owner = "a.example",
     .destination = "m.example"},
};

static void add(struct fixture *f, int32_t utc_day, const char *domain, const char *report_id)
{
    struct ledger_report report = make_report(utc_day, domain, report_id);

    assert_int_equal(ledger_add_report(f->ledger, &report, TWO, 2, &f->err), ST_OK);
}

/* What a walk saw: "https z.example due 0; " for each delivery. */
struct seen {
    char text[512];
    struct ledger_delivery rows[8]; /* owner and destination are those of TWO */
    size_t count;
};

static enum status see(void *context, const struct ledger_delivery *row, struct err *err)
{
    struct seen *seen = context;
    size_t len = strlen(seen->text);

    (void)err;
    (void)snprintf(seen->text + len, sizeof seen->text - len, "%s %s %s %lld; ",
                   delivery_kind_name(row->kind), row->host, delivery_state_name(row->state),
                   (long long)row->tries);
    seen->rows[seen->count] = *row;
    seen->rows[seen->count].owner = "a.example";
    seen->rows[seen->count++].destination =
        row->kind == DELIVERY_MAIL ? TWO[1].destination : TWO[0].destination;
    return ST_OK;
}

static void read_page(struct fixture *f, const struct ledger_page *page, struct seen *seen)
{
    assert_int_equal(ledger_read_page(f->ledger, page, see, seen, &f->err), ST_OK);
}

/* Mail first. */
static struct seen due(struct fixture *f, int64_t due_s)
{
    struct seen seen = {.count = 0};

    for (int kind = DELIVERY_MAIL; kind <= DELIVERY_HTTPS; kind++)
        for (int is_known = 0; is_known <= 1; is_known++)
            read_page(f,
                      &(struct ledger_page){.kind = (enum delivery_kind)kind,
                                            .is_known = is_known != 0,
                                            .due_s = due_s,
                                            .now_s = NOW_S,
                                            .max = 8},
                      &seen);
    return seen;
}

static enum ledger_entry find(struct fixture *f, const char *domain)
{
    struct ledger_found found;

    assert_int_equal(ledger_find(f->ledger, DAY, domain, &found, &f->err), ST_OK);
    return found.entry;
}

static void test_report_is_frozen(void **state)
{
    struct fixture *f = *state;
    struct ledger_report got;

    add(f, DAY, "harbour.example", "1@reports.example");
    ledger_close(&f->ledger);
    open_ledger(f);
    assert_int_equal(ledger_read_report(f->ledger, DAY, "harbour.example", &f->arena, &got, &f->err), ST_OK);
    assert_string_equal(got.domain, "harbour.example");
    assert_string_equal(got.report_id, "1@reports.example");
    assert_string_equal(got.envelope_from, "bounce@reports.example");
    assert_int_equal(got.gzip_len, 8);
    assert_memory_equal(got.gzip, "\x1f\x8b\0bytes", 8);
    assert_int_equal(got.success, 3);
    assert_int_equal(ledger_read_report(f->ledger, DAY + 1, "harbour.example", &f->arena, &got, &f->err),
                     ST_NOT_FOUND);
}

static void test_a_day_is_reported_once(void **state)
{
    struct fixture *f = *state;
    struct ledger_report again = make_report(DAY, "harbour.example", "2@reports.example");

    add(f, DAY, "harbour.example", "1@reports.example");
    assert_int_equal(ledger_add_report(f->ledger, &again, TWO, 2, &f->err), ST_DENIED);
    assert_int_equal(due(f, INT64_MAX).count, 2);
    assert_int_equal(find(f, "harbour.example"), LEDGER_REPORT);
    assert_int_equal(find(f, "other.example"), LEDGER_NOTHING);
}

static void test_waiting_gives_way(void **state)
{
    struct fixture *f = *state;
    struct ledger_found found;

    assert_int_equal(ledger_wait(f->ledger, DAY, "a.example", "timeout", NOW_S, NOW_S + 900, &f->err), ST_OK);
    assert_int_equal(ledger_wait(f->ledger, DAY, "a.example", "servfail", NOW_S + 9, NOW_S + 909, &f->err),
                     ST_OK);
    assert_int_equal(ledger_find(f->ledger, DAY, "a.example", &found, &f->err), ST_OK);
    assert_int_equal(found.entry, LEDGER_WAITING);
    assert_int_equal(found.since_s, NOW_S);
    assert_int_equal(found.next_at_s, NOW_S + 909);
    assert_int_equal(ledger_skip(f->ledger, DAY, "a.example", "no record", NOW_S, &f->err), ST_OK);
    assert_int_equal(find(f, "a.example"), LEDGER_SKIPPED);
    add(f, DAY, "a.example", "1@x");
    assert_int_equal(find(f, "a.example"), LEDGER_REPORT);
}

static void test_half_a_report_is_none(void **state)
{
    struct fixture *f = *state;
    struct ledger_report second = make_report(DAY, "b.example", "1@x"); /* its report-id is taken */

    add(f, DAY, "a.example", "1@x");
    assert_int_equal(ledger_begin(f->ledger, &f->err), ST_OK);
    assert_int_equal(ledger_skip(f->ledger, DAY, "c.example", "no record", NOW_S, &f->err), ST_OK);
    assert_int_equal(ledger_add_report(f->ledger, &second, TWO, 2, &f->err), ST_INTERNAL);
    assert_int_equal(ledger_commit(f->ledger, &f->err), ST_OK);
    assert_int_equal(find(f, "b.example"), LEDGER_NOTHING);
    assert_int_equal(find(f, "c.example"), LEDGER_SKIPPED);
    assert_int_equal(due(f, INT64_MAX).count, 2);
}

static void add_https(struct fixture *f, const char *domain, const char *destination, int64_t next_at_s,
                      uint32_t turn)
{
    char report_id[64];
    struct ledger_report report;
    struct ledger_delivery delivery = TWO[0];

    (void)snprintf(report_id, sizeof report_id, "%s-id", domain);
    report = make_report(DAY, domain, report_id);
    delivery.host = delivery.destination = destination;
    delivery.next_at_s = next_at_s;
    delivery.turn = turn;
    assert_int_equal(ledger_add_report(f->ledger, &report, &delivery, 1, &f->err), ST_OK);
}

static void test_a_page_goes_by_turn_and_then_by_time(void **state)
{
    static const struct {
        const char *what;
        int64_t due_s, max;
        const char *want;
    } ROWS[] = {
        {"what is due", NOW_S, 9, "https c due 0; https a due 0; "},
        {"the first of them", NOW_S, 1, "https c due 0; "},
        {"all", INT64_MAX, 9, "https d due 0; https c due 0; https b due 0; https a due 0; "},
        {"a turn that is not due is passed over", NOW_S + 1800, 9,
         "https c due 0; https b due 0; https a due 0; "},
    };
    struct fixture *f = *state;

    add_https(f, "a.example", "a", NOW_S - 9000, 200);
    add_https(f, "b.example", "b", NOW_S + 1800, 3);
    add_https(f, "c.example", "c", NOW_S - 900, 3);
    add_https(f, "d.example", "d", NOW_S + 3600, 0);
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        struct seen seen = {.count = 0};

        read_page(f,
                  &(struct ledger_page){
                      .kind = DELIVERY_HTTPS, .due_s = ROWS[i].due_s, .now_s = NOW_S, .max = ROWS[i].max},
                  &seen);
        if (strcmp(seen.text, ROWS[i].want) != 0)
            fail_msg("%s: got %s", ROWS[i].what, seen.text);
    }
}

static void test_a_destination_that_accepts_is_known(void **state)
{
    struct fixture *f = *state;
    struct ledger_page known = {
        .kind = DELIVERY_HTTPS, .is_known = true, .due_s = INT64_MAX, .now_s = NOW_S, .max = 9};
    struct seen seen = {.count = 0};
    struct delivery_result result;
    struct ledger_delivery row;
    int64_t count;

    add(f, DAY, "a.example", "1@x");
    row = due(f, NOW_S).rows[0];
    assert_int_equal(ledger_add_known(f->ledger, &row, NOW_S, &f->err), ST_OK);
    read_page(f, &known, &seen);
    assert_string_equal(seen.text, ""); /* rows learn it when they are written, or when a run begins */
    add(f, DAY, "b.example", "2@x");
    delivery_result_set(&result, DELIVERY_RESULT_TRY_LATER, DELIVERY_AT_HTTP, 503, "busy");
    assert_int_equal(
        ledger_record_result(f->ledger, &row, DELIVERY_DUE, NOW_S + 900, &result, NOW_S, &f->err), ST_OK);
    read_page(f, &known, &seen);
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.rows[0].turn, 0);
    assert_int_equal(seen.rows[1].turn, 1); /* the one that was put off */
    add(f, DAY, "c.example", "3@x");
    assert_int_equal(ledger_add_known(f->ledger, &due(f, INT64_MAX).rows[0], NOW_S, &f->err),
                     ST_OK); /* mail */
    assert_int_equal(ledger_recover(f->ledger, NOW_S, &count, &f->err), ST_OK);
    assert_int_equal(count, 0);
    known.kind = DELIVERY_MAIL;
    seen.count = 0;
    read_page(f, &known, &seen);
    assert_int_equal(seen.count, 3);
}

static void test_first_tries_of_a_day_are_counted(void **state)
{
    static const struct {
        const char *what;
        int64_t now_s;
        int64_t destination, owner;
    } ROWS[] = {
        {"the day of the tries", NOW_S, 2, 1},
        {"the next day", NOW_S + UTC_DAY_SECONDS, 0, 0},
    };
    struct fixture *f = *state;
    struct seen got;

    add(f, DAY, "a.example", "1@x");
    add(f, DAY, "b.example", "2@x");
    add(f, DAY, "c.example", "3@x");
    add(f, DAY, "d.example", "4@x");
    got = due(f, NOW_S);
    got.rows[1].owner = "other.example";
    got.rows[3].first_at_s = NOW_S - 900; /* no first try */
    for (int i = 0; i < 4; i++)
        assert_int_equal(ledger_mark_sending(f->ledger, &got.rows[i], NOW_S, &f->err), ST_OK);
    assert_int_equal(ledger_put_back(f->ledger, &got.rows[2], "", NOW_S, &f->err), ST_OK);
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        struct seen seen = {.count = 0};

        read_page(
            f,
            &(struct ledger_page){.kind = DELIVERY_HTTPS, .due_s = NOW_S, .now_s = ROWS[i].now_s, .max = 9},
            &seen);
        if (seen.count != 1 || seen.rows[0].destination_started != ROWS[i].destination ||
            seen.rows[0].owner_started != ROWS[i].owner)
            fail_msg("%s: got %zu rows, %lld, %lld", ROWS[i].what, seen.count,
                     (long long)seen.rows[0].destination_started, (long long)seen.rows[0].owner_started);
    }
}

static void test_delivery_goes_through_its_states(void **state)
{
    struct fixture *f = *state;
    const struct ledger_delivery unknown = {.id = 999, .owner = "", .destination = ""};
    struct delivery_result result;
    struct ledger_counts counts;
    struct seen got;
    int64_t next_s;

    add(f, DAY, "a.example", "1@x");
    got = due(f, INT64_MAX);
    for (int i = 0; i < 2; i++)
        assert_int_equal(ledger_mark_sending(f->ledger, &got.rows[i], NOW_S, &f->err), ST_OK);
    assert_int_equal(due(f, INT64_MAX).count, 0);
    delivery_result_set(&result, DELIVERY_RESULT_DELIVERED, DELIVERY_AT_DATA, 250, "ok");
    assert_int_equal(
        ledger_record_result(f->ledger, &got.rows[0], DELIVERY_DELIVERED, 0, &result, NOW_S, &f->err), ST_OK);
    delivery_result_set(&result, DELIVERY_RESULT_TRY_LATER, DELIVERY_AT_HTTP, 503, "busy");
    assert_int_equal(
        ledger_record_result(f->ledger, &got.rows[1], DELIVERY_DUE, NOW_S + 900, &result, NOW_S, &f->err),
        ST_OK);
    assert_string_equal(due(f, NOW_S + 900).text, "https z.example due 1; ");
    assert_int_equal(ledger_next_due(f->ledger, &next_s, &f->err), ST_OK);
    assert_int_equal(next_s, NOW_S + 900);
    assert_int_equal(ledger_count(f->ledger, DAY, &counts, &f->err), ST_OK);
    assert_int_equal(counts.by_state[DELIVERY_DELIVERED], 1);
    assert_int_equal(counts.by_state[DELIVERY_DUE], 1);
    assert_int_equal(counts.reports, 1);
    assert_int_equal(ledger_record_result(f->ledger, &unknown, DELIVERY_DUE, 0, &result, NOW_S, &f->err),
                     ST_INTERNAL);
}

static void test_crash_while_sending_makes_it_due(void **state)
{
    struct fixture *f = *state;
    struct seen got;
    int64_t count = 0;

    add(f, DAY, "a.example", "1@x");
    got = due(f, INT64_MAX);
    assert_int_equal(ledger_mark_sending(f->ledger, &got.rows[0], NOW_S, &f->err), ST_OK);
    ledger_close(&f->ledger);
    open_ledger(f);
    assert_int_equal(ledger_recover(f->ledger, NOW_S + 60, &count, &f->err), ST_OK);
    assert_int_equal(count, 1);
    assert_string_equal(due(f, NOW_S + 60 + 899).text, "https z.example due 0; ");
    assert_string_equal(due(f, NOW_S + 60 + 900).text, "mailto m.example due 1; https z.example due 0; ");
}

static void test_what_was_not_begun_is_due_as_before(void **state)
{
    struct fixture *f = *state;
    struct seen got;

    add(f, DAY, "a.example", "1@x");
    got = due(f, INT64_MAX);
    assert_int_equal(ledger_mark_sending(f->ledger, &got.rows[0], NOW_S + 50, &f->err), ST_OK);
    assert_int_equal(ledger_put_back(f->ledger, &got.rows[0], "the relay is down", NOW_S + 51, &f->err),
                     ST_OK);
    assert_string_equal(due(f, INT64_MAX).text, "mailto m.example due 0; https z.example due 0; ");
    assert_int_equal(ledger_put_back(f->ledger, &got.rows[0], "the relay is down", NOW_S + 51, &f->err),
                     ST_INTERNAL); /* it is not being sent */
}

static void test_days_close(void **state)
{
    struct fixture *f = *state;
    bool is_closed = true;

    assert_int_equal(ledger_day_is_closed(f->ledger, DAY, &is_closed, &f->err), ST_OK);
    assert_false(is_closed);
    assert_int_equal(ledger_close_day(f->ledger, DAY, NOW_S, &f->err), ST_OK);
    assert_int_equal(ledger_close_day(f->ledger, DAY, NOW_S + 1, &f->err), ST_OK);
    assert_int_equal(ledger_day_is_closed(f->ledger, DAY, &is_closed, &f->err), ST_OK);
    assert_true(is_closed);
}

/* Days before utc_day, when so many days of ledger time have passed; a day's reports are remembered for ten. */
static int64_t forget(struct fixture *f, int32_t utc_day, int64_t ledger_days)
{
    const struct ledger_retention limits = {.utc_day = utc_day,
                                            .now_s = NOW_S,
                                            .ledger_s = ledger_days * UTC_DAY_SECONDS,
                                            .memory_s = 10 * (int64_t)UTC_DAY_SECONDS};
    int64_t count = -1;

    assert_int_equal(ledger_delete_before(f->ledger, &limits, &count, &f->err), ST_OK);
    return count;
}

static void give_up_all(struct fixture *f)
{
    struct seen got = due(f, INT64_MAX);
    struct delivery_result result;

    delivery_result_set(&result, DELIVERY_RESULT_GIVE_UP, DELIVERY_AT_RCPT, 550, "no such user");
    for (int i = 0; i < 2; i++)
        assert_int_equal(
            ledger_record_result(f->ledger, &got.rows[i], DELIVERY_GIVEN_UP, 0, &result, NOW_S, &f->err),
            ST_OK);
}

static void test_old_days_go_but_nothing_open(void **state)
{
    struct fixture *f = *state;

    add(f, DAY, "a.example", "1@x");
    give_up_all(f);
    add(f, DAY, "b.example", "2@x");
    assert_int_equal(forget(f, DAY, 0), 0);
    assert_int_equal(forget(f, DAY, 10), 0);
    assert_int_equal(forget(f, DAY + 1, 10), 1);
    assert_int_equal(find(f, "a.example"), LEDGER_NOTHING);
    assert_int_equal(find(f, "b.example"), LEDGER_REPORT);
}

/* Whatever the clock says, a day's reports stay until enough time has really passed. */
static void test_a_day_is_remembered_by_ledger_time(void **state)
{
    struct fixture *f = *state;

    add(f, DAY, "a.example", "1@x");
    give_up_all(f);
    assert_int_equal(forget(f, DAY + 5000, 100), 0); /* here its memory begins */
    add(f, DAY + 1, "a.example", "2@x");
    give_up_all(f);
    assert_int_equal(forget(f, DAY + 5000, 105), 0);
    assert_int_equal(forget(f, DAY + 5000, 109), 0);
    assert_int_equal(find(f, "a.example"), LEDGER_REPORT);
    assert_int_equal(forget(f, DAY + 5000, 110), 1);
    assert_int_equal(find(f, "a.example"), LEDGER_NOTHING);
    assert_int_equal(forget(f, DAY, 200), 0); /* not old by the clock */
    assert_int_equal(forget(f, DAY + 5000, 114), 0);
    assert_int_equal(forget(f, DAY + 5000, 115), 1);
}

static void test_suppression_gets_longer(void **state)
{
    static const struct {
        const char *what;
        int64_t at_days;
        int64_t want_days;
    } ROWS[] = {
        {"the first refusal: three days", 0, 3},
        {"a refusal meanwhile changes nothing", 2, 3},
        {"the second: seven", 3, 10},
        {"the third: twenty-eight", 10, 38},
        {"and twenty-eight from then on", 38, 66},
    };
    struct fixture *f = *state;
    bool is_suppressed;

    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        int64_t now_s = NOW_S + ROWS[i].at_days * UTC_DAY_SECONDS;
        int64_t until_s = 0;

        assert_int_equal(ledger_suppress(f->ledger, "a@m.example", "550", now_s, &until_s, &f->err), ST_OK);
        if (until_s != NOW_S + ROWS[i].want_days * UTC_DAY_SECONDS)
            fail_msg("%s: got %lld", ROWS[i].what, (long long)until_s);
        assert_int_equal(ledger_is_suppressed(f->ledger, "a@m.example", until_s - 1, &is_suppressed, &f->err),
                         ST_OK);
        assert_true(is_suppressed);
        assert_int_equal(ledger_is_suppressed(f->ledger, "a@m.example", until_s, &is_suppressed, &f->err),
                         ST_OK);
        assert_false(is_suppressed);
    }
    assert_int_equal(ledger_unsuppress(f->ledger, "a@m.example", &f->err), ST_OK);
    assert_int_equal(ledger_unsuppress(f->ledger, "a@m.example", &f->err), ST_NOT_FOUND);
}

static unsigned permissions_of(const char *database, const char *suffix)
{
    struct stat file;
    char path[128];

    (void)snprintf(path, sizeof path, "%s%s", database, suffix);
    assert_int_equal(stat(path, &file), 0);
    return file.st_mode & 07777;
}

static void test_files_are_not_world_readable(void **state)
{
    static const char *const SUFFIXES[] = {"", "-wal", "-shm"};
    struct fixture *f = *state;
    mode_t before = umask(0);

    ledger_close(&f->ledger);
    assert_int_equal(unlink(f->path), 0);
    open_ledger(f);
    for (size_t i = 0; i < ARRAY_COUNT(SUFFIXES); i++)
        assert_int_equal(permissions_of(f->path, SUFFIXES[i]), 0640);
    ledger_close(&f->ledger);
    assert_int_equal(chmod(f->path, 0666), 0);
    open_ledger(f);
    for (size_t i = 0; i < ARRAY_COUNT(SUFFIXES); i++)
        assert_int_equal(permissions_of(f->path, SUFFIXES[i]), 0660);
    (void)umask(before);
}

static void test_a_link_is_left_alone(void **state)
{
    struct fixture *f = *state;
    char target[128];

    (void)snprintf(target, sizeof target, "%s.kept", f->path);
    ledger_close(&f->ledger);
    assert_int_equal(rename(f->path, target), 0);
    assert_int_equal(chmod(target, 0644), 0);
    assert_int_equal(symlink(target, f->path), 0);
    open_ledger(f);
    assert_int_equal(permissions_of(target, ""), 0644);
    ledger_close(&f->ledger);
    assert_int_equal(unlink(f->path), 0);
    assert_int_equal(rename(target, f->path), 0);
    open_ledger(f);
}

static void test_a_roll_back_leaves_nothing(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(ledger_begin(f->ledger, &f->err), ST_OK);
    add(f, DAY, "harbour.example", "1@reports.example");
    assert_int_equal(ledger_skip(f->ledger, DAY, "quay.example", "no record", NOW_S, &f->err), ST_OK);
    ledger_rollback(f->ledger);
    assert_int_equal(find(f, "harbour.example"), LEDGER_NOTHING);
    assert_int_equal(find(f, "quay.example"), LEDGER_NOTHING);
    assert_int_equal(ledger_begin(f->ledger, &f->err), ST_OK); /* nothing is under way any more */
    ledger_rollback(f->ledger);
}

#define LEDGER_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LEDGER_TEST(test_report_is_frozen),
        LEDGER_TEST(test_a_day_is_reported_once),
        LEDGER_TEST(test_files_are_not_world_readable),
        LEDGER_TEST(test_a_link_is_left_alone),
        LEDGER_TEST(test_a_roll_back_leaves_nothing),
        LEDGER_TEST(test_waiting_gives_way),
        LEDGER_TEST(test_half_a_report_is_none),
        LEDGER_TEST(test_a_page_goes_by_turn_and_then_by_time),
        LEDGER_TEST(test_a_destination_that_accepts_is_known),
        LEDGER_TEST(test_first_tries_of_a_day_are_counted),
        LEDGER_TEST(test_delivery_goes_through_its_states),
        LEDGER_TEST(test_crash_while_sending_makes_it_due),
        LEDGER_TEST(test_what_was_not_begun_is_due_as_before),
        LEDGER_TEST(test_days_close),
        LEDGER_TEST(test_old_days_go_but_nothing_open),
        LEDGER_TEST(test_a_day_is_remembered_by_ledger_time),
        LEDGER_TEST(test_suppression_gets_longer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
