/* SPDX-License-Identifier: MIT */
/* Words of Exim, Postfix, GnuTLS and OpenSSL, and what they mean in RFC 8460's terms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "model/tls_reason.h"

static struct span span_of(const char *text)
{
    return (struct span){text, strlen(text)};
}

/* "RESULT[ dane][ ?expired][: REASON]", or "-" */
static const char *words_of(bool is_known, const struct tls_reason *reason)
{
    static char text[512];

    if (!is_known)
        return "-";
    (void)snprintf(text, sizeof text, "%s%s%s%s%.*s", result_type_name(reason->result_type),
                   reason->is_dane ? " dane" : "", reason->may_be_expired ? " ?expired" : "",
                   reason->reason.len > 0 ? ": " : "", (int)reason->reason.len, reason->reason.at);
    return text;
}

struct row {
    const char *text, *want;
};

static const struct row EXIM[] = {
    {"TLS session: (certificate verification failed)", "certificate-host-mismatch"},
    {"TLS session: (certificate verification failed) ", "certificate-host-mismatch"},
    {"TLS session: (certificate verification failed): retry timeout exceeded", "certificate-host-mismatch"},
    {"TLS session: (certificate verification failed): certificate invalid",
     "validation-failure ?expired: certificate invalid"},
    {"TLS session: (certificate verification failed): certificate revoked",
     "certificate-not-trusted: certificate revoked"},
    {"TLS session: (certificate verification failed): something new", "validation-failure: something new"},
    {"TLS session: (certificate verification failed): Verification failed. The certificate differs. ",
     "certificate-not-trusted dane: The certificate differs."},
    {"TLS session: (certificate verification failed): Verification failed. CA constrains were violated. ",
     "certificate-not-trusted dane ?expired: CA constrains were violated."},
    {"TLS session: (gnutls_handshake): Handshake failed",
     "validation-failure: (gnutls_handshake): Handshake failed"},
    {"TLS session: (SSL_connect): error:0A000410:SSL routines::ssl/tls alert handshake failure",
     "validation-failure: (SSL_connect): error:0A000410:SSL routines::ssl/tls alert handshake failure"},
    {"a TLS session is required, but the server did not offer TLS support", "starttls-not-supported"},
    {"a TLS session is required, but an attempt to start TLS failed", "starttls-not-supported"},
    {"a TLS session is required, but something new",
     "validation-failure: a TLS session is required, but something new"},
    {"SMTP error from remote mail server after STARTTLS: 454 4.7.0 no", "starttls-not-supported"},
    {"DANE error: tlsa lookup DEFER", "dnssec-invalid dane"},
    {"DANE error: tlsa lookup FAIL", "dane-required dane"},
    {"DANE error: mx.a.test lookup not DNSSEC", "dane-required dane"},
    {"SMTP error from remote mail server after RCPT TO:<x>: 450 TLS session: x", "-"},
    {"Connection refused", "-"},
    {"", "-"},
};

static void test_exim(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(EXIM); i++) {
        struct tls_reason reason;
        bool is_known = tls_reason_of_exim(span_of(EXIM[i].text), &reason);

        assert_string_equal(words_of(is_known, &reason), EXIM[i].want);
    }
}

static const struct row CERTIFICATES[] = {
    {"certificate has expired", "certificate-expired"},
    {"num=10:certificate has expired", "certificate-expired"},
    {"num=62:hostname mismatch", "certificate-host-mismatch"},
    {"certificate name mismatch: \"/CN=x\"", "certificate-host-mismatch"},
    {"num=65:no matching DANE TLSA records", "certificate-not-trusted dane: no matching DANE TLSA records"},
    {"untrusted issuer /O=x/CN=y", "certificate-not-trusted: untrusted issuer /O=x/CN=y"},
    {"self-signed certificate", "certificate-not-trusted: self-signed certificate"},
    {"self signed certificate in certificate chain",
     "certificate-not-trusted: self signed certificate in certificate chain"},
    {"num=20:unable to get local issuer certificate",
     "certificate-not-trusted: unable to get local issuer certificate"},
    {"permitted subtree violation", "certificate-not-trusted: permitted subtree violation"},
    {"certificate is not yet valid", "validation-failure: certificate is not yet valid"},
    {"a word of the future", "validation-failure: a word of the future"},
};

