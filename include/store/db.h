/* SPDX-License-Identifier: MIT */
/*
 * db.h - the few calls of SQLite that the stores need, with our errors.  Only src/store/db.c includes
 * sqlite3.h; the stores and the fleet's push.db include this header.
 *
 * A database has a schema and a list of statements; each is compiled at its first use and freed by db_close.
 * A connection belongs to one thread.
 *
 * Unless said otherwise a function can return
 * ST_BUSY      somebody else held the lock for longer than the busy timeout
 * ST_FULL      disk full
 * ST_IO        errno is kept if it is known
 * ST_NOMEM
 * ST_INTERNAL  our SQL is wrong
 */
#ifndef STORE_DB_H
#define STORE_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "store/bind.h"

struct sqlite3;
struct sqlite3_stmt;

enum db_mode {
    DB_READ,          /* must exist; nothing is written */
    DB_WRITE,         /* made if missing, durably; then synchronous=NORMAL: a power cut can undo commits */
    DB_WRITE_DURABLE, /* made if missing; synchronous=FULL: a committed row survives a power cut */
};

struct db_schema {
    const char *const *migrations; /* migrations[v] leads from user_version v to v + 1 */
    int version;                   /* number of migrations = the version this program writes */
    const char *const *statements; /* all that are run by number */
    size_t statement_count;
};

struct db {
    struct sqlite3 *handle;
    const char *name; /* for error texts; borrowed from the handle */
    const struct db_schema *schema;
    struct sqlite3_stmt **statements; /* NULL: not compiled yet */
};

/*
 * Open path in WAL mode and bring it to schema's version, in one transaction.  A database of an unknown newer
 * version is left alone.  A new file gets mode 0640 less the umask; others lose every permission to an existing one.
 * ST_NOT_FOUND    DB_READ and no such file
 * ST_UNSUPPORTED  made by a newer program, or not a database
 * ST_BUSY         somebody else held it for longer than the busy timeout (10 s)
 * ST_FULL         disk full
 * ST_IO
 * ST_NOMEM
 */
MUST_CHECK enum status db_open(struct db *db, const char *path, enum db_mode mode,
                               const struct db_schema *schema, struct err *err);
void db_close(struct db *db);

/* Wait that long for somebody else's lock, instead of 10 s. */
void db_set_busy(struct db *db, int64_t busy_ms);

/* Run SQL that gives no rows and is in no list. */
MUST_CHECK enum status db_run(struct db *db, const char *sql, struct err *err);

/* BEGIN IMMEDIATE, COMMIT, ROLLBACK.  A rollback that finds no transaction is no error. */
MUST_CHECK enum status db_begin(struct db *db, struct err *err);
MUST_CHECK enum status db_commit(struct db *db, struct err *err);
void db_rollback(struct db *db);

/* Flush what was committed to the disk. */
MUST_CHECK enum status db_sync(const struct db *db, struct err *err);

/* ---- statements by their number in the schema; for values and count write BIND(...) ---- */

/* Run one that gives no rows. */
MUST_CHECK enum status db_change(struct db *db, size_t statement, const struct bind_value *values,
                                 size_t count, struct err *err);

/*
 * As db_change.
 * ST_NOT_FOUND  it changed no row; err is untouched
 */
MUST_CHECK enum status db_update(struct db *db, size_t statement, const struct bind_value *values,
                                 size_t count, struct err *err);

/* Rows changed by the last INSERT, UPDATE or DELETE; the id given by the last INSERT. */
int64_t db_changes(struct db *db);
int64_t db_last_id(struct db *db);

/*
 * Begin to read rows.  A reading is
 *     status = db_query(..., &row, err);
 *     while (db_next(db, row, &status, err))
 *         status = ...;
 * and ends with the first status that is not ST_OK; the end of the rows is ST_OK.
 */
MUST_CHECK enum status db_query(struct db *db, size_t statement, const struct bind_value *values,
                                size_t count, struct sqlite3_stmt **row_out, struct err *err);

/* Step to the next row; false, and the statement is reset, if there is none or *status is a failure. */
MUST_CHECK bool db_next(struct db *db, struct sqlite3_stmt *row, enum status *status, struct err *err);

/*
 * The first row.  It lives until the caller's db_reset, or until the statement is run again.
 * ST_NOT_FOUND  there is none; err is untouched
 */
MUST_CHECK enum status db_first(struct db *db, size_t statement, const struct bind_value *values,
                                size_t count, struct sqlite3_stmt **row_out, struct err *err);
void db_reset(struct sqlite3_stmt *row);

/*
 * The first columns of the first row, all of them numbers.
 * ST_NOT_FOUND  there is none; err is untouched
 */
MUST_CHECK enum status db_read(struct db *db, size_t statement, const struct bind_value *values, size_t count,
                               int64_t *numbers_out, int number_count, struct err *err);

/* Columns (from 0) of the current row; texts and blobs live until the next step or reset.  NULL for SQL NULL. */
int64_t db_column_int(struct sqlite3_stmt *row, int column);
const char *db_column_text(struct sqlite3_stmt *row, int column);
const void *db_column_blob(struct sqlite3_stmt *row, int column, size_t *len_out);

#endif
