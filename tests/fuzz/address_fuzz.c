/* SPDX-License-Identifier: MIT */
/* Any bytes as an address, a network and a day: what is accepted reads back as itself. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/address.h"
#include "model/utc_day.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool is_true)
{
    if (!is_true)
        abort();
}

static void check_address(const char *text, size_t len)
{
    struct address address, again;
    char canonical[ADDRESS_TEXT_SIZE], canonical_again[ADDRESS_TEXT_SIZE];

    if (!address_parse(text, len, &address))
        return;
    address_format(&address, canonical);
    require(address_parse(canonical, strlen(canonical), &again) && again.len == address.len);
    require(memcmp(again.bytes, address.bytes, address.len) == 0);
    require(address_is_public(&address) == address_is_public(&again));
    address_format(&again, canonical_again);
    require(strcmp(canonical, canonical_again) == 0);
}

static void check_network(const char *text, size_t len)
{
    struct network network;

    if (network_parse(text, len, &network))
        require(network_contains(&network, &network.address));
}

static void check_day(const char *text)
{
    char again[UTC_DAY_TEXT_SIZE];
    int32_t day;

    if (!utc_day_parse(text, &day))
        return;
    require(day >= 0 && day <= UTC_DAY_MAX);
    utc_day_format(day, again);
    require(strcmp(text, again) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[64];

    check_address((const char *)data, size);
    check_network((const char *)data, size);
    if (size < sizeof text) {
        memcpy(text, data, size);
        text[size] = '\0';
        check_day(text);
    }
    return 0;
}
