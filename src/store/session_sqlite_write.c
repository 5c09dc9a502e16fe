/* SPDX-License-Identifier: MIT */
/*
 * Counting into sessions.db: a session result's texts become rows with numbers, and its count is added to
 * those rows.
 *
 * For each policy of the result:
 * 1. find its row of texts, and add to its tally of this day
 * 2. there is none, and a new one would be beyond the domain's cap of that day: take the folded policy
 *    instead and go to 1; or it would be the domain's first of the day, and its organization has enough of them:
 *    end, with nothing counted
 * 3. make what is missing
 * 4. the same for each detail of the policy
 * The rows that were added to are the result's plan; an equal result adds to them by their numbers.
 */
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "model/organization.h"
#include "store/session_sqlite.h"
#include "store/session_writer.h"

#define LIST_BYTES_MAX ((size_t)POLICY_LINES_MAX * (POLICY_LINE_MAX + 1))

struct session_writer {
    struct session_sqlite store;
    struct session_limits limits;
    int64_t next_id;                /* for domains, policies, details and records alike */
    int64_t saved_next_id;          /* as the database has it */
    uint64_t added[COUNTER_COUNT];  /* since begin, not yet written */
    uint64_t raised[COUNTER_COUNT]; /* maxima, not yet written */
    struct strbuf strings;          /* joined lists of the policy at hand */
    struct strbuf mx_hosts;
};

/* Enough for what MTAs send: one policy, at most one detail. */
#define TARGETS_MAX 2

/* What a target counts. */
enum tally_kind {
    TALLY_NONE,    /* no target */
    TALLY_SUCCESS, /* sessions that met the policy */
    TALLY_FAILURE, /* sessions that did not */
    TALLY_DETAIL,  /* sessions with that failure detail */
};

/* The inside of a struct tally_plan. */
struct tally_rows {
    int64_t domain_id;
    int64_t record_id;     /* the TLSRPT record that came with it; 0: none */
    int64_t record_seen_s; /* when that record was last noted */
    int64_t policy_ids[TARGETS_MAX];
    int64_t detail_ids[TARGETS_MAX]; /* TALLY_DETAIL only */
    uint8_t kinds[TARGETS_MAX];      /* enum tally_kind */
    uint8_t folded_policies;         /* how many of its policies and details were over the caps */
    uint8_t folded_details;
};

_Static_assert(sizeof(struct tally_rows) <= TALLY_PLAN_WORDS * sizeof(uint64_t), "a plan holds the rows");

/* The result that is being counted. */
struct row_resolver {
    struct session_writer *writer;
    struct db *db;
    const char *domain;
    int32_t utc_day;
    int64_t count;
    bool is_new_domain; /* nothing of it can exist yet */
    unsigned folded_policies;
    unsigned folded_details;
    size_t target_count;
    struct tally_rows rows; /* the first TARGETS_MAX targets */
};

static enum status no_memory(struct err *err)
{
    return err_set(err, ST_NOMEM, "session store: out of memory");
}

/* Nothing of the domain exists but what this result has made. */
static bool is_first_row(const struct row_resolver *resolver)
{
    return resolver->is_new_domain && resolver->target_count == 0;
}

static void add_target(struct row_resolver *resolver, enum tally_kind kind, int64_t policy_id,
                       int64_t detail_id)
{
    size_t target = resolver->target_count++;

    if (target >= TARGETS_MAX)
        return;
    resolver->rows.kinds[target] = (uint8_t)kind;
    resolver->rows.policy_ids[target] = policy_id;
    resolver->rows.detail_ids[target] = detail_id;
}

/* ---- domain and record ---- */

/* Adding comes first: a new text is mostly of a new domain, and one that is there is not written to. */
static enum status resolve_domain(struct row_resolver *resolver, struct err *err)
{
    const struct bind_value name = TEXT(resolver->domain);
    int64_t *id = &resolver->rows.domain_id;
    enum status status =
        db_update(resolver->db, SQL_ADD_DOMAIN, BIND(name, INT(resolver->writer->next_id)), err);

    if (status == ST_NOT_FOUND)
        return db_read(resolver->db, SQL_FIND_DOMAIN, BIND(name), id, 1, err);
    if (status != ST_OK)
        return status;
    *id = resolver->writer->next_id++;
    resolver->is_new_domain = true;
    return ST_OK;
}

