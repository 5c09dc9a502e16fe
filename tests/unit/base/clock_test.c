/* SPDX-License-Identifier: MIT */
/* The one clock: real, or shifted by a file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/clock.h"

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void assert_shift(int64_t want_s)
{
    int64_t shift = clock_utc_s() - (int64_t)time(NULL);

    assert_in_range(shift - want_s + 2, 0, 4); /* the two clocks are not asked at the same moment */
}

static void test_real_time(void **state)
{
    int64_t begin_ms = clock_monotonic_ms();

    (void)state;
    unsetenv("TLSRPT_GEN_CLOCK");
    assert_shift(0);
    clock_sleep_ms(2);
    assert_true(clock_monotonic_ms() >= begin_ms + 2);
}

static void test_shift_from_a_file(void **state)
{
    static const struct {
        const char *text;
        int64_t want_s;
    } ROWS[] = {
        {"86400\n", 86400},
        {"-3600\n", -3600},
        {"7", 7},
        {"", 0},
        {"60 86400\n", 60},
        {"nonsense\n", 0},
        {"12 x\n", 12},
        {"99999999999", 0},
        {"-99999999999999999999999", 0},
    };
    char path[] = "/tmp/tlsrpt-gen-clock.XXXXXX";
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    (void)close(fd);
    assert_int_equal(setenv("TLSRPT_GEN_CLOCK", path, 1), 0);
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        write_file(path, ROWS[i].text); /* a running program sees the change */
        assert_shift(ROWS[i].want_s);
    }
    (void)unlink(path);
    assert_shift(0);
    unsetenv("TLSRPT_GEN_CLOCK");
}

static void test_time_since_the_start(void **state)
{
    static const struct {
        const char *text;
        int64_t want_s;
    } ROWS[] = {
        {"86400\n", 0}, {"86400 7200\n", 7200}, {"0 100", 100}, {"", 0}, {"5 x\n", 0}, {"5 99999999999", 0},
    };
    char path[] = "/tmp/tlsrpt-gen-clock.XXXXXX";
    int fd = mkstemp(path);
    int64_t begin_s = clock_boot_s();

    (void)state;
    assert_true(fd >= 0 && begin_s > 0);
    (void)close(fd);
    assert_int_equal(setenv("TLSRPT_GEN_CLOCK", path, 1), 0);
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        write_file(path, ROWS[i].text);
        assert_in_range(clock_boot_s() - begin_s - ROWS[i].want_s, 0, 4);
    }
    (void)unlink(path);
    unsetenv("TLSRPT_GEN_CLOCK");
}

int main(void)
{
    static const struct CMUnitTest TESTS[] = {
        cmocka_unit_test(test_real_time),
        cmocka_unit_test(test_shift_from_a_file),
        cmocka_unit_test(test_time_since_the_start),
    };

    return cmocka_run_group_tests_name("clock", TESTS, NULL, NULL);
}
