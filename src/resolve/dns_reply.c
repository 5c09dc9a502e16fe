/* SPDX-License-Identifier: MIT */
/*
 * c-ares parses the message; its lists are copied into the caller's arena, with our limits.
 */
#include "resolve/dns_reply.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

/* The calls that take bytes work with every c-ares from 1.18 on; newer ones only call them old. */
#define CARES_NO_DEPRECATED
#include <ares.h>

#include "model/domain.h"

#define REPLY_MAX 65535

static enum status status_of(int ares_status)
{
    if (ares_status == ARES_SUCCESS || ares_status == ARES_ENODATA)
        return ST_OK;
    return ares_status == ARES_ENOMEM ? ST_NOMEM : ST_SYNTAX;
}

/* ---- TXT ---- */

/* All strings of the RR that begins at string, joined (R2); the next RR's first string in *next_out. */
static enum status join_strings(const struct ares_txt_ext *string, struct arena *arena, struct span *rr_out,
                                const struct ares_txt_ext **next_out)
{
    const struct ares_txt_ext *end = string;
    size_t len = 0;
    char *text;

    do {
        len += end->length;
        end = end->next;
    } while (end != NULL && !end->record_start);
    text = arena_alloc(arena, len + 1);
    if (text == NULL)
        return ST_NOMEM;
    *rr_out = (struct span){.at = text, .len = len};
    for (; string != end; string = string->next) {
        memcpy(text, string->txt, string->length);
        text += string->length;
    }
    *next_out = end;
    return ST_OK;
}

enum status dns_reply_txt(const unsigned char *reply, size_t len, struct arena *arena, struct span **rrs_out,
                          size_t *count_out)
{
    struct ares_txt_ext *strings = NULL;
    const struct ares_txt_ext *next;
    enum status status;
    struct span *rrs;
    size_t count = 0;

    if (len > REPLY_MAX)
        return ST_SYNTAX;
    status = status_of(ares_parse_txt_reply_ext(reply, (int)len, &strings));
    if (status != ST_OK)
        return status;
    for (next = strings; next != NULL; next = next->next)
        count += next->record_start ? 1 : 0;
    rrs = arena_alloc_array(arena, count, sizeof *rrs);
    if (rrs == NULL)
        status = ST_NOMEM;
    next = strings;
    for (size_t i = 0; i < count && status == ST_OK; i++)
        status = join_strings(next, arena, &rrs[i], &next);
    ares_free_data(strings);
    if (status == ST_OK) {
        *rrs_out = rrs;
        *count_out = count;
    }
    return status;
}

/* ---- addresses ---- */

static int parse_ipv4(const unsigned char *reply, size_t len, struct address *addresses, int *count)
{
    struct ares_addrttl found[DNS_REPLY_ADDRESSES_MAX];
    int ares_status;

    *count = DNS_REPLY_ADDRESSES_MAX;
    ares_status = ares_parse_a_reply(reply, (int)len, NULL, found, count);
    for (int i = 0; ares_status == ARES_SUCCESS && i < *count; i++)
        address_from_ipv4((const uint8_t *)&found[i].ipaddr, &addresses[i]);
    return ares_status;
}

static int parse_ipv6(const unsigned char *reply, size_t len, struct address *addresses, int *count)
{
    struct ares_addr6ttl found[DNS_REPLY_ADDRESSES_MAX];
    int ares_status;

    *count = DNS_REPLY_ADDRESSES_MAX;
    ares_status = ares_parse_aaaa_reply(reply, (int)len, NULL, found, count);
    for (int i = 0; ares_status == ARES_SUCCESS && i < *count; i++)
        address_from_ipv6((const uint8_t *)&found[i].ip6addr, &addresses[i]);
    return ares_status;
}

enum status dns_reply_addresses(const unsigned char *reply, size_t len, bool want_ipv6, struct arena *arena,
                                struct address **addresses_out, size_t *count_out)
{
    struct address *addresses = arena_alloc_array(arena, DNS_REPLY_ADDRESSES_MAX, sizeof *addresses);
    enum status status;
    int ares_status;
    int count;

    if (addresses == NULL)
        return ST_NOMEM;
    if (len > REPLY_MAX)
        return ST_SYNTAX;
    ares_status =
        want_ipv6 ? parse_ipv6(reply, len, addresses, &count) : parse_ipv4(reply, len, addresses, &count);
    status = status_of(ares_status);
    if (status == ST_OK) {
        *addresses_out = addresses;
        *count_out = ares_status == ARES_SUCCESS ? (size_t)count : 0;
    }
    return status;
}

/* ---- MX ---- */

struct ranked_mx {
    struct mx_host mx;
    uint32_t lot; /* drawn among equal preferences */
};

static int compare_ranked(const void *left, const void *right)
{
    const struct ranked_mx *a = left;
    const struct ranked_mx *b = right;

    if (a->mx.preference != b->mx.preference)
        return a->mx.preference < b->mx.preference ? -1 : 1;
    return (a->lot > b->lot) - (a->lot < b->lot);
}

/* xorshift32 (Marsaglia): enough to spread load. */
static uint32_t draw(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* Usable hosts of the list into ranked; a name that is none is left out.  ST_SYNTAX: all of them are. */
static enum status collect_mx(const struct ares_mx_reply *list, uint32_t seed, struct arena *arena,
                              struct ranked_mx *ranked, size_t *count_out)
{
    uint32_t state = seed != 0 ? seed : 1;
    const bool is_any = list != NULL;
    size_t count = 0;

    for (; list != NULL && count < DNS_REPLY_MX_MAX; list = list->next) {
        const char *host = "";
        enum status status = ST_OK;

        if (list->host[0] != '\0' && strcmp(list->host, ".") != 0)
            status = domain_normalise(list->host, strlen(list->host), arena, &host, NULL);
        if (status == ST_NOMEM)
            return status;
        if (status == ST_OK)
            ranked[count++] = (struct ranked_mx){{list->priority, host}, draw(&state)};
    }
    *count_out = count;
    return is_any && count == 0 ? ST_SYNTAX : ST_OK;
}

enum status dns_reply_mx(const unsigned char *reply, size_t len, uint32_t seed, struct arena *arena,
                         struct mx_host **hosts_out, size_t *count_out)
{
    struct ranked_mx ranked[DNS_REPLY_MX_MAX];
    struct mx_host *hosts = arena_alloc_array(arena, DNS_REPLY_MX_MAX, sizeof *hosts);
    struct ares_mx_reply *list = NULL;
    enum status status;
    size_t count;

    if (hosts == NULL)
        return ST_NOMEM;
    if (len > REPLY_MAX)
        return ST_SYNTAX;
    status = status_of(ares_parse_mx_reply(reply, (int)len, &list));
    if (status == ST_OK)
        status = collect_mx(list, seed, arena, ranked, &count);
    ares_free_data(list);
    if (status != ST_OK)
        return status;
    qsort(ranked, count, sizeof ranked[0], compare_ranked);
    for (size_t i = 0; i < count; i++)
        hosts[i] = ranked[i].mx;
    *hosts_out = hosts;
    *count_out = count;
    return ST_OK;
}
