/* SPDX-License-Identifier: MIT */
/*
 * Counting: an event's texts become rows with numbers, and its count is added to those rows.
 *
 * For each policy of the event:
 * 1. find its row of texts, and add to its tally of this day
 * 2. there is none, and a new one would be beyond the domain's cap of that day: take the folded policy
 * instead and go to 1
 * 3. make what is missing
 * 4. the same for each detail of the policy
 */
#include <stdlib.h>
#include <string.h>

#include "store/session_sqlite.h"

/* The event that is being counted. */
struct row_resolver {
    struct session_sqlite *sqlite;
    int64_t domain_id;
    bool is_new_domain; /* nothing of it can exist yet */
    int32_t utc_day;
    uint64_t count;
    size_t target_count;
    unsigned folded_policies;
    unsigned folded_details;
};

static enum status no_memory(struct err *err)
{
    return err_set(err, ST_NOMEM, "session store: out of memory");
}

static int64_t new_id(struct session_sqlite *sqlite)
{
    return sqlite->next_id++;
}

static const char *text_or_empty(const char *text)
{
    return text != NULL ? text : "";
}

/* First column of the one row that a bound statement gives; ST_NOT_FOUND if it gives none. */
static enum status find_number(struct session_sqlite *sqlite, struct sqlite3_stmt *statement,
                               int64_t *number_out, struct err *err)
{
    enum status status = db_step(&sqlite->db, statement, err);

    if (status == ST_OK)
        *number_out = db_column_int(statement, 0);
    db_reset(statement);
    return status;
}

/* A statement with up to four numbers bound. */
static enum status get_bound(struct session_sqlite *sqlite, enum session_statement id, const int64_t *values,
                             int count, struct sqlite3_stmt **statement_out, struct err *err)
{
    enum status status = session_sqlite_get(sqlite, id, statement_out, err);

    for (int i = 0; status == ST_OK && i < count; i++)
        db_bind_int(*statement_out, i + 1, values[i]);
    return status;
}

static enum status run_numbers(struct session_sqlite *sqlite, enum session_statement id,
                               const int64_t *values, int count, struct err *err)
{
    struct sqlite3_stmt *statement;
    enum status status = get_bound(sqlite, id, values, count, &statement, err);

    return status == ST_OK ? db_step_done(&sqlite->db, statement, err) : status;
}

static enum status find_by_numbers(struct session_sqlite *sqlite, enum session_statement id,
                                   const int64_t *values, int count, int64_t *number_out, struct err *err)
{
    struct sqlite3_stmt *statement;
    enum status status = get_bound(sqlite, id, values, count, &statement, err);

    return status == ST_OK ? find_number(sqlite, statement, number_out, err) : status;
}

static enum status add_target(struct row_resolver *resolver, enum tally_kind kind, int64_t policy_id,
                              int64_t detail_id, struct err *err)
{
    struct session_sqlite *sqlite = resolver->sqlite;

    if (resolver->target_count == sqlite->target_capacity) {
        size_t capacity = sqlite->target_capacity > 0 ? 2 * sqlite->target_capacity : 16;
        struct session_target *targets = realloc(sqlite->targets, capacity * sizeof *targets);

        if (targets == NULL)
            return no_memory(err);
        sqlite->targets = targets;
        sqlite->target_capacity = capacity;
    }
    sqlite->targets[resolver->target_count++] =
        (struct session_target){.kind = kind, .row = {.policy_id = policy_id, .detail_id = detail_id}};
    return ST_OK;
}

/* ---- domain and record ---- */

/* ST_NOT_FOUND if another row has the name already. */
static enum status add_domain(struct session_sqlite *sqlite, const char *name, int64_t id, struct err *err)
{
    struct sqlite3_stmt *statement;
    enum status status = session_sqlite_get(sqlite, SQL_ADD_DOMAIN, &statement, err);

    if (status != ST_OK)
        return status;
    db_bind_text(statement, 1, name);
    db_bind_int(statement, 2, id);
    status = db_step_done(&sqlite->db, statement, err);
    return status == ST_OK && db_changes(&sqlite->db) == 0 ? ST_NOT_FOUND : status;
}

static enum status find_domain(struct session_sqlite *sqlite, const char *name, int64_t *id_out,
                               struct err *err)
{
    struct sqlite3_stmt *statement;
    enum status status = session_sqlite_get(sqlite, SQL_FIND_DOMAIN, &statement, err);

