/* SPDX-License-Identifier: MIT */
/*
 * detail_text.h - the texts of policies and failure details in the one form that is compared, stored and
 * reported.
 *
 * In: text from outside (a server's EHLO answer, DNS, an MTA), valid UTF-8, NUL bytes possible.
 * Out: a NUL-terminated text in the caller's arena.
 * Source: RFC 8460 section 4.4; rfc8460.md B.2, F and G.1 (R20, R24, R32, R33, R71).
 * Limits: POLICY_LINE_MAX, POLICY_LINES_MAX, DETAIL_*_MAX of policy.h.
 *
 * A canonical text stays as it is (a host name too if it is given behind "250 ").  All functions return
 * ST_NOT_FOUND  nothing usable in it: leave the field out (R32)
 * ST_NOMEM      the arena is full
 */
#ifndef MODEL_DETAIL_TEXT_H
#define MODEL_DETAIL_TEXT_H

#include "base/arena.h"
#include "base/attr.h"
#include "base/cursor.h"
#include "base/err.h"
#include "model/policy.h"

/*
 * The host name in an answer to EHLO: "250-mx.example Hello you\r\n250 SIZE 1" gives "mx.example", canonical
 * as in domain.h.  The reply code may be missing; an address literal or a bad name is ST_NOT_FOUND.
 */
MUST_CHECK enum status detail_text_helo_host(struct span text, struct arena *arena, const char **host_out);

/*
 * A failure reason: each run of blanks and control characters becomes one blank, ends trimmed, noncharacters
 * become U+FFFD, cut between characters to DETAIL_REASON_MAX bytes.
 */
MUST_CHECK enum status detail_text_reason(struct span text, struct arena *arena, const char **reason_out);

/* text itself if it is an absolute URI made only of characters that RFC 3986 allows. */
MUST_CHECK enum status detail_text_uri(struct span text, struct arena *arena, const char **uri_out);

/* The RFC 5952 text of an IP address (R25). */
MUST_CHECK enum status detail_text_address(struct span text, struct arena *arena, const char **address_out);

/*
 * A TLSA record "3 1 1 ab cd.." as "3 1 1 ABCD..": decimal fields in range, single blanks, upper-case
 * hexadecimal of whole bytes (R20).  Longer ones are cut to POLICY_LINE_MAX.
 */
MUST_CHECK enum status detail_text_tlsa(struct span text, struct arena *arena, const char **tlsa_out);

/* One line of an MTA-STS policy, as published but without control characters, cut to POLICY_LINE_MAX. */
MUST_CHECK enum status detail_text_policy_line(struct span text, struct arena *arena, const char **line_out);

/* A TLSRPT record as an MTA saw it: control characters become blanks.  ST_NOT_FOUND: over RESULT_RECORD_MAX. */
MUST_CHECK enum status detail_text_record(struct span text, struct arena *arena, const char **record_out);

/* Sort and drop equal items: the canonical order of a TLSA list (R33). */
void detail_text_sort_unique(struct text_list *list);

#endif
