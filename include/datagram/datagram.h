/* SPDX-License-Identifier: MIT */
/*
 * datagram.h - libtlsrpt's datagram: one JSON object with the result of one session.
 *
 * In:     hostile bytes from a local socket.
 * Out:    a struct session_result in canonical form (model/policy.h).
 * Source: rfc8460.md part G (libtlsrpt's wire format, versions with and without "dpv"); RFC 8460 section 4.
 * Limits: DATAGRAM_*_MAX below and RESULT_*_MAX of session_result.h; items beyond those are left out.
 *
 * A bad optional field is left out; a result is refused only if nothing usable is left.  Three keys are ours,
 * written by the log reader: "utc-day":"YYYY-MM-DD", because it knows the day, and "log-id":"16 hexadecimal
 * digits" with "log-number":N, so that a result that it sends again after it was killed is counted once.
 */
#ifndef DATAGRAM_DATAGRAM_H
#define DATAGRAM_DATAGRAM_H

#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/strbuf.h"
#include "model/session_result.h"

#define DATAGRAM_BYTES_MAX      (256 * 1024)
#define DATAGRAM_DEPTH_MAX      8                  /* nested arrays and objects; libtlsrpt needs 5 */
#define DATAGRAM_CONTAINERS_MAX 10000              /* arrays and objects in all */
#define DATAGRAM_ARENA_BYTES    (32 * 1024 * 1024) /* enough for the largest result and its JSON */

/*
 * Decode one datagram.  Borrows bytes for the call; all that *result_out points to lives in arena.
 * ST_SYNTAX       not a JSON object, no valid "d", "policies" not an array, or no usable policy in it
 * ST_UNSUPPORTED  "dpv" is neither absent nor 1
 * ST_RANGE        larger, deeper or more crowded than the limits
 * ST_NOMEM
 */
MUST_CHECK enum status datagram_decode(const void *bytes, size_t len, struct arena *arena,
                                       struct session_result *result_out, struct err *err);

/*
 * Append the datagram of a canonical result to out, as libtlsrpt 0.5.1 would send it.  Decoding it gives the
 * same result again, without is_repaired and dropped_policies.
 * ST_RANGE  out's limit
 * ST_NOMEM
 */
MUST_CHECK enum status datagram_encode(const struct session_result *result, struct strbuf *out,
                                       struct err *err);

#endif
