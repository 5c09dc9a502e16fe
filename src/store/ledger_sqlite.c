/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "model/utc_day.h"
#include "store/db.h"
#include "store/ledger_methods.h"

#define SUPPRESSION_MEMORY_S ((int64_t)28 * UTC_DAY_SECONDS) /* strikes count for so long after the end */

static const char *const MIGRATIONS[] = {
    "CREATE TABLE report ("
    " id INTEGER PRIMARY KEY, domain TEXT NOT NULL, utc_day INTEGER NOT NULL, report_id TEXT NOT NULL UNIQUE,"
    " created_at_s INTEGER NOT NULL, organization_name TEXT NOT NULL, contact_info TEXT NOT NULL,"
    " from_address TEXT NOT NULL, envelope_from TEXT NOT NULL, file_name TEXT NOT NULL, gzip BLOB NOT NULL,"
    " inflated_bytes INTEGER NOT NULL, success INTEGER NOT NULL, failure INTEGER NOT NULL,"
    " note TEXT NOT NULL, UNIQUE (domain, utc_day)) STRICT;"
    "CREATE INDEX report_by_day ON report (utc_day, domain);"
    "CREATE TABLE delivery ("
    " id INTEGER PRIMARY KEY, report INTEGER NOT NULL REFERENCES report (id) ON DELETE CASCADE,"
    " rua TEXT NOT NULL, kind INTEGER NOT NULL, host TEXT NOT NULL, message_id TEXT NOT NULL,"
    " state INTEGER NOT NULL, tries INTEGER NOT NULL, first_at_s INTEGER NOT NULL,"
    " next_at_s INTEGER NOT NULL, last_at_s INTEGER NOT NULL, last_code INTEGER NOT NULL,"
    " last_text TEXT NOT NULL, UNIQUE (report, rua)) STRICT;"
    "CREATE INDEX delivery_open ON delivery (state, next_at_s) WHERE state < 2;"
    "CREATE TABLE skipped ("
    " domain TEXT NOT NULL, utc_day INTEGER NOT NULL, reason TEXT NOT NULL, since_s INTEGER NOT NULL,"
    " PRIMARY KEY (domain, utc_day)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE waiting ("
    " domain TEXT NOT NULL, utc_day INTEGER NOT NULL, reason TEXT NOT NULL, since_s INTEGER NOT NULL,"
    " PRIMARY KEY (domain, utc_day)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE closed_day (utc_day INTEGER PRIMARY KEY, closed_at_s INTEGER NOT NULL) STRICT;"
    "CREATE TABLE suppression ("
    " address TEXT NOT NULL PRIMARY KEY, until_s INTEGER NOT NULL, strikes INTEGER NOT NULL,"
    " reason TEXT NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE mailed ("
    " mailbox_domain TEXT NOT NULL, utc_day INTEGER NOT NULL, count INTEGER NOT NULL,"
    " PRIMARY KEY (mailbox_domain, utc_day)) STRICT, WITHOUT ROWID;",
    /* since which ledger time a day's reports are remembered */
    "CREATE TABLE reported_day (utc_day INTEGER PRIMARY KEY, since_s INTEGER NOT NULL) STRICT;",
};

static const struct db_schema SCHEMA = {.migrations = MIGRATIONS, .version = (int)ARRAY_COUNT(MIGRATIONS)};

#define DELIVERY_SELECT                                                                                      \
    "SELECT d.id, r.utc_day, r.domain, r.report_id, d.kind, d.rua, d.host, d.message_id, d.state,"           \
    " d.tries, d.first_at_s, d.next_at_s, d.last_at_s, d.last_code, d.last_text"                             \
    " FROM delivery d JOIN report r ON r.id = d.report "

#define REPORT_COLUMNS                                                                                       \
    "utc_day, domain, report_id, created_at_s, organization_name, contact_info, from_address,"               \
    " envelope_from, file_name, inflated_bytes, success, failure, note"

/* State numbers in the SQL below are those of enum delivery_state: 0 due, 1 sending, 4 suppressed. */
enum ledger_query {
    Q_FIND,
    Q_ADD_REPORT,
    Q_ADD_DELIVERY,
    Q_SKIP,
    Q_UNSKIP,
    Q_WAIT,
    Q_UNWAIT,
    Q_EACH_SKIPPED,
    Q_EACH_WAITING,
    Q_CLOSE_DAY,
    Q_DAY_IS_CLOSED,
    Q_EACH_CLOSED_DAY,
    Q_EACH_REPORT,
    Q_READ_REPORT,
    Q_EACH_DUE,
    Q_EACH_DELIVERY,
    Q_EACH_DELIVERY_OF,
    Q_NEXT_DUE,
    Q_MARK_SENDING,
    Q_PUT_BACK,
    Q_RECORD_RESULT,
    Q_RECOVER,
    Q_COUNT_STATES,
    Q_COUNT_ENTRIES,
    Q_REMEMBER_DAYS,
    Q_DELETE_REPORTS,
    Q_FORGET_DAYS,
    Q_DELETE_SKIPPED,
    Q_DELETE_WAITING,
    Q_DELETE_MAILED,
    Q_DELETE_DAYS,
    Q_DELETE_SUPPRESSIONS,
    Q_SUPPRESSION,
    Q_SUPPRESS,
    Q_UNSUPPRESS,
    Q_EACH_SUPPRESSION,
    Q_ADD_MAILED,
    Q_MAILED,
    QUERY_COUNT,
};

