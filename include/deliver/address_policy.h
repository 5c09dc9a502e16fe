/* SPDX-License-Identifier: MIT */
/*
 * address_policy.h - where a stranger's rua may make us connect to: public addresses on port 443, and what the
 * operator allows besides.  Source: RFC 8460 section 7 (R61).
 *
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
#define ADDRESS_POLICY_SMTP_PORT  25

struct address_policy {
    uint16_t standard_port; /* always allowed */
    struct network networks[ADDRESS_POLICY_ITEMS_MAX];
    size_t network_count;
    uint16_t ports[ADDRESS_POLICY_ITEMS_MAX];
    size_t port_count;
};

/*
 * items: networks ("192.0.2.0/24", one address) whose addresses pass although they are not public, and
 * ":PORT"s that pass besides standard_port.
 * ST_CONFIG  an item is neither, or there are too many; err names it
 */
MUST_CHECK enum status address_policy_init(struct address_policy *address_policy, uint16_t standard_port,
                                           const char *const *items, size_t count, struct err *err);

/* NULL if fine, else what is wrong with one item: for the options table. */
const char *address_policy_check_item(const char *item);

bool address_policy_allows(const struct address_policy *address_policy, const struct address *address,
                           uint16_t port);

#endif
