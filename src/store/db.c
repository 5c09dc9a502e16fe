/* SPDX-License-Identifier: MIT */
/*
 * SQLite behind our errors: open and migrate, transactions, and one way to run a statement: it is compiled
 * when first used, bound, stepped and reset, so that its next use finds it ready.
 */
#include "store/db.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
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

    /* SQLite tries to open a file once more without creating it, and so forgets why it could not. */
    if ((code & 0xFF) == SQLITE_CANTOPEN && file_folder_is_full(db->name))
        sys_errno = ENOSPC;
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

static enum status prepare(struct db *db, const char *sql, struct sqlite3_stmt **statement_out,
                           struct err *err)
{
    int code = sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, statement_out, NULL);

    return code == SQLITE_OK ? ST_OK : fail(db, code, sql, err);
}

/* ST_OK: a row; ST_NOT_FOUND (err untouched): the end. */
static enum status step(struct db *db, struct sqlite3_stmt *row, struct err *err)
{
    int code = sqlite3_step(row);

    if (code == SQLITE_ROW)
        return ST_OK;
    return code == SQLITE_DONE ? ST_NOT_FOUND : fail(db, code, sqlite3_sql(row), err);
}

/* ---- open ---- */

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
    struct sqlite3_stmt *row = NULL;
    enum status status = prepare(db, "PRAGMA user_version", &row, err);

    if (status == ST_OK)
        status = step(db, row, err);
    if (status == ST_OK)
        *version_out = db_column_int(row, 0);
    (void)sqlite3_finalize(row);
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

/* Creating it waits for the disk: others (the ring) keep the database's identity from then on. */
static enum status configure(struct db *db, enum db_mode mode, struct err *err)
{
    enum status status = db_run(db, "PRAGMA trusted_schema = OFF; PRAGMA foreign_keys = ON", err);

    if (status == ST_OK && mode != DB_READ)
        status = db_run(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL", err);
    return status;
}

/* The database is of our version. */
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

/*
 * Take the permissions of others from a file, if we may.  O_PATH: closing another descriptor would drop SQLite's
 * locks; O_NOFOLLOW: root must not change what the owner of the folder puts a link to.
 */
static void make_private(const char *name)
{
    int fd = open(name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    char by_number[32];
    struct stat file;

    if (fd < 0)
        return;
    (void)snprintf(by_number, sizeof by_number, "/proc/self/fd/%d", fd);
    if (fstat(fd, &file) == 0 && S_ISREG(file.st_mode) && (file.st_mode & S_IRWXO) != 0)
        (void)chmod(by_number, file.st_mode & 07770);
    (void)close(fd);
}

/* Not world-readable, whatever the umask: SQLite gives its other files the permissions of the database. */
static void keep_private(const char *path)
{
    static const char *const SUFFIXES[] = {"", "-wal", "-shm"};
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);

    if (fd >= 0)
        (void)close(fd);
    for (size_t i = 0; i < ARRAY_COUNT(SUFFIXES); i++) {
        char name[PATH_MAX];

        (void)snprintf(name, sizeof name, "%s%s", path, SUFFIXES[i]);
        make_private(name);
    }
}

enum status db_open(struct db *db, const char *path, enum db_mode mode, const struct db_schema *schema,
                    struct err *err)
{
    struct db opened = {.name = path, .schema = schema};
    int flags = mode == DB_READ ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    enum status status;
    int code;

    if (mode == DB_READ && access(path, F_OK) != 0)
        return err_set_errno(err, errno == ENOENT ? ST_NOT_FOUND : ST_IO, errno, "open %s", path);
    opened.statements = calloc(schema->statement_count, sizeof(struct sqlite3_stmt *));
    if (opened.statements == NULL)
        return err_set(err, ST_NOMEM, "%s: out of memory", path);
    if (mode != DB_READ)
        keep_private(path);
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); /* statistics would cost a lock at every allocation */
    code = sqlite3_open_v2(path, &opened.handle, flags | SQLITE_OPEN_NOMUTEX, NULL);
    if (code != SQLITE_OK) {
        status = fail(&opened, code, "open", err);
        db_close(&opened);
        return status;
    }
    opened.name = sqlite3_db_filename(opened.handle, "main");
    (void)sqlite3_busy_timeout(opened.handle, BUSY_TIMEOUT_MS);
    (void)sqlite3_extended_result_codes(opened.handle, 1);
    status = prepare_database(&opened, mode, schema, err);
    if (status == ST_OK)
        status = settle(&opened, mode, err);
    if (status == ST_OK)
        *db = opened;
    else
        db_close(&opened);
    return status;
}

