/* SPDX-License-Identifier: MIT */
/*
 * A fleet on PostgreSQL: its schema, the hosts that push, and the leases.
 *
 * A generator takes free leases by raising their epochs; whoever raised an epoch last holds the bucket.  The
 * fence of a transaction changes a lease only where the epoch is still ours, so a transaction of a generator
 * that was taken for dead changes too few rows and is rolled back.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "fleet_inside.h"
#include "push.h"

#define EPOCHS_BYTES (FLEET_BUCKETS * 24)
#define ALL_BUCKETS  UINT64_MAX

static const char *const STATEMENTS[FLEET_STATEMENT_COUNT] = {
#define FLEET_STATEMENT_ROW(id, sql) [FLEET_##id] = (sql),
    FLEET_STATEMENTS(FLEET_STATEMENT_ROW)
#undef FLEET_STATEMENT_ROW
};

static const struct {
    int version;
    const char *sql;
} MIGRATIONS[] = {
#define FLEET_MIGRATION_ROW(version, sql) {(version), (sql)},
    FLEET_MIGRATIONS(FLEET_MIGRATION_ROW)
#undef FLEET_MIGRATION_ROW
};

static const char *const GRANTS[] = {
#define FLEET_GRANT_ROW(sql) (sql),
    FLEET_GRANTS(FLEET_GRANT_ROW)
#undef FLEET_GRANT_ROW
        NULL,
};

/* ---- identifiers ---- */

static void format_id(const uint64_t words[2], char id_out[FLEET_ID_SIZE])
{
    (void)snprintf(id_out, FLEET_ID_SIZE, "%016llx%016llx", (unsigned long long)words[0],
                   (unsigned long long)words[1]);
}

static bool parse_key(const char *text, struct hash_key *key_out)
{
    char half[FLEET_ID_SIZE / 2 + 1];

    if (strlen(text) != FLEET_ID_SIZE - 1 || strspn(text, "0123456789abcdef") != FLEET_ID_SIZE - 1)
        return false;
    for (size_t i = 0; i < ARRAY_COUNT(key_out->words); i++) {
        (void)snprintf(half, sizeof half, "%.16s", text + 16 * i);
        key_out->words[i] = strtoull(half, NULL, 16);
    }
    return true;
}

void fleet_content_id(const struct fleet_pgsql *fleet, const void *bytes, size_t len,
                      char id_out[FLEET_ID_SIZE])
{
    struct hash hash = hash_bytes(&fleet->key, bytes, len);

    format_id(hash.words, id_out);
}

int32_t fleet_bucket(const char *domain)
{
    static const struct hash_key KEY = {.words = {0x746c73727074, 0x6275636b6574}}; /* never to change */
    struct hash hash = hash_bytes(&KEY, domain, strlen(domain));

    return (int32_t)(hash.words[0] % FLEET_BUCKETS);
}

enum status fleet_take_number(void *context, const struct pg_row *row, struct err *err)
{
    (void)err;
    *(int64_t *)context = pg_int(row, 0);
    return ST_OK;
}

/* ---- schema ---- */

struct version {
    int64_t number; /* 0: none */
    char key[FLEET_ID_SIZE];
};

static enum status take_version(void *context, const struct pg_row *row, struct err *err)
{
    struct version *version = context;

    (void)err;
    version->number = pg_int(row, 0);
    (void)snprintf(version->key, sizeof version->key, "%s", pg_text(row, 1));
    return ST_OK;
}

/* No table is version 0. */
static enum status read_version(struct fleet_pgsql *fleet, struct version *version_out, struct err *err)
{
    struct version version = {.number = 0};
    enum status status = pg_query(fleet->pg, FLEET_VERSION, BIND_NOTHING, take_version, &version, err);

    if (status != ST_OK && status != ST_UNSUPPORTED)
        return status;
    *version_out = version;
    return ST_OK;
}

