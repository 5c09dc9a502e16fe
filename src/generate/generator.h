/* SPDX-License-Identifier: MIT */
/*
 * generator.h - what a run, a dry run and `show` have open together, and how they build one report.
 */
#ifndef GENERATE_GENERATOR_H
#define GENERATE_GENERATOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/strbuf.h"
#include "compress/gzip.h"
#include "fleet/fleet.h"
#include "mail/dkim.h"
#include "model/config.h"
#include "model/report_meta.h"
#include "model/suppress_list.h"
#include "report/report_build.h"
#include "resolve/resolve.h"
#include "store/ledger.h"
#include "store/session_store.h"

enum generator_mode {
    GENERATOR_DRY_RUN, /* reads the stores; writes nothing */
    GENERATOR_RUN,     /* the only one of its kind, under the lock of state_dir */
};

struct generator {
    const struct config *config;
    struct fleet *fleet;            /* NULL: this host is alone */
    char owner[FLEET_ID_SIZE];      /* this state folder as a generator of the fleet */
    struct session_store *sessions; /* NULL: no collector has run yet */
    struct ledger *ledger;          /* NULL: a dry run before the first run */
    struct resolver *resolver;
    struct gzip gzip;
    struct suppress_list suppressed; /* by the operator */
    struct dkim_keys *keys;          /* NULL: none are set, the relay must sign */
    bool is_first_run;               /* GENERATOR_RUN made the ledger just now */
    int lock_fd;
    int64_t now_s; /* when the run began */
};

/*
 * Open the stores and the resolver, and load the keys that sign the mails.
 * ST_BUSY       GENERATOR_RUN and another run is at work
 * ST_TEMPORARY  a store is held by somebody else
 * ST_CONFIG     a key cannot be used, or the suppress file
 * else as session_store_open, ledger_open and resolve_open; a store that is not there yet is no error
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
 * else as report_build
 */
MUST_CHECK enum status report_file_build(struct generator *generator, int32_t utc_day, const char *domain,
                                         bool with_json, struct arena *arena, struct report_file *file,
                                         struct err *err);

#endif
