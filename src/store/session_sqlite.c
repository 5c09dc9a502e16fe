/* SPDX-License-Identifier: MIT */
/*
 * sessions.db: its schema, its identity, and the parts of a reader that are one statement each; reading a
 * domain's day is in session_sqlite_read.c.  Old days are deleted in steps of a range of domain ids, each a
 * transaction of its own, so that the collector never waits long for the lock.
 */
#include "store/session_sqlite.h"

#include <stdlib.h>
#include <string.h>

/* A checkpoint waits for the disk, and nothing is counted meanwhile: let it come once per 64 MiB of log. */
#define PRAGMAS "PRAGMA cache_size = -8192; PRAGMA wal_autocheckpoint = 16000"

#define DELETE_STEP 4000 /* ids per transaction of a clean-up */

/* type: 0 tlsa, 1 sts, 2 no-policy-found.  strings, mx_hosts: items with a newline between.  An unknown text
 * is ''.  Ids are unique over all tables and never given twice. */
static const char *const MIGRATIONS[] = {
    "CREATE TABLE domain (name TEXT PRIMARY KEY, id INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE policy (domain_id INTEGER, type INTEGER, policy_domain TEXT, strings TEXT, mx_hosts TEXT,"
    "  id INTEGER NOT NULL,"
    "  PRIMARY KEY (domain_id, type, policy_domain, strings, mx_hosts)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE detail (domain_id INTEGER, result_type TEXT, sending_mta_ip TEXT,"
    "  receiving_mx_hostname TEXT, receiving_mx_helo TEXT, receiving_ip TEXT, additional_information TEXT,"
    "  failure_reason_code TEXT, id INTEGER NOT NULL,"
    "  PRIMARY KEY (domain_id, result_type, sending_mta_ip, receiving_mx_hostname, receiving_mx_helo,"
    "    receiving_ip, additional_information, failure_reason_code)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE tally (domain_id INTEGER, utc_day INTEGER, policy_id INTEGER, success INTEGER NOT NULL,"
    "  failure INTEGER NOT NULL, PRIMARY KEY (domain_id, utc_day, policy_id)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE detail_tally (domain_id INTEGER, utc_day INTEGER, policy_id INTEGER, detail_id INTEGER,"
    "  sessions INTEGER NOT NULL,"
    "  PRIMARY KEY (domain_id, utc_day, policy_id, detail_id)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE record (domain_id INTEGER, utc_day INTEGER, id INTEGER, last_seen_s INTEGER NOT NULL,"
    "  text TEXT NOT NULL, PRIMARY KEY (domain_id, utc_day, id)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE day (utc_day INTEGER PRIMARY KEY, closed_at_s INTEGER NOT NULL) STRICT;"
    "CREATE TABLE mark (only INTEGER PRIMARY KEY CHECK (only = 1), store_id TEXT NOT NULL,"
    "  next_id INTEGER NOT NULL, counted_through_s INTEGER NOT NULL, ring_sequence INTEGER NOT NULL,"
    "  ring_dropped INTEGER NOT NULL) STRICT;"
    "INSERT INTO mark VALUES (1, lower(hex(randomblob(16))), 1, 0, 0, 0);"
    "CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE refused (uid INTEGER PRIMARY KEY, count INTEGER NOT NULL) STRICT;"
    "CREATE TABLE note (name TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT, WITHOUT ROWID;",
    /* What older versions counted today is not counted against max_subdomains. */
    "CREATE TABLE organization (utc_day INTEGER, name TEXT, subdomains INTEGER NOT NULL,"
    "  over_budget INTEGER NOT NULL, PRIMARY KEY (utc_day, name)) STRICT, WITHOUT ROWID;",
};

static const char *const STATEMENTS[SQL_COUNT] = {
#define STATEMENT_ROW(id, sql) [SQL_##id] = (sql),
    SESSION_STATEMENTS(STATEMENT_ROW)
#undef STATEMENT_ROW
};

static const struct db_schema SCHEMA = {MIGRATIONS, ARRAY_COUNT(MIGRATIONS), STATEMENTS, SQL_COUNT};

static enum status no_mark(const struct db *db, struct err *err)
{
    return err_set(err, ST_UNSUPPORTED, "%s: its mark is missing", db->name);
}

/* ---- days, mark, counters ---- */

static enum status sqlite_is_closed(struct session_reader *reader, int32_t utc_day, bool *is_closed_out,
                                    struct err *err)
{
    enum status status = db_read(session_sqlite_db(reader), SQL_IS_CLOSED, BIND(INT(utc_day)), NULL, 0, err);

