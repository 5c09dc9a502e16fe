/* SPDX-License-Identifier: MIT */
/*
 * pg.h - the few calls of libpq that the fleet needs, with our errors.  Only pg.c includes libpq-fe.h.
 *
 * A struct pg belongs to one thread.  It opens further connections by itself when a callback asks while a
 * reading is in progress (at most PG_CONNECTIONS_MAX).  Every wait has a limit.  Serialization failures
 * (40001), deadlocks (40P01) and lost connections are retried with backoff, for at most PG_RETRY_MS; a
 * statement must therefore be harmless when it is done twice.
 */
#ifndef FLEET_PG_H
#define FLEET_PG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "store/bind.h"

#define PG_CONNECTIONS_MAX 4
#define PG_INT_MAX         1000000000000000
#define PG_RETRY_MS        30000  /* how long failures are retried */
#define PG_ANSWER_MS       60000  /* longest wait for the answer to a change */
#define PG_READ_MS         600000 /* longest wait for the first row of a reading */

struct pg;
struct pg_row;

struct pg_settings {
    const char *conninfo; /* "postgresql://…", "host=… dbname=…" or "service=…"; holds no password */
    const char *password_file; /* "": none; else its first line */
    const char *first;         /* said first on each connection; NULL: nothing */
    const char *const *statements;
    size_t statement_count;
};

/*
 * Connect.  A remote host gets sslmode=verify-full unless the settings name one.
 * ST_CONFIG     the settings are wrong, hold a password, or name a database that does not exist
 * ST_DENIED     the server refused this user
 * ST_TEMPORARY  it cannot be reached now
 * ST_NOMEM
 */
MUST_CHECK enum status pg_open(const struct pg_settings *settings, struct pg **pg_out, struct err *err);
void pg_close(struct pg **pg);

/* ---- rows ---- */

/*
 * Columns (from 0) of a row; texts live until the callback returns.  "" and 0 for SQL NULL and for a column
 * that is not there.  A number is cut to PG_INT_MAX and -PG_INT_MAX, so that no sum of a few thousand
 * overflows whatever the database holds; what counts something is at least 0.
 */
const char *pg_text(const struct pg_row *row, int column);
int64_t pg_int(const struct pg_row *row, int column);
int64_t pg_count(const struct pg_row *row, int column);
bool pg_is_null(const struct pg_row *row, int column);

/* A bytea, copied into arena; NULL if memory is out. */
const void *pg_bytes(const struct pg_row *row, int column, struct arena *arena, size_t *len_out);

/* ---- statements by their number in the settings; for values and count write BIND(...) ---- */

/* A status other than ST_OK ends the reading and is returned. */
typedef enum status pg_row_fn(void *context, const struct pg_row *row, struct err *err);

/*
 * Read: run one statement outside a transaction and hand its rows over as they come.
 * ST_UNSUPPORTED  the tables are not there (see fleet_open)
 * ST_DENIED       this user may not
 * ST_TEMPORARY    no connection, or too many failures
 * ST_FULL         the server's disk is full
 * ST_INTERNAL     our SQL is wrong
 * ST_NOMEM
 */
MUST_CHECK enum status pg_query(struct pg *pg, size_t statement, const struct bind_value *values,
                                size_t count, pg_row_fn *fn, void *context, struct err *err);

/* Change: as pg_query; *rows_out (may be NULL): rows changed. */
MUST_CHECK enum status pg_change(struct pg *pg, size_t statement, const struct bind_value *values,
                                 size_t count, int64_t *rows_out, struct err *err);

/* Changes that happen together or not at all, gathered and then sent at once. */
struct pg_batch;

MUST_CHECK enum status pg_batch_new(struct pg_batch **batch_out, struct err *err);
void pg_batch_free(struct pg_batch **batch);
void pg_batch_reset(struct pg_batch *batch);
size_t pg_batch_count(const struct pg_batch *batch);
size_t pg_batch_bytes(const struct pg_batch *batch);

/*
 * Add one statement; everything is copied.  It must change at least least_rows rows, else the whole is rolled
 * back and pg_batch_run returns ST_BUSY.
 * ST_NOMEM
 */
MUST_CHECK enum status pg_batch_add(struct pg_batch *batch, size_t statement, const struct bind_value *values,
                                    size_t count, int64_t least_rows, struct err *err);

/*
 * One transaction of all of them; the batch is as it was.
 * ST_BUSY  a statement changed too few rows: nothing was done
 * else     as pg_query
 */
MUST_CHECK enum status pg_batch_run(struct pg *pg, struct pg_batch *batch, struct err *err);

/* Rows that the batch's last statement changed when pg_batch_run was last ST_OK. */
int64_t pg_batch_changed(const struct pg_batch *batch);

/* SQL of a migration, outside a transaction.  Statuses as pg_query. */
MUST_CHECK enum status pg_run(struct pg *pg, const char *sql, struct err *err);

/* A setting of the session as the server reports it ("server_encoding"); "" if unknown. */
const char *pg_server_setting(const struct pg *pg, const char *name);

#endif
