/* SPDX-License-Identifier: MIT */
/*
 * tls_reason.h - what the words of an MTA and of its TLS library (GnuTLS, OpenSSL) mean in RFC 8460's terms.
 *
 * In: a text that the MTA itself wrote (never one that begins with a server's words).
 * Out: a result type, and the part of the text that is worth reporting as failure-reason-code.
 * Source: RFC 8460 sections 4.3.1 to 4.3.3; logs and events of Exim 4.96 to 4.100 and Postfix 3.7 to 3.11.
 *
 * The tables are in tls_reason.c, one per kind of text; the first row that fits decides.  A text that no row
 * knows is validation-failure with that text, where the caller already knows that TLS failed.
 */
#ifndef MODEL_TLS_REASON_H
#define MODEL_TLS_REASON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/cursor.h"
#include "model/result_type.h"

struct tls_reason {
    enum result_type result_type;
    bool is_dane;        /* only DANE speaks like this */
    bool may_be_expired; /* the text fits an expired certificate as well as another bad one */
    struct span reason;  /* failure-reason-code, a part of the text; len 0 where the type says it all */
};

/* Why Exim could not deliver ("TLS session: (gnutls_handshake): ..").  False: the text is about something else. */
bool tls_reason_of_exim(struct span text, struct tls_reason *reason_out);

/* The same where TLS is known to have failed: the text after "DANE attempt failed; TLS connection to ..: ". */
void tls_reason_of_exim_session(struct span text, struct tls_reason *reason_out);

/*
 * Why Postfix could not deliver: the text behind "status=deferred (" or "QUEUEID: ".  False: the text is
 * about something else.  needs_certificate_out: the true reason is what Postfix said about the certificate
 * before.
 */
bool tls_reason_of_postfix(struct span text, bool *needs_certificate_out, struct tls_reason *reason_out);

/* What a library says about a certificate ("certificate has expired", "num=62:hostname mismatch"). */
void tls_reason_of_certificate(struct span text, struct tls_reason *reason_out);

/* The words in OpenSSL's "error:0A00010B:SSL routines::wrong version number:FILE:LINE:"; else the whole text. */
struct span tls_reason_openssl_words(struct span text);

/* Exim's name of a DANE failure (its event dane:fail); false if it is unknown. */
bool tls_reason_of_exim_dane(struct span name, enum result_type *type_out);

/* Decide what may_be_expired left open, now that the certificate's last second is known (0: it is not). */
void tls_reason_settle_expiry(struct tls_reason *reason, int64_t not_after_s, int64_t now_s);

#endif
