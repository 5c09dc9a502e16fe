/* SPDX-License-Identifier: MIT */
/* DKIM key settings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "../names.h"
#include "model/dkim_key.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dkim_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