/* It was refused: nothing else refers to its row, and nobody has seen its id. */
static enum status forget_domain(struct row_resolver *resolver, struct err *err)
{
    if (!resolver->is_new_domain)
        return ST_OK;
    resolver->writer->next_id = resolver->rows.domain_id;
    return db_change(resolver->db, SQL_DELETE_DOMAIN, BIND(TEXT(resolver->domain)), err);
}

/* A name of two labels is its organization's own, or a public suffix: most names are, and need no list. */
static bool is_short(const char *domain)
{
    const char *dot = strchr(domain, '.');

    return dot == NULL || strchr(dot + 1, '.') == NULL;
}

/* Count one more subdomain of the day.  ST_DENIED: its organization has enough. */
static enum status take_subdomain(struct row_resolver *resolver, struct err *err)
{
    const struct session_limits *limits = &resolver->writer->limits;
    const char *organization;
    enum status status;

    if (is_short(resolver->domain))
        return ST_OK;
    organization = organization_of(resolver->domain);
    if (organization == resolver->domain)
        return ST_OK;
    status = db_update(resolver->db, SQL_TAKE_SUBDOMAIN,
                       BIND(INT(resolver->utc_day), TEXT(organization), INT(limits->max_subdomains)), err);
    return status == ST_NOT_FOUND ? ST_DENIED : status;
}

/* What is stored of a domain's records on one day. */
struct records {
    int64_t id; /* of the same text, else 0 */
    int64_t count;
    int64_t oldest_id;
    int64_t oldest_s;
};

static enum status list_records(struct row_resolver *resolver, const char *text, struct records *records_out,
                                struct err *err)
{
    struct records records = {.oldest_s = INT64_MAX};
    struct sqlite3_stmt *row = NULL;
    enum status status = db_query(resolver->db, SQL_LIST_RECORDS,
                                  BIND(INT(resolver->rows.domain_id), INT(resolver->utc_day)), &row, err);

    while (db_next(resolver->db, row, &status, err)) {
        const char *record = db_column_text(row, 2);

        records.count++;
        if (record != NULL && strcmp(record, text) == 0)
            records.id = db_column_int(row, 0);
        if (db_column_int(row, 1) < records.oldest_s) {
            records.oldest_id = db_column_int(row, 0);
            records.oldest_s = db_column_int(row, 1);
        }
    }
    if (status == ST_OK)
        *records_out = records;
    return status;
}

/* Note when the record was seen; one too many takes the place of the one not seen for longest. */
static enum status resolve_record(struct row_resolver *resolver, const char *text, struct err *err)
{
    struct tally_rows *rows = &resolver->rows;
    const struct bind_value domain = INT(rows->domain_id);
    const struct bind_value day = INT(resolver->utc_day);
    const struct bind_value seen = INT(rows->record_seen_s);
    struct records records = {0};
    enum status status = ST_OK;

    if (text == NULL)
        return ST_OK;
    if (!resolver->is_new_domain)
        status = list_records(resolver, text, &records, err);
    if (status == ST_OK && records.id != 0) {
        rows->record_id = records.id;
        return db_change(resolver->db, SQL_TOUCH_RECORD, BIND(domain, day, INT(records.id), seen), err);
    }
    if (status == ST_OK && records.count >= SESSION_RECORDS_MAX)
        status = db_change(resolver->db, SQL_DELETE_RECORD, BIND(domain, day, INT(records.oldest_id)), err);
    if (status != ST_OK)
        return status;
    rows->record_id = resolver->writer->next_id++;
    return db_change(resolver->db, SQL_ADD_RECORD, BIND(domain, day, INT(rows->record_id), seen, TEXT(text)),
                     err);
}

/* ---- policies ---- */

static enum status join(const struct text_list *list, struct strbuf *out, struct err *err)
{
    strbuf_reset(out);
    for (size_t i = 0; i < list->count; i++) {
        if (i > 0)
            strbuf_add_char(out, '\n');
        strbuf_add_text(out, list->items[i]);
    }
    return strbuf_is_failed(out) ? no_memory(err) : ST_OK;
}

/* ST_NOT_FOUND if these texts were never stored for the domain. */
static enum status find_policy(struct row_resolver *resolver, const struct policy *policy, int64_t *id_out,
                               struct err *err)
{
    struct session_writer *writer = resolver->writer;
    enum status status = join(&policy->strings, &writer->strings, err);

