/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../names.h"
#include "generate/day_domains.h"
#include "model/utc_day.h"
#include "store/session_writer.h"

#define DAY   20526 /* 2026-03-14 */
#define NOW_S ((int64_t)(DAY + 1) * UTC_DAY_SECONDS + 600)

struct fixture {
    struct session_writer *writer;
    char folder[64];
    struct generator generator;
    struct err err;
};

static void must(struct fixture *fixture, enum status status)
{
    if (status != ST_OK)
        print_error("%s: %s\n", status_name(status), fixture->err.text);
    assert_int_equal(status, ST_OK);
}

static void open_stores(struct fixture *fixture)
{
    const struct session_limits limits = {.max_policies = 100, .max_details = 1000, .max_subdomains = 1000};
    char path[96];

    strcpy(fixture->folder, "/tmp/day_domains_test.XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    (void)snprintf(path, sizeof path, "%s/sessions.db", fixture->folder);
    must(fixture, session_writer_open(path, &limits, &fixture->writer, &fixture->err));
    fixture->generator.sessions = session_writer_reader(fixture->writer);
    (void)snprintf(path, sizeof path, "%s/reports.db", fixture->folder);
    must(fixture, ledger_open(path, LEDGER_WRITE, &fixture->generator.ledger, &fixture->err));
}

static void close_stores(struct fixture *fixture)
{
    static const char *const FILES[] = {"sessions.db", "sessions.db-wal", "sessions.db-shm",
                                        "reports.db",  "reports.db-wal",  "reports.db-shm"};

    session_writer_close(&fixture->writer);
    ledger_close(&fixture->generator.ledger);
    for (size_t i = 0; i < ARRAY_COUNT(FILES); i++) {
        char path[96];

        (void)snprintf(path, sizeof path, "%s/%s", fixture->folder, FILES[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(fixture->folder), 0);
}

static const char *name_of(unsigned number, char name_out[32])
{
    (void)snprintf(name_out, 32, "d%03u.example", number);
    return name_out;
}

/* One session with each of count domains, d000 and so on. */
static void add_domains(struct fixture *fixture, unsigned count)
{
    struct tally_plan plan;
    char name[32];

    must(fixture, session_writer_begin(fixture->writer, &fixture->err));
    for (unsigned i = 0; i < count; i++) {
        struct result_policy policy = {
            .policy = {.type = POLICY_NO_POLICY_FOUND, .domain = name_of(i, name)}};
        struct session_result result = {.domain = name, .policies = &policy, .policy_count = 1};

        must(fixture, session_writer_add(fixture->writer, &result, DAY, 1, utc_day_begin_s(DAY), &plan,
                                         &fixture->err));
    }
    must(fixture, session_writer_commit(fixture->writer, &fixture->err));
}

typedef enum status settle_fn(struct ledger *ledger, int32_t utc_day, const char *domain, const char *reason,
                              int64_t now_s, struct err *err);

static enum status wait_until_now(struct ledger *ledger, int32_t utc_day, const char *domain,
                                  const char *reason, int64_t now_s, struct err *err)
{
    return ledger_wait(ledger, utc_day, domain, reason, now_s, now_s, err);
}

static enum status wait_longer(struct ledger *ledger, int32_t utc_day, const char *domain, const char *reason,
                               int64_t now_s, struct err *err)
{
    return ledger_wait(ledger, utc_day, domain, reason, now_s, now_s + 1, err);
}

/* What the ledger says about the first count domains. */
static void settle(struct fixture *fixture, settle_fn *fn, unsigned count)
{
    char name[32];

    must(fixture, ledger_begin(fixture->generator.ledger, &fixture->err));
    for (unsigned i = 0; i < count; i++)
        must(fixture, fn(fixture->generator.ledger, DAY, name_of(i, name), "", NOW_S, &fixture->err));
    must(fixture, ledger_commit(fixture->generator.ledger, &fixture->err));
}

/* "size of a page:its first domain ..." */
static void list_pages(struct fixture *fixture, enum day_domains_scope scope, const char *only,
                       struct strbuf *out)
{
    struct day_domains page;

    day_domains_open(&page, &fixture->generator, DAY, scope, only);
    for (;;) {
        must(fixture, day_domains_next(&page, &fixture->err));
        if (page.count == 0)
            break;
        strbuf_addf(out, "%s%zu:%s", out->len > 0 ? " " : "", page.count, page.items[0].name);
        for (size_t i = 0; i < page.count; i++)
            assert_int_equal(page.items[i].sessions.success, 1);
    }
    must(fixture, day_domains_next(&page, &fixture->err)); /* the end stays the end */
    assert_int_equal(page.count, 0);
    day_domains_close(&page);
}

static void test_pages(void **state)
{
    static const struct {
        const char *text;
        unsigned domains;
        settle_fn *settle;
        unsigned settled;
        enum day_domains_scope scope;
        const char *only;
        const char *want;
    } rows[] = {
        {"a day without sessions", 0, ledger_skip, 0, DAY_DOMAINS_OPEN, NULL, ""},
        {"fewer than a page", 3, ledger_skip, 0, DAY_DOMAINS_OPEN, NULL, "3:d000.example"},
        {"exactly one page", 200, ledger_skip, 0, DAY_DOMAINS_OPEN, NULL, "200:d000.example"},
        {"one more than two pages", 401, ledger_skip, 0, DAY_DOMAINS_OPEN, NULL,
         "200:d000.example 200:d200.example 1:d400.example"},
        {"part of a page is settled", 250, ledger_skip, 150, DAY_DOMAINS_OPEN, NULL,
         "50:d150.example 50:d200.example"},
        {"a whole page is settled", 201, ledger_skip, 200, DAY_DOMAINS_OPEN, NULL, "1:d200.example"},
        {"everything is settled", 400, ledger_skip, 400, DAY_DOMAINS_OPEN, NULL, ""},
        {"what is settled counts too", 201, ledger_skip, 201, DAY_DOMAINS_ALL, NULL,
         "200:d000.example 1:d200.example"},
        {"what waits is open", 201, wait_until_now, 201, DAY_DOMAINS_DUE, NULL,
         "200:d000.example 1:d200.example"},
        {"what waits for a later time is left alone", 201, wait_longer, 200, DAY_DOMAINS_DUE, NULL,
         "1:d200.example"},
        {"one domain", 250, ledger_skip, 0, DAY_DOMAINS_OPEN, "d222.example", "1:d222.example"},
        {"one domain that is settled", 250, ledger_skip, 250, DAY_DOMAINS_OPEN, "d222.example", ""},
        {"one domain without sessions", 250, ledger_skip, 0, DAY_DOMAINS_ALL, "d999.example", ""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct fixture fixture = {.generator = {.lock_fd = -1, .now_s = NOW_S}};
        struct strbuf got;

        strbuf_init(&got, 4096);
        open_stores(&fixture);
        add_domains(&fixture, rows[i].domains);
        settle(&fixture, rows[i].settle, rows[i].settled);
        list_pages(&fixture, rows[i].scope, rows[i].only, &got);
        if (strcmp(got.data, rows[i].want) != 0)
            print_error("%s\n", rows[i].text);
        assert_string_equal(got.data, rows[i].want);
        close_stores(&fixture);
        strbuf_done(&got);
    }
}

static void test_without_a_ledger_every_domain_is_open(void **state)
{
    struct fixture fixture = {.generator = {.lock_fd = -1, .now_s = NOW_S}};
    struct strbuf got;

    (void)state;
    strbuf_init(&got, 4096);
    open_stores(&fixture);
    add_domains(&fixture, 2);
    settle(&fixture, ledger_skip, 2);
    ledger_close(&fixture.generator.ledger);
    list_pages(&fixture, DAY_DOMAINS_OPEN, NULL, &got);
    assert_string_equal(got.data, "2:d000.example");
    close_stores(&fixture);
    strbuf_done(&got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_without_a_ledger_every_domain_is_open),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
