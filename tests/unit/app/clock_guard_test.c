/* SPDX-License-Identifier: MIT */
/* May a run trust the clock?  Jumps ahead and back, confirmed or not, over starts of the machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/clock_guard.h"
#include "base/attr.h"
#include "base/file.h"

#define NOON INT64_C(1773489600) /* 2026-03-14T12:00:00Z */
#define HOUR INT64_C(3600)
#define DAY  (24 * HOUR)
#define YEAR (365 * DAY)

/* One run. */
struct step {
    const char *says;
    int64_t utc_s; /* after NOON */
    int64_t boot_s;
    const char *boot;
    bool is_accepted;
    enum clock_verdict want;
    int64_t want_ledger_s;
};

static void judge_all(const struct step *steps, size_t count)
{
    struct clock_memory memory = {.has_trusted = false};

    for (size_t i = 0; i < count; i++) {
        const struct step *step = &steps[i];
        struct clock_moment now = {.utc_s = NOON + step->utc_s, .boot_s = step->boot_s};
        enum clock_verdict got;

        strcpy(now.boot_id, step->boot);
        got = clock_guard_judge(&memory, &now, step->is_accepted);
        if (got != step->want || memory.ledger_s != step->want_ledger_s)
            fail_msg("%s: got verdict %d, ledger time %lld", step->says, (int)got,
                     (long long)memory.ledger_s);
    }
}

#define JUDGE(steps) judge_all(steps, ARRAY_COUNT(steps))

static void test_a_clock_that_goes_right_is_trusted(void **state)
{
    static const struct step STEPS[] = {
        {"the first run", 0, 100, "a", false, CLOCK_TRUSTED, 0},
        {"15 minutes later", 900, 1000, "a", false, CLOCK_TRUSTED, 900},
        {"set ahead by half a day", 900 + 12 * HOUR, 1000, "a", false, CLOCK_TRUSTED, 900},
        {"and back", 1800, 1900, "a", false, CLOCK_TRUSTED, 1800},
        {"nothing ran for a week", 1800 + 7 * DAY, 1900 + 7 * DAY, "a", false, CLOCK_TRUSTED, 1800 + 7 * DAY},
        {"a start of the machine", 2100 + 7 * DAY, 60, "b", false, CLOCK_TRUSTED, 2100 + 7 * DAY},
        {"off for 20 hours", 2200 + 7 * DAY + 20 * HOUR, 100, "c", false, CLOCK_TRUSTED,
         2200 + 7 * DAY + 20 * HOUR},
    };

    (void)state;
    JUDGE(STEPS);
}

static void test_one_run_in_2040_changes_nothing(void **state)
{
    static const struct step STEPS[] = {
        {"the first run", 0, 100, "a", false, CLOCK_TRUSTED, 0},
        {"in 2040", 14 * YEAR, 1000, "a", false, CLOCK_DOUBTED, 0},
        {"back", 1800, 1900, "a", false, CLOCK_TRUSTED, 1800},
        {"in 2040 again: a new doubt", 14 * YEAR, 9000, "a", false, CLOCK_DOUBTED, 1800},
        {"half an hour later", 14 * YEAR + 1800, 10800, "a", false, CLOCK_DOUBTED, 1800},
        {"in 1970", -56 * YEAR, 10900, "a", false, CLOCK_DOUBTED, 1800},
        {"back", 11000, 11100, "a", false, CLOCK_TRUSTED, 11000},
    };

    (void)state;
    JUDGE(STEPS);
}

static void test_a_jump_is_confirmed_after_an_hour(void **state)
{
    static const struct step STEPS[] = {
        {"the first run", 0, 100, "a", false, CLOCK_TRUSTED, 0},
        {"two days ahead", 2 * DAY, 100, "a", false, CLOCK_DOUBTED, 0},
        {"59 minutes later", 2 * DAY + 3540, 3640, "a", false, CLOCK_DOUBTED, 0},
        {"an hour later", 2 * DAY + 3600, 3700, "a", false, CLOCK_CONFIRMED, 3600},
        {"15 minutes later", 2 * DAY + 4500, 4600, "a", false, CLOCK_TRUSTED, 4500},
        {"set back again", 4600, 4700, "a", false, CLOCK_DOUBTED, 4500},
        {"that is confirmed, too", 9000, 9100, "a", false, CLOCK_CONFIRMED, 9000},
    };

    (void)state;
    JUDGE(STEPS);
}

