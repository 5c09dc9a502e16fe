/* SPDX-License-Identifier: MIT */
/* What of the fleet needs no database; the rest is in tests/flow/test_fleet*.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/attr.h"
#include "fleet/fleet_inside.h"

/* All hosts must agree, also those of another version: never change these numbers. */
static void test_buckets_never_change(void **state)
{
    static const struct {
        const char *domain;
        int32_t want;
    } ROWS[] = {{"example.org", 50}, {"harbour.example", 21}, {"xn--bcher-kva.example", 56}};
    bool is_used[FLEET_BUCKETS] = {false};
    char name[32];

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++)
        assert_int_equal(fleet_bucket(ROWS[i].domain), ROWS[i].want);
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(name, sizeof name, "d%d.example", i);
        is_used[fleet_bucket(name)] = true;
    }
    for (int i = 0; i < FLEET_BUCKETS; i++)
        assert_true(is_used[i]);
}

/* Whatever is wrong with it, the text of the setting is not repeated where a password stands in it. */
static void test_settings_that_cannot_be(void **state)
{
    static const struct {
        const char *what;
        const char *conninfo;
        const char *password_file;
        const char *want;
        enum status status;
    } ROWS[] = {
        {"a password in the string", "host=/nonexistent password=hush", "", "fleet_password_file", ST_CONFIG},
        {"a password in the URL", "postgresql://u:hush@localhost/x", "", "fleet_password_file", ST_CONFIG},
        {"an unknown word", "hots=/nonexistent", "", "hots", ST_CONFIG},
        {"no password file", "host=/nonexistent", "/nonexistent/password", "fleet_password_file", ST_CONFIG},
        {"no server", "host=/nonexistent", "", "connect", ST_TEMPORARY},
        {"no such service", "service=no-such-service-here", "", "no-such-service-here", ST_TEMPORARY},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        const struct fleet_settings settings = {
            .conninfo = ROWS[i].conninfo, .password_file = ROWS[i].password_file, .host = "mx1"};
        struct fleet *fleet = NULL;
        struct err err;
        enum status status = fleet_open(&settings, &fleet, &err);

        if (status != ROWS[i].status || strstr(err.text, ROWS[i].want) == NULL ||
            strstr(err.text, "hush") != NULL)
            fail_msg("%s: got %d, %s", ROWS[i].what, (int)status, err.text);
        assert_null(fleet);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buckets_never_change),
        cmocka_unit_test(test_settings_that_cannot_be),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
