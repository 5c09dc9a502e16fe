/* SPDX-License-Identifier: MIT */
/*
 * Lines of log and what they tell: forms of stamps and prefixes, reused connections, several recipients,
 * forged and hostile texts, options.  The recordings of real MTAs are in mtalog_compare_test.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/utc_day.h"
#include "mtalog/mtalog.h"
#include "mtalog/stamp.h"

#define NOW_S        1795305600 /* 2026-11-22T00:00:00Z */
#define EMITTED_SIZE 8192

struct emitted {
    char text[EMITTED_SIZE];
};

/* "DAY DOMAIN TYPE POLICY-DOMAIN RESULT [mx=.. ip=.. from=.. why=..]; " */
static enum status emit(void *context, const struct session_result *result, int64_t utc_s)
{
    const struct result_policy *policy = &result->policies[0];
    struct emitted *emitted = context;
    char day[UTC_DAY_TEXT_SIZE];
    size_t at = strlen(emitted->text);
    int len;

    assert_int_equal(result->policy_count, 1);
    assert_true(result->has_utc_day);
    assert_int_equal(result->utc_day, utc_day_of(utc_s));
    utc_day_format(result->utc_day, day);
    len = snprintf(emitted->text + at, EMITTED_SIZE - at, "%s%s %s %s %s %s", at > 0 ? "; " : "", day + 5,
                   result->domain, policy_type_name(policy->policy.type), policy->policy.domain,
                   policy->is_failed ? result_type_name(policy->details[0].result_type) : "success");
    at += (size_t)len;
    if (policy->is_failed) {
        const struct failure_detail *detail = &policy->details[0];

        (void)snprintf(emitted->text + at, EMITTED_SIZE - at, " mx=%s ip=%s from=%s why=%s",
                       detail->receiving_mx_hostname != NULL ? detail->receiving_mx_hostname : "-",
                       detail->receiving_ip != NULL ? detail->receiving_ip : "-",
                       detail->sending_mta_ip != NULL ? detail->sending_mta_ip : "-",
                       detail->failure_reason_code != NULL ? detail->failure_reason_code : "-");
    }
    assert_true(strlen(emitted->text) < EMITTED_SIZE - 600);
    return ST_OK;
}

static void read_lines(const struct mtalog_settings *settings, const char *lines,
                       struct mtalog_counts *counts_out)
{
    struct mtalog *log;
    struct err err;
    uint64_t offset = 0;

    assert_int_equal(mtalog_new(settings, &log, &err), ST_OK);
    mtalog_set_now(log, NOW_S);
    while (*lines != '\0') {
        size_t len = strcspn(lines, "\n");

        assert_int_equal(mtalog_feed(log, (struct span){lines, len}, offset, &err), ST_OK);
        offset += len + 1;
        lines += len + (lines[len] == '\n');
    }
    assert_int_equal(mtalog_flush(log, &err), ST_OK);
    if (counts_out != NULL)
        *counts_out = *mtalog_counts(log);
    mtalog_free(&log);
}

struct row {
    const char *sentence, *lines, *want;
};

static void check_rows(enum mtalog_mta mta, const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct emitted emitted = {""};
        const struct mtalog_settings settings = {
            .mta = mta, .mandatory_tls = POLICY_NO_POLICY_FOUND, .on_result = emit, .context = &emitted};

        read_lines(&settings, rows[i].lines, NULL);
        if (strcmp(emitted.text, rows[i].want) != 0)
            fail_msg("%s\n got  %s\n want %s", rows[i].sentence, emitted.text, rows[i].want);
    }
}

/* ---- Exim ---- */

#define E   "2026-11-21 18:21:19 1xUpiB-0008O9-0l "
#define TLS " X=TLS1.3:ECDHE_SECP256R1__ECDSA_SECP256R1_SHA256__AES_256_GCM:256 CV=yes"
#define H   " R=dns T=smtp H=mx.a.test [192.0.2.1]:25 I=[192.0.2.9]:40001"

