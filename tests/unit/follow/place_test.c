/* SPDX-License-Identifier: MIT */
/* The remembered place: kept over restarts and kills in the middle of writing; damage begins it anew; one
 * holder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "follow/place.h"

static char path[64];
static struct err err;

static int setup(void **state)
{
    (void)state;
    (void)snprintf(path, sizeof path, "/tmp/place_test.%d", (int)getpid());
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

static struct place opened(struct place_keeper *keeper, bool wants_place)
{
    struct place place = {.done_offset = 0};
    bool has_place = !wants_place;

    assert_int_equal(place_open(path, keeper, &place, &has_place, &err), ST_OK);
    assert_int_equal(has_place, wants_place);
    return place;
}

static void save(struct place_keeper *keeper, uint64_t offset)
{
    const struct place place = {.done_offset = offset, .log_number = offset * 2};

    place_save(keeper, &place);
}

/* Spoil a byte in the middle of record 0 or 1. */
static void spoil(unsigned record)
{
    int fd = open(path, O_RDWR);
    char byte = 'x';

    assert_int_equal(pwrite(fd, &byte, 1, (off_t)(record * (sizeof(struct place) + 24) + 40)), 1);
    (void)close(fd);
}

static void test_kept_over_restarts(void **state)
{
    struct place_keeper keeper;
    struct place place;

    (void)state;
    (void)opened(&keeper, false);
    place_close(&keeper);
    (void)opened(&keeper, false); /* nothing was saved */
    for (uint64_t offset = 1; offset < 8; offset++)
        save(&keeper, offset);
    place_close(&keeper);
    place = opened(&keeper, true);
    assert_int_equal(place.done_offset, 7);
    assert_int_equal(place.log_number, 14);
    save(&keeper, 8);
    place_close(&keeper);
    assert_int_equal(opened(&keeper, true).done_offset, 8);
    place_close(&keeper);
}

/* A kill in the middle of writing leaves one record torn: the one before it counts. */
static void test_one_damaged_record(void **state)
{
    for (unsigned record = 0; record < 2; record++) {
        struct place_keeper keeper;
        uint64_t offset;

        (void)opened(&keeper, false);
        save(&keeper, 1);
        save(&keeper, 2);
        place_close(&keeper);
        spoil(record);
        offset = opened(&keeper, true).done_offset;
        assert_true(offset == 1 || offset == 2);
        save(&keeper, offset + 10);
        place_close(&keeper);
        assert_int_equal(opened(&keeper, true).done_offset, offset + 10);
        place_close(&keeper);
        (void)teardown(state);
    }
}

static void test_damage_begins_anew(void **state)
{
    struct place_keeper keeper;
    int fd;

    (void)state;
    (void)opened(&keeper, false);
    save(&keeper, 1);
    save(&keeper, 2);
    place_close(&keeper);
    spoil(0);
    spoil(1);
    (void)opened(&keeper, false);
    place_close(&keeper);
    fd = open(path, O_WRONLY | O_TRUNC);
    assert_int_equal(write(fd, "not a place\n", 12), 12);
    (void)close(fd);
    (void)opened(&keeper, false);
    save(&keeper, 5);
    place_close(&keeper);
    assert_int_equal(opened(&keeper, true).done_offset, 5);
    place_close(&keeper);
}

static void test_one_holder(void **state)
{
    struct place_keeper keeper, second;
    struct place place;
    bool has_place;

    (void)state;
    (void)opened(&keeper, false);
    assert_int_equal(place_open(path, &second, &place, &has_place, &err), ST_BUSY);
    place_close(&keeper);
    (void)opened(&second, false);
    place_close(&second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_kept_over_restarts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_damaged_record, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage_begins_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_holder, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
