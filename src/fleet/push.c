/* SPDX-License-Identifier: MIT */
/*
 * One push:
 * 1. a snapshot of sessions.db is taken; what is different about it (another store, another instance) is noted
 * 2. rows that an earlier instance was given and that the database may lack are sent again as they are
 * 3. rows that have grown are given to the present instance, and sent
 * 4. only then: this instance is complete through the snapshot's mark, and earlier ones have ended
 * Rows go in parts; for each, push.db has the part's number before it is sent and learns afterwards that it
 * arrived.
 */
#include "push.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "pg_array.h"
#include "session_push.h"
#include "store/db.h"

#define PART_ROWS      4000
#define PART_BYTES     (4u << 20)
#define ARRAY_BYTES    (64u << 20)
#define COLUMNS_MAX    10
#define CONTENT_BYTES  (4u << 20)
#define KEEP_INSTANCES 1000
#define DAYS_MAX       40 /* max_age_days is at most 30 */

static const char *const MIGRATIONS[] = {
    "CREATE TABLE state (only INTEGER PRIMARY KEY CHECK (only = 1), owner TEXT NOT NULL, store_id TEXT NOT "
    "NULL,"
    "  ring_sequence INTEGER NOT NULL, stored INTEGER NOT NULL, from_day INTEGER NOT NULL,"
    "  part INTEGER NOT NULL, acked INTEGER NOT NULL) STRICT;"
    "INSERT INTO state VALUES (1, lower(hex(randomblob(16))), '', -1, -1, 0, 0, 0);"
    "CREATE TABLE instance (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, ended INTEGER NOT NULL) "
    "STRICT;"
    "CREATE TABLE pushed (domain_id INTEGER, utc_day INTEGER, kind INTEGER, policy_id INTEGER, item_id "
    "INTEGER,"
    "  a INTEGER NOT NULL, b INTEGER NOT NULL, own_a INTEGER NOT NULL, own_b INTEGER NOT NULL,"
    "  instance INTEGER NOT NULL, part INTEGER NOT NULL,"
    "  PRIMARY KEY (domain_id, utc_day, kind, policy_id, item_id)) STRICT, WITHOUT ROWID;",
};
enum push_query {
    Q_READ_STATE,
    Q_SET_STATE,
    Q_SET_PART,
    Q_ADD_INSTANCE,
    Q_FIND_INSTANCE,
    Q_INSTANCE_ID,
    Q_OLD_INSTANCES,
    Q_END_INSTANCES,
    Q_FORGET_INSTANCES,
    Q_FIND,
    Q_SET,
    Q_FORGET_ROWS,
    Q_FORGET_DAYS,
    QUERY_COUNT,
};

/* clang-format off */
static const char *const SQL[QUERY_COUNT] = {
    [Q_READ_STATE] = "SELECT owner, store_id, ring_sequence, stored, from_day, part, acked FROM state",
    [Q_SET_STATE] = "UPDATE state SET store_id = ?1, ring_sequence = ?2, stored = ?3, from_day = ?4",
    [Q_SET_PART] = "UPDATE state SET part = ?1, acked = ?2",
    [Q_ADD_INSTANCE] = "INSERT INTO instance (id, ended) VALUES (?1, 0) ON CONFLICT (id) DO NOTHING",
    [Q_FIND_INSTANCE] = "SELECT number FROM instance WHERE id = ?1",
    [Q_INSTANCE_ID] = "SELECT id FROM instance WHERE number = ?1",
    [Q_OLD_INSTANCES] = "SELECT id FROM instance WHERE number < ?1 AND ended = 0",
    [Q_END_INSTANCES] = "UPDATE instance SET ended = 1 WHERE number < ?1 AND ended = 0",
    [Q_FORGET_INSTANCES] = "DELETE FROM instance WHERE number < ?1",
    [Q_FIND] = ("SELECT a, b, own_a, own_b, instance, part FROM pushed"
               " WHERE domain_id = ?1 AND utc_day = ?2 AND kind = ?3 AND policy_id = ?4 AND item_id = ?5"),
    [Q_SET] = ("INSERT INTO pushed (domain_id, utc_day, kind, policy_id, item_id, a, b, own_a, own_b, instance, part)"
              " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
              " ON CONFLICT (domain_id, utc_day, kind, policy_id, item_id) DO UPDATE SET a = excluded.a,"
              " b = excluded.b, own_a = excluded.own_a, own_b = excluded.own_b, instance = excluded.instance,"
              " part = excluded.part"),
    [Q_FORGET_ROWS] = "DELETE FROM pushed",
    [Q_FORGET_DAYS] = "DELETE FROM pushed WHERE utc_day < ?1",
};
/* clang-format on */

