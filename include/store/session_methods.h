/* SPDX-License-Identifier: MIT */
/*
 * session_methods.h - what a kind of session store must offer; session_store.c gives each of these its public
 * name and contract.  A kind embeds struct session_store as its first member.
 */
#ifndef STORE_SESSION_METHODS_H
#define STORE_SESSION_METHODS_H

#include "store/session_store.h"

struct session_methods {
    void (*close)(struct session_store *store);

    /* NULL, and with it all that is done behind it (commit, rollback, add, count, set_*, add_*): never
     * written. */
    enum status (*begin)(struct session_store *store, struct err *err);
    enum status (*commit)(struct session_store *store, struct err *err);
    enum status (*sync)(struct session_store *store, struct err *err);
    void (*rollback)(struct session_store *store);

    enum status (*add)(struct session_store *store, const struct session_result *result, int32_t utc_day,
                       uint64_t count, int64_t arrival_s, struct tally_plan *plan_out, struct err *err);
    enum status (*count)(struct session_store *store, struct tally_plan *plan, uint64_t count,
                         int64_t arrival_s, struct err *err);
    enum status (*is_closed)(struct session_store *store, int32_t utc_day, bool *is_closed_out,
                             struct err *err);

    enum status (*set_mark)(struct session_store *store, const struct session_mark *mark, struct err *err);
    enum status (*get_mark)(struct session_store *store, struct session_mark *mark_out, struct err *err);
    enum status (*add_counter)(struct session_store *store, const char *name, uint64_t by, uint64_t at_least,
                               struct err *err);
    enum status (*counters)(struct session_store *store, uint64_t counters_out[COUNTER_COUNT],
                            struct err *err);
    enum status (*add_refused)(struct session_store *store, int64_t uid, uint64_t count, struct err *err);
    enum status (*each_refused)(struct session_store *store, session_refused_fn *fn, void *context,
                                struct err *err);
    enum status (*set_note)(struct session_store *store, const char *name, const char *text, struct err *err);
    enum status (*each_note)(struct session_store *store, session_note_fn *fn, void *context,
                             struct err *err);

    enum status (*close_day)(struct session_store *store, int32_t utc_day, int64_t now_s, struct err *err);
    enum status (*delete_before)(struct session_store *store, int32_t utc_day, struct err *err);

    enum status (*each_day)(struct session_store *store, session_day_fn *fn, void *context, struct err *err);
    enum status (*each_domain)(struct session_store *store, int32_t utc_day, const char *after, int64_t max,
                               session_domain_fn *fn, void *context, struct err *err);
    enum status (*read_domain)(struct session_store *store, int32_t utc_day, const char *domain,
                               const struct report_visitor *visitor, struct err *err);
    enum status (*each_record)(struct session_store *store, int32_t utc_day, const char *domain,
                               session_record_fn *fn, void *context, struct err *err);

    /* NULL: there is nothing to gain. */
    enum status (*prefetch)(struct session_store *store, int32_t utc_day, const char *const *domains,
                            size_t count, struct err *err);
};

struct session_store {
    const struct session_methods *methods;
    struct session_limits limits;
    char id[SESSION_STORE_ID_SIZE];
    uint64_t added[COUNTER_COUNT];  /* since begin, not yet written */
    uint64_t raised[COUNTER_COUNT]; /* maxima, not yet written */
};

enum status session_sqlite_open(const char *path, enum session_store_mode mode,
                                const struct session_limits *limits, struct session_store **store_out,
                                struct err *err);

#endif
