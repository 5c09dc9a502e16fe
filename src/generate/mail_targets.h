/* SPDX-License-Identifier: MIT */
/*
 * mail_targets.h - where mail is sent: to the relay, or to the mail hosts of each mailbox domain.
 * Source: RFC 5321 section 5.1 (preference, implicit MX), RFC 7505 (null MX).
 *
 * Limits: at most MAIL_TARGETS_MAX addresses of a domain are tried.
 */
#ifndef GENERATE_MAIL_TARGETS_H
#define GENERATE_MAIL_TARGETS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "deliver/address_policy.h"
#include "deliver/smtp.h"
#include "delivery.h"
#include "model/delivery_result.h"

#define MAIL_TARGETS_MAX 6

/* The places to try for one mailbox domain, in order; or why there is none. */
struct mail_route {
    const char *domain;
    struct smtp_target targets[MAIL_TARGETS_MAX];
    size_t target_count; /* 0: fault says why */
    struct delivery_result fault;
};

struct mail_targets {
    struct arena arena;
    struct address_policy address_policy;
    struct mail_route *routes; /* relay: one; direct: one for each domain, sorted as the items */
    size_t route_count;
    bool is_direct;
};

/*
 * Relay: read the settings.  Direct: look up the mail hosts of every domain of items, which are sorted by
 * domain.  Free with mail_targets_close, also after a failure.
 * ST_CONFIG  relay_auth cannot be read or is world-readable, or smtp_allow is wrong
 * ST_NOMEM
 */
MUST_CHECK enum status mail_targets_open(struct mail_targets *targets, struct generator *generator,
                                         const struct delivery_item *items, size_t count, struct err *err);
void mail_targets_close(struct mail_targets *targets);

/* The route of an item's mailbox domain. */
const struct mail_route *mail_targets_of(const struct mail_targets *targets,
                                         const struct delivery_item *item);

#endif
