/* SPDX-License-Identifier: MIT */
/*
 * What all hosts of a fleet counted, summed over their collectors' instances.
 *
 * Domains are read by the batch: their rows come in any order, are kept in an arena, sorted as a report wants
 * them (R35), and given away when read_domain asks for one.  A batch that is too large for the arena is read
 * domain by domain.  Hosts go on counting late sessions as they come; the database knows from the reports
 * which are late, so no day is closed here.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "fleet_inside.h"
#include "model/utc_day.h"
#include "pg_array.h"
#include "store/session_reader.h"
#include "store/session_text.h"

/* One domain of many hosts, each with its caps; or many small ones. */
#define ROWS_BYTES_MAX  ((size_t)256 << 20)
#define NAMES_BYTES_MAX ((size_t)1 << 20)

struct detail_row {
    struct detail_row *next;
    struct failure_detail detail;
    uint64_t sessions;
};

struct policy_row {
    struct policy_row *next;
    char id[40];
    struct policy policy;
    struct session_counts sessions;
    struct detail_row *details; /* newest first, until sorted */
    struct detail_row **sorted;
    size_t detail_count;
};

struct domain_rows {
    const char *name;
    struct policy_row *policies;
    struct policy_row **sorted;
    size_t policy_count;
};

struct session_fleet {
    struct session_reader base;
    struct fleet_pgsql *fleet;

    /* the domains that were read last */
    struct arena arena;
    int32_t utc_day;
    struct domain_rows *domains; /* by name */
    size_t domain_count;
};

static struct session_fleet *fleet_of(struct session_reader *reader)
{
    return (struct session_fleet *)reader;
}

static enum status no_memory(struct err *err)
{
    return err_set(err, ST_NOMEM, "fleet's sessions: out of memory");
}

/* ---- days ---- */

static enum status fleet_get_mark(struct session_reader *reader, struct session_mark *mark_out,
                                  struct err *err)
{
    struct fleet_pgsql *fleet = fleet_of(reader)->fleet;
    int64_t through_s = 0;
    enum status status =
        pg_query(fleet->pg, FLEET_COMPLETE_THROUGH, BIND(INT(clock_utc_s() - fleet->window_s)),
                 fleet_take_number, &through_s, err);

    if (status == ST_OK)
        *mark_out = (struct session_mark){.counted_through_s = through_s};
    return status;
}

struct session_walk {
    void *context;
    session_day_fn *day;
    session_domain_fn *domain;
    session_record_fn *record;
};

static enum status give_day(void *context, const struct pg_row *row, struct err *err)
{
    const struct session_walk *walk = context;
    const struct session_day day = {
        .utc_day = (int32_t)pg_int(row, 0),
        .domains = (uint64_t)pg_count(row, 1),
        .sessions = {(uint64_t)pg_count(row, 2), (uint64_t)pg_count(row, 3)},
    };

    return walk->day(walk->context, &day, err);
}

static enum status fleet_each_day(struct session_reader *reader, session_day_fn *fn, void *context,
                                  struct err *err)
{
    struct session_walk walk = {.context = context, .day = fn};

    return pg_query(fleet_of(reader)->fleet->pg, FLEET_LIST_DAYS, BIND_NOTHING, give_day, &walk, err);
}

/* The first generator that comes to a day deletes for all. */
static enum status fleet_delete_before(struct session_reader *reader, int32_t utc_day, struct err *err)
{
    static const enum fleet_statement BY_DAY[] = {FLEET_DELETE_TALLIES, FLEET_DELETE_DETAIL_TALLIES,
                                                  FLEET_DELETE_POLICIES, FLEET_DELETE_DETAILS,
                                                  FLEET_DELETE_RECORDS};
    struct fleet_pgsql *fleet = fleet_of(reader)->fleet;
    int64_t is_first = 0;
    enum status status =
        pg_change(fleet->pg, FLEET_BEGIN_CLEANUP, BIND(TEXT("sessions"), INT(utc_day)), &is_first, err);

