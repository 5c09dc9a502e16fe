/* SPDX-License-Identifier: MIT */
/* The arena: aligned, zeroed, bounded, and reusable. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdalign.h>
#include <string.h>

#include "base/arena.h"

static void test_aligned_and_zeroed(void **state)
{
    struct arena arena;

    (void)state;
    arena_init(&arena, 1 << 20);
    for (size_t size = 0; size < 300; size++) {
        unsigned char *memory = arena_alloc(&arena, size);

        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % alignof(max_align_t), 0);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(memory[i], 0);
        memset(memory, 0xFF, size); /* a sanitizer sees it if this is not ours */
    }
    arena_done(&arena);
    assert_int_equal(arena.used_bytes, 0);
}

static void test_large_pieces(void **state)
{
    struct arena arena;
    char *large;

    (void)state;
    arena_init(&arena, 1 << 20);
    large = arena_alloc(&arena, 100000);
    assert_non_null(large);
    memset(large, 1, 100000);
    assert_non_null(arena_alloc(&arena, 16));
    arena_reset(&arena);
    assert_int_equal(arena.used_bytes, 0);
    large = arena_alloc(&arena, 4000);
    assert_non_null(large);
    assert_int_equal(large[0], 0); /* zeroed again although used before */
    arena_done(&arena);
}

static void test_limit(void **state)
{
    struct arena arena;

    (void)state;
    arena_init(&arena, 64);
    assert_non_null(arena_alloc(&arena, 48));
    assert_null(arena_alloc(&arena, 17));
    assert_non_null(arena_alloc(&arena, 16));
    assert_null(arena_alloc(&arena, 1));
    arena_reset(&arena);
    assert_non_null(arena_alloc(&arena, 64));
    assert_null(arena_alloc(&arena, SIZE_MAX));
    assert_null(arena_alloc(&arena, SIZE_MAX / 2));
    assert_null(arena_alloc_array(&arena, SIZE_MAX / 2, 3));
    arena_reset(&arena);
    assert_null(arena_alloc_array(&arena, SIZE_MAX / 4 + 2, 4)); /* the product, cut to 64 bits, would fit */
    assert_null(arena_alloc_array(&arena, 3, SIZE_MAX / 2));
    assert_null(arena_copy_text(&arena, "", SIZE_MAX));
    arena_done(&arena);
}

static void test_texts(void **state)
{
    struct arena arena;

    (void)state;
    arena_init(&arena, 1 << 20);
    assert_string_equal(arena_copy_text(&arena, "abcdef", 3), "abc");
    assert_string_equal(arena_copy_text(&arena, NULL, 0), "");
    assert_string_equal(arena_format(&arena, "%s-%d", "x", 7), "x-7");
    assert_string_equal(arena_format(&arena, "%s", ""), "");
    arena_done(&arena);
    arena_init(&arena, 8);
    assert_null(arena_copy_text(&arena, "abcdefgh", 8));
    assert_null(arena_format(&arena, "%s", "abcdefghi"));
    arena_done(&arena);
    arena_done(&arena); /* twice does no harm */
}

int main(void)
{
    static const struct CMUnitTest TESTS[] = {
        cmocka_unit_test(test_aligned_and_zeroed),
        cmocka_unit_test(test_large_pieces),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_texts),
    };

    return cmocka_run_group_tests_name("arena", TESTS, NULL, NULL);
}