static const struct row EXIM[] = {
    {"a delivery over TLS is one session", E "=> u@a.test" H TLS " DN=\"CN=x\" C=\"250 ok\"",
     "11-21 a.test no-policy-found a.test success"},
    {"a delivery without TLS is none", E "=> u@a.test" H " C=\"250 ok\"", ""},
    {"a local delivery is none", E "=> u <u@a.test> R=local T=maildir", ""},
    {"more recipients of the same connection add nothing",
     E "=> u@a.test" H TLS "\n" E "-> v@a.test" H TLS "\n" E "** w@a.test" H TLS " DN=\"\": no such user",
     "11-21 a.test no-policy-found a.test success"},
    {"a second connection of the same message is a second session",
     E "=> u@a.test" H TLS "\n" E
       "=> v@a.test R=dns T=smtp H=mx.a.test [192.0.2.1]:25 I=[192.0.2.9]:40002" TLS,
     "11-21 a.test no-policy-found a.test success; 11-21 a.test no-policy-found a.test success"},
    {"one connection for recipients in two domains is told to each",
     E "=> u@a.test" H TLS "\n" E "-> v@b.test" H TLS,
     "11-21 a.test no-policy-found a.test success; 11-21 b.test no-policy-found b.test success"},
    {"a continued connection is no new session",
     E "=> u@a.test R=dns T=smtp H=mx.a.test [192.0.2.1]:25* I=[192.0.2.9]:40001" TLS, ""},
    {"a continued connection without ports in the log neither",
     E "=> u@a.test R=dns T=smtp H=mx.a.test [192.0.2.1]*" TLS, ""},
    {"without I=, => begins a session and -> belongs to it",
     E "=> u@a.test R=dns T=smtp H=mx.a.test [192.0.2.1]" TLS "\n" E
       "-> v@a.test R=dns T=smtp H=mx.a.test [192.0.2.1]" TLS "\n" E
       "=> w@a.test R=dns T=smtp H=mx.a.test [192.0.2.1]" TLS,
     "11-21 a.test no-policy-found a.test success; 11-21 a.test no-policy-found a.test success"},
    {"without I=, a refused recipient before the => belongs to the same session",
     E "** v@a.test R=dns T=smtp H=mx.a.test [192.0.2.1]" TLS " DN=\"\": 550 no\n" E
       "=> u@a.test R=dns T=smtp H=mx.a.test [192.0.2.1]" TLS,
     "11-21 a.test no-policy-found a.test success"},
    {"a resumed session counts", E "=> u@a.test" H " X=TLS1.3:(AES_256_GCM:256* CV=yes C=\"250\"",
     "11-21 a.test no-policy-found a.test success"},
    {"a DANE session is the MX's",
     E "=> u@a.test R=dns T=smtp H=mx.a.test DS [192.0.2.1]:25 I=[192.0.2.9]:40001 X=TLS1.3:x:256 CV=dane "
       "C=\"250\"",
     "11-21 a.test tlsa mx.a.test success"},
    {"Exim 4.98's long message id", "2026-11-21 18:21:19 1xUpiB-00000008O9a-0lzz => u@a.test" H TLS,
     "11-21 a.test no-policy-found a.test success"},
    {"process id, milliseconds and zone; the day is UTC's",
     "2026-11-21 00:30:19.123 +0100 [4711] 1xUpiB-0008O9-0l => u@a.test" H TLS,
     "11-20 a.test no-policy-found a.test success"},
    {"through syslog, with Exim's own stamp", "Nov 21 18:21:19 host exim[12]: " E "=> u@a.test" H TLS,
     "11-21 a.test no-policy-found a.test success"},
    {"through syslog, without it",
     "2026-11-21T18:21:19.5+00:00 host exim4[12]: 1xUpiB-0008O9-0l => u@a.test" H TLS,
     "11-21 a.test no-policy-found a.test success"},
    {"case is folded", E "=> User@A.Test R=dns T=smtp H=MX.A.test [192.0.2.1]:25" TLS,
     "11-21 a.test no-policy-found a.test success"},
    {"the handshake failed and mail went in clear",
     E "TLS session: (gnutls_handshake): Handshake failed: delivering unencrypted to H=mx.a.test [192.0.2.1] "
       "(not in "
       "hosts_require_tls)\n" E "=> u@a.test" H " C=\"250 ok\"",
     "11-21 a.test no-policy-found a.test validation-failure mx=mx.a.test ip=192.0.2.1 from=192.0.2.9 "
     "why=(gnutls_handshake): Handshake failed"},
    {"Exim 4.100 writes a blank before the text's colon and no number",
     E "== u@a.test" H " DT=0s : TLS session: (certificate verification failed)",
     "11-21 a.test no-policy-found a.test certificate-host-mismatch mx=mx.a.test ip=192.0.2.1 from=192.0.2.9 "
     "why=-"},
    {"the final failure after many retries",
     E "** u@a.test" H " DT=0s: TLS session: (gnutls_handshake): Handshake failed: retry timeout exceeded",
     "11-21 a.test no-policy-found a.test validation-failure mx=mx.a.test ip=192.0.2.1 from=192.0.2.9 "
     "why=(gnutls_handshake): Handshake failed"},
    {"OpenSSL's words about the certificate come in a line before",
     E "[192.0.2.1] SSL verify error: depth=0 error=certificate has expired cert=/CN=mx\n" E "== u@a.test" H
       " DT=0s: TLS session: (SSL_connect): error:0A000086:SSL routines::certificate verify failed",
     "11-21 a.test no-policy-found a.test certificate-expired mx=mx.a.test ip=192.0.2.1 from=192.0.2.9 "
     "why=-"},
    {"OpenSSL's words about another host's certificate do not count",
     E "[192.0.2.77] SSL verify error: certificate name mismatch: DN=\"/CN=mx\"\n" E "== u@a.test" H
       " DT=0s: TLS session: (SSL_connect): error:0A000086:SSL routines::certificate verify failed",
     "11-21 a.test no-policy-found a.test validation-failure mx=mx.a.test ip=192.0.2.1 from=192.0.2.9 "
     "why=(SSL_connect): error:0A000086:SSL routines::certificate verify failed"},
    {"a failed first MX is the only recipient domain's, when the message is done",
     E
     "DANE attempt failed; TLS connection to mx1.a.test [192.0.2.7]: (gnutls_handshake): Handshake failed\n" E
     "=> u@a.test" H "\n" E "Completed",
     "11-21 a.test tlsa mx1.a.test validation-failure mx=mx1.a.test ip=192.0.2.7 from=- "
     "why=(gnutls_handshake): Handshake failed"},
    {"a failed MX of a message to two domains could be either's: nothing",
     E
     "DANE attempt failed; TLS connection to mx1.a.test [192.0.2.7]: (gnutls_handshake): Handshake failed\n" E
     "=> u@a.test" H "\n" E "=> u@b.test R=dns T=smtp H=mx.b.test [192.0.2.2]:25\n" E "Completed",
     ""},
    {"two recipients share one failed session",
     E "== u@a.test" H " DT=0s: TLS session: (certificate verification failed)\n" E "== v@a.test" H
       " DT=0s: TLS session: (certificate verification failed)",
     "11-21 a.test no-policy-found a.test certificate-host-mismatch mx=mx.a.test ip=192.0.2.1 from=192.0.2.9 "
     "why=-"},
    {"an address literal has no domain",
     E "=> u@[192.0.2.1] R=literal T=smtp H=192.0.2.1 [192.0.2.1]:25 I=[192.0.2.9]:1" TLS, ""},
    /* hostile */
    {"a server's words that look like fields come behind C= and count for nothing",
     E "=> u@a.test" H " C=\"250 X=TLS1.3:x:256 CV=dane\"", ""},
    {"a certificate's name that closes its quotes counts for nothing",
     E "=> u@a.test" H TLS " DN=\"CN=x\" CV=dane H=evil.test [192.0.2.66]:25 \" C=\"250\"",
     "11-21 a.test no-policy-found a.test success"},
    {"a quoted local part may look like anything",
     E "=> \"x R=dns T=smtp H=evil.test [192.0.2.66]:25 X=TLS1.3:x:256 \"@a.test" H " C=\"250\"", ""},
    {"a quoted local part with an escaped quote",
     E "=> \"x\\\" H=evil.test [192.0.2.66] X=TLS \"@a.test" H TLS,
     "11-21 a.test no-policy-found a.test success"},
    {"a quoted original address may look like anything",
     E "=> u@a.test <\"y X=TLS1.3:x:256 \"@b.test>" H " C=\"250\"", ""},
    {"a server's refusal that quotes Exim's words is not Exim's",
     E "== u@a.test" H
       " DT=0s: SMTP error from remote mail server after RCPT TO:<u@a.test>: 450 TLS session: (certificate "
       "verification failed)",
     ""},
    {"a server's words behind Exim's cannot name another host",
     E "TLS session: (x): delivering unencrypted to H=victim.test [192.0.2.50] (not in hosts_require_tls): "
       "delivering "
       "unencrypted to H=mx.a.test [192.0.2.1] (not in hosts_require_tls)\n" E "=> u@a.test" H
       " C=\"250 ok\"",
     "11-21 a.test no-policy-found a.test validation-failure mx=mx.a.test ip=192.0.2.1 from=192.0.2.9 "
     "why=(x): delivering "
     "unencrypted to H=victim.test [192.0.2.50] (not in hosts_require_tls)"},
    {"a subject or helo in an arrival line counts for nothing",
     E "<= s@b.test H=(=> u@a.test R=dns T=smtp H=mx [192.0.2.1] X=TLS) [192.0.2.3] P=esmtp T=\"=> u@a.test "
       "H=mx X=\"",
     ""},
    {"a rejected message's log line counts for nothing",
     "2026-11-21 18:21:19 H=(1xUpiB-0008O9-0l => u@a.test) [192.0.2.3] F=<x> rejected RCPT <y>: no", ""},
    {"no stamp, no line", "1xUpiB-0008O9-0l => u@a.test" H TLS, ""},
    {"a day that does not exist", "2026-02-30 18:21:19 1xUpiB-0008O9-0l => u@a.test" H TLS, ""},
    {"cut lines",
     E "=> u@a.test R=dns T=smtp H=mx.a.test [192.0\n" E "=> u@a.test R=dns T=smtp H=\n" E "=>\n" E "== ",
     ""},
    {"odd brackets",
     E "=> u@a.test R=dns T=smtp H=mx.a.test ]192.0.2.1[:25" TLS "\n" E "H=]: TLS session: x\n" E
       "DANE attempt failed; TLS connection to [[]]: x",
     ""},
};