    if (status == ST_OK)
        status = join(&policy->mx_hosts, &writer->mx_hosts, err);
    if (status == ST_OK && is_first_row(resolver))
        return ST_NOT_FOUND;
    if (status != ST_OK)
        return status;
    return db_read(resolver->db, SQL_FIND_POLICY,
                   BIND(INT(resolver->rows.domain_id), INT(policy->type), TEXT(policy->domain),
                        TEXT(writer->strings.data), TEXT(writer->mx_hosts.data)),
                   id_out, 1, err);
}

/* The lists were joined by find_policy. */
static enum status make_policy(struct row_resolver *resolver, const struct policy *policy, int64_t *id_out,
                               struct err *err)
{
    struct session_writer *writer = resolver->writer;

    *id_out = writer->next_id++;
    return db_change(resolver->db, SQL_ADD_POLICY,
                     BIND(INT(resolver->rows.domain_id), INT(policy->type), TEXT(policy->domain),
                          TEXT(writer->strings.data), TEXT(writer->mx_hosts.data), INT(*id_out)),
                     err);
}

/* The domain's rows of that day, as far as max. */
static enum status count_rows(struct row_resolver *resolver, enum session_statement statement, int64_t max,
                              int64_t *count_out, struct err *err)
{
    *count_out = 0;
    if (is_first_row(resolver))
        return ST_OK;
    return db_read(resolver->db, statement,
                   BIND(INT(resolver->rows.domain_id), INT(resolver->utc_day), INT(max)), count_out, 1, err);
}

/*
 * May the domain have one more policy on that day?
 * ST_RANGE   it has max_policies; not if is_free
 * ST_DENIED  it has none, and its organization has max_subdomains
 */
static enum status check_policy_cap(struct row_resolver *resolver, bool is_free, struct err *err)
{
    int64_t cap = is_free ? INT64_MAX : resolver->writer->limits.max_policies;
    int64_t count;
    enum status status = count_rows(resolver, SQL_COUNT_TALLIES, is_free ? 1 : cap, &count, err);

    if (status != ST_OK)
        return status;
    if (count == 0)
        return take_subdomain(resolver, err);
    return count >= cap ? ST_RANGE : ST_OK;
}

static bool is_folded_policy(const struct policy *policy, const char *domain)
{
    return policy->strings.count == 0 && policy->mx_hosts.count == 0 && strcmp(policy->domain, domain) == 0;
}

/* Steps 1 to 3; statuses of check_policy_cap when there may be no new tally for this policy. */
static enum status count_policy(struct row_resolver *resolver, const struct policy *policy, bool is_failed,
                                bool is_free, int64_t *policy_id_out, struct err *err)
{
    const struct bind_value domain = INT(resolver->rows.domain_id);
    const struct bind_value day = INT(resolver->utc_day);
    enum status status = find_policy(resolver, policy, policy_id_out, err);
    bool is_known = status == ST_OK;

    if (is_known)
        status = db_update(resolver->db, is_failed ? SQL_COUNT_FAILURE : SQL_COUNT_SUCCESS,
                           BIND(domain, day, INT(*policy_id_out), INT(resolver->count)), err);
    if (status != ST_NOT_FOUND)
        return status;
    status = check_policy_cap(resolver, is_free, err);
    if (status == ST_OK && !is_known)
        status = make_policy(resolver, policy, policy_id_out, err);
    if (status != ST_OK)
        return status;
    return db_change(resolver->db, SQL_ADD_TALLY,
                     BIND(domain, day, INT(*policy_id_out), INT(is_failed ? 0 : resolver->count),
                          INT(is_failed ? resolver->count : 0)),
                     err);
}

static enum status count_or_fold_policy(struct row_resolver *resolver, const struct session_result *result,
                                        const struct result_policy *policy, int64_t *policy_id_out,
                                        struct err *err)
{
    const struct policy folded = {.type = policy->policy.type, .domain = result->domain};
    enum status status = count_policy(resolver, &policy->policy, policy->is_failed,
                                      is_folded_policy(&policy->policy, result->domain), policy_id_out, err);

    if (status == ST_RANGE) {
        resolver->folded_policies++;
        status = count_policy(resolver, &folded, policy->is_failed, true, policy_id_out, err);
    }
    if (status == ST_OK)
        add_target(resolver, policy->is_failed ? TALLY_FAILURE : TALLY_SUCCESS, *policy_id_out, 0);
    return status;
}

/* ---- details ---- */