    if (status != ST_OK)
        return status;
    db_bind_text(statement, 1, name);
    return find_number(sqlite, statement, id_out, err);
}

/* Adding comes first: a new text is mostly of a new domain, and one that is there is not written to. */
static enum status resolve_domain(struct row_resolver *resolver, const char *name, struct err *err)
{
    struct session_sqlite *sqlite = resolver->sqlite;
    enum status status = add_domain(sqlite, name, sqlite->next_id, err);

    if (status == ST_NOT_FOUND)
        return find_domain(sqlite, name, &resolver->domain_id, err);
    if (status != ST_OK)
        return status;
    resolver->domain_id = new_id(sqlite);
    resolver->is_new_domain = true;
    return ST_OK;
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
    struct session_sqlite *sqlite = resolver->sqlite;
    const int64_t key[] = {resolver->domain_id, resolver->utc_day};
    struct records records = {.oldest_s = INT64_MAX};
    struct sqlite3_stmt *statement;
    enum status status = get_bound(sqlite, SQL_LIST_RECORDS, key, 2, &statement, err);

    if (status != ST_OK)
        return status;
    while ((status = db_step(&sqlite->db, statement, err)) == ST_OK) {
        records.count++;
        if (strcmp(text_or_empty(db_column_text(statement, 2)), text) == 0)
            records.id = db_column_int(statement, 0);
        if (db_column_int(statement, 1) < records.oldest_s) {
            records.oldest_id = db_column_int(statement, 0);
            records.oldest_s = db_column_int(statement, 1);
        }
    }
    db_reset(statement);
    if (status != ST_NOT_FOUND)
        return status;
    *records_out = records;
    return ST_OK;
}

static enum status add_record(struct row_resolver *resolver, const char *text, int64_t arrival_s, int64_t id,
                              struct err *err)
{
    const int64_t key[] = {resolver->domain_id, resolver->utc_day, id, arrival_s};
    struct sqlite3_stmt *statement;
    enum status status = get_bound(resolver->sqlite, SQL_ADD_RECORD, key, 4, &statement, err);

    if (status != ST_OK)
        return status;
    db_bind_text(statement, 5, text);
    return db_step_done(&resolver->sqlite->db, statement, err);
}