static void test_exim(void **state)
{
    (void)state;
    check_rows(MTALOG_EXIM, EXIM, ARRAY_COUNT(EXIM));
}

/* ---- Postfix ---- */

#define P     "Nov 21 18:23:07 host postfix/smtp[77]: "
#define EST   "TLS connection established to mx.a.test[192.0.2.1]:25: TLSv1.3 with cipher X (256/256 bits)\n"
#define RELAY "relay=mx.a.test[192.0.2.1]:25, delay=1, delays=0/0/1/0, dsn=2.0.0, "
#define SENT  P "48111AD8A36: to=<u@a.test>, " RELAY "status=sent (250 ok)"
#define DEFER                                                                                                \
    P "48111AD8A36: to=<u@a.test>, relay=mx.a.test[192.0.2.1]:25, delay=1, delays=0/0/1/0, dsn=4.7.5, "      \
      "status=deferred "
#define OK_A "11-21 a.test no-policy-found a.test success"

#define MISMATCH P "warning: MX name 'mx.a.test' does not match STS MX pattern for 'a.test'\n"
#define NO_RELAY                                                                                             \
    P "48111AD8A36: to=<u@a.test>, relay=none, delay=0, delays=0/0/0/0, dsn=4.3.0, status=deferred (server " \
      "unavailable or unable to receive mail)"