    if (status != ST_OK || is_first == 0)
        return status;
    for (size_t i = 0; status == ST_OK && i < ARRAY_COUNT(BY_DAY); i++)
        status = pg_change(fleet->pg, BY_DAY[i], BIND(INT(utc_day)), NULL, err);
    if (status == ST_OK)
        status = pg_change(fleet->pg, FLEET_DELETE_INSTANCES,
                           BIND(INT(clock_utc_s() - 2 * fleet->window_s - UTC_DAY_SECONDS)), NULL, err);
    return status;
}

/* ---- domains ---- */

static enum status give_domain(void *context, const struct pg_row *row, struct err *err)
{
    const struct session_walk *walk = context;
    const struct session_counts sessions = {(uint64_t)pg_count(row, 1), (uint64_t)pg_count(row, 2)};

    return walk->domain(walk->context, pg_text(row, 0), &sessions, err);
}

static enum status fleet_each_domain(struct session_reader *reader, int32_t utc_day, const char *after,
                                     int64_t max, session_domain_fn *fn, void *context, struct err *err)
{
    struct fleet_pgsql *fleet = fleet_of(reader)->fleet;
    struct session_walk walk = {.context = context, .domain = fn};
    char buckets[FLEET_BUCKETS_TEXT];

    return pg_query(fleet->pg, FLEET_LIST_DOMAINS,
                    BIND(INT(utc_day), TEXT(fleet_scope(fleet, buckets)), TEXT(after), INT(max)), give_domain,
                    &walk, err);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct domain_rows *)a)->name, ((const struct domain_rows *)b)->name);
}

static struct domain_rows *find_domain(struct session_fleet *sessions, const char *name)
{
    const struct domain_rows key = {.name = name};

    return sessions->domain_count > 0
               ? bsearch(&key, sessions->domains, sessions->domain_count, sizeof key, compare_names)
               : NULL;
}

static const char *copy(struct session_fleet *sessions, const char *text)
{
    return arena_copy_text(&sessions->arena, text, strlen(text));
}

static enum status take_policy(void *context, const struct pg_row *row, struct err *err)
{
    struct session_fleet *sessions = context;
    struct domain_rows *domain = find_domain(sessions, pg_text(row, 0));
    struct policy_row *policy = arena_alloc(&sessions->arena, sizeof *policy);
    int64_t type = pg_int(row, 2);
    enum status status;

    if (policy == NULL)
        return no_memory(err);
    if (domain == NULL)
        return ST_OK;
    if (type < 0 || type >= POLICY_TYPE_COUNT)
        return err_set(err, ST_UNSUPPORTED, "fleet's sessions: unknown policy type %lld", (long long)type);
    (void)snprintf(policy->id, sizeof policy->id, "%s", pg_text(row, 1));
    policy->policy.type = (enum policy_type)type;
    policy->policy.domain = copy(sessions, pg_text(row, 3));
    policy->sessions = (struct session_counts){(uint64_t)pg_count(row, 6), (uint64_t)pg_count(row, 7)};
    if (policy->policy.domain == NULL)
        return no_memory(err);
    status = session_text_split(pg_text(row, 4), &sessions->arena, &policy->policy.strings, err);
    if (status == ST_OK)
        status = session_text_split(pg_text(row, 5), &sessions->arena, &policy->policy.mx_hosts, err);
    policy->next = domain->policies;
    domain->policies = policy;
    domain->policy_count++;
    return status;
}

static const char *text_or_null(struct session_fleet *sessions, const struct pg_row *row, int column,
                                bool *is_failed)
{
    const char *text = pg_text(row, column);
    const char *made;

    if (*text == '\0')
        return NULL;
    made = copy(sessions, text);
    *is_failed = *is_failed || made == NULL;
    return made;
}

static struct policy_row *find_policy(struct session_fleet *sessions, const struct pg_row *row)
{
    const struct domain_rows *domain = find_domain(sessions, pg_text(row, 0));
    struct policy_row *policy = domain != NULL ? domain->policies : NULL;

    while (policy != NULL && strcmp(policy->id, pg_text(row, 1)) != 0)
        policy = policy->next;
    return policy;
}

static enum status take_detail(void *context, const struct pg_row *row, struct err *err)
{
    struct session_fleet *sessions = context;
    struct policy_row *policy = find_policy(sessions, row);
    struct detail_row *made = arena_alloc(&sessions->arena, sizeof *made);
    bool is_failed = made == NULL;