static enum status check_version(struct fleet_pgsql *fleet, const struct version *version, struct err *err)
{
    if (version->number == 0)
        return err_set(err, ST_CONFIG,
                       "fleet: the database has no tables of ours yet; run tlsrpt-gen fleet-init once, as a "
                       "user who may make them");
    if (version->number > FLEET_SCHEMA_VERSION)
        return err_set(err, ST_CONFIG,
                       "fleet: the database's schema is version %lld, newer than this program knows (%d); "
                       "install the version of tlsrpt-gen that the other hosts have",
                       (long long)version->number, FLEET_SCHEMA_VERSION);
    if (version->number < FLEET_SCHEMA_VERSION)
        return err_set(err, ST_CONFIG,
                       "fleet: the database's schema is version %lld, older than this program's (%d); run "
                       "tlsrpt-gen fleet-init of this version",
                       (long long)version->number, FLEET_SCHEMA_VERSION);
    if (!parse_key(version->key, &fleet->key))
        return err_set(err, ST_CONFIG,
                       "fleet: the database's content_key is damaged; restore it from a backup");
    return ST_OK;
}

static enum status check_encoding(const struct fleet_pgsql *fleet, struct err *err)
{
    const char *encoding = pg_server_setting(fleet->pg, "server_encoding");

    if (strcmp(encoding, "UTF8") == 0)
        return ST_OK;
    return err_set(err, ST_CONFIG,
                   "fleet: the database's encoding is %.40s; make one with createdb --template=template0 "
                   "--encoding=UTF8 --locale=C",
                   *encoding != '\0' ? encoding : "unknown");
}

static enum status add_leases(struct fleet_pgsql *fleet, struct err *err)
{
    char buckets[FLEET_BUCKETS_TEXT];

    return pg_change(fleet->pg, FLEET_ADD_LEASES, BIND(TEXT(fleet_scope(fleet, buckets))), NULL, err);
}

static enum status set_version(struct fleet_pgsql *fleet, struct err *err)
{
    const struct hash_key random = hash_key_new();
    char key[FLEET_ID_SIZE];

    format_id(random.words, key);
    return pg_change(fleet->pg, FLEET_SET_VERSION, BIND(INT(FLEET_SCHEMA_VERSION), TEXT(key)), NULL, err);
}

static enum status pgsql_init(struct fleet *base, struct fleet_schema *schema_out, struct err *err)
{
    struct fleet_pgsql *fleet = fleet_pgsql_of(base);
    struct version version = {.number = 0};
    enum status status = check_encoding(fleet, err);

    if (status == ST_OK)
        status = read_version(fleet, &version, err);
    if (status == ST_OK && version.number > FLEET_SCHEMA_VERSION)
        status = check_version(fleet, &version, err);
    for (size_t i = 0; status == ST_OK && i < ARRAY_COUNT(MIGRATIONS); i++)
        if (MIGRATIONS[i].version > version.number)
            status = pg_run(fleet->pg, MIGRATIONS[i].sql, err);
    if (status == ST_OK && version.number < FLEET_SCHEMA_VERSION)
        status = add_leases(fleet, err);
    if (status == ST_OK && version.number < FLEET_SCHEMA_VERSION)
        status = set_version(fleet, err);
    if (status == ST_OK)
        *schema_out = (struct fleet_schema){version.number, FLEET_SCHEMA_VERSION, GRANTS};
    return status;
}

/* ---- hosts ---- */

struct fleet_walk {
    void *context;
    fleet_instance_fn *instance;
    fleet_missed_fn *missed;
    fleet_late_fn *late;
};

static enum status give_instance(void *context, const struct pg_row *row, struct err *err)
{
    const struct fleet_walk *walk = context;
    const struct fleet_instance instance = {
        .id = pg_text(row, 0),
        .host = pg_text(row, 1),
        .started_s = pg_int(row, 2),
        .last_seen_s = pg_int(row, 3),
        .complete_through_s = pg_int(row, 4),
        .received = pg_count(row, 5),
        .stored = pg_count(row, 6),
        .dropped = pg_count(row, 7),
        .late = pg_count(row, 8),
    };

    return walk->instance(walk->context, &instance, err);
}