static void test_a_jump_that_changes_starts_the_hour_anew(void **state)
{
    static const struct step STEPS[] = {
        {"the first run", 0, 100, "a", false, CLOCK_TRUSTED, 0},
        {"two years ahead", 2 * YEAR, 100, "a", false, CLOCK_DOUBTED, 0},
        {"one year ahead, two hours later", YEAR, 7300, "a", false, CLOCK_DOUBTED, 0},
        {"half an hour later", YEAR + 1800, 9100, "a", false, CLOCK_DOUBTED, 0},
        {"another", YEAR + 3600, 10900, "a", false, CLOCK_CONFIRMED, 10800},
    };

    (void)state;
    JUDGE(STEPS);
}

static void test_a_host_that_is_on_for_minutes_a_week_goes_on(void **state)
{
    static const struct step STEPS[] = {
        {"the first run", 0, 100, "a", false, CLOCK_TRUSTED, 0},
        {"off for a week", 7 * DAY, 50, "b", false, CLOCK_DOUBTED, 0},
        {"15 minutes later", 7 * DAY + 900, 950, "b", false, CLOCK_DOUBTED, 0},
        {"off for a week; a day of two is believed", 14 * DAY, 50, "c", false, CLOCK_CONFIRMED, 50 + DAY},
        {"15 minutes later", 14 * DAY + 900, 950, "c", false, CLOCK_TRUSTED, 950 + DAY},
        {"off for a week again", 21 * DAY, 50, "d", false, CLOCK_DOUBTED, 950 + DAY},
        {"and again", 28 * DAY, 50, "e", false, CLOCK_CONFIRMED, 1000 + 2 * DAY},
    };

    (void)state;
    JUDGE(STEPS);
}

static void test_starts_in_a_row_confirm_a_jump_after_an_hour(void **state)
{
    static const struct step STEPS[] = {
        {"the first run", 0, 100, "a", false, CLOCK_TRUSTED, 0},
        {"off for a week", 7 * DAY, 50, "b", false, CLOCK_DOUBTED, 0},
        {"started once more", 7 * DAY + 300, 50, "c", false, CLOCK_DOUBTED, 0},
        {"and once more, after half an hour", 7 * DAY + 2100, 50, "d", false, CLOCK_DOUBTED, 0},
        {"an hour after the first doubt", 7 * DAY + 3600, 1550, "d", false, CLOCK_CONFIRMED, 1550 + DAY},
    };

    (void)state;
    JUDGE(STEPS);
}

static void test_a_clock_that_each_start_resets_is_not_confirmed_by_starts(void **state)
{
    static const struct step STEPS[] = {
        {"the first run", 0, 100, "a", false, CLOCK_TRUSTED, 0},
        {"without a battery", 14 * YEAR + 20, 20, "b", false, CLOCK_DOUBTED, 0},
        {"the same at the next start", 14 * YEAR + 20, 20, "c", false, CLOCK_DOUBTED, 0},
        {"a run that comes two hours after a start", 14 * YEAR + 7200, 7200, "d", false, CLOCK_DOUBTED, 0},
        {"half an hour of each start", 14 * YEAR + 20, 20, "e", false, CLOCK_DOUBTED, 0},
        {"is not summed up", 14 * YEAR + 1820, 1820, "e", false, CLOCK_DOUBTED, 0},
        {"over starts", 14 * YEAR + 1820, 1820, "f", false, CLOCK_DOUBTED, 0},
        {"the right time", 30 * DAY, 3000, "f", false, CLOCK_DOUBTED, 0},
        {"the right time at the next start, a day later", 31 * DAY, 50, "g", false, CLOCK_CONFIRMED,
         50 + DAY},
    };

    (void)state;
    JUDGE(STEPS);
}