static const struct db_schema SCHEMA = {MIGRATIONS, ARRAY_COUNT(MIGRATIONS), SQL, QUERY_COUNT};

/* One statement of the fleet's database, and its array parameters. */
enum push_table {
    TABLE_POLICIES,
    TABLE_DETAILS,
    TABLE_TALLIES,
    TABLE_DETAIL_TALLIES,
    TABLE_RECORDS,
    TABLE_COUNT,
};

static const struct {
    enum fleet_statement statement;
    size_t columns;
} TABLES[TABLE_COUNT] = {
    [TABLE_POLICIES] = {FLEET_PUSH_POLICIES, 7}, [TABLE_DETAILS] = {FLEET_PUSH_DETAILS, 10},
    [TABLE_TALLIES] = {FLEET_PUSH_TALLIES, 7},   [TABLE_DETAIL_TALLIES] = {FLEET_PUSH_DETAIL_TALLIES, 6},
    [TABLE_RECORDS] = {FLEET_PUSH_RECORDS, 5},
};

struct out_table {
    struct strbuf columns[COLUMNS_MAX];
    size_t rows;
};

/* What push.db knows of a row. */
struct pushed_row {
    int64_t a, b;         /* of the store, when it was looked at last */
    int64_t own_a, own_b; /* of that, what this instance was given */
    int64_t instance;
    int64_t part; /* 0: the row is new */
};

struct push_state {
    char store_id[SESSION_STORE_ID_SIZE];
    int64_t ring_sequence;
    int64_t stored;
    int64_t from_day;
    int64_t part;  /* number of the last part that was made */
    int64_t acked; /* all parts up to this one have arrived */
};

struct push {
    struct db db;
    struct push_state state;

    /* the push in progress */
    struct fleet_pgsql *fleet;
    struct session_reader *sessions;
    int64_t instance;
    char instance_id[FLEET_ID_SIZE];
    int32_t from_day;
    bool is_closed[DAYS_MAX]; /* from from_day on: this host reported the day alone, before it joined */
    struct session_mark mark;
    uint64_t counters[COUNTER_COUNT];
    struct fleet_pushed totals;
    bool is_in_part;
    size_t part_rows;
    size_t part_bytes;
    struct out_table tables[TABLE_COUNT];
    struct strbuf content;
    struct pg_batch *batch;

    /* the policy that was asked for last: details come by policy */
    int64_t policy_domain_id;
    int64_t policy_id;
    char policy_content[FLEET_ID_SIZE];
};

static enum status no_memory(struct err *err)
{
    return err_set(err, ST_NOMEM, "push: out of memory");
}

/* ---- open ---- */

static bool copy_id(char id_out[FLEET_ID_SIZE], struct sqlite3_stmt *row, int column)
{
    const char *text = db_column_text(row, column);

    (void)snprintf(id_out, FLEET_ID_SIZE, "%s", text != NULL ? text : "");
    return text != NULL;
}

static enum status read_state(struct push *push, char owner_out[FLEET_ID_SIZE], struct err *err)
{
    struct push_state *state = &push->state;
    struct sqlite3_stmt *row = NULL;
    enum status status = db_first(&push->db, Q_READ_STATE, BIND_NOTHING, &row, err);

    if (status == ST_NOT_FOUND)
        return err_set(err, ST_UNSUPPORTED, "%s: its state is missing", push->db.name);
    if (status != ST_OK)
        return status;
    if (!copy_id(owner_out, row, 0) || !copy_id(state->store_id, row, 1))
        status = no_memory(err);
    state->ring_sequence = db_column_int(row, 2);
    state->stored = db_column_int(row, 3);
    state->from_day = db_column_int(row, 4);
    state->part = db_column_int(row, 5);
    state->acked = db_column_int(row, 6);
    db_reset(row);
    return status;
}