static enum status pgsql_each_instance(struct fleet *base, int64_t now_s, fleet_instance_fn *fn,
                                       void *context, struct err *err)
{
    struct fleet_pgsql *fleet = fleet_pgsql_of(base);
    struct fleet_walk walk = {.context = context, .instance = fn};

    return pg_query(fleet->pg, FLEET_LIST_INSTANCES, BIND(INT(now_s - fleet->window_s)), give_instance, &walk,
                    err);
}

static enum status pgsql_forget_host(struct fleet *fleet, const char *host, int64_t *count_out,
                                     struct err *err)
{
    return pg_change(fleet_pgsql_of(fleet)->pg, FLEET_FORGET_HOST, BIND(TEXT(host), INT(clock_utc_s())),
                     count_out, err);
}

static enum status pgsql_note_missed(struct fleet *fleet, int32_t utc_day,
                                     const struct fleet_instance *instance, bool *is_new_out, struct err *err)
{
    int64_t rows = 0;
    enum status status = pg_change(
        fleet_pgsql_of(fleet)->pg, FLEET_ADD_MISSED,
        BIND(INT(utc_day), TEXT(instance->id), TEXT(instance->host), INT(instance->complete_through_s)),
        &rows, err);

    *is_new_out = status == ST_OK && rows > 0;
    return status;
}

static enum status give_missed(void *context, const struct pg_row *row, struct err *err)
{
    const struct fleet_walk *walk = context;

    return walk->missed(walk->context, (int32_t)pg_int(row, 0), pg_text(row, 1), pg_int(row, 2), err);
}

static enum status pgsql_each_missed(struct fleet *fleet, int32_t from_day, fleet_missed_fn *fn,
                                     void *context, struct err *err)
{
    struct fleet_walk walk = {.context = context, .missed = fn};

    return pg_query(fleet_pgsql_of(fleet)->pg, FLEET_LIST_MISSED, BIND(INT(from_day)), give_missed, &walk,
                    err);
}

static enum status give_late(void *context, const struct pg_row *row, struct err *err)
{
    const struct fleet_walk *walk = context;

    return walk->late(walk->context, (int32_t)pg_int(row, 0), pg_int(row, 1), err);
}

static enum status pgsql_each_late(struct fleet *fleet, int32_t from_day, fleet_late_fn *fn, void *context,
                                   struct err *err)
{
    struct fleet_walk walk = {.context = context, .late = fn};

    return pg_query(fleet_pgsql_of(fleet)->pg, FLEET_LATE, BIND(INT(from_day)), give_late, &walk, err);
}

/* ---- this host's part: push.c ---- */

/* Read again each time: another process may have pushed since. */
static enum status pgsql_join(struct fleet *base, const char *path, struct err *err)
{
    struct fleet_pgsql *fleet = fleet_pgsql_of(base);

    push_close(&fleet->push);
    return push_open(path, base->owner, &fleet->push, err);
}

static enum status pgsql_push(struct fleet *base, struct session_reader *sessions, int32_t from_day,
                              int64_t now_s, struct fleet_pushed *pushed_out, struct err *err)
{
    struct fleet_pgsql *fleet = fleet_pgsql_of(base);

    return push_run(fleet->push, fleet, sessions, from_day, now_s, pushed_out, err);
}

/* ---- shares ---- */

static bool has_bucket(uint64_t mask, int bucket)
{
    return (mask >> bucket & 1) != 0;
}

static void format_mask(uint64_t mask, char text_out[FLEET_BUCKETS_TEXT])
{
    size_t len = 0;

    text_out[len++] = '{';
    for (int i = 0; i < FLEET_BUCKETS; i++)
        if (has_bucket(mask, i))
            len += (size_t)snprintf(text_out + len, FLEET_BUCKETS_TEXT - len, "%s%d", len > 1 ? "," : "", i);
    (void)snprintf(text_out + len, FLEET_BUCKETS_TEXT - len, "}");
}

const char *fleet_scope(const struct fleet_pgsql *fleet, char text_out[FLEET_BUCKETS_TEXT])
{
    format_mask(fleet->held != 0 ? fleet->held : ALL_BUCKETS, text_out);
    return text_out;
}