static const struct row POSTFIX[] = {
    {"a session and its delivery", P "Trusted " EST SENT, OK_A},
    {"a session without a delivery is nobody's", P "Trusted " EST, ""},
    {"a delivery without TLS", SENT, ""},
    {"another process's session is not this delivery's",
     "Nov 21 18:23:07 host postfix/smtp[78]: Trusted " EST SENT, ""},
    {"another host's process neither", "Nov 21 18:23:07 other postfix/smtp[77]: Trusted " EST SENT, ""},
    {"RFC 3339 stamps; the day is UTC's",
     "2026-11-21T23:30:00.123456-02:00 host postfix/smtp[77]: Trusted " EST
     "2026-11-21T23:30:01.123456-02:00 host postfix/smtp[77]: 48111AD8A36: to=<u@a.test>, " RELAY
     "status=sent (250)",
     "11-22 a.test no-policy-found a.test success"},
    {"journalctl -o short-iso",
     "2026-11-21T18:23:07+0000 host postfix/smtp[77]: Trusted " EST
     "2026-11-21T18:23:07+0000 host postfix/smtp[77]: 48111AD8A36: to=<u@a.test>, " RELAY "status=sent (250)",
     OK_A},
    {"an instance with a name of its own, and a long queue id",
     "Nov 21 18:23:07 host postfix-out/relay/smtp[77]: Trusted " EST
     "Nov 21 18:23:07 host postfix-out/relay/smtp[77]: 4XyZzb3Qmxz9vBq: to=<u@a.test>, " RELAY
     "status=sent (250)",
     OK_A},
    {"three recipients of one delivery are one session",
     P "Trusted " EST SENT "\n" P "48111AD8A36: to=<v@a.test>, " RELAY "status=sent (250 ok)\n" P
       "48111AD8A36: to=<w@a.test>, " RELAY "status=bounced (host mx said: 550 no)",
     OK_A},
    {"three recipients of one failed attempt are one session",
     DEFER "(TLS is required, but was not offered by host mx.a.test[192.0.2.1])\n" DEFER
           "(TLS is required, but was not offered by host mx.a.test[192.0.2.1])",
     "11-21 a.test no-policy-found a.test starttls-not-supported mx=mx.a.test ip=192.0.2.1 from=- why=-"},
    {"the next attempt of the same mail is another",
     DEFER
     "(TLS is required, but was not offered by host mx.a.test[192.0.2.1])\n" P
     "48111AD8A36: to=<u@a.test>, relay=mx.a.test[192.0.2.1]:25, delay=301, delays=300/0/1/0, dsn=4.7.5, "
     "status=deferred (TLS is required, but was not offered by host mx.a.test[192.0.2.1])",
     "11-21 a.test no-policy-found a.test starttls-not-supported mx=mx.a.test ip=192.0.2.1 from=- why=-; "
     "11-21 a.test no-policy-found a.test starttls-not-supported mx=mx.a.test ip=192.0.2.1 from=- why=-"},
    {"a reused connection adds nothing",
     P "Trusted " EST SENT "\n" P
       "Trusted TLS connection reused to mx.a.test[192.0.2.1]:25: TLSv1.3 with cipher X (256/256 bits)\n" P
       "5754BAD8A69: to=<u@a.test>, relay=mx.a.test[192.0.2.1]:25, conn_use=2, delay=0, delays=0/0/0/0, "
       "dsn=2.0.0, "
       "status=sent (250)",
     OK_A},
    {"orig_to stands between",
     P "Trusted " EST P "48111AD8A36: to=<u@a.test>, orig_to=<x@b.test>, " RELAY "status=sent (250)", OK_A},
    {"an IPv6 server",
     P "Verified TLS connection established to mx.a.test[2001:db8::1]:25: TLSv1.3\n" P
       "48111AD8A36: to=<u@a.test>, relay=mx.a.test[2001:db8::1]:25, delay=1, delays=0/0/1/0, dsn=4, "
       "status=deferred "
       "(Server certificate not verified)",
     "11-21 a.test no-policy-found a.test validation-failure mx=mx.a.test ip=2001:db8::1 from=- why=Server "
     "certificate "
     "not verified"},
    {"the first words about a certificate count",
     P "server certificate verification failed for mx.a.test[192.0.2.1]:25: certificate has expired\n" P
       "server certificate verification failed for mx.a.test[192.0.2.1]:25: num=62:hostname mismatch\n" P
       "Untrusted " EST DEFER "(Server certificate not verified)",
     "11-21 a.test no-policy-found a.test certificate-expired mx=mx.a.test ip=192.0.2.1 from=- why=-"},
    {"words about a certificate do not fail a session that was good enough",
     P "certificate verification failed for mx.a.test[192.0.2.1]:25: untrusted issuer /CN=x\n" P
       "Untrusted " EST SENT,
     OK_A},
    {"OpenSSL's words are the reason",
     P
     "SSL_connect error to mx.a.test[192.0.2.1]:25: -1\n" P
     "warning: TLS library problem: error:0A00010B:SSL routines::wrong version number:../ssl/x.c:350:\n" DEFER
     "(Cannot start TLS: handshake failure)",
     "11-21 a.test no-policy-found a.test validation-failure mx=mx.a.test ip=192.0.2.1 from=- "
     "why=SSL_connect error: wrong "
     "version number"},
    /* Postfix's own TLSRPT lines */
    {"a TLSRPT line is told, and its session not again",
     P "Trusted " EST P
       "TLSRPT: status=success, domain=nexthop.test, receiving_mx=mx.a.test[192.0.2.1]\n" SENT,
     "11-21 nexthop.test no-policy-found nexthop.test success"},
    {"behind a TLSRPT line of that host, sessions without one were left out on purpose",
     P "TLSRPT: status=success, domain=b.test, receiving_mx=mx.b.test[192.0.2.2]\n" P "Trusted " EST SENT,
     "11-21 b.test no-policy-found b.test success"},
    {"but not on another host",
     "Nov 21 18:23:07 new postfix/smtp[77]: TLSRPT: status=success, domain=b.test, "
     "receiving_mx=mx.b.test[192.0.2.2]\n" P "Trusted " EST SENT,
     OK_A "; 11-21 b.test no-policy-found b.test success"},
    /* Postfix >= 3.11 names the level */
    {"tls=dane",
     P "TLSRPT: status=success, domain=a.test, receiving_mx=mx.a.test[192.0.2.1]\n" P
       "48111AD8A36: to=<u@a.test>, relay=mx.a.test[192.0.2.1]:25, delay=1, delays=0/0/1/0, tls=dane, dsn=2, "
       "status=sent (250)",
     "11-21 a.test tlsa mx.a.test success"},
    {"tls=!dane",
     P
     "TLSRPT: status=failure, domain=a.test, receiving_mx=mx.a.test[192.0.2.1], "
     "failure_type=starttls_not_supported\n" P
     "48111AD8A36: to=<u@a.test>, relay=mx.a.test[192.0.2.1]:25, delay=1, delays=0/0/1/0, tls=!dane, dsn=4, "
     "status=deferred (TLS is required, but was not offered by host mx.a.test[192.0.2.1])",
     "11-21 a.test tlsa mx.a.test starttls-not-supported mx=mx.a.test ip=192.0.2.1 from=- why=-"},
    {"tls=may",
     P "Verified " EST P
       "48111AD8A36: to=<u@a.test>, relay=mx.a.test[192.0.2.1]:25, delay=1, delays=0/0/1/0, tls=may, dsn=2, "
       "status=sent (250)",
     OK_A},
    {"the level of the last MX says nothing about the one before",
     P "TLSRPT: status=failure, domain=a.test, receiving_mx=mx.b.test[192.0.2.2], "
       "failure_type=starttls_not_supported\n" P
       "TLSRPT: status=success, domain=a.test, receiving_mx=mx.a.test[192.0.2.1]\n" P
       "48111AD8A36: to=<u@a.test>, relay=mx.a.test[192.0.2.1]:25, delay=1, delays=0/0/1/0, tls=dane, dsn=2, "
       "status=sent (250)",
     "11-21 a.test no-policy-found a.test starttls-not-supported mx=mx.b.test ip=192.0.2.2 from=- why=-; "
     "11-21 a.test tlsa mx.a.test success"},
    /* MX hosts outside an MTA-STS policy */
    {"no MX host is in the policy: one failure for the attempt",
     MISMATCH P "warning: MX name 'mx2.a.test' does not match STS MX pattern for 'a.test'\n" NO_RELAY
                "\n" NO_RELAY,
     "11-21 a.test sts a.test validation-failure mx=mx.a.test ip=- from=- why=mtasts-policy-mx-mismatch"},
    {"another MX host is in the policy",
     MISMATCH P "Verified TLS connection established to mx2.a.test[192.0.2.2]:25: TLSv1.3\n" P
                "48111AD8A36: to=<u@a.test>, relay=mx2.a.test[192.0.2.2]:25, delay=1, delays=0/0/1/0, dsn=2, "
                "status=sent "
                "(250)",
     OK_A},
    {"the other MX host refused the connection",
     MISMATCH P "48111AD8A36: to=<u@a.test>, relay=mx2.a.test[192.0.2.2]:25, delay=1, delays=0/0/1/0, dsn=4, "
                "status=deferred (lost connection)",
     ""},
    {"a warning that is not whole",
     P "warning: MX name 'mx.a.test' does not match STS MX pattern for 'a.test\n" P
       "warning: MX name 'x\n" NO_RELAY,
     ""},
    {"a TLSRPT failure with a reason, and one about the policy",
     P "TLSRPT: status=failure, domain=a.test, receiving_mx=mx.a.test[192.0.2.1], "
       "failure_type=validation_failure, "
       "failure_reason=tls-handshake-failure\n" P
       "TLSRPT: status=failure, domain=a.test, receiving_mx=mx.a.test[192.0.2.1], "
       "failure_type=sts_policy_invalid",
     "11-21 a.test no-policy-found a.test validation-failure mx=mx.a.test ip=192.0.2.1 from=- "
     "why=tls-handshake-failure; "
     "11-21 a.test sts a.test sts-policy-invalid mx=mx.a.test ip=192.0.2.1 from=- why=-"},
    {"a failure type of the future",
     P "TLSRPT: status=failure, domain=a.test, receiving_mx=mx.a.test[192.0.2.1], failure_type=new_thing",
     "11-21 a.test no-policy-found a.test validation-failure mx=mx.a.test ip=192.0.2.1 from=- why=new_thing"},
    {"Postfix 3.11 names the level",
     P "Verified " EST P
       "48111AD8A36: to=<u@a.test>, relay=mx.a.test[192.0.2.1]:25, delay=1, delays=0/0/1/0, tls=dane, "
       "dsn=2.0.0, status=sent (250)",
     "11-21 a.test tlsa mx.a.test success"},
    /* policy plug-ins */
    {"postfix-tlspol said MTA-STS",
     "Nov 21 18:23:06 host postfix-tlspol[5]: INFO  Evaluated policy for \"a.test\": secure match=mx.a.test "
     "servername=hostname (cached for 1d)\n" P "Verified " EST SENT,
     "11-21 a.test sts a.test success"},
    {"postfix-tlspol with colours said DANE",
     "Nov 21 18:23:06 host postfix-tlspol[5]: #033[92mINFO  Evaluated policy for \"a.test\": dane-only (from "
     "cache)\n" P "Verified " EST SENT,
     "11-21 a.test tlsa mx.a.test success"},
    {"postfix-tlspol in slog's form",
     "Nov 21 18:23:06 host postfix-tlspol[5]: time=2026-11-21T18:23:06Z level=INFO msg=\"Evaluated policy\" "
     "origin=cache "
     "domain=a.test policy=secure ttl=5\n" P
     "SSL_connect error to mx.a.test[192.0.2.1]:25: lost connection\n" DEFER
     "(Cannot start TLS: handshake failure)",
     "11-21 a.test sts a.test validation-failure mx=mx.a.test ip=192.0.2.1 from=- why=SSL_connect error: "
     "lost connection"},
    {"postfix-tlspol in JSON, then without a policy",
     "Nov 21 18:23:06 host postfix-tlspol[5]: {\"level\":\"INFO\",\"msg\":\"Evaluated "
     "policy\",\"origin\":\"cache\","
     "\"domain\":\"a.test\",\"policy\":\"secure\",\"ttl\":5}\n"
     "Nov 21 18:23:06 host postfix-tlspol[5]: {\"level\":\"INFO\",\"msg\":\"No policy "
     "found\",\"domain\":\"a.test\"}\n" P "Verified " EST SENT,
     OK_A},
    {"a plug-in's word about another domain",
     "Nov 21 18:23:06 host postfix-tlspol[5]: INFO  Evaluated policy for \"b.test\": secure\n" P
     "Verified " EST SENT,
     OK_A},
    {"an encrypted session that nobody verified was not held against the plug-in's policy",
     "Nov 21 18:23:06 host postfix-tlspol[5]: INFO  Evaluated policy for \"a.test\": dane\n" P
     "Untrusted " EST SENT,
     OK_A},
    {"a DANE look-up that failed names domain and host itself",
     P "warning: TLS policy lookup for a.test/mx.a.test: TLSA lookup error for mx.a.test:25",
     "11-21 a.test tlsa mx.a.test dnssec-invalid mx=mx.a.test ip=- from=- why=-"},
    /* hostile */
    {"a server that says TLSRPT in its reply",
     DEFER "(host mx.a.test[192.0.2.1] said: 450 TLSRPT: status=success, domain=victim.test, "
           "receiving_mx=mx[192.0.2.1])",
     ""},
    {"a server that says Postfix's words in its reply",
     DEFER "(host mx.a.test[192.0.2.1] said: 450 Server certificate not verified)", ""},
    {"a server that says a queue line in its reply, for another MX",
     P "48111AD8A36: host mx.a.test[192.0.2.1] said: 450 48111AD8A36: Server certificate not verified\n" P
       "Trusted " EST SENT,
     OK_A},
    {"an escaped newline stays in its line",
     P "Trusted " EST P "48111AD8A36: to=<u@a.test>, " RELAY
       "status=sent (250 ok?Nov 21 18:23:07 host postfix/smtp[77]: "
       "TLSRPT: status=success, domain=victim.test, receiving_mx=mx[192.0.2.1])",
     OK_A},
    {"a quoted recipient that holds a whole status",
     P "Trusted " EST P
       "48111AD8A36: to=<\"x>, relay=evil[192.0.2.66]:25, delays=0/0/0/0, status=sent (\"@a.test>, " RELAY
       "status=sent (250)",
     OK_A},
    {"a quoted original recipient that holds one",
     P "Trusted " EST P
       "48111AD8A36: to=<u@a.test>, orig_to=<\"x>, relay=evil[192.0.2.66]:25, status=deferred (Server "
       "certificate not verified)\"@b.test>, " RELAY "status=sent (250)",
     OK_A},
    {"a recipient that never ends",
     P "Trusted " EST P "48111AD8A36: to=<\"u@a.test>, " RELAY "status=sent (250)", ""},
    {"smtpd, cleanup and others never speak for smtp",
     "Nov 21 18:23:07 host postfix/smtpd[77]: Trusted " EST
     "Nov 21 18:23:07 host postfix/smtpd[77]: TLSRPT: status=success, domain=victim.test, "
     "receiving_mx=mx[192.0.2.1]\n"
     "Nov 21 18:23:07 host postfix/cleanup[77]: 48111AD8A36: warning: header Subject: TLSRPT: "
     "status=success, domain=v.test, "
     "receiving_mx=mx[192.0.2.1]\n"
     "Nov 21 18:23:07 host myapp[77]: TLSRPT: status=success, domain=victim.test, receiving_mx=mx[192.0.2.1]",
     ""},
    {"words and queue ids are told apart",
     P "warning: to=<u@a.test>, " RELAY "status=deferred (Server certificate not verified)", ""},
    {"a peer with a blank in its name",
     P "TLSRPT: status=success, domain=a.test, receiving_mx=mx a[192.0.2.1]", ""},
    {"cut lines",
     P "Trusted TLS connection established to\n" P
       "Trusted TLS connection established to mx.a.test[192.0.2.1\n" P "SSL_connect error to mx[1]\n" P
       "48111AD8A36: to=<u@a.test>, relay=mx[1]:25, status=\n" P "48111AD8A36: to=<\n" P
       "TLSRPT: status=failure, domain=a.test, receiving_mx=mx[192.0.2.1]\nNov 21 18:23:07 host "
       "postfix/smtp[77]\n"
       "Nov 21 18:23:07 host\nNov 21\n\n",
     ""},
};