/* The parameters of FIND_DETAIL and, with the id, of ADD_DETAIL. */
#define DETAIL_VALUES(resolver, detail)                                                                      \
    INT((resolver)->rows.domain_id), TEXT(result_type_name((detail)->result_type)),                          \
        TEXT_OR_EMPTY((detail)->sending_mta_ip), TEXT_OR_EMPTY((detail)->receiving_mx_hostname),             \
        TEXT_OR_EMPTY((detail)->receiving_mx_helo), TEXT_OR_EMPTY((detail)->receiving_ip),                   \
        TEXT_OR_EMPTY((detail)->additional_information), TEXT_OR_EMPTY((detail)->failure_reason_code)

/* ST_OK: one more fits; ST_RANGE: the domain has max_details on that day. */
static enum status check_detail_cap(struct row_resolver *resolver, struct err *err)
{
    int64_t cap = resolver->writer->limits.max_details, count;
    enum status status = count_rows(resolver, SQL_COUNT_DETAIL_TALLIES, cap, &count, err);

    return status == ST_OK && count >= cap ? ST_RANGE : status;
}

/* Steps 1 to 3 for a detail. */
static enum status count_detail(struct row_resolver *resolver, int64_t policy_id,
                                const struct failure_detail *detail, bool is_free, int64_t *detail_id_out,
                                struct err *err)
{
    const struct bind_value domain = INT(resolver->rows.domain_id);
    const struct bind_value day = INT(resolver->utc_day);
    const struct bind_value policy = INT(policy_id);
    const struct bind_value count = INT(resolver->count);
    enum status status =
        db_read(resolver->db, SQL_FIND_DETAIL, BIND(DETAIL_VALUES(resolver, detail)), detail_id_out, 1, err);
    bool is_known = status == ST_OK;

    if (is_known)
        status = db_update(resolver->db, SQL_COUNT_DETAIL,
                           BIND(domain, day, policy, INT(*detail_id_out), count), err);
    if (status != ST_NOT_FOUND)
        return status;
    status = is_free ? ST_OK : check_detail_cap(resolver, err);
    if (status == ST_OK && !is_known) {
        *detail_id_out = resolver->writer->next_id++;
        status = db_change(resolver->db, SQL_ADD_DETAIL,
                           BIND(DETAIL_VALUES(resolver, detail), INT(*detail_id_out)), err);
    }
    if (status != ST_OK)
        return status;
    return db_change(resolver->db, SQL_ADD_DETAIL_TALLY,
                     BIND(domain, day, policy, INT(*detail_id_out), count), err);
}

static enum status count_or_fold_detail(struct row_resolver *resolver, int64_t policy_id,
                                        const struct failure_detail *detail, struct err *err)
{
    const struct failure_detail folded = {.result_type = detail->result_type};
    int64_t detail_id = 0;
    enum status status = count_detail(resolver, policy_id, detail,
                                      failure_detail_compare(detail, &folded) == 0, &detail_id, err);

    if (status == ST_RANGE) {
        resolver->folded_details++;
        status = count_detail(resolver, policy_id, &folded, true, &detail_id, err);
    }
    if (status == ST_OK)
        add_target(resolver, TALLY_DETAIL, policy_id, detail_id);
    return status;
}

/* ---- results ---- */

static void bump_folded(struct session_writer *writer, unsigned policies, unsigned details, uint64_t count)
{
    session_writer_bump(writer, COUNTER_FOLDED_POLICIES, policies * count);
    session_writer_bump(writer, COUNTER_FOLDED_DETAILS, details * count);
}

static enum status count_result_policy(struct row_resolver *resolver, const struct session_result *result,
                                       const struct result_policy *policy, struct err *err)
{
    int64_t policy_id = 0;
    enum status status = count_or_fold_policy(resolver, result, policy, &policy_id, err);

    for (size_t i = 0; status == ST_OK && i < policy->detail_count; i++)
        status = count_or_fold_detail(resolver, policy_id, &policy->details[i], err);
    return status;
}

static void fill_plan(struct row_resolver *resolver, struct tally_plan *plan_out)
{
    resolver->rows.folded_policies = (uint8_t)resolver->folded_policies;
    resolver->rows.folded_details = (uint8_t)resolver->folded_details;
    *plan_out =
        (struct tally_plan){.is_made = resolver->target_count <= TARGETS_MAX, .utc_day = resolver->utc_day};
    memcpy(plan_out->rows, &resolver->rows, sizeof resolver->rows);
}

