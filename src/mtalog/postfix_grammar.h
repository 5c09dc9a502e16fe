/* SPDX-License-Identifier: MIT */
/*
 * postfix_grammar.h - inside mtalog: parse the lines that Postfix writes.  The grammar is at the head of
 * postfix.c.
 *
 * Texts in them come from servers, senders and DNS: every function refuses a line that is not whole.  Spans
 * borrow the line.
 */
#ifndef MTALOG_POSTFIX_GRAMMAR_H
#define MTALOG_POSTFIX_GRAMMAR_H

#include "session.h"

/* "to=" line. */
struct postfix_recipient {
    struct span queue_id;
    struct span domain;
    struct span host; /* of relay=; len 0: none */
    struct span ip;
    struct span delays;
    struct span tls; /* Postfix >= 3.11: its security level */
    struct span text;
};

/* What a line without a queue id is about. */
enum postfix_kind {
    POSTFIX_TLSRPT,
    POSTFIX_HANDSHAKE_ERROR,
    POSTFIX_CERTIFICATE,
    POSTFIX_LIBRARY_WORDS,
    POSTFIX_POLICY_LOOKUP,
    POSTFIX_OTHER,
};

/* "TLSRPT: status=.." */
struct postfix_tlsrpt {
    struct span domain;
    struct span host;
    struct span ip;
    bool is_failed;
    struct tls_reason reason; /* if is_failed */
};

/* HOST "[" IP "]" [ ":" PORT ]; false if it is none. */
bool postfix_take_peer(struct cursor *cursor, struct span *host_out, struct span *ip_out);

/*
 * A queue id and ": ".  Short ones are upper-case hexadecimal; long ones have at least ten of 52 letters and
 * digits, among them no vowel ("warning" and "TLSRPT" are neither).  len 0 if there is none.
 */
struct span postfix_take_queue_id(struct cursor *cursor);

/* "<" ADDRESS ">": a local part in double quotes may hold anything. */
struct span postfix_take_angle(struct cursor *cursor);

/* What follows "QUEUEID: " of a recipient; fills all but queue_id. */
bool postfix_parse_recipient(struct span rest, struct postfix_recipient *out);

/* The text behind "CLASS TLS connection established to "; false: another line. */
bool postfix_parse_established(struct span message, struct span *rest_out, bool *is_verified_out);

/* Which kind it is, and what follows its first words. */
enum postfix_kind postfix_kind_of(struct span message, struct span *rest_out);

/* What follows "TLSRPT: status=". */
bool postfix_parse_tlsrpt(struct span rest, struct postfix_tlsrpt *out);

/* What postfix-tlspol answered for a domain: policy_out is the first word, len 0 for none. */
bool postfix_parse_plugin(struct span text, struct span *domain_out, struct span *policy_out);

#endif
