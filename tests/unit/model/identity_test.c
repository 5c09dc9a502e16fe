/* SPDX-License-Identifier: MIT */
/* Who sends the reports: mailboxes in one form, domains that DMARC finds aligned. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "../names.h"
#include "model/identity.h"

static const struct {
    const char *says;
    const char *text;
    const char *want; /* NULL: refused */
} MAILBOXES[] = {
    {"plain", "tls@example.org", "tls@example.org"},
    {"the domain is folded, the local part is not", "Tls@EXAMPLE.org.", "Tls@example.org"},
    {"a U-label becomes an A-label",
     "tls@b\xc3\xbc"
     "cher.example",
     "tls@xn--bcher-kva.example"},
    {"all of atext", "a!#$%&'*+-/=?^_`{|}~b@example.org", "a!#$%&'*+-/=?^_`{|}~b@example.org"},
    {"no @", "example.org", NULL},
    {"nothing before the @", "@example.org", NULL},
    {"nothing behind the @", "tls@", NULL},
    {"a single label", "tls@localhost", NULL},
    {"an address literal", "tls@[192.0.2.1]", NULL},
    {"a dot at the begin", ".tls@example.org", NULL},
    {"two dots", "t..ls@example.org", NULL},
    {"a quoted local part", "\"t ls\"@example.org", NULL},
    {"a display name", "TLS <tls@example.org>", NULL},
    {"a line end", "tls\r\nBcc: x@example.org", NULL},
    {"8-bit before the @", "t\xc3\xa9l@example.org", NULL},
    {"65 bytes before the @", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@example.org",
     NULL},
};

static void test_mailboxes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(MAILBOXES); i++) {
        const char *got = NULL, *domain = NULL;
        struct arena arena;
        enum status status;

        arena_init(&arena, 8192);
        status = identity_mailbox_normalise(MAILBOXES[i].text, &arena, &got, &domain, NULL);
        if (status != (MAILBOXES[i].want != NULL ? ST_OK : ST_SYNTAX))
            fail_msg("%s: %s", MAILBOXES[i].says, status_name(status));
        if (got != NULL && (strcmp(got, MAILBOXES[i].want) != 0 || strcmp(strchr(got, '@') + 1, domain) != 0))
            fail_msg("%s: got %s", MAILBOXES[i].says, got);
        arena_done(&arena);
    }
}

static void test_alignment(void **state)
{
    (void)state;
    assert_true(identity_is_aligned("example.org", "example.org"));
    assert_true(identity_is_aligned("reports.example.org", "example.org"));
    assert_true(identity_is_aligned("example.org", "reports.example.org"));
    assert_false(identity_is_aligned("a.example.org",
                                     "b.example.org")); /* not certain: "org.example" might be a suffix */
    assert_false(identity_is_aligned("badexample.org", "example.org"));
    assert_false(identity_is_aligned("example.org", "example.net"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mailboxes),
        cmocka_unit_test(test_alignment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