    if (is_failed)
        return no_memory(err);
    if (policy == NULL)
        return ST_OK;
    made->detail = (struct failure_detail){
        .result_type = RESULT_VALIDATION_FAILURE,
        .sending_mta_ip = text_or_null(sessions, row, 3, &is_failed),
        .receiving_mx_hostname = text_or_null(sessions, row, 4, &is_failed),
        .receiving_mx_helo = text_or_null(sessions, row, 5, &is_failed),
        .receiving_ip = text_or_null(sessions, row, 6, &is_failed),
        .additional_information = text_or_null(sessions, row, 7, &is_failed),
        .failure_reason_code = text_or_null(sessions, row, 8, &is_failed),
    };
    if (is_failed)
        return no_memory(err);
    (void)result_type_from_name(pg_text(row, 2), &made->detail.result_type);
    made->sessions = (uint64_t)pg_count(row, 9);
    made->next = policy->details;
    policy->details = made;
    policy->detail_count++;
    return ST_OK;
}

static int compare_policies(const void *a, const void *b)
{
    return policy_compare(&(*(struct policy_row *const *)a)->policy,
                          &(*(struct policy_row *const *)b)->policy);
}

static int compare_details(const void *a, const void *b)
{
    const struct detail_row *x = *(struct detail_row *const *)a;
    const struct detail_row *y = *(struct detail_row *const *)b;

    if (x->sessions != y->sessions)
        return x->sessions > y->sessions ? -1 : 1;
    return failure_detail_compare(&x->detail, &y->detail);
}

static bool sort_details(struct session_fleet *sessions, struct policy_row *policy)
{
    size_t at = 0;

    policy->sorted =
        arena_alloc_array(&sessions->arena, policy->detail_count + 1, sizeof(struct detail_row *));
    if (policy->sorted == NULL)
        return false;
    for (struct detail_row *detail = policy->details; detail != NULL; detail = detail->next)
        policy->sorted[at++] = detail;
    qsort(policy->sorted, at, sizeof(struct detail_row *), compare_details);
    return true;
}

/* R35 */
static bool sort_domain(struct session_fleet *sessions, struct domain_rows *domain)
{
    size_t at = 0;

    domain->sorted =
        arena_alloc_array(&sessions->arena, domain->policy_count + 1, sizeof(struct policy_row *));
    if (domain->sorted == NULL)
        return false;
    for (struct policy_row *policy = domain->policies; policy != NULL; policy = policy->next) {
        if (!sort_details(sessions, policy))
            return false;
        domain->sorted[at++] = policy;
    }
    qsort(domain->sorted, at, sizeof(struct policy_row *), compare_policies);
    return true;
}

static void forget(struct session_fleet *sessions)
{
    arena_reset(&sessions->arena);
    sessions->domains = NULL;
    sessions->domain_count = 0;
}

/* Make slots for the names, in order; the array of SQL in names. */
static enum status begin_load(struct session_fleet *sessions, int32_t utc_day, const char *const *domains,
                              size_t count, struct strbuf *names, struct err *err)
{
    forget(sessions);
    sessions->domains = arena_alloc_array(&sessions->arena, count + 1, sizeof sessions->domains[0]);
    if (sessions->domains == NULL)
        return no_memory(err);
    pg_array_begin(names);
    for (size_t i = 0; i < count; i++) {
        sessions->domains[i].name = copy(sessions, domains[i]);
        if (sessions->domains[i].name == NULL)
            return no_memory(err);
        pg_array_add_text(names, domains[i]);
    }
    pg_array_end(names);
    qsort(sessions->domains, count, sizeof sessions->domains[0], compare_names);
    sessions->domain_count = count;
    sessions->utc_day = utc_day;
    return strbuf_is_failed(names) ? no_memory(err) : ST_OK;
}

