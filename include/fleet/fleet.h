/* SPDX-License-Identifier: MIT */
/*
 * fleet.h - the database that several MTA hosts share: the hosts that push to it, and the leases by which
 * several generators share the work.
 *
 * In: fleet_push brings what each host counted.  Out: a session reader that sums over the hosts and a ledger,
 * both for the code that builds and delivers on a single host.
 * Source: RFC 8460 knows one report per organisation, domain and day.
 *
 * A fleet is reached through its method table; src/fleet, which knows PostgreSQL, is left out of a build
 * without libpq.  fleet_open is the only way in, and app/stores.c its only caller.
 *
 * Domains belong to buckets.  A generator works on the buckets whose leases it holds; a lease carries an
 * epoch that each taking raises, and every transaction of the ledger checks the epochs of all leases held, so
 * that a holder that was taken for dead can change nothing any more.  Without a lease everything can be read.
 *
 * A fleet, its reader and its ledger belong to one thread.  Unless said otherwise a function can return
 * ST_TEMPORARY    the database cannot be reached now, or failed too often
 * ST_DENIED       this user may not
 * ST_UNSUPPORTED  the tables are not there
 * ST_FULL         the server's disk is full
 * ST_NOMEM
 * ST_INTERNAL
 */
#ifndef FLEET_FLEET_H
#define FLEET_FLEET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define FLEET_ID_SIZE   33 /* 32 hexadecimal digits and NUL */
#define FLEET_HOST_SIZE 256

struct fleet;
struct ledger;
struct session_reader;

struct fleet_settings {
    const char *conninfo;
    const char *password_file; /* "": none */
    const char *host;          /* how this host is called in logs and status */
    int64_t window_s;          /* an instance that pushed within is waited for */
    int64_t lease_s;
    bool is_any_version; /* for fleet_init: the tables may be missing or old */
};

/* A collector from its start to its end. */
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

struct fleet_schema {
    int64_t old_version; /* 0: there were no tables */
    int64_t version;
    const char *const *grants; /* lines of SQL that give least privileges; NULL at the end */
};

struct fleet_pushed {
    uint64_t examined; /* rows of sessions.db; 0 if nothing was counted since the last push */
    uint64_t sent;     /* rows */
    int64_t complete_through_s;
    bool is_new_day; /* from_day is another than at the last push */
};

typedef enum status fleet_instance_fn(void *context, const struct fleet_instance *instance, struct err *err);
typedef enum status fleet_missed_fn(void *context, int32_t utc_day, const char *host,
                                    int64_t complete_through_s, struct err *err);
typedef enum status fleet_late_fn(void *context, int32_t utc_day, int64_t sessions, struct err *err);

/* The contracts are those of the functions below. */
struct fleet_methods {
    void (*close)(struct fleet *fleet);
    enum status (*init)(struct fleet *fleet, struct fleet_schema *schema_out, struct err *err);
    enum status (*each_instance)(struct fleet *fleet, int64_t now_s, fleet_instance_fn *fn, void *context,
                                 struct err *err);
    enum status (*forget_host)(struct fleet *fleet, const char *host, int64_t *count_out, struct err *err);
    enum status (*note_missed)(struct fleet *fleet, int32_t utc_day, const struct fleet_instance *instance,
                               bool *is_new_out, struct err *err);
    enum status (*each_missed)(struct fleet *fleet, int32_t from_day, fleet_missed_fn *fn, void *context,
                               struct err *err);
    enum status (*each_late)(struct fleet *fleet, int32_t from_day, fleet_late_fn *fn, void *context,
                             struct err *err);
    enum status (*join)(struct fleet *fleet, const char *path, struct err *err);
    enum status (*push)(struct fleet *fleet, struct session_reader *sessions, int32_t from_day, int64_t now_s,
                        struct fleet_pushed *pushed_out, struct err *err);
    enum status (*take_share)(struct fleet *fleet, bool is_new_run, int *buckets_out, struct err *err);
    void (*release_share)(struct fleet *fleet);
    enum status (*open_sessions)(struct fleet *fleet, struct session_reader **reader_out, struct err *err);
    enum status (*open_ledger)(struct fleet *fleet, struct ledger **ledger_out, struct err *err);
};

struct fleet {
    const struct fleet_methods *methods;
    char owner[FLEET_ID_SIZE]; /* who this state folder is as a generator; "" before fleet_join */
};

/*
 * Connect and compare versions.
 * ST_CONFIG  the settings are wrong, the tables are not there, or are of another version: err says what to do
 */
MUST_CHECK enum status fleet_open(const struct fleet_settings *settings, struct fleet **fleet_out,
                                  struct err *err);