/* clang-format off */
static const char *const SQL[QUERY_COUNT] = {
    [Q_FIND] = "SELECT 1, created_at_s FROM report WHERE domain = ?1 AND utc_day = ?2"
               " UNION ALL SELECT 2, since_s FROM skipped WHERE domain = ?1 AND utc_day = ?2"
               " UNION ALL SELECT 3, since_s FROM waiting WHERE domain = ?1 AND utc_day = ?2 LIMIT 1",
    [Q_ADD_REPORT] = "INSERT INTO report (domain, utc_day, report_id, created_at_s, organization_name,"
                     " contact_info, from_address, envelope_from, file_name, gzip, inflated_bytes, success,"
                     " failure, note) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    [Q_ADD_DELIVERY] = "INSERT INTO delivery (report, rua, kind, host, message_id, state, tries, first_at_s,"
                       " next_at_s, last_at_s, last_code, last_text)"
                       " VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, 0, ?7, 0, 0, ?8) ON CONFLICT DO NOTHING",
    [Q_SKIP] = "INSERT INTO skipped (domain, utc_day, reason, since_s) VALUES (?1, ?2, ?3, ?4)"
               " ON CONFLICT DO NOTHING",
    [Q_UNSKIP] = "DELETE FROM skipped WHERE domain = ?1 AND utc_day = ?2",
    [Q_WAIT] = "INSERT INTO waiting (domain, utc_day, reason, since_s) VALUES (?1, ?2, ?3, ?4)"
               " ON CONFLICT (domain, utc_day) DO UPDATE SET reason = excluded.reason",
    [Q_UNWAIT] = "DELETE FROM waiting WHERE domain = ?1 AND utc_day = ?2",
    [Q_EACH_SKIPPED] = "SELECT utc_day, domain, reason, since_s FROM skipped"
                       " WHERE utc_day = ?1 OR ?1 < 0 ORDER BY utc_day, domain",
    [Q_EACH_WAITING] = "SELECT utc_day, domain, reason, since_s FROM waiting"
                       " WHERE utc_day = ?1 OR ?1 < 0 ORDER BY utc_day, domain",
    [Q_CLOSE_DAY] = "INSERT INTO closed_day (utc_day, closed_at_s) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
    [Q_DAY_IS_CLOSED] = "SELECT 1 FROM closed_day WHERE utc_day = ?1",
    [Q_EACH_CLOSED_DAY] = "SELECT utc_day, closed_at_s FROM closed_day ORDER BY utc_day",
    [Q_EACH_REPORT] = "SELECT " REPORT_COLUMNS ", length(gzip) FROM report"
                      " WHERE utc_day = ?1 OR ?1 < 0 ORDER BY utc_day DESC, domain",
    [Q_READ_REPORT] = "SELECT " REPORT_COLUMNS ", gzip FROM report WHERE domain = ?1 AND utc_day = ?2",
    [Q_EACH_DUE] = DELIVERY_SELECT "WHERE d.state = 0 AND d.next_at_s <= ?1 ORDER BY d.kind, d.host, d.id",
    [Q_EACH_DELIVERY] = DELIVERY_SELECT "WHERE r.utc_day = ?1 OR ?1 < 0 ORDER BY r.utc_day, r.domain, d.rua",
    [Q_EACH_DELIVERY_OF] = DELIVERY_SELECT "WHERE r.domain = ?1 AND r.utc_day = ?2 ORDER BY d.rua",
    [Q_NEXT_DUE] = "SELECT min(next_at_s) FROM delivery WHERE state < 2",
    [Q_MARK_SENDING] = "UPDATE delivery SET state = 1, tries = tries + 1, last_at_s = ?2,"
                       " first_at_s = CASE first_at_s WHEN 0 THEN ?2 ELSE first_at_s END WHERE id = ?1",
    [Q_PUT_BACK] = "UPDATE delivery SET state = 0, tries = tries - 1,"
                   " first_at_s = CASE tries WHEN 1 THEN 0 ELSE first_at_s END WHERE id = ?1 AND state = 1",
    [Q_RECORD_RESULT] = "UPDATE delivery SET state = ?2, next_at_s = ?3, last_at_s = ?4, last_code = ?5,"
                         " last_text = ?6 WHERE id = ?1",
    [Q_RECOVER] = "UPDATE delivery SET state = 0, next_at_s = ?1, last_code = 0,"
                  " last_text = 'the program ended while sending; it may have arrived' WHERE state = 1",
    [Q_COUNT_STATES] = "SELECT d.state, count(*) FROM delivery d JOIN report r ON r.id = d.report"
                       " WHERE r.utc_day = ?1 OR ?1 < 0 GROUP BY d.state",
    [Q_COUNT_ENTRIES] = "SELECT (SELECT count(*) FROM report WHERE utc_day = ?1 OR ?1 < 0),"
                        " (SELECT count(*) FROM skipped WHERE utc_day = ?1 OR ?1 < 0),"
                        " (SELECT count(*) FROM waiting WHERE utc_day = ?1 OR ?1 < 0)",
    /* the days that have reports, each found by one step through the index */
    [Q_REMEMBER_DAYS] = "WITH RECURSIVE reported (utc_day) AS (SELECT min(utc_day) FROM report UNION ALL"
                        " SELECT (SELECT min(utc_day) FROM report WHERE utc_day > reported.utc_day) FROM reported"
                        "  WHERE reported.utc_day IS NOT NULL)"
                        " INSERT INTO reported_day (utc_day, since_s) SELECT utc_day, ?1 FROM reported"
                        "  WHERE utc_day IS NOT NULL ON CONFLICT DO NOTHING",
    [Q_DELETE_REPORTS] = "DELETE FROM report WHERE utc_day < ?1"
                         " AND utc_day IN (SELECT utc_day FROM reported_day WHERE since_s <= ?2)"
                         " AND NOT EXISTS (SELECT 1 FROM delivery WHERE report = report.id AND state < 2)",
    [Q_FORGET_DAYS] = "DELETE FROM reported_day"
                      " WHERE NOT EXISTS (SELECT 1 FROM report WHERE report.utc_day = reported_day.utc_day)",
    [Q_DELETE_SKIPPED] = "DELETE FROM skipped WHERE utc_day < ?1",
    [Q_DELETE_WAITING] = "DELETE FROM waiting WHERE utc_day < ?1",
    [Q_DELETE_MAILED] = "DELETE FROM mailed WHERE utc_day < ?1",
    [Q_DELETE_DAYS] = "DELETE FROM closed_day WHERE utc_day < ?1",
    [Q_DELETE_SUPPRESSIONS] = "DELETE FROM suppression WHERE until_s < ?1",
    [Q_SUPPRESSION] = "SELECT until_s, strikes FROM suppression WHERE address = ?1",
    [Q_SUPPRESS] = "INSERT INTO suppression (address, until_s, strikes, reason) VALUES (?1, ?2, ?3, ?4)"
                   " ON CONFLICT (address) DO UPDATE SET until_s = excluded.until_s,"
                   " strikes = excluded.strikes, reason = excluded.reason",
    [Q_UNSUPPRESS] = "DELETE FROM suppression WHERE address = ?1",
    [Q_EACH_SUPPRESSION] = "SELECT address, until_s, strikes, reason FROM suppression WHERE until_s > ?1"
                           " ORDER BY address",
    [Q_ADD_MAILED] = "INSERT INTO mailed (mailbox_domain, utc_day, count) VALUES (?1, ?2, ?3)"
                     " ON CONFLICT (mailbox_domain, utc_day) DO UPDATE SET count = count + excluded.count",
    [Q_MAILED] = "SELECT count FROM mailed WHERE mailbox_domain = ?1 AND utc_day = ?2",
};
/* clang-format on */

struct ledger_sqlite {
    struct ledger base;
    struct db db;
    struct sqlite3_stmt *statements[QUERY_COUNT]; /* compiled at first use */
};

static struct ledger_sqlite *sqlite_of(struct ledger *ledger)
{
    return (struct ledger_sqlite *)ledger;
}

static void sqlite_close(struct ledger *base)
{
    struct ledger_sqlite *ledger = sqlite_of(base);

    for (size_t i = 0; i < QUERY_COUNT; i++)
        db_finalise(&ledger->statements[i]);
    db_close(&ledger->db);
    free(ledger);
}

static enum status sqlite_begin(struct ledger *base, struct err *err)
{
    struct ledger_sqlite *ledger = sqlite_of(base);

    return db_begin(&ledger->db, err);
}

static enum status sqlite_commit(struct ledger *base, struct err *err)
{
    struct ledger_sqlite *ledger = sqlite_of(base);

    return db_commit(&ledger->db, err);
}

static void sqlite_rollback(struct ledger *base)
{
    struct ledger_sqlite *ledger = sqlite_of(base);

    db_rollback(&ledger->db);
}

/* The compiled statement, ready to bind. */
static enum status use(struct ledger_sqlite *ledger, enum ledger_query query,
                       struct sqlite3_stmt **statement_out, struct err *err)
{
    if (ledger->statements[query] == NULL) {
        enum status status = db_prepare(&ledger->db, SQL[query], &ledger->statements[query], err);

        if (status != ST_OK)
            return status;
    }
    *statement_out = ledger->statements[query];
    return ST_OK;
}

/* A statement whose parameters are a domain and a day, run to its end. */
static enum status run_for(struct ledger_sqlite *ledger, enum ledger_query query, const char *domain,
                           int32_t utc_day, struct err *err)
{
    struct sqlite3_stmt *statement;
    enum status status = use(ledger, query, &statement, err);

    if (status != ST_OK)
        return status;
    db_bind_text(statement, 1, domain);
    db_bind_int(statement, 2, utc_day);
    return db_step_done(&ledger->db, statement, err);
}

/* The end of a walk is no failure. */
static enum status at_end(struct sqlite3_stmt *statement, enum status status)
{
    db_reset(statement);
    return status == ST_NOT_FOUND ? ST_OK : status;
}

/* ---- days and domains ---- */

static enum status sqlite_find(struct ledger *base, int32_t utc_day, const char *domain,
                               enum ledger_entry *entry_out, int64_t *since_s_out, struct err *err)
{
    struct ledger_sqlite *ledger = sqlite_of(base);
    struct sqlite3_stmt *statement;
    enum status status = use(ledger, Q_FIND, &statement, err);

    if (status != ST_OK)
        return status;
    db_bind_text(statement, 1, domain);
    db_bind_int(statement, 2, utc_day);
    status = db_step(&ledger->db, statement, err);
    if (status == ST_OK) {
        static const enum ledger_entry ENTRIES[] = {LEDGER_NOTHING, LEDGER_REPORT, LEDGER_SKIPPED,
                                                    LEDGER_WAITING};

        *entry_out = ENTRIES[db_column_int(statement, 0) & 3];
        if (since_s_out != NULL)
            *since_s_out = db_column_int(statement, 1);
    } else if (status == ST_NOT_FOUND) {
        *entry_out = LEDGER_NOTHING;
    }
    return at_end(statement, status);
}

static enum status insert_report(struct ledger_sqlite *ledger, const struct ledger_report *report,
                                 struct err *err)
{
    struct sqlite3_stmt *statement;
    enum status status = use(ledger, Q_ADD_REPORT, &statement, err);

    if (status != ST_OK)
        return status;
    db_bind_text(statement, 1, report->domain);
    db_bind_int(statement, 2, report->utc_day);
    db_bind_text(statement, 3, report->report_id);
    db_bind_int(statement, 4, report->created_at_s);
    db_bind_text(statement, 5, report->organization_name);
    db_bind_text(statement, 6, report->contact_info);
    db_bind_text(statement, 7, report->from);
    db_bind_text(statement, 8, report->envelope_from);
    db_bind_text(statement, 9, report->file_name);
    db_bind_blob(statement, 10, report->gzip, report->gzip_len);
    db_bind_int(statement, 11, report->inflated_bytes);
    db_bind_int(statement, 12, report->success);
    db_bind_int(statement, 13, report->failure);
    db_bind_text(statement, 14, report->note);
    return db_step_done(&ledger->db, statement, err);
}

static enum status insert_delivery(struct ledger_sqlite *ledger, int64_t report,
                                   const struct ledger_delivery *delivery, struct err *err)
{
    struct sqlite3_stmt *statement;
    enum status status = use(ledger, Q_ADD_DELIVERY, &statement, err);

    if (status != ST_OK)
        return status;
    db_bind_int(statement, 1, report);
    db_bind_text(statement, 2, delivery->rua);
    db_bind_int(statement, 3, delivery->kind);
    db_bind_text(statement, 4, delivery->host);
    db_bind_text(statement, 5, delivery->message_id != NULL ? delivery->message_id : "");
    db_bind_int(statement, 6, delivery->state);
    db_bind_int(statement, 7, delivery->next_at_s);
    db_bind_text(statement, 8, delivery->last_text != NULL ? delivery->last_text : "");
    return db_step_done(&ledger->db, statement, err);
}

/* ledger_add_report inside a transaction. */
static enum status add_report(struct ledger_sqlite *ledger, const struct ledger_report *report,
                              const struct ledger_delivery *deliveries, size_t count, struct err *err)
{
    enum ledger_entry entry;
    int64_t id;
    enum status status = sqlite_find(&ledger->base, report->utc_day, report->domain, &entry, NULL, err);

    if (status == ST_OK && entry == LEDGER_REPORT)
        status = err_set(err, ST_DENIED, "%s has a report for this day already", report->domain);
    if (status == ST_OK)
        status = insert_report(ledger, report, err);
    id = db_last_id(&ledger->db);
    for (size_t i = 0; i < count && status == ST_OK; i++)
        status = insert_delivery(ledger, id, &deliveries[i], err);
    if (status == ST_OK)
        status = run_for(ledger, Q_UNSKIP, report->domain, report->utc_day, err);
    if (status == ST_OK)
        status = run_for(ledger, Q_UNWAIT, report->domain, report->utc_day, err);
    return status;
}

/* Run one step list as its own savepoint, so that it is all or nothing inside or outside a transaction. */
static enum status end_savepoint(struct ledger_sqlite *ledger, enum status status, struct err *err)
{
    if (status == ST_OK)
        status = db_run(&ledger->db, "RELEASE ledger", err);
    if (status != ST_OK && db_run(&ledger->db, "ROLLBACK TO ledger; RELEASE ledger", NULL) != ST_OK)
        db_rollback(&ledger->db);
    return status;
}

static enum status sqlite_add_report(struct ledger *base, const struct ledger_report *report,
                                     const struct ledger_delivery *deliveries, size_t count, struct err *err)
{
    struct ledger_sqlite *ledger = sqlite_of(base);
    enum status status;

    if (report->gzip_len > LEDGER_GZIP_MAX)
        return err_set(err, ST_RANGE, "%s: a report of %zu bytes is larger than the ledger takes (%u)",
                       report->domain, report->gzip_len, LEDGER_GZIP_MAX);
    status = db_run(&ledger->db, "SAVEPOINT ledger", err);
    if (status != ST_OK)
        return status;
    status = add_report(ledger, report, deliveries, count, err);
    return end_savepoint(ledger, status, err);
}

static enum status enter_domain(struct ledger_sqlite *ledger, enum ledger_query query, int32_t utc_day,
                                const char *domain, const char *reason, int64_t now_s, struct err *err)
{
    struct sqlite3_stmt *statement;
    enum status status = use(ledger, query, &statement, err);

    if (status != ST_OK)
        return status;
    db_bind_text(statement, 1, domain);
    db_bind_int(statement, 2, utc_day);
    db_bind_text(statement, 3, reason);
    db_bind_int(statement, 4, now_s);
    return db_step_done(&ledger->db, statement, err);
}

static enum status sqlite_skip(struct ledger *base, int32_t utc_day, const char *domain, const char *reason,
                               int64_t now_s, struct err *err)
{
    struct ledger_sqlite *ledger = sqlite_of(base);
    enum status status = db_run(&ledger->db, "SAVEPOINT ledger", err);

    if (status != ST_OK)
        return status;
    status = enter_domain(ledger, Q_SKIP, utc_day, domain, reason, now_s, err);
    if (status == ST_OK)
        status = run_for(ledger, Q_UNWAIT, domain, utc_day, err);
    return end_savepoint(ledger, status, err);
}

static enum status sqlite_wait(struct ledger *base, int32_t utc_day, const char *domain, const char *reason,
                               int64_t now_s, struct err *err)
{
    return enter_domain(sqlite_of(base), Q_WAIT, utc_day, domain, reason, now_s, err);
}

static enum status each_domain(struct ledger_sqlite *ledger, enum ledger_query query, int32_t utc_day,
                               ledger_domain_fn *fn, void *context, struct err *err)
{
    struct sqlite3_stmt *statement;
    enum status status = use(ledger, query, &statement, err);

    if (status != ST_OK)
        return status;
    db_bind_int(statement, 1, utc_day);
    while ((status = db_step(&ledger->db, statement, err)) == ST_OK) {
        status = fn(context, (int32_t)db_column_int(statement, 0), db_column_text(statement, 1),
                    db_column_text(statement, 2), db_column_int(statement, 3), err);
        if (status != ST_OK)
            break;
    }
    return at_end(statement, status);
}

static enum status sqlite_each_skipped(struct ledger *base, int32_t utc_day, ledger_domain_fn *fn,
                                       void *context, struct err *err)
{
    return each_domain(sqlite_of(base), Q_EACH_SKIPPED, utc_day, fn, context, err);
}

static enum status sqlite_each_waiting(struct ledger *base, int32_t utc_day, ledger_domain_fn *fn,
                                       void *context, struct err *err)
{
    return each_domain(sqlite_of(base), Q_EACH_WAITING, utc_day, fn, context, err);
}

static enum status sqlite_close_day(struct ledger *base, int32_t utc_day, int64_t now_s, struct err *err)
{
    struct ledger_sqlite *ledger = sqlite_of(base);
    struct sqlite3_stmt *statement;
    enum status status = use(ledger, Q_CLOSE_DAY, &statement, err);

    if (status != ST_OK)
        return status;
    db_bind_int(statement, 1, utc_day);
    db_bind_int(statement, 2, now_s);
    return db_step_done(&ledger->db, statement, err);
}

static enum status sqlite_day_is_closed(struct ledger *base, int32_t utc_day, bool *is_closed_out,
                                        struct err *err)
{
    struct ledger_sqlite *ledger = sqlite_of(base);
    struct sqlite3_stmt *statement;
    enum status status = use(ledger, Q_DAY_IS_CLOSED, &statement, err);

    if (status != ST_OK)
        return status;
    db_bind_int(statement, 1, utc_day);
    status = db_step(&ledger->db, statement, err);
    if (status == ST_OK || status == ST_NOT_FOUND)
        *is_closed_out = status == ST_OK;
    return at_end(statement, status);
}

static enum status sqlite_each_closed_day(struct ledger *base, ledger_day_fn *fn, void *context,
                                          struct err *err)
{
    struct ledger_sqlite *ledger = sqlite_of(base);
    struct sqlite3_stmt *statement;
    enum status status = use(ledger, Q_EACH_CLOSED_DAY, &statement, err);

    if (status != ST_OK)
        return status;
    while ((status = db_step(&ledger->db, statement, err)) == ST_OK) {
        status = fn(context, (int32_t)db_column_int(statement, 0), db_column_int(statement, 1), err);
        if (status != ST_OK)
            break;
    }
    return at_end(statement, status);
}

/* The columns of REPORT_COLUMNS; texts belong to the statement. */
static struct ledger_report report_row(struct sqlite3_stmt *statement)
{
    return (struct ledger_report){
        .utc_day = (int32_t)db_column_int(statement, 0),
        .domain = db_column_text(statement, 1),
        .report_id = db_column_text(statement, 2),
        .created_at_s = db_column_int(statement, 3),
        .organization_name = db_column_text(statement, 4),
        .contact_info = db_column_text(statement, 5),
        .from = db_column_text(statement, 6),
        .envelope_from = db_column_text(statement, 7),
        .file_name = db_column_text(statement, 8),
        .inflated_bytes = db_column_int(statement, 9),
        .success = db_column_int(statement, 10),
        .failure = db_column_int(statement, 11),
        .note = db_column_text(statement, 12),
    };
}

static enum status sqlite_each_report(struct ledger *base, int32_t utc_day, ledger_report_fn *fn,
                                      void *context, struct err *err)
{
    struct ledger_sqlite *ledger = sqlite_of(base);
    struct sqlite3_stmt *statement;
    enum status status = use(ledger, Q_EACH_REPORT, &statement, err);

    if (status != ST_OK)
        return status;
    db_bind_int(statement, 1, utc_day);
    while ((status = db_step(&ledger->db, statement, err)) == ST_OK) {
        struct ledger_report row = report_row(statement);

        row.gzip_len = (size_t)db_column_int(statement, 13);
        status = fn(context, &row, err);
        if (status != ST_OK)
            break;
    }
    return at_end(statement, status);
}

/* Make every text and the gzip of report live in arena; false if memory is out. */
static bool copy_report(struct ledger_report *report, struct arena *arena)
{
    const char **const texts[] = {&report->domain,       &report->report_id, &report->organization_name,
                                  &report->contact_info, &report->from,      &report->envelope_from,
                                  &report->file_name,    &report->note};
    void *gzip = arena_alloc(arena, report->gzip_len + 1);

    if (gzip == NULL)
        return false;
    if (report->gzip_len > 0)
        memcpy(gzip, report->gzip, report->gzip_len);
    report->gzip = gzip;
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        *texts[i] = arena_copy_text(arena, *texts[i], strlen(*texts[i]));
        if (*texts[i] == NULL)
            return false;
    }
    return true;
}

