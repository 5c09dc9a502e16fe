/* SPDX-License-Identifier: MIT */
/* The decoder: order, chunks, entries that need no decoding, stopping in the middle, batch after batch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collect/decode.h"

#define DAY    20526
#define BATCH  (DECODE_CHUNKS * DECODE_CHUNK_ITEMS * 3 + 7) /* more than all chunks hold */
#define RING   (64L * 1024 * 1024)
#define LONG   (100 * 1024) /* two of them fill a chunk */
#define NOW_NS (DAY * 86400LL * 1000000000)

static struct {
    char path[64];
    struct ring *ring;
    struct aggregate *aggregate;
    struct decoder *decoder;
} world;

static int setup(void **state)
{
    static const struct ring_position from = {0, 0};
    struct err err;

    (void)state;
    (void)snprintf(world.path, sizeof world.path, "/tmp/decode_test.%d", (int)getpid());
    world.aggregate = aggregate_new();
    world.decoder = decoder_new();
    return world.aggregate != NULL && world.decoder != NULL &&
                   ring_open(world.path, RING, "test", &from, &world.ring, &err) == ST_OK
               ? 0
               : -1;
}

static int teardown(void **state)
{
    (void)state;
    decoder_free(&world.decoder);
    aggregate_free(&world.aggregate);
    ring_close(&world.ring);
    (void)unlink(world.path);
    return 0;
}

static void add_bytes(const char *bytes, size_t len)
{
    struct ring_record record;

    assert_true(ring_append(world.ring, RING_DATAGRAM, bytes, len, NOW_NS));
    assert_int_equal(ring_next(world.ring, &record), RING_READ);
    assert_true(aggregate_add(world.aggregate, &record.hash, DAY, record.sequence, NOW_NS / 1000000000));
}

static void add(size_t number, size_t padding)
{
    static char text[LONG + 256];

    (void)snprintf(text, sizeof text,
                   "{\"dpv\":\"1\",\"d\":\"d%zu.example\",%*s\"policies\":[{\"policy-type\":9,\"f\":0}]}",
                   number, (int)padding, "");
    add_bytes(text, strlen(text));
}

static void start(void)
{
    decoder_start(world.decoder, world.ring, world.aggregate);
}

/* Every entry that is new, in the aggregate's order; then NULL. */
static size_t expect_all(void)
{
    size_t count = 0;

    for (struct aggregate_entry *entry = aggregate_first(world.aggregate); entry != NULL;
         entry = aggregate_next(world.aggregate, entry)) {
        struct decoded *item;

        if (entry->state != AGGREGATE_NEW)
            continue;
        item = decoder_next(world.decoder);
        assert_non_null(item);
        assert_ptr_equal(item->entry, entry);
        assert_int_equal(item->record.sequence, entry->sequence);
        assert_int_equal(item->status, ST_OK);
        assert_int_equal(strncmp(item->record.bytes + 16, item->result.domain, strlen(item->result.domain)),
                         0);
        entry->state = AGGREGATE_PLANNED;
        count++;
    }
    assert_null(decoder_next(world.decoder));
    return count;
}

static void test_an_empty_batch_gives_nothing(void **state)
{
    (void)state;
    start();
    assert_null(decoder_next(world.decoder));
    assert_null(decoder_next(world.decoder));
}

static void test_each_new_datagram_is_decoded_in_order(void **state)
{
    static const size_t SIZES[] = {1, DECODE_CHUNK_ITEMS, DECODE_CHUNK_ITEMS + 1, BATCH};
    size_t number = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(SIZES); i++) {
        for (size_t j = 0; j < SIZES[i]; j++)
            add(number++, 0);
        start();
        assert_int_equal(expect_all(), SIZES[i]);
        aggregate_end_batch(world.aggregate);
    }
}

static void test_known_datagrams_are_left_out(void **state)
{
    size_t i = 0;

    (void)state;
    for (size_t j = 0; j < BATCH; j++)
        add(j, 0);
    for (struct aggregate_entry *entry = aggregate_first(world.aggregate); entry != NULL;
         entry = aggregate_next(world.aggregate, entry))
        entry->state = i++ % 3 == 0 ? AGGREGATE_NEW : AGGREGATE_LATE;
    start();
    assert_int_equal(expect_all(), (BATCH + 2) / 3);
}

static void test_long_datagrams_fill_chunks_of_few(void **state)
{
    (void)state;
    for (size_t i = 0; i < 40; i++)
        add(i, LONG);
    start();
    assert_int_equal(expect_all(), 40);
}

static void test_a_stopped_batch_leaves_nothing_behind(void **state)
{
    static const size_t TAKEN[] = {0, 1, DECODE_CHUNK_ITEMS, DECODE_CHUNK_ITEMS + 1, BATCH};
    size_t number = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(TAKEN); i++) {
        for (size_t j = 0; j < BATCH; j++)
            add(number++, 0);
        start();
        for (size_t j = 0; j < TAKEN[i]; j++)
            assert_non_null(decoder_next(world.decoder));
        decoder_stop(world.decoder);
        assert_null(decoder_next(world.decoder));
        aggregate_clear(world.aggregate);
        add(number++, 0);
        start();
        assert_int_equal(expect_all(), 1);
        aggregate_clear(world.aggregate);
    }
}

static void test_freeing_a_decoder_in_a_batch_ends_its_thread(void **state)
{
    (void)state;
    for (size_t j = 0; j < BATCH; j++)
        add(j, 0);
    start();
    assert_non_null(decoder_next(world.decoder));
}

static void test_what_cannot_be_decoded(void **state)
{
    static const struct {
        const char *name, *bytes;
        enum status status;
    } ROWS[] = {
        {"no JSON", "{", ST_SYNTAX},
        {"Exim's line without a result", "{\"v\":\"exim1\",\"what\":\"clear\",\"domain\":\"a.example\"}",
         ST_NOT_FOUND},
        {"Exim's line of another version", "{\"v\":\"exim2\",\"what\":\"success\",\"domain\":\"a.example\"}",
         ST_UNSUPPORTED},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        struct decoded *item;

        add_bytes(ROWS[i].bytes, strlen(ROWS[i].bytes));
        start();
        item = decoder_next(world.decoder);
        assert_non_null(item);
        if (item->status != ROWS[i].status || item->reason[0] == '\0')
            fail_msg("%s: got status %d \"%s\"", ROWS[i].name, (int)item->status, item->reason);
        assert_null(decoder_next(world.decoder));
        aggregate_clear(world.aggregate);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_an_empty_batch_gives_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_each_new_datagram_is_decoded_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_known_datagrams_are_left_out, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_datagrams_fill_chunks_of_few, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_stopped_batch_leaves_nothing_behind, setup, teardown),
        cmocka_unit_test_setup_teardown(test_freeing_a_decoder_in_a_batch_ends_its_thread, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_decoded, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