static void init_buffers(struct push *push)
{
    strbuf_init(&push->content, CONTENT_BYTES);
    for (size_t i = 0; i < TABLE_COUNT; i++)
        for (size_t j = 0; j < COLUMNS_MAX; j++)
            strbuf_init(&push->tables[i].columns[j], ARRAY_BYTES);
}

enum status push_open(const char *path, char owner_out[FLEET_ID_SIZE], struct push **push_out,
                      struct err *err)
{
    struct push *push = calloc(1, sizeof *push);
    enum status status;

    if (push == NULL)
        return no_memory(err);
    init_buffers(push);
    status = db_open(&push->db, path, DB_WRITE_DURABLE, &SCHEMA, err);
    if (status != ST_OK) {
        free(push);
        return status;
    }
    status = read_state(push, owner_out, err);
    if (status == ST_OK)
        *push_out = push;
    else
        push_close(&push);
    return status;
}

void push_close(struct push **push)
{
    if (*push == NULL)
        return;
    db_close(&(*push)->db);
    for (size_t i = 0; i < TABLE_COUNT; i++)
        for (size_t j = 0; j < COLUMNS_MAX; j++)
            strbuf_done(&(*push)->tables[i].columns[j]);
    strbuf_done(&(*push)->content);
    pg_batch_free(&(*push)->batch);
    free(*push);
    *push = NULL;
}

/* ---- parts ---- */

static void begin_arrays(struct push *push)
{
    for (size_t i = 0; i < TABLE_COUNT; i++) {
        push->tables[i].rows = 0;
        for (size_t j = 0; j < TABLES[i].columns; j++)
            pg_array_begin(&push->tables[i].columns[j]);
    }
    push->part_rows = 0;
    push->part_bytes = 0;
}

static enum status set_part(struct push *push, int64_t acked, struct err *err)
{
    enum status status = db_change(&push->db, Q_SET_PART, BIND(INT(push->state.part), INT(acked)), err);

    if (status == ST_OK)
        push->state.acked = acked;
    return status;
}

/* The transaction of push.db that this begins holds the new part's rows, and that the part before arrived. */
static enum status begin_part(struct push *push, struct err *err)
{
    enum status status = ST_OK;

    if (push->is_in_part)
        return ST_OK;
    status = db_begin(&push->db, err);
    if (status != ST_OK)
        return status;
    push->is_in_part = true;
    push->state.part++;
    begin_arrays(push);
    return set_part(push, push->state.acked, err);
}

static enum status add_table(struct push *push, enum push_table table, struct err *err)
{
    struct out_table *out = &push->tables[table];
    struct bind_value values[COLUMNS_MAX];

    if (out->rows == 0)
        return ST_OK;
    for (size_t i = 0; i < TABLES[table].columns; i++) {
        pg_array_end(&out->columns[i]);
        if (strbuf_is_failed(&out->columns[i]))
            return no_memory(err);
        values[i] = (struct bind_value)TEXT(out->columns[i].data);
    }
    return pg_batch_add(push->batch, TABLES[table].statement, values, TABLES[table].columns, 0, err);
}

static enum status send_tables(struct push *push, struct err *err)
{
    enum status status = ST_OK;

    pg_batch_reset(push->batch);
    for (enum push_table table = TABLE_POLICIES; status == ST_OK && table < TABLE_COUNT; table++)
        status = add_table(push, table, err);
    return status == ST_OK ? pg_batch_run(push->fleet->pg, push->batch, err) : status;
}

static enum status end_part(struct push *push, struct err *err)
{
    enum status status;

    if (!push->is_in_part)
        return ST_OK;
    push->is_in_part = false;
    status = db_commit(&push->db, err);
    if (status == ST_OK)
        status = send_tables(push, err);
    if (status == ST_OK) {
        push->state.acked = push->state.part; /* written with the next part, or at the end */
        push->totals.sent += push->part_rows;
    }
    return status;
}

/* ---- rows ---- */

/* Value of the next row in a column of a table. */
static void put_text(struct push *push, enum push_table table, size_t column, const char *text)
{
    struct strbuf *array = &push->tables[table].columns[column];
    size_t before = array->len;

    pg_array_add_text(array, text);
    push->part_bytes += array->len - before;
}

static void put_int(struct push *push, enum push_table table, size_t column, int64_t value)
{
    pg_array_add_int(&push->tables[table].columns[column], value);
}