static enum status load(struct session_fleet *sessions, int32_t utc_day, const char *const *domains,
                        size_t count, struct err *err)
{
    struct pg *pg = sessions->fleet->pg;
    struct strbuf names;
    enum status status;

    strbuf_init(&names, NAMES_BYTES_MAX);
    status = begin_load(sessions, utc_day, domains, count, &names, err);
    if (status == ST_OK)
        status = pg_query(pg, FLEET_READ_POLICIES, BIND(TEXT(names.data), INT(utc_day)), take_policy,
                          sessions, err);
    if (status == ST_OK)
        status = pg_query(pg, FLEET_READ_DETAILS, BIND(TEXT(names.data), INT(utc_day)), take_detail, sessions,
                          err);
    for (size_t i = 0; status == ST_OK && i < sessions->domain_count; i++)
        if (!sort_domain(sessions, &sessions->domains[i]))
            status = no_memory(err);
    if (status != ST_OK)
        forget(sessions);
    strbuf_done(&names);
    return status;
}

/* Too much for memory together may still fit one by one. */
static enum status fleet_prefetch(struct session_reader *reader, int32_t utc_day, const char *const *domains,
                                  size_t count, struct err *err)
{
    enum status status = load(fleet_of(reader), utc_day, domains, count, err);

    return status == ST_NOMEM ? ST_OK : status;
}

static enum status visit_domain(const struct domain_rows *domain, const struct report_visitor *visitor,
                                struct err *err)
{
    enum status status = ST_OK;

    for (size_t i = 0; status == ST_OK && i < domain->policy_count; i++) {
        const struct policy_row *policy = domain->sorted[i];

        status = visitor->policy(visitor->context, &policy->policy, &policy->sessions, err);
        for (size_t j = 0; status == ST_OK && visitor->detail != NULL && j < policy->detail_count; j++)
            status = visitor->detail(visitor->context, &policy->sorted[j]->detail,
                                     policy->sorted[j]->sessions, err);
    }
    return status;
}

static enum status fleet_read_domain(struct session_reader *reader, int32_t utc_day, const char *domain,
                                     const struct report_visitor *visitor, struct err *err)
{
    struct session_fleet *sessions = fleet_of(reader);
    struct domain_rows *rows = sessions->utc_day == utc_day ? find_domain(sessions, domain) : NULL;
    enum status status = ST_OK;

    if (rows == NULL) {
        status = load(sessions, utc_day, &domain, 1, err);
        rows = status == ST_OK ? find_domain(sessions, domain) : NULL;
    }
    if (status != ST_OK)
        return status;
    if (rows == NULL || rows->policy_count == 0)
        return err_set(err, ST_NOT_FOUND, "no session of %s on that day", domain);
    return visit_domain(rows, visitor, err);
}

static enum status give_record(void *context, const struct pg_row *row, struct err *err)
{
    const struct session_walk *walk = context;

    return walk->record(walk->context, pg_text(row, 0), pg_int(row, 1), err);
}

static enum status fleet_each_record(struct session_reader *reader, int32_t utc_day, const char *domain,
                                     session_record_fn *fn, void *context, struct err *err)
{
    struct session_walk walk = {.context = context, .record = fn};

    return pg_query(fleet_of(reader)->fleet->pg, FLEET_READ_RECORDS, BIND(TEXT(domain), INT(utc_day)),
                    give_record, &walk, err);
}

/* ---- the method table ---- */

static void fleet_close_reader(struct session_reader *reader)
{
    struct session_fleet *sessions = fleet_of(reader);

    arena_done(&sessions->arena);
    free(sessions);
}

static const struct session_reader_methods METHODS = {
    .close = fleet_close_reader,
    .get_mark = fleet_get_mark,
    .delete_before = fleet_delete_before,
    .each_day = fleet_each_day,
    .each_domain = fleet_each_domain,
    .read_domain = fleet_read_domain,
    .each_record = fleet_each_record,
    .prefetch = fleet_prefetch,
};

enum status fleet_pgsql_open_sessions(struct fleet *fleet, struct session_reader **reader_out,
                                      struct err *err)
{
    struct session_fleet *sessions = calloc(1, sizeof *sessions);

    if (sessions == NULL)
        return no_memory(err);
    sessions->base.methods = &METHODS;
    sessions->fleet = fleet_pgsql_of(fleet);
    arena_init(&sessions->arena, ROWS_BYTES_MAX);
    *reader_out = &sessions->base;
    return ST_OK;
}