static void test_postfix(void **state)
{
    (void)state;
    check_rows(MTALOG_POSTFIX, POSTFIX, ARRAY_COUNT(POSTFIX));
}

/* ---- settings ---- */

static const char *emitted_with(const struct mtalog_settings *settings, const char *lines)
{
    static struct emitted emitted;
    struct mtalog_settings used = *settings;

    emitted.text[0] = '\0';
    used.on_result = emit;
    used.context = &emitted;
    read_lines(&used, lines, NULL);
    return emitted.text;
}

static void test_only_mx_mismatch(void **state)
{
    const struct mtalog_settings settings = {.mta = MTALOG_POSTFIX, .only_mx_mismatch = true};

    (void)state;
    assert_string_equal(emitted_with(&settings, MISMATCH NO_RELAY),
                        "11-21 a.test sts a.test validation-failure mx=mx.a.test ip=- from=- "
                        "why=mtasts-policy-mx-mismatch");
    assert_string_equal(emitted_with(&settings, P "Trusted " EST SENT), "");
    assert_string_equal(emitted_with(&settings, DEFER "(Cannot start TLS: handshake failure)"), "");
    assert_string_equal(
        emitted_with(&settings,
                     P "TLSRPT: status=success, domain=a.test, receiving_mx=mx.a.test[192.0.2.1]\n" SENT),
        "");
}