static void test_certificates(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(CERTIFICATES); i++) {
        struct tls_reason reason;

        tls_reason_of_certificate(span_of(CERTIFICATES[i].text), &reason);
        assert_string_equal(words_of(true, &reason), CERTIFICATES[i].want);
    }
}

static const struct row POSTFIX[] = {
    {"Server certificate not verified", "validation-failure: Server certificate not verified"},
    {"Server certificate not verified, says mx", "-"},
    {"Server certificate not trusted", "certificate-not-trusted: Server certificate not trusted"},
    {"TLS is required, but was not offered by host mx.a.test[192.0.2.1]", "starttls-not-supported"},
    {"TLS is required, but host mx.a.test[192.0.2.1] refused to start TLS: 454 no", "starttls-not-supported"},
    {"Cannot start TLS: handshake failure", "validation-failure: Cannot start TLS: handshake failure"},
    {"host mx.a.test[192.0.2.1] said: 450 Cannot start TLS: handshake failure", "-"},
    {"TLSA lookup error for mx.a.test:25", "-"},
};

static void test_postfix(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(POSTFIX); i++) {
        struct tls_reason reason;
        bool needs_certificate;
        bool is_known = tls_reason_of_postfix(span_of(POSTFIX[i].text), &needs_certificate, &reason);

        assert_string_equal(words_of(is_known, &reason), POSTFIX[i].want);
        if (is_known)
            assert_int_equal(needs_certificate, strstr(POSTFIX[i].text, "Server certificate") != NULL);
    }
}

static void test_openssl_words(void **state)
{
    static const struct row ROWS[] = {
        {"error:0A00010B:SSL routines::wrong version number:../ssl/record/ssl3_record.c:350:",
         "wrong version number"},
        {"error:0A000410:SSL routines::sslv3 alert handshake failure:x.c:1:SSL alert number 40:",
         "sslv3 alert handshake failure"},
        {"error:1408F10B:SSL routines:ssl3_get_record:wrong version number:x.c:332:", "wrong version number"},
        {"error:short", "error:short"},
        {"something else", "something else"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        struct span words = tls_reason_openssl_words(span_of(ROWS[i].text));

        assert_int_equal(words.len, strlen(ROWS[i].want));
        assert_memory_equal(words.at, ROWS[i].want, words.len);
    }
}

/* Only where the words leave it open does the certificate's last day decide. */
static void test_expiry(void **state)
{
    static const struct {
        const char *text;
        int64_t not_after_s;
        const char *want;
    } ROWS[] = {
        {"TLS session: (certificate verification failed): certificate invalid", 999, "certificate-expired"},
        {"TLS session: (certificate verification failed): certificate invalid", 1001,
         "certificate-not-trusted: certificate invalid"},
        {"TLS session: (certificate verification failed): certificate invalid", 0,
         "validation-failure ?expired: certificate invalid"},
        {"TLS session: (certificate verification failed)", 999, "certificate-host-mismatch"},
        {"TLS session: (gnutls_handshake): x", 999, "validation-failure: (gnutls_handshake): x"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        struct tls_reason reason;

        assert_true(tls_reason_of_exim(span_of(ROWS[i].text), &reason));
        tls_reason_settle_expiry(&reason, ROWS[i].not_after_s, 1000);
        assert_string_equal(words_of(true, &reason), ROWS[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exim),    cmocka_unit_test(test_certificates),
        cmocka_unit_test(test_postfix), cmocka_unit_test(test_openssl_words),
        cmocka_unit_test(test_expiry),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
