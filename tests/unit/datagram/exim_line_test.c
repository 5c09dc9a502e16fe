/* SPDX-License-Identifier: MIT */
/* Lines of Exim's event action: what each becomes.  Whole recordings are in mtalog_compare_test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/strbuf.h"
#include "datagram/exim_line.h"

#define NOW_S 1795290000 /* 2026-11-21 */

/* "DOMAIN TYPE POLICY-DOMAIN RESULT[ (REASON)][ LINES/PATTERNS]", or the status and what the error says. */
static const char *result_text(enum status status, const struct session_result *result, const struct err *err)
{
    static char text[1024];
    const struct result_policy *policy = result->policies;
    const struct failure_detail *detail = status == ST_OK && policy->is_failed ? policy->details : NULL;

    if (status != ST_OK) {
        (void)snprintf(text, sizeof text, "%s: %s", status == ST_NOT_FOUND ? "nothing" : "refused",
                       err->text);
        return text;
    }
    (void)snprintf(text, sizeof text, "%s %s %s %s%s%s%s", result->domain,
                   policy_type_name(policy->policy.type), policy->policy.domain,
                   detail != NULL ? result_type_name(detail->result_type) : "success",
                   detail != NULL && detail->failure_reason_code != NULL ? " (" : "",
                   detail != NULL && detail->failure_reason_code != NULL ? detail->failure_reason_code : "",
                   detail != NULL && detail->failure_reason_code != NULL ? ")" : "");
    if (policy->policy.strings.count > 0)
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), " %zu/%zu",
                       policy->policy.strings.count, policy->policy.mx_hosts.count);
    return text;
}

#define LINE(what, domain, rest)                                                                             \
    "{\"v\":\"exim1\",\"what\":\"" what "\",\"domain\":\"" domain "\",\"mx\":\"mx1.a.test\"," rest           \
    "\"ip\":\"192.0.2.1\"}"
#define ENFORCE "\"sts\":\"version: STSv1|mode: enforce|mx: *.a.test|max_age: 1\","
#define TESTING "\"sts\":\"version: STSv1|mode: testing|mx: *.a.test|max_age: 1\","