/* DNS says so of every host. */
static enum mtalog_dane say(void *context, struct span mx, bool is_needed)
{
    (void)mx;
    (void)is_needed;
    return *(const enum mtalog_dane *)context;
}

static void test_dane_by_lookup(void **state)
{
    static const struct {
        const char *sentence, *lines;
        enum mtalog_dane dane;
        enum policy_type mandatory_tls;
        const char *want;
    } ROWS[] = {
        {"verified, and there are TLSA records", P "Verified " EST SENT, MTALOG_DANE_YES,
         POLICY_NO_POLICY_FOUND, "11-21 a.test tlsa mx.a.test success"},
        {"not verified, though there are", P "Trusted " EST SENT, MTALOG_DANE_YES, POLICY_NO_POLICY_FOUND,
         OK_A},
        {"verified without", P "Verified " EST SENT, MTALOG_DANE_NO, POLICY_NO_POLICY_FOUND, OK_A},
        {"DNS is believed more than --mandatory-tls dane", P "Verified " EST SENT, MTALOG_DANE_NO,
         POLICY_TLSA, OK_A},
        {"which counts where DNS says nothing", P "Verified " EST SENT, MTALOG_DANE_UNKNOWN, POLICY_TLSA,
         "11-21 a.test tlsa mx.a.test success"},
        {"--mandatory-tls sts is about those without DANE", P "Verified " EST SENT, MTALOG_DANE_NO,
         POLICY_STS, "11-21 a.test sts a.test success"},
        {"a broken handshake", DEFER "(Cannot start TLS: handshake failure)", MTALOG_DANE_YES,
         POLICY_NO_POLICY_FOUND,
         "11-21 a.test tlsa mx.a.test validation-failure mx=mx.a.test ip=192.0.2.1 from=- why=Cannot start "
         "TLS: "
         "handshake failure"},
        {"a Postfix that does not do DANE",
         P "Trusted " EST SENT "\n" DEFER "(Cannot start TLS: handshake failure)", MTALOG_DANE_YES,
         POLICY_NO_POLICY_FOUND,
         OK_A "; 11-21 a.test no-policy-found a.test validation-failure mx=mx.a.test ip=192.0.2.1 from=- "
              "why=Cannot "
              "start TLS: handshake failure"},
        {"tls=may says that it was not DANE",
         P "Verified " EST P
           "48111AD8A36: to=<u@a.test>, relay=mx.a.test[192.0.2.1]:25, delay=1, delays=0/0/1/0, "
           "tls=may, dsn=2, status=sent (250)",
         MTALOG_DANE_YES, POLICY_NO_POLICY_FOUND, OK_A},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        enum mtalog_dane dane = ROWS[i].dane;
        const struct mtalog_settings settings = {.mta = MTALOG_POSTFIX,
                                                 .mandatory_tls = ROWS[i].mandatory_tls,
                                                 .dane_of = say,
                                                 .dane_context = &dane};
        const char *got = emitted_with(&settings, ROWS[i].lines);

        if (strcmp(got, ROWS[i].want) != 0)
            fail_msg("%s\n got  %s\n want %s", ROWS[i].sentence, got, ROWS[i].want);
    }
}

