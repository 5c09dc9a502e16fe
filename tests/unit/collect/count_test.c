/* SPDX-License-Identifier: MIT */
/* Batches from the ring into the store: each datagram counts once, whatever the store refuses in between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collect/threads.h"

#define DAY  20526
#define RING (16L * 1024 * 1024)
#define MANY 3000 /* more than the decoder's chunks hold */

static struct {
    char store[64], ring[64];
    struct config config;
    struct collector collector;
    sqlite3 *other; /* another program's connection to the store */
} world;

static void open_world(void)
{
    const struct session_limits limits = {
        .max_policies = 100, .max_details = 1000, .max_subdomains = 1000, .busy_ms = 1};
    struct collector *collector = &world.collector;
    struct ring_position from;
    struct err err;

    *collector = (struct collector){.config = &world.config, .wakeup_fd = -1};
    assert_int_equal(session_writer_open(world.store, &limits, &collector->store, &err), ST_OK);
    assert_int_equal(session_reader_get_mark(session_writer_reader(collector->store), &collector->mark, &err),
                     ST_OK);
    from = (struct ring_position){collector->mark.ring_sequence, collector->mark.ring_dropped};
    assert_int_equal(ring_open(world.ring, RING, session_writer_reader(collector->store)->id, &from,
                               &collector->ring, &err),
                     ST_OK);
    collector->counter = counter_new(collector);
    assert_non_null(collector->counter);
}

static void close_world(void)
{
    counter_free(&world.collector.counter);
    ring_close(&world.collector.ring);
    session_writer_close(&world.collector.store);
}

static int setup(void **state)
{
    (void)state;
    world.config = (struct config){.sending_mta_ip = "", .max_age_days = 3};
    (void)snprintf(world.store, sizeof world.store, "/tmp/count_test.%d.db", (int)getpid());
    (void)snprintf(world.ring, sizeof world.ring, "/tmp/count_test.%d.ring", (int)getpid());
    open_world();
    return sqlite3_open(world.store, &world.other) == SQLITE_OK ? 0 : -1;
}

static int teardown(void **state)
{
    static const char *const SUFFIXES[] = {"", "-wal", "-shm"};

    (void)state;
    (void)sqlite3_close(world.other);
    close_world();
    (void)unlink(world.ring);
    for (size_t i = 0; i < ARRAY_COUNT(SUFFIXES); i++) {
        char name[80];

        (void)snprintf(name, sizeof name, "%s%s", world.store, SUFFIXES[i]);
        (void)unlink(name);
    }
    return 0;
}

static void run_sql(const char *sql)
{
    if (sqlite3_exec(world.other, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(world.other));
}

static void put_bytes(const char *bytes)
{
    assert_true(ring_append(world.collector.ring, RING_DATAGRAM, bytes, strlen(bytes),
                            (int64_t)DAY * 86400 * 1000000000 + 1));
}

/* A session result; more: further members, each with its comma. */
static void put(const char *domain, const char *more)
{
    char text[512];

    (void)snprintf(text, sizeof text,
                   "{\"dpv\":\"1\",\"d\":\"%s\",%s\"policies\":[{\"policy-type\":9,\"f\":0}]}", domain, more);
    put_bytes(text);
}

static enum status drain(void)
{
    struct err err;

    return counter_drain(world.collector.counter, &err);
}

static uint64_t counter_of(enum session_counter which)
{
    uint64_t counters[COUNTER_COUNT];
    struct err err;

    assert_int_equal(session_reader_counters(session_writer_reader(world.collector.store), counters, &err),
                     ST_OK);
    return counters[which];
}

static enum status add_sessions(void *context, const struct session_day *day, struct err *err)
{
    uint64_t *sessions = context;

    (void)err;
    *sessions += day->sessions.success + day->sessions.failure;
    return ST_OK;
}

static uint64_t stored_sessions(void)
{
    uint64_t sessions = 0;
    struct err err;

    assert_int_equal(
        session_reader_each_day(session_writer_reader(world.collector.store), add_sessions, &sessions, &err),
        ST_OK);
    return sessions;
}

static void put_many(size_t first, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char domain[32];

        (void)snprintf(domain, sizeof domain, "d%zu.example", first + i);
        put(domain, "");
    }
}

static void test_new_and_known_datagrams_are_counted(void **state)
{
    (void)state;
    put_many(0, MANY);
    put("d7.example", "");
    assert_int_equal(drain(), ST_OK);
    assert_int_equal(stored_sessions(), MANY + 1);
    put_many(MANY / 2, MANY); /* half of them are known */
    assert_int_equal(drain(), ST_OK);
    assert_int_equal(stored_sessions(), 2 * MANY + 1);
    assert_int_equal(counter_of(COUNTER_STORED), 2 * MANY + 1);
    assert_int_equal(ring_used_bytes(world.collector.ring), 0);
}

static void test_a_restart_continues_at_the_committed_sequence(void **state)
{
    uint64_t sequence;

    (void)state;
    put_many(0, 10);
    assert_int_equal(drain(), ST_OK);
    sequence = ring_sequence(world.collector.ring);
    put_many(5, 10);
    close_world();
    open_world();
    assert_int_equal(world.collector.mark.ring_sequence, sequence);
    assert_int_equal(drain(), ST_OK);
    assert_int_equal(stored_sessions(), 20);
}