static const struct {
    const char *sentence, *line, *want;
} ROWS[] = {
    {"a domain in UTF-8 becomes A-labels",
     LINE("success",
          "B\xc3\xbc"
          "cher.test",
          ""),
     "xn--bcher-kva.test no-policy-found xn--bcher-kva.test success"},
    {"an address literal has no policy domain", LINE("success", "[192.0.2.1]", ""),
     "nothing: mail to an address literal has no policy domain"},
    {"an IPv6 literal too", LINE("failure", "[IPv6:2001:db8::1]", ""),
     "nothing: mail to an address literal has no policy domain"},
    {"a refused STARTTLS without any policy", LINE("refused", "a.test", ""),
     "a.test no-policy-found a.test starttls-not-supported"},
    {"a refused STARTTLS where DANE wanted TLS",
     LINE("refused", "a.test", "\"danefail\":\"starttls-not-supported\"," TESTING),
     "a.test tlsa mx1.a.test starttls-not-supported"},
    {"a refused STARTTLS under MTA-STS", LINE("refused", "a.test", ENFORCE),
     "a.test sts a.test starttls-not-supported 4/1"},
    {"no STARTTLS, nothing asked for", LINE("clear", "a.test", ""),
     "nothing: a session without TLS, and none was asked for"},
    {"no STARTTLS under testing", LINE("clear", "a.test", TESTING),
     "a.test sts a.test starttls-not-supported 4/1"},
    {"no STARTTLS under enforce: the failure follows", LINE("clear", "a.test", ENFORCE),
     "nothing: a session without TLS, and none was asked for"},
    {"STARTTLS failed where TLS was required",
     LINE("failure", "a.test",
          "\"errno\":\"-38\",\"reason\":\"a TLS session is required, but an attempt to start TLS failed\","),
     "a.test no-policy-found a.test starttls-not-supported"},
    {"verified under enforce", LINE("success", "a.test", "\"verified\":\"1\"," ENFORCE),
     "a.test sts a.test success 4/1"},
    {"not verified under testing: another name",
     LINE("success", "a.test", "\"verified\":\"0\",\"named\":\"no\"," TESTING),
     "a.test sts a.test certificate-host-mismatch 4/1"},
    {"not verified under testing: the right name",
     LINE("success", "a.test", "\"verified\":\"0\",\"named\":\"yes\"," TESTING),
     "a.test sts a.test certificate-not-trusted 4/1"},
    {"not verified under testing: expired",
     LINE("success", "a.test", "\"verified\":\"0\",\"named\":\"yes\",\"notafter\":\"1\"," TESTING),
     "a.test sts a.test certificate-expired 4/1"},
    {"not verified without a policy is a success",
     LINE("success", "a.test", "\"verified\":\"0\",\"named\":\"no\","),
     "a.test no-policy-found a.test success"},
    {"a wildcard stands for one label only",
     LINE("success", "a.test", "\"verified\":\"1\",\"sts\":\"mode: testing|mx: *.test\","),
     "a.test sts a.test validation-failure (mtasts-policy-mx-mismatch) 2/1"},
    {"patterns of either case, and several",
     LINE("success", "a.test", "\"verified\":\"1\",\"sts\":\"mode: enforce|mx: x.test|mx:MX1.A.Test\","),
     "a.test sts a.test success 3/2"},
    {"a host that event_action refused (4.98)", LINE("failure", "a.test", "\"errno\":\"-58\"," ENFORCE),
     "a.test sts a.test validation-failure (mtasts-policy-mx-mismatch) 4/1"},
    {"a host that event_action refused (4.100)", LINE("failure", "a.test", "\"errno\":\"-65\"," ENFORCE),
     "a.test sts a.test validation-failure (mtasts-policy-mx-mismatch) 4/1"},
    {"DANE first: verified", LINE("success", "a.test", "\"dane\":\"yes\",\"verified\":\"1\"," ENFORCE),
     "a.test tlsa mx1.a.test success"},
    {"DANE first: failed",
     LINE("failure", "a.test",
          "\"danefail\":\"validation-failure\",\"reason\":\"TLS session: (certificate verification failed): "
          "Verification failed. The certificate differs. \"," ENFORCE),
     "a.test tlsa mx1.a.test certificate-not-trusted (The certificate differs.)"},
    {"mode none is no policy",
     LINE("success", "a.test", "\"verified\":\"0\",\"sts\":\"version: STSv1|mode: none\","),
     "a.test no-policy-found a.test success"},
    {"an unknown mode is no policy", LINE("success", "a.test", "\"sts\":\"mode: strict|mx: b.test\","),
     "a.test no-policy-found a.test success"},
    {"a policy that could not be fetched",
     LINE("success", "a.test", "\"verified\":\"1\",\"sts\":\"error: sts-policy-fetch-error\","),
     "a.test sts a.test sts-policy-fetch-error"},
    {"its host has a bad certificate", LINE("success", "a.test", "\"sts\":\"error: sts-webpki-invalid\","),
     "a.test sts a.test sts-webpki-invalid"},
    {"it is not valid, and the session has no TLS",
     LINE("clear", "a.test", "\"sts\":\"error: sts-policy-invalid\","),
     "a.test sts a.test sts-policy-invalid"},
    {"DANE does not need it",
     LINE("success", "a.test", "\"dane\":\"yes\",\"sts\":\"error: sts-policy-fetch-error\","),
     "a.test tlsa mx1.a.test success"},
    {"TLS failed too",
     LINE("failure", "a.test",
          "\"errno\":\"-37\",\"reason\":\"TLS session: (gnutls_handshake): x\","
          "\"sts\":\"error: sts-policy-fetch-error\","),
     "a.test no-policy-found a.test validation-failure ((gnutls_handshake): x)"},
    {"an error that is none of a policy",
     LINE("success", "a.test", "\"sts\":\"error: certificate-expired\","),
     "a.test no-policy-found a.test success"},
    {"the first of two modes counts",
     LINE("success", "a.test", "\"verified\":\"0\",\"sts\":\"mode: none|mode: enforce|mx: b.test\","),
     "a.test no-policy-found a.test success"},
    {"also if it is not known",
     LINE("success", "a.test", "\"sts\":\"mode: strict|mode: enforce|mx: b.test\","),
     "a.test no-policy-found a.test success"},
    {"testing before enforce",
     LINE("success", "a.test", "\"verified\":\"1\",\"sts\":\"mode: testing|mx: *.a.test|mode: none\","),
     "a.test sts a.test success 3/1"},
    {"a text that is no policy", LINE("success", "a.test", "\"sts\":\"||||: |mode|mx\","),
     "a.test no-policy-found a.test success"},
    {"sts is no text", LINE("success", "a.test", "\"sts\":7,"), "a.test no-policy-found a.test success"},
    {"a pattern that is no name allows nothing",
     LINE("success", "a.test", "\"verified\":\"1\",\"sts\":\"mode: testing|mx: *|mx: a b\","),
     "a.test sts a.test validation-failure (mtasts-policy-mx-mismatch) 3/0"},
    {"another word", LINE("maybe", "a.test", ""),
     "refused: Exim's line: \"what\" is not success, failure, refused or clear"},
};