static enum status refuse(struct row_resolver *resolver, struct err *err)
{
    enum status status = forget_domain(resolver, err);

    if (status != ST_OK)
        return status;
    return err_set(err, ST_DENIED, "%s has %lld subdomains on that day already",
                   organization_of(resolver->domain), (long long)resolver->writer->limits.max_subdomains);
}

enum status session_writer_add(struct session_writer *writer, const struct session_result *result,
                               int32_t utc_day, uint64_t count, int64_t arrival_s,
                               struct tally_plan *plan_out, struct err *err)
{
    struct row_resolver resolver = {.writer = writer,
                                    .db = &writer->store.db,
                                    .domain = result->domain,
                                    .utc_day = utc_day,
                                    .count = (int64_t)count,
                                    .rows = {.record_seen_s = arrival_s}};
    enum status status = resolve_domain(&resolver, err);

    for (size_t i = 0; status == ST_OK && i < result->policy_count; i++)
        status = count_result_policy(&resolver, result, &result->policies[i], err);
    if (status == ST_DENIED)
        return refuse(&resolver, err);
    if (status == ST_OK)
        status = resolve_record(&resolver, result->record, err);
    if (status != ST_OK)
        return status;
    bump_folded(writer, resolver.folded_policies, resolver.folded_details, count);
    fill_plan(&resolver, plan_out);
    return ST_OK;
}

enum status session_writer_add_over_budget(struct session_writer *writer, const char *domain, int32_t utc_day,
                                           uint64_t count, uint64_t *sessions_out, struct err *err)
{
    int64_t sessions;
    enum status status =
        db_read(&writer->store.db, SQL_COUNT_OVER_BUDGET,
                BIND(INT(utc_day), TEXT(organization_of(domain)), INT((int64_t)count)), &sessions, 1, err);

    if (status == ST_NOT_FOUND)
        return err_set(err, ST_INTERNAL, "%s: %s is not over its budget", writer->store.db.name, domain);
    if (status == ST_OK)
        *sessions_out = (uint64_t)sessions;
    return status;
}

/* ---- plans ---- */

/* Note that the record was seen, if that is not noted already. */
static enum status touch_record(struct session_writer *writer, struct tally_plan *plan,
                                struct tally_rows *rows, int64_t arrival_s, struct err *err)
{
    enum status status;

    if (rows->record_id == 0 || arrival_s - rows->record_seen_s < SESSION_RECORD_LAG_S)
        return ST_OK;
    status =
        db_update(&writer->store.db, SQL_TOUCH_RECORD,
                  BIND(INT(rows->domain_id), INT(plan->utc_day), INT(rows->record_id), INT(arrival_s)), err);
    if (status == ST_OK) {
        rows->record_seen_s = arrival_s;
        memcpy(plan->rows, rows, sizeof *rows);
    }
    return status;
}

/* Add count to one row; ST_NOT_FOUND if it is gone. */
static enum status count_target(struct session_writer *writer, const struct tally_rows *rows, size_t target,
                                int32_t utc_day, int64_t count, struct err *err)
{
    struct db *db = &writer->store.db;
    const struct bind_value domain = INT(rows->domain_id);
    const struct bind_value policy = INT(rows->policy_ids[target]);

    if (rows->kinds[target] == TALLY_DETAIL)
        return db_update(db, SQL_COUNT_DETAIL,
                         BIND(domain, INT(utc_day), policy, INT(rows->detail_ids[target]), INT(count)), err);
    return db_update(db, rows->kinds[target] == TALLY_FAILURE ? SQL_COUNT_FAILURE : SQL_COUNT_SUCCESS,
                     BIND(domain, INT(utc_day), policy, INT(count)), err);
}

/* The first target is looked at before anything is counted: either all rows of a plan exist or none does,
 * because a clean-up deletes whole days. */
enum status session_writer_count(struct session_writer *writer, struct tally_plan *plan, uint64_t count,
                                 int64_t arrival_s, struct err *err)
{
    struct tally_rows rows;
    enum status status;

    memcpy(&rows, plan->rows, sizeof rows);
    status = touch_record(writer, plan, &rows, arrival_s, err);
    for (size_t i = 0; status == ST_OK && i < TARGETS_MAX && rows.kinds[i] != TALLY_NONE; i++) {
        status = count_target(writer, &rows, i, plan->utc_day, (int64_t)count, err);
        if (status == ST_NOT_FOUND && i > 0)
            return err_set(err, ST_INTERNAL, "%s: half of a plan is gone", writer->store.db.name);
    }
    if (status == ST_OK)
        bump_folded(writer, rows.folded_policies, rows.folded_details, count);
    return status;
}

