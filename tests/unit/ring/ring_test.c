/* SPDX-License-Identifier: MIT */
/* The ring: order, laps, a full ring, what an earlier process left, and damage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ring/ring.h"

#define OWNER "0123456789abcdef0123456789abcdef"
#define SIZE  (1024 * 1024)

struct fixture {
    char folder[256];
    char path[300];
    struct ring *ring;
    struct ring_position at; /* what a store would know */
    struct err err;
};

static enum status try_open(struct fixture *fixture, size_t size, const char *owner)
{
    ring_close(&fixture->ring);
    return ring_open(fixture->path, size, owner, &fixture->at, &fixture->ring, &fixture->err);
}

static void reopen(struct fixture *fixture, size_t size)
{
    enum status status = try_open(fixture, size, OWNER);

    if (status != ST_OK)
        print_error("%s\n", fixture->err.text);
    assert_int_equal(status, ST_OK);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    const char *parent = getenv("TMPDIR"); /* test_power.py: on file systems that copy on write */

    assert_non_null(fixture);
    (void)snprintf(fixture->folder, sizeof fixture->folder, "%s/ring_test.XXXXXX",
                   parent != NULL ? parent : "/tmp");
    assert_non_null(mkdtemp(fixture->folder));
    (void)snprintf(fixture->path, sizeof fixture->path, "%s/ring", fixture->folder);
    reopen(fixture, SIZE);
    *state = fixture;
    return 0;
}

/* The name of a ring that was set aside. */
static const char *aside(const struct fixture *fixture, int number)
{
    static char path[324];

    (void)snprintf(path, sizeof path, "%s.unreadable-%d", fixture->path, number);
    return path;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    ring_close(&fixture->ring);
    (void)unlink(fixture->path);
    for (int i = 1; i <= 3; i++)
        (void)unlink(aside(fixture, i));
    (void)rmdir(fixture->folder);
    free(fixture);
    return 0;
}

/* Text number n, of a length that varies. */
static size_t text_of(unsigned number, char *out)
{
    size_t len = 8 + number * 37 % 900;

    char digits[16];

    memset(out, 'a' + (int)(number % 26), len);
    (void)snprintf(digits, sizeof digits, "%08u", number);
    memcpy(out, digits, 8);
    return len;
}

static bool append(struct fixture *fixture, unsigned number)
{
    char text[1024];
    size_t len = text_of(number, text);

    return ring_append(fixture->ring, RING_DATAGRAM, text, len, number);
}

static void must_append(struct fixture *fixture, unsigned first, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        assert_true(append(fixture, first + i));
    ring_publish(fixture->ring);
}

static void must_read(struct fixture *fixture, unsigned first, unsigned count)
{
    for (unsigned number = first; number < first + count; number++) {
        struct ring_record record;
        char text[1024];
        size_t len = text_of(number, text);

        assert_int_equal(ring_next(fixture->ring, &record), RING_READ);
        assert_int_equal(record.kind, RING_DATAGRAM);
        assert_int_equal(record.arrival_ns, number);
        assert_int_equal(record.len, len);
        assert_memory_equal(record.bytes, text, len);
    }
}

static void must_be_empty(struct fixture *fixture)
{
    struct ring_record record;

    assert_int_equal(ring_next(fixture->ring, &record), RING_EMPTY);
}

/* What the collector does after a commit. */
static void commit(struct fixture *fixture)
{
    fixture->at.sequence = ring_sequence(fixture->ring);
    fixture->at.dropped = ring_dropped(fixture->ring);
    ring_free(fixture->ring);
}

static void test_first_in_first_out(void **state)
{
    struct fixture *fixture = *state;

    must_be_empty(fixture);
    must_append(fixture, 0, 100);
    must_read(fixture, 0, 100);
    must_be_empty(fixture);
    assert_true(ring_used_bytes(fixture->ring) > 100 * 8);
    commit(fixture);
    assert_int_equal(ring_used_bytes(fixture->ring), 0);
    assert_true(ring_high_water(fixture->ring) > 100 * 8);
}

static void test_many_laps(void **state)
{
    struct fixture *fixture = *state;

    for (unsigned round = 0; round < 60; round++) {
        must_append(fixture, round * 300, 300);
        must_read(fixture, round * 300, 300);
        must_be_empty(fixture);
        commit(fixture);
    }
    assert_true(fixture->at.sequence > 5 * SIZE);
}