static enum status sqlite_read_report(struct ledger *base, int32_t utc_day, const char *domain,
                                      struct arena *arena, struct ledger_report *report_out, struct err *err)
{
    struct ledger_sqlite *ledger = sqlite_of(base);
    struct sqlite3_stmt *statement;
    enum status status = use(ledger, Q_READ_REPORT, &statement, err);

    if (status != ST_OK)
        return status;
    db_bind_text(statement, 1, domain);
    db_bind_int(statement, 2, utc_day);
    status = db_step(&ledger->db, statement, err);
    if (status == ST_OK) {
        struct ledger_report row = report_row(statement);

        row.gzip = db_column_blob(statement, 13, &row.gzip_len);
        if (copy_report(&row, arena))
            *report_out = row;
        else
            status = err_set(err, ST_NOMEM, "report for %s: out of memory", domain);
    } else if (status == ST_NOT_FOUND) {
        (void)err_set(err, ST_NOT_FOUND, "the ledger has no report for %s of that day", domain);
    }
    db_reset(statement);
    return status;
}

/* ---- deliveries ---- */

/* The columns of DELIVERY_SELECT; a number that this program does not know counts as given up. */
static struct ledger_delivery delivery_row(struct sqlite3_stmt *statement)
{
    int64_t kind = db_column_int(statement, 4);
    int64_t state = db_column_int(statement, 8);

