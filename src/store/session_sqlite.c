/* SPDX-License-Identifier: MIT */
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
};

static const struct db_schema SCHEMA = {MIGRATIONS, ARRAY_COUNT(MIGRATIONS)};

/* Parameters: first and last domain id of the step, first day to keep. */
static const char *const DELETE_STEPS[] = {
    "DELETE FROM tally WHERE domain_id BETWEEN ?1 AND ?2 AND utc_day < ?3",
    "DELETE FROM detail_tally WHERE domain_id BETWEEN ?1 AND ?2 AND utc_day < ?3",
    "DELETE FROM record WHERE domain_id BETWEEN ?1 AND ?2 AND utc_day < ?3",
    "DELETE FROM policy WHERE domain_id BETWEEN ?1 AND ?2 AND id NOT IN"
    " (SELECT policy_id FROM tally WHERE domain_id BETWEEN ?1 AND ?2) AND ?3 IS NOT NULL",
    "DELETE FROM detail WHERE domain_id BETWEEN ?1 AND ?2 AND id NOT IN"
    " (SELECT detail_id FROM detail_tally WHERE domain_id BETWEEN ?1 AND ?2) AND ?3 IS NOT NULL",
};
static const char DELETE_DOMAINS[] = "DELETE FROM domain WHERE id NOT IN (SELECT domain_id FROM tally)";
static const char DELETE_DAYS[] = "DELETE FROM day WHERE utc_day < ?1";

static const char *const STATEMENTS[SQL_COUNT] = {
#define STATEMENT_ROW(id, sql) [SQL_##id] = (sql),
    SESSION_STATEMENTS(STATEMENT_ROW)
#undef STATEMENT_ROW
};

enum status session_sqlite_get(struct session_sqlite *sqlite, enum session_statement id,
                               struct sqlite3_stmt **statement_out, struct err *err)
{
    enum status status = ST_OK;

    if (sqlite->statements[id] == NULL)
        status = db_prepare(&sqlite->db, STATEMENTS[id], &sqlite->statements[id], err);
    if (status == ST_OK)
        *statement_out = sqlite->statements[id];
    return status;
}

enum status session_sqlite_next(struct session_sqlite *sqlite, struct sqlite3_stmt *statement,
                                bool *has_row_out, struct err *err)
{
    enum status status = db_step(&sqlite->db, statement, err);

    if (status != ST_OK && status != ST_NOT_FOUND)
        return status;
    *has_row_out = status == ST_OK;
    return ST_OK;
}

/* ---- open, transactions ---- */

static void sqlite_close(struct session_store *store)
{
    struct session_sqlite *sqlite = session_sqlite_of(store);

    for (int i = 0; i < SQL_COUNT; i++)
        db_finalise(&sqlite->statements[i]);
    db_close(&sqlite->db);
    free(sqlite->targets);
    strbuf_done(&sqlite->strings);
    strbuf_done(&sqlite->mx_hosts);
    free(sqlite);
}

static enum status sqlite_begin(struct session_store *store, struct err *err)
{
    return db_begin(&session_sqlite_of(store)->db, err);
}

static void sqlite_rollback(struct session_store *store)
{
    db_rollback(&session_sqlite_of(store)->db);
}

static enum status save_next_id(struct session_sqlite *sqlite, struct err *err)
{
    struct sqlite3_stmt *statement;
    enum status status;

    if (sqlite->next_id == sqlite->saved_next_id)
        return ST_OK;
    status = session_sqlite_get(sqlite, SQL_SET_NEXT_ID, &statement, err);
    if (status != ST_OK)
        return status;
    db_bind_int(statement, 1, sqlite->next_id);
    return db_step_done(&sqlite->db, statement, err);
}

static enum status sqlite_commit(struct session_store *store, struct err *err)
{
    struct session_sqlite *sqlite = session_sqlite_of(store);
    enum status status = save_next_id(sqlite, err);

    if (status == ST_OK)
        status = db_commit(&sqlite->db, err);
    if (status == ST_OK)
        sqlite->saved_next_id = sqlite->next_id;
    return status;
}

static enum status sqlite_sync(struct session_store *store, struct err *err)
{
    return db_sync(&session_sqlite_of(store)->db, err);
}

static enum status read_identity(struct session_sqlite *sqlite, struct err *err)
{
    struct sqlite3_stmt *statement = NULL;
    enum status status = db_prepare(&sqlite->db, "SELECT store_id, next_id FROM mark", &statement, err);

