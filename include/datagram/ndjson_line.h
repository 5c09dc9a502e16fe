/* SPDX-License-Identifier: MIT */
/*
 * ndjson_line.h - one TLS session's outcome as anything that can write a line may tell it: a JSON object with
 * RFC 8460's own names.
 *
 * In: one line, hostile.  Out: a struct event in canonical form (model/policy.h).
 * Source: RFC 8460 sections 4.1 to 4.4; the schema is in tlsrpt-gen-log(8).
 * Limits: NDJSON_LINE_BYTES_MAX; EVENT_*_MAX of session_result.h.
 *
 *   "datetime"            when (RFC 3339); missing: when it is read
 *   "tls-report-domain"   whose record asked for reports; missing: the policy-domain
 *   "policy-type"         missing: no-policy-found
 *   "policy-domain"       missing: the tls-report-domain
 *   "policy-string", "mx-host"   arrays of strings
 *   "result-type" with "sending-mta-ip", "receiving-mx-hostname", "receiving-mx-helo", "receiving-ip",
 *   "additional-information", "failure-reason-code"   one failure; none of it: the session met the policy
 *   "failure-details"     instead of these: an array of such objects
 *   "policies"            instead of all but the first two: an array of objects {"policy": {..},
 * "failure-details": [..]} Other names are left alone.
 */
#ifndef DATAGRAM_NDJSON_LINE_H
#define DATAGRAM_NDJSON_LINE_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "model/session_result.h"

#define NDJSON_LINE_BYTES_MAX   65536
#define NDJSON_LINE_ARENA_BYTES (1024 * 1024)

/*
 * Decode one line.  *utc_s_out: its "datetime", or now_s.  All that *result_out points to lives in arena.
 * ST_SYNTAX  not a JSON object, no usable domain, an unknown policy-type or result-type, a bad datetime
 * ST_RANGE   longer than NDJSON_LINE_BYTES_MAX
 * ST_NOMEM
 */
MUST_CHECK enum status ndjson_line_decode(const void *bytes, size_t len, int64_t now_s, struct arena *arena,
                                          struct session_result *result_out, int64_t *utc_s_out,
                                          struct err *err);

#endif
