/* SPDX-License-Identifier: MIT */
/*
 * Reading sessions.db: days, domains, and one domain's day in the order of a report.  SQLite sorts; a row is
 * given away before the next one is read.
 */
#include "store/session_sqlite.h"
#include "store/session_text.h"

#define POLICIES_READ_MAX 500000 /* by a search for MTA-STS policies: about a second */

/* One policy's texts: two lists of at most POLICY_LINES_MAX lines. */
#define POLICY_ARENA_BYTES ((size_t)4 * POLICY_LINES_MAX * (POLICY_LINE_MAX + 1))

enum status session_sqlite_each_day(struct session_reader *reader, session_day_fn *fn, void *context,
                                    struct err *err)
{
    struct db *db = session_sqlite_db(reader);
    struct sqlite3_stmt *row = NULL;
    enum status status = db_query(db, SQL_LIST_DAYS, BIND_NOTHING, &row, err);

    while (db_next(db, row, &status, err)) {
        struct session_day day = {
            .utc_day = (int32_t)db_column_int(row, 0),
            .closed_at_s = db_column_int(row, 1),
            .domains = (uint64_t)db_column_int(row, 2),
            .sessions = {(uint64_t)db_column_int(row, 3), (uint64_t)db_column_int(row, 4)},
        };

        day.is_closed = day.closed_at_s != 0;
        status = fn(context, &day, err);
    }
    return status;
}

enum status session_sqlite_each_domain(struct session_reader *reader, int32_t utc_day, const char *after,
                                       int64_t max, session_domain_fn *fn, void *context, struct err *err)
{
    struct db *db = session_sqlite_db(reader);
    struct sqlite3_stmt *row = NULL;
    enum status status = db_query(db, SQL_LIST_DOMAINS, BIND(INT(utc_day), TEXT(after), INT(max)), &row, err);

    while (db_next(db, row, &status, err)) {
        const struct session_counts sessions = {(uint64_t)db_column_int(row, 1),
                                                (uint64_t)db_column_int(row, 2)};

        status = fn(context, db_column_text(row, 0), &sessions, err);
    }
    return status;
}

static const char *text_or_null(struct sqlite3_stmt *statement, int column)
{
    const char *text = db_column_text(statement, column);

    return text != NULL && *text != '\0' ? text : NULL;
}

static enum status give_detail(struct sqlite3_stmt *row, const struct report_visitor *visitor,
                               struct err *err)
{
    struct failure_detail detail = {
        .result_type = RESULT_VALIDATION_FAILURE,
        .sending_mta_ip = text_or_null(row, 1),
        .receiving_mx_hostname = text_or_null(row, 2),
        .receiving_mx_helo = text_or_null(row, 3),
        .receiving_ip = text_or_null(row, 4),
        .additional_information = text_or_null(row, 5),
        .failure_reason_code = text_or_null(row, 6),
    };

    (void)result_type_from_name(db_column_text(row, 0), &detail.result_type);
    return visitor->detail(visitor->context, &detail, (uint64_t)db_column_int(row, 7), err);
}

static enum status give_details(struct db *db, int32_t utc_day, int64_t domain_id, int64_t policy_id,
                                const struct report_visitor *visitor, struct err *err)
{
    struct sqlite3_stmt *row = NULL;
    enum status status =
        db_query(db, SQL_LIST_DETAILS, BIND(INT(domain_id), INT(utc_day), INT(policy_id)), &row, err);

    while (db_next(db, row, &status, err))
        status = give_detail(row, visitor, err);
    return status;
}

