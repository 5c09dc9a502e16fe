/* SPDX-License-Identifier: MIT */
/*
 * fleet_inside.h - what the files of the fleet's store share: fleet.c (schema, hosts, leases),
 * session_fleet.c, ledger_fleet.c and push.c.
 */
#ifndef FLEET_FLEET_INSIDE_H
#define FLEET_FLEET_INSIDE_H

#include "fleet/fleet.h"
#include "fleet_sql.h"
#include "pg.h"

#define FLEET_BUCKETS_TEXT (FLEET_BUCKETS * 4) /* bytes of an array of bucket numbers */

struct fleet {
    struct pg *pg;
    struct hash_key key; /* of policy, detail and record ids: the same on every host */
    char host[FLEET_HOST_SIZE];
    int64_t window_s;
    int64_t lease_s;
    uint64_t held;    /* bit n: the lease of bucket n is ours */
    uint64_t visited; /* was, or is */
    int64_t epochs[FLEET_BUCKETS];
};

/* The buckets that the work is about: those held, or all if none is, as an array. */
const char *fleet_scope(const struct fleet *fleet, char text_out[FLEET_BUCKETS_TEXT]);

/* How many those are. */
int fleet_scope_count(const struct fleet *fleet);

/* Let a transaction fail with ST_BUSY if a lease was taken away, and make the leases last anew. */
MUST_CHECK enum status fleet_add_fence(const struct fleet *fleet, struct pg_batch *batch, struct err *err);

/* The id of a text (of several: with separators that do not occur in them). */
void fleet_content_id(const struct fleet *fleet, const void *bytes, size_t len, char id_out[FLEET_ID_SIZE]);

#endif
