/* SPDX-License-Identifier: MIT */
/* Counting datagrams by their fingerprint. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "aggregate/aggregate.h"

#define DAY 20526

static struct hash hash_of(uint64_t number)
{
    return (struct hash){{number * 0x9E3779B97F4A7C15, number}};
}

static bool add(struct aggregate *aggregate, uint64_t number, int32_t day, uint64_t sequence)
{
    struct hash hash = hash_of(number);

    return aggregate_add(aggregate, &hash, day, sequence, day * 86400LL);
}

static size_t pending(struct aggregate *aggregate, uint64_t *total_out)
{
    size_t count = 0;

    *total_out = 0;
    for (struct aggregate_entry *entry = aggregate_first(aggregate); entry != NULL;
         entry = aggregate_next(aggregate, entry)) {
        count++;
        *total_out += entry->count;
    }
    return count;
}

static void test_equal_ones_are_one_entry(void **state)
{
    struct aggregate *aggregate = aggregate_new();
    uint64_t total;

    (void)state;
    assert_non_null(aggregate);
    assert_null(aggregate_first(aggregate));
    assert_true(add(aggregate, 1, DAY, 100));
    assert_true(add(aggregate, 1, DAY, 200));
    assert_true(add(aggregate, 2, DAY, 300));
    assert_true(add(aggregate, 1, DAY + 1, 400)); /* the same bytes after midnight */
    assert_int_equal(pending(aggregate, &total), 3);
    assert_int_equal(total, 4);
    aggregate_free(&aggregate);
    assert_null(aggregate);
}

static void test_what_is_known_outlives_the_batch(void **state)
{
    struct aggregate *aggregate = aggregate_new();
    struct aggregate_entry *entry;
    uint64_t total;

    (void)state;
    assert_true(add(aggregate, 1, DAY, 100));
    entry = aggregate_first(aggregate);
    assert_int_equal(entry->state, AGGREGATE_NEW);
    assert_int_equal(entry->sequence, 100);
    entry->state = AGGREGATE_PLANNED;
    aggregate_end_batch(aggregate);
    assert_int_equal(pending(aggregate, &total), 0);
    assert_true(add(aggregate, 2, DAY, 500));
    assert_true(add(aggregate, 1, DAY, 600));
    assert_int_equal(pending(aggregate, &total), 2);
    entry = aggregate_first(aggregate);
    assert_int_equal(entry->state, AGGREGATE_PLANNED);
    assert_int_equal(entry->sequence, 600); /* the old place is free by now */
    assert_int_equal(entry->count, 1);
    aggregate_clear(aggregate);
    assert_int_equal(pending(aggregate, &total), 0);
    assert_true(add(aggregate, 1, DAY, 700));
    assert_int_equal(aggregate_first(aggregate)->state, AGGREGATE_NEW);
    aggregate_free(&aggregate);
}

static void test_fingerprints_that_share_a_place(void **state)
{
    struct aggregate *aggregate = aggregate_new();
    uint64_t total;

    (void)state;
    for (uint64_t i = 0; i < 300; i++) {
        struct hash hash = {{7, i}};

        assert_true(aggregate_add(aggregate, &hash, DAY, i, 0));
        assert_true(aggregate_add(aggregate, &hash, DAY, i, 0));
    }
    assert_int_equal(pending(aggregate, &total), 300);
    assert_int_equal(total, 600);
    aggregate_free(&aggregate);
}

static void test_it_grows_to_its_limit_and_starts_anew(void **state)
{
    struct aggregate *aggregate = aggregate_new();
    uint64_t total;

    (void)state;
    for (uint64_t i = 0; i < AGGREGATE_MAX; i++)
        assert_true(add(aggregate, i, DAY, i));
    assert_false(add(aggregate, AGGREGATE_MAX, DAY, 1));
    assert_true(add(aggregate, 5, DAY, 1)); /* a known one always counts */
    assert_int_equal(pending(aggregate, &total), AGGREGATE_MAX);
    assert_int_equal(total, AGGREGATE_MAX + 1);
    for (struct aggregate_entry *entry = aggregate_first(aggregate); entry != NULL;
         entry = aggregate_next(aggregate, entry))
        entry->state = AGGREGATE_PLANNED;
    aggregate_end_batch(aggregate);
    assert_true(add(aggregate, AGGREGATE_MAX, DAY, 1));
    assert_true(add(aggregate, 5, DAY, 2));
    assert_int_equal(aggregate_first(aggregate)->state, AGGREGATE_NEW); /* what was known is forgotten */
    assert_int_equal(pending(aggregate, &total), 2);
    aggregate_free(&aggregate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_ones_are_one_entry),
        cmocka_unit_test(test_what_is_known_outlives_the_batch),
        cmocka_unit_test(test_fingerprints_that_share_a_place),
        cmocka_unit_test(test_it_grows_to_its_limit_and_starts_anew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
