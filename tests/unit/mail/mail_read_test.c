/* SPDX-License-Identifier: MIT */
/* Which part of a saved mail is the report, and what the envelope says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "../names.h"
#include "mail/mail_read.h"

#define HEAD  "Subject: a\r\n b\r\nTLS-Report-Domain:  d.example \r\n"
#define PARTS "Content-Type: multipart/report; report-type=tlsrpt; boundary=\"x y\"\r\n\r\n"
#define HUMAN "--x y\r\nContent-Type: text/plain\r\n\r\nhello\r\n"

struct row {
    const char *what;
    const char *mail;
    const char *report; /* NULL: none is found */
    const char *file_name;
    const char *part_type;
};

// clang-format off
static const struct row ROWS[] = {
    {"plain JSON in the second part",
     HEAD PARTS HUMAN "--x y\r\nContent-Type: Application/TLSRPT+JSON; name=\"f.json\"\r\n\r\n{}\r\n--x y--\r\n",
     "{}", "f.json", "application/tlsrpt+json"},
    {"base64, in broken lines",
     HEAD PARTS "--x y\nContent-Type: application/tlsrpt+gzip\nContent-Transfer-Encoding: BASE64\n"
     "Content-Disposition: attachment;\n\tfilename=\"a!b.json.gz\"\n\nH4sI\n AAAA\n--x y--\n",
     "\x1f\x8b\x08", "a!b.json.gz", "application/tlsrpt+gzip"},
    {"quoted-printable",
     HEAD PARTS "--x y\r\nContent-Type: application/tlsrpt+json\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
     "{=22a=22:=\r\n1=}\r\n--x y--", "{\"a\":1=}", "", "application/tlsrpt+json"},
    {"a name in the form of RFC 2231",
     HEAD PARTS "--x y\r\nContent-Type: application/octet-stream\r\n"
     "Content-Disposition: attachment; filename*0*=us-ascii''a%21b; filename*1*=.json\r\n\r\n{}\r\n--x y--",
     "{}", "a!b.json", "application/octet-stream"},
    {"a folder in the name goes",
     HEAD PARTS "--x y\r\nContent-Type: application/tlsrpt+json; name=\"../../etc/x.json\"\r\n\r\n{}\r\n--x y--",
     "{}", "x.json", "application/tlsrpt+json"},
    {"the media type is believed before the name",
     HEAD PARTS "--x y\r\nContent-Type: text/plain; name=no.json\r\n\r\nno\r\n"
     "--x y\r\nContent-Type: application/tlsrpt+json\r\n\r\nyes\r\n--x y--", "yes", "", "application/tlsrpt+json"},
    {"the whole message is the report", "Content-Type: application/tlsrpt+json\n\n{}", "{}", "", "application/tlsrpt+json"},
    {"a report that was forwarded whole",
     "Subject: Fwd\nContent-Type: multipart/mixed; boundary=o\n\n--o\n\nsee below\n--o\nContent-Type: message/rfc822\n\n"
     HEAD PARTS "--x y\r\nContent-Type: application/tlsrpt+json\r\n\r\n{}\r\n--x y--\n--o--\n",
     "{}", "", "application/tlsrpt+json"},
    {"an mbox line in front", "From a@b Thu Jan  1 00:00:00 1970\nContent-Type: application/json\n\n[]", "[]", "", "application/json"},
    {"no report", HEAD PARTS HUMAN "--x y--", NULL, NULL, NULL},
    {"no boundary", HEAD "Content-Type: multipart/report\n\n--\n{}\n", NULL, NULL, NULL},
    {"nothing but a header", "Subject: x", NULL, NULL, NULL},
    {"an endless quoted string", "Content-Type: multipart/report; boundary=\"x\\", NULL, NULL, NULL},
};
// clang-format on

