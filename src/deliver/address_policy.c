/* SPDX-License-Identifier: MIT */
#include "deliver/address_policy.h"

#include <string.h>

#include "base/cursor.h"

/* ":8443" */
static bool parse_port(const char *item, uint16_t *port_out)
{
    struct cursor cursor;
    uint64_t port;

    cursor_init(&cursor, item, strlen(item));
    cursor_expect(&cursor, ":");
    port = cursor_take_number(&cursor, UINT16_MAX);
    if (cursor.is_failed || !cursor_at_end(&cursor) || port == 0)
        return false;
    *port_out = (uint16_t)port;
    return true;
}

enum status address_policy_init(struct address_policy *address_policy, uint16_t standard_port,
                                const char *const *items, size_t count, struct err *err)
{
    struct address_policy made = {.standard_port = standard_port};

    if (count > ADDRESS_POLICY_ITEMS_MAX)
        return err_set(err, ST_CONFIG, "more than %d allowed networks and ports", ADDRESS_POLICY_ITEMS_MAX);
    for (size_t i = 0; i < count; i++) {
        if (parse_port(items[i], &made.ports[made.port_count]))
            made.port_count++;
        else if (network_parse(items[i], strlen(items[i]), &made.networks[made.network_count]))
            made.network_count++;
        else
            return err_set(err, ST_CONFIG,
                           "%s: must be an address (192.0.2.1), a network without host bits (192.0.2.0/24, "
                           "fd00::/8) or :PORT",
                           items[i]);
    }
    *address_policy = made;
    return ST_OK;
}

bool address_policy_allows_port(const struct address_policy *address_policy, uint16_t port)
{
    for (size_t i = 0; i < address_policy->port_count; i++)
        if (address_policy->ports[i] == port)
            return true;
    return port == address_policy->standard_port;
}

bool address_policy_allows(const struct address_policy *address_policy, const struct address *address,
                           uint16_t port)
{
    if (!address_policy_allows_port(address_policy, port))
        return false;
    for (size_t i = 0; i < address_policy->network_count; i++)
        if (network_contains(&address_policy->networks[i], address))
            return true;
    return address_is_public(address);
}
