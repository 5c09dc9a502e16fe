/* SPDX-License-Identifier: MIT */
/*
 * ndjson_line.h - the result of one TLS session as any program may write it: a JSON object with RFC 8460's own
 * names.
 *
 * In:     one line, hostile.
 * Out:    a struct session_result in canonical form (model/policy.h).
 * Source: RFC 8460 sections 4.1 to 4.4; the schema is in tlsrpt-gen-log(8).
 * Limits: NDJSON_LINE_BYTES_MAX; RESULT_*_MAX of session_result.h.
 *
 *   "datetime"           when (RFC 3339); missing: when it is read
 *   "tls-report-domain"  whose record asked for reports; missing: the policy-domain
 *   "policy-type"        missing: no-policy-found
 *   "policy-domain"      missing: the tls-report-domain
 *   "policy-string"      an array of strings
 *   "mx-host"            an array of strings
 *   "result-type"        one failure; missing: the session met the policy.  With it: "sending-mta-ip",
 *                        "receiving-mx-hostname", "receiving-mx-helo", "receiving-ip",
 *                        "additional-information", "failure-reason-code"
 *   "failure-details"    in place of these: an array of such objects
 *   "policies"           in place of all but the first two: an array of {"policy": {..}, "failure-details": [..]}
 * Other names are ignored.
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
