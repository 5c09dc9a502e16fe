/* SPDX-License-Identifier: MIT */
/* SipHash-1-3 with 128 bits, against the values of OpenSSL's SIPHASH (openssl mac -macopt c-rounds:1 ...). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/keyed_hash.h"

static void test_known_values(void **state)
{
    static const struct {
        size_t len; /* of the text 00 01 02 ... */
        const char *want;
    } ROWS[] = {
        {0, "e77ebcb22788a5befd62db6add303001"},  {1, "fc6f370460d3eda85e0573cc2b2ff063"},
        {7, "1084b923f2aae0c3a62f2ec80848ab77"},  {8, "aa12fee1d5e3dab4724f16ab35f9c799"},
        {63, "4c5800e34efe426f079f6b0aa75260ad"},
    };
    const struct hash_key key = {{0x0706050403020100, 0x0f0e0d0c0b0a0908}};
    unsigned char text[64];

    (void)state;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (unsigned char)i;
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        struct hash hash = hash_bytes(&key, text, ROWS[i].len);
        char got[33];

        for (int byte = 0; byte < 16; byte++)
            (void)snprintf(got + 2 * byte, 3, "%02x",
                           (unsigned)(hash.words[byte / 8] >> 8 * (byte % 8) & 0xff));
        assert_string_equal(got, ROWS[i].want);
    }
}

static void test_every_byte_and_the_length_matter(void **state)
{
    const struct hash_key key = hash_key_new();
    unsigned char text[40] = {0};
    struct hash before = hash_bytes(&key, text, sizeof text);

    (void)state;
    for (size_t i = 0; i < sizeof text; i++) {
        struct hash shorter = hash_bytes(&key, text, i), changed;

        assert_memory_not_equal(&shorter, &before, sizeof before);
        text[i] ^= 1;
        changed = hash_bytes(&key, text, sizeof text);
        assert_memory_not_equal(&changed, &before, sizeof before);
        text[i] ^= 1;
    }
}

static void test_keys_differ(void **state)
{
    const struct hash_key a = hash_key_new(), b = hash_key_new();
    struct hash of_a = hash_bytes(&a, "x", 1), of_b = hash_bytes(&b, "x", 1);

    (void)state;
    assert_memory_not_equal(&a, &b, sizeof a);
    assert_memory_not_equal(&of_a, &of_b, sizeof of_a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_values),
        cmocka_unit_test(test_every_byte_and_the_length_matter),
        cmocka_unit_test(test_keys_differ),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