void db_close(struct db *db)
{
    for (size_t i = 0; i < db->schema->statement_count; i++)
        (void)sqlite3_finalize(db->statements[i]);
    free(db->statements);
    (void)sqlite3_close(db->handle);
    *db = (struct db){.handle = NULL};
}

void db_set_busy(struct db *db, int64_t busy_ms)
{
    (void)sqlite3_busy_timeout(db->handle, (int)busy_ms);
}

/* ---- statements ---- */

static void bind_one(struct sqlite3_stmt *row, int index, const struct bind_value *value)
{
    switch (value->kind) {
    case BIND_INT:
        (void)sqlite3_bind_int64(row, index, value->as.number);
        break;
    case BIND_TEXT:
        (void)sqlite3_bind_text(row, index, value->as.text, -1, SQLITE_STATIC);
        break;
    case BIND_BYTES:
    default:
        (void)sqlite3_bind_blob64(row, index, value->as.bytes, value->len, SQLITE_STATIC);
        break;
    }
}

enum status db_query(struct db *db, size_t statement, const struct bind_value *values, size_t count,
                     struct sqlite3_stmt **row_out, struct err *err)
{
    struct sqlite3_stmt **row = &db->statements[statement];
    enum status status = *row == NULL ? prepare(db, db->schema->statements[statement], row, err) : ST_OK;

    if (status != ST_OK)
        return status;
    if (sqlite3_stmt_busy(*row) != 0)
        db_reset(*row); /* its last reader wanted one row, and to keep it */
    for (size_t i = 0; i < count; i++)
        bind_one(*row, (int)i + 1, &values[i]);
    *row_out = *row;
    return ST_OK;
}

bool db_next(struct db *db, struct sqlite3_stmt *row, enum status *status, struct err *err)
{
    if (*status == ST_OK) {
        *status = step(db, row, err);
        if (*status == ST_OK)
            return true;
        if (*status == ST_NOT_FOUND)
            *status = ST_OK;
    }
    db_reset(row);
    return false;
}

enum status db_first(struct db *db, size_t statement, const struct bind_value *values, size_t count,
                     struct sqlite3_stmt **row_out, struct err *err)
{
    struct sqlite3_stmt *row = NULL;
    enum status status = db_query(db, statement, values, count, &row, err);

    if (status == ST_OK)
        status = step(db, row, err);
    if (status == ST_OK)
        *row_out = row;
    else
        db_reset(row);
    return status;
}

enum status db_read(struct db *db, size_t statement, const struct bind_value *values, size_t count,
                    int64_t *numbers_out, int number_count, struct err *err)
{
    struct sqlite3_stmt *row = NULL;
    enum status status = db_first(db, statement, values, count, &row, err);

    if (status != ST_OK)
        return status;
    for (int i = 0; i < number_count; i++)
        numbers_out[i] = db_column_int(row, i);
    db_reset(row);
    return ST_OK;
}

enum status db_change(struct db *db, size_t statement, const struct bind_value *values, size_t count,
                      struct err *err)
{
    struct sqlite3_stmt *row = NULL;
    enum status status = db_first(db, statement, values, count, &row, err);

    if (status != ST_OK)
        return status == ST_NOT_FOUND ? ST_OK : status;
    status = err_set(err, ST_INTERNAL, "%s: a row came from: %s", db->name, sqlite3_sql(row));
    db_reset(row);
    return status;
}

enum status db_update(struct db *db, size_t statement, const struct bind_value *values, size_t count,
                      struct err *err)
{
    enum status status = db_change(db, statement, values, count, err);

    return status == ST_OK && db_changes(db) == 0 ? ST_NOT_FOUND : status;
}

/* What is bound stays; the next use binds all parameters again. */
void db_reset(struct sqlite3_stmt *row)
{
    (void)sqlite3_reset(row);
}

int64_t db_column_int(struct sqlite3_stmt *row, int column)
{
    return sqlite3_column_int64(row, column);
}

const char *db_column_text(struct sqlite3_stmt *row, int column)
{
    return (const char *)sqlite3_column_text(row, column);
}

const void *db_column_blob(struct sqlite3_stmt *row, int column, size_t *len_out)
{
    const void *bytes = sqlite3_column_blob(row, column);

    *len_out = (size_t)sqlite3_column_bytes(row, column);
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