static void test_lines(void **state)
{
    struct arena arena;
    unsigned failed = 0;

    (void)state;
    arena_init(&arena, EXIM_LINE_ARENA_BYTES);
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        struct session_result result = {0};
        struct err err = {0};
        enum status status =
            exim_line_decode(ROWS[i].line, strlen(ROWS[i].line), NOW_S, &arena, &result, &err);
        const char *got = result_text(status, &result, &err);

        if (strcmp(got, ROWS[i].want) != 0) {
            print_error("%s:\n got    %s\n wanted %s\n", ROWS[i].sentence, got, ROWS[i].want);
            failed++;
        }
        arena_reset(&arena);
    }
    arena_done(&arena);
    assert_int_equal(failed, 0);
}

/* Behind 300 other hosts, and the mode behind all: read, but not kept. */
static void test_a_long_policy_is_read_whole(void **state)
{
    static const struct {
        const char *last, *want;
    } rows[] = {
        {"mx: *.a.test|mode: enforce", "a.test sts a.test success 200/200"},
        {"mx: other.test|mode: enforce",
         "a.test sts a.test validation-failure (mtasts-policy-mx-mismatch) 200/200"},
    };

    (void)state;
    for (size_t row = 0; row < ARRAY_COUNT(rows); row++) {
        struct session_result result = {0};
        struct arena arena;
        struct strbuf line;
        struct err err = {0};
        enum status status;

        strbuf_init(&line, EXIM_LINE_BYTES_MAX);
        strbuf_addf(&line,
                    "{\"v\":\"exim1\",\"what\":\"success\",\"domain\":\"a.test\",\"mx\":\"mx1.a.test\","
                    "\"verified\":\"1\",\"sts\":\"version: STSv1|");
        for (int i = 0; i < 300; i++)
            strbuf_addf(&line, "mx: mx%d.elsewhere.test|", i);
        strbuf_addf(&line, "%s\"}", rows[row].last);
        arena_init(&arena, EXIM_LINE_ARENA_BYTES);
        status = exim_line_decode(line.data, line.len, NOW_S, &arena, &result, &err);
        assert_string_equal(result_text(status, &result, &err), rows[row].want);
        arena_done(&arena);
        strbuf_done(&line);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lines),
                                       cmocka_unit_test(test_a_long_policy_is_read_whole)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
