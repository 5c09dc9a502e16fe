/* SPDX-License-Identifier: MIT */
/* The typos that `explain` names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/attr.h"
#include "model/tlsrpt_typo.h"

static const struct {
    const char *what;
    const char *text;
    enum tlsrpt_typo want;
} ROWS[] = {
    {"nothing", "", TLSRPT_TYPO_EMPTY},
    {"letters swapped", "v=TSLRPTv1; rua=mailto:a@n.example", TLSRPT_TYPO_VERSION_TYPO},
    {"a dash", "v=TLS-RPTv1; rua=mailto:a@n.example", TLSRPT_TYPO_VERSION_TYPO},
    {"the second v missing", "v=TLSRPT1; rua=mailto:a@n.example", TLSRPT_TYPO_VERSION_TYPO},
    {"a letter missing", "v=TLSRPv1;rua=mailto:a@n.example", TLSRPT_TYPO_VERSION_TYPO},
    {"the whole word", "v=TLSREPORTv1; rua=mailto:a@n.example", TLSRPT_TYPO_VERSION_TYPO},
    {"small letters", "v=tlsrptv1; rua=mailto:a@n.example", TLSRPT_TYPO_VERSION_CASE},
    {"a capital V", "V=TLSRPTv1; rua=mailto:a@n.example", TLSRPT_TYPO_VERSION_CASE},
    {"version 2", "v=TLSRPTv2; rua=mailto:a@n.example", TLSRPT_TYPO_VERSION_NUMBER},
    {"version 10", "v=TLSRPTv10; rua=mailto:a@n.example", TLSRPT_TYPO_VERSION_NUMBER},
    {"version 1.0", "v=TLSRPTv1.0; rua=mailto:a@n.example", TLSRPT_TYPO_VERSION_NUMBER},
    {"backslash", "v=TLSRPTv1\\; rua=mailto:a@n.example", TLSRPT_TYPO_BACKSLASH},
    {"no ';'", "v=TLSRPTv1 rua=mailto:a@n.example", TLSRPT_TYPO_NO_SEMICOLON},
    {"a comma", "v=TLSRPTv1, rua=mailto:a@n.example", TLSRPT_TYPO_NO_SEMICOLON},
    {"glued", "v=TLSRPTv1rua=mailto:a@n.example", TLSRPT_TYPO_NO_SEMICOLON},
    {"only the version", "v=TLSRPTv1", TLSRPT_TYPO_NO_SEMICOLON},
    {"a blank in front", " v=TLSRPTv1; rua=mailto:a@n.example", TLSRPT_TYPO_LEADING_BLANK},
    {"quotes", "\"v=TLSRPTv1; rua=mailto:a@n.example\"", TLSRPT_TYPO_QUOTES},
    {"single quotes and a blank", " 'v=TLSRPTv1; rua=mailto:a@n.example'", TLSRPT_TYPO_QUOTES},
    {"blanks around '='", "v = TLSRPTv1; rua=mailto:a@n.example", TLSRPT_TYPO_VERSION_BLANKS},
    {"version at the end", "rua=mailto:a@n.example; v=TLSRPTv1", TLSRPT_TYPO_VERSION_NOT_FIRST},
    {"no version", "rua=mailto:a@n.example", TLSRPT_TYPO_NO_VERSION},
    {"a DMARC record", "v=DMARC1; p=none; rua=mailto:a@n.example", TLSRPT_TYPO_OTHER_RECORD},
    {"an MTA-STS record", "v=STSv1; id=1", TLSRPT_TYPO_OTHER_RECORD},
    {"an SPF record", "v=spf1 -all", TLSRPT_TYPO_OTHER_RECORD},
    {"something else", "google-site-verification=abc", TLSRPT_TYPO_NONE},
    {"a long first word", "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv", TLSRPT_TYPO_NONE},
    {"hostile bytes", "\xff\x1b[31m\x01", TLSRPT_TYPO_NONE},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        struct span text = {.at = ROWS[i].text, .len = strlen(ROWS[i].text)};
        enum tlsrpt_typo got = tlsrpt_typo_find(text);

        if (got != ROWS[i].want)
            fail_msg("%s: \"%s\": got \"%s\", want \"%s\"", ROWS[i].what, ROWS[i].text,
                     tlsrpt_typo_words(got), tlsrpt_typo_words(ROWS[i].want));
    }
}

int main(void)
{
    static const struct CMUnitTest TESTS[] = {
        cmocka_unit_test(test_rows),
    };

    return cmocka_run_group_tests_name("tlsrpt_typo", TESTS, NULL, NULL);
}