static void test_a_locked_store_leaves_the_batch_in_the_ring(void **state)
{
    uint64_t sequence = world.collector.mark.ring_sequence;

    (void)state;
    put_many(0, MANY);
    run_sql("BEGIN IMMEDIATE");
    assert_int_equal(drain(), ST_BUSY);
    assert_int_equal(drain(), ST_BUSY);
    assert_int_equal(world.collector.mark.ring_sequence, sequence);
    assert_true(atomic_load(&world.collector.is_store_away));
    run_sql("ROLLBACK");
    assert_int_equal(stored_sessions(), 0);
    put_many(0, 1);
    assert_int_equal(drain(), ST_OK);
    assert_false(atomic_load(&world.collector.is_store_away));
    assert_int_equal(stored_sessions(), MANY + 1);
    assert_int_equal(counter_of(COUNTER_STORE_RETRIES), 2);
}

static void test_a_datagram_that_the_store_refuses_twice_counts_as_malformed(void **state)
{
    (void)state;
    run_sql("CREATE TRIGGER refuse BEFORE INSERT ON domain WHEN new.name = 'poison.example'"
            " BEGIN SELECT raise(ABORT, 'refused'); END");
    put_many(0, MANY);
    put("poison.example", "");
    put_many(MANY, MANY);
    assert_int_equal(drain(), ST_INTERNAL);
    assert_int_equal(drain(), ST_INTERNAL);
    assert_int_equal(stored_sessions(), 0);
    assert_int_equal(drain(), ST_OK);
    assert_int_equal(stored_sessions(), 2 * MANY);
    assert_int_equal(counter_of(COUNTER_STORED), 2 * MANY);
    assert_int_equal(counter_of(COUNTER_MALFORMED), 1);
    assert_int_equal(counter_of(COUNTER_RECEIVED), 2 * MANY + 1);
    put("poison.example", ""); /* its equals count as malformed at once */
    assert_int_equal(drain(), ST_OK);
    assert_int_equal(counter_of(COUNTER_MALFORMED), 2);
}

static void test_a_closed_day_makes_results_late(void **state)
{
    struct err err;

    (void)state;
    put("known.example", "");
    assert_int_equal(drain(), ST_OK);
    assert_int_equal(session_reader_close_day(session_writer_reader(world.collector.store), DAY, 0, &err),
                     ST_OK);
    put("known.example", "");
    put("new.example", "");
    put("older.example", "\"utc-day\":\"2026-03-13\",");
    put("too-old.example", "\"utc-day\":\"2026-03-10\",");
    assert_int_equal(drain(), ST_OK);
    assert_int_equal(stored_sessions(), 2);
    assert_int_equal(counter_of(COUNTER_LATE), 3);
}

static void test_a_known_datagram_whose_rows_were_deleted_is_decoded_once_more(void **state)
{
    struct err err;

    (void)state;
    put_many(0, 10);
    assert_int_equal(drain(), ST_OK);
    assert_int_equal(
        session_reader_delete_before(session_writer_reader(world.collector.store), DAY + 1, &err), ST_OK);
    assert_int_equal(stored_sessions(), 0);
    put_many(0, 20);
    assert_int_equal(drain(), ST_OK);
    assert_int_equal(stored_sessions(), 20);
    assert_int_equal(counter_of(COUNTER_STORED), 30);
}

static void test_a_numbered_result_counts_once(void **state)
{
    static const char *const NUMBERS[] = {
        "\"log-id\":\"00000000000000ab\",\"log-number\":1,",
        "\"log-id\":\"00000000000000ab\",\"log-number\":2,",
        "\"log-id\":\"00000000000000ab\",\"log-number\":2,", /* in the same batch */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(NUMBERS); i++)
        put("a.example", NUMBERS[i]);
    assert_int_equal(drain(), ST_OK);
    assert_int_equal(stored_sessions(), 2);
    put("a.example", NUMBERS[2]); /* in the next one */
    close_world();
    open_world();
    assert_int_equal(drain(), ST_OK);
    assert_int_equal(stored_sessions(), 2);
    assert_int_equal(counter_of(COUNTER_REPEATED), 2);
}

static void test_datagrams_without_a_result_are_counted_apart(void **state)
{
    static const char CLEAR[] = "{\"v\":\"exim1\",\"what\":\"clear\",\"domain\":\"a.example\"}";

    (void)state;
    for (int i = 0; i < 2; i++) { /* new, then known */
        put_bytes("{");
        put_bytes(CLEAR);
        put_bytes(CLEAR);
        assert_int_equal(drain(), ST_OK);
    }
    assert_int_equal(stored_sessions(), 0);
    assert_int_equal(counter_of(COUNTER_MALFORMED), 2);
    assert_int_equal(counter_of(COUNTER_NO_RESULT), 4);
    assert_int_equal(atomic_load(&world.collector.malformed), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_new_and_known_datagrams_are_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_restart_continues_at_the_committed_sequence, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_locked_store_leaves_the_batch_in_the_ring, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_datagram_that_the_store_refuses_twice_counts_as_malformed,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_closed_day_makes_results_late, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_known_datagram_whose_rows_were_deleted_is_decoded_once_more,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_numbered_result_counts_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_datagrams_without_a_result_are_counted_apart, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
