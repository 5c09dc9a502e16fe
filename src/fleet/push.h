/* SPDX-License-Identifier: MIT */
/*
 * push.h - bring what this host counted into the fleet's database.
 *
 * In: sessions.db, which stays as it is.  Out: for each (domain, day, policy, detail) the total that the
 * collector's present instance counted; the database keeps the greatest, so that what is sent twice, late or
 * in part does no harm.  push.db beside sessions.db remembers what was given to which instance: it is written
 * before anything is sent, and what the database did not acknowledge is sent again.
 *
 * Whose count it is: every start of the collector is a new instance.  What a row has grown by since it was
 * looked at last belongs to the instance that is the collector's then; earlier ones keep what they were
 * given.  The sum over the instances is the store's total, also when a store was restored from a backup or
 * copied to another host.
 */
#ifndef FLEET_PUSH_H
#define FLEET_PUSH_H

#include "fleet_inside.h"
#include "store/session_reader.h"

struct push;

/*
 * Open push.db in path (made if missing); owner_out gets the random id of this state folder as a generator.
 * Statuses of db_open
 */
MUST_CHECK enum status push_open(const char *path, char owner_out[FLEET_ID_SIZE], struct push **push_out,
                                 struct err *err);
void push_close(struct push **push);

/* As fleet_push. */
MUST_CHECK enum status push_run(struct push *push, struct fleet_pgsql *fleet, struct session_reader *sessions,
                                int32_t from_day, int64_t now_s, struct fleet_pushed *pushed_out,
                                struct err *err);

#endif
