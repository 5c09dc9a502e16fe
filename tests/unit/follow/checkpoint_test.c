/* SPDX-License-Identifier: MIT */
/* The remembered place: kept over restarts and kills in the middle of writing; damage begins it anew; one
 * holder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "follow/checkpoint.h"

static char path[64];
static struct err err;

static int setup(void **state)
{
    (void)state;
    (void)snprintf(path, sizeof path, "/tmp/checkpoint_test.%d", (int)getpid());
    return 0;
}

static int teardown(void **state)
{
    char lock[80];

    (void)state;
    (void)snprintf(lock, sizeof lock, "%s.lock", path);
    (void)unlink(lock);
    (void)unlink(path);
    return 0;
}

static struct checkpoint opened(struct checkpoint_file *keeper, bool wants_checkpoint)
{
    struct checkpoint checkpoint = {.done_offset = 0};
    bool has_checkpoint = !wants_checkpoint;

    assert_int_equal(checkpoint_open(path, keeper, &checkpoint, &has_checkpoint, &err), ST_OK);
    assert_int_equal(has_checkpoint, wants_checkpoint);
    return checkpoint;
}

static void save(struct checkpoint_file *keeper, uint64_t offset)
{
    const struct checkpoint checkpoint = {.done_offset = offset, .log_number = offset * 2};

    checkpoint_save(keeper, &checkpoint);
}

/* Spoil a byte in the middle of record 0 or 1. */
static void spoil(unsigned record)
{
    int fd = open(path, O_RDWR);
    char byte = 'x';

    assert_int_equal(pwrite(fd, &byte, 1, (off_t)(record * (sizeof(struct checkpoint) + 24) + 40)), 1);
    (void)close(fd);
}

static void test_kept_over_restarts(void **state)
{
    struct checkpoint_file keeper;
    struct checkpoint checkpoint;

    (void)state;
    (void)opened(&keeper, false);
    checkpoint_close(&keeper);
    (void)opened(&keeper, false); /* nothing was saved */
    for (uint64_t offset = 1; offset < 8; offset++)
        save(&keeper, offset);
    checkpoint_close(&keeper);
    checkpoint = opened(&keeper, true);
    assert_int_equal(checkpoint.done_offset, 7);
    assert_int_equal(checkpoint.log_number, 14);
    save(&keeper, 8);
    checkpoint_close(&keeper);
    assert_int_equal(opened(&keeper, true).done_offset, 8);
    checkpoint_close(&keeper);
}

/* A kill in the middle of writing leaves one record torn: the one before it counts. */
static void test_one_damaged_record(void **state)
{
    for (unsigned record = 0; record < 2; record++) {
        struct checkpoint_file keeper;
        uint64_t offset;

        (void)opened(&keeper, false);
        save(&keeper, 1);
        save(&keeper, 2);
        checkpoint_close(&keeper);
        spoil(record);
        offset = opened(&keeper, true).done_offset;
        assert_true(offset == 1 || offset == 2);
        save(&keeper, offset + 10);
        checkpoint_close(&keeper);
        assert_int_equal(opened(&keeper, true).done_offset, offset + 10);
        checkpoint_close(&keeper);
        (void)teardown(state);
    }
}

static void test_damage_begins_anew(void **state)
{
    struct checkpoint_file keeper;
    int fd;

    (void)state;
    (void)opened(&keeper, false);
    save(&keeper, 1);
    save(&keeper, 2);
    checkpoint_close(&keeper);
    spoil(0);
    spoil(1);
    (void)opened(&keeper, false);
    checkpoint_close(&keeper);
    fd = open(path, O_WRONLY | O_TRUNC);
    assert_int_equal(write(fd, "not a place\n", 12), 12);
    (void)close(fd);
    (void)opened(&keeper, false);
    save(&keeper, 5);
    checkpoint_close(&keeper);
    assert_int_equal(opened(&keeper, true).done_offset, 5);
    checkpoint_close(&keeper);
}

/* A file of 4096 bytes may not grow, and neither may one that exists be written. */
static void allow_bytes(rlim_t bytes)
{
    struct rlimit limit;

    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void test_a_save_that_fails_keeps_the_one_before(void **state)
{
    struct checkpoint_file keeper;

    (void)state;
    (void)opened(&keeper, false);
    save(&keeper, 1);
    assert_int_equal(checkpoint_flush(&keeper, &err), ST_OK);
    allow_bytes(0);
    for (uint64_t offset = 2; offset < 5; offset++) {
        save(&keeper, offset);
        assert_int_equal(checkpoint_flush(&keeper, &err), ST_IO);
    }
    allow_bytes(RLIM_INFINITY);
    checkpoint_close(&keeper);
    assert_int_equal(opened(&keeper, true).done_offset, 1);
    save(&keeper, 6);
    assert_int_equal(checkpoint_flush(&keeper, &err), ST_OK);
    checkpoint_close(&keeper);
    assert_int_equal(opened(&keeper, true).done_offset, 6);
    checkpoint_close(&keeper);
}

static void test_a_file_that_cannot_be_allocated_is_an_error(void **state)
{
    struct checkpoint_file keeper;
    struct checkpoint checkpoint;
    bool has_checkpoint;

    (void)state;
    allow_bytes(100);
    assert_int_equal(checkpoint_open(path, &keeper, &checkpoint, &has_checkpoint, &err), ST_FULL);
    allow_bytes(RLIM_INFINITY);
    (void)opened(&keeper, false);
    checkpoint_close(&keeper);
}

static void test_one_holder(void **state)
{
    struct checkpoint_file keeper, second;
    struct checkpoint checkpoint;
    bool has_checkpoint;

    (void)state;
    (void)opened(&keeper, false);
    assert_int_equal(checkpoint_open(path, &second, &checkpoint, &has_checkpoint, &err), ST_BUSY);
    checkpoint_close(&keeper);
    (void)opened(&second, false);
    checkpoint_close(&second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_kept_over_restarts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_damaged_record, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage_begins_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_save_that_fails_keeps_the_one_before, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_file_that_cannot_be_allocated_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_holder, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
