/* SPDX-License-Identifier: MIT */
/*
 * by_https.h - post due reports to their URLs.
 */
#ifndef GENERATE_BY_HTTPS_H
#define GENERATE_BY_HTTPS_H

#include "delivery.h"

/*
 * Look up the hosts of all due posts, then post.  What a server does is the result of a delivery, not an
 * error.
 * ST_NOMEM
 * else      as address_policy_init, https_deliver and the functions of store/ledger.h
 */
MUST_CHECK enum status deliver_https(struct delivery *delivery, struct err *err);

#endif
