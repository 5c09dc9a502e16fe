/* SPDX-License-Identifier: MIT */
/* Signatures and keys.  That others can verify them is shown by tests/flow/test_mail.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "mail/dkim.h"

/* The Ed25519 key that RFC 8463 prints for tests (section A.2, the first of RFC 8032's). */
#define ED25519_PEM                                                                                          \
    "-----BEGIN "                                                                                            \
    "PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"                   \
    "-----END "                                                                                              \
    "PRIVATE KEY-----\n"
#define ED25519_PUBLIC "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="

#define MESSAGE                                                                                              \
    "From: <a@b.example>\r\nTo: <c@d.example>\r\nSubject: one\r\n two\r\nTLS-Required: No\r\n\r\nBody  "     \
    "text \r\n\r\n"

static char folder[] = "/tmp/dkim_test.XXXXXX";
static char file[64];

static int setup(void **state)
{
    struct err err;

    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    (void)snprintf(file, sizeof file, "%s/key.pem", folder);
    return file_replace(file, ED25519_PEM, strlen(ED25519_PEM), 0640, &err) == ST_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    (void)unlink(file);
    return rmdir(folder);
}

static struct dkim_keys *load_one(const char *selector)
{
    const struct dkim_key_setting setting = {selector, DKIM_ED25519_SHA256, file};
    struct dkim_keys *keys = NULL;
    struct err err;

    if (dkim_keys_load(&setting, 1, "b.example", &keys, &err) != ST_OK)
        fail_msg("%s", err.text);
    return keys;
}

static void test_record_to_publish(void **state)
{
    struct dkim_keys *keys = load_one("brisbane");
    struct strbuf name, record;
    struct err err;

    (void)state;
    strbuf_init(&name, 500);
    strbuf_init(&record, 2000);
    assert_int_equal(dkim_keys_count(keys), 1);
    assert_int_equal(dkim_key_record(keys, 0, &name, &record, &err), ST_OK);
    assert_string_equal(name.data, "brisbane._domainkey.b.example");
    assert_string_equal(record.data, "v=DKIM1; k=ed25519; p=" ED25519_PUBLIC);
    strbuf_done(&name);
    strbuf_done(&record);
    dkim_keys_free(&keys);
    assert_null(keys);
    dkim_keys_free(&keys);
    assert_int_equal(dkim_keys_count(NULL), 0);
}

static void sign(const struct dkim_keys *keys, const char *message, struct strbuf *out)
{
    struct err err;

    strbuf_init(out, 10000);
    if (dkim_sign(keys, message, strlen(message), 1773533537, out, &err) != ST_OK)
        fail_msg("%s", err.text);
}

static void test_fields(void **state)
{
    struct dkim_keys *keys = load_one("brisbane");
    struct strbuf got, again;

    (void)state;
    sign(keys, MESSAGE, &got);
    sign(keys, MESSAGE, &again);
    assert_string_equal(got.data, again.data);
    assert_non_null(strstr(got.data,
                           "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed; d=b.example;\r\n"
                           "\ts=brisbane; t=1773533537;\r\n"
                           "\th=From:To:Subject:Date:Message-ID:MIME-Version:Content-Type:\r\n"
                           "\t TLS-Report-Domain:TLS-Report-Submitter:From:To:Subject:Date:\r\n"
                           "\t Message-ID:MIME-Version:Content-Type;\r\n\tbh="));
    assert_null(strstr(got.data, "l="));
    assert_null(strstr(got.data, "TLS-Required"));
    strbuf_done(&got);
    strbuf_done(&again);
    dkim_keys_free(&keys);
}

/* What a relay may change without breaking the signature, and what not; the golden one is MESSAGE. */
static const struct {
    const char *says;
    const char *message;
    bool is_same;
} CHANGES[] = {
    {"TLS-Required goes",
     "From: <a@b.example>\r\nTo: <c@d.example>\r\nSubject: one\r\n two\r\n\r\nBody  text \r\n", true},
    {"blanks and folds",
     "from:   <a@b.example>\r\nTO:\t<c@d.example>  \r\nSubject: one two\r\nTLS-Required: No\r\n\r\nBody "
     "text\r\n",
     true},
    {"a new field on top", "Received: x\r\n" MESSAGE, true},
    {"another From", "From: <x@y.example>\r\n" MESSAGE, false},
    {"another Subject", "Subject: x\r\n" MESSAGE, false},
    {"a To of somebody else on top", "To: x\r\n" MESSAGE, false},
    {"a Date", "Date: x\r\n" MESSAGE, false},
    {"a Message-ID", "Message-ID: x\r\n" MESSAGE, false},
    {"a MIME-Version", "MIME-Version: x\r\n" MESSAGE, false},
    {"a Content-Type", "Content-Type: x\r\n" MESSAGE, false},
    {"another body", MESSAGE "x\r\n", false},
    {"another To", "From: <a@b.example>\r\nTo: <x@d.example>\r\nSubject: one\r\n two\r\n\r\nBody  text \r\n",
     false},
};