static void put_key(struct push *push, enum push_table table, const struct session_push_row *row)
{
    put_text(push, table, 0, row->domain);
    put_int(push, table, 1, row->utc_day);
    push->tables[table].rows++;
}

/* The id of these texts, the same on each host; the domain is beside it in every key. */
static enum status content_of(struct push *push, const char *const *texts, size_t count,
                              char id_out[FLEET_ID_SIZE], struct err *err)
{
    strbuf_reset(&push->content);
    for (size_t i = 0; i < count; i++) {
        strbuf_add_text(&push->content, texts[i]);
        strbuf_add_char(&push->content, '\0');
    }
    if (strbuf_is_failed(&push->content))
        return no_memory(err);
    fleet_content_id(push->fleet, push->content.data, push->content.len, id_out);
    return ST_OK;
}

static enum status find_policy(struct push *push, const struct session_push_row *row,
                               const char *texts[SESSION_PUSH_TEXTS], struct err *err)
{
    enum status status = session_push_texts(push->sessions, row, PUSH_TALLY, texts, err);

    if (status == ST_OK)
        status = content_of(push, texts, 4, push->policy_content, err);
    push->policy_domain_id = row->domain_id;
    push->policy_id = status == ST_OK ? row->policy_id : 0;
    return status;
}

static enum status put_tally(struct push *push, const struct session_push_row *row,
                             const struct pushed_row *pushed, const char *instance, bool with_texts,
                             struct err *err)
{
    const char *texts[SESSION_PUSH_TEXTS];
    enum status status = find_policy(push, row, texts, err);

    if (status != ST_OK)
        return status;
    if (with_texts) {
        put_key(push, TABLE_POLICIES, row);
        put_text(push, TABLE_POLICIES, 2, push->policy_content);
        put_int(push, TABLE_POLICIES, 3, strtoll(texts[0], NULL, 10));
        for (size_t i = 1; i < 4; i++)
            put_text(push, TABLE_POLICIES, 3 + i, texts[i]);
    }
    put_key(push, TABLE_TALLIES, row);
    put_text(push, TABLE_TALLIES, 2, push->policy_content);
    put_text(push, TABLE_TALLIES, 3, instance);
    put_int(push, TABLE_TALLIES, 4, fleet_bucket(row->domain));
    put_int(push, TABLE_TALLIES, 5, pushed->own_a);
    put_int(push, TABLE_TALLIES, 6, pushed->own_b);
    return ST_OK;
}

static enum status put_detail(struct push *push, const struct session_push_row *row,
                              const struct pushed_row *pushed, const char *instance, bool with_texts,
                              struct err *err)
{
    const char *texts[SESSION_PUSH_TEXTS];
    char content[FLEET_ID_SIZE];
    enum status status = ST_OK;

    if (push->policy_domain_id != row->domain_id || push->policy_id != row->policy_id)
        status = find_policy(push, row, texts, err);
    if (status == ST_OK)
        status = session_push_texts(push->sessions, row, PUSH_DETAIL, texts, err);
    if (status == ST_OK)
        status = content_of(push, texts, SESSION_PUSH_TEXTS, content, err);
    if (status != ST_OK)
        return status;
    if (with_texts) {
        put_key(push, TABLE_DETAILS, row);
        put_text(push, TABLE_DETAILS, 2, content);
        for (size_t i = 0; i < SESSION_PUSH_TEXTS; i++)
            put_text(push, TABLE_DETAILS, 3 + i, texts[i]);
    }
    put_key(push, TABLE_DETAIL_TALLIES, row);
    put_text(push, TABLE_DETAIL_TALLIES, 2, push->policy_content);
    put_text(push, TABLE_DETAIL_TALLIES, 3, content);
    put_text(push, TABLE_DETAIL_TALLIES, 4, instance);
    put_int(push, TABLE_DETAIL_TALLIES, 5, pushed->own_a);
    return ST_OK;
}

static enum status put_record(struct push *push, const struct session_push_row *row,
                              const struct pushed_row *pushed, const char *instance, bool with_texts,
                              struct err *err)
{
    const char *texts[SESSION_PUSH_TEXTS];
    char content[FLEET_ID_SIZE];
    enum status status = session_push_texts(push->sessions, row, PUSH_RECORD, texts, err);

