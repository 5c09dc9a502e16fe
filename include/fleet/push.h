/* SPDX-License-Identifier: MIT */
/*
 * push.h - bring what this host counted into the fleet's database.
 *
 * In: sessions.db, which stays as it is.  Out: for each (domain, day, policy, detail) the total that the
 * collector's present instance counted; the database keeps the greatest, so that what is sent twice, late or
 * by half does no harm.  push.db beside sessions.db remembers what was given to which instance: before
 * anything is sent it stands there, on the disk; behind it the database may have it or not, and it is sent
 * again.
 *
 * Whose count it is: every start of the collector is a new instance.  What a row has grown by since it was
 * looked at last belongs to the instance that is the collector's then; earlier ones keep what they were
 * given.  The sum over the instances is the store's total, also when a store was restored from a backup or
 * copied to another host.
 */
#ifndef FLEET_PUSH_H
#define FLEET_PUSH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "fleet/fleet.h"
#include "store/session_store.h"

struct push;

/*
 * Open push.db in path (made if missing).
 * Statuses as db_open: ST_UNSUPPORTED, ST_BUSY, ST_FULL, ST_IO, ST_NOMEM
 */
MUST_CHECK enum status push_open(const char *path, struct push **push_out, struct err *err);
void push_close(struct push **push);

/* The random id of this state folder as a generator; lives as long as push. */
const char *push_owner(const struct push *push);

struct push_totals {
    uint64_t examined; /* rows of sessions.db; 0 if nothing was counted since the last push */
    uint64_t sent;     /* rows */
    int64_t complete_through_s;
    bool is_new_day; /* from_day is another than at the last push */
};

/*
 * Send what changed on from_day and later, and how far this host is complete; but nothing of days that are
 * closed in sessions: those the host has reported alone, before it joined.  sessions is a SQLite store opened
 * for reading.  After a failure everything that was not acknowledged is sent by the next call. Statuses of
 * the stores and of pg_batch_run
 */
MUST_CHECK enum status push_run(struct push *push, struct fleet *fleet, struct session_store *sessions,
                                int32_t from_day, int64_t now_s, struct push_totals *totals_out,
                                struct err *err);

#endif