static void test_mandatory_tls_and_relays(void **state)
{
    static const struct mtalog_relay RELAYS[] = {{"mx.a.test", "nexthop.test"}, {"MX.B.test", NULL}};
    struct mtalog_settings settings = {.mta = MTALOG_POSTFIX, .mandatory_tls = POLICY_TLSA};

    (void)state;
    assert_string_equal(emitted_with(&settings, P "Verified " EST SENT),
                        "11-21 a.test tlsa mx.a.test success");
    assert_string_equal(emitted_with(&settings, P "Trusted " EST SENT), OK_A);
    assert_string_equal(
        emitted_with(&settings, DEFER "(TLS is required, but was not offered by host mx.a.test[192.0.2.1])"),
        "11-21 a.test tlsa mx.a.test starttls-not-supported mx=mx.a.test ip=192.0.2.1 from=- why=-");
    settings.mandatory_tls = POLICY_STS;
    assert_string_equal(emitted_with(&settings, P "Verified " EST SENT), "11-21 a.test sts a.test success");
    settings.relays = RELAYS;
    settings.relay_count = ARRAY_COUNT(RELAYS);
    assert_string_equal(emitted_with(&settings, P "Trusted " EST SENT),
                        "11-21 nexthop.test no-policy-found nexthop.test success");
    settings.mta = MTALOG_EXIM;
    assert_string_equal(
        emitted_with(&settings, E "=> u@b.test R=x T=smtp H=mx.b.test [192.0.2.2]:25 I=[192.0.2.9]:1" TLS),
        "");
}

/* Our own reports are no sessions to report about. */
static void test_ignored_senders(void **state)
{
    static const char *const SENDERS[] = {"reports@us.test"};
    struct mtalog_settings settings = {.mta = MTALOG_POSTFIX,
                                       .mandatory_tls = POLICY_NO_POLICY_FOUND,
                                       .ignored_senders = SENDERS,
                                       .ignored_sender_count = 1};

    (void)state;
    assert_string_equal(
        emitted_with(
            &settings,
            "Nov 21 18:23:07 host postfix/qmgr[5]: 48111AD8A36: from=<Reports@us.test>, size=9, nrcpt=1\n" P
            "Trusted " EST SENT),
        "");
    assert_string_equal(
        emitted_with(
            &settings,
            "Nov 21 18:23:07 host postfix/qmgr[5]: 48111AD8A36: from=<other@us.test>, size=9, nrcpt=1\n" P
            "Trusted " EST SENT),
        OK_A);
    settings.mta = MTALOG_EXIM;
    assert_string_equal(emitted_with(&settings, E "<= reports@us.test U=x\n" E "=> u@a.test" H TLS), "");
    assert_string_equal(emitted_with(&settings, E "<= reports@us.test.evil U=x\n" E "=> u@a.test" H TLS),
                        "11-21 a.test no-policy-found a.test success");
}

/* ---- limits ---- */

static void test_what_is_left_out_is_counted(void **state)
{
    static char line[MTALOG_LINE_MAX + 64];
    struct emitted emitted = {""};
    const struct mtalog_settings settings = {.mta = MTALOG_EXIM, .on_result = emit, .context = &emitted};
    struct mtalog_counts counts;

    (void)state;
    memset(line, 'x', sizeof line - 1);
    memcpy(line, E "=> u@a.test" H TLS " C=\"", strlen(E "=> u@a.test" H TLS " C=\""));
    read_lines(&settings, line, &counts);
    assert_int_equal(counts.too_long, 1);
    read_lines(&settings, E "=> u@[192.0.2.1] R=l T=s H=h [192.0.2.1]:25 I=[192.0.2.9]:1" TLS, &counts);
    assert_int_equal(counts.no_domain, 1);
    read_lines(&settings,
               E "DANE attempt failed; TLS connection to mx1.a.test [192.0.2.7]: x\n" E "=> u@a.test" H "\n" E
                 "=> u@b.test R=dns T=smtp H=mx.b.test [192.0.2.2]:25\n" E "Completed",
               &counts);
    assert_int_equal(counts.ambiguous, 1);
    assert_string_equal(emitted.text, "");
}

/* More open messages than there are slots: the oldest is settled as far as it is certain, and nothing
 * crashes. */
