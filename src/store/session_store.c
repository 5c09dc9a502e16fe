/* SPDX-License-Identifier: MIT */
#include "store/session_store.h"

#include <string.h>

#include "store/session_methods.h"

static const struct {
    const char *name;
    const char *help;
} COUNTERS[COUNTER_COUNT] = {
#define COUNTER_ROW(id, counter_name, counter_help) [COUNTER_##id] = {counter_name, counter_help},
    SESSION_COUNTERS(COUNTER_ROW)
#undef COUNTER_ROW
};

const char *session_counter_name(enum session_counter counter)
{
    return COUNTERS[counter].name;
}

const char *session_counter_help(enum session_counter counter)
{
    return COUNTERS[counter].help;
}

enum status session_store_open(const char *url, enum session_store_mode mode,
                               const struct session_limits *limits, struct session_store **store_out,
                               struct err *err)
{
    struct session_limits wanted = limits != NULL ? *limits : (struct session_limits){0};

    if (wanted.max_policies <= 0)
        wanted.max_policies = SESSION_MAX_POLICIES;
    if (wanted.max_details <= 0)
        wanted.max_details = SESSION_MAX_DETAILS;
    if (strncmp(url, "sqlite:", 7) == 0)
        return session_sqlite_open(url + 7, mode, &wanted, store_out, err);
    if (url[strcspn(url, ":/")] == ':')
        return err_set(err, ST_UNSUPPORTED,
                       "store %.40s: the only kind that is opened by name is sqlite:PATH", url);
    return session_sqlite_open(url, mode, &wanted, store_out, err);
}

void session_store_close(struct session_store **store)
{
    if (*store != NULL)
        (*store)->methods->close(*store);
    *store = NULL;
}

const char *session_store_id(const struct session_store *store)
{
    return store->id;
}

static void forget_counters(struct session_store *store)
{
    memset(store->added, 0, sizeof store->added);
    memset(store->raised, 0, sizeof store->raised);
}

enum status session_store_begin(struct session_store *store, struct err *err)
{
    if (store->methods->begin == NULL)
        return err_set(err, ST_UNSUPPORTED,
                       "a fleet's sessions are written by none but tlsrpt-gen push; count into sessions.db");
    forget_counters(store);
    return store->methods->begin(store, err);
}

enum status session_store_commit(struct session_store *store, struct err *err)
{
    enum status status = ST_OK;

    for (int i = 0; status == ST_OK && i < COUNTER_COUNT; i++)
        if (store->added[i] != 0 || store->raised[i] != 0)
            status =
                store->methods->add_counter(store, COUNTERS[i].name, store->added[i], store->raised[i], err);
    if (status == ST_OK)
        status = store->methods->commit(store, err);
    if (status != ST_OK)
        store->methods->rollback(store);
    forget_counters(store);
    return status;
}

enum status session_store_sync(struct session_store *store, struct err *err)
{
    return store->methods->sync(store, err);
}

void session_store_rollback(struct session_store *store)
{
    store->methods->rollback(store);
    forget_counters(store);
}

void session_store_bump(struct session_store *store, enum session_counter counter, uint64_t by)
{
    store->added[counter] += by;
}

void session_store_raise(struct session_store *store, enum session_counter counter, uint64_t to)
{
    if (store->raised[counter] < to)
        store->raised[counter] = to;
}

enum status session_store_add(struct session_store *store, const struct session_result *result,
                              int32_t utc_day, uint64_t count, int64_t arrival_s, bool *is_late_out,
                              struct err *err)
{
    bool is_closed;
    enum status status = store->methods->is_closed(store, utc_day, &is_closed, err);

    if (status == ST_OK && !is_closed)
        status = store->methods->add(store, result, utc_day, count, arrival_s, NULL, err);
    if (status == ST_OK)
        *is_late_out = is_closed;
    return status;
}

/* ---- the rest is handed to the kind of store as it is ---- */

enum status session_store_add_planned(struct session_store *store, const struct session_result *result,
                                      int32_t utc_day, uint64_t count, int64_t arrival_s,
                                      struct tally_plan *plan_out, struct err *err)
{
    return store->methods->add(store, result, utc_day, count, arrival_s, plan_out, err);
}

enum status session_store_count(struct session_store *store, struct tally_plan *plan, uint64_t count,
                                int64_t arrival_s, struct err *err)
{
    return store->methods->count(store, plan, count, arrival_s, err);
}

enum status session_store_is_closed(struct session_store *store, int32_t utc_day, bool *is_closed_out,
                                    struct err *err)
{
    return store->methods->is_closed(store, utc_day, is_closed_out, err);
}

enum status session_store_set_mark(struct session_store *store, const struct session_mark *mark,
                                   struct err *err)
{
    return store->methods->set_mark(store, mark, err);
}

enum status session_store_get_mark(struct session_store *store, struct session_mark *mark_out,
                                   struct err *err)
{
    return store->methods->get_mark(store, mark_out, err);
}

enum status session_store_counters(struct session_store *store, uint64_t counters_out[COUNTER_COUNT],
                                   struct err *err)
{
    return store->methods->counters(store, counters_out, err);
}

enum status session_store_add_refused(struct session_store *store, int64_t uid, uint64_t count,
                                      struct err *err)
{
    return store->methods->add_refused(store, uid, count, err);
}

enum status session_store_each_refused(struct session_store *store, session_refused_fn *fn, void *context,
                                       struct err *err)
{
    return store->methods->each_refused(store, fn, context, err);
}

enum status session_store_set_note(struct session_store *store, const char *name, const char *text,
                                   struct err *err)
{
    return store->methods->set_note(store, name, text, err);
}

enum status session_store_each_note(struct session_store *store, session_note_fn *fn, void *context,
                                    struct err *err)
{
    return store->methods->each_note(store, fn, context, err);
}

enum status session_store_close_day(struct session_store *store, int32_t utc_day, int64_t now_s,
                                    struct err *err)
{
    return store->methods->close_day(store, utc_day, now_s, err);
}

enum status session_store_delete_before(struct session_store *store, int32_t utc_day, struct err *err)
{
    return store->methods->delete_before(store, utc_day, err);
}

enum status session_store_each_day(struct session_store *store, session_day_fn *fn, void *context,
                                   struct err *err)
{
    return store->methods->each_day(store, fn, context, err);
}

enum status session_store_each_domain(struct session_store *store, int32_t utc_day, const char *after,
                                      int64_t max, session_domain_fn *fn, void *context, struct err *err)
{
    return store->methods->each_domain(store, utc_day, after, max, fn, context, err);
}

enum status session_store_read_domain(struct session_store *store, int32_t utc_day, const char *domain,
                                      const struct report_visitor *visitor, struct err *err)
{
    return store->methods->read_domain(store, utc_day, domain, visitor, err);
}

enum status session_store_each_record(struct session_store *store, int32_t utc_day, const char *domain,
                                      session_record_fn *fn, void *context, struct err *err)
{
    return store->methods->each_record(store, utc_day, domain, fn, context, err);
}

enum status session_store_prefetch(struct session_store *store, int32_t utc_day, const char *const *domains,
                                   size_t count, struct err *err)
{
    return store->methods->prefetch != NULL ? store->methods->prefetch(store, utc_day, domains, count, err)
                                            : ST_OK;
}
