/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "base/attr.h"
#include "model/backoff.h"
#include "model/delivery_result.h"
#include "model/schedule.h"
#include "model/utc_day.h"

#define MIN             60
#define H               3600
#define MIDDLE(seconds) ((uint32_t)((seconds) / 5)) /* the random number that gives no jitter */

static void test_next_try(void **state)
{
    static const struct {
        const char *what;
        unsigned tries;
        int64_t now_s; /* first try at 0 */
        int64_t retry_after_s;
        uint32_t random;
        bool want;
        int64_t want_s;
    } ROWS[] = {
        {"first gap is 15 min", 1, 0, 0, MIDDLE(15 * MIN), true, 15 * MIN},
        {"jitter takes a fifth away at most", 1, 0, 0, 0, true, 12 * MIN},
        {"and adds a fifth at most", 1, 0, 0, 2 * MIDDLE(15 * MIN), true, 18 * MIN},
        {"second gap is twice as long", 2, 15 * MIN, 0, MIDDLE(30 * MIN), true, 45 * MIN},
        {"sixth gap is 8 h", 6, 7 * H + 45 * MIN, 0, MIDDLE(8 * H), true, 15 * H + 45 * MIN},
        {"the last try is exactly 24 h after the first", 7, 15 * H + 45 * MIN, 0, 0, true, 24 * H},
        {"also if many tries were flushed by hand", 4000000000u, 1 * H, 0, 0, true, 24 * H},
        {"after it, expired", 8, 24 * H, 0, 0, false, 0},
        {"a late run expires too", 2, 90 * H, 0, 0, false, 0},
        {"Retry-After moves it out", 1, 0, 2 * H, 0, true, 2 * H},
        {"a shorter Retry-After changes nothing", 1, 0, 5, MIDDLE(15 * MIN), true, 15 * MIN},
        {"a huge Retry-After is cut to the last try", 1, 0, INT64_MAX, 0, true, 24 * H},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        int64_t got_s = 0;
        bool got =
            backoff_next(0, ROWS[i].tries, ROWS[i].now_s, ROWS[i].retry_after_s, ROWS[i].random, &got_s);

        if (got != ROWS[i].want || got_s != ROWS[i].want_s)
            fail_msg("%s: got %d, %lld", ROWS[i].what, got, (long long)got_s);
    }
}

static void test_schedule_spreads_500_domains_over_4_hours(void **state)
{
    const int64_t begin_s = utc_day_last_s(20526) + 1 + 600;
    unsigned per_hour[4] = {0};
    char domain[32];

    (void)state;
    for (int i = 0; i < 500; i++) {
        int64_t due_s;

        (void)snprintf(domain, sizeof domain, "d%d.example", i);
        due_s = schedule_due_s(20526, domain, "reports.example", 600, 4 * H - 1);
        assert_int_equal(due_s, schedule_due_s(20526, domain, "reports.example", 600, 4 * H - 1));
        assert_in_range(due_s, begin_s, begin_s + 4 * H - 1);
        per_hour[(due_s - begin_s) / H]++;
    }
    for (int i = 0; i < 4; i++)
        assert_in_range(per_hour[i], 90, 160);
    assert_int_equal(schedule_due_s(20526, "a.example", "b.example", 0, 0), utc_day_last_s(20526) + 1);
    assert_int_not_equal(schedule_due_s(20526, "a.example", "b.example", 0, 4 * H),
                         schedule_due_s(20526, "a.example", "c.example", 0, 4 * H));
}

static void test_result_text_is_harmless(void **state)
{
    static const struct {
        const char *what;
        const char *text;
        const char *want;
    } ROWS[] = {
        {"line ends become blanks, the last one goes", "one\r\ntwo\r\n", "one  two"},
        {"escape sequences lose their teeth", "a\x1b[2Jb", "a?[2Jb"},
        {"bytes above ASCII go", "caf\xc3\xa9", "caf??"},
        {"nothing stays nothing", "", ""},
    };
    struct delivery_result result;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        delivery_result_set(&result, DELIVERY_RESULT_GIVE_UP, DELIVERY_AT_RCPT, 550, "%s", ROWS[i].text);
        assert_string_equal(result.text, ROWS[i].want);
    }
    delivery_result_set(&result, DELIVERY_RESULT_TRY_LATER, DELIVERY_AT_DATA, 0, "no answer");
    delivery_result_put_in_doubt(&result);
    assert_string_equal(result.text, "no answer; it may have arrived");
    delivery_result_set(&result, DELIVERY_RESULT_GIVE_UP, DELIVERY_AT_RCPT, 550, "%0600d", 1);
    assert_int_equal(sizeof result.text, 512);
    assert_int_equal(result.text[510], '0');
    assert_int_equal(result.text[511], '\0');
    delivery_result_put_in_doubt(&result);
    assert_string_equal(result.text + 486, "0000; it may have arrived");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_next_try),
        cmocka_unit_test(test_schedule_spreads_500_domains_over_4_hours),
        cmocka_unit_test(test_result_text_is_harmless),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
