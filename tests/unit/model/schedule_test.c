/* SPDX-License-Identifier: MIT */
/* When a report's first delivery is due, and in which turn of its owner. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "base/attr.h"
#include "model/schedule.h"
#include "model/utc_day.h"

#define H 3600

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

static void test_turns_grow_with_the_number_of_deliveries(void **state)
{
    static const struct {
        uint64_t nth;
        uint32_t turn;
    } ROWS[] = {
        {0, 0},          {1, 1},
        {63, 63},        {64, 64},
        {71, 64},        {72, 65},
        {127, 71},       {128, 72},
        {143, 72},       {144, 73},
        {1000000, 175},  {(1u << 30) - 1, 255},
        {1u << 30, 255}, {UINT64_MAX, 255},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++)
        if (schedule_turn(ROWS[i].nth) != ROWS[i].turn)
            fail_msg("%llu: got %u", (unsigned long long)ROWS[i].nth, schedule_turn(ROWS[i].nth));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schedule_spreads_500_domains_over_4_hours),
        cmocka_unit_test(test_turns_grow_with_the_number_of_deliveries),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