    if (status != ST_OK && status != ST_NOT_FOUND)
        return status;
    *is_closed_out = status == ST_OK;
    return ST_OK;
}

static enum status sqlite_close_day(struct session_reader *reader, int32_t utc_day, int64_t now_s,
                                    struct err *err)
{
    return db_change(session_sqlite_db(reader), SQL_CLOSE_DAY, BIND(INT(utc_day), INT(now_s)), err);
}

static enum status sqlite_get_mark(struct session_reader *reader, struct session_mark *mark_out,
                                   struct err *err)
{
    struct db *db = session_sqlite_db(reader);
    int64_t mark[3];
    enum status status = db_read(db, SQL_GET_MARK, BIND_NOTHING, mark, 3, err);

    if (status == ST_OK)
        *mark_out = (struct session_mark){mark[0], (uint64_t)mark[1], (uint64_t)mark[2]};
    return status == ST_NOT_FOUND ? no_mark(db, err) : status;
}

static void set_counter(uint64_t counters[COUNTER_COUNT], const char *name, uint64_t value)
{
    for (int i = 0; i < COUNTER_COUNT; i++)
        if (strcmp(session_counter_name((enum session_counter)i), name) == 0)
            counters[i] = value;
}

static enum status sqlite_counters(struct session_reader *reader, uint64_t counters_out[COUNTER_COUNT],
                                   struct err *err)
{
    struct db *db = session_sqlite_db(reader);
    uint64_t counters[COUNTER_COUNT] = {0};
    struct sqlite3_stmt *row = NULL;
    enum status status = db_query(db, SQL_LIST_COUNTERS, BIND_NOTHING, &row, err);

    while (db_next(db, row, &status, err))
        set_counter(counters, db_column_text(row, 0), (uint64_t)db_column_int(row, 1));
    if (status == ST_OK)
        memcpy(counters_out, counters, sizeof counters);
    return status;
}

static enum status sqlite_each_refused(struct session_reader *reader, session_refused_fn *fn, void *context,
                                       struct err *err)
{
    struct db *db = session_sqlite_db(reader);
    struct sqlite3_stmt *row = NULL;
    enum status status = db_query(db, SQL_LIST_REFUSED, BIND_NOTHING, &row, err);

    while (db_next(db, row, &status, err))
        status = fn(context, db_column_int(row, 0), (uint64_t)db_column_int(row, 1), err);
    return status;
}

static enum status sqlite_each_note(struct session_reader *reader, session_note_fn *fn, void *context,
                                    struct err *err)
{
    struct db *db = session_sqlite_db(reader);
    struct sqlite3_stmt *row = NULL;
    enum status status = db_query(db, SQL_LIST_NOTES, BIND_NOTHING, &row, err);

    while (db_next(db, row, &status, err))
        status = fn(context, db_column_text(row, 0), db_column_text(row, 1), err);
    return status;
}

static enum status sqlite_each_over_budget(struct session_reader *reader, int64_t max,
                                           session_over_budget_fn *fn, void *context, struct err *err)
{
    struct db *db = session_sqlite_db(reader);
    struct sqlite3_stmt *row = NULL;
    enum status status = db_query(db, SQL_LIST_OVER_BUDGET, BIND(INT(max)), &row, err);

    while (db_next(db, row, &status, err)) {
        const struct session_over_budget over = {
            .utc_day = (int32_t)db_column_int(row, 0),
            .organization = db_column_text(row, 1),
            .subdomains = (uint64_t)db_column_int(row, 2),
            .sessions = (uint64_t)db_column_int(row, 3),
        };

        status = over.organization != NULL ? fn(context, &over, err)
                                           : err_set(err, ST_NOMEM, "%s: out of memory", db->name);
    }
    return status;
}

/* ---- clean-up ---- */

/* One transaction of a clean-up. */
static enum status delete_step(struct db *db, const enum session_statement *statements, size_t count,
                               const struct bind_value *values, size_t value_count, struct err *err)
{
    enum status status = db_begin(db, err);

    for (size_t i = 0; status == ST_OK && i < count; i++)
        status = db_change(db, statements[i], values, value_count, err);
    if (status == ST_OK)
        status = db_commit(db, err);
    if (status != ST_OK)
        db_rollback(db);
    return status;
}

