/* SPDX-License-Identifier: MIT */
/* Any bytes as a DNS reply, as c-ares hands them over: every list is bounded and in its form. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "resolve/dns_reply.h"

#define REPLY_MAX 65535

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool is_true)
{
    if (!is_true)
        abort();
}

static void check_txt(const uint8_t *data, size_t size, struct arena *arena)
{
    struct span *rrs;
    size_t count, bytes = 0;

    if (dns_reply_txt(data, size, arena, &rrs, &count) != ST_OK)
        return;
    for (size_t i = 0; i < count; i++) {
        require(rrs[i].at[rrs[i].len] == '\0');
        bytes += rrs[i].len;
    }
    require(bytes <= REPLY_MAX);
}

static void check_addresses(const uint8_t *data, size_t size, bool want_ipv6, struct arena *arena)
{
    char text[ADDRESS_TEXT_SIZE];
    struct address *addresses;
    size_t count;

    if (dns_reply_addresses(data, size, want_ipv6, arena, &addresses, &count) != ST_OK)
        return;
    require(count <= DNS_REPLY_ADDRESSES_MAX);
    for (size_t i = 0; i < count; i++)
        address_format(&addresses[i], text);
}

static void check_mx(const uint8_t *data, size_t size, struct arena *arena)
{
    struct mx_host *hosts;
    size_t count;

    if (dns_reply_mx(data, size, 7, arena, &hosts, &count) != ST_OK)
        return;
    require(count <= DNS_REPLY_MX_MAX);
    for (size_t i = 0; i < count; i++)
        require(strspn(hosts[i].host, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == strlen(hosts[i].host) &&
                (i == 0 || hosts[i - 1].preference <= hosts[i].preference));
}

static void check_tlsa(const uint8_t *data, size_t size)
{
    struct tlsa_reply tlsa;

    if (dns_reply_tlsa(data, size, &tlsa) == ST_OK)
        require(tlsa.usable_count <= size / 15);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;

    arena_init(&arena, 4 * DNS_REPLY_ARENA_MAX);
    check_txt(data, size, &arena);
    check_addresses(data, size, false, &arena);
    check_addresses(data, size, true, &arena);
    check_mx(data, size, &arena);
    check_tlsa(data, size);
    arena_done(&arena);
    return 0;
}
