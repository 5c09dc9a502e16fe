/* SPDX-License-Identifier: MIT */
/*
 * fleet_inside.h - what the files of src/fleet share: fleet.c (schema, hosts, leases), session_fleet.c,
 * ledger_fleet.c and push.c.
 */
#ifndef FLEET_FLEET_INSIDE_H
#define FLEET_FLEET_INSIDE_H

#include "base/keyed_hash.h"
#include "fleet/fleet.h"
#include "fleet_sql.h"
#include "pg.h"

#define FLEET_BUCKETS      64
#define FLEET_BUCKETS_TEXT (FLEET_BUCKETS * 4) /* bytes of an array of bucket numbers */

struct push;

struct fleet_pgsql {
    struct fleet base;
    struct pg *pg;
    struct push *push;   /* NULL before fleet_join */
    struct hash_key key; /* of policy, detail and record ids: the same on every host */
    char host[FLEET_HOST_SIZE];
    int64_t window_s;
    int64_t lease_s;
    uint64_t held;    /* bit n: the lease of bucket n is ours */
    uint64_t visited; /* was in this run, or is */
    int64_t epochs[FLEET_BUCKETS];
};

static inline struct fleet_pgsql *fleet_pgsql_of(struct fleet *fleet)
{
    return (struct fleet_pgsql *)fleet;
}

int32_t fleet_bucket(const char *domain);

/* The buckets that the work is about: those held, or all if none is, as an array. */
const char *fleet_scope(const struct fleet_pgsql *fleet, char text_out[FLEET_BUCKETS_TEXT]);

/* How many those are. */
int fleet_scope_count(const struct fleet_pgsql *fleet);

/* Let a transaction fail with ST_BUSY if a lease was taken away, and extend the leases. */
MUST_CHECK enum status fleet_add_fence(const struct fleet_pgsql *fleet, struct pg_batch *batch,
                                       struct err *err);

/* The id of a text (of several: with separators that do not occur in them). */
void fleet_content_id(const struct fleet_pgsql *fleet, const void *bytes, size_t len,
                      char id_out[FLEET_ID_SIZE]);

/* The first column of one row, into the int64_t that context is. */
enum status fleet_take_number(void *context, const struct pg_row *row, struct err *err);

/* Methods of a fleet that have a file of their own: session_fleet.c, ledger_fleet.c. */
enum status fleet_pgsql_open_sessions(struct fleet *fleet, struct session_reader **reader_out,
                                      struct err *err);
enum status fleet_pgsql_open_ledger(struct fleet *fleet, struct ledger **ledger_out, struct err *err);

#endif
