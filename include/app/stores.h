/* SPDX-License-Identifier: MIT */
/*
 * stores.h - which stores the settings mean: sessions.db and reports.db of this host, or a fleet's database.
 */
#ifndef APP_STORES_H
#define APP_STORES_H

#include <limits.h>
#include <stdbool.h>

#include "base/err.h"
#include "fleet/fleet.h"
#include "model/config.h"
#include "store/ledger.h"
#include "store/session_reader.h"

/* "STATE_DIR/name".  ST_CONFIG: too long. */
MUST_CHECK enum status stores_path(const struct config *config, const char *name, char path_out[PATH_MAX],
                                   struct err *err);

/* How this host is called: fleet_host, or the system's name. */
const char *stores_host(const struct config *config, char name_out[FLEET_HOST_SIZE]);

/*
 * The fleet; *fleet_out is NULL where none is set.
 * ST_CONFIG  the password's file is world-readable or holds none, or this program was built without libpq
 * else as fleet_open
 */
MUST_CHECK enum status stores_open_fleet(const struct config *config, struct fleet **fleet_out,
                                         struct err *err);

/* The same for fleet_init: its tables may be missing or old. */
MUST_CHECK enum status stores_open_fleet_for_init(const struct config *config, struct fleet **fleet_out,
                                                  struct err *err);

/*
 * This host's sessions.db; *reader_out is NULL if no collector has run yet.
 * ST_DENIED  we may not look into state_dir
 * else as session_reader_open
 */
MUST_CHECK enum status stores_open_sessions(const struct config *config, enum session_access access,
                                            struct session_reader **reader_out, struct err *err);

/*
 * The ledger: the fleet's, or this host's reports.db.  LEDGER_READ and no such file: *ledger_out is NULL.
 * *is_new_out (may be NULL): it was made just now.
 */
MUST_CHECK enum status stores_open_ledger(const struct config *config, struct fleet *fleet,
                                          enum ledger_mode mode, struct ledger **ledger_out, bool *is_new_out,
                                          struct err *err);

#endif