    if (status == ST_OK)
        status = db_step(&sqlite->db, statement, err);
    if (status == ST_OK) {
        const char *id = db_column_text(statement, 0);

        strncpy(sqlite->base.id, id != NULL ? id : "", SESSION_STORE_ID_SIZE - 1);
        sqlite->next_id = sqlite->saved_next_id = db_column_int(statement, 1);
    }
    db_finalise(&statement);
    return status == ST_NOT_FOUND ? err_set(err, ST_UNSUPPORTED, "%s: its mark is missing", sqlite->db.name)
                                  : status;
}

/* ---- days, mark, counters ---- */

static enum status sqlite_is_closed(struct session_store *store, int32_t utc_day, bool *is_closed_out,
                                    struct err *err)
{
    struct session_sqlite *sqlite = session_sqlite_of(store);
    struct sqlite3_stmt *statement;
    enum status status = session_sqlite_get(sqlite, SQL_IS_CLOSED, &statement, err);

    if (status != ST_OK)
        return status;
    db_bind_int(statement, 1, utc_day);
    status = db_step(&sqlite->db, statement, err);
    db_reset(statement);
    if (status != ST_OK && status != ST_NOT_FOUND)
        return status;
    *is_closed_out = status == ST_OK;
    return ST_OK;
}

static enum status sqlite_close_day(struct session_store *store, int32_t utc_day, int64_t now_s,
                                    struct err *err)
{
    struct session_sqlite *sqlite = session_sqlite_of(store);
    struct sqlite3_stmt *statement;
    enum status status = session_sqlite_get(sqlite, SQL_CLOSE_DAY, &statement, err);

    if (status != ST_OK)
        return status;
    db_bind_int(statement, 1, utc_day);
    db_bind_int(statement, 2, now_s);
    return db_step_done(&sqlite->db, statement, err);
}

static enum status sqlite_set_mark(struct session_store *store, const struct session_mark *mark,
                                   struct err *err)
{
    struct session_sqlite *sqlite = session_sqlite_of(store);
    struct sqlite3_stmt *statement;
    enum status status = session_sqlite_get(sqlite, SQL_SET_MARK, &statement, err);

    if (status != ST_OK)
        return status;
    db_bind_int(statement, 1, mark->counted_through_s);
    db_bind_int(statement, 2, (int64_t)mark->ring_sequence);
    db_bind_int(statement, 3, (int64_t)mark->ring_dropped);
    return db_step_done(&sqlite->db, statement, err);
}

static enum status sqlite_get_mark(struct session_store *store, struct session_mark *mark_out,
                                   struct err *err)
{
    struct session_sqlite *sqlite = session_sqlite_of(store);
    struct sqlite3_stmt *statement;
    enum status status = session_sqlite_get(sqlite, SQL_GET_MARK, &statement, err);

    if (status != ST_OK)
        return status;
    status = db_step(&sqlite->db, statement, err);
    if (status == ST_OK) {
        mark_out->counted_through_s = db_column_int(statement, 0);
        mark_out->ring_sequence = (uint64_t)db_column_int(statement, 1);
        mark_out->ring_dropped = (uint64_t)db_column_int(statement, 2);
    }
    db_reset(statement);
    return status == ST_NOT_FOUND ? err_set(err, ST_UNSUPPORTED, "%s: its mark is missing", sqlite->db.name)
                                  : status;
}

static enum status sqlite_add_counter(struct session_store *store, const char *name, uint64_t by,
                                      uint64_t at_least, struct err *err)
{
    struct session_sqlite *sqlite = session_sqlite_of(store);
    struct sqlite3_stmt *statement;
    enum status status = session_sqlite_get(sqlite, SQL_ADD_COUNTER, &statement, err);

    if (status != ST_OK)
        return status;
    db_bind_text(statement, 1, name);
    db_bind_int(statement, 2, (int64_t)by);
    db_bind_int(statement, 3, (int64_t)at_least);
    return db_step_done(&sqlite->db, statement, err);
}

static void set_counter(uint64_t counters[COUNTER_COUNT], const char *name, uint64_t value)
{
    for (int i = 0; i < COUNTER_COUNT; i++)
        if (strcmp(session_counter_name((enum session_counter)i), name) == 0)
            counters[i] = value;
}