/* ---- what belongs to the same transaction ---- */

enum status session_writer_set_mark(struct session_writer *writer, const struct session_mark *mark,
                                    struct err *err)
{
    return db_change(&writer->store.db, SQL_SET_MARK,
                     BIND(INT(mark->counted_through_s), INT((int64_t)mark->ring_sequence),
                          INT((int64_t)mark->ring_dropped)),
                     err);
}

void session_writer_bump(struct session_writer *writer, enum session_counter counter, uint64_t by)
{
    writer->added[counter] += by;
}

void session_writer_raise(struct session_writer *writer, enum session_counter counter, uint64_t to)
{
    if (writer->raised[counter] < to)
        writer->raised[counter] = to;
}

enum status session_writer_add_refused(struct session_writer *writer, int64_t uid, uint64_t count,
                                       struct err *err)
{
    return db_change(&writer->store.db, SQL_ADD_REFUSED, BIND(INT(uid), INT((int64_t)count)), err);
}

enum status session_writer_set_note(struct session_writer *writer, const char *name, const char *text,
                                    struct err *err)
{
    return db_change(&writer->store.db, SQL_SET_NOTE, BIND(TEXT(name), TEXT(text)), err);
}

static enum status write_counters(struct session_writer *writer, struct err *err)
{
    enum status status = ST_OK;

    for (int i = 0; status == ST_OK && i < COUNTER_COUNT; i++)
        if (writer->added[i] != 0 || writer->raised[i] != 0)
            status = db_change(&writer->store.db, SQL_ADD_COUNTER,
                               BIND(TEXT(session_counter_name((enum session_counter)i)),
                                    INT((int64_t)writer->added[i]), INT((int64_t)writer->raised[i])),
                               err);
    return status;
}

/* ---- transactions ---- */

static void forget_counters(struct session_writer *writer)
{
    memset(writer->added, 0, sizeof writer->added);
    memset(writer->raised, 0, sizeof writer->raised);
}

enum status session_writer_begin(struct session_writer *writer, struct err *err)
{
    forget_counters(writer);
    return db_begin(&writer->store.db, err);
}

enum status session_writer_commit(struct session_writer *writer, struct err *err)
{
    struct db *db = &writer->store.db;
    enum status status = write_counters(writer, err);

    if (status == ST_OK && writer->next_id != writer->saved_next_id)
        status = db_change(db, SQL_SET_NEXT_ID, BIND(INT(writer->next_id)), err);
    if (status == ST_OK)
        status = db_commit(db, err);
    if (status == ST_OK)
        writer->saved_next_id = writer->next_id;
    else
        db_rollback(db);
    forget_counters(writer);
    return status;
}

enum status session_writer_sync(struct session_writer *writer, struct err *err)
{
    return db_sync(&writer->store.db, err);
}

void session_writer_rollback(struct session_writer *writer)
{
    db_rollback(&writer->store.db);
    forget_counters(writer);
}

/* ---- open ---- */

enum status session_writer_open(const char *path, const struct session_limits *limits,
                                struct session_writer **writer_out, struct err *err)
{
    struct session_writer *writer = calloc(1, sizeof *writer);
    enum status status;

    if (writer == NULL)
        return err_set(err, ST_NOMEM, "%s: out of memory", path);
    writer->limits = *limits;
    strbuf_init(&writer->strings, LIST_BYTES_MAX);
    strbuf_init(&writer->mx_hosts, LIST_BYTES_MAX);
    status = session_sqlite_open(&writer->store, path, DB_WRITE, &writer->next_id, err);
    if (status != ST_OK) {
        free(writer);
        return status;
    }
    writer->saved_next_id = writer->next_id;
    if (limits->busy_ms > 0)
        db_set_busy(&writer->store.db, limits->busy_ms);
    *writer_out = writer;
    return ST_OK;
}

void session_writer_close(struct session_writer **writer)
{
    if (*writer == NULL)
        return;
    db_close(&(*writer)->store.db);
    strbuf_done(&(*writer)->strings);
    strbuf_done(&(*writer)->mx_hosts);
    free(*writer);
    *writer = NULL;
}

struct session_reader *session_writer_reader(struct session_writer *writer)
{
    return &writer->store.base;
}
