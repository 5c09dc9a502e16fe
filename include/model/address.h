/* SPDX-License-Identifier: MIT */
/*
 * address.h - IP addresses as text, as networks, and which of them a stranger may make us connect to.
 * Source: RFC 5952 (text form), RFC 8460 section 4.4 (R25), RFC 6890 and its registry (R61).
 */
#ifndef MODEL_ADDRESS_H
#define MODEL_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define ADDRESS_TEXT_SIZE 46 /* longest RFC 5952 text and NUL (INET6_ADDRSTRLEN) */

/* An IPv4 address is kept as itself, not as a mapped IPv6 one. */
struct address {
    uint8_t bytes[16];
    uint8_t len; /* 4 or 16 */
};

struct network {
    struct address address;
    uint8_t prefix_bits; /* 0 .. 32 or 0 .. 128 */
};

/*
 * IPv4 dotted quad or IPv6 text, without brackets, zone or port; ::ffff:a.b.c.d becomes IPv4.
 * False: no address.
 */
bool address_parse(const char *text, size_t len, struct address *address_out);

/* Canonical text: dotted quad or RFC 5952. */
void address_format(const struct address *address, char text_out[ADDRESS_TEXT_SIZE]);

/* From the bytes as they travel; a mapped IPv6 address becomes the IPv4 one. */
void address_from_ipv4(const uint8_t bytes[4], struct address *address_out);
void address_from_ipv6(const uint8_t bytes[16], struct address *address_out);

/* From a socket address of family AF_INET or AF_INET6 (mapped ones become IPv4); false for others. */
bool address_from_sockaddr(const struct sockaddr *sockaddr, struct address *address_out);

/* "192.0.2.0/24", "2001:db8::/32", or one address; host bits must be zero.  False: not a network. */
bool network_parse(const char *text, size_t len, struct network *network_out);

bool network_contains(const struct network *network, const struct address *address);

/*
 * True if the address is a public unicast one.  False for unspecified, loopback, private, shared (CGNAT),
 * link-local, ULA, multicast, documentation, reserved and all of IPv6 outside 2000::/3.  For 6to4 and NAT64
 * forms the IPv4 address inside decides.
 */
bool address_is_public(const struct address *address);

#endif
