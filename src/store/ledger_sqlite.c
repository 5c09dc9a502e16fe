/* SPDX-License-Identifier: MIT */
/*
 * The ledger of one host: reports.db.  Each method is one or a few statements of the list below.  A method of
 * several is a savepoint, so that it is all or nothing inside and outside a transaction.
 */
#include <stdlib.h>
#include <string.h>

#include "model/utc_day.h"
#include "store/db.h"
#include "store/ledger.h"

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
    /* of 0.1.0, no longer written; old rows are deleted */
    "CREATE TABLE mailed ("
    " mailbox_domain TEXT NOT NULL, utc_day INTEGER NOT NULL, count INTEGER NOT NULL,"
    " PRIMARY KEY (mailbox_domain, utc_day)) STRICT, WITHOUT ROWID;",
    /* since which ledger time a day's reports are remembered */
    "CREATE TABLE reported_day (utc_day INTEGER PRIMARY KEY, since_s INTEGER NOT NULL) STRICT;",
    /* for the scheduler */
    "ALTER TABLE delivery ADD COLUMN owner TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE delivery ADD COLUMN destination TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE delivery ADD COLUMN due_at_s INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE delivery ADD COLUMN turn INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE delivery ADD COLUMN is_known INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE delivery ADD COLUMN place INTEGER NOT NULL DEFAULT 0;"
    "UPDATE delivery SET owner = (SELECT domain FROM report WHERE id = report),"
    " destination = CASE kind WHEN 0 THEN host ELSE host || ':443' END,"
    " due_at_s = CASE first_at_s WHEN 0 THEN next_at_s ELSE first_at_s END, place = abs(random() % "
    "1000000000)"
    " WHERE state < 2;"
    "CREATE INDEX delivery_page ON delivery (kind, is_known, turn, next_at_s / 900, place) WHERE state = 0;"
    "CREATE TABLE known ("
    " kind INTEGER NOT NULL, destination TEXT NOT NULL, accepted_at_s INTEGER NOT NULL,"
    " PRIMARY KEY (kind, destination)) STRICT, WITHOUT ROWID;"
    "ALTER TABLE waiting ADD COLUMN next_at_s INTEGER NOT NULL DEFAULT 0;"
    "CREATE TABLE started (" /* owner '': all of them */
    " destination TEXT NOT NULL, utc_day INTEGER NOT NULL, owner TEXT NOT NULL, count INTEGER NOT NULL,"
    " PRIMARY KEY (destination, utc_day, owner)) STRICT, WITHOUT ROWID;"
    "DROP TABLE mailed;",
};

#define DELIVERY_SELECT_MORE(columns)                                                                        \
    "SELECT d.id, r.utc_day, r.domain, r.report_id, d.kind, d.rua, d.host, d.message_id, d.state,"           \
    " d.tries, d.first_at_s, d.next_at_s, d.last_at_s, d.last_code, d.last_text, d.owner, d.destination,"    \
    " d.due_at_s, d.turn, d.is_known" columns " FROM delivery d JOIN report r ON r.id = d.report "
#define DELIVERY_SELECT DELIVERY_SELECT_MORE("")

#define IS_KNOWN(kind_sql, destination_sql)                                                                  \
    "EXISTS (SELECT 1 FROM known AS k WHERE k.kind = " kind_sql " AND k.destination = " destination_sql ")"

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
    Q_EACH_OPEN,
    Q_MAKE_DUE,
    Q_NEXT_TURN,
    Q_READ_PAGE,
    Q_ADD_STARTED,
    Q_TAKE_STARTED,
    Q_EACH_BUDGET,
    Q_ADD_KNOWN,
    Q_EACH_DELIVERY,
    Q_EACH_DELIVERY_OF,
    Q_NEXT_DUE,
    Q_MARK_SENDING,
    Q_PUT_BACK,
    Q_RECORD_RESULT,
    Q_RECOVER,
    Q_RECOGNISE,
    Q_COUNT_STATES,
    Q_COUNT_ENTRIES,
    Q_REMEMBER_DAYS,
    Q_DELETE_REPORTS,
    Q_FORGET_DAYS,
    Q_DELETE_SKIPPED,
    Q_DELETE_WAITING,
    Q_DELETE_STARTED,
    Q_DELETE_KNOWN,
    Q_DELETE_DAYS,
    Q_DELETE_SUPPRESSIONS,
    Q_SUPPRESSION,
    Q_SUPPRESS,
    Q_UNSUPPRESS,
    Q_EACH_SUPPRESSION,
    QUERY_COUNT,
};

