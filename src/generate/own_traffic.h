/* SPDX-License-Identifier: MIT */
/*
 * own_traffic.h - no report about reports: a domain gets none if all its sessions of a day carried reports
 * that we mailed to it.  Otherwise two reporters would send each other reports for ever.
 * Source: RFC 8460 section 3 (R50); RFC 8689 helps only if every MTA on the way supports it.
 */
#ifndef GENERATE_OWN_TRAFFIC_H
#define GENERATE_OWN_TRAFFIC_H

#include <stdbool.h>
#include <stdint.h>

#include "generator.h"
#include "model/policy.h"

/*
 * True if no session failed and there were no more sessions than mails of ours to that domain on that day.
 * sessions: summed over the domain's policies.  Statuses of the two stores.
 */
MUST_CHECK enum status own_traffic_is_all(struct generator *generator, int32_t utc_day, const char *domain,
                                          const struct session_counts *sessions, bool *is_all_out,
                                          struct err *err);

#endif
