/* SPDX-License-Identifier: MIT */
/* Who sends the reports: mailboxes in one form, domains that DMARC finds aligned, DKIM key settings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "../names.h"
#include "model/config.h"
#include "model/dkim_key.h"
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

static const struct {
    const char *says;
    const char *text;
    enum dkim_algorithm algorithm;
    const char *selector; /* NULL: refused */
    const char *file;
} KEYS[] = {
    {"RSA", "tls:rsa-sha256:/etc/k.pem", DKIM_RSA_SHA256, "tls", "/etc/k.pem"},
    {"Ed25519, a selector with dots", "a.B:ed25519-sha256:/k", DKIM_ED25519_SHA256, "a.b", "/k"},
    {"a file name with a colon", "a:rsa-sha256:/k:1", DKIM_RSA_SHA256, "a", "/k:1"},
    {"no file", "a:rsa-sha256:", 0, NULL, NULL},
    {"a file that is not absolute", "a:rsa-sha256:k.pem", 0, NULL, NULL},
    {"no algorithm", "a:/k.pem", 0, NULL, NULL},
    {"SHA-1", "a:rsa-sha1:/k.pem", 0, NULL, NULL},
    {"no selector", ":rsa-sha256:/k.pem", 0, NULL, NULL},
    {"a selector that could end its tag", "a;l=0:rsa-sha256:/k.pem", 0, NULL, NULL},
    {"a selector with a line end", "a\r\nb:rsa-sha256:/k.pem", 0, NULL, NULL},
};

static void test_dkim_keys(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(KEYS); i++) {
        struct dkim_key_setting got = {0};
        struct arena arena;
        enum status status;

        arena_init(&arena, 8192);
        status = dkim_key_parse(KEYS[i].text, &arena, &got, NULL);
        if (status != (KEYS[i].selector != NULL ? ST_OK : ST_SYNTAX))
            fail_msg("%s: %s", KEYS[i].says, status_name(status));
        if (status == ST_OK &&
            (got.algorithm != KEYS[i].algorithm || strcmp(got.selector, KEYS[i].selector) != 0 ||
             strcmp(got.file, KEYS[i].file) != 0))
            fail_msg("%s: got %s %s", KEYS[i].says, got.selector, got.file);
        arena_done(&arena);
    }
}

#define ORGANIZATION "organization_name=Seaport"
#define CONTACT      "contact_info=tls@Reports.Seaport.Example"

static const struct {
    const char *says;
    const char *overrides[4];
    const char *want; /* in the error's text; NULL: fine */
} CONFIGS[] = {
    {"the least", {ORGANIZATION, CONTACT}, NULL},
    {"from below the submitter", {ORGANIZATION, CONTACT, "from=x@a.reports.seaport.example"}, NULL},
    {"from above the submitter", {ORGANIZATION, CONTACT, "from=x@seaport.example"}, NULL},
    {"from beside the submitter",
     {ORGANIZATION, CONTACT, "from=x@news.seaport.example"},
     "-o: from: DMARC would not align its domain news.seaport.example with the submitter, contact_info's "
     "domain, "
     "reports.seaport.example; use one domain for both, or one below the other"},
    {"a signature of another domain",
     {ORGANIZATION, CONTACT, "dkim_domain=other.example"},
     "dkim_domain: DMARC would not align its domain other.example"},
    {"a signature of the parent domain", {ORGANIZATION, CONTACT, "dkim_domain=seaport.example"}, NULL},
    {"three keys",
     {ORGANIZATION, CONTACT, "dkim_key=a:rsa-sha256:/a, b:rsa-sha256:/b, c:rsa-sha256:/c"},
     "dkim_key: 3 keys, at most 2 can be used"},
    {"a bad key", {ORGANIZATION, CONTACT, "dkim_key=a:rsa-sha1:/a"}, "dkim_key"},
    {"no organisation", {CONTACT}, "organization_name is not set"},
    {"no contact", {ORGANIZATION}, "contact_info is not set"},
};

static void test_identity_settings(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(CONFIGS); i++) {
        struct err err = {.text = ""};
        struct config config;
        enum status status;
        size_t count = 0;

        while (count < 4 && CONFIGS[i].overrides[count] != NULL)
            count++;
        status = config_load("", CONFIGS[i].overrides, count, true, &config, &err);
        if (CONFIGS[i].want == NULL ? status != ST_OK
                                    : status != ST_CONFIG || strstr(err.text, CONFIGS[i].want) == NULL)
            fail_msg("%s: %s: %s", CONFIGS[i].says, status_name(status), err.text);
        if (status == ST_OK) {
            assert_string_equal(config.submitter, "reports.seaport.example");
            assert_string_equal(config.contact_info, "tls@reports.seaport.example");
        }
        config_done(&config);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mailboxes),
        cmocka_unit_test(test_alignment),
        cmocka_unit_test(test_dkim_keys),
        cmocka_unit_test(test_identity_settings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
