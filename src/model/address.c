/* SPDX-License-Identifier: MIT */
/*
 * Addresses are bytes; an IPv4 address mapped into IPv6 becomes IPv4 at once, so that no rule can be passed by
 * writing it the other way.  What counts as public is a table of networks.
 */
#include "model/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/attr.h"
#include "base/cursor.h"

/* Networks that no stranger may send us to (IANA special-purpose registries, RFC 6890). */
static const char *const NOT_PUBLIC[] = {
    "0.0.0.0/8",      "10.0.0.0/8",   "100.64.0.0/10",  "127.0.0.0/8",    "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24",   "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",  "198.51.100.0/24",
    "203.0.113.0/24", "224.0.0.0/3",  "2001::/23",      "2001:db8::/32",  "3fff::/20",
};

/* All IPv6 unicast addresses that were ever given out; the rest is local, multicast or nobody's. */
static const char GLOBAL_UNICAST[] = "2000::/3";

/* IPv6 networks whose addresses hold an IPv4 address, which then decides: where it begins. */
static const struct {
    const char *network;
    uint8_t offset;
} EMBEDDED[] = {
    {"2002::/16", 2},     /* 6to4, RFC 3056 */
    {"64:ff9b::/96", 12}, /* NAT64, RFC 6052 */
};

static const uint8_t ZEROS[12] = {0};
static const uint8_t MAPPED_PREFIX[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};

void address_from_ipv4(const uint8_t bytes[4], struct address *address_out)
{
    *address_out = (struct address){.len = 4};
    memcpy(address_out->bytes, bytes, 4);
}

void address_from_ipv6(const uint8_t bytes[16], struct address *address_out)
{
    if (memcmp(bytes, MAPPED_PREFIX, sizeof MAPPED_PREFIX) == 0) {
        address_from_ipv4(bytes + sizeof MAPPED_PREFIX, address_out);
        return;
    }
    *address_out = (struct address){.len = 16};
    memcpy(address_out->bytes, bytes, 16);
}

bool address_parse(const char *text, size_t len, struct address *address_out)
{
    char copy[ADDRESS_TEXT_SIZE];
    uint8_t bytes[16];

    if (len == 0 || len >= sizeof copy || memchr(text, '\0', len) != NULL)
        return false;
    memcpy(copy, text, len);
    copy[len] = '\0';
    if (inet_pton(AF_INET, copy, bytes) == 1)
        address_from_ipv4(bytes, address_out);
    else if (inet_pton(AF_INET6, copy, bytes) == 1)
        address_from_ipv6(bytes, address_out);
    else
        return false;
    return true;
}

void address_format(const struct address *address, char text_out[ADDRESS_TEXT_SIZE])
{
    const uint8_t *last = address->bytes + sizeof ZEROS;

    /* glibc takes "::9:1" for an embedded IPv4 address and writes "::0.9.0.1", musl does not. */
    if (address->len == 16 && memcmp(address->bytes, ZEROS, sizeof ZEROS) == 0 && (last[0] | last[1]) != 0)
        (void)snprintf(text_out, ADDRESS_TEXT_SIZE, "::%x:%x", (unsigned)(last[0] << 8 | last[1]),
                       (unsigned)(last[2] << 8 | last[3]));
    else /* RFC 5952's form (R25); our tests hold the C library to it */
        (void)inet_ntop(address->len == 4 ? AF_INET : AF_INET6, address->bytes, text_out, ADDRESS_TEXT_SIZE);
}

bool address_from_sockaddr(const struct sockaddr *sockaddr, struct address *address_out)
{
    if (sockaddr->sa_family == AF_INET) {
        struct sockaddr_in in;

        memcpy(&in, sockaddr, sizeof in);
        address_from_ipv4((const uint8_t *)&in.sin_addr, address_out);
        return true;
    }
    if (sockaddr->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;

        memcpy(&in6, sockaddr, sizeof in6);
        address_from_ipv6(in6.sin6_addr.s6_addr, address_out);
        return true;
    }
    return false;
}

/* True if both agree in their first prefix_bits bits. */
static bool same_prefix(const uint8_t *a, const uint8_t *b, unsigned prefix_bits)
{
    unsigned whole = prefix_bits / 8;
    unsigned rest = prefix_bits % 8;

    if (memcmp(a, b, whole) != 0)
        return false;
    return rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
}

bool network_parse(const char *text, size_t len, struct network *network_out)
{
    struct network network;
    struct cursor cursor;
    struct span address;
    uint8_t masked[16] = {0};

    cursor_init(&cursor, text, len);
    address = cursor_take_until(&cursor, "/");
    if (!address_parse(address.at, address.len, &network.address))
        return false;
    network.prefix_bits = (uint8_t)(network.address.len * 8);
    if (cursor_skip_word(&cursor, "/"))
        network.prefix_bits = (uint8_t)cursor_take_number(&cursor, network.prefix_bits);
    if (cursor.is_failed || !cursor_at_end(&cursor))
        return false;
    for (unsigned bit = 0; bit < network.prefix_bits; bit++)
        masked[bit / 8] |= (uint8_t)(network.address.bytes[bit / 8] & (0x80u >> bit % 8));
    if (memcmp(masked, network.address.bytes, network.address.len) != 0)
        return false;
    *network_out = network;
    return true;
}

bool network_contains(const struct network *network, const struct address *address)
{
    return network->address.len == address->len &&
           same_prefix(network->address.bytes, address->bytes, network->prefix_bits);
}

static bool is_within(const struct address *address, const char *text)
{
    struct network network;

    return network_parse(text, strlen(text), &network) && network_contains(&network, address);
}

/* Calls itself once at most: what is embedded is IPv4, and IPv4 embeds nothing. */
static bool is_special(const struct address *address)
{
    for (size_t i = 0; i < ARRAY_COUNT(NOT_PUBLIC); i++)
        if (is_within(address, NOT_PUBLIC[i]))
            return true;
    return address->len == 16 && !is_within(address, GLOBAL_UNICAST);
}

bool address_is_public(const struct address *address)
{
    struct address inner;

    for (size_t i = 0; i < ARRAY_COUNT(EMBEDDED); i++)
        if (is_within(address, EMBEDDED[i].network)) {
            address_from_ipv4(address->bytes + EMBEDDED[i].offset, &inner);
            return !is_special(&inner);
        }
    return !is_special(address);
}
