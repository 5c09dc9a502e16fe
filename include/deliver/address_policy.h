/* SPDX-License-Identifier: MIT */
/*
 * address_policy.h - which addresses and ports a rua may make us connect to: public addresses on the standard
 * port, and what the operator allows in addition.
 *
 * Source: RFC 8460 section 7 (R61).
 * Limits: ADDRESS_POLICY_ITEMS_MAX networks and as many ports.
 */
#ifndef DELIVER_ADDRESS_POLICY_H
#define DELIVER_ADDRESS_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "model/address.h"

#define ADDRESS_POLICY_ITEMS_MAX  64
#define ADDRESS_POLICY_HTTPS_PORT 443

struct address_policy {
    uint16_t standard_port; /* always allowed */
    struct network networks[ADDRESS_POLICY_ITEMS_MAX];
    size_t network_count;
    uint16_t ports[ADDRESS_POLICY_ITEMS_MAX];
    size_t port_count;
};

/*
 * items: networks ("192.0.2.0/24", or one address) that are allowed although they are not public, and ports
 * (":8443") that are allowed in addition to standard_port.
 * ST_CONFIG  an item is neither (err names it), or there are too many
 */
MUST_CHECK enum status address_policy_init(struct address_policy *address_policy, uint16_t standard_port,
                                           const char *const *items, size_t count, struct err *err);

/* What can be said without an address: the port is the usual one or in the list. */
bool address_policy_allows_port(const struct address_policy *address_policy, uint16_t port);
bool address_policy_allows(const struct address_policy *address_policy, const struct address *address,
                           uint16_t port);

#endif
