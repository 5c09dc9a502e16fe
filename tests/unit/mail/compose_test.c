/* SPDX-License-Identifier: MIT */
/* The mail that brings a report: a golden message, hostile values, names that are not ASCII. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "base/file.h"
#include "mail/base64.h"
#include "mail/compose.h"

#define GOLDEN "tests/data/mail/lantern.eml"

struct values {
    struct report_meta meta;
    struct report_summary summary;
    struct mail_parts parts;
};

/* Worked example 2, with a stand-in for the gzip bytes. */
static void fill(struct values *values)
{
    static const char BYTES[] =
        "\x1f\x8b these bytes stand for a gzip member; they fill more than one line of base64";

    values->meta = (struct report_meta){
        .organization_name = "Seaport Mail Operations",
        .contact_info = "tlsrpt-team@reports.seaport.example",
        .submitter = "reports.seaport.example",
        .domain = "lantern.example",
        .report_id = "1773446400.1.lantern.example@reports.seaport.example",
        .utc_day = 20526,
    };
    values->summary = (struct report_summary){.sessions = {4, 3}, .policies = 1, .details = 2};
    values->summary.failures[RESULT_CERTIFICATE_EXPIRED] = 2;
    values->summary.failures[RESULT_VALIDATION_FAILURE] = 1;
    values->parts = (struct mail_parts){
        .meta = &values->meta,
        .summary = &values->summary,
        .from = "tlsrpt-team@reports.seaport.example",
        .to = "tls@lantern.example",
        .message_id = "1773446400.1.lantern.example.rua2@reports.seaport.example",
        .date_s = 1773533537,
        .file_name = "reports.seaport.example!lantern.example!1773446400!1773532799.json.gz",
        .gzip = BYTES,
        .gzip_len = sizeof BYTES - 1,
    };
}

static void test_golden(void **state)
{
    struct strbuf got, want;
    struct values values;
    struct err err;

    (void)state;
    fill(&values);
    strbuf_init(&got, 1 << 20);
    strbuf_init(&want, 1 << 20);
    assert_int_equal(mail_compose(&values.parts, &got, &err), ST_OK);
    if (getenv("UPDATE_GOLDEN") != NULL)
        assert_int_equal(file_replace(GOLDEN, got.data, got.len, 0644, &err), ST_OK);
    assert_int_equal(file_read(GOLDEN, &want, &err), ST_OK);
    assert_string_equal(got.data, want.data);
    strbuf_reset(&got); /* again: the same bytes */
    assert_int_equal(mail_compose(&values.parts, &got, &err), ST_OK);
    assert_string_equal(got.data, want.data);
    strbuf_done(&got);
    strbuf_done(&want);
}

/* R52: CRLF only, 7bit, no line above 998 bytes. */
static void check_bytes(const struct strbuf *mail)
{
    size_t column = 0;

    for (size_t i = 0; i < mail->len; i++) {
        unsigned char byte = (unsigned char)mail->data[i];

        assert_true(byte < 0x80 && (byte >= ' ' || byte == '\r' || byte == '\n'));
        assert_true((byte == '\n') == (i > 0 && mail->data[i - 1] == '\r'));
        column = byte == '\n' ? 0 : column + 1;
        assert_true(column <= 999);
    }
}

static char LONG_NAME[70001];

static const struct {
    const char *says;
    const char *name;
    const char *want; /* in the message */
} NAMES[] = {
    {"ASCII goes as it is", "Seaport \"Mail\" <Ops>, Inc.", "Sent by:   Seaport \"Mail\" <Ops>, Inc.\r\n"},
    {"UTF-8 goes as quoted-printable",
     "H\xc3\xa4"
     "fen = gut",
     "Sent by:   H=C3=A4fen =3D gut\r\n"},
    {"control characters and bad bytes become ?", "a\r\nBcc: x\xff\x7f", "Sent by:   a??Bcc: x??\r\n"},
    {"a long name is folded", LONG_NAME, "=\r\n"},
};

static void test_organisation_names(void **state)
{
    (void)state;
    memset(LONG_NAME, 'x', sizeof LONG_NAME - 1);
    for (size_t i = 0; i < ARRAY_COUNT(NAMES); i++) {
        struct values values;
        struct strbuf mail;
        struct err err;

        fill(&values);
        values.meta.organization_name = NAMES[i].name;
        strbuf_init(&mail, 1 << 20);
        assert_int_equal(mail_compose(&values.parts, &mail, &err), ST_OK);
        if (strstr(mail.data, NAMES[i].want) == NULL)
            fail_msg("%s: got %s", NAMES[i].says, mail.data);
        check_bytes(&mail);
        strbuf_done(&mail);
    }
}

