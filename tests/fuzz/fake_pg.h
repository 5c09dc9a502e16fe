/* SPDX-License-Identifier: MIT */
/*
 * fake_pg.h - in place of pg.c: a database that the test makes up, without libpq.  Whoever includes it defines
 * fake_pg_read and fake_pg_change.
 */
#ifndef TESTS_FUZZ_FAKE_PG_H
#define TESTS_FUZZ_FAKE_PG_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "fleet/fleet_sql.h"
#include "fleet/pg.h"

#define FAKE_PG_COLUMNS 16
#define FAKE_PG_BATCH   4096

struct pg {
    const char *const *statements;
};

struct pg_row {
    const char *values[FAKE_PG_COLUMNS]; /* NULL: SQL NULL */
    int count;
};

/* Values as texts, which live in the batch. */
struct fake_pg_change {
    size_t statement;
    const char *values[FAKE_PG_COLUMNS];
    int count;
};

struct pg_batch {
    struct arena arena;
    struct fake_pg_change changes[FAKE_PG_BATCH];
    size_t count;
};

/* As pg_query, for a statement that reads or changes. */
static enum status fake_pg_read(size_t statement, pg_row_fn *fn, void *context, int64_t *rows_out,
                                struct err *err);

/* As pg_batch_run. */
static enum status fake_pg_change(const struct pg_batch *batch, struct err *err);

enum status pg_open(const struct pg_settings *settings, struct pg **pg_out, struct err *err)
{
    struct pg *pg = calloc(1, sizeof *pg);

    if (pg == NULL)
        return err_set(err, ST_NOMEM, "fleet: out of memory");
    pg->statements = settings->statements;
    *pg_out = pg;
    return ST_OK;
}

void pg_close(struct pg **pg)
{
    free(*pg);
    *pg = NULL;
}

const char *pg_server_setting(const struct pg *pg, const char *name)
{
    (void)pg;
    return strcmp(name, "server_encoding") == 0 ? "UTF8" : "";
}

bool pg_is_null(const struct pg_row *row, int column)
{
    return column >= row->count || row->values[column] == NULL;
}

const char *pg_text(const struct pg_row *row, int column)
{
    return pg_is_null(row, column) ? "" : row->values[column];
}

int64_t pg_int(const struct pg_row *row, int column)
{
    long long number = strtoll(pg_text(row, column), NULL, 10);

    return number > PG_INT_MAX ? PG_INT_MAX : number < -PG_INT_MAX ? -PG_INT_MAX : number;
}

int64_t pg_count(const struct pg_row *row, int column)
{
    return pg_int(row, column) > 0 ? pg_int(row, column) : 0;
}

const void *pg_bytes(const struct pg_row *row, int column, struct arena *arena, size_t *len_out)
{
    const char *text = pg_text(row, column);

    *len_out = strlen(text);
    return arena_copy_text(arena, text, *len_out);
}

enum status pg_query(struct pg *pg, size_t statement, const struct bind_value *values, size_t count,
                     pg_row_fn *fn, void *context, struct err *err)
{
    (void)values;
    if (statement >= FLEET_STATEMENT_COUNT || pg->statements[statement] == NULL || count > FAKE_PG_COLUMNS)
        abort();
    return fake_pg_read(statement, fn, context, NULL, err);
}

enum status pg_change(struct pg *pg, size_t statement, const struct bind_value *values, size_t count,
                      int64_t *rows_out, struct err *err)
{
    (void)values;
    if (statement >= FLEET_STATEMENT_COUNT || pg->statements[statement] == NULL || count > FAKE_PG_COLUMNS)
        abort();
    return fake_pg_read(statement, NULL, NULL, rows_out, err);
}

enum status pg_run(struct pg *pg, const char *sql, struct err *err)
{
    (void)pg;
    (void)err;
    return *sql != '\0' ? ST_OK : ST_INTERNAL;
}

enum status pg_batch_new(struct pg_batch **batch_out, struct err *err)
{
    struct pg_batch *batch = calloc(1, sizeof *batch);

    if (batch == NULL)
        return err_set(err, ST_NOMEM, "fleet: out of memory");
    arena_init(&batch->arena, (size_t)64 << 20);
    *batch_out = batch;
    return ST_OK;
}

void pg_batch_free(struct pg_batch **batch)
{
    if (*batch == NULL)
        return;
    arena_done(&(*batch)->arena);
    free(*batch);
    *batch = NULL;
}

void pg_batch_reset(struct pg_batch *batch)
{
    arena_reset(&batch->arena);
    batch->count = 0;
}

size_t pg_batch_count(const struct pg_batch *batch)
{
    return batch->count;
}

size_t pg_batch_bytes(const struct pg_batch *batch)
{
    return batch->arena.used_bytes;
}

int64_t pg_batch_changed(const struct pg_batch *batch)
{
    return (int64_t)batch->count;
}

static const char *fake_pg_text(struct arena *arena, const struct bind_value *value)
{
    if (value->kind == BIND_INT)
        return arena_format(arena, "%lld", (long long)value->as.number);
    if (value->kind == BIND_TEXT)
        return arena_copy_text(arena, value->as.text, strlen(value->as.text));
    return arena_copy_text(arena, value->as.bytes, value->len);
}

enum status pg_batch_add(struct pg_batch *batch, size_t statement, const struct bind_value *values,
                         size_t count, int64_t least_rows, struct err *err)
{
    struct fake_pg_change *change = &batch->changes[batch->count];

    (void)least_rows;
    if (batch->count == FAKE_PG_BATCH)
        return err_set(err, ST_NOMEM, "fleet: out of memory");
    change->statement = statement;
    change->count = (int)count;
    for (size_t i = 0; i < count; i++) {
        change->values[i] = fake_pg_text(&batch->arena, &values[i]);
        if (change->values[i] == NULL)
            return err_set(err, ST_NOMEM, "fleet: out of memory");
    }
    batch->count++;
    return ST_OK;
}

enum status pg_batch_run(struct pg *pg, struct pg_batch *batch, struct err *err)
{
    (void)pg;
    return batch->count > 0 ? fake_pg_change(batch, err) : ST_OK;
}

#endif