static enum status sqlite_counters(struct session_store *store, uint64_t counters_out[COUNTER_COUNT],
                                   struct err *err)
{
    struct session_sqlite *sqlite = session_sqlite_of(store);
    uint64_t counters[COUNTER_COUNT] = {0};
    struct sqlite3_stmt *statement;
    enum status status = session_sqlite_get(sqlite, SQL_LIST_COUNTERS, &statement, err);

    if (status != ST_OK)
        return status;
    while ((status = db_step(&sqlite->db, statement, err)) == ST_OK)
        set_counter(counters, db_column_text(statement, 0), (uint64_t)db_column_int(statement, 1));
    db_reset(statement);
    if (status != ST_NOT_FOUND)
        return status;
    memcpy(counters_out, counters, sizeof counters);
    return ST_OK;
}

static enum status sqlite_add_refused(struct session_store *store, int64_t uid, uint64_t count,
                                      struct err *err)
{
    struct session_sqlite *sqlite = session_sqlite_of(store);
    struct sqlite3_stmt *statement;
    enum status status = session_sqlite_get(sqlite, SQL_ADD_REFUSED, &statement, err);

    if (status != ST_OK)
        return status;
    db_bind_int(statement, 1, uid);
    db_bind_int(statement, 2, (int64_t)count);
    return db_step_done(&sqlite->db, statement, err);
}

static enum status sqlite_each_refused(struct session_store *store, session_refused_fn *fn, void *context,
                                       struct err *err)
{
    struct session_sqlite *sqlite = session_sqlite_of(store);
    struct sqlite3_stmt *statement;
    bool has_row;
    enum status status = session_sqlite_get(sqlite, SQL_LIST_REFUSED, &statement, err);

    if (status != ST_OK)
        return status;
    while ((status = session_sqlite_next(sqlite, statement, &has_row, err)) == ST_OK && has_row) {
        status = fn(context, db_column_int(statement, 0), (uint64_t)db_column_int(statement, 1), err);
        if (status != ST_OK)
            break;
    }
    db_reset(statement);
    return status;
}

static enum status sqlite_set_note(struct session_store *store, const char *name, const char *text,
                                   struct err *err)
{
    struct session_sqlite *sqlite = session_sqlite_of(store);
    struct sqlite3_stmt *statement;
    enum status status = session_sqlite_get(sqlite, SQL_SET_NOTE, &statement, err);

    if (status != ST_OK)
        return status;
    db_bind_text(statement, 1, name);
    db_bind_text(statement, 2, text);
    return db_step_done(&sqlite->db, statement, err);
}

static enum status sqlite_each_note(struct session_store *store, session_note_fn *fn, void *context,
                                    struct err *err)
{
    struct session_sqlite *sqlite = session_sqlite_of(store);
    struct sqlite3_stmt *statement;
    bool has_row;
    enum status status = session_sqlite_get(sqlite, SQL_LIST_NOTES, &statement, err);

    if (status != ST_OK)
        return status;
    while ((status = session_sqlite_next(sqlite, statement, &has_row, err)) == ST_OK && has_row) {
        status = fn(context, db_column_text(statement, 0), db_column_text(statement, 1), err);
        if (status != ST_OK)
            break;
    }
    db_reset(statement);
    return status;
}

/* ---- clean-up ---- */

static enum status delete_with(struct session_sqlite *sqlite, const char *sql, const int64_t *values,
                               int count, struct err *err)
{
    struct sqlite3_stmt *statement = NULL;
    enum status status = db_prepare(&sqlite->db, sql, &statement, err);

    for (int i = 0; status == ST_OK && i < count; i++)
        db_bind_int(statement, i + 1, values[i]);
    if (status == ST_OK)
        status = db_step_done(&sqlite->db, statement, err);
    db_finalise(&statement);
    return status;
}

/* One transaction of a clean-up. */
static enum status delete_step(struct session_sqlite *sqlite, const char *const *sql, size_t sql_count,
                               const int64_t *values, int value_count, struct err *err)
{
    enum status status = db_begin(&sqlite->db, err);

    for (size_t i = 0; status == ST_OK && i < sql_count; i++)
        status = delete_with(sqlite, sql[i], values, value_count, err);
    if (status == ST_OK)
        status = db_commit(&sqlite->db, err);
    if (status != ST_OK)
        db_rollback(&sqlite->db);
    return status;
}