int fleet_scope_count(const struct fleet_pgsql *fleet)
{
    return __builtin_popcountll(fleet->held != 0 ? fleet->held : ALL_BUCKETS);
}

/* The epochs of the buckets held, in their order. */
static void format_epochs(const struct fleet_pgsql *fleet, char text_out[EPOCHS_BYTES])
{
    size_t len = 0;

    text_out[len++] = '{';
    for (int i = 0; i < FLEET_BUCKETS; i++)
        if (has_bucket(fleet->held, i))
            len += (size_t)snprintf(text_out + len, EPOCHS_BYTES - len, "%s%lld", len > 1 ? "," : "",
                                    (long long)fleet->epochs[i]);
    (void)snprintf(text_out + len, EPOCHS_BYTES - len, "}");
}

enum status fleet_add_fence(const struct fleet_pgsql *fleet, struct pg_batch *batch, struct err *err)
{
    char buckets[FLEET_BUCKETS_TEXT], epochs[EPOCHS_BYTES];

    if (fleet->held == 0)
        return ST_OK;
    format_epochs(fleet, epochs);
    return pg_batch_add(batch, FLEET_FENCE,
                        BIND(TEXT(fleet_scope(fleet, buckets)), TEXT(epochs), INT(fleet->lease_s)),
                        fleet_scope_count(fleet), err);
}

/* The leases that may be taken. */
struct free_leases {
    uint64_t mask;
    char other[FLEET_HOST_SIZE]; /* a host that holds one */
};

static enum status take_lease_row(void *context, const struct pg_row *row, struct err *err)
{
    struct free_leases *leases = context;
    int64_t bucket = pg_int(row, 0);

    (void)err;
    if (bucket < 0 || bucket >= FLEET_BUCKETS)
        return ST_OK;
    if (pg_int(row, 2) != 0)
        leases->mask |= (uint64_t)1 << bucket;
    else
        (void)snprintf(leases->other, sizeof leases->other, "%s", pg_text(row, 1));
    return ST_OK;
}

/* Say that we are here; how many generators are. */
static enum status announce(struct fleet_pgsql *fleet, int64_t *generators_out, struct err *err)
{
    enum status status = pg_change(fleet->pg, FLEET_SEEN_GENERATOR,
                                   BIND(TEXT(fleet->base.owner), TEXT(fleet->host)), NULL, err);

    if (status == ST_OK)
        status =
            pg_query(fleet->pg, FLEET_COUNT_GENERATORS, BIND_NOTHING, fleet_take_number, generators_out, err);
    if (*generators_out < 1)
        *generators_out = 1;
    return status;
}

/* At most count of the buckets in mask, from a place of our own on, so that two who come together seldom
 * meet. */
static uint64_t choose(uint64_t mask, int64_t count, const char *owner)
{
    int32_t first = fleet_bucket(owner);
    uint64_t chosen = 0;

    for (int i = 0; i < FLEET_BUCKETS && count > 0; i++) {
        int bucket = (first + i) % FLEET_BUCKETS;

        if (!has_bucket(mask, bucket))
            continue;
        chosen |= (uint64_t)1 << bucket;
        count--;
    }
    return chosen;
}

static enum status take_epoch(void *context, const struct pg_row *row, struct err *err)
{
    struct fleet_pgsql *fleet = context;
    int64_t bucket = pg_int(row, 0);

    (void)err;
    if (bucket < 0 || bucket >= FLEET_BUCKETS)
        return ST_OK;
    fleet->held |= (uint64_t)1 << bucket;
    fleet->epochs[bucket] = pg_int(row, 1);
    return ST_OK;
}

static enum status take_leases(struct fleet_pgsql *fleet, uint64_t wanted, struct err *err)
{
    char buckets[FLEET_BUCKETS_TEXT];
    enum status status;

    format_mask(wanted, buckets);
    status = pg_query(fleet->pg, FLEET_TAKE_LEASES,
                      BIND(TEXT(fleet->base.owner), TEXT(fleet->host), INT(fleet->lease_s), TEXT(buckets)),
                      take_epoch, fleet, err);
    fleet->visited |= fleet->held;
    return status;
}

