/* SPDX-License-Identifier: MIT */
#include "session_push.h"
#include "store/session_sqlite.h"

static const struct {
    enum session_statement walk;
    enum session_statement texts;
    int text_count;
} KINDS[PUSH_KIND_COUNT] = {
    [PUSH_TALLY] = {SQL_PUSH_TALLIES, SQL_PUSH_POLICY, 4},
    [PUSH_DETAIL] = {SQL_PUSH_DETAILS, SQL_PUSH_DETAIL, 7},
    [PUSH_RECORD] = {SQL_PUSH_RECORDS, SQL_PUSH_RECORD, 1},
};

enum status session_push_begin(struct session_store *store, struct err *err)
{
    struct session_sqlite *sqlite = session_sqlite_of(store);
    struct session_mark mark;
    enum status status = db_run(&sqlite->db, "BEGIN", err);

    if (status == ST_OK)
        status = session_store_get_mark(store, &mark, err); /* the moment is that of the first reading */
    if (status ==
        ST_OK) /* what others were given must never be lost, or it would be counted and given twice */
        status = db_sync(&sqlite->db, err);
    if (status != ST_OK)
        db_rollback(&sqlite->db);
    return status;
}

void session_push_end(struct session_store *store)
{
    db_rollback(&session_sqlite_of(store)->db);
}

enum status session_push_each(struct session_store *store, enum session_push_kind kind, int32_t from_day,
                              session_push_fn *fn, void *context, struct err *err)
{
    struct session_sqlite *sqlite = session_sqlite_of(store);
    struct sqlite3_stmt *statement;
    bool has_row;
    enum status status = session_sqlite_get(sqlite, KINDS[kind].walk, &statement, err);

    if (status != ST_OK)
        return status;
    db_bind_int(statement, 1, from_day);
    while ((status = session_sqlite_next(sqlite, statement, &has_row, err)) == ST_OK && has_row) {
        const struct session_push_row row = {
            .kind = kind,
            .domain = db_column_text(statement, 0),
            .domain_id = db_column_int(statement, 1),
            .utc_day = (int32_t)db_column_int(statement, 2),
            .policy_id = db_column_int(statement, 3),
            .item_id = db_column_int(statement, 4),
            .a = db_column_int(statement, 5),
            .b = db_column_int(statement, 6),
        };

        status = fn(context, &row, err);
        if (status != ST_OK)
            break;
    }
    db_reset(statement);
    return status;
}

enum status session_push_texts(struct session_store *store, const struct session_push_row *row,
                               enum session_push_kind kind, const char *texts_out[SESSION_PUSH_TEXTS],
                               struct err *err)
{
    struct session_sqlite *sqlite = session_sqlite_of(store);
    struct sqlite3_stmt *statement;
    enum status status = session_sqlite_get(sqlite, KINDS[kind].texts, &statement, err);

    if (status != ST_OK)
        return status;
    db_reset(statement); /* the last call's texts end here */
    db_bind_int(statement, 1, row->domain_id);
    db_bind_int(statement, 2,
                kind == PUSH_TALLY    ? row->policy_id
                : kind == PUSH_DETAIL ? row->item_id
                                      : row->utc_day);
    if (kind == PUSH_RECORD)
        db_bind_int(statement, 3, row->item_id);
    status = db_step(&sqlite->db, statement, err);
    if (status == ST_NOT_FOUND)
        status = err_set(err, ST_INTERNAL, "%s: the texts of a row of %s are missing", sqlite->db.name,
                         row->domain);
    for (int i = 0; status == ST_OK && i < KINDS[kind].text_count; i++) {
        texts_out[i] = db_column_text(statement, i);
        if (texts_out[i] == NULL) /* no column may be NULL; a number needs memory to become a text */
            status = err_set(err, ST_NOMEM, "%s: out of memory", sqlite->db.name);
    }
    return status;
}
