/* SPDX-License-Identifier: MIT */
/* What a server's answers become, each at the moment it matters; the server is tests/fuzz/pg_server.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "../../fuzz/pg_server.h"
#include "../names.h"
#include "fleet/pg.h"

static const char *const STATEMENTS[] = {"SELECT a FROM x WHERE y = $1", "UPDATE x SET y = $1"};

/* ---- what the server says ---- */

static void say_prepared(void)
{
    say(&said, '1', NULL, 0);
    say_ready(&said);
}

static void say_error(const char *state)
{
    struct strbuf body;

    strbuf_init(&body, 1024);
    strbuf_addf(&body, "SERROR%cC%s%cMno, not so\nat all%c", 0, state, 0, 0);
    strbuf_add_char(&body, '\0');
    say(&said, 'E', body.data, body.len);
    strbuf_done(&body);
    say_ready(&said);
}

/* Rows of one text; hangs up behind the last if it is not an end. */
static void say_rows(int count, bool is_end)
{
    say(&said, '2', NULL, 0);
    say_columns(&said, 1);
    for (int i = 0; i < count; i++)
        say_row(&said, "9999999999999999999", 20);
    if (is_end)
        say(&said, 'C', "SELECT 1", 9);
    if (is_end)
        say_ready(&said);
}

static void say_changes(const char *const *tags, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        say(&said, '2', NULL, 0);
        say(&said, 'n', NULL, 0);
        say(&said, 'C', tags[i], strlen(tags[i]) + 1);
    }
    say_ready(&said);
}

static void say_done(const char *tag)
{
    say(&said, 'C', tag, strlen(tag) + 1);
    say_ready(&said);
}

static void begin(void)
{
    strbuf_done(&said);
    strbuf_init(&said, SAID_MAX);
    end_count = next_end = said_until = 0;
}

/* From here on it speaks. */
static struct pg *begin_session(void)
{
    const struct pg_settings settings = {
        .conninfo = "host=/nonexistent dbname=x user=y sslmode=disable gssencmode=disable",
        .password_file = "",
        .statements = STATEMENTS,
        .statement_count = ARRAY_COUNT(STATEMENTS)};
    struct pg *pg = NULL;
    struct err err = {0};

    end_saying(true);
    if (pg_open(&settings, &pg, &err) != ST_OK)
        fail_msg("%s", err.text);
    return pg;
}

static void end_session(struct pg *pg)
{
    pg_close(&pg);
    close_servers();
    strbuf_done(&said);
}

/* ---- what is made of it ---- */

static enum status count_row(void *context, const struct pg_row *row, struct err *err)
{
    (void)err;
    assert_string_equal(pg_text(row, 1), ""); /* is not there */
    assert_true(pg_is_null(row, 1));
    assert_int_equal(pg_int(row, 1), 0);
    assert_int_equal(pg_int(row, 0), PG_INT_MAX);
    assert_int_equal(pg_count(row, 0), PG_INT_MAX);
    ++*(int *)context;
    return ST_OK;
}

static enum status ask(struct pg *pg, int *rows_out, struct err *err)
{
    *rows_out = 0;
    return pg_query(pg, 0, BIND(TEXT("y")), count_row, rows_out, err);
}

static const struct {
    const char *what;
    const char *state;
    enum status status; /* ST_OK: it is asked again, and answered */
} STATES[] = {
    {"serialization failure", "40001", ST_OK},
    {"deadlock", "40P01", ST_OK},
    {"unknown whether it was done", "40003", ST_OK},
    {"shutting down", "57P01", ST_OK},
    {"starting up", "57P03", ST_OK},
    {"too many connections", "53300", ST_OK},
    {"connection failure", "08006", ST_OK},
    {"object in use", "55006", ST_OK},
    {"cancelled", "57014", ST_TEMPORARY},
    {"disk full", "53100", ST_FULL},
    {"out of memory", "53200", ST_TEMPORARY},
    {"no such table", "42P01", ST_UNSUPPORTED},
    {"no such schema", "3F000", ST_UNSUPPORTED},
    {"no such column", "42703", ST_UNSUPPORTED},
    {"permission denied", "42501", ST_DENIED},
    {"wrong password", "28P01", ST_DENIED},
    {"a replica", "25006", ST_DENIED},
    {"something else", "22P02", ST_INTERNAL},
};

static void test_failures_that_may_pass_are_tried_again(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(STATES); i++) {
        struct pg *pg;
        struct err err = {0};
        enum status status;
        int rows;

        begin();
        say_prepared();
        say_error(STATES[i].state);
        say_prepared(); /* on a new connection */
        say_rows(3, true);
        pg = begin_session();
        status = ask(pg, &rows, &err);
        if (status != STATES[i].status || rows != (status == ST_OK ? 3 : 0))
            fail_msg("%s: %s, %d rows: %s", STATES[i].what, status_name(status), rows, err.text);
        if (status != ST_OK && (strstr(err.text, "no, not so") == NULL || strchr(err.text, '\n') != NULL))
            fail_msg("%s: %s", STATES[i].what, err.text);
        end_session(pg);
    }
}

