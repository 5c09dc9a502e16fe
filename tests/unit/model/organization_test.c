/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/attr.h"
#include "model/organization.h"

static void test_organizations(void **state)
{
    static const struct {
        const char *what, *domain, *organization;
    } ROWS[] = {
        {"a name below a public suffix", "example.com", "example.com"},
        {"its subdomains", "a.b.example.com", "example.com"},
        {"a public suffix of two labels", "mail.example.co.uk", "example.co.uk"},
        {"customers of a private suffix", "one.github.io", "one.github.io"},
        {"a public suffix is its own", "co.uk", "co.uk"},
        {"a top-level domain is its own", "com", "com"},
        {"a top-level domain that nobody knows", "a.mx.example", "mx.example"},
        {"an A-label", "mx.xn--bcher-kva.example", "xn--bcher-kva.example"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        const char *got = organization_of(ROWS[i].domain);

        if (strcmp(got, ROWS[i].organization) != 0)
            fail_msg("%s: %s: got %s", ROWS[i].what, ROWS[i].domain, got);
    }
}

static void test_the_answer_is_a_part_of_the_name(void **state)
{
    static const char domain[] = "a.b.example.com";

    (void)state;
    assert_ptr_equal(organization_of(domain), domain + 4);
}

int main(void)
{
    static const struct CMUnitTest TESTS[] = {
        cmocka_unit_test(test_organizations),
        cmocka_unit_test(test_the_answer_is_a_part_of_the_name),
    };

    return cmocka_run_group_tests_name("organization", TESTS, NULL, NULL);
}