    return (struct ledger_delivery){
        .id = db_column_int(statement, 0),
        .utc_day = (int32_t)db_column_int(statement, 1),
        .domain = db_column_text(statement, 2),
        .report_id = db_column_text(statement, 3),
        .kind = kind == DELIVERY_MAIL ? DELIVERY_MAIL : DELIVERY_HTTPS,
        .rua = db_column_text(statement, 5),
        .host = db_column_text(statement, 6),
        .message_id = db_column_text(statement, 7),
        .state = state >= 0 && state < DELIVERY_STATE_COUNT ? (enum delivery_state)state : DELIVERY_GIVEN_UP,
        .tries = db_column_int(statement, 9),
        .first_at_s = db_column_int(statement, 10),
        .next_at_s = db_column_int(statement, 11),
        .last_at_s = db_column_int(statement, 12),
        .last_code = db_column_int(statement, 13),
        .last_text = db_column_text(statement, 14),
    };
}

static enum status walk_deliveries(struct ledger_sqlite *ledger, struct sqlite3_stmt *statement,
                                   ledger_delivery_fn *fn, void *context, struct err *err)
{
    enum status status;

    while ((status = db_step(&ledger->db, statement, err)) == ST_OK) {
        struct ledger_delivery row = delivery_row(statement);

        status = fn(context, &row, err);
        if (status != ST_OK)
            break;
    }
    return at_end(statement, status);
}

