/* SPDX-License-Identifier: MIT */
/*
 * mail_route.h - where mail goes: to the relay, or to the mail hosts of each mailbox domain.
 * Source: RFC 5321 section 5.1 (preference, implicit MX), RFC 7505 (null MX).
 *
 * Limits: MX_HOSTS_MAX mail hosts of a domain are looked up, MAIL_TARGETS_MAX of their addresses are tried.
 */
#ifndef GENERATE_MAIL_ROUTE_H
#define GENERATE_MAIL_ROUTE_H

#include <stddef.h>

#include "base/err.h"
#include "deliver/smtp.h"
#include "lane.h"

#define MAIL_TARGETS_MAX 6
#define MAIL_ROUTE_MS    20000 /* a lookup takes no longer: MX, then addresses */

/* The places to try for one mailbox domain, in order. */
struct mail_route {
    struct smtp_target targets[MAIL_TARGETS_MAX];
    size_t target_count;
};

struct mail_routes;

/*
 * destinations: how many the scheduler numbers; direct mode keeps a route for each.
 * ST_CONFIG  relay_auth cannot be read, or it is world-readable; smtp_allow
 * ST_NOMEM
 */
MUST_CHECK enum status mail_routes_open(struct mail_routes **routes_out, struct generator *generator,
                                        size_t destinations, struct err *err);
void mail_routes_close(struct mail_routes **routes);

/* Ask the DNS for the mail hosts of this row's mailbox domain; lane_resolved or lane_result follows. */
void mail_routes_look_up(struct mail_routes *routes, struct lane *lane, const struct scheduler_start *start);

/* The relay; or the route of a destination that was looked up, which lasts while a session holds it. */
const struct mail_route *mail_routes_find(const struct mail_routes *routes, uint32_t destination);

#endif
