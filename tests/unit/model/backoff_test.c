/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/attr.h"
#include "model/backoff.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_next_try),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
