/* SPDX-License-Identifier: MIT */
/*
 * db.h - the few calls of SQLite that the stores need, with our errors.  Only src/store/db.c includes
 * sqlite3.h; only src/store includes this header.
 *
 * A connection belongs to one thread.  Values are always bound, never pasted into SQL.
 */
#ifndef STORE_DB_H
#define STORE_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct sqlite3;
struct sqlite3_stmt;

enum db_mode {
    DB_READ,          /* must exist; nothing is written */
    DB_WRITE,         /* made if missing, durably; then synchronous=NORMAL: a power cut can undo commits */
    DB_WRITE_DURABLE, /* made if missing; synchronous=FULL: a committed row survives a power cut */
};

/* One schema version's SQL: migrations[v] leads from user_version v to v + 1. */
struct db_schema {
    const char *const *migrations;
    int version; /* number of migrations = the version this program writes */
};

struct db {
    struct sqlite3 *handle;
    const char *name; /* for error texts; borrowed from the handle */
};

/*
 * Open path in WAL mode and bring it to schema's version, in one transaction.  A database of an unknown newer
 * version is left alone.
 * ST_NOT_FOUND    DB_READ and no such file
 * ST_UNSUPPORTED  made by a newer program, or not a database
 * ST_BUSY         somebody else held it for longer than the busy timeout (10 s)
 * ST_FULL         disk full
 * ST_IO, ST_NOMEM
 */
MUST_CHECK enum status db_open(struct db *db, const char *path, enum db_mode mode,
                               const struct db_schema *schema, struct err *err);
void db_close(struct db *db);

/* Wait that long for somebody else's lock, instead of 10 s. */
void db_set_busy(struct db *db, int64_t busy_ms);

/* Run SQL that gives no rows.  Statuses as db_step. */
MUST_CHECK enum status db_run(struct db *db, const char *sql, struct err *err);

/* BEGIN IMMEDIATE, COMMIT, ROLLBACK.  A rollback that finds no transaction is no error. */
MUST_CHECK enum status db_begin(struct db *db, struct err *err);
MUST_CHECK enum status db_commit(struct db *db, struct err *err);
void db_rollback(struct db *db);

/* Flush what was committed to the disk.  ST_IO. */
MUST_CHECK enum status db_sync(const struct db *db, struct err *err);

/* Compile; the statement is freed with db_finalise (NULL is fine) before db_close. */
MUST_CHECK enum status db_prepare(struct db *db, const char *sql, struct sqlite3_stmt **statement_out,
                                  struct err *err);
void db_finalise(struct sqlite3_stmt **statement);

/* Bind parameter index (from 1).  Texts and blobs are borrowed until the next db_reset; NULL text is SQL
 * NULL. */
void db_bind_int(struct sqlite3_stmt *statement, int index, int64_t value);
void db_bind_text(struct sqlite3_stmt *statement, int index, const char *text);
void db_bind_blob(struct sqlite3_stmt *statement, int index, const void *bytes, size_t len);

/*
 * Next row: ST_OK with a row to read, ST_NOT_FOUND at the end (err untouched).
 * ST_BUSY, ST_FULL (disk), ST_IO (errno kept if known), ST_NOMEM, ST_INTERNAL (our SQL is wrong)
 */
MUST_CHECK enum status db_step(struct db *db, struct sqlite3_stmt *statement, struct err *err);

/* Step once, expecting no row, then reset. */
MUST_CHECK enum status db_step_done(struct db *db, struct sqlite3_stmt *statement, struct err *err);

/* Ready for the next bind and step. */
void db_reset(struct sqlite3_stmt *statement);

/* Columns (from 0) of the current row; texts and blobs live until the next step or reset.  NULL for SQL NULL.
 */
int64_t db_column_int(struct sqlite3_stmt *statement, int column);
const char *db_column_text(struct sqlite3_stmt *statement, int column);
const void *db_column_blob(struct sqlite3_stmt *statement, int column, size_t *len_out);

/* Rows changed by the last INSERT, UPDATE or DELETE; the id given by the last INSERT. */
int64_t db_changes(struct db *db);
int64_t db_last_id(struct db *db);

#endif