/* The next id is that of now: the collector may have given some since. */
static enum status delete_by_domain(struct db *db, int32_t utc_day, struct err *err)
{
    static const enum session_statement STEPS[] = {SQL_DELETE_TALLIES, SQL_DELETE_DETAIL_TALLIES,
                                                   SQL_DELETE_RECORDS, SQL_DELETE_POLICIES,
                                                   SQL_DELETE_DETAILS};
    struct sqlite3_stmt *row = NULL;
    int64_t next_id = 0;
    enum status status = db_first(db, SQL_GET_IDENTITY, BIND_NOTHING, &row, err);

    if (status == ST_OK)
        next_id = db_column_int(row, 1);
    db_reset(row);
    for (int64_t first = 0; status == ST_OK && first < next_id; first += DELETE_STEP)
        status = delete_step(db, STEPS, ARRAY_COUNT(STEPS),
                             BIND(INT(first), INT(first + DELETE_STEP - 1), INT(utc_day)), err);
    return status == ST_NOT_FOUND ? no_mark(db, err) : status;
}

/* Most runs find nothing that old; only the first run of a day looks at every domain. */
static enum status sqlite_delete_before(struct session_reader *reader, int32_t utc_day, struct err *err)
{
    static const enum session_statement DOMAINS[] = {SQL_DELETE_DOMAINS};
    static const enum session_statement DAYS[] = {SQL_DELETE_DAYS, SQL_DELETE_ORGANIZATIONS};
    struct db *db = session_sqlite_db(reader);
    enum status status = db_read(db, SQL_HAS_DAYS_BEFORE, BIND(INT(utc_day)), NULL, 0, err);

    if (status != ST_OK)
        return status == ST_NOT_FOUND ? ST_OK : status;
    status = delete_by_domain(db, utc_day, err);
    if (status == ST_OK)
        status = delete_step(db, DOMAINS, 1, BIND_NOTHING, err);
    if (status == ST_OK)
        status = delete_step(db, DAYS, ARRAY_COUNT(DAYS), BIND(INT(utc_day)), err);
    return status;
}

/* ---- open ---- */

static void sqlite_close(struct session_reader *reader)
{
    db_close(session_sqlite_db(reader));
    free(reader);
}

static const struct session_reader_methods METHODS = {
    .close = sqlite_close,
    .get_mark = sqlite_get_mark,
    .delete_before = sqlite_delete_before,
    .each_day = session_sqlite_each_day,
    .each_domain = session_sqlite_each_domain,
    .read_domain = session_sqlite_read_domain,
    .each_record = session_sqlite_each_record,
    .each_sts = session_sqlite_each_sts,
    .close_day = sqlite_close_day,
    .is_closed = sqlite_is_closed,
    .counters = sqlite_counters,
    .each_refused = sqlite_each_refused,
    .each_note = sqlite_each_note,
    .each_over_budget = sqlite_each_over_budget,
};

static enum status read_identity(struct session_sqlite *sqlite, int64_t *next_id_out, struct err *err)
{
    struct sqlite3_stmt *row = NULL;
    enum status status = db_first(&sqlite->db, SQL_GET_IDENTITY, BIND_NOTHING, &row, err);
    const char *id;

    if (status != ST_OK)
        return status == ST_NOT_FOUND ? no_mark(&sqlite->db, err) : status;
    id = db_column_text(row, 0);
    *next_id_out = db_column_int(row, 1);
    if (id != NULL)
        strncpy(sqlite->base.id, id, SESSION_STORE_ID_SIZE - 1);
    else
        status = err_set(err, ST_NOMEM, "%s: out of memory", sqlite->db.name);
    db_reset(row);
    return status;
}

enum status session_sqlite_open(struct session_sqlite *sqlite, const char *path, enum db_mode mode,
                                int64_t *next_id_out, struct err *err)
{
    enum status status;

    sqlite->base.methods = &METHODS;
    status = db_open(&sqlite->db, path, mode, &SCHEMA, err);
    if (status != ST_OK)
        return status;
    status = db_run(&sqlite->db, PRAGMAS, err);
    if (status == ST_OK)
        status = read_identity(sqlite, next_id_out, err);
    if (status != ST_OK)
        db_close(&sqlite->db);
    return status;
}

enum status session_reader_open(const char *path, enum session_access access,
                                struct session_reader **reader_out, struct err *err)
{
    struct session_sqlite *sqlite = calloc(1, sizeof *sqlite);
    int64_t next_id;
    enum status status;

    if (sqlite == NULL)
        return err_set(err, ST_NOMEM, "%s: out of memory", path);
    status = session_sqlite_open(sqlite, path, access == SESSION_READ ? DB_READ : DB_WRITE, &next_id, err);
    if (status == ST_OK)
        *reader_out = &sqlite->base;
    else
        free(sqlite);
    return status;
}
