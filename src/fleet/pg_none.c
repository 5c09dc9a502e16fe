/* SPDX-License-Identifier: MIT */
/* In place of pg.c where libpq is not built in: there is no fleet. */
#include "pg.h"

static enum status refuse(struct err *err)
{
    return err_set(err, ST_CONFIG,
                   "fleet: this tlsrpt-gen was built without libpq; unset fleet, or install libpq's "
                   "development files and build it again (make WITH_PGSQL=yes)");
}

bool pg_is_supported(void)
{
    return false;
}

enum status pg_open(const struct pg_settings *settings, struct pg **pg_out, struct err *err)
{
    (void)settings;
    (void)pg_out;
    return refuse(err);
}

void pg_close(struct pg **pg)
{
    *pg = NULL;
}

void pg_add_text(struct pg_params *params, const char *text)
{
    (void)text;
    params->count = 0;
}

void pg_add_int(struct pg_params *params, int64_t value)
{
    (void)value;
    params->count = 0;
}

void pg_add_bytes(struct pg_params *params, const void *bytes, size_t len)
{
    (void)bytes;
    (void)len;
    params->count = 0;
}

const char *pg_text(const struct pg_row *row, int column)
{
    (void)row;
    (void)column;
    return "";
}

int64_t pg_int(const struct pg_row *row, int column)
{
    (void)row;
    (void)column;
    return 0;
}

int64_t pg_count(const struct pg_row *row, int column)
{
    (void)row;
    (void)column;
    return 0;
}

bool pg_is_null(const struct pg_row *row, int column)
{
    (void)row;
    (void)column;
    return true;
}

const void *pg_bytes(const struct pg_row *row, int column, struct arena *arena, size_t *len_out)
{
    (void)row;
    (void)column;
    (void)arena;
    *len_out = 0;
    return NULL;
}

enum status pg_query(struct pg *pg, size_t statement, const struct pg_params *params, pg_row_fn *fn,
                     void *context, int64_t *rows_out, struct err *err)
{
    (void)pg;
    (void)statement;
    (void)params;
    (void)fn;
    (void)context;
    if (rows_out != NULL)
        *rows_out = 0;
    return refuse(err);
}

enum status pg_batch_new(struct pg_batch **batch_out, struct err *err)
{
    (void)batch_out;
    return refuse(err);
}

void pg_batch_free(struct pg_batch **batch)
{
    *batch = NULL;
}

void pg_batch_reset(struct pg_batch *batch)
{
    (void)batch;
}

size_t pg_batch_count(const struct pg_batch *batch)
{
    (void)batch;
    return 0;
}

size_t pg_batch_bytes(const struct pg_batch *batch)
{
    (void)batch;
    return 0;
}

int64_t pg_batch_changed(const struct pg_batch *batch)
{
    (void)batch;
    return 0;
}

enum status pg_batch_add(struct pg_batch *batch, size_t statement, const struct pg_params *params,
                         int64_t least_rows, struct err *err)
{
    (void)batch;
    (void)statement;
    (void)params;
    (void)least_rows;
    return refuse(err);
}

enum status pg_batch_run(struct pg *pg, struct pg_batch *batch, struct err *err)
{
    (void)pg;
    (void)batch;
    return refuse(err);
}

enum status pg_run(struct pg *pg, const char *sql, struct err *err)
{
    (void)pg;
    (void)sql;
    return refuse(err);
}

const char *pg_server_setting(const struct pg *pg, const char *name)
{
    (void)pg;
    (void)name;
    return "";
}
