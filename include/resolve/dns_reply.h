/* SPDX-License-Identifier: MIT */
/*
 * dns_reply.h - the records inside a DNS reply, as plain values.
 *
 * In:      the bytes of one reply message (hostile: its content is chosen by whoever owns the name).
 * Out:     the TXT RRs, addresses, MX hosts or TLSA records of its answer section, CNAMEs followed.
 * Source:  RFC 1035; RFC 8460 section 3 (R2: strings of one RR joined, RRs kept apart); RFC 5321 section 5.1.
 * Limits:  a message has at most 65535 bytes, and so have its TXT RRs together; RRs beyond
 *          DNS_REPLY_ADDRESSES_MAX and DNS_REPLY_MX_MAX are left out.
 *
 * All functions: *..._out live as long as arena; a count of 0 is possible.
 * ST_OK
 * ST_SYNTAX  not a reply that can be read
 * ST_NOMEM
 */
#ifndef RESOLVE_DNS_REPLY_H
#define RESOLVE_DNS_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/cursor.h"
#include "base/err.h"
#include "model/address.h"

#define DNS_REPLY_ADDRESSES_MAX 32
#define DNS_REPLY_MX_MAX        20

/* An arena that the answers of every reply fit in. */
#define DNS_REPLY_ARENA_MAX (1024 * 1024)

struct mx_host {
    uint16_t preference;
    const char *host; /* canonical name; "" is the root, a null MX (RFC 7505) */
};

MUST_CHECK enum status dns_reply_txt(const unsigned char *reply, size_t len, struct arena *arena,
                                     struct span **rrs_out, size_t *count_out);

/* A records if want_ipv6 is false, else AAAA records. */
MUST_CHECK enum status dns_reply_addresses(const unsigned char *reply, size_t len, bool want_ipv6,
                                           struct arena *arena, struct address **addresses_out,
                                           size_t *count_out);

/*
 * In the order in which to try them; seed decides among equal preferences (RFC 5321 section 5.1).  Hosts that
 * are no names are left out.
 * ST_SYNTAX  also if none is left: the section forbids to use the domain itself then
 */
MUST_CHECK enum status dns_reply_mx(const unsigned char *reply, size_t len, uint32_t seed,
                                    struct arena *arena, struct mx_host **hosts_out, size_t *count_out);

/* What a reply says about DNSSEC: whether the resolver found it authentic (AD), and how many TLSA records of its
 * answer SMTP can use (RFC 7672 section 3.1: usage 2 or 3, a known selector and matching type). */
struct tlsa_reply {
    bool is_authentic;
    size_t usable_count;
};

/* ST_SYNTAX  also for a reply code other than NOERROR and NXDOMAIN */
MUST_CHECK enum status dns_reply_tlsa(const unsigned char *reply, size_t len, struct tlsa_reply *out);

#endif