/* Most runs find nothing that old; stepping over all ids is for the one run a day that does. */
static enum status has_days_before(struct session_sqlite *sqlite, int32_t utc_day, bool *has_days_out,
                                   struct err *err)
{
    struct sqlite3_stmt *statement = NULL;
    enum status status = db_prepare(&sqlite->db,
                                    "SELECT 1 FROM tally WHERE utc_day < ?1"
                                    " UNION ALL SELECT 1 FROM record WHERE utc_day < ?1"
                                    " UNION ALL SELECT 1 FROM day WHERE utc_day < ?1 LIMIT 1",
                                    &statement, err);

    if (status != ST_OK)
        return status;
    db_bind_int(statement, 1, utc_day);
    status = db_step(&sqlite->db, statement, err);
    *has_days_out = status == ST_OK;
    db_finalise(&statement);
    return status == ST_NOT_FOUND ? ST_OK : status;
}

static enum status sqlite_delete_before(struct session_store *store, int32_t utc_day, struct err *err)
{
    struct session_sqlite *sqlite = session_sqlite_of(store);
    const char *const domains[] = {DELETE_DOMAINS};
    const char *const days[] = {DELETE_DAYS};
    bool has_days = false;
    enum status status = has_days_before(sqlite, utc_day, &has_days, err);

    if (status != ST_OK || !has_days)
        return status;
    status = read_identity(sqlite, err); /* another process may have given ids since */
    for (int64_t first = 0; status == ST_OK && first < sqlite->next_id; first += DELETE_STEP) {
        int64_t values[] = {first, first + DELETE_STEP - 1, utc_day};

        status = delete_step(sqlite, DELETE_STEPS, ARRAY_COUNT(DELETE_STEPS), values, 3, err);
    }
    if (status == ST_OK)
        status = delete_step(sqlite, domains, 1, NULL, 0, err);
    if (status == ST_OK)
        status = delete_step(sqlite, days, 1, (const int64_t[]){utc_day}, 1, err);
    return status;
}

/* ---- the method table ---- */

static const struct session_methods METHODS = {
    .close = sqlite_close,
    .begin = sqlite_begin,
    .commit = sqlite_commit,
    .sync = sqlite_sync,
    .rollback = sqlite_rollback,
    .add = session_sqlite_add,
    .count = session_sqlite_count,
    .is_closed = sqlite_is_closed,
    .set_mark = sqlite_set_mark,
    .get_mark = sqlite_get_mark,
    .add_counter = sqlite_add_counter,
    .counters = sqlite_counters,
    .add_refused = sqlite_add_refused,
    .each_refused = sqlite_each_refused,
    .set_note = sqlite_set_note,
    .each_note = sqlite_each_note,
    .close_day = sqlite_close_day,
    .delete_before = sqlite_delete_before,
    .each_day = session_sqlite_each_day,
    .each_domain = session_sqlite_each_domain,
    .read_domain = session_sqlite_read_domain,
    .each_record = session_sqlite_each_record,
};

enum status session_sqlite_open(const char *path, enum session_store_mode mode,
                                const struct session_limits *limits, struct session_store **store_out,
                                struct err *err)
{
    struct session_sqlite *sqlite = calloc(1, sizeof *sqlite);
    enum status status;

    if (sqlite == NULL)
        return err_set(err, ST_NOMEM, "%s: out of memory", path);
    sqlite->base.methods = &METHODS;
    sqlite->base.limits = *limits;
    strbuf_init(&sqlite->strings, (size_t)POLICY_LINES_MAX * (POLICY_LINE_MAX + 1));
    strbuf_init(&sqlite->mx_hosts, (size_t)POLICY_LINES_MAX * (POLICY_LINE_MAX + 1));
    status = db_open(&sqlite->db, path, mode == SESSION_STORE_READ ? DB_READ : DB_WRITE, &SCHEMA, err);
    if (status != ST_OK) {
        free(sqlite);
        return status;
    }
    if (limits->busy_ms > 0)
        db_set_busy(&sqlite->db, limits->busy_ms);
    status = db_run(&sqlite->db, PRAGMAS, err);
    if (status == ST_OK)
        status = read_identity(sqlite, err);
    if (status != ST_OK) {
        sqlite_close(&sqlite->base);
        return status;
    }
    *store_out = &sqlite->base;
    return ST_OK;
}
