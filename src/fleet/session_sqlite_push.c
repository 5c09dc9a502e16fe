/* SPDX-License-Identifier: MIT */
/*
 * sessions.db row by row, as numbers.  All of a push reads one snapshot: a transaction that is only read from.
 */
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

enum status session_push_begin(struct session_reader *reader, struct err *err)
{
    struct db *db = session_sqlite_db(reader);
    struct session_mark mark;
    enum status status = db_run(db, "BEGIN", err);

    if (status == ST_OK)
        status = session_reader_get_mark(reader, &mark, err); /* the snapshot is that of the first reading */
    if (status == ST_OK) /* what is sent must never be lost here: counted again, it would be sent twice */
        status = db_sync(db, err);
    if (status != ST_OK)
        db_rollback(db);
    return status;
}

void session_push_end(struct session_reader *reader)
{
    db_rollback(session_sqlite_db(reader));
}

enum status session_push_each(struct session_reader *reader, enum session_push_kind kind, int32_t from_day,
                              session_push_fn *fn, void *context, struct err *err)
{
    struct db *db = session_sqlite_db(reader);
    struct sqlite3_stmt *row = NULL;
    enum status status = db_query(db, KINDS[kind].walk, BIND(INT(from_day)), &row, err);

    while (db_next(db, row, &status, err)) {
        const struct session_push_row pushed = {
            .kind = kind,
            .domain = db_column_text(row, 0),
            .domain_id = db_column_int(row, 1),
            .utc_day = (int32_t)db_column_int(row, 2),
            .policy_id = db_column_int(row, 3),
            .item_id = db_column_int(row, 4),
            .a = db_column_int(row, 5),
            .b = db_column_int(row, 6),
        };

        status = fn(context, &pushed, err);
    }
    return status;
}

enum status session_push_texts(struct session_reader *reader, const struct session_push_row *row,
                               enum session_push_kind kind, const char *texts_out[SESSION_PUSH_TEXTS],
                               struct err *err)
{
    const struct bind_value keys[] = {
        INT(row->domain_id),
        INT(kind == PUSH_TALLY    ? row->policy_id
            : kind == PUSH_DETAIL ? row->item_id
                                  : row->utc_day),
        INT(row->item_id),
    };
    struct db *db = session_sqlite_db(reader);
    struct sqlite3_stmt *found = NULL;
    enum status status = db_first(db, KINDS[kind].texts, keys, kind == PUSH_RECORD ? 3 : 2, &found, err);

    if (status == ST_NOT_FOUND)
        status = err_set(err, ST_INTERNAL, "%s: the texts of a row of %s are missing", db->name, row->domain);
    for (int i = 0; status == ST_OK && i < KINDS[kind].text_count; i++) {
        texts_out[i] = db_column_text(found, i);
        if (texts_out[i] == NULL) /* no column may be NULL; a number needs memory to become a text */
            status = err_set(err, ST_NOMEM, "%s: out of memory", db->name);
    }
    return status;
}