static void the_report_is_found_or_not(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        struct report_envelope got;
        struct strbuf report;
        struct arena arena;
        struct err err;
        enum status status;

        arena_init(&arena, 1 << 20);
        strbuf_init(&report, 1 << 20);
        status = mail_read_report(ROWS[i].mail, strlen(ROWS[i].mail), &arena, &report, &got, &err);
        if (status != (ROWS[i].report != NULL ? ST_OK : ST_NOT_FOUND))
            print_message("%s: %s\n", ROWS[i].what, status_name(status));
        assert_int_equal(status, ROWS[i].report != NULL ? ST_OK : ST_NOT_FOUND);
        if (status == ST_OK) {
            assert_memory_equal(report.data, ROWS[i].report, strlen(ROWS[i].report));
            assert_string_equal(got.file_name, ROWS[i].file_name);
            assert_string_equal(got.part_type, ROWS[i].part_type);
            assert_true(got.is_mail);
        }
        strbuf_done(&report);
        arena_done(&arena);
    }
}

static void the_envelope_is_that_of_the_report(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        struct report_envelope got;
        struct strbuf report;
        struct arena arena;

        if (ROWS[i].report == NULL || strstr(ROWS[i].mail, HEAD) == NULL)
            continue;
        arena_init(&arena, 1 << 20);
        strbuf_init(&report, 1 << 20);
        assert_int_equal(mail_read_report(ROWS[i].mail, strlen(ROWS[i].mail), &arena, &report, &got, NULL),
                         ST_OK);
        assert_string_equal(got.subject, "a b");
        assert_string_equal(got.tls_report_domain, "d.example");
        assert_string_equal(got.media_type, "multipart/report");
        assert_string_equal(got.report_type, "tlsrpt");
        assert_string_equal(got.tls_required, "");
        strbuf_done(&report);
        arena_done(&arena);
    }
}

static void levels_and_parts_have_a_limit(void **state)
{
    struct report_envelope got;
    struct strbuf mail, report;
    struct arena arena;

    (void)state;
    strbuf_init(&mail, 16 << 20);
    strbuf_init(&report, 1 << 20);
    arena_init(&arena, 256 << 20);
    for (int i = 0; i < 1000; i++)
        strbuf_add_text(&mail, "Content-Type: message/rfc822\n\n");
    strbuf_add_text(&mail, "Content-Type: application/tlsrpt+json\n\n{}");
    assert_int_equal(mail_read_report(mail.data, mail.len, &arena, &report, &got, NULL), ST_NOT_FOUND);

    strbuf_reset(&mail);
    strbuf_add_text(&mail, "Content-Type: multipart/mixed; boundary=b\n\n");
    for (int i = 0; i < 100000; i++)
        strbuf_add_text(&mail, "--b\n\n");
    strbuf_add_text(&mail, "--b\nContent-Type: application/tlsrpt+json\n\n{}\n--b--\n");
    assert_int_equal(mail_read_report(mail.data, mail.len, &arena, &report, &got, NULL), ST_NOT_FOUND);
    arena_done(&arena);
    strbuf_done(&report);
    strbuf_done(&mail);
}

static void a_mail_is_recognized(void **state)
{
    static const struct {
        const char *bytes;
        bool want;
    } BYTES[] = {
        {"Subject: x\n", true},    {"From a@b Thu", true},   {"Return-Path: <>\r\n", true},
        {"{\"a\": 1}", false},     {"\x1f\x8b\x08", false},  {"", false},
        {"hello world: x", false}, {"\xEF\xBB\xBF{", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(BYTES); i++)
        assert_int_equal(mail_read_is_mail(BYTES[i].bytes, strlen(BYTES[i].bytes)), BYTES[i].want);
}

int main(void)
{
    const struct CMUnitTest TESTS[] = {
        cmocka_unit_test(the_report_is_found_or_not),
        cmocka_unit_test(the_envelope_is_that_of_the_report),
        cmocka_unit_test(levels_and_parts_have_a_limit),
        cmocka_unit_test(a_mail_is_recognized),
    };

    return cmocka_run_group_tests(TESTS, NULL, NULL);
}
