/* SPDX-License-Identifier: MIT */
/* Settings that depend on each other: who sends the reports. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "../names.h"
#include "model/config.h"

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
        cmocka_unit_test(test_identity_settings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
