/* SPDX-License-Identifier: MIT */
/*
 * identity.h - who sends the reports: mailboxes and domains that must fit together.
 * Source: RFC 8460 section 5.3 (R42), RFC 7489 section 3.1 (alignment); rfc8460.md C.3.
 */
#ifndef MODEL_IDENTITY_H
#define MODEL_IDENTITY_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"

/*
 * "local@domain" with the domain in canonical form; both live as long as arena.
 * ST_SYNTAX  not a plain addr-spec: dot-atom "@" full domain name (R17)
 * ST_NOMEM
 */
MUST_CHECK enum status identity_mailbox_normalise(const char *text, struct arena *arena,
                                                  const char **mailbox_out, const char **domain_out,
                                                  struct err *err);

/*
 * True if DMARC's relaxed alignment is certain without a list of public suffixes: the canonical names are
 * equal, or one lies below the other.
 */
bool identity_is_aligned(const char *a, const char *b);

#endif
