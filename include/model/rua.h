/* SPDX-License-Identifier: MIT */
/*
 * rua.h - one destination of reports: the URI after "rua=" in a TLSRPT record.
 *
 * In:      the bytes of one URI, as split from the record (hostile: anybody can publish it).
 * Out:     struct rua: the URI in one normal form, and its pieces as the mailer and the poster need them.
 * Source:  RFC 8460 section 3 (R9 to R11), RFC 3986 (URI), RFC 6068 (mailto), RFC 5321/5322 (addr-spec).
 * Limits:  RUA_LOCAL_PART_MAX, RUA_ADDRESS_MAX, RUA_URI_MAX.
 *
 * A rua that was read holds printable ASCII only: no control byte, blank, quote-breaking or 8-bit byte can
 * reach a header, a log or a ledger through it, whatever the record said.
 */
#ifndef MODEL_RUA_H
#define MODEL_RUA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "model/address.h"

#define RUA_URI_MAX        4096
#define RUA_LOCAL_PART_MAX 64  /* RFC 5321 section 4.5.3.1.1 */
#define RUA_ADDRESS_MAX    254 /* RFC 5321 section 4.5.3.1.3, without the angle brackets */
#define RUA_HTTPS_PORT     443

enum rua_kind {
    RUA_MAILTO,
    RUA_HTTPS,
};

/* All texts live as long as the arena that the rua was read into; those of the other kind are NULL. */
struct rua {
    enum rua_kind kind;
    const char *uri; /* normal form: equal destinations have equal texts; reads back as itself */

    const char *address;    /* mailto: local_part@domain, ready for RCPT TO and To: */
    const char *local_part; /* mailto: dot-atom, or a quoted string with the fewest quotes possible */
    const char *domain;     /* mailto: canonical name (domain.h), at least two labels */

    const char *host; /* https: canonical name, or address text without brackets */
    bool is_address;  /* https: host is an IP address: host_address, nothing to look up */
    struct address host_address;
    uint16_t port;      /* https: 1 to 65535 */
    const char *target; /* https: path and query as published, begins with '/' */

    bool has_dropped_fields;   /* mailto: "?subject=..." was there and is not used */
    bool has_dropped_fragment; /* "#..." was there and is not used */
};

/* Why a URI cannot be used. */
enum rua_fault {
    RUA_FAULT_NONE = 0,
    RUA_FAULT_EMPTY,
    RUA_FAULT_TOO_LONG,
    RUA_FAULT_LEADING_BLANK,
    RUA_FAULT_NO_SCHEME,
    RUA_FAULT_NO_MAILTO, /* an address without "mailto:" */
    RUA_FAULT_OTHER_SCHEME,
    RUA_FAULT_HTTP,
    RUA_FAULT_EXCLAMATION,
    RUA_FAULT_BACKSLASH,
    RUA_FAULT_BRACKET,
    RUA_FAULT_BYTE,
    RUA_FAULT_PERCENT,
    RUA_FAULT_NO_ADDRESS,
    RUA_FAULT_MAILTO_SLASH,
    RUA_FAULT_CONTROL,
    RUA_FAULT_UTF8,
    RUA_FAULT_SEVERAL,
    RUA_FAULT_DISPLAY_NAME,
    RUA_FAULT_COMMENT,
    RUA_FAULT_LOCAL_PART,
    RUA_FAULT_LOCAL_PART_NON_ASCII,
    RUA_FAULT_LOCAL_PART_LENGTH,
    RUA_FAULT_ADDRESS_LITERAL,
    RUA_FAULT_ADDRESS_LENGTH,
    RUA_FAULT_DOMAIN,
    RUA_FAULT_DOMAIN_SINGLE_LABEL,
    RUA_FAULT_DOMAIN_LOCAL, /* a name of a local network */
    RUA_FAULT_NO_AUTHORITY,
    RUA_FAULT_USERINFO,
    RUA_FAULT_HOST,
    RUA_FAULT_PORT,
    RUA_FAULT_NOMEM, /* not the URI's fault */
    RUA_FAULT_COUNT,
};

/* Half a sentence, "it has no scheme; ...", for people; never NULL. */
const char *rua_fault_words(enum rua_fault fault);

/*
 * Read text[0..len).  Borrows text; *rua_out lives as long as arena.  RUA_FAULT_NONE: *rua_out is set; else
 * it is untouched and the return value says why.
 */
MUST_CHECK enum rua_fault rua_read(const char *text, size_t len, struct arena *arena, struct rua *rua_out);

/*
 * The same for callers that want a status and words.
 * ST_SYNTAX  the URI cannot be used; err says why
 * ST_NOMEM
 */
MUST_CHECK enum status rua_parse(const char *text, size_t len, struct arena *arena, struct rua *rua_out,
                                 struct err *err);

#endif