static void test_more_messages_than_slots(void **state)
{
    static const char FAILURE[] = " DANE attempt failed; TLS connection to mx1.a.test [192.0.2.7]: x";
    struct emitted emitted = {""};
    const struct mtalog_settings settings = {.mta = MTALOG_EXIM, .on_result = emit, .context = &emitted};
    struct mtalog *log;
    struct err err;
    uint64_t offset = 0;

    (void)state;
    assert_int_equal(mtalog_new(&settings, &log, &err), ST_OK);
    mtalog_set_now(log, NOW_S);
    for (unsigned i = 0; i < MTALOG_MESSAGES_MAX + 10; i++) {
        char line[200];
        int len = snprintf(line, sizeof line, "2026-11-21 18:21:19 1x%04u-0008O9-0l%s", i % 10000, FAILURE);

        assert_int_equal(mtalog_feed(log, (struct span){line, (size_t)len}, offset, &err), ST_OK);
        offset += 1000;
    }
    assert_int_equal(mtalog_counts(log)->evicted, 10);
    assert_int_equal(mtalog_replay_offset(log, offset), 10 * 1000);
    assert_int_equal(mtalog_flush(log, &err), ST_OK);
    assert_int_equal(mtalog_counts(log)->ambiguous, MTALOG_MESSAGES_MAX + 10);
    assert_int_equal(mtalog_replay_offset(log, offset), offset);
    mtalog_free(&log);
}

/* What is open for a quarter of an hour of the log's time is closed, on the same line whenever it is read. */
static void test_open_things_are_closed_in_the_logs_time(void **state)
{
    static const char LINES[] =
        E "DANE attempt failed; TLS connection to mx1.a.test [192.0.2.7]: (gnutls_handshake): x\n" E
          "=> u@a.test" H "\n"
          "2026-11-21 18:30:19 1xUpiC-0008O9-0l => u@b.test R=x T=smtp H=mx.b.test [192.0.2.2]:25\n"
          "2026-11-21 18:36:20 1xUpiD-0008O9-0l => u@b.test R=x T=smtp H=mx.b.test [192.0.2.2]:25\n";
    struct emitted emitted = {""};
    const struct mtalog_settings settings = {.mta = MTALOG_EXIM, .on_result = emit, .context = &emitted};
    struct mtalog *log;
    struct err err;
    const char *line = LINES;

    (void)state;
    assert_int_equal(mtalog_new(&settings, &log, &err), ST_OK);
    mtalog_set_now(log, NOW_S);
    for (int i = 0; i < 4; i++) {
        size_t len = strcspn(line, "\n");

        assert_string_equal(emitted.text, "");
        assert_int_equal(mtalog_feed(log, (struct span){line, len}, (uint64_t)(line - LINES), &err), ST_OK);
        line += len + 1;
    }
    assert_string_equal(emitted.text,
                        "11-21 a.test tlsa mx1.a.test validation-failure mx=mx1.a.test ip=192.0.2.7 from=- "
                        "why=(gnutls_handshake): x");
    mtalog_free(&log);
}

/* A stamp without a year belongs to the last such day; TZ decides which hour it is. */
static void test_stamps(void **state)
{
    static const struct {
        const char *sentence, *zone, *stamp;
        int64_t now_s, want_s; /* -1: no stamp */
    } ROWS[] = {
        {"today", "UTC", "Nov 21 18:23:07 ", NOW_S, 1795285387},
        {"a day with one digit", "UTC", "Nov  1 00:00:00 ", NOW_S, 1793491200},
        {"just ahead of the clock, over the turn of the year", "UTC", "Jan  1 00:00:05 ", 1798761590,
         1798761605},
        {"eleven months ago", "UTC", "Dec 31 23:59:59 ", NOW_S, 1767225599},
        {"29 February is the last leap year's", "UTC", "Feb 29 12:00:00 ", NOW_S, 1709208000},
        {"local time", "Asia/Tokyo", "Nov 22 03:23:07 ", NOW_S, 1795285387},
        {"Exim's local time", "America/New_York", "2026-11-21 13:23:07 ", NOW_S, 1795285387},
        {"a zone wins over TZ", "Asia/Tokyo", "2026-11-21T13:23:07-05:00 ", NOW_S, 1795285387},
        {"fraction and Z", "Asia/Tokyo", "2026-11-21T18:23:07.999Z ", NOW_S, 1795285387},
        {"the hour that does not exist in spring", "Europe/Berlin", "2026-03-29 02:30:00 ", NOW_S,
         1774747800},
        {"no such month", "UTC", "Abc 21 18:23:07 ", NOW_S, -1},
        {"no such hour", "UTC", "Nov 21 24:23:07 ", NOW_S, -1},
        {"no such day", "UTC", "2026-11-31T18:23:07Z ", NOW_S, -1},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        const struct span line = {ROWS[i].stamp, strlen(ROWS[i].stamp)};
        struct stamp_reader reader = {.now_s = ROWS[i].now_s};
        int64_t got_s = -1, again_s = -1;

        assert_int_equal(setenv("TZ", ROWS[i].zone, 1), 0);
        assert_int_equal(stamp_length(line), line.len);
        (void)stamp_parse(&reader, line, &got_s);
        (void)stamp_parse(&reader, line, &again_s); /* from its memory */
        if (got_s != ROWS[i].want_s || again_s != got_s)
            fail_msg("%s: got %lld and %lld, want %lld", ROWS[i].sentence, (long long)got_s,
                     (long long)again_s, (long long)ROWS[i].want_s);
    }
    assert_int_equal(setenv("TZ", "UTC", 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exim),
        cmocka_unit_test(test_postfix),
        cmocka_unit_test(test_only_mx_mismatch),
        cmocka_unit_test(test_dane_by_lookup),
        cmocka_unit_test(test_mandatory_tls_and_relays),
        cmocka_unit_test(test_ignored_senders),
        cmocka_unit_test(test_what_is_left_out_is_counted),
        cmocka_unit_test(test_more_messages_than_slots),
        cmocka_unit_test(test_open_things_are_closed_in_the_logs_time),
        cmocka_unit_test(test_stamps),
    };

    (void)setenv("TZ", "UTC", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