static enum status each_delivery(struct ledger_sqlite *ledger, enum ledger_query query, int64_t parameter,
                                 ledger_delivery_fn *fn, void *context, struct err *err)
{
    struct sqlite3_stmt *statement;
    enum status status = use(ledger, query, &statement, err);

    if (status != ST_OK)
        return status;
    db_bind_int(statement, 1, parameter);
    return walk_deliveries(ledger, statement, fn, context, err);
}

static enum status sqlite_each_due(struct ledger *base, int64_t now_s, ledger_delivery_fn *fn, void *context,
                                   struct err *err)
{
    return each_delivery(sqlite_of(base), Q_EACH_DUE, now_s, fn, context, err);
}

static enum status sqlite_each_delivery(struct ledger *base, int32_t utc_day, ledger_delivery_fn *fn,
                                        void *context, struct err *err)
{
    return each_delivery(sqlite_of(base), Q_EACH_DELIVERY, utc_day, fn, context, err);
}

static enum status sqlite_each_delivery_of(struct ledger *base, int32_t utc_day, const char *domain,
                                           ledger_delivery_fn *fn, void *context, struct err *err)
{
    struct ledger_sqlite *ledger = sqlite_of(base);
    struct sqlite3_stmt *statement;
    enum status status = use(ledger, Q_EACH_DELIVERY_OF, &statement, err);

    if (status != ST_OK)
        return status;
    db_bind_text(statement, 1, domain);
    db_bind_int(statement, 2, utc_day);
    return walk_deliveries(ledger, statement, fn, context, err);
}