static enum status give_policy(struct sqlite3_stmt *row, struct arena *arena,
                               const struct report_visitor *visitor, struct err *err)
{
    struct policy policy = {.type = (enum policy_type)db_column_int(row, 1),
                            .domain = db_column_text(row, 2)};
    struct session_counts sessions = {(uint64_t)db_column_int(row, 5), (uint64_t)db_column_int(row, 6)};
    enum status status = ST_OK;

    if ((int)policy.type < 0 || policy.type >= POLICY_TYPE_COUNT)
        return err_set(err, ST_UNSUPPORTED, "session store: unknown policy type %d", (int)policy.type);
    arena_reset(arena);
    status = session_text_split(db_column_text(row, 3), arena, &policy.strings, err);
    if (status == ST_OK)
        status = session_text_split(db_column_text(row, 4), arena, &policy.mx_hosts, err);
    return status == ST_OK ? visitor->policy(visitor->context, &policy, &sessions, err) : status;
}

/* ST_NOT_FOUND: not one policy. */
static enum status give_policies(struct db *db, int32_t utc_day, int64_t domain_id,
                                 const struct report_visitor *visitor, struct err *err)
{
    struct sqlite3_stmt *row = NULL;
    struct arena arena;
    bool is_empty = true;
    enum status status = db_query(db, SQL_LIST_POLICIES, BIND(INT(domain_id), INT(utc_day)), &row, err);

    arena_init(&arena, POLICY_ARENA_BYTES);
    while (db_next(db, row, &status, err)) {
        is_empty = false;
        status = give_policy(row, &arena, visitor, err);
        if (status == ST_OK && visitor->detail != NULL)
            status = give_details(db, utc_day, domain_id, db_column_int(row, 0), visitor, err);
    }
    arena_done(&arena);
    return status == ST_OK && is_empty ? ST_NOT_FOUND : status;
}

/* SQLite sorts in as much memory as its cache may take: a reader of large days needs little of both. */
static enum status save_memory(struct session_sqlite *sqlite, struct err *err)
{
    enum status status = ST_OK;

    if (!sqlite->has_small_cache)
        status = db_run(&sqlite->db, "PRAGMA cache_size = -2048", err);
    sqlite->has_small_cache = status == ST_OK;
    return status;
}

enum status session_sqlite_read_domain(struct session_reader *reader, int32_t utc_day, const char *domain,
                                       const struct report_visitor *visitor, struct err *err)
{
    struct session_sqlite *sqlite = (struct session_sqlite *)reader;
    int64_t domain_id = 0;
    enum status status = save_memory(sqlite, err);

    if (status == ST_OK)
        status = db_read(&sqlite->db, SQL_FIND_DOMAIN, BIND(TEXT(domain)), &domain_id, 1, err);
    if (status == ST_OK)
        status = give_policies(&sqlite->db, utc_day, domain_id, visitor, err);
    if (status == ST_NOT_FOUND)
        return err_set(err, ST_NOT_FOUND, "no session of %s on that day", domain);
    return status;
}

enum status session_sqlite_each_sts(struct session_reader *reader, int32_t since_day, const char *domain,
                                    session_sts_fn *fn, void *context, struct err *err)
{
    struct db *db = session_sqlite_db(reader);
    struct sqlite3_stmt *row = NULL;
    enum status status =
        db_query(db, SQL_LIST_STS, BIND(INT(since_day), TEXT(domain), INT(POLICIES_READ_MAX)), &row, err);

    while (db_next(db, row, &status, err)) {
        const struct session_sts sts = {db_column_text(row, 0), db_column_int(row, 1) != 0,
                                        (uint64_t)db_column_int(row, 2)};

        status = fn(context, &sts, err);
    }
    return status;
}

enum status session_sqlite_each_record(struct session_reader *reader, int32_t utc_day, const char *domain,
                                       session_record_fn *fn, void *context, struct err *err)
{
    struct db *db = session_sqlite_db(reader);
    struct sqlite3_stmt *row = NULL;
    enum status status = db_query(db, SQL_READ_RECORDS, BIND(INT(utc_day), TEXT(domain)), &row, err);

    while (db_next(db, row, &status, err))
        status = fn(context, db_column_text(row, 0), db_column_int(row, 1), err);
    return status;
}