    (void)instance;
    (void)with_texts;
    if (status == ST_OK)
        status = content_of(push, texts, 1, content, err);
    if (status != ST_OK)
        return status;
    put_key(push, TABLE_RECORDS, row);
    put_text(push, TABLE_RECORDS, 2, content);
    put_int(push, TABLE_RECORDS, 3, pushed->own_a);
    put_text(push, TABLE_RECORDS, 4, texts[0]);
    return ST_OK;
}

typedef enum status put_fn(struct push *push, const struct session_push_row *row,
                           const struct pushed_row *pushed, const char *instance, bool with_texts,
                           struct err *err);

static put_fn *const PUT[PUSH_KIND_COUNT] = {
    [PUSH_TALLY] = put_tally, [PUSH_DETAIL] = put_detail, [PUSH_RECORD] = put_record};

static enum status find_pushed(struct push *push, const struct session_push_row *row,
                               struct pushed_row *pushed_out, struct err *err)
{
    int64_t found[6] = {0};
    enum status status = db_read(
        &push->db, Q_FIND,
        BIND(INT(row->domain_id), INT(row->utc_day), INT(row->kind), INT(row->policy_id), INT(row->item_id)),
        found, 6, err);

    *pushed_out = (struct pushed_row){.a = found[0],
                                      .b = found[1],
                                      .own_a = found[2],
                                      .own_b = found[3],
                                      .instance = found[4],
                                      .part = found[5]};
    return status == ST_NOT_FOUND ? ST_OK : status;
}

static enum status set_pushed(struct push *push, const struct session_push_row *row,
                              const struct pushed_row *pushed, struct err *err)
{
    return db_change(&push->db, Q_SET,
                     BIND(INT(row->domain_id), INT(row->utc_day), INT(row->kind), INT(row->policy_id),
                          INT(row->item_id), INT(pushed->a), INT(pushed->b), INT(pushed->own_a),
                          INT(pushed->own_b), INT(pushed->instance), INT(pushed->part)),
                     err);
}

/* Put the row into a part; its texts too, unless the database has them for sure. */
static enum status give(struct push *push, const struct session_push_row *row, struct pushed_row *pushed,
                        const char *instance, bool with_texts, struct err *err)
{
    enum status status = begin_part(push, err);

    pushed->part = push->state.part;
    if (status == ST_OK)
        status = set_pushed(push, row, pushed, err);
    if (status == ST_OK)
        status = PUT[row->kind](push, row, pushed, instance, with_texts, err);
    push->part_rows++;
    if (status == ST_OK && (push->part_rows >= PART_ROWS || push->part_bytes >= PART_BYTES))
        status = end_part(push, err);
    return status;
}

static enum status read_instance_id(struct push *push, int64_t number, char id_out[FLEET_ID_SIZE],
                                    struct err *err)
{
    struct sqlite3_stmt *row = NULL;
    enum status status = db_first(&push->db, Q_INSTANCE_ID, BIND(INT(number)), &row, err);

    if (status == ST_NOT_FOUND)
        return err_set(err, ST_UNSUPPORTED, "%s: an instance is missing", push->db.name);
    if (status != ST_OK)
        return status;
    if (!copy_id(id_out, row, 0))
        status = no_memory(err);
    db_reset(row);
    return status;
}

static bool may_be_lacking(const struct push *push, const struct pushed_row *pushed)
{
    return pushed->part > push->state.acked;
}

static bool is_ours_alone(const struct push *push, int32_t utc_day)
{
    int32_t at = utc_day - push->from_day;

    return at >= 0 && at < DAYS_MAX && push->is_closed[at];
}

static enum status find_closed_days(struct push *push, int32_t from_day, struct err *err)
{
    enum status status = ST_OK;

    push->from_day = from_day;
    for (int32_t i = 0; status == ST_OK && i < DAYS_MAX; i++)
        status = session_reader_is_closed(push->sessions, from_day + i, &push->is_closed[i], err);
    return status;
}

/* 2 */
static enum status repeat_row(void *context, const struct session_push_row *row, struct err *err)
{
    struct push *push = context;
    char instance[FLEET_ID_SIZE] = "";
    struct pushed_row pushed;
    enum status status = find_pushed(push, row, &pushed, err);

    if (status != ST_OK || pushed.part == 0 || !may_be_lacking(push, &pushed) ||
        pushed.instance == push->instance)
        return status;
    status = read_instance_id(push, pushed.instance, instance, err);
    return status == ST_OK ? give(push, row, &pushed, instance, true, err) : status;
}