static const char *const BAD[] = {
    "",
    "a b@lantern.example",
    "a@lantern.example\r\nBcc: x@y.example",
    "a@lantern.example\n",
    "a@lantern.example\r",
    "a@lantern.example>",
    "<a@lantern.example>",
    "a\"b@lantern.example",
    "\"a\r\nb\"@lantern.example",
    "\"a\\\r\nb\"@lantern.example",
    "\"a\"b\"@lantern.example",
    "a@lantern.example\x7f",
    "\xc3\xa4@lantern.example",
    "a@\xe2\x80\xa8.example",
    "a@lantern..example",
    "a@.lantern.example",
    "a;b@lantern.example;",
};

/* R71: whatever stands in it, no value can end its line, its quotes or its brackets. */
static void test_bad_values_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(BAD); i++)
        for (int field = 0; field < 8; field++) {
            struct values values;
            const char **places[] = {&values.parts.from,        &values.parts.to,
                                     &values.parts.message_id,  &values.parts.file_name,
                                     &values.meta.domain,       &values.meta.submitter,
                                     &values.meta.contact_info, &values.meta.report_id};
            struct strbuf mail;
            struct err err;

            fill(&values);
            *places[field] = BAD[i];
            strbuf_init(&mail, 1 << 20);
            if (mail_compose(&values.parts, &mail, &err) != ST_SYNTAX)
                fail_msg("field %d takes %s", field, BAD[i]);
            assert_int_equal(mail.len, 0);
            strbuf_done(&mail);
        }
}

static void test_quoted_local_parts_are_addresses(void **state)
{
    struct values values;
    struct strbuf mail;
    struct err err;

    (void)state;
    fill(&values);
    values.parts.to = "\"t l\\\"s@x\"@lantern.example";
    strbuf_init(&mail, 1 << 20);
    assert_int_equal(mail_compose(&values.parts, &mail, &err), ST_OK);
    assert_non_null(strstr(mail.data, "\r\nTo: <\"t l\\\"s@x\"@lantern.example>\r\n"));
    strbuf_done(&mail);
}

/* R42 */
static void test_contact_of_another_domain(void **state)
{
    struct values values;
    struct strbuf mail;
    struct err err;

    (void)state;
    fill(&values);
    values.meta.contact_info = "tls@other.example";
    strbuf_init(&mail, 1 << 20);
    assert_int_equal(mail_compose(&values.parts, &mail, &err), ST_SYNTAX);
    assert_non_null(strstr(err.text, "contact-info"));
    strbuf_done(&mail);
}

static void test_what_was_left_out_is_said(void **state)
{
    struct values values;
    struct strbuf mail;
    struct err err;

    (void)state;
    fill(&values);
    values.summary.folded = 123;
    values.summary.details = 4567;
    values.summary.clamped = 2;
    values.summary.policies = 3;
    strbuf_init(&mail, 1 << 20);
    assert_int_equal(mail_compose(&values.parts, &mail, &err), ST_OK);
    assert_non_null(strstr(mail.data, "the 123 rarest of its 4567\r\n"));
    assert_non_null(strstr(mail.data, "2 counts in the report stand at 2147483647"));
    assert_non_null(strstr(mail.data, "There were 3 policies"));
    strbuf_done(&mail);
}

static void test_too_large_for_the_buffer(void **state)
{
    struct values values;
    struct strbuf mail;
    struct err err;

    (void)state;
    fill(&values);
    strbuf_init(&mail, 1000);
    assert_int_equal(mail_compose(&values.parts, &mail, &err), ST_RANGE);
    strbuf_done(&mail);
}

static void test_base64(void **state)
{
    static const struct {
        const char *bytes, *want;
    } ROWS[] = {{"", ""},        {"f", "Zg=="},         {"fo", "Zm8="},
                {"foo", "Zm9v"}, {"foob", "Zm9v-Yg=="}, {"foobar", "Zm9v-YmFy"}};
    struct strbuf out;

    (void)state;
    strbuf_init(&out, 100);
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) { /* RFC 4648 section 10, in lines of four */
        strbuf_reset(&out);
        base64_encode(ROWS[i].bytes, strlen(ROWS[i].bytes), 4, "-", &out);
        assert_string_equal(out.data, ROWS[i].want);
    }
    strbuf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_organisation_names),
        cmocka_unit_test(test_bad_values_are_refused),
        cmocka_unit_test(test_quoted_local_parts_are_addresses),
        cmocka_unit_test(test_contact_of_another_domain),
        cmocka_unit_test(test_what_was_left_out_is_said),
        cmocka_unit_test(test_too_large_for_the_buffer),
        cmocka_unit_test(test_base64),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
