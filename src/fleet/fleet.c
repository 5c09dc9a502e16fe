/* SPDX-License-Identifier: MIT */
#include "fleet/fleet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "base/clock.h"
#include "fleet_inside.h"
#include "pg_array.h"

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
};

const char *fleet_grant(size_t number)
{
    return number < ARRAY_COUNT(GRANTS) ? GRANTS[number] : NULL;
}

int fleet_schema_version(void)
{
    return FLEET_SCHEMA_VERSION;
}

/* ---- identifiers ---- */

static void format_id(const uint64_t words[2], char id_out[FLEET_ID_SIZE])
{
    (void)snprintf(id_out, FLEET_ID_SIZE, "%016llx%016llx", (unsigned long long)words[0],
                   (unsigned long long)words[1]);
}

void fleet_id_new(char id_out[FLEET_ID_SIZE])
{
    struct hash_key key = hash_key_new();

    format_id(key.words, id_out);
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

void fleet_content_id(const struct fleet *fleet, const void *bytes, size_t len, char id_out[FLEET_ID_SIZE])
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

/* ---- open ---- */

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
static enum status read_version(struct fleet *fleet, struct version *version_out, struct err *err)
{
    const struct pg_params none = {.count = 0};
    struct version version = {.number = 0};
    enum status status = pg_query(fleet->pg, FLEET_VERSION, &none, take_version, &version, NULL, err);

    if (status != ST_OK && status != ST_UNSUPPORTED)
        return status;
    *version_out = version;
    return ST_OK;
}

static enum status check_version(struct fleet *fleet, const struct version *version, struct err *err)
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

static enum status connect(const struct fleet_settings *settings, struct fleet **fleet_out, struct err *err)
{
    const struct pg_settings pg_settings = {.conninfo = settings->conninfo,
                                            .password_file = settings->password_file,
                                            .first = STATEMENTS[FLEET_SESSION],
                                            .statements = STATEMENTS,
                                            .statement_count = FLEET_STATEMENT_COUNT};
    struct fleet *fleet = calloc(1, sizeof *fleet);
    enum status status;

    if (fleet == NULL) {
        (void)err_set(err, ST_NOMEM, "fleet: out of memory");
        return ST_NOMEM;
    }
    (void)snprintf(fleet->host, sizeof fleet->host, "%s", settings->host);
    fleet->window_s = settings->window_s;
    fleet->lease_s = settings->lease_s;
    status = pg_open(&pg_settings, &fleet->pg, err);
    if (status == ST_OK)
        *fleet_out = fleet;
    else
        fleet_close(&fleet);
    return status;
}

enum status fleet_open(const struct fleet_settings *settings, struct fleet **fleet_out, struct err *err)
{
    struct version version;
    struct fleet *fleet = NULL;
    enum status status = connect(settings, &fleet, err);

    if (status == ST_OK)
        status = read_version(fleet, &version, err);
    if (status == ST_OK)
        status = check_version(fleet, &version, err);
    if (status == ST_OK)
        *fleet_out = fleet;
    else
        fleet_close(&fleet);
    return status;
}

void fleet_close(struct fleet **fleet)
{
    if (*fleet == NULL)
        return;
    fleet_release_share(*fleet);
    pg_close(&(*fleet)->pg);
    free(*fleet);
    *fleet = NULL;
}

/* ---- schema ---- */

static enum status check_encoding(const struct fleet *fleet, struct err *err)
{
    const char *encoding = pg_server_setting(fleet->pg, "server_encoding");

    if (strcmp(encoding, "UTF8") == 0)
        return ST_OK;
    return err_set(err, ST_CONFIG,
                   "fleet: the database's encoding is %.40s; make one with createdb --template=template0 "
                   "--encoding=UTF8 --locale=C",
                   *encoding != '\0' ? encoding : "unknown");
}

static enum status add_leases(struct fleet *fleet, struct err *err)
{
    struct pg_params params = {.count = 0};
    char buckets[FLEET_BUCKETS_TEXT];

    pg_add_text(&params, fleet_scope(fleet, buckets));
    return pg_query(fleet->pg, FLEET_ADD_LEASES, &params, NULL, NULL, NULL, err);
}

static enum status set_version(struct fleet *fleet, struct err *err)
{
    struct pg_params params = {.count = 0};
    char key[FLEET_ID_SIZE];

    fleet_id_new(key);
    pg_add_int(&params, FLEET_SCHEMA_VERSION);
    pg_add_text(&params, key);
    return pg_query(fleet->pg, FLEET_SET_VERSION, &params, NULL, NULL, NULL, err);
}

enum status fleet_init(const struct fleet_settings *settings, int64_t *from_out, struct err *err)
{
    struct version version = {.number = 0};
    struct fleet *fleet = NULL;
    enum status status = connect(settings, &fleet, err);

    if (status == ST_OK)
        status = check_encoding(fleet, err);
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
        *from_out = version.number;
    fleet_close(&fleet);
    return status;
}

/* ---- hosts ---- */

struct instance_walk {
    fleet_instance_fn *fn;
    void *context;
};

static enum status give_instance(void *context, const struct pg_row *row, struct err *err)
{
    const struct instance_walk *walk = context;
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

    return walk->fn(walk->context, &instance, err);
}

enum status fleet_each_instance(struct fleet *fleet, int64_t now_s, fleet_instance_fn *fn, void *context,
                                struct err *err)
{
    struct instance_walk walk = {fn, context};
    struct pg_params params = {.count = 0};

    pg_add_int(&params, now_s - fleet->window_s);
    return pg_query(fleet->pg, FLEET_LIST_INSTANCES, &params, give_instance, &walk, NULL, err);
}

enum status fleet_forget_host(struct fleet *fleet, const char *host, int64_t *count_out, struct err *err)
{
    struct pg_params params = {.count = 0};

    pg_add_text(&params, host);
    pg_add_int(&params, clock_utc_s());
    return pg_query(fleet->pg, FLEET_FORGET_HOST, &params, NULL, NULL, count_out, err);
}

enum status fleet_note_missed(struct fleet *fleet, int32_t utc_day, const struct fleet_instance *instance,
                              bool *is_new_out, struct err *err)
{
    struct pg_params params = {.count = 0};
    int64_t rows = 0;
    enum status status;

    pg_add_int(&params, utc_day);
    pg_add_text(&params, instance->id);
    pg_add_text(&params, instance->host);
    pg_add_int(&params, instance->complete_through_s);
    status = pg_query(fleet->pg, FLEET_ADD_MISSED, &params, NULL, NULL, &rows, err);
    *is_new_out = status == ST_OK && rows > 0;
    return status;
}

struct missed_walk {
    fleet_missed_fn *fn;
    void *context;
};

static enum status give_missed(void *context, const struct pg_row *row, struct err *err)
{
    const struct missed_walk *walk = context;

    return walk->fn(walk->context, (int32_t)pg_int(row, 0), pg_text(row, 1), pg_int(row, 2), err);
}

enum status fleet_each_missed(struct fleet *fleet, int32_t from_day, fleet_missed_fn *fn, void *context,
                              struct err *err)
{
    struct missed_walk walk = {fn, context};
    struct pg_params params = {.count = 0};

    pg_add_int(&params, from_day);
    return pg_query(fleet->pg, FLEET_LIST_MISSED, &params, give_missed, &walk, NULL, err);
}

struct late_walk {
    fleet_late_fn *fn;
    void *context;
};

static enum status give_late(void *context, const struct pg_row *row, struct err *err)
{
    const struct late_walk *walk = context;

    return walk->fn(walk->context, (int32_t)pg_int(row, 0), pg_int(row, 1), err);
}

enum status fleet_each_late(struct fleet *fleet, int32_t from_day, fleet_late_fn *fn, void *context,
                            struct err *err)
{
    struct late_walk walk = {fn, context};
    struct pg_params params = {.count = 0};

    pg_add_int(&params, from_day);
    return pg_query(fleet->pg, FLEET_LATE, &params, give_late, &walk, NULL, err);
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

const char *fleet_scope(const struct fleet *fleet, char text_out[FLEET_BUCKETS_TEXT])
{
    format_mask(fleet->held != 0 ? fleet->held : ALL_BUCKETS, text_out);
    return text_out;
}

int fleet_scope_count(const struct fleet *fleet)
{
    return __builtin_popcountll(fleet->held != 0 ? fleet->held : ALL_BUCKETS);
}

/* The epochs of the buckets held, in their order. */
static void format_epochs(const struct fleet *fleet, char text_out[EPOCHS_BYTES])
{
    size_t len = 0;

    text_out[len++] = '{';
    for (int i = 0; i < FLEET_BUCKETS; i++)
        if (has_bucket(fleet->held, i))
            len += (size_t)snprintf(text_out + len, EPOCHS_BYTES - len, "%s%lld", len > 1 ? "," : "",
                                    (long long)fleet->epochs[i]);
    (void)snprintf(text_out + len, EPOCHS_BYTES - len, "}");
}

enum status fleet_add_fence(const struct fleet *fleet, struct pg_batch *batch, struct err *err)
{
    struct pg_params params = {.count = 0};
    char buckets[FLEET_BUCKETS_TEXT], epochs[EPOCHS_BYTES];

    if (fleet->held == 0)
        return ST_OK;
    format_epochs(fleet, epochs);
    pg_add_text(&params, fleet_scope(fleet, buckets));
    pg_add_text(&params, epochs);
    pg_add_int(&params, fleet->lease_s);
    return pg_batch_add(batch, FLEET_FENCE, &params, fleet_scope_count(fleet), err);
}

void fleet_begin_run(struct fleet *fleet)
{
    fleet->visited = 0;
}

int fleet_share_size(const struct fleet *fleet)
{
    return fleet->held != 0 ? fleet_scope_count(fleet) : 0;
}

struct lease_walk {
    struct fleet *fleet;
    uint64_t free;
    char other[FLEET_HOST_SIZE]; /* a host that holds one */
};

static enum status take_lease_row(void *context, const struct pg_row *row, struct err *err)
{
    struct lease_walk *walk = context;
    int64_t bucket = pg_int(row, 0);

    (void)err;
    if (bucket < 0 || bucket >= FLEET_BUCKETS)
        return ST_OK;
    if (pg_int(row, 2) != 0)
        walk->free |= (uint64_t)1 << bucket;
    else
        (void)snprintf(walk->other, sizeof walk->other, "%s", pg_text(row, 1));
    return ST_OK;
}

static enum status take_count(void *context, const struct pg_row *row, struct err *err)
{
    (void)err;
    *(int64_t *)context = pg_int(row, 0);
    return ST_OK;
}

static enum status announce(struct fleet *fleet, const char *owner, int64_t *generators_out, struct err *err)
{
    const struct pg_params none = {.count = 0};
    struct pg_params params = {.count = 0};
    enum status status;

    pg_add_text(&params, owner);
    pg_add_text(&params, fleet->host);
    status = pg_query(fleet->pg, FLEET_SEEN_GENERATOR, &params, NULL, NULL, NULL, err);
    if (status != ST_OK)
        return status;
    return pg_query(fleet->pg, FLEET_COUNT_GENERATORS, &none, take_count, generators_out, NULL, err);
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
    struct fleet *fleet = context;
    int64_t bucket = pg_int(row, 0);

    (void)err;
    if (bucket < 0 || bucket >= FLEET_BUCKETS)
        return ST_OK;
    fleet->held |= (uint64_t)1 << bucket;
    fleet->epochs[bucket] = pg_int(row, 1);
    return ST_OK;
}

static enum status take_leases(struct fleet *fleet, const char *owner, uint64_t wanted, struct err *err)
{
    struct pg_params params = {.count = 0};
    char buckets[FLEET_BUCKETS_TEXT];
    enum status status;

    format_mask(wanted, buckets);
    pg_add_text(&params, owner);
    pg_add_text(&params, fleet->host);
    pg_add_int(&params, fleet->lease_s);
    pg_add_text(&params, buckets);
    status = pg_query(fleet->pg, FLEET_TAKE_LEASES, &params, take_epoch, fleet, NULL, err);
    fleet->visited |= fleet->held;
    return status;
}

enum status fleet_take_share(struct fleet *fleet, const char *owner, struct err *err)
{
    struct lease_walk walk = {.fleet = fleet};
    struct pg_params params = {.count = 0};
    int64_t generators = 1;
    enum status status = announce(fleet, owner, &generators, err);

    fleet->held = 0;
    pg_add_text(&params, owner);
    pg_add_text(&params, fleet->host);
    if (status == ST_OK)
        status = pg_query(fleet->pg, FLEET_LIST_LEASES, &params, take_lease_row, &walk, NULL, err);
    if (status != ST_OK)
        return status;
    walk.free &= ~fleet->visited;
    if (generators < 1)
        generators = 1;
    if (walk.free != 0)
        status = take_leases(fleet, owner,
                             choose(walk.free, (FLEET_BUCKETS + generators - 1) / generators, owner), err);
    if (status == ST_OK && fleet->held == 0)
        status =
            err_set(err, ST_NOT_FOUND, "%s%s",
                    *walk.other != '\0' ? "other generators hold the rest, as " : "all is done", walk.other);
    return status;
}

void fleet_release_share(struct fleet *fleet)
{
    struct pg_params params = {.count = 0};
    char buckets[FLEET_BUCKETS_TEXT], epochs[EPOCHS_BYTES];
    enum status status;

    if (fleet->held == 0)
        return;
    format_epochs(fleet, epochs);
    pg_add_text(&params, fleet_scope(fleet, buckets));
    pg_add_text(&params, epochs);
    status = pg_query(fleet->pg, FLEET_RELEASE, &params, NULL, NULL, NULL, NULL);
    (void)status; /* they run out by themselves */
    fleet->held = 0;
}