static int64_t growth(int64_t from, int64_t to)
{
    return to > from ? to - from : 0; /* less: the store was restored from an older copy */
}

/* 3 */
static enum status push_row(void *context, const struct session_push_row *row, struct err *err)
{
    struct push *push = context;
    bool with_texts;
    struct pushed_row pushed;
    enum status status = find_pushed(push, row, &pushed, err);

    push->totals.examined++;
    if (status != ST_OK || is_ours_alone(push, row->utc_day))
        return status;
    with_texts = pushed.part == 0 || may_be_lacking(push, &pushed);
    if (pushed.a == row->a && pushed.b == row->b && !with_texts)
        return ST_OK;
    if (pushed.instance != push->instance)
        pushed.own_a = pushed.own_b = 0;
    pushed.own_a = row->kind == PUSH_RECORD ? row->a : pushed.own_a + growth(pushed.a, row->a);
    pushed.own_b += growth(pushed.b, row->b);
    pushed.a = row->a;
    pushed.b = row->b;
    pushed.instance = push->instance;
    return give(push, row, &pushed, push->instance_id, with_texts, err);
}

static enum status each_row(struct push *push, int32_t from_day, session_push_fn *fn, struct err *err)
{
    enum status status = ST_OK;

    for (enum session_push_kind kind = PUSH_TALLY; status == ST_OK && kind < PUSH_KIND_COUNT; kind++)
        status = session_push_each(push->sessions, kind, from_day, fn, push, err);
    return status == ST_OK ? end_part(push, err) : status;
}

/* ---- the instance ---- */

static enum status take_note(void *context, const char *name, const char *text, struct err *err)
{
    struct push *push = context;

    (void)err;
    if (strcmp(name, SESSION_INSTANCE_NOTE) == 0 && strlen(text) == FLEET_ID_SIZE - 1)
        (void)snprintf(push->instance_id, sizeof push->instance_id, "%s", text);
    return ST_OK;
}

static enum status find_instance(struct push *push, struct err *err)
{
    enum status status = db_change(&push->db, Q_ADD_INSTANCE, BIND(TEXT(push->instance_id)), err);

    if (status == ST_OK)
        status = db_read(&push->db, Q_FIND_INSTANCE, BIND(TEXT(push->instance_id)), &push->instance, 1, err);
    return status;
}

/* A collector older than fleets has no instance: its store is taken for one. */
static enum status choose_instance(struct push *push, struct err *err)
{
    enum status status;

    (void)snprintf(push->instance_id, sizeof push->instance_id, "%s", push->sessions->id);
    status = session_reader_each_note(push->sessions, take_note, push, err);
    return status == ST_OK ? find_instance(push, err) : status;
}

static enum status add_instance(struct push *push, int64_t now_s, struct err *err)
{
    const uint64_t *counters = push->counters;

    return pg_batch_add(push->batch, FLEET_PUSH_INSTANCE,
                        BIND(TEXT(push->instance_id), TEXT(push->fleet->host), INT(now_s), INT(now_s),
                             INT(push->mark.counted_through_s), INT((int64_t)counters[COUNTER_RECEIVED]),
                             INT((int64_t)counters[COUNTER_STORED]), INT((int64_t)counters[COUNTER_DROPPED]),
                             INT((int64_t)counters[COUNTER_LATE])),
                        0, err);
}

static enum status add_ends(struct push *push, int64_t now_s, struct err *err)
{
    struct sqlite3_stmt *row = NULL;
    enum status status = db_query(&push->db, Q_OLD_INSTANCES, BIND(INT(push->instance)), &row, err);

    while (db_next(&push->db, row, &status, err))
        status = pg_batch_add(push->batch, FLEET_END_INSTANCE, BIND(TEXT(db_column_text(row, 0)), INT(now_s)),
                              0, err);
    return status;
}

/* 4 */
static enum status send_complete_through(struct push *push, int64_t now_s, struct err *err)
{
    enum status status;

