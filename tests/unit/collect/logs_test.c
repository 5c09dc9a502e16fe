/* SPDX-License-Identifier: MIT */
/* Numbers of log readers: counted once over batches, rollbacks and restarts; more readers than places. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collect/logs.h"

static char path[64];
static struct session_writer *store;
static struct log_sources logs;
static struct err err;

static void open_store(void)
{
    const struct session_limits limits = {.max_policies = 100, .max_details = 1000, .max_subdomains = 1000};

    assert_int_equal(session_writer_open(path, &limits, &store, &err), ST_OK);
    memset(&logs, 0, sizeof logs);
    assert_int_equal(log_sources_load(&logs, store, &err), ST_OK);
}

static int setup(void **state)
{
    (void)state;
    (void)snprintf(path, sizeof path, "/tmp/collect_logs_test.%d.db", (int)getpid());
    open_store();
    return 0;
}

static int teardown(void **state)
{
    static const char *const SUFFIXES[] = {"", "-wal", "-shm"};

    (void)state;
    session_writer_close(&store);
    for (size_t i = 0; i < 3; i++) {
        char name[80];

        (void)snprintf(name, sizeof name, "%s%s", path, SUFFIXES[i]);
        (void)unlink(name);
    }
    return 0;
}

static void end_batch(bool is_committed)
{
    assert_int_equal(session_writer_begin(store, &err), ST_OK);
    assert_int_equal(log_sources_store(&logs, store, &err), ST_OK);
    if (is_committed)
        assert_int_equal(session_writer_commit(store, &err), ST_OK);
    else
        session_writer_rollback(store);
    log_sources_end_batch(&logs, is_committed);
}

static void test_batches_rollbacks_and_restarts(void **state)
{
    (void)state;
    assert_true(log_sources_take(&logs, 7, 2)); /* the order in a batch means nothing */
    assert_true(log_sources_take(&logs, 7, 1));
    end_batch(true);
    assert_false(log_sources_take(&logs, 7, 2));
    assert_true(log_sources_take(&logs, 7, 3));
    end_batch(false);
    assert_true(log_sources_take(&logs, 7, 3));
    end_batch(true);
    session_writer_close(&store);
    open_store();
    assert_false(log_sources_take(&logs, 7, 3));
    assert_true(log_sources_take(&logs, 8, 3));
    assert_true(log_sources_take(&logs, 7, 4));
    end_batch(true);
    session_writer_close(&store);
    open_store();
    assert_true(log_sources_take(&logs, 9, 1)); /* a new one takes no known one's place */
    assert_false(log_sources_take(&logs, 7, 4));
    assert_false(log_sources_take(&logs, 8, 3));
}

static void test_more_readers_than_places(void **state)
{
    (void)state;
    for (uint64_t id = 1; id <= COLLECT_LOGS_MAX; id++) {
        assert_true(log_sources_take(&logs, id, 1));
        end_batch(true);
    }
    assert_true(log_sources_take(&logs, 1000, 1));
    end_batch(true);
    assert_false(log_sources_take(&logs, 2, 1));
    assert_false(log_sources_take(&logs, 1000, 1));
    assert_true(log_sources_take(&logs, 1, 1)); /* forgotten */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_batches_rollbacks_and_restarts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_more_readers_than_places, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
