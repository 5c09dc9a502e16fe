/* SPDX-License-Identifier: MIT */
/*
 * exim_line.h - the result of one TLS session as Exim's event action writes it (conf/exim): one JSON object on
 * one line.
 *
 * In:     hostile bytes from a local stream socket; the texts in them are a remote server's.
 * Out:    a struct session_result in canonical form (model/policy.h), without a day: it is the day of arrival.
 * Source: Exim's specification, chapter "Events"; model/tls_reason.h for the words.
 * Limits: EXIM_LINE_BYTES_MAX.
 *
 * Keys: "v" is "exim1"; "what" is success, failure or clear; "domain", "mx", "ip", "src"; "dane" (yes:
 * verified by DANE), "danefail" (Exim's name of a DANE failure), "notafter" (the certificate's last second),
 * "reason".
 */
#ifndef DATAGRAM_EXIM_LINE_H
#define DATAGRAM_EXIM_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "model/session_result.h"

#define EXIM_LINE_BYTES_MAX   65536
#define EXIM_LINE_ARENA_BYTES 65536

/* Does it look like one, and not like libtlsrpt's datagram? */
bool exim_line_is_one(const void *bytes, size_t len);

/*
 * Decode one line, with or without its newline.  now_s: when it came, to see whether the certificate had
 * expired.  All that *result_out points to lives in arena.
 * ST_NOT_FOUND    nothing to count: a session without TLS that no policy asked for ("clear")
 * ST_SYNTAX       not a JSON object, "what" is none of the three, or no usable domain
 * ST_UNSUPPORTED  "v" is not "exim1"
 * ST_RANGE        longer than EXIM_LINE_BYTES_MAX
 * ST_NOMEM
 */
MUST_CHECK enum status exim_line_decode(const void *bytes, size_t len, int64_t now_s, struct arena *arena,
                                        struct session_result *result_out, struct err *err);

#endif
