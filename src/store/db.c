/* SPDX-License-Identifier: MIT */
#include "store/db.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

#define BUSY_TIMEOUT_MS 10000

static enum status status_of(int code)
{
    switch (code & 0xFF) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ST_BUSY;
    case SQLITE_FULL:
        return ST_FULL;
    case SQLITE_NOMEM:
        return ST_NOMEM;
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        return ST_UNSUPPORTED;
    case SQLITE_ERROR:
    case SQLITE_MISUSE:
    case SQLITE_RANGE:
    case SQLITE_MISMATCH:
    case SQLITE_CONSTRAINT:
        return ST_INTERNAL;
    default:
        return ST_IO;
    }
}

static enum status fail(struct db *db, int code, const char *doing, struct err *err)
{
    int sys_errno = db->handle != NULL ? sqlite3_system_errno(db->handle) : 0;
    const char *words = db->handle != NULL ? sqlite3_errmsg(db->handle) : sqlite3_errstr(code);

    if (status_of(code) == ST_IO && sys_errno == ENOSPC)
        return err_set_errno(err, ST_FULL, sys_errno, "%s: %s: %s", db->name, doing, words);
    if (status_of(code) == ST_IO && sys_errno != 0)
        return err_set_errno(err, ST_IO, sys_errno, "%s: %s: %s", db->name, doing, words);
    return err_set(err, status_of(code), "%s: %s: %s", db->name, doing, words);
}

enum status db_run(struct db *db, const char *sql, struct err *err)
{
    int code = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);

    return code == SQLITE_OK ? ST_OK : fail(db, code, sql, err);
}

enum status db_begin(struct db *db, struct err *err)
{
    return db_run(db, "BEGIN IMMEDIATE", err);
}

enum status db_commit(struct db *db, struct err *err)
{
    return db_run(db, "COMMIT", err);
}

void db_rollback(struct db *db)
{
    if (sqlite3_get_autocommit(db->handle) == 0)
        (void)sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
}

/* Commits are in the write-ahead log until a checkpoint, which flushes by itself. */
enum status db_sync(const struct db *db, struct err *err)
{
    char path[PATH_MAX];
    enum status status = ST_OK;
    int fd;

    (void)snprintf(path, sizeof path, "%.*s-wal", (int)sizeof path - 8, db->name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? ST_OK : err_set_errno(err, ST_IO, errno, "open %s", path);
    if (fdatasync(fd) != 0)
        status = err_set_errno(err, ST_IO, errno, "flush %s", path);
    (void)close(fd);
    return status;
}

static enum status read_version(struct db *db, int64_t *version_out, struct err *err)
{
    struct sqlite3_stmt *statement = NULL;
    enum status status = db_prepare(db, "PRAGMA user_version", &statement, err);

    if (status == ST_OK)
        status = db_step(db, statement, err);
    if (status == ST_OK)
        *version_out = db_column_int(statement, 0);
    db_finalise(&statement);
    return status;
}

static enum status refuse_version(struct db *db, int64_t version, int known, struct err *err)
{
    return err_set(
        err, ST_UNSUPPORTED,
        "%s: schema version %lld is newer than this program knows (%d); install the version of tlsrpt-gen "
        "that wrote it",
        db->name, (long long)version, known);
}

/* Every missing migration and the new version number in one transaction. */
static enum status migrate(struct db *db, const struct db_schema *schema, struct err *err)
{
    int64_t version = 0;
    enum status status = db_begin(db, err);

    if (status == ST_OK)
        status = read_version(db, &version, err);
    if (status == ST_OK && version > schema->version)
        status = refuse_version(db, version, schema->version, err);
    for (int64_t v = version; status == ST_OK && v < schema->version; v++) {
        char sql[64];

        status = db_run(db, schema->migrations[v], err);
        (void)sqlite3_snprintf(sizeof sql, sql, "PRAGMA user_version = %lld", (long long)v + 1);
        if (status == ST_OK)
            status = db_run(db, sql, err);
    }
    if (status == ST_OK)
        status = db_commit(db, err);
    if (status != ST_OK)
        db_rollback(db);
    return status;
}

/* Whoever creates the database waits for the disk: others (the ring) keep its identity from then on. */
static enum status configure(struct db *db, enum db_mode mode, struct err *err)
{
    enum status status = db_run(db, "PRAGMA trusted_schema = OFF; PRAGMA foreign_keys = ON", err);

    if (status == ST_OK && mode != DB_READ)
        status = db_run(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL", err);
    return status;
}

/* The database is open, and of our version. */
static enum status settle(struct db *db, enum db_mode mode, struct err *err)
{
    enum status status = mode == DB_READ ? ST_OK : file_sync_folder(db->name, err);