static void test_a_full_ring_refuses_and_recovers(void **state)
{
    struct fixture *fixture = *state;
    unsigned count = 0;

    while (append(fixture, count))
        count++;
    ring_publish(fixture->ring);
    assert_true(count > 1000);
    assert_false(append(fixture, count));
    assert_int_equal(ring_dropped(fixture->ring), 0);
    ring_drop(fixture->ring, 2);
    assert_int_equal(ring_dropped(fixture->ring), 2);
    must_read(fixture, 0, count);
    must_be_empty(fixture);
    commit(fixture);
    must_append(fixture, 5, 10);
    must_read(fixture, 5, 10);
}

static void test_too_long(void **state)
{
    struct fixture *fixture = *state;
    static char text[RING_RECORD_MAX + 1];

    assert_false(ring_append(fixture->ring, RING_DATAGRAM, text, sizeof text, 0));
    assert_true(ring_append(fixture->ring, RING_DATAGRAM, text, sizeof text - 1, 0));
    assert_true(ring_append(fixture->ring, RING_CUT, text, 0, 0));
}

static void test_reading_again(void **state)
{
    struct fixture *fixture = *state;
    struct ring_record record;

    must_append(fixture, 0, 10);
    must_read(fixture, 0, 5);
    commit(fixture);
    must_read(fixture, 5, 2);
    assert_int_equal(ring_next(fixture->ring, &record), RING_READ);
    ring_step_back(fixture->ring, record.sequence);
    must_read(fixture, 7, 3);
    ring_rewind(fixture->ring);
    must_read(fixture, 5, 5);
    must_be_empty(fixture);
}

static void test_it_survives_the_process(void **state)
{
    struct fixture *fixture = *state;

    must_append(fixture, 0, 20);
    must_read(fixture, 0, 8);
    commit(fixture);
    must_read(fixture, 8, 4);         /* read, and not committed */
    assert_true(append(fixture, 20)); /* killed before ring_publish */
    reopen(fixture, SIZE);
    must_read(fixture, 8, 13);
    must_be_empty(fixture);
    must_append(fixture, 21, 5);
    must_read(fixture, 21, 5);
}

static void test_committed_but_not_freed(void **state)
{
    struct fixture *fixture = *state;

    must_append(fixture, 0, 20);
    must_read(fixture, 0, 8);
    fixture->at.sequence = ring_sequence(fixture->ring); /* killed between commit and ring_free */
    reopen(fixture, SIZE);
    must_read(fixture, 8, 12);
    must_be_empty(fixture);
}

static void test_the_store_is_newer_than_the_ring(void **state)
{
    struct fixture *fixture = *state;

    must_append(fixture, 0, 5);
    fixture->at = (struct ring_position){.sequence = 80000, .dropped = 7};
    reopen(fixture, SIZE);
    must_be_empty(fixture);
    assert_int_equal(ring_dropped(fixture->ring), 7);
    must_append(fixture, 5, 5);
    must_read(fixture, 5, 5);
    assert_true(ring_sequence(fixture->ring) > 80000);
}

static void test_the_store_is_older_than_the_ring(void **state)
{
    struct fixture *fixture = *state;

    for (unsigned round = 0; round < 20; round++) {
        must_append(fixture, round * 300, 300);
        must_read(fixture, round * 300, 300);
        commit(fixture);
    }
    must_append(fixture, 6000, 3);
    fixture->at.sequence = 0; /* a store from long ago came back */
    reopen(fixture, SIZE);
    must_read(fixture, 6000, 3);
    must_be_empty(fixture);
}

static void overwrite(struct fixture *fixture, off_t offset, const void *bytes, size_t len)
{
    int fd = open(fixture->path, O_WRONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, len, offset), len);
    (void)close(fd);
}