/* Note when the record was seen; one too many takes the place of the one not seen for longest. */
static enum status resolve_record(struct row_resolver *resolver, const char *text, int64_t arrival_s,
                                  int64_t *record_id_out, struct err *err)
{
    struct records records = {0};
    enum status status = ST_OK;

    *record_id_out = 0;
    if (text == NULL)
        return ST_OK;
    if (!resolver->is_new_domain)
        status = list_records(resolver, text, &records, err);
    if (status == ST_OK && records.id != 0) {
        const int64_t key[] = {resolver->domain_id, resolver->utc_day, records.id, arrival_s};

        *record_id_out = records.id;
        return run_numbers(resolver->sqlite, SQL_TOUCH_RECORD, key, 4, err);
    }
    if (status == ST_OK && records.count >= SESSION_RECORDS_MAX) {
        const int64_t key[] = {resolver->domain_id, resolver->utc_day, records.oldest_id};

        status = run_numbers(resolver->sqlite, SQL_DELETE_RECORD, key, 3, err);
    }
    if (status != ST_OK)
        return status;
    *record_id_out = new_id(resolver->sqlite);
    return add_record(resolver, text, arrival_s, *record_id_out, err);
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

/* Bind the key of the policy table, parameters 1 to 5; the strings were joined before. */
static enum status get_policy_statement(struct row_resolver *resolver, enum session_statement id,
                                        const struct policy *policy, struct sqlite3_stmt **statement_out,
                                        struct err *err)
{
    const int64_t key[] = {resolver->domain_id, policy->type};
    enum status status = get_bound(resolver->sqlite, id, key, 2, statement_out, err);

    if (status != ST_OK)
        return status;
    db_bind_text(*statement_out, 3, policy->domain);
    db_bind_text(*statement_out, 4, resolver->sqlite->strings.data);
    db_bind_text(*statement_out, 5, resolver->sqlite->mx_hosts.data);
    return ST_OK;
}

/* ST_NOT_FOUND if these texts were never stored for the domain. */
static enum status find_policy(struct row_resolver *resolver, const struct policy *policy, int64_t *id_out,
                               struct err *err)
{
    struct sqlite3_stmt *statement;
    enum status status = join(&policy->strings, &resolver->sqlite->strings, err);

    if (status == ST_OK)
        status = join(&policy->mx_hosts, &resolver->sqlite->mx_hosts, err);
    if (status == ST_OK && resolver->is_new_domain && resolver->target_count == 0)
        return ST_NOT_FOUND;
    if (status == ST_OK)
        status = get_policy_statement(resolver, SQL_FIND_POLICY, policy, &statement, err);
    return status == ST_OK ? find_number(resolver->sqlite, statement, id_out, err) : status;
}

static enum status make_policy(struct row_resolver *resolver, const struct policy *policy, int64_t *id_out,
                               struct err *err)
{
    int64_t id = new_id(resolver->sqlite);
    struct sqlite3_stmt *statement;
    enum status status = get_policy_statement(resolver, SQL_ADD_POLICY, policy, &statement, err);

    if (status != ST_OK)
        return status;
    db_bind_int(statement, 6, id);
    status = db_step_done(&resolver->sqlite->db, statement, err);
    if (status == ST_OK)
        *id_out = id;
    return status;
}

/* ST_OK: one more fits; ST_RANGE: the cap is reached. */
static enum status check_cap(struct row_resolver *resolver, enum session_statement id, int64_t cap,
                             struct err *err)
{
    const int64_t key[] = {resolver->domain_id, resolver->utc_day, cap};
    int64_t count = 0;
    enum status status;

    if (resolver->is_new_domain && resolver->target_count == 0)
        return ST_OK;
    status = find_by_numbers(resolver->sqlite, id, key, 3, &count, err);
    return status == ST_OK && count >= cap ? ST_RANGE : status;
}

static bool is_folded_policy(const struct policy *policy, const char *domain)
{
    return policy->strings.count == 0 && policy->mx_hosts.count == 0 && strcmp(policy->domain, domain) == 0;
}

/* Add to a row that may be there; ST_NOT_FOUND if it is not. */
static enum status add_to(struct session_sqlite *sqlite, enum session_statement id, const int64_t *values,
                          int count, struct err *err)
{
    enum status status = run_numbers(sqlite, id, values, count, err);

    return status == ST_OK && db_changes(&sqlite->db) == 0 ? ST_NOT_FOUND : status;
}

/* Steps 1 to 3; ST_RANGE when the cap allows no new tally for this policy. */
static enum status count_policy(struct row_resolver *resolver, const struct policy *policy, bool is_failed,
                                bool is_free, int64_t *policy_id_out, struct err *err)
{
    struct session_sqlite *sqlite = resolver->sqlite;
    int64_t count = (int64_t)resolver->count;
    enum status status = find_policy(resolver, policy, policy_id_out, err);
    bool is_known = status == ST_OK;

    if (is_known) {
        const int64_t row[] = {resolver->domain_id, resolver->utc_day, *policy_id_out, count};

        status = add_to(sqlite, is_failed ? SQL_COUNT_FAILURE : SQL_COUNT_SUCCESS, row, 4, err);
    }
    if (status != ST_NOT_FOUND)
        return status;
    status = is_free ? ST_OK : check_cap(resolver, SQL_COUNT_TALLIES, sqlite->base.limits.max_policies, err);
    if (status == ST_OK && !is_known)
        status = make_policy(resolver, policy, policy_id_out, err);
    if (status == ST_OK) {
        const int64_t row[] = {resolver->domain_id, resolver->utc_day, *policy_id_out, is_failed ? 0 : count,
                               is_failed ? count : 0};

        status = run_numbers(sqlite, SQL_ADD_TALLY, row, 5, err);
    }
    return status;
}

static enum status count_or_fold_policy(struct row_resolver *resolver, const struct session_result *result,
                                        const struct result_policy *policy, int64_t *policy_id_out,
                                        struct err *err)
{
    const struct policy folded = {.type = policy->policy.type, .domain = result->domain};
    enum status status = count_policy(resolver, &policy->policy, policy->is_failed,
                                      is_folded_policy(&policy->policy, result->domain), policy_id_out, err);

    if (status != ST_RANGE)
        return status;
    resolver->folded_policies++;
    return count_policy(resolver, &folded, policy->is_failed, true, policy_id_out, err);
}

/* ---- details ---- */

/* Bind the key of the detail table, parameters 1 to 8. */
static enum status get_detail_statement(struct row_resolver *resolver, enum session_statement id,
                                        const struct failure_detail *detail,
                                        struct sqlite3_stmt **statement_out, struct err *err)
{
    enum status status = get_bound(resolver->sqlite, id, &resolver->domain_id, 1, statement_out, err);

    if (status != ST_OK)
        return status;
    db_bind_text(*statement_out, 2, result_type_name(detail->result_type));
    db_bind_text(*statement_out, 3, text_or_empty(detail->sending_mta_ip));
    db_bind_text(*statement_out, 4, text_or_empty(detail->receiving_mx_hostname));
    db_bind_text(*statement_out, 5, text_or_empty(detail->receiving_mx_helo));
    db_bind_text(*statement_out, 6, text_or_empty(detail->receiving_ip));
    db_bind_text(*statement_out, 7, text_or_empty(detail->additional_information));
    db_bind_text(*statement_out, 8, text_or_empty(detail->failure_reason_code));
    return ST_OK;
}

static enum status find_detail(struct row_resolver *resolver, const struct failure_detail *detail,
                               int64_t *id_out, struct err *err)
{
    struct sqlite3_stmt *statement;
    enum status status = get_detail_statement(resolver, SQL_FIND_DETAIL, detail, &statement, err);

    return status == ST_OK ? find_number(resolver->sqlite, statement, id_out, err) : status;
}

static enum status make_detail(struct row_resolver *resolver, const struct failure_detail *detail,
                               int64_t *id_out, struct err *err)
{
    int64_t id = new_id(resolver->sqlite);
    struct sqlite3_stmt *statement;
    enum status status = get_detail_statement(resolver, SQL_ADD_DETAIL, detail, &statement, err);

    if (status != ST_OK)
        return status;
    db_bind_int(statement, 9, id);
    status = db_step_done(&resolver->sqlite->db, statement, err);
    if (status == ST_OK)
        *id_out = id;
    return status;
}

/* As count_policy, for a detail. */
static enum status count_detail(struct row_resolver *resolver, int64_t policy_id,
                                const struct failure_detail *detail, bool is_free, int64_t *detail_id_out,
                                struct err *err)
{
    struct session_sqlite *sqlite = resolver->sqlite;
    int64_t row[] = {resolver->domain_id, resolver->utc_day, policy_id, 0, (int64_t)resolver->count};
    enum status status = find_detail(resolver, detail, detail_id_out, err);
    bool is_known = status == ST_OK;

    if (is_known) {
        row[3] = *detail_id_out;
        status = add_to(sqlite, SQL_COUNT_DETAIL, row, 5, err);
    }
    if (status != ST_NOT_FOUND)
        return status;
    status =
        is_free ? ST_OK : check_cap(resolver, SQL_COUNT_DETAIL_TALLIES, sqlite->base.limits.max_details, err);
    if (status == ST_OK && !is_known)
        status = make_detail(resolver, detail, detail_id_out, err);
    if (status != ST_OK)
        return status;
    row[3] = *detail_id_out;
    return run_numbers(sqlite, SQL_ADD_DETAIL_TALLY, row, 5, err);
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
    return status == ST_OK ? add_target(resolver, TALLY_DETAIL, policy_id, detail_id, err) : status;
}

/* ---- events ---- */

static enum status count_result_policy(struct row_resolver *resolver, const struct session_result *result,
                                       const struct result_policy *policy, struct err *err)
{
    int64_t policy_id = 0;
    enum status status = count_or_fold_policy(resolver, result, policy, &policy_id, err);

    if (status == ST_OK)
        status = add_target(resolver, policy->is_failed ? TALLY_FAILURE : TALLY_SUCCESS, policy_id, 0, err);
    for (size_t i = 0; status == ST_OK && i < policy->detail_count; i++)
        status = count_or_fold_detail(resolver, policy_id, &policy->details[i], err);
    return status;
}

static enum status count_result(struct row_resolver *resolver, const struct session_result *result,
                                int64_t arrival_s, int64_t *record_id_out, struct err *err)
{
    enum status status = resolve_domain(resolver, result->domain, err);

    if (status == ST_OK)
        status = resolve_record(resolver, result->record, arrival_s, record_id_out, err);
    for (size_t i = 0; status == ST_OK && i < result->policy_count; i++)
        status = count_result_policy(resolver, result, &result->policies[i], err);
    return status;
}

/* Add count to one row; ST_NOT_FOUND if it is gone. */
static enum status count_target(struct session_sqlite *sqlite, const struct tally_plan *plan, size_t target,
                                uint64_t count, struct err *err)
{
    const struct tally_target *row = &plan->targets[target];
    const int64_t detail[] = {plan->domain_id, plan->utc_day, row->policy_id, row->detail_id, (int64_t)count};
    const int64_t tally[] = {plan->domain_id, plan->utc_day, row->policy_id, (int64_t)count};

    switch ((enum tally_kind)plan->kinds[target]) {
    case TALLY_DETAIL:
        return add_to(sqlite, SQL_COUNT_DETAIL, detail, 5, err);
    case TALLY_FAILURE:
        return add_to(sqlite, SQL_COUNT_FAILURE, tally, 4, err);
    case TALLY_SUCCESS:
    default:
        return add_to(sqlite, SQL_COUNT_SUCCESS, tally, 4, err);
    }
}

static void bump_folded(struct session_store *store, unsigned policies, unsigned details, uint64_t count)
{
    session_store_bump(store, COUNTER_FOLDED_POLICIES, policies * count);
    session_store_bump(store, COUNTER_FOLDED_DETAILS, details * count);
}

static void fill_plan(const struct row_resolver *resolver, int64_t record_id, int64_t arrival_s,
                      struct tally_plan *plan_out)
{
    *plan_out = (struct tally_plan){.domain_id = resolver->domain_id,
                                    .record_id = record_id,
                                    .record_seen_s = arrival_s,
                                    .utc_day = resolver->utc_day,
                                    .folded_policies = (uint8_t)resolver->folded_policies,
                                    .folded_details = (uint8_t)resolver->folded_details};
    if (resolver->target_count > TALLY_TARGETS_MAX)
        return;
    plan_out->target_count = (uint8_t)resolver->target_count;
    for (size_t i = 0; i < resolver->target_count; i++) {
        plan_out->kinds[i] = (uint8_t)resolver->sqlite->targets[i].kind;
        plan_out->targets[i] = resolver->sqlite->targets[i].row;
    }
}

enum status session_sqlite_add(struct session_store *store, const struct session_result *result,
                               int32_t utc_day, uint64_t count, int64_t arrival_s,
                               struct tally_plan *plan_out, struct err *err)
{
    struct row_resolver resolver = {.sqlite = session_sqlite_of(store), .utc_day = utc_day, .count = count};
    int64_t record_id;
    enum status status = count_result(&resolver, result, arrival_s, &record_id, err);

    if (status != ST_OK)
        return status;
    bump_folded(store, resolver.folded_policies, resolver.folded_details, count);
    if (plan_out != NULL)
        fill_plan(&resolver, record_id, arrival_s, plan_out);
    return ST_OK;
}

static enum status touch_record(struct session_sqlite *sqlite, struct tally_plan *plan, int64_t arrival_s,
                                struct err *err)
{
    const int64_t key[] = {plan->domain_id, plan->utc_day, plan->record_id, arrival_s};
    enum status status;

    if (plan->record_id == 0 || arrival_s - plan->record_seen_s < SESSION_RECORD_LAG_S)
        return ST_OK;
    status = run_numbers(sqlite, SQL_TOUCH_RECORD, key, 4, err);
    if (status == ST_OK)
        plan->record_seen_s = arrival_s;
    return status == ST_OK && db_changes(&sqlite->db) == 0 ? ST_NOT_FOUND : status;
}

/* The first target is looked at before anything is counted: either all rows of a plan exist or none does,
 * because a clean-up deletes whole days. */
enum status session_sqlite_count(struct session_store *store, struct tally_plan *plan, uint64_t count,
                                 int64_t arrival_s, struct err *err)
{
    struct session_sqlite *sqlite = session_sqlite_of(store);
    enum status status = touch_record(sqlite, plan, arrival_s, err);

    for (size_t i = 0; status == ST_OK && i < plan->target_count; i++) {
        status = count_target(sqlite, plan, i, count, err);
        if (status == ST_NOT_FOUND && i > 0)
            return err_set(err, ST_INTERNAL, "%s: half of a plan is gone", sqlite->db.name);
    }
    if (status == ST_OK)
        bump_folded(store, plan->folded_policies, plan->folded_details, count);
    return status;
}