/* systemd-timesyncd goes on from the time that it saved last. */
static void test_a_clock_that_stops_while_the_machine_is_off_needs_an_hour_on(void **state)
{
    static const struct step STEPS[] = {
        {"the first run", 0, 100, "a", false, CLOCK_TRUSTED, 0},
        {"in 2040", 14 * YEAR, 1000, "a", false, CLOCK_DOUBTED, 0},
        {"a start", 14 * YEAR + 600, 20, "b", false, CLOCK_DOUBTED, 0},
        {"it runs for half an hour", 14 * YEAR + 2400, 1820, "b", false, CLOCK_DOUBTED, 0},
        {"a start", 14 * YEAR + 2500, 20, "c", false, CLOCK_DOUBTED, 0},
        {"back", 5000, 700, "c", false, CLOCK_TRUSTED, 5000},
    };

    (void)state;
    JUDGE(STEPS);
}

static void test_another_jump_at_a_start_is_another_doubt(void **state)
{
    static const struct step STEPS[] = {
        {"the first run", 0, 100, "a", false, CLOCK_TRUSTED, 0},
        {"two days ahead", 2 * DAY, 1000, "a", false, CLOCK_DOUBTED, 0},
        {"a start in 2040", 14 * YEAR, 20, "b", false, CLOCK_DOUBTED, 0},
        {"half an hour later", 14 * YEAR + 1800, 1820, "b", false, CLOCK_DOUBTED, 0},
        {"a start before the doubt", 13 * YEAR, 20, "c", false, CLOCK_DOUBTED, 0},
        {"a start an hour later", 13 * YEAR + 3600, 20, "d", false, CLOCK_CONFIRMED, 20 + DAY},
    };

    (void)state;
    JUDGE(STEPS);
}

/* Its own start is new, but the time since the start is that of the machine. */
static void test_a_container_starts_on_a_machine_that_runs_for_long(void **state)
{
    static const struct step STEPS[] = {
        {"the first run", 0, 100 * DAY, "a", false, CLOCK_TRUSTED, 0},
        {"started anew", 600, 100 * DAY + 600, "b", false, CLOCK_TRUSTED, 600},
        {"started anew, clock set back by an hour", -3000, 100 * DAY + 700, "c", false, CLOCK_TRUSTED, 600},
        {"started anew, clock set back by years", -5 * YEAR, 100 * DAY + 800, "d", false, CLOCK_DOUBTED, 600},
    };

    (void)state;
    JUDGE(STEPS);
}

static void test_the_operator_decides(void **state)
{
    static const struct step STEPS[] = {
        {"the first run", 0, 100, "a", false, CLOCK_TRUSTED, 0},
        {"accepted without a jump", 900, 1000, "a", true, CLOCK_TRUSTED, 900},
        {"a year ahead", YEAR, 1000, "a", false, CLOCK_DOUBTED, 900},
        {"accepted", YEAR + 60, 1060, "a", true, CLOCK_CONFIRMED, 960},
        {"from then on trusted", YEAR + 120, 1120, "a", false, CLOCK_TRUSTED, 1020},
    };

    (void)state;
    JUDGE(STEPS);
}

/* A clock that runs back and forth, each time by less than a jump, does not make ledger time run faster. */
static void test_ledger_time_is_real_time(void **state)
{
    struct clock_memory memory = {.has_trusted = false};

    (void)state;
    for (int i = 0; i <= 1000; i++) {
        struct clock_moment now = {.utc_s = NOON + i * 23 * HOUR, .boot_s = 100 + 900 * i, .boot_id = "a"};

        assert_int_equal(clock_guard_judge(&memory, &now, false), CLOCK_TRUSTED);
    }
    assert_int_equal(memory.ledger_s, 900 * 1000);
}

/* ---- the file ---- */

static char folder[64], clock_file[96], shift_file[96];

static int setup(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/clock_guard_test.XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    (void)snprintf(clock_file, sizeof clock_file, "%s/clock", folder);
    (void)snprintf(shift_file, sizeof shift_file, "%s/shift", folder);
    return setenv("TLSRPT_GEN_CLOCK", shift_file, 1);
}