/* clang-format off */
static const char *const SQL[QUERY_COUNT] = {
    [Q_FIND] = "SELECT 1, created_at_s, 0 FROM report WHERE domain = ?1 AND utc_day = ?2"
               " UNION ALL SELECT 2, since_s, 0 FROM skipped WHERE domain = ?1 AND utc_day = ?2"
               " UNION ALL SELECT 3, since_s, next_at_s FROM waiting WHERE domain = ?1 AND utc_day = ?2 LIMIT 1",
    [Q_ADD_REPORT] = "INSERT INTO report (domain, utc_day, report_id, created_at_s, organization_name,"
                     " contact_info, from_address, envelope_from, file_name, gzip, inflated_bytes, success,"
                     " failure, note) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    [Q_ADD_DELIVERY] = "INSERT INTO delivery (report, rua, kind, host, message_id, state, tries, first_at_s,"
                       " next_at_s, last_at_s, last_code, last_text, owner, destination, due_at_s, turn, place, is_known)"
                       " VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, 0, ?7, 0, 0, ?8, ?9, ?10, ?11, ?12,"
                       " abs(random() % 1000000000), " IS_KNOWN("?3", "?10") ")"
                       " ON CONFLICT DO NOTHING",
    [Q_SKIP] = "INSERT INTO skipped (domain, utc_day, reason, since_s) VALUES (?1, ?2, ?3, ?4)"
               " ON CONFLICT DO NOTHING",
    [Q_UNSKIP] = "DELETE FROM skipped WHERE domain = ?1 AND utc_day = ?2",
    [Q_WAIT] = "INSERT INTO waiting (domain, utc_day, reason, since_s, next_at_s) VALUES (?1, ?2, ?3, ?4, ?5)"
               " ON CONFLICT (domain, utc_day) DO UPDATE SET reason = excluded.reason, next_at_s = excluded.next_at_s",
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
    [Q_EACH_OPEN] = DELIVERY_SELECT "WHERE d.state < 2 ORDER BY d.kind, d.host, d.id",
    [Q_MAKE_DUE] = "UPDATE delivery SET next_at_s = ?1 WHERE state = 0 AND next_at_s > ?1",
    [Q_NEXT_TURN] = "SELECT turn FROM delivery WHERE state = 0 AND kind = ?1 AND is_known = ?2 AND turn >= ?3"
                    " ORDER BY turn LIMIT 1",
    [Q_READ_PAGE] = DELIVERY_SELECT_MORE(
        ", coalesce((SELECT s.count FROM started AS s WHERE s.destination = d.destination AND s.utc_day = ?6"
        "  AND s.owner = ''), 0),"
        " coalesce((SELECT s.count FROM started AS s WHERE s.destination = d.destination AND s.utc_day = ?6"
        "  AND s.owner = d.owner), 0)")
        "WHERE d.state = 0 AND d.kind = ?1 AND d.is_known = ?2 AND d.turn = ?3"
        " AND d.next_at_s / 900 <= ?4 / 900 AND d.next_at_s <= ?4 ORDER BY d.next_at_s / 900, d.place LIMIT ?5",
    [Q_ADD_STARTED] = "INSERT INTO started (destination, utc_day, owner, count) VALUES (?1, ?2, '', 1), (?1, ?2, ?3, 1)"
                      " ON CONFLICT (destination, utc_day, owner) DO UPDATE SET count = count + 1",
    [Q_TAKE_STARTED] = "UPDATE started SET count = max(0, count - 1)"
                       " WHERE destination = ?1 AND utc_day = ?2 AND owner IN ('', ?3)",
    [Q_EACH_BUDGET] = "SELECT destination, owner, count FROM started WHERE utc_day = ?1"
                      " AND count >= CASE owner WHEN '' THEN ?2 ELSE ?3 END"
                      " ORDER BY owner <> '', count DESC, destination, owner LIMIT ?4",
    /* a row that is half a day old or younger stays as it is */
    [Q_ADD_KNOWN] = "INSERT INTO known (kind, destination, accepted_at_s) VALUES (?1, ?2, ?3)"
                    " ON CONFLICT (kind, destination) DO UPDATE SET accepted_at_s = excluded.accepted_at_s"
                    " WHERE known.accepted_at_s < excluded.accepted_at_s - 43200",
    [Q_EACH_DELIVERY] = DELIVERY_SELECT "WHERE r.utc_day = ?1 OR ?1 < 0 ORDER BY r.utc_day, r.domain, d.rua",
    [Q_EACH_DELIVERY_OF] = DELIVERY_SELECT "WHERE r.domain = ?1 AND r.utc_day = ?2 ORDER BY d.rua",
    [Q_NEXT_DUE] = "SELECT next_at_s FROM delivery WHERE state < 2 ORDER BY next_at_s LIMIT 1",
    [Q_MARK_SENDING] = "UPDATE delivery SET state = 1, tries = tries + 1, last_at_s = ?2,"
                       " first_at_s = CASE first_at_s WHEN 0 THEN ?2 ELSE first_at_s END WHERE id = ?1",
    [Q_PUT_BACK] = "UPDATE delivery SET state = 0, tries = tries - 1, last_text = ?2,"
                   " first_at_s = CASE first_at_s WHEN last_at_s THEN 0 ELSE first_at_s END WHERE id = ?1 AND state = 1",
    /* what was not marked, because a lookup failed or others had failed, has had a try too */
    [Q_RECORD_RESULT] = "UPDATE delivery SET tries = tries + (state = 0 AND ?2 = 0), state = ?2, next_at_s = ?3, last_at_s = ?4, last_code = ?5, last_text = ?6,"
                        " turn = min(turn + 1, 255), is_known = " IS_KNOWN("delivery.kind", "delivery.destination")
                        " WHERE id = ?1",
    [Q_RECOVER] = "UPDATE delivery SET state = 0, next_at_s = ?1 + (900 << min(tries, 7) >> 1), last_code = 0,"
                  " turn = min(turn + 1, 255), last_text = 'the program ended while sending; it may have arrived' WHERE state = 1",
    [Q_RECOGNISE] = "UPDATE delivery SET is_known = 1 WHERE state = 0 AND is_known = 0 AND " IS_KNOWN("delivery.kind", "delivery.destination"),
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
    [Q_FORGET_DAYS] = "DELETE FROM reported_day"
                      " WHERE NOT EXISTS (SELECT 1 FROM report WHERE report.utc_day = reported_day.utc_day)",
    [Q_DELETE_REPORTS] = "DELETE FROM report WHERE utc_day < ?1"
                         " AND utc_day IN (SELECT utc_day FROM reported_day WHERE since_s <= ?2)"
                         " AND NOT EXISTS (SELECT 1 FROM delivery WHERE report = report.id AND state < 2)",
    [Q_DELETE_SKIPPED] = "DELETE FROM skipped WHERE utc_day < ?1",
    [Q_DELETE_WAITING] = "DELETE FROM waiting WHERE utc_day < ?1",
    [Q_DELETE_STARTED] = "DELETE FROM started WHERE utc_day < ?1",
    [Q_DELETE_KNOWN] = "DELETE FROM known WHERE accepted_at_s < ?1 * 86400",
    [Q_DELETE_DAYS] = "DELETE FROM closed_day WHERE utc_day < ?1",
    [Q_DELETE_SUPPRESSIONS] = "DELETE FROM suppression WHERE until_s < ?1",
    [Q_SUPPRESSION] = "SELECT until_s, strikes FROM suppression WHERE address = ?1",
    [Q_SUPPRESS] = "INSERT INTO suppression (address, until_s, strikes, reason) VALUES (?1, ?2, ?3, ?4)"
                   " ON CONFLICT (address) DO UPDATE SET until_s = excluded.until_s,"
                   " strikes = excluded.strikes, reason = excluded.reason",
    [Q_UNSUPPRESS] = "DELETE FROM suppression WHERE address = ?1",
    [Q_EACH_SUPPRESSION] = "SELECT address, until_s, strikes, reason FROM suppression WHERE until_s > ?1"
                           " ORDER BY address",
};
/* clang-format on */

static const struct db_schema SCHEMA = {MIGRATIONS, ARRAY_COUNT(MIGRATIONS), SQL, QUERY_COUNT};

struct ledger_sqlite {
    struct ledger base;
    struct db db;
};

static struct db *db_of(struct ledger *ledger)
{
    return &((struct ledger_sqlite *)ledger)->db;
}

static void sqlite_close(struct ledger *ledger)
{
    db_close(db_of(ledger));
    free(ledger);
}

static enum status sqlite_begin(struct ledger *ledger, struct err *err)
{
    return db_begin(db_of(ledger), err);
}

static enum status sqlite_commit(struct ledger *ledger, struct err *err)
{
    return db_commit(db_of(ledger), err);
}

static void sqlite_rollback(struct ledger *ledger)
{
    db_rollback(db_of(ledger));
}

static enum status begin_savepoint(struct db *db, struct err *err)
{
    return db_run(db, "SAVEPOINT ledger", err);
}

static enum status end_savepoint(struct db *db, enum status status, struct err *err)
{
    if (status == ST_OK)
        status = db_run(db, "RELEASE ledger", err);
    if (status != ST_OK && db_run(db, "ROLLBACK TO ledger; RELEASE ledger", NULL) != ST_OK)
        db_rollback(db);
    return status;
}

/* ---- days and domains ---- */

static enum status sqlite_find(struct ledger *ledger, int32_t utc_day, const char *domain,
                               struct ledger_found *found_out, struct err *err)
{
    int64_t found[3] = {LEDGER_NOTHING, 0, 0};
    enum status status = db_read(db_of(ledger), Q_FIND, BIND(TEXT(domain), INT(utc_day)), found, 3, err);

    if (status != ST_OK && status != ST_NOT_FOUND)
        return status;
    *found_out = (struct ledger_found){(enum ledger_entry)found[0], found[1], found[2]};
    return ST_OK;
}

static enum status insert_report(struct db *db, const struct ledger_report *report, struct err *err)
{
    return db_change(
        db, Q_ADD_REPORT,
        BIND(TEXT(report->domain), INT(report->utc_day), TEXT(report->report_id), INT(report->created_at_s),
             TEXT(report->organization_name), TEXT(report->contact_info), TEXT(report->from),
             TEXT(report->envelope_from), TEXT(report->file_name), BYTES(report->gzip, report->gzip_len),
             INT(report->inflated_bytes), INT(report->success), INT(report->failure), TEXT(report->note)),
        err);
}

static enum status insert_delivery(struct db *db, int64_t report, const struct ledger_delivery *delivery,
                                   struct err *err)
{
    return db_change(db, Q_ADD_DELIVERY,
                     BIND(INT(report), TEXT(delivery->rua), INT(delivery->kind), TEXT(delivery->host),
                          TEXT_OR_EMPTY(delivery->message_id), INT(delivery->state), INT(delivery->next_at_s),
                          TEXT_OR_EMPTY(delivery->last_text), TEXT(delivery->owner),
                          TEXT(delivery->destination), INT(delivery->due_at_s), INT(delivery->turn)),
                     err);
}

static enum status sqlite_add_report(struct ledger *ledger, const struct ledger_report *report,
                                     const struct ledger_delivery *deliveries, size_t count,
                                     enum ledger_entry was, struct err *err)
{
    struct db *db = db_of(ledger);
    enum status status = begin_savepoint(db, err);
    int64_t id;

    if (status != ST_OK)
        return status;
    status = insert_report(db, report, err);
    id = db_last_id(db);
    for (size_t i = 0; i < count && status == ST_OK; i++)
        status = insert_delivery(db, id, &deliveries[i], err);
    if (status == ST_OK && was != LEDGER_NOTHING)
        status = db_change(db, was == LEDGER_SKIPPED ? Q_UNSKIP : Q_UNWAIT,
                           BIND(TEXT(report->domain), INT(report->utc_day)), err);
    return end_savepoint(db, status, err);
}

static enum status sqlite_add_skipped(struct ledger *ledger, int32_t utc_day, const char *domain,
                                      const char *reason, int64_t now_s, struct err *err)
{
    struct db *db = db_of(ledger);
    enum status status = begin_savepoint(db, err);

    if (status != ST_OK)
        return status;
    status = db_change(db, Q_SKIP, BIND(TEXT(domain), INT(utc_day), TEXT(reason), INT(now_s)), err);
    if (status == ST_OK)
        status = db_change(db, Q_UNWAIT, BIND(TEXT(domain), INT(utc_day)), err);
    return end_savepoint(db, status, err);
}

static enum status sqlite_add_waiting(struct ledger *ledger, int32_t utc_day, const char *domain,
                                      const char *reason, int64_t now_s, int64_t next_at_s, struct err *err)
{
    return db_change(db_of(ledger), Q_WAIT,
                     BIND(TEXT(domain), INT(utc_day), TEXT(reason), INT(now_s), INT(next_at_s)), err);
}

static enum status each_domain(struct db *db, enum ledger_query query, int32_t utc_day, ledger_domain_fn *fn,
                               void *context, struct err *err)
{
    struct sqlite3_stmt *row = NULL;
    enum status status = db_query(db, query, BIND(INT(utc_day)), &row, err);

    while (db_next(db, row, &status, err))
        status = fn(context, (int32_t)db_column_int(row, 0), db_column_text(row, 1), db_column_text(row, 2),
                    db_column_int(row, 3), err);
    return status;
}

static enum status sqlite_each_skipped(struct ledger *ledger, int32_t utc_day, ledger_domain_fn *fn,
                                       void *context, struct err *err)
{
    return each_domain(db_of(ledger), Q_EACH_SKIPPED, utc_day, fn, context, err);
}

static enum status sqlite_each_waiting(struct ledger *ledger, int32_t utc_day, ledger_domain_fn *fn,
                                       void *context, struct err *err)
{
    return each_domain(db_of(ledger), Q_EACH_WAITING, utc_day, fn, context, err);
}

static enum status sqlite_close_day(struct ledger *ledger, int32_t utc_day, int64_t now_s, struct err *err)
{
    return db_change(db_of(ledger), Q_CLOSE_DAY, BIND(INT(utc_day), INT(now_s)), err);
}

static enum status sqlite_day_is_closed(struct ledger *ledger, int32_t utc_day, bool *is_closed_out,
                                        struct err *err)
{
    enum status status = db_read(db_of(ledger), Q_DAY_IS_CLOSED, BIND(INT(utc_day)), NULL, 0, err);

    if (status != ST_OK && status != ST_NOT_FOUND)
        return status;
    *is_closed_out = status == ST_OK;
    return ST_OK;
}

static enum status sqlite_each_closed_day(struct ledger *ledger, ledger_day_fn *fn, void *context,
                                          struct err *err)
{
    struct db *db = db_of(ledger);
    struct sqlite3_stmt *row = NULL;
    enum status status = db_query(db, Q_EACH_CLOSED_DAY, BIND_NOTHING, &row, err);

    while (db_next(db, row, &status, err))
        status = fn(context, (int32_t)db_column_int(row, 0), db_column_int(row, 1), err);
    return status;
}

/* The columns of REPORT_COLUMNS; texts belong to the statement. */
static struct ledger_report report_row(struct sqlite3_stmt *row)
{
    return (struct ledger_report){
        .utc_day = (int32_t)db_column_int(row, 0),
        .domain = db_column_text(row, 1),
        .report_id = db_column_text(row, 2),
        .created_at_s = db_column_int(row, 3),
        .organization_name = db_column_text(row, 4),
        .contact_info = db_column_text(row, 5),
        .from = db_column_text(row, 6),
        .envelope_from = db_column_text(row, 7),
        .file_name = db_column_text(row, 8),
        .inflated_bytes = db_column_int(row, 9),
        .success = db_column_int(row, 10),
        .failure = db_column_int(row, 11),
        .note = db_column_text(row, 12),
    };
}

static enum status sqlite_each_report(struct ledger *ledger, int32_t utc_day, ledger_report_fn *fn,
                                      void *context, struct err *err)
{
    struct db *db = db_of(ledger);
    struct sqlite3_stmt *row = NULL;
    enum status status = db_query(db, Q_EACH_REPORT, BIND(INT(utc_day)), &row, err);

    while (db_next(db, row, &status, err)) {
        struct ledger_report report = report_row(row);

        report.gzip_len = (size_t)db_column_int(row, 13);
        status = fn(context, &report, err);
    }
    return status;
}

static bool keep_gzip(struct ledger_report *report, struct sqlite3_stmt *row, int column, struct arena *arena)
{
    const void *bytes = db_column_blob(row, column, &report->gzip_len);
    void *gzip = arena_alloc(arena, report->gzip_len + 1);

    if (gzip != NULL && report->gzip_len > 0)
        memcpy(gzip, bytes, report->gzip_len);
    report->gzip = gzip;
    return gzip != NULL;
}

static enum status sqlite_read_report(struct ledger *ledger, int32_t utc_day, const char *domain,
                                      struct arena *arena, struct ledger_report *report_out, struct err *err)
{
    struct sqlite3_stmt *row = NULL;
    struct ledger_report report;
    enum status status = db_first(db_of(ledger), Q_READ_REPORT, BIND(TEXT(domain), INT(utc_day)), &row, err);

    if (status != ST_OK)
        return status;
    report = report_row(row);
    if (keep_gzip(&report, row, 13, arena) && ledger_report_keep(&report, arena))
        *report_out = report;
    else
        status = err_set(err, ST_NOMEM, "report for %s: out of memory", domain);
    db_reset(row);
    return status;
}

/* ---- deliveries ---- */

/* The columns of DELIVERY_SELECT. */
static struct ledger_delivery delivery_row(struct sqlite3_stmt *row)
{
    return (struct ledger_delivery){
        .id = db_column_int(row, 0),
        .utc_day = (int32_t)db_column_int(row, 1),
        .domain = db_column_text(row, 2),
        .report_id = db_column_text(row, 3),
        .kind = ledger_kind_of(db_column_int(row, 4)),
        .rua = db_column_text(row, 5),
        .host = db_column_text(row, 6),
        .message_id = db_column_text(row, 7),
        .state = ledger_state_of(db_column_int(row, 8)),
        .tries = db_column_int(row, 9),
        .first_at_s = db_column_int(row, 10),
        .next_at_s = db_column_int(row, 11),
        .last_at_s = db_column_int(row, 12),
        .last_code = db_column_int(row, 13),
        .last_text = db_column_text(row, 14),
        .owner = db_column_text(row, 15),
        .destination = db_column_text(row, 16),
        .due_at_s = db_column_int(row, 17),
        .turn = (uint32_t)db_column_int(row, 18),
        .is_known = db_column_int(row, 19) != 0,
    };
}

static enum status each_delivery(struct db *db, enum ledger_query query, const struct bind_value *values,
                                 size_t count, ledger_delivery_fn *fn, void *context, struct err *err)
{
    struct sqlite3_stmt *row = NULL;
    enum status status = db_query(db, query, values, count, &row, err);

    while (db_next(db, row, &status, err)) {
        const struct ledger_delivery delivery = delivery_row(row);

        status = fn(context, &delivery, err);
    }
    return status;
}

static enum status sqlite_each_open(struct ledger *ledger, ledger_delivery_fn *fn, void *context,
                                    struct err *err)
{
    return each_delivery(db_of(ledger), Q_EACH_OPEN, BIND_NOTHING, fn, context, err);
}

static enum status sqlite_make_due(struct ledger *ledger, int64_t now_s, struct err *err)
{
    return db_change(db_of(ledger), Q_MAKE_DUE, BIND(INT(now_s)), err);
}

/* Turn by turn, so that rows of a turn that are not due yet cost nothing. */
static enum status sqlite_read_page(struct ledger *ledger, const struct ledger_page *page,
                                    ledger_delivery_fn *fn, void *context, struct err *err)
{
    struct db *db = db_of(ledger);
    const int64_t utc_day = utc_day_of(page->now_s);
    struct sqlite3_stmt *row = NULL;
    int64_t left = page->max;
    enum status status = ST_OK;

    for (int64_t turn = 0; status == ST_OK && left > 0; turn++) {
        status =
            db_read(db, Q_NEXT_TURN, BIND(INT(page->kind), INT(page->is_known), INT(turn)), &turn, 1, err);
        if (status != ST_OK)
            break;
        status = db_query(
            db, Q_READ_PAGE,
            BIND(INT(page->kind), INT(page->is_known), INT(turn), INT(page->due_s), INT(left), INT(utc_day)),
            &row, err);
        while (db_next(db, row, &status, err)) {
            struct ledger_delivery delivery = delivery_row(row);

            delivery.destination_started = db_column_int(row, 20);
            delivery.owner_started = db_column_int(row, 21);
            left--;
            status = fn(context, &delivery, err);
        }
    }
    return status == ST_NOT_FOUND ? ST_OK : status;
}

/* Only the first try of a delivery counts against the budgets; query: Q_ADD_STARTED or Q_TAKE_STARTED. */
static enum status count_started(struct ledger *ledger, const struct ledger_delivery *delivery,
                                 enum ledger_query query, int64_t at_s, struct err *err)
{
    return delivery->first_at_s > 0
               ? ST_OK
               : db_change(db_of(ledger), query,
                           BIND(TEXT(delivery->destination), INT(utc_day_of(at_s)), TEXT(delivery->owner)),
                           err);
}

static enum status sqlite_each_budget(struct ledger *ledger, int32_t utc_day, int64_t destination_limit,
                                      int64_t owner_limit, int64_t max, ledger_budget_fn *fn, void *context,
                                      struct err *err)
{
    struct db *db = db_of(ledger);
    struct sqlite3_stmt *row = NULL;
    enum status status = db_query(
        db, Q_EACH_BUDGET, BIND(INT(utc_day), INT(destination_limit), INT(owner_limit), INT(max)), &row, err);

    while (db_next(db, row, &status, err)) {
        const struct ledger_budget budget = {db_column_text(row, 0), db_column_text(row, 1),
                                             db_column_int(row, 2)};

        status = fn(context, &budget, err);
    }
    return status;
}

static enum status sqlite_add_known(struct ledger *ledger, const struct ledger_delivery *delivery,
                                    int64_t now_s, struct err *err)
{
    return db_change(db_of(ledger), Q_ADD_KNOWN,
                     BIND(INT(delivery->kind), TEXT(delivery->destination), INT(now_s)), err);
}

static enum status sqlite_each_delivery(struct ledger *ledger, int32_t utc_day, ledger_delivery_fn *fn,
                                        void *context, struct err *err)
{
    return each_delivery(db_of(ledger), Q_EACH_DELIVERY, BIND(INT(utc_day)), fn, context, err);
}

static enum status sqlite_each_delivery_of(struct ledger *ledger, int32_t utc_day, const char *domain,
                                           ledger_delivery_fn *fn, void *context, struct err *err)
{
    return each_delivery(db_of(ledger), Q_EACH_DELIVERY_OF, BIND(TEXT(domain), INT(utc_day)), fn, context,
                         err);
}

static enum status sqlite_next_due(struct ledger *ledger, int64_t *next_at_s_out, struct err *err)
{
    return db_read(db_of(ledger), Q_NEXT_DUE, BIND_NOTHING, next_at_s_out, 1, err);
}

/* A change of a delivery that must be there. */
static enum status change_delivery(struct ledger *ledger, enum ledger_query query,
                                   const struct bind_value *values, size_t count, struct err *err)
{
    enum status status = db_update(db_of(ledger), query, values, count, err);

    return status == ST_NOT_FOUND
               ? err_set(err, ST_INTERNAL, "the ledger has no delivery %lld", (long long)values[0].as.number)
               : status;
}

static enum status sqlite_mark_sending(struct ledger *ledger, const struct ledger_delivery *delivery,
                                       int64_t now_s, struct err *err)
{
    enum status status = change_delivery(ledger, Q_MARK_SENDING, BIND(INT(delivery->id), INT(now_s)), err);

    return status == ST_OK ? count_started(ledger, delivery, Q_ADD_STARTED, now_s, err) : status;
}

static enum status sqlite_put_back(struct ledger *ledger, const struct ledger_delivery *delivery,
                                   const char *reason, int64_t marked_at_s, struct err *err)
{
    enum status status = change_delivery(ledger, Q_PUT_BACK, BIND(INT(delivery->id), TEXT(reason)), err);

    return status == ST_OK ? count_started(ledger, delivery, Q_TAKE_STARTED, marked_at_s, err) : status;
}

static enum status sqlite_record_result(struct ledger *ledger, const struct ledger_delivery *delivery,
                                        enum delivery_state state, int64_t next_at_s,
                                        const struct delivery_result *result, int64_t now_s, struct err *err)
{
    return change_delivery(ledger, Q_RECORD_RESULT,
                           BIND(INT(delivery->id), INT(state), INT(next_at_s), INT(now_s), INT(result->code),
                                TEXT(result->text)),
                           err);
}

static enum status sqlite_recover(struct ledger *ledger, int64_t now_s, int64_t *count_out, struct err *err)
{
    enum status status = db_change(db_of(ledger), Q_RECOVER, BIND(INT(now_s)), err);

    if (status != ST_OK)
        return status;
    *count_out = db_changes(db_of(ledger));
    return db_change(db_of(ledger), Q_RECOGNISE, BIND_NOTHING, err);
}

static enum status sqlite_count(struct ledger *ledger, int32_t utc_day, struct ledger_counts *counts_out,
                                struct err *err)
{
    struct db *db = db_of(ledger);
    struct ledger_counts counts = {.reports = 0};
    struct sqlite3_stmt *row = NULL;
    int64_t entries[3] = {0};
    enum status status = db_query(db, Q_COUNT_STATES, BIND(INT(utc_day)), &row, err);

    while (db_next(db, row, &status, err)) {
        int64_t state = db_column_int(row, 0);

        if (state >= 0 && state < DELIVERY_STATE_COUNT)
            counts.by_state[state] = db_column_int(row, 1);
    }
    if (status == ST_OK)
        status = db_read(db, Q_COUNT_ENTRIES, BIND(INT(utc_day)), entries, 3, err);
    if (status != ST_OK)
        return status;
    counts.reports = entries[0];
    counts.skipped = entries[1];
    counts.waiting = entries[2];
    *counts_out = counts;
    return ST_OK;
}

static enum status delete_reports(struct db *db, const struct ledger_retention *limits, int64_t *reports_out,
                                  struct err *err)
{
    enum status status = db_change(db, Q_REMEMBER_DAYS, BIND(INT(limits->ledger_s)), err);

    if (status == ST_OK)
        status = db_change(db, Q_DELETE_REPORTS,
                           BIND(INT(limits->utc_day), INT(limits->ledger_s - limits->memory_s)), err);
    *reports_out = db_changes(db);
    return status == ST_OK ? db_change(db, Q_FORGET_DAYS, BIND_NOTHING, err) : status;
}

static enum status sqlite_delete_before(struct ledger *ledger, const struct ledger_retention *limits,
                                        int64_t suppressed_s, int64_t *count_out, struct err *err)
{
    static const enum ledger_query BY_DAY[] = {Q_DELETE_SKIPPED, Q_DELETE_WAITING, Q_DELETE_KNOWN,
                                               Q_DELETE_DAYS};
    struct db *db = db_of(ledger);
    enum status status = begin_savepoint(db, err);
    int64_t reports;

    if (status != ST_OK)
        return status;
    status = delete_reports(db, limits, &reports, err);
    for (size_t i = 0; i < ARRAY_COUNT(BY_DAY) && status == ST_OK; i++)
        status = db_change(db, BY_DAY[i], BIND(INT(limits->utc_day)), err);
    if (status == ST_OK)
        status = db_change(db, Q_DELETE_STARTED, BIND(INT(utc_day_of(limits->now_s))), err);
    if (status == ST_OK)
        status = db_change(db, Q_DELETE_SUPPRESSIONS, BIND(INT(suppressed_s)), err);
    status = end_savepoint(db, status, err);
    if (status == ST_OK)
        *count_out = reports;
    return status;
}

/* ---- mailboxes ---- */

static enum status sqlite_find_suppression(struct ledger *ledger, const char *address,
                                           struct ledger_suppression *suppression_out, struct err *err)
{
    int64_t found[2];
    enum status status = db_read(db_of(ledger), Q_SUPPRESSION, BIND(TEXT(address)), found, 2, err);

    if (status == ST_OK)
        *suppression_out = (struct ledger_suppression){found[0], found[1]};
    return status;
}

static enum status sqlite_set_suppression(struct ledger *ledger, const char *address,
                                          const struct ledger_suppression *suppression, const char *reason,
                                          struct err *err)
{
    return db_change(db_of(ledger), Q_SUPPRESS,
                     BIND(TEXT(address), INT(suppression->until_s), INT(suppression->strikes), TEXT(reason)),
                     err);
}

static enum status sqlite_unsuppress(struct ledger *ledger, const char *address, struct err *err)
{
    return db_change(db_of(ledger), Q_UNSUPPRESS, BIND(TEXT(address)), err);
}

static enum status sqlite_each_suppression(struct ledger *ledger, int64_t now_s, ledger_suppression_fn *fn,
                                           void *context, struct err *err)
{
    struct db *db = db_of(ledger);
    struct sqlite3_stmt *row = NULL;
    enum status status = db_query(db, Q_EACH_SUPPRESSION, BIND(INT(now_s)), &row, err);

    while (db_next(db, row, &status, err))
        status = fn(context, db_column_text(row, 0), db_column_int(row, 1), db_column_int(row, 2),
                    db_column_text(row, 3), err);
    return status;
}

/* ---- the method table ---- */

static const struct ledger_methods METHODS = {
    .close = sqlite_close,
    .begin = sqlite_begin,
    .commit = sqlite_commit,
    .rollback = sqlite_rollback,
    .find = sqlite_find,
    .add_report = sqlite_add_report,
    .add_skipped = sqlite_add_skipped,
    .add_waiting = sqlite_add_waiting,
    .each_skipped = sqlite_each_skipped,
    .each_waiting = sqlite_each_waiting,
    .close_day = sqlite_close_day,
    .day_is_closed = sqlite_day_is_closed,
    .each_closed_day = sqlite_each_closed_day,
    .each_report = sqlite_each_report,
    .read_report = sqlite_read_report,
    .each_open = sqlite_each_open,
    .make_due = sqlite_make_due,
    .read_page = sqlite_read_page,
    .each_budget = sqlite_each_budget,
    .add_known = sqlite_add_known,
    .each_delivery = sqlite_each_delivery,
    .each_delivery_of = sqlite_each_delivery_of,
    .next_due = sqlite_next_due,
    .mark_sending = sqlite_mark_sending,
    .put_back = sqlite_put_back,
    .record_result = sqlite_record_result,
    .recover = sqlite_recover,
    .count = sqlite_count,
    .delete_before = sqlite_delete_before,
    .find_suppression = sqlite_find_suppression,
    .set_suppression = sqlite_set_suppression,
    .unsuppress = sqlite_unsuppress,
    .each_suppression = sqlite_each_suppression,
};

enum status ledger_open(const char *path, enum ledger_mode mode, struct ledger **ledger_out, struct err *err)
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