static void test_what_is_signed(void **state)
{
    struct dkim_keys *keys = load_one("brisbane");
    struct strbuf want;

    (void)state;
    sign(keys, MESSAGE, &want);
    for (size_t i = 0; i < ARRAY_COUNT(CHANGES); i++) {
        struct strbuf got;

        sign(keys, CHANGES[i].message, &got);
        if ((strcmp(got.data, want.data) == 0) != CHANGES[i].is_same)
            fail_msg("%s: %s", CHANGES[i].says, got.data);
        strbuf_done(&got);
    }
    strbuf_done(&want);
    dkim_keys_free(&keys);
}

static void test_no_end_of_header(void **state)
{
    struct dkim_keys *keys = load_one("brisbane");
    struct strbuf out;
    struct err err;

    (void)state;
    strbuf_init(&out, 10000);
    assert_int_equal(dkim_sign(keys, "From: a\r\n", 9, 0, &out, &err), ST_SYNTAX);
    strbuf_done(&out);
    strbuf_init(&out, 100);
    assert_int_equal(dkim_sign(keys, MESSAGE, strlen(MESSAGE), 0, &out, &err), ST_NOMEM);
    strbuf_done(&out);
    dkim_keys_free(&keys);
}

static enum status load(const struct dkim_key_setting *settings, size_t count, struct err *err)
{
    struct dkim_keys *keys = NULL;
    enum status status = dkim_keys_load(settings, count, "b.example", &keys, err);

    dkim_keys_free(&keys);
    return status;
}

static void expect_refused(const struct dkim_key_setting *settings, size_t count, const char *want)
{
    struct err err = {.text = ""};

    assert_int_equal(load(settings, count, &err), ST_CONFIG);
    if (strstr(err.text, want) == NULL)
        fail_msg("got %s, want %s", err.text, want);
}

static void test_keys_that_are_refused(void **state)
{
    const struct dkim_key_setting same[] = {{"a", DKIM_ED25519_SHA256, file},
                                            {"a", DKIM_ED25519_SHA256, file}};
    const struct dkim_key_setting rsa = {"a", DKIM_RSA_SHA256, file};
    const struct dkim_key_setting gone = {"a", DKIM_RSA_SHA256, "/nonexistent/key.pem"};
    const struct dkim_key_setting not_a_file = {"a", DKIM_RSA_SHA256, folder};
    const struct dkim_key_setting three[3] = {
        {"a", DKIM_ED25519_SHA256, file}, {"b", DKIM_ED25519_SHA256, file}, {"c", DKIM_ED25519_SHA256, file}};
    static const mode_t READABLE[] = {0644, 0604, 0641, 0642};
    char want[100];

    (void)state;
    expect_refused(same, 2, "selector a stands for two keys");
    expect_refused(three, 3, "at most 2");
    expect_refused(&rsa, 1, "not an RSA key");
    expect_refused(&gone, 1, "No such file");
    expect_refused(&not_a_file, 1, "not a file");
    (void)snprintf(want, sizeof want, "others may read it; run: chmod o= %s", file);
    for (size_t i = 0; i < ARRAY_COUNT(READABLE); i++) {
        assert_int_equal(chmod(file, READABLE[i]), 0);
        expect_refused(same, 1, want);
    }
    assert_int_equal(chmod(file, 0600), 0);
    assert_int_equal(load(same, 1, NULL), ST_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_record_to_publish),     cmocka_unit_test(test_fields),
        cmocka_unit_test(test_what_is_signed),        cmocka_unit_test(test_no_end_of_header),
        cmocka_unit_test(test_keys_that_are_refused),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