    if (status == ST_OK && mode == DB_WRITE)
        status = db_run(db, "PRAGMA synchronous = NORMAL", err);
    return status;
}

static enum status prepare_database(struct db *db, enum db_mode mode, const struct db_schema *schema,
                                    struct err *err)
{
    int64_t version = 0;
    enum status status = configure(db, mode, err);

    if (status == ST_OK)
        status = read_version(db, &version, err);
    if (status != ST_OK)
        return status;
    if (version > schema->version)
        return refuse_version(db, version, schema->version, err);
    if (version == schema->version)
        return ST_OK;
    if (mode == DB_READ)
        return err_set(err, ST_UNSUPPORTED,
                       "%s: schema version %lld is older than this program's (%d); a run of "
                       "tlsrpt-gen or its collector brings it up to date",
                       db->name, (long long)version, schema->version);
    return migrate(db, schema, err);
}

enum status db_open(struct db *db, const char *path, enum db_mode mode, const struct db_schema *schema,
                    struct err *err)
{
    struct db opened = {.handle = NULL, .name = path};
    int flags = mode == DB_READ ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    enum status status;
    int code;

    if (mode == DB_READ && access(path, F_OK) != 0)
        return err_set_errno(err, errno == ENOENT ? ST_NOT_FOUND : ST_IO, errno, "open %s", path);
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); /* statistics would cost a lock at every allocation */
    code = sqlite3_open_v2(path, &opened.handle, flags | SQLITE_OPEN_NOMUTEX, NULL);
    if (code != SQLITE_OK) {
        status = fail(&opened, code, "open", err);
        (void)sqlite3_close(opened.handle);
        return status;
    }
    opened.name = sqlite3_db_filename(opened.handle, "main");
    (void)sqlite3_busy_timeout(opened.handle, BUSY_TIMEOUT_MS);
    (void)sqlite3_extended_result_codes(opened.handle, 1);
    status = prepare_database(&opened, mode, schema, err);
    if (status == ST_OK)
        status = settle(&opened, mode, err);
    if (status != ST_OK) {
        db_close(&opened);
        return status;
    }
    *db = opened;
    return ST_OK;
}

void db_close(struct db *db)
{
    (void)sqlite3_close(db->handle);
    db->handle = NULL;
}

void db_set_busy(struct db *db, int64_t busy_ms)
{
    (void)sqlite3_busy_timeout(db->handle, (int)busy_ms);
}

enum status db_prepare(struct db *db, const char *sql, struct sqlite3_stmt **statement_out, struct err *err)
{
    int code = sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, statement_out, NULL);

    return code == SQLITE_OK ? ST_OK : fail(db, code, sql, err);
}

void db_finalise(struct sqlite3_stmt **statement)
{
    (void)sqlite3_finalize(*statement);
    *statement = NULL;
}

void db_bind_int(struct sqlite3_stmt *statement, int index, int64_t value)
{
    (void)sqlite3_bind_int64(statement, index, value);
}

void db_bind_text(struct sqlite3_stmt *statement, int index, const char *text)
{
    (void)sqlite3_bind_text(statement, index, text, -1, SQLITE_STATIC);
}

void db_bind_blob(struct sqlite3_stmt *statement, int index, const void *bytes, size_t len)
{
    (void)sqlite3_bind_blob64(statement, index, bytes, len, SQLITE_STATIC);
}

enum status db_step(struct db *db, struct sqlite3_stmt *statement, struct err *err)
{
    int code = sqlite3_step(statement);

    if (code == SQLITE_ROW)
        return ST_OK;
    if (code == SQLITE_DONE)
        return ST_NOT_FOUND;
    return fail(db, code, sqlite3_sql(statement), err);
}

enum status db_step_done(struct db *db, struct sqlite3_stmt *statement, struct err *err)
{
    enum status status = db_step(db, statement, err);

    if (status == ST_OK)
        status = err_set(err, ST_INTERNAL, "%s: a row came from: %s", db->name, sqlite3_sql(statement));
    db_reset(statement);
    return status == ST_NOT_FOUND ? ST_OK : status;
}

void db_reset(struct sqlite3_stmt *statement)
{
    (void)sqlite3_reset(statement);
    (void)sqlite3_clear_bindings(statement);
}

int64_t db_column_int(struct sqlite3_stmt *statement, int column)
{
    return sqlite3_column_int64(statement, column);
}

const char *db_column_text(struct sqlite3_stmt *statement, int column)
{
    return (const char *)sqlite3_column_text(statement, column);
}

const void *db_column_blob(struct sqlite3_stmt *statement, int column, size_t *len_out)
{
    const void *bytes = sqlite3_column_blob(statement, column);

    *len_out = (size_t)sqlite3_column_bytes(statement, column);
    return bytes;
}

int64_t db_changes(struct db *db)
{
    return sqlite3_changes64(db->handle);
}

int64_t db_last_id(struct db *db)
{
    return sqlite3_last_insert_rowid(db->handle);
}