static enum status sqlite_next_due(struct ledger *base, int64_t *next_at_s_out, struct err *err)
{
    struct ledger_sqlite *ledger = sqlite_of(base);
    struct sqlite3_stmt *statement;
    enum status status = use(ledger, Q_NEXT_DUE, &statement, err);

    if (status != ST_OK)
        return status;
    status = db_step(&ledger->db, statement, err);
    if (status == ST_OK && db_column_text(statement, 0) == NULL)
        status = err_set(err, ST_NOT_FOUND, "no delivery is open");
    if (status == ST_OK)
        *next_at_s_out = db_column_int(statement, 0);
    db_reset(statement);
    return status;
}

/* A change that must have touched exactly one delivery. */
static enum status change_one(struct ledger_sqlite *ledger, struct sqlite3_stmt *statement, int64_t delivery,
                              struct err *err)
{
    enum status status = db_step_done(&ledger->db, statement, err);

    if (status == ST_OK && db_changes(&ledger->db) != 1)
        status = err_set(err, ST_INTERNAL, "the ledger has no delivery %lld", (long long)delivery);
    return status;
}

static enum status sqlite_mark_sending(struct ledger *base, const struct ledger_delivery *delivery,
                                       int64_t now_s, struct err *err)
{
    struct ledger_sqlite *ledger = sqlite_of(base);
    struct sqlite3_stmt *statement;
    enum status status = use(ledger, Q_MARK_SENDING, &statement, err);

    if (status != ST_OK)
        return status;
    db_bind_int(statement, 1, delivery->id);
    db_bind_int(statement, 2, now_s);
    return change_one(ledger, statement, delivery->id, err);
}

static enum status sqlite_put_back(struct ledger *base, const struct ledger_delivery *delivery,
                                   struct err *err)
{
    struct ledger_sqlite *ledger = sqlite_of(base);
    struct sqlite3_stmt *statement;
    enum status status = use(ledger, Q_PUT_BACK, &statement, err);

    if (status != ST_OK)
        return status;
    db_bind_int(statement, 1, delivery->id);
    return change_one(ledger, statement, delivery->id, err);
}

static enum status sqlite_record_result(struct ledger *base, const struct ledger_delivery *delivery,
                                        enum delivery_state state, int64_t next_at_s,
                                        const struct delivery_result *result, int64_t now_s, struct err *err)
{
    struct ledger_sqlite *ledger = sqlite_of(base);
    struct sqlite3_stmt *statement;
    enum status status = use(ledger, Q_RECORD_RESULT, &statement, err);

    if (status != ST_OK)
        return status;
    db_bind_int(statement, 1, delivery->id);
    db_bind_int(statement, 2, state);
    db_bind_int(statement, 3, next_at_s);
    db_bind_int(statement, 4, now_s);
    db_bind_int(statement, 5, result->code);
    db_bind_text(statement, 6, result->text);
    return change_one(ledger, statement, delivery->id, err);
}