static int teardown(void **state)
{
    (void)state;
    (void)unlink(clock_file);
    (void)unlink(shift_file);
    unsetenv("TLSRPT_GEN_CLOCK");
    return rmdir(folder);
}

static void write_text(const char *path, const char *text)
{
    assert_int_equal(file_replace(path, text, strlen(text), 0600, NULL), ST_OK);
}

/* A run when so many seconds have passed by the clock and since the start. */
static enum status check(int64_t utc_s, int64_t passed_s, bool is_accepted, struct clock_answer *answer_out)
{
    struct config config = {.state_dir = folder};
    char text[64];
    struct err err;

    (void)snprintf(text, sizeof text, "0 %lld\n", (long long)passed_s);
    write_text(shift_file, text);
    return clock_guard_check(&config, NOON + utc_s, is_accepted, answer_out, &err);
}

static void test_it_is_remembered_in_the_file(void **state)
{
    struct clock_answer answer;

    (void)state;
    assert_int_equal(check(0, 0, false, &answer), ST_OK);
    assert_true(answer.is_trusted);
    assert_int_equal(check(DAY, DAY, false, &answer), ST_OK);
    assert_in_range(answer.ledger_s, DAY, DAY + 5);
    assert_int_equal(check(20 * DAY, DAY, false, &answer), ST_TEMPORARY);
    assert_false(answer.is_trusted);
    assert_int_equal(check(20 * DAY + 600, DAY + 600, false, &answer), ST_TEMPORARY);
    assert_int_equal(check(20 * DAY + 3600, DAY + 3600, false, &answer), ST_OK);
    assert_true(answer.is_trusted);
    assert_int_equal(check(0, DAY + 3600, false, &answer), ST_TEMPORARY);
    assert_int_equal(check(0, DAY + 3600, true, &answer), ST_OK);
    assert_true(answer.is_trusted);
    assert_int_equal(check(60, DAY + 3660, false, &answer), ST_OK);
}

static void test_a_file_that_makes_no_sense_is_none(void **state)
{
    static const char *const TEXTS[] = {
        "",
        "\n",
        "x",
        "trusted",
        "trusted 1 2",
        "trusted 1773489600 5 a",
        "trusted x 5 a\n",
        "trusted -5 5 a\n",
        "ledger 99999999999999999999\n",
        "doubted 1 1 a\nledger 5\nmore\n",
    };
    struct clock_answer answer;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(TEXTS); i++) {
        write_text(clock_file, TEXTS[i]);
        if (check(0, 0, false, &answer) != ST_OK || !answer.is_trusted || answer.ledger_s != 0)
            fail_msg("\"%s\" is not taken for none", TEXTS[i]);
    }
}

static void test_a_file_that_cannot_be_read_is_an_error(void **state)
{
    struct clock_answer answer;

    (void)state;
    assert_int_equal(symlink(folder, clock_file), 0);
    assert_int_equal(check(0, 0, false, &answer), ST_IO);
    assert_false(answer.is_trusted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_clock_that_goes_right_is_trusted),
        cmocka_unit_test(test_one_run_in_2040_changes_nothing),
        cmocka_unit_test(test_a_jump_is_confirmed_after_an_hour),
        cmocka_unit_test(test_a_jump_that_changes_starts_the_hour_anew),
        cmocka_unit_test(test_a_host_that_is_on_for_minutes_a_week_goes_on),
        cmocka_unit_test(test_starts_in_a_row_confirm_a_jump_after_an_hour),
        cmocka_unit_test(test_a_clock_that_each_start_resets_is_not_confirmed_by_starts),
        cmocka_unit_test(test_a_clock_that_stops_while_the_machine_is_off_needs_an_hour_on),
        cmocka_unit_test(test_another_jump_at_a_start_is_another_doubt),
        cmocka_unit_test(test_a_container_starts_on_a_machine_that_runs_for_long),
        cmocka_unit_test(test_the_operator_decides),
        cmocka_unit_test(test_ledger_time_is_real_time),
        cmocka_unit_test_setup_teardown(test_it_is_remembered_in_the_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_file_that_makes_no_sense_is_none, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_file_that_cannot_be_read_is_an_error, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
