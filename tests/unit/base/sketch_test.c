/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/sketch.h"

#define TEXTS 200000u

static const char *text_of(unsigned number, char text_out[32])
{
    (void)snprintf(text_out, 32, "d%u.example", number);
    return text_out;
}

static void test_a_text_alone_has_its_number(void **state)
{
    struct sketch *sketch = sketch_new();

    (void)state;
    assert_non_null(sketch);
    assert_int_equal(sketch_get(sketch, "a.example"), 0);
    for (int i = 0; i < 3; i++)
        sketch_add(sketch, "a.example");
    assert_int_equal(sketch_get(sketch, "a.example"), 3);
    assert_int_equal(sketch_get(sketch, "b.example"), 0);
    free(sketch);
}

/* One has many; of the others, who share counters, nobody has fewer than his own and hardly anybody as many as he. */
static void test_many_texts_are_told_apart(void **state)
{
    struct sketch *sketch = sketch_new();
    unsigned confused = 0;
    char text[32];

    (void)state;
    assert_non_null(sketch);
    for (unsigned i = 0; i < TEXTS; i++) {
        sketch_add(sketch, text_of(i, text));
        sketch_add(sketch, "many.example");
    }
    assert_true(sketch_get(sketch, "many.example") >= TEXTS);
    for (unsigned i = 0; i < TEXTS; i++) {
        uint32_t number = sketch_get(sketch, text_of(i, text));

        assert_true(number >= 1);
        confused += number >= 100;
    }
    assert_true(confused < TEXTS / 1000);
    free(sketch);
}

int main(void)
{
    static const struct CMUnitTest TESTS[] = {
        cmocka_unit_test(test_a_text_alone_has_its_number),
        cmocka_unit_test(test_many_texts_are_told_apart),
    };

    return cmocka_run_group_tests_name("sketch", TESTS, NULL, NULL);
}