    pg_batch_reset(push->batch);
    status = add_instance(push, now_s, err);
    if (status == ST_OK)
        status = add_ends(push, now_s, err);
    if (status == ST_OK)
        status = pg_batch_run(push->fleet->pg, push->batch, err);
    if (status == ST_OK)
        status = db_change(&push->db, Q_END_INSTANCES, BIND(INT(push->instance)), err);
    if (status == ST_OK)
        status = db_change(&push->db, Q_FORGET_INSTANCES, BIND(INT(push->instance - KEEP_INSTANCES)), err);
    if (status == ST_OK)
        push->totals.complete_through_s = push->mark.counted_through_s;
    return status;
}

/* ---- a push ---- */

/* Numbers mean rows of one store only; another has others. */
static enum status note_store(struct push *push, struct err *err)
{
    const char *id = push->sessions->id;

    if (strcmp(push->state.store_id, id) == 0)
        return ST_OK;
    push->state.ring_sequence = push->state.stored = -1;
    return db_change(&push->db, Q_FORGET_ROWS, BIND_NOTHING, err);
}

static enum status set_state(struct push *push, int64_t ring_sequence, int64_t stored, int32_t from_day,
                             struct err *err)
{
    const char *id = push->sessions->id;
    enum status status = db_change(&push->db, Q_SET_STATE,
                                   BIND(TEXT(id), INT(ring_sequence), INT(stored), INT(from_day)), err);

    if (status != ST_OK)
        return status;
    (void)snprintf(push->state.store_id, sizeof push->state.store_id, "%s", id);
    push->state.ring_sequence = ring_sequence;
    push->state.stored = stored;
    push->state.from_day = from_day;
    return ST_OK;
}

/* 1 */
static enum status prepare(struct push *push, int32_t from_day, struct err *err)
{
    enum status status = session_reader_get_mark(push->sessions, &push->mark, err);

    if (status == ST_OK)
        status = session_reader_counters(push->sessions, push->counters, err);
    if (status == ST_OK)
        status = find_closed_days(push, from_day, err);
    if (status == ST_OK)
        status = choose_instance(push, err);
    if (status == ST_OK)
        status = note_store(push, err);
    push->totals.is_new_day = push->state.from_day != from_day;
    if (status == ST_OK && push->state.from_day != from_day)
        status = db_change(&push->db, Q_FORGET_DAYS, BIND(INT(from_day)), err);
    if (status == ST_OK && (push->state.from_day != from_day || push->state.ring_sequence < 0))
        status = set_state(push, -1, -1, from_day, err);
    if (status == ST_OK && push->batch == NULL)
        status = pg_batch_new(&push->batch, err);
    return status;
}

/* Has nothing been counted since a push that arrived whole? */
static bool is_idle(const struct push *push)
{
    return push->state.part == push->state.acked &&
           push->state.ring_sequence == (int64_t)push->mark.ring_sequence &&
           push->state.stored == (int64_t)push->counters[COUNTER_STORED];
}

static enum status push_rows(struct push *push, int32_t from_day, struct err *err)
{
    bool is_whole = push->state.part == push->state.acked;
    enum status status = ST_OK;

    if (!is_whole)
        status = each_row(push, from_day, repeat_row, err);
    if (status == ST_OK)
        status = each_row(push, from_day, push_row, err);
    if (status == ST_OK)
        status = set_part(push, push->state.part, err);
    return status;
}

static enum status push_snapshot(struct push *push, int32_t from_day, int64_t now_s, struct err *err)
{
    enum status status = prepare(push, from_day, err);

    if (status == ST_OK && !is_idle(push))
        status = push_rows(push, from_day, err);
    if (push->is_in_part)
        db_rollback(&push->db);
    push->is_in_part = false;
    if (status == ST_OK)
        status = send_complete_through(push, now_s, err);
    if (status == ST_OK)
        status = set_state(push, (int64_t)push->mark.ring_sequence, (int64_t)push->counters[COUNTER_STORED],
                           from_day, err);
    return status;
}

enum status push_run(struct push *push, struct fleet_pgsql *fleet, struct session_reader *sessions,
                     int32_t from_day, int64_t now_s, struct fleet_pushed *pushed_out, struct err *err)
{
    enum status status = session_push_begin(sessions, err);

    if (status != ST_OK)
        return status;
    push->fleet = fleet;
    push->sessions = sessions;
    push->totals = (struct fleet_pushed){0};
    push->policy_id = 0;
    status = push_snapshot(push, from_day, now_s, err);
    session_push_end(sessions);
    if (status == ST_OK)
        *pushed_out = push->totals;
    return status;
}
