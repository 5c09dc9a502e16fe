/* SPDX-License-Identifier: MIT */
/*
 * collector.h - the job of tlsrpt-gen-collect: receive session results on sockets, count them in sessions.db.
 *
 * In:     datagrams of libtlsrpt and of tlsrpt-gen-log, lines of Exim, on the sockets of the settings or of
 * the
 *         service manager (LISTEN_FDS).
 * Out:    counts in STATE_DIR/sessions.db.  What is not counted yet is in STATE_DIR/ring and survives a kill.
 * Limits: memory does not grow with the load; a full ring drops the newest datagrams and counts them.
 */
#ifndef COLLECT_COLLECTOR_H
#define COLLECT_COLLECTOR_H

#include "base/err.h"
#include "model/config.h"

/*
 * Collect until SIGTERM or SIGINT.  SIGHUP restarts the program: argv[0] is searched as a shell does and executed with
 * argv, and gets the sockets.  Borrows config and argv; log_open comes first.  Once per process: it blocks signals and
 * leaves them blocked.
 * ST_CONFIG       a setting is wrong, or a socket cannot be made with it
 * ST_BUSY         another collector uses the state directory or a socket, or the store is locked
 * ST_DENIED       no permission, or the ring belongs to another store
 * ST_UNSUPPORTED  a newer version wrote the store or the ring
 * ST_FULL         no room on the disk
 * ST_IO
 * ST_NOMEM
 * ST_INTERNAL
 */
MUST_CHECK enum status collector_run(const struct config *config, char *const argv[], struct err *err);

#endif
