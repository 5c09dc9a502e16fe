/* SPDX-License-Identifier: MIT */
/* Addresses: canonical text (R25), networks, and which of them a stranger may name (R61). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include "base/attr.h"
#include "model/address.h"

static const struct {
    const char *what;
    const char *text;
    const char *want; /* NULL: not an address */
} TEXTS[] = {
    {"IPv4", "192.0.2.7", "192.0.2.7"},
    {"IPv4 of zeros", "0.0.0.0", "0.0.0.0"},
    {"upper case and leading zeros (R25)", "2001:DB8:0:0::0010", "2001:db8::10"},
    {"all zeros", "0:0:0:0:0:0:0:0", "::"},
    {"loopback", "0:0:0:0:0:0:0:1", "::1"},
    {"the longest run of zeros (RFC 5952 4.2.3)", "2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},
    {"the first of equal runs (RFC 5952 4.2.3)", "2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
    {"one zero is not shortened (RFC 5952 4.2.2)", "2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
    {"one zero written as '::'", "2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
    {"zeros at the end", "2001:db8:1:2:0:0:0:0", "2001:db8:1:2::"},
    {"mapped becomes IPv4 (R25)", "::ffff:192.0.2.7", "192.0.2.7"},
    {"mapped in hexadecimal", "::FFFF:c000:0207", "192.0.2.7"},
    {"two groups at the end are no IPv4 address (RFC 5952 4)", "::9:1", "::9:1"},
    {"IPv4-compatible, deprecated (RFC 4291 2.5.5.1)", "::192.0.2.7", "::c000:207"},
    {"one group at the end", "::0.0.255.255", "::ffff"},
    {"a zero group at the end", "::1:0", "::1:0"},
    {"IPv4 inside NAT64", "64:ff9b::192.0.2.7", "64:ff9b::c000:207"},
    {"longest", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
    {"nothing", "", NULL},
    {"name", "localhost", NULL},
    {"brackets", "[2001:db8::1]", NULL},
    {"zone", "fe80::1%eth0", NULL},
    {"port", "192.0.2.7:25", NULL},
    {"short IPv4", "127.1", NULL},
    {"leading zero", "127.0.0.01", NULL},
    {"hexadecimal", "0x7f.0.0.1", NULL},
    {"256", "256.0.0.1", NULL},
    {"five parts", "1.2.3.4.5", NULL},
    {"blank behind", "192.0.2.7 ", NULL},
    {"two '::'", "2001::db8::1", NULL},
    {"nine groups", "1:2:3:4:5:6:7:8:9", NULL},
    {"five digits", "2001:db800::1", NULL},
    {"longer than any address", "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000", NULL},
};

static void test_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(TEXTS); i++) {
        char got[ADDRESS_TEXT_SIZE] = "";
        struct address address;
        bool is_address = address_parse(TEXTS[i].text, strlen(TEXTS[i].text), &address);

        if (is_address != (TEXTS[i].want != NULL))
            fail_msg("%s: %s: is%s an address", TEXTS[i].what, TEXTS[i].text, is_address ? "" : " not");
        if (!is_address)
            continue;
        address_format(&address, got);
        if (strcmp(got, TEXTS[i].want) != 0)
            fail_msg("%s: got %s, want %s", TEXTS[i].what, got, TEXTS[i].want);
    }
    assert_false(address_parse("1.2.3.4\0x", 9, &(struct address){.len = 0}));
}

static const struct {
    const char *text;
    bool want;
} PUBLIC[] = {
    {"1.1.1.1", true},
    {"0.0.0.0", false},
    {"0.1.2.3", false},
    {"9.255.255.255", true},
    {"10.0.0.0", false},
    {"10.255.255.255", false},
    {"11.0.0.0", true},
    {"100.63.255.255", true},
    {"100.64.0.0", false},
    {"100.127.255.255", false},
    {"100.128.0.0", true},
    {"127.0.0.1", false},
    {"127.255.255.255", false},
    {"169.253.255.255", true},
    {"169.254.169.254", false},
    {"172.15.255.255", true},
    {"172.16.0.1", false},
    {"172.31.255.255", false},
    {"172.32.0.0", true},
    {"192.0.0.8", false},
    {"192.0.2.1", false},
    {"192.88.99.1", false},
    {"192.167.255.255", true},
    {"192.168.0.1", false},
    {"192.169.0.0", true},
    {"198.17.255.255", true},
    {"198.18.0.1", false},
    {"198.19.255.255", false},
    {"198.51.100.1", false},
    {"203.0.113.1", false},
    {"223.255.255.255", true},
    {"224.0.0.1", false},
    {"239.255.255.255", false},
    {"240.0.0.1", false},
    {"255.255.255.255", false},
    {"::", false},
    {"::1", false},
    {"::2", false},
    {"::8.8.8.8", false},
    {"::ffff:1.1.1.1", true},
    {"::ffff:10.0.0.1", false},
    {"::ffff:127.0.0.1", false},
    {"::ffff:169.254.169.254", false},
    {"::ffff:0:8.8.8.8", false},
    {"64:ff9b::1.1.1.1", true},
    {"64:ff9b::10.0.0.1", false},
    {"64:ff9b::127.0.0.1", false},
    {"64:ff9b:1::1.1.1.1", false},
    {"100::1", false},
    {"100:0:0:1::1", false},
    {"2000::1", true},
    {"2001::1", false},
    {"2001:1ff:ffff::1", false},
    {"2001:200::1", true},
    {"2001:db7:ffff::1", true},
    {"2001:db8::1", false},
    {"2001:db9::1", true},
    {"2002:0101:0101::1", true},
    {"2002:0a00:0001::1", false},
    {"2002:7f00:0001::", false},
    {"2002:a9fe:a9fe::1", false},
    {"2a00:1450:4001::1", true},
    {"3ffe:ffff::1", true},
    {"3fff::1", false},
    {"3fff:1000::1", true},
    {"4000::1", false},
    {"5f00::1", false},
    {"fc00::1", false},
    {"fd12:3456::1", false},
    {"fe80::1", false},
    {"febf::1", false},
    {"fec0::1", false},
    {"ff02::1", false},
    {"ff0e::1", false},
};

static void test_public(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(PUBLIC); i++) {
        struct address address;

        assert_true(address_parse(PUBLIC[i].text, strlen(PUBLIC[i].text), &address));
        if (address_is_public(&address) != PUBLIC[i].want)
            fail_msg("%s: want %s", PUBLIC[i].text, PUBLIC[i].want ? "public" : "not public");
    }
}

static const struct {
    const char *network;
    const char *inside; /* NULL: not a network */
    const char *outside;
} NETWORKS[] = {
    {"192.0.2.0/24", "192.0.2.255", "192.0.3.0"},
    {"192.0.2.7", "192.0.2.7", "192.0.2.6"},
    {"0.0.0.0/0", "255.255.255.255", "::1"},
    {"192.0.2.128/25", "192.0.2.128", "192.0.2.127"},
    {"192.0.2.4/31", "192.0.2.5", "192.0.2.6"},
    {"2001:db8::/32", "2001:db8:ffff::", "2001:db9::"},
    {"2001:db8::/29", "2001:dbf::", "2001:dc0::"},
    {"::/0", "2001:db8::1", "192.0.2.1"},
    {"::1", "::1", "::2"},
    {"2001:db8::1/128", "2001:db8::1", "2001:db8::2"},
    {"", NULL, NULL},
    {"/24", NULL, NULL},
    {"192.0.2.0/", NULL, NULL},
    {"192.0.2.0/33", NULL, NULL},
    {"192.0.2.0/-1", NULL, NULL},
    {"192.0.2.0/24x", NULL, NULL},
    {"192.0.2.0/24/24", NULL, NULL},
    {"192.0.2.1/24", NULL, NULL},
    {"2001:db8::/129", NULL, NULL},
    {"2001:db8::1/64", NULL, NULL},
    {"localhost", NULL, NULL},
};

static bool contains(const struct network *network, const char *text)
{
    struct address address;

    assert_true(address_parse(text, strlen(text), &address));
    return network_contains(network, &address);
}

static void test_networks(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(NETWORKS); i++) {
        struct network network;
        bool is_network = network_parse(NETWORKS[i].network, strlen(NETWORKS[i].network), &network);

        if (is_network != (NETWORKS[i].inside != NULL))
            fail_msg("%s: is%s a network", NETWORKS[i].network, is_network ? "" : " not");
        if (is_network && !contains(&network, NETWORKS[i].inside))
            fail_msg("%s does not contain %s", NETWORKS[i].network, NETWORKS[i].inside);
        if (is_network && contains(&network, NETWORKS[i].outside))
            fail_msg("%s contains %s", NETWORKS[i].network, NETWORKS[i].outside);
    }
}

static void test_socket_addresses(void **state)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(0xC0000207)}};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    char text[ADDRESS_TEXT_SIZE];
    struct address address;

    (void)state;
    assert_true(address_from_sockaddr((struct sockaddr *)&in, &address));
    address_format(&address, text);
    assert_string_equal(text, "192.0.2.7");
    assert_int_equal(inet_pton(AF_INET6, "::ffff:10.0.0.1", &in6.sin6_addr), 1);
    assert_true(address_from_sockaddr((struct sockaddr *)&in6, &address));
    assert_int_equal(address.len, 4);
    assert_false(address_is_public(&address));
    assert_int_equal(inet_pton(AF_INET6, "2001:db8::7", &in6.sin6_addr), 1);
    assert_true(address_from_sockaddr((struct sockaddr *)&in6, &address));
    assert_int_equal(address.len, 16);
    assert_false(address_from_sockaddr((struct sockaddr *)&local, &address));
}

int main(void)
{
    static const struct CMUnitTest TESTS[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_public),
        cmocka_unit_test(test_networks),
        cmocka_unit_test(test_socket_addresses),
    };

    return cmocka_run_group_tests_name("address", TESTS, NULL, NULL);
}