/* What is in the file that was set aside last begins with this text. */
static void must_be_aside(const struct fixture *fixture, int number, const char *text)
{
    char begin[16] = "";
    int fd = open(aside(fixture, number), O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_true(read(fd, begin, strlen(text)) == (ssize_t)strlen(text));
    (void)close(fd);
    assert_string_equal(begin, text);
}

static void test_another_stores_ring_is_set_aside(void **state)
{
    struct fixture *fixture = *state;

    must_append(fixture, 0, 1);
    assert_string_equal(ring_set_aside_reason(fixture->ring), "");
    fixture->at = (struct ring_position){.sequence = 800, .dropped = 3};
    assert_int_equal(try_open(fixture, SIZE, "ffffffffffffffffffffffffffffffff"), ST_OK);
    assert_non_null(strstr(ring_set_aside_reason(fixture->ring), "another store"));
    must_be_empty(fixture);
    assert_int_equal(ring_sequence(fixture->ring), 800);
    assert_int_equal(ring_dropped(fixture->ring), 3);
    ring_close(&fixture->ring);
    assert_int_equal(rename(aside(fixture, 1), fixture->path), 0); /* it can be taken up again */
    fixture->at = (struct ring_position){.sequence = 0};
    reopen(fixture, SIZE);
    must_read(fixture, 0, 1);
}

static void test_what_cannot_be_read_is_set_aside(void **state)
{
    static char zeros[SIZE];
    struct fixture *fixture = *state;
    const char *reason;

    must_append(fixture, 0, 5);
    fixture->at.sequence = 4000;
    ring_close(&fixture->ring);
    overwrite(fixture, 0, zeros, sizeof zeros); /* as after a power cut */
    reopen(fixture, SIZE);
    reason = ring_set_aside_reason(fixture->ring);
    assert_non_null(strstr(reason, fixture->path));
    assert_non_null(strstr(reason, "not a ring"));
    must_be_empty(fixture);
    must_append(fixture, 5, 5);
    must_read(fixture, 5, 5);
    assert_true(ring_sequence(fixture->ring) > 4000);
}

static void test_three_are_kept_aside(void **state)
{
    struct fixture *fixture = *state;
    char text[20];

    for (int i = 0; i < 5; i++) {
        ring_close(&fixture->ring);
        (void)snprintf(text, sizeof text, "number %d", i);
        overwrite(fixture, 0, text, strlen(text));
        assert_int_equal(truncate(fixture->path, i % 2 == 0 ? 100 : SIZE), 0);
        reopen(fixture, SIZE);
    }
    must_be_aside(fixture, 1, "number 4");
    must_be_aside(fixture, 2, "number 3");
    must_be_aside(fixture, 3, "number 2");
    assert_int_equal(access(aside(fixture, 4), F_OK), -1);
}

static void test_damage_is_skipped_and_the_rest_is_read(void **state)
{
    struct fixture *fixture = *state;
    struct ring_record record;
    uint64_t second, third;

    must_append(fixture, 0, 20);
    must_read(fixture, 0, 1);
    second = ring_sequence(fixture->ring);
    must_read(fixture, 1, 1);
    third = ring_sequence(fixture->ring);
    ring_close(&fixture->ring);
    overwrite(fixture, 4096 + (off_t)third - 4, "XY", 2); /* the last bytes of the second's text */
    reopen(fixture, SIZE);
    must_read(fixture, 0, 1);
    assert_int_equal(ring_next(fixture->ring, &record), RING_SKIPPED);
    must_read(fixture, 2, 18);
    ring_close(&fixture->ring);
    overwrite(fixture, 4096 + (off_t)second + 16, "\xff\xff\xff\xff", 4); /* its length as well */
    reopen(fixture, SIZE);
    must_read(fixture, 0, 1);
    assert_int_equal(ring_next(fixture->ring, &record), RING_SKIPPED);
    must_read(fixture, 2, 18);
    must_be_empty(fixture);
}

static void test_a_lap_of_garbage(void **state)
{
    struct fixture *fixture = *state;
    struct ring_record record;
    char *garbage = malloc(SIZE - 4096);

    assert_non_null(garbage);
    memset(garbage, 0x5a, SIZE - 4096);
    must_append(fixture, 0, 500);
    ring_close(&fixture->ring);
    overwrite(fixture, 4096, garbage, SIZE - 4096);
    free(garbage);
    reopen(fixture, SIZE);
    assert_int_equal(ring_next(fixture->ring, &record), RING_SKIPPED);
    must_be_empty(fixture);
    commit(fixture);
    must_append(fixture, 7, 5);
    must_read(fixture, 7, 5);
}

static void test_another_size_is_drained_then_remade(void **state)
{
    struct fixture *fixture = *state;
    struct stat file;

    must_append(fixture, 0, 20);
    must_read(fixture, 0, 5);
    commit(fixture);
    reopen(fixture, 2 * SIZE);
    assert_true(ring_is_outdated(fixture->ring));
    assert_int_equal(ring_remake(fixture->ring, &fixture->err), ST_BUSY);
    must_read(fixture, 5, 15);
    commit(fixture);
    assert_int_equal(ring_remake(fixture->ring, &fixture->err), ST_OK);
    assert_false(ring_is_outdated(fixture->ring));
    assert_int_equal(stat(fixture->path, &file), 0);
    assert_int_equal(file.st_size, 2 * SIZE);
    assert_int_equal(file.st_mode & 0777, 0600);
    must_append(fixture, 20, 2000);
    must_read(fixture, 20, 2000);
    reopen(fixture, 2 * SIZE);
    must_read(fixture, 20, 2000);
}

static void test_another_version(void **state)
{
    struct fixture *fixture = *state;
    const uint32_t other = 9;

    must_append(fixture, 0, 3);
    ring_close(&fixture->ring);
    overwrite(fixture, 8, &other, sizeof other); /* of the header: its records are as ours */
    reopen(fixture, SIZE);
    assert_true(ring_is_outdated(fixture->ring));
    must_read(fixture, 0, 3);
    commit(fixture);
    assert_int_equal(ring_remake(fixture->ring, &fixture->err), ST_OK);
    must_append(fixture, 3, 3);
    ring_close(&fixture->ring);
    overwrite(fixture, 12, &other, sizeof other); /* of the records */
    assert_int_equal(try_open(fixture, SIZE, OWNER), ST_UNSUPPORTED);
}

static void test_flushing(void **state)
{
    struct fixture *fixture = *state;

    must_append(fixture, 0, 20);
    assert_int_equal(ring_catch_up(fixture->ring, &fixture->err), ST_OK);
    assert_int_equal(ring_sync(fixture->ring, &fixture->err), ST_OK);
    must_read(fixture, 0, 20);
    assert_int_equal(ring_appended(fixture->ring), ring_sequence(fixture->ring));
    commit(fixture);
    reopen(fixture, SIZE);
    must_be_empty(fixture);
}

static void test_no_room_on_disk(void **state)
{
    struct fixture *fixture = *state;

    ring_close(&fixture->ring);
    strcpy(fixture->path, "/nonexistent/ring");
    assert_int_equal(try_open(fixture, SIZE, OWNER), ST_IO);
}

/* ---- two threads ---- */

#define MANY 200000

static void *writer_run(void *argument)
{
    struct fixture *fixture = argument;

    for (unsigned i = 0; i < MANY;) {
        if (append(fixture, i))
            i++;
        ring_publish(fixture->ring);
    }
    return NULL;
}

static void test_two_threads(void **state)
{
    struct fixture *fixture = *state;
    pthread_t writer;
    unsigned number = 0;

    assert_int_equal(pthread_create(&writer, NULL, writer_run, fixture), 0);
    while (number < MANY) {
        struct ring_record record;
        char text[1024];
        size_t len;

        if (ring_next(fixture->ring, &record) == RING_EMPTY) {
            ring_free(fixture->ring);
            continue;
        }
        len = text_of(number, text);
        if (record.len != len || memcmp(record.bytes, text, len) != 0)
            fail_msg("record %u is not what was written", number);
        if (++number % 50 == 0) {
            ring_free(fixture->ring);
            ring_prepare(fixture->ring);
        }
    }
    (void)pthread_join(writer, NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_first_in_first_out),
        TEST(test_many_laps),
        TEST(test_a_full_ring_refuses_and_recovers),
        TEST(test_too_long),
        TEST(test_reading_again),
        TEST(test_it_survives_the_process),
        TEST(test_committed_but_not_freed),
        TEST(test_the_store_is_newer_than_the_ring),
        TEST(test_the_store_is_older_than_the_ring),
        TEST(test_another_stores_ring_is_set_aside),
        TEST(test_what_cannot_be_read_is_set_aside),
        TEST(test_three_are_kept_aside),
        TEST(test_damage_is_skipped_and_the_rest_is_read),
        TEST(test_a_lap_of_garbage),
        TEST(test_another_size_is_drained_then_remade),
        TEST(test_another_version),
        TEST(test_flushing),
        TEST(test_no_room_on_disk),
        TEST(test_two_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