static enum status sqlite_recover(struct ledger *base, int64_t now_s, int64_t *count_out, struct err *err)
{
    struct ledger_sqlite *ledger = sqlite_of(base);
    struct sqlite3_stmt *statement;
    enum status status = use(ledger, Q_RECOVER, &statement, err);

    if (status != ST_OK)
        return status;
    db_bind_int(statement, 1, now_s);
    status = db_step_done(&ledger->db, statement, err);
    if (status == ST_OK)
        *count_out = db_changes(&ledger->db);
    return status;
}

static enum status count_states(struct ledger_sqlite *ledger, int32_t utc_day, struct ledger_counts *counts,
                                struct err *err)
{
    struct sqlite3_stmt *statement;
    enum status status = use(ledger, Q_COUNT_STATES, &statement, err);

    if (status != ST_OK)
        return status;
    db_bind_int(statement, 1, utc_day);
    while ((status = db_step(&ledger->db, statement, err)) == ST_OK) {
        int64_t state = db_column_int(statement, 0);

        if (state >= 0 && state < DELIVERY_STATE_COUNT)
            counts->by_state[state] = db_column_int(statement, 1);
    }
    return at_end(statement, status);
}

static enum status sqlite_count(struct ledger *base, int32_t utc_day, struct ledger_counts *counts_out,
                                struct err *err)
{
    struct ledger_sqlite *ledger = sqlite_of(base);
    struct ledger_counts counts = {.reports = 0};
    struct sqlite3_stmt *statement;
    enum status status = count_states(ledger, utc_day, &counts, err);

    if (status == ST_OK)
        status = use(ledger, Q_COUNT_ENTRIES, &statement, err);
    if (status != ST_OK)
        return status;
    db_bind_int(statement, 1, utc_day);
    status = db_step(&ledger->db, statement, err);
    if (status == ST_OK) {
        counts.reports = db_column_int(statement, 0);
        counts.skipped = db_column_int(statement, 1);
        counts.waiting = db_column_int(statement, 2);
        *counts_out = counts;
    }
    db_reset(statement);
    return status;
}

/* A statement with up to two numbers, run to its end; *count_out (may be NULL): rows changed. */
static enum status run_with(struct ledger_sqlite *ledger, enum ledger_query query, const int64_t *numbers,
                            int count, int64_t *count_out, struct err *err)
{
    struct sqlite3_stmt *statement;
    enum status status = use(ledger, query, &statement, err);

    if (status != ST_OK)
        return status;
    for (int i = 0; i < count; i++)
        db_bind_int(statement, i + 1, numbers[i]);
    status = db_step_done(&ledger->db, statement, err);
    if (status == ST_OK && count_out != NULL)
        *count_out = db_changes(&ledger->db);
    return status;
}

static enum status delete_before(struct ledger_sqlite *ledger, const struct ledger_retention *limits,
                                 int64_t *reports_out, struct err *err)
{
    static const enum ledger_query BY_DAY[] = {Q_DELETE_SKIPPED, Q_DELETE_WAITING, Q_DELETE_MAILED,
                                               Q_DELETE_DAYS};
    const int64_t before[] = {limits->utc_day, limits->ledger_s - limits->memory_s};
    const int64_t suppressed_s = limits->now_s - SUPPRESSION_MEMORY_S;
    enum status status = run_with(ledger, Q_REMEMBER_DAYS, &limits->ledger_s, 1, NULL, err);

    if (status == ST_OK)
        status = run_with(ledger, Q_DELETE_REPORTS, before, 2, reports_out, err);
    if (status == ST_OK)
        status = run_with(ledger, Q_FORGET_DAYS, NULL, 0, NULL, err);
    for (size_t i = 0; i < ARRAY_COUNT(BY_DAY) && status == ST_OK; i++)
        status = run_with(ledger, BY_DAY[i], before, 1, NULL, err);
    return status == ST_OK ? run_with(ledger, Q_DELETE_SUPPRESSIONS, &suppressed_s, 1, NULL, err) : status;
}

static enum status sqlite_delete_before(struct ledger *base, const struct ledger_retention *limits,
                                        int64_t *count_out, struct err *err)
{
    struct ledger_sqlite *ledger = sqlite_of(base);
    int64_t reports = 0;
    enum status status = db_run(&ledger->db, "SAVEPOINT ledger", err);

    if (status != ST_OK)
        return status;
    status = delete_before(ledger, limits, &reports, err);
    status = end_savepoint(ledger, status, err);
    if (status == ST_OK)
        *count_out = reports;
    return status;
}

/* ---- mailboxes ---- */

/* ST_NOT_FOUND (err untouched) if the address was never suppressed, or so long ago that it is forgotten. */
static enum status read_suppression(struct ledger_sqlite *ledger, const char *address, int64_t *until_s_out,
                                    int64_t *strikes_out, struct err *err)
{
    struct sqlite3_stmt *statement;
    enum status status = use(ledger, Q_SUPPRESSION, &statement, err);

    if (status != ST_OK)
        return status;
    db_bind_text(statement, 1, address);
    status = db_step(&ledger->db, statement, err);
    if (status == ST_OK) {
        *until_s_out = db_column_int(statement, 0);
        *strikes_out = db_column_int(statement, 1);
    }
    db_reset(statement);
    return status;
}

static enum status sqlite_suppress(struct ledger *base, const char *address, const char *reason,
                                   int64_t now_s, int64_t *until_s_out, struct err *err)
{
    struct ledger_sqlite *ledger = sqlite_of(base);
    static const int64_t DAYS[] = {3, 7, 28};
    struct sqlite3_stmt *statement;
    int64_t until_s = 0;
    int64_t strikes = 0;
    enum status status = read_suppression(ledger, address, &until_s, &strikes, err);

    if (status != ST_OK && status != ST_NOT_FOUND)
        return status;
    if (until_s > now_s) {
        *until_s_out = until_s;
        return ST_OK;
    }
    until_s = now_s + DAYS[strikes < 2 ? strikes : 2] * UTC_DAY_SECONDS;
    status = use(ledger, Q_SUPPRESS, &statement, err);
    if (status != ST_OK)
        return status;
    db_bind_text(statement, 1, address);
    db_bind_int(statement, 2, until_s);
    db_bind_int(statement, 3, strikes + 1);
    db_bind_text(statement, 4, reason);
    status = db_step_done(&ledger->db, statement, err);
    if (status == ST_OK)
        *until_s_out = until_s;
    return status;
}

