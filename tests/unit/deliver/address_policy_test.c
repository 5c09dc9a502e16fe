/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "deliver/address_policy.h"

static void test_address_policy(void **state)
{
    static const struct {
        const char *what;
        const char *items[3];
        const char *address;
        uint16_t port;
        bool want;
    } ROWS[] = {
        {"a public address", {NULL}, "9.9.9.9", 443, true},
        {"another port", {NULL}, "9.9.9.9", 8443, false},
        {"another port that is allowed", {":8443"}, "9.9.9.9", 8443, true},
        {"loopback", {NULL}, "127.0.0.1", 443, false},
        {"loopback v6", {NULL}, "::1", 443, false},
        {"a mapped private address", {NULL}, "::ffff:10.0.0.1", 443, false},
        {"the cloud's metadata", {NULL}, "169.254.169.254", 443, false},
        {"private", {NULL}, "192.168.1.1", 443, false},
        {"unique local", {NULL}, "fd00::1", 443, false},
        {"shared address space", {NULL}, "100.64.0.1", 443, false},
        {"multicast", {NULL}, "224.0.0.1", 443, false},
        {"6to4 of a private address", {NULL}, "2002:a00:1::", 443, false},
        {"NAT64 of loopback", {NULL}, "64:ff9b::7f00:1", 443, false},
        {"an allowed network", {"127.0.0.0/8"}, "127.0.0.1", 443, true},
        {"an allowed network opens no port", {"127.0.0.0/8"}, "127.0.0.1", 8443, false},
        {"network and port", {"127.0.0.1", ":8443"}, "127.0.0.1", 8443, true},
        {"an allowed port opens no network", {":8443"}, "127.0.0.1", 8443, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        struct address_policy address_policy;
        struct address address;
        size_t count = 0;

        while (count < 3 && ROWS[i].items[count] != NULL)
            count++;
        assert_int_equal(
            address_policy_init(&address_policy, ADDRESS_POLICY_HTTPS_PORT, ROWS[i].items, count, NULL),
            ST_OK);
        assert_true(address_parse(ROWS[i].address, strlen(ROWS[i].address), &address));
        if (address_policy_allows(&address_policy, &address, ROWS[i].port) != ROWS[i].want)
            fail_msg("%s", ROWS[i].what);
    }
}

static void test_bad_items_are_refused(void **state)
{
    static const char *const BAD[] = {"example.org", "10.0.0.1/8", ":0",  ":65536",
                                      ":",           "",           ":1x", "1.2.3.4:443"};
    struct address_policy address_policy;
    struct err err;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(BAD); i++)
        assert_int_equal(address_policy_init(&address_policy, ADDRESS_POLICY_HTTPS_PORT, &BAD[i], 1, &err),
                         ST_CONFIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_address_policy),
        cmocka_unit_test(test_bad_items_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
