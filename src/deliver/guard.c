/* SPDX-License-Identifier: MIT */
#include "deliver/guard.h"

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

const char *guard_check_item(const char *item)
{
    struct network network;
    uint16_t port;

    if (network_parse(item, strlen(item), &network) || parse_port(item, &port))
        return NULL;
    return "must be an address (192.0.2.1), a network without host bits (192.0.2.0/24, fd00::/8) or :PORT";
}

enum status guard_init(struct guard *guard, uint16_t standard_port, const char *const *items, size_t count,
                       struct err *err)
{
    struct guard made = {.standard_port = standard_port};

    if (count > GUARD_ITEMS_MAX)
        return err_set(err, ST_CONFIG, "more than %d allowed networks and ports", GUARD_ITEMS_MAX);
    for (size_t i = 0; i < count; i++) {
        if (parse_port(items[i], &made.ports[made.port_count]))
            made.port_count++;
        else if (network_parse(items[i], strlen(items[i]), &made.networks[made.network_count]))
            made.network_count++;
        else
            return err_set(err, ST_CONFIG, "%s: %s", items[i], guard_check_item(items[i]));
    }
    *guard = made;
    return ST_OK;
}

static bool allows_port(const struct guard *guard, uint16_t port)
{
    for (size_t i = 0; i < guard->port_count; i++)
        if (guard->ports[i] == port)
            return true;
    return port == guard->standard_port;
}

bool guard_allows(const struct guard *guard, const struct address *address, uint16_t port)
{
    if (!allows_port(guard, port))
        return false;
    for (size_t i = 0; i < guard->network_count; i++)
        if (network_contains(&guard->networks[i], address))
            return true;
    return address_is_public(address);
}