static enum status pgsql_take_share(struct fleet *base, bool is_new_run, int *buckets_out, struct err *err)
{
    struct fleet_pgsql *fleet = fleet_pgsql_of(base);
    struct free_leases leases = {.mask = 0};
    int64_t generators = 1;
    enum status status = announce(fleet, &generators, err);

    fleet->held = 0;
    if (is_new_run)
        fleet->visited = 0;
    if (status == ST_OK)
        status = pg_query(fleet->pg, FLEET_LIST_LEASES, BIND(TEXT(base->owner), TEXT(fleet->host)),
                          take_lease_row, &leases, err);
    leases.mask &= ~fleet->visited;
    if (status == ST_OK && leases.mask != 0)
        status = take_leases(
            fleet, choose(leases.mask, (FLEET_BUCKETS + generators - 1) / generators, base->owner), err);
    if (status != ST_OK)
        return status;
    if (fleet->held == 0)
        return err_set(err, ST_NOT_FOUND, "%s%s",
                       *leases.other != '\0' ? "other generators hold the rest, as " : "all is done",
                       leases.other);
    *buckets_out = fleet_scope_count(fleet);
    return ST_OK;
}

static void pgsql_release_share(struct fleet *base)
{
    struct fleet_pgsql *fleet = fleet_pgsql_of(base);
    char buckets[FLEET_BUCKETS_TEXT], epochs[EPOCHS_BYTES];
    enum status status;

    if (fleet->held == 0)
        return;
    format_epochs(fleet, epochs);
    status = pg_change(fleet->pg, FLEET_RELEASE, BIND(TEXT(fleet_scope(fleet, buckets)), TEXT(epochs)), NULL,
                       NULL);
    (void)status; /* they expire */
    fleet->held = 0;
}

/* ---- open ---- */

static void pgsql_close(struct fleet *base)
{
    struct fleet_pgsql *fleet = fleet_pgsql_of(base);

    pgsql_release_share(base);
    push_close(&fleet->push);
    pg_close(&fleet->pg);
    free(fleet);
}

static const struct fleet_methods METHODS = {
    .close = pgsql_close,
    .init = pgsql_init,
    .each_instance = pgsql_each_instance,
    .forget_host = pgsql_forget_host,
    .note_missed = pgsql_note_missed,
    .each_missed = pgsql_each_missed,
    .each_late = pgsql_each_late,
    .join = pgsql_join,
    .push = pgsql_push,
    .take_share = pgsql_take_share,
    .release_share = pgsql_release_share,
    .open_sessions = fleet_pgsql_open_sessions,
    .open_ledger = fleet_pgsql_open_ledger,
};

static enum status connect(struct fleet_pgsql *fleet, const struct fleet_settings *settings, struct err *err)
{
    const struct pg_settings pg_settings = {.conninfo = settings->conninfo,
                                            .password_file = settings->password_file,
                                            .first = STATEMENTS[FLEET_SESSION],
                                            .statements = STATEMENTS,
                                            .statement_count = FLEET_STATEMENT_COUNT};
    struct version version = {.number = 0};
    enum status status = pg_open(&pg_settings, &fleet->pg, err);

    if (status != ST_OK || settings->is_any_version)
        return status;
    status = read_version(fleet, &version, err);
    return status == ST_OK ? check_version(fleet, &version, err) : status;
}

enum status fleet_open(const struct fleet_settings *settings, struct fleet **fleet_out, struct err *err)
{
    struct fleet_pgsql *fleet = calloc(1, sizeof *fleet);
    enum status status;

    if (fleet == NULL)
        return err_set(err, ST_NOMEM, "fleet: out of memory");
    fleet->base.methods = &METHODS;
    (void)snprintf(fleet->host, sizeof fleet->host, "%s", settings->host);
    fleet->window_s = settings->window_s;
    fleet->lease_s = settings->lease_s;
    status = connect(fleet, settings, err);
    if (status == ST_OK)
        *fleet_out = &fleet->base;
    else
        pgsql_close(&fleet->base);
    return status;
}