static enum status sqlite_is_suppressed(struct ledger *base, const char *address, int64_t now_s,
                                        bool *is_suppressed_out, struct err *err)
{
    struct ledger_sqlite *ledger = sqlite_of(base);
    int64_t until_s = 0;
    int64_t strikes = 0;
    enum status status = read_suppression(ledger, address, &until_s, &strikes, err);

    if (status != ST_OK && status != ST_NOT_FOUND)
        return status;
    *is_suppressed_out = status == ST_OK && until_s > now_s;
    return ST_OK;
}

static enum status sqlite_unsuppress(struct ledger *base, const char *address, struct err *err)
{
    struct ledger_sqlite *ledger = sqlite_of(base);
    struct sqlite3_stmt *statement;
    enum status status = use(ledger, Q_UNSUPPRESS, &statement, err);

    if (status != ST_OK)
        return status;
    db_bind_text(statement, 1, address);
    status = db_step_done(&ledger->db, statement, err);
    if (status == ST_OK && db_changes(&ledger->db) == 0)
        status = err_set(err, ST_NOT_FOUND, "%s is not suppressed", address);
    return status;
}

static enum status sqlite_each_suppression(struct ledger *base, int64_t now_s, ledger_suppression_fn *fn,
                                           void *context, struct err *err)
{
    struct ledger_sqlite *ledger = sqlite_of(base);
    struct sqlite3_stmt *statement;
    enum status status = use(ledger, Q_EACH_SUPPRESSION, &statement, err);

    if (status != ST_OK)
        return status;
    db_bind_int(statement, 1, now_s);
    while ((status = db_step(&ledger->db, statement, err)) == ST_OK) {
        status = fn(context, db_column_text(statement, 0), db_column_int(statement, 1),
                    db_column_int(statement, 2), db_column_text(statement, 3), err);
        if (status != ST_OK)
            break;
    }
    return at_end(statement, status);
}

static enum status sqlite_add_mailed(struct ledger *base, int32_t utc_day, const char *mailbox_domain,
                                     int64_t count, struct err *err)
{
    struct ledger_sqlite *ledger = sqlite_of(base);
    struct sqlite3_stmt *statement;
    enum status status = use(ledger, Q_ADD_MAILED, &statement, err);

    if (status != ST_OK)
        return status;
    db_bind_text(statement, 1, mailbox_domain);
    db_bind_int(statement, 2, utc_day);
    db_bind_int(statement, 3, count);
    return db_step_done(&ledger->db, statement, err);
}

static enum status sqlite_mailed(struct ledger *base, int32_t utc_day, const char *mailbox_domain,
                                 int64_t *count_out, struct err *err)
{
    struct ledger_sqlite *ledger = sqlite_of(base);
    struct sqlite3_stmt *statement;
    enum status status = use(ledger, Q_MAILED, &statement, err);

    if (status != ST_OK)
        return status;
    db_bind_text(statement, 1, mailbox_domain);
    db_bind_int(statement, 2, utc_day);
    status = db_step(&ledger->db, statement, err);
    if (status == ST_OK || status == ST_NOT_FOUND)
        *count_out = status == ST_OK ? db_column_int(statement, 0) : 0;
    return at_end(statement, status);
}

/* ---- the method table ---- */

static const struct ledger_methods METHODS = {
    .close = sqlite_close,
    .rollback = sqlite_rollback,
    .begin = sqlite_begin,
    .commit = sqlite_commit,
    .find = sqlite_find,
    .add_report = sqlite_add_report,
    .skip = sqlite_skip,
    .wait = sqlite_wait,
    .each_skipped = sqlite_each_skipped,
    .each_waiting = sqlite_each_waiting,
    .close_day = sqlite_close_day,
    .day_is_closed = sqlite_day_is_closed,
    .each_closed_day = sqlite_each_closed_day,
    .each_report = sqlite_each_report,
    .read_report = sqlite_read_report,
    .each_due = sqlite_each_due,
    .each_delivery = sqlite_each_delivery,
    .each_delivery_of = sqlite_each_delivery_of,
    .next_due = sqlite_next_due,
    .mark_sending = sqlite_mark_sending,
    .put_back = sqlite_put_back,
    .record_result = sqlite_record_result,
    .recover = sqlite_recover,
    .count = sqlite_count,
    .delete_before = sqlite_delete_before,
    .suppress = sqlite_suppress,
    .is_suppressed = sqlite_is_suppressed,
    .unsuppress = sqlite_unsuppress,
    .each_suppression = sqlite_each_suppression,
    .add_mailed = sqlite_add_mailed,
    .mailed = sqlite_mailed,
};

enum status ledger_sqlite_open(const char *path, enum ledger_mode mode, struct ledger **ledger_out,
                               struct err *err)
{
    struct ledger_sqlite *ledger = calloc(1, sizeof *ledger);
    enum status status;

    if (ledger == NULL)
        return err_set(err, ST_NOMEM, "%s: out of memory", path);
    ledger->base.methods = &METHODS;
    status = db_open(&ledger->db, path, mode == LEDGER_READ ? DB_READ : DB_WRITE_DURABLE, &SCHEMA, err);
    if (status != ST_OK) {
        free(ledger);
        return status;
    }
    *ledger_out = &ledger->base;
    return ST_OK;
}