/* Such an answer is libpq's own, when it lacks memory: the server may have done what it was asked. */
static void test_an_answer_without_a_state_needs_a_new_connection(void **state)
{
    struct pg *pg;
    struct err err = {0};
    int rows;

    (void)state;
    begin();
    say(&said, 'E', "Mout of memory\0", 16);
    say_ready(&said);
    say_prepared();
    say_rows(3, true);
    pg = begin_session();
    assert_int_equal(ask(pg, &rows, &err), ST_OK);
    assert_int_equal(rows, 3);
    assert_int_equal(server_count, 2);
    end_session(pg);
}

static void test_rows_that_were_given_are_not_given_again(void **state)
{
    struct pg *pg;
    struct err err = {0};
    int rows;

    (void)state;
    begin();
    say_prepared();
    say_rows(2, false);
    end_saying(true);
    say_prepared(); /* to whoever asks again */
    say_rows(2, true);
    pg = begin_session();
    assert_int_equal(ask(pg, &rows, &err), ST_TEMPORARY);
    assert_int_equal(rows, 2);
    end_session(pg);

    begin();
    say_prepared();
    end_saying(true); /* gone before a row came: asked again */
    say_prepared();
    say_rows(2, true);
    pg = begin_session();
    assert_int_equal(ask(pg, &rows, &err), ST_OK);
    assert_int_equal(rows, 2);
    end_session(pg);
}

/* Two changes; the second must change a row. */
static enum status change(struct pg *pg, int64_t *changed_out, struct err *err)
{
    struct pg_batch *batch = NULL;
    enum status status;

    assert_int_equal(pg_batch_new(&batch, err), ST_OK);
    for (int64_t i = 0; i < 2; i++)
        assert_int_equal(pg_batch_add(batch, 1, BIND(INT(1)), i, err), ST_OK);
    status = pg_batch_run(pg, batch, err);
    *changed_out = pg_batch_changed(batch);
    pg_batch_free(&batch);
    return status;
}

static void test_changes_happen_together(void **state)
{
    static const char *const GOOD[] = {"UPDATE 0", "UPDATE 7"}, *const BAD[] = {"UPDATE 5", "UPDATE 0"};
    struct pg *pg;
    struct err err = {0};
    int64_t changed;

    (void)state;
    begin();
    say_prepared();
    say_done("BEGIN");
    say_error("40P01");
    say_done("ROLLBACK");
    say_done("BEGIN");
    say_changes(GOOD, 2);
    say_done("COMMIT");
    say_done("BEGIN");
    say_changes(BAD, 2);
    say_done("ROLLBACK");
    say_done("BEGIN");
    say_changes(GOOD, 2);
    end_saying(true); /* gone at COMMIT: nobody knows, so again */
    say_prepared();
    say_done("BEGIN");
    say_changes(GOOD, 2);
    say_done("COMMIT");
    pg = begin_session();
    assert_int_equal(change(pg, &changed, &err), ST_OK);
    assert_int_equal(changed, 7);
    assert_int_equal(change(pg, &changed, &err), ST_BUSY);
    assert_non_null(strstr(err.text, "somebody else has it"));
    assert_int_equal(change(pg, &changed, &err), ST_OK);
    assert_int_equal(changed, 7);
    end_session(pg);
}

/* A copy that nobody asked for would be handed out for ever. */
static void test_answers_of_another_kind(void **state)
{
    static const char *const KINDS[] = {"G", "H", "I", "s"};
    struct err err = {0};
    int64_t changed;
    int rows;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(KINDS); i++) {
        bool is_copy = i < 2;
        struct pg *pg;

        begin();
        say_prepared();
        say(&said, '2', NULL, 0);
        say(&said, KINDS[i][0], "\0\0\1\0\0", is_copy ? 5 : 0);
        say_ready(&said);
        pg = begin_session();
        assert_int_not_equal(ask(pg, &rows, &err), ST_OK);
        assert_int_equal(rows, 0);
        end_session(pg);

        begin();
        say_prepared();
        say(&said, KINDS[i][0], "\0\0\1\0\0", is_copy ? 5 : 0);
        say_ready(&said);
        pg = begin_session();
        assert_int_not_equal(change(pg, &changed, &err), ST_OK);
        end_session(pg);
    }
}

static void test_words_that_are_run(void **state)
{
    struct pg *pg;
    struct err err = {0};

    (void)state;
    begin();
    say_error("40001");
    say_done("CREATE TABLE");
    say_error("42501");
    pg = begin_session();
    assert_int_equal(pg_run(pg, "CREATE TABLE x (y INTEGER)", &err), ST_OK);
    assert_int_equal(pg_run(pg, "CREATE TABLE x (y INTEGER)", &err), ST_DENIED);
    assert_string_equal(pg_server_setting(pg, "client_encoding"), "UTF8");
    assert_string_equal(pg_server_setting(pg, "server_encoding"), "");
    end_session(pg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_failures_that_may_pass_are_tried_again),
        cmocka_unit_test(test_an_answer_without_a_state_needs_a_new_connection),
        cmocka_unit_test(test_rows_that_were_given_are_not_given_again),
        cmocka_unit_test(test_changes_happen_together),
        cmocka_unit_test(test_answers_of_another_kind),
        cmocka_unit_test(test_words_that_are_run),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