static inline void fleet_close(struct fleet **fleet)
{
    if (*fleet != NULL)
        (*fleet)->methods->close(*fleet);
    *fleet = NULL;
}

/*
 * Make the tables, or bring them up to date.
 * ST_CONFIG  they are of a newer version, or the database does not hold UTF-8
 */
MUST_CHECK static inline enum status fleet_init(struct fleet *fleet, struct fleet_schema *schema_out,
                                                struct err *err)
{
    return fleet->methods->init(fleet, schema_out, err);
}

/* ---- hosts ---- */

/* Each that pushed within the window before now_s and has no successor on its host, by host. */
MUST_CHECK static inline enum status fleet_each_instance(struct fleet *fleet, int64_t now_s,
                                                         fleet_instance_fn *fn, void *context,
                                                         struct err *err)
{
    return fleet->methods->each_instance(fleet, now_s, fn, context, err);
}

/* A host has left: nobody waits for it any more, unless it pushes again.  What it pushed stays.  *count_out:
 * its instances, 0 if there is no such host. */
MUST_CHECK static inline enum status fleet_forget_host(struct fleet *fleet, const char *host,
                                                       int64_t *count_out, struct err *err)
{
    return fleet->methods->forget_host(fleet, host, count_out, err);
}

/* Note that a day is closed without all that this instance counted; *is_new_out: nobody noted it before. */
MUST_CHECK static inline enum status fleet_note_missed(struct fleet *fleet, int32_t utc_day,
                                                       const struct fleet_instance *instance,
                                                       bool *is_new_out, struct err *err)
{
    return fleet->methods->note_missed(fleet, utc_day, instance, is_new_out, err);
}

MUST_CHECK static inline enum status fleet_each_missed(struct fleet *fleet, int32_t from_day,
                                                       fleet_missed_fn *fn, void *context, struct err *err)
{
    return fleet->methods->each_missed(fleet, from_day, fn, context, err);
}

/* Sessions that came after their domain's report was built, of each closed day from from_day on. */
MUST_CHECK static inline enum status fleet_each_late(struct fleet *fleet, int32_t from_day, fleet_late_fn *fn,
                                                     void *context, struct err *err)
{
    return fleet->methods->each_late(fleet, from_day, fn, context, err);
}

/* ---- this host's part ---- */

/*
 * Read push.db in path (made if missing): it knows what was pushed, and who this state folder is.  Before each
 * push, under the lock that keeps other processes from pushing; and before shares are taken.  Statuses of
 * db_open.
 */
MUST_CHECK static inline enum status fleet_join(struct fleet *fleet, const char *path, struct err *err)
{
    return fleet->methods->join(fleet, path, err);
}

/*
 * Send what changed in sessions, a reader of sessions.db, on from_day and later, and how far this host is
 * complete; but nothing of days that are closed in sessions: those the host has reported alone, before it
 * joined.  After a failure everything that was not acknowledged is sent by the next call.
 */
MUST_CHECK static inline enum status fleet_push(struct fleet *fleet, struct session_reader *sessions,
                                                int32_t from_day, int64_t now_s,
                                                struct fleet_pushed *pushed_out, struct err *err)
{
    return fleet->methods->push(fleet, sessions, from_day, now_s, pushed_out, err);
}

/*
 * Take leases that nobody holds: all, or a fair part where other generators were seen within the last hour;
 * none of those that this run has held before.  What this state folder left behind after a crash is free for
 * it at once.  *buckets_out: how many.
 * ST_NOT_FOUND  nothing is left: err names a host that holds some
 */
MUST_CHECK static inline enum status fleet_take_share(struct fleet *fleet, bool is_new_run, int *buckets_out,
                                                      struct err *err)
{
    return fleet->methods->take_share(fleet, is_new_run, buckets_out, err);
}

/* Give them back.  A failure costs time only: leases expire. */
static inline void fleet_release_share(struct fleet *fleet)
{
    fleet->methods->release_share(fleet);
}

/* ---- the stores; close them before the fleet ---- */

/* Days are not closed here; the mark is the oldest "complete through" of all instances. */
MUST_CHECK static inline enum status fleet_open_sessions(struct fleet *fleet,
                                                         struct session_reader **reader_out, struct err *err)
{
    return fleet->methods->open_sessions(fleet, reader_out, err);
}

/* Changes are kept back until ledger_commit; reading meanwhile does not show them. */
MUST_CHECK static inline enum status fleet_open_ledger(struct fleet *fleet, struct ledger **ledger_out,
                                                       struct err *err)
{
    return fleet->methods->open_ledger(fleet, ledger_out, err);
}

#endif
