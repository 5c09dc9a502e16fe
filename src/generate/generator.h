/* SPDX-License-Identifier: MIT */
/*
 * generator.h - what a run and a dry run have open together, and how they build one report.
 */
#ifndef GENERATE_GENERATOR_H
#define GENERATE_GENERATOR_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/strbuf.h"
#include "compress/gzip.h"
#include "deliver/address_policy.h"
#include "fleet/fleet.h"
#include "mail/dkim.h"
#include "model/config.h"
#include "model/report_meta.h"
#include "model/suppress_list.h"
#include "report/report_build.h"
#include "resolve/resolve.h"
#include "store/ledger.h"
#include "store/session_reader.h"

/* Set by a signal handler: build and deliver nothing more, finish what is being sent. */
extern volatile sig_atomic_t generator_is_stopping;

enum generator_mode {
    GENERATOR_DRY_RUN, /* reads the stores; writes nothing */
    GENERATOR_RUN,     /* holds the lock of state_dir: one at a time */
};

struct generator {
    const struct config *config;
    struct fleet *fleet;             /* NULL: this host is not in a fleet */
    struct session_reader *sessions; /* NULL: no collector has run yet */
    struct ledger *ledger;           /* NULL: a dry run before the first run */
    struct resolver *resolver;
    struct gzip gzip;
    struct suppress_list suppressed;    /* by the operator */
    struct address_policy https_policy; /* of https_allow */
    struct dkim_keys *keys;             /* NULL: none are set, the relay must sign */
    bool is_first_run;                  /* generator_open created the ledger */
    int lock_fd;
    int64_t now_s; /* when the run started */
};

/*
 * Load the suppress file and the keys that sign the mails, and open the stores and the resolver.  A store
 * that does not exist yet is not an error.  After a failure nothing is open.
 * ST_BUSY       GENERATOR_RUN: another run is in progress
 * ST_TEMPORARY  another process holds a store
 * ST_CONFIG     a key or the suppress file cannot be used
 * else          as host_settings_check, session_reader_open, ledger_open, fleet_open and resolve_open
 */
MUST_CHECK enum status generator_open(struct generator *generator, const struct config *config,
                                      enum generator_mode mode, struct err *err);
void generator_close(struct generator *generator);

/* A report as it will be sent. */
struct report_file {
    struct report_meta meta;
    struct report_built built;
    const char *file_name;
    struct strbuf json; /* filled only if asked for */
    struct strbuf gzip;
};

/* Prepare file for any number of builds; report_file_done frees it. */
void report_file_init(struct report_file *file);
void report_file_done(struct report_file *file);

/*
 * Build the report of one domain's day; its texts live in arena.
 * ST_NOT_FOUND  no session of that domain on that day
 * else          as report_build
 */
MUST_CHECK enum status report_file_build(struct generator *generator, int32_t utc_day, const char *domain,
                                         bool with_json, struct arena *arena, struct report_file *file,
                                         struct err *err);

#endif
