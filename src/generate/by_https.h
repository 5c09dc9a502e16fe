/* SPDX-License-Identifier: MIT */
/* by_https.h - the lane of posts (lane.h, LANE_HTTPS).  Source: RFC 8460 section 5.4 (R56 to R61). */
#ifndef GENERATE_BY_HTTPS_H
#define GENERATE_BY_HTTPS_H

#include "deliver/https.h"
#include "lane.h"

/* The pool that the loop lets wait for everything. */
struct https_pool *by_https_pool(const struct lane *lane);

#endif
