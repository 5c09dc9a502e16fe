/* SPDX-License-Identifier: MIT */
/*
 * fleet.h - the database that several MTA hosts share: its connection and schema, the hosts that push to it,
 * and the leases by which several generators share the work.
 *
 * In: fleet_push (store/push.h) brings what each host counted.  Out: a struct session_store that sums over
 * the hosts and a struct ledger, both for the code that builds and delivers on a single host. Source: RFC
 * 8460 knows one report per organisation, domain and day.
 *
 * Domains belong to FLEET_BUCKETS buckets.  A generator works on the buckets whose leases it holds; a lease
 * carries an epoch that each taking raises, and every transaction of the ledger checks the epochs of all
 * leases held, so that a holder that was taken for dead can change nothing any more.  Without a lease
 * everything can be read.
 *
 * A fleet, its store and its ledger belong to one thread.  Statuses, unless said otherwise: those of
 * pg_query.
 */
#ifndef FLEET_FLEET_H
#define FLEET_FLEET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/keyed_hash.h"

#define FLEET_BUCKETS   64
#define FLEET_ID_SIZE   33 /* 32 hexadecimal digits and NUL */
#define FLEET_HOST_SIZE 256

struct fleet;
struct ledger;
struct session_store;

struct fleet_settings {
    const char *conninfo;
    const char *password_file; /* "": none */
    const char *host;          /* how this host is called in logs and status */
    int64_t window_s;          /* an instance that pushed within is waited for */
    int64_t lease_s;
};

/*
 * Connect and compare versions.
 * ST_CONFIG  the settings are wrong, the tables are not there, or are of another version: err says what to do
 */
MUST_CHECK enum status fleet_open(const struct fleet_settings *settings, struct fleet **fleet_out,
                                  struct err *err);
void fleet_close(struct fleet **fleet);

/* Make the tables, or bring them up to date; *from_out: the version that was there (0: none).  ST_CONFIG as
 * above, and if the database does not hold UTF-8. */
MUST_CHECK enum status fleet_init(const struct fleet_settings *settings, int64_t *from_out, struct err *err);

/* Lines of SQL that give least privileges, one at a time; NULL at the end. */
const char *fleet_grant(size_t number);
int fleet_schema_version(void);

/* A random identifier, 32 hexadecimal digits. */
void fleet_id_new(char id_out[FLEET_ID_SIZE]);

int32_t fleet_bucket(const char *domain);

/* ---- hosts ---- */

struct fleet_instance {
    const char *id;
    const char *host;
    int64_t started_s;
    int64_t last_seen_s;
    int64_t complete_through_s; /* all that its collector got before is pushed */
    int64_t received;
    int64_t stored;
    int64_t dropped;
    int64_t late; /* counted by the collector itself as late */
};
typedef enum status fleet_instance_fn(void *context, const struct fleet_instance *instance, struct err *err);

/* Each that pushed within the window before now_s and has no successor on its host, by host. */
MUST_CHECK enum status fleet_each_instance(struct fleet *fleet, int64_t now_s, fleet_instance_fn *fn,
                                           void *context, struct err *err);

/* A host has left: it is not waited for any more, unless it pushes again.  What it pushed stays.  *count_out:
 * its instances, 0 if there is no such host. */
MUST_CHECK enum status fleet_forget_host(struct fleet *fleet, const char *host, int64_t *count_out,
                                         struct err *err);

/* Note that a day is closed without all that this instance counted; *is_new_out: nobody noted it before. */
MUST_CHECK enum status fleet_note_missed(struct fleet *fleet, int32_t utc_day,
                                         const struct fleet_instance *instance, bool *is_new_out,
                                         struct err *err);
typedef enum status fleet_missed_fn(void *context, int32_t utc_day, const char *host,
                                    int64_t complete_through_s, struct err *err);
MUST_CHECK enum status fleet_each_missed(struct fleet *fleet, int32_t from_day, fleet_missed_fn *fn,
                                         void *context, struct err *err);

/* Sessions that came after their domain's report was built, of each day from from_day on that has closed. */
typedef enum status fleet_late_fn(void *context, int32_t utc_day, int64_t sessions, struct err *err);
MUST_CHECK enum status fleet_each_late(struct fleet *fleet, int32_t from_day, fleet_late_fn *fn,
                                       void *context, struct err *err);

/* ---- shares of the work ---- */

/*
 * Take leases that nobody holds: all, or a fair part where other generators were seen within the last hour;
 * none of those that this process has held before.  owner: of this state folder; what it left behind after a
 * crash is free for it at once. ST_NOT_FOUND  nothing is left: err names a host that holds some
 */
MUST_CHECK enum status fleet_take_share(struct fleet *fleet, const char *owner, struct err *err);

/* From now on every lease may be taken again: a new run. */
void fleet_begin_run(struct fleet *fleet);

/* Buckets whose leases are held. */
int fleet_share_size(const struct fleet *fleet);

/* Give them back.  A failure costs time only: they run out by themselves. */
void fleet_release_share(struct fleet *fleet);

/* ---- the stores; close them before the fleet ---- */

/* Only reading, session_store_close_day (nothing happens) and session_store_delete_before; the mark is the
 * oldest "complete through" of all instances. */
MUST_CHECK enum status fleet_open_sessions(struct fleet *fleet, struct session_store **store_out,
                                           struct err *err);

/* Changes are kept back until ledger_commit; reading meanwhile does not show them. */
MUST_CHECK enum status fleet_open_ledger(struct fleet *fleet, struct ledger **ledger_out, struct err *err);

#endif
