/* SPDX-License-Identifier: MIT */
/*
 * Pushes to a database that the test makes up: it keeps the greatest of each key, as fleet_sql.h says.  What
 * stands there is at no moment more than what senders saw, and after a push that nobody disturbed exactly
 * that; whatever failed before: memory at the Nth allocation, the database before or behind a transaction.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../fuzz/array_literal.h"
#include "../../fuzz/fake_pg.h"
#include "../../unit/names.h"
#include "../fault.h"
#include "fleet/fleet.h"
#include "store/session_writer.h"

#define DAY      20526 /* 2026-03-14 */
#define NOW_S    1773500000
#define SLOTS    65536
#define KEY_SIZE 200
#define ITEM_MAX 4096
#define REPLAYS  8
#define N_MAX    100000
#define DOMAINS  6
#define MANY     2500
#define SEEDS    25
#define STEPS    40
#define NONE     (-1)

/* ---- the database ---- */

/* T domain day policy instance: success, failure.  d ... policy detail instance: sessions.  P, D, R: the
 * texts are there.  I instance: complete through, ended. */
struct session_slot {
    char key[KEY_SIZE];
    int64_t a, b;
};

/* Of one transaction. */
struct sent {
    char *arrays[FAKE_PG_COLUMNS];
    size_t statement;
    int count;
};

enum disturbance {
    GONE,   /* nothing is done */
    SILENT, /* it is done, but nobody hears so */
};

static struct {
    struct session_slot slots[SLOTS];
    size_t batches;    /* since the last disturb */
    int64_t disturbed; /* that batch, or NONE */
    enum disturbance how;
    struct sent replays[REPLAYS]; /* statements of before, which may arrive again */
    size_t replay_count;
    bool remembers;
} database;

static void disturb(int64_t batch, enum disturbance how)
{
    database.batches = 0;
    database.disturbed = batch;
    database.how = how;
}

static struct session_slot *find(const char *key)
{
    uint32_t sum = 2166136261U;

    for (const char *at = key; *at != '\0'; at++)
        sum = (sum ^ (unsigned char)*at) * 16777619U;
    for (size_t i = sum % SLOTS;; i = (i + 1) % SLOTS)
        if (database.slots[i].key[0] == '\0' || strcmp(database.slots[i].key, key) == 0)
            return &database.slots[i];
}

static void keep_greatest(const char *key, int64_t a, int64_t b)
{
    struct session_slot *slot = find(key);

    (void)snprintf(slot->key, sizeof slot->key, "%s", key);
    slot->a = a > slot->a ? a : slot->a;
    slot->b = b > slot->b ? b : slot->b;
}

static const struct {
    enum fleet_statement statement;
    const char *prefix;
    int keys;   /* columns of the key, the first ones */
    int first;  /* column of a */
    int second; /* of b, or NONE */
} TABLES[] = {
    {FLEET_PUSH_POLICIES, "P", 3, NONE, NONE}, {FLEET_PUSH_DETAILS, "D", 3, NONE, NONE},
    {FLEET_PUSH_TALLIES, "T", 4, 5, 6},        {FLEET_PUSH_DETAIL_TALLIES, "d", 5, 5, NONE},
    {FLEET_PUSH_RECORDS, "R", 3, 3, NONE},
};

/* Row by row, all columns at once; they must be equally long. */
static void insert_arrays(const char *const *arrays, int count, size_t table)
{
    static char items[FAKE_PG_COLUMNS][ITEM_MAX];
    const char *at[FAKE_PG_COLUMNS];
    char key[KEY_SIZE];

    memcpy(at, arrays, (size_t)count * sizeof at[0]);
    for (;;) {
        size_t len = (size_t)snprintf(key, sizeof key, "%s", TABLES[table].prefix);
        int there = 0;

        for (int i = 0; i < count; i++) {
            bool is_null, is_good;

            there += array_literal_next(&at[i], items[i], &is_null, &is_good);
            assert_true(is_good);
        }
        assert_true(there == 0 || there == count);
        if (there == 0)
            return;
        for (int i = 0; i < TABLES[table].keys; i++)
            len += (size_t)snprintf(key + len, sizeof key - len, " %s", items[i]);
        assert_true(len < sizeof key);
        keep_greatest(key, TABLES[table].first != NONE ? atoll(items[TABLES[table].first]) : 1,
                      TABLES[table].second != NONE ? atoll(items[TABLES[table].second]) : 0);
    }
}

static void run_statement(size_t statement, const char *const *values, int count)
{
    char key[KEY_SIZE];

    for (size_t i = 0; i < ARRAY_COUNT(TABLES); i++)
        if (TABLES[i].statement == statement)
            insert_arrays(values, count, i);
    (void)snprintf(key, sizeof key, "I %s", values[0]);
    if (statement == FLEET_PUSH_INSTANCE)
        keep_greatest(key, atoll(values[4]), 0);
    else if (statement == FLEET_END_INSTANCE)
        keep_greatest(key, 0, 1);
}

/* Let it come again, some time. */
static void remember(const struct fake_pg_change *change)
{
    struct sent *sent = &database.replays[database.replay_count++ % REPLAYS];

    for (int i = 0; i < sent->count; i++)
        free(sent->arrays[i]);
    sent->statement = change->statement;
    sent->count = change->count;
    for (int i = 0; i < sent->count; i++) {
        sent->arrays[i] = strdup(change->values[i]);
        assert_non_null(sent->arrays[i]);
    }
}

static void replay(size_t number)
{
    const struct sent *sent = &database.replays[number % REPLAYS];

    if (sent->count > 0)
        run_statement(sent->statement, (const char *const *)sent->arrays, sent->count);
}

static void forget_database(void)
{
    for (size_t i = 0; i < REPLAYS; i++)
        for (int j = 0; j < database.replays[i].count; j++)
            free(database.replays[i].arrays[j]);
    memset(&database, 0, sizeof database);
    database.disturbed = NONE;
}

static enum status fake_pg_read(size_t statement, pg_row_fn *fn, void *context, int64_t *rows_out,
                                struct err *err)
{
    const struct pg_row version = {{"2", "000102030405060708090a0b0c0d0e0f"}, 2};

    if (rows_out != NULL)
        *rows_out = 1;
    return statement == FLEET_VERSION ? fn(context, &version, err) : ST_OK;
}

static enum status fake_pg_change(const struct pg_batch *batch, struct err *err)
{
    bool is_hit = (int64_t)database.batches++ == database.disturbed;

    if (is_hit && database.how == GONE)
        return err_set(err, ST_TEMPORARY, "fleet database: gone");
    for (size_t i = 0; i < batch->count; i++) {
        const struct fake_pg_change *change = &batch->changes[i];

        run_statement(change->statement, change->values, change->count);
        if (database.remembers && change->statement != FLEET_PUSH_INSTANCE &&
            change->statement != FLEET_END_INSTANCE)
            remember(change);
    }
    return is_hit ? err_set(err, ST_TEMPORARY, "fleet database: no answer in time") : ST_OK;
}

/* ---- the host ---- */

static struct {
    char folder[64], sessions[96], push[96];
    int64_t success[MANY], failure[MANY]; /* what senders saw, by domain */
    uint64_t sequence;
    char instance[FLEET_ID_SIZE];
} world;

static void remove_files(const char *path)
{
    static const char *const SUFFIXES[] = {"", "-wal", "-shm", "-journal"};
    char name[128];

    for (size_t i = 0; i < ARRAY_COUNT(SUFFIXES); i++) {
        (void)snprintf(name, sizeof name, "%s%s", path, SUFFIXES[i]);
        (void)unlink(name);
    }
}

static void begin_anew(void)
{
    remove_files(world.sessions);
    remove_files(world.push);
    forget_database();
    memset(world.success, 0, sizeof world.success);
    memset(world.failure, 0, sizeof world.failure);
    world.sequence = 0;
}

static const char *domain_name(int number, char name_out[32])
{
    (void)snprintf(name_out, 32, "d%d.example", number);
    return name_out;
}

/* One session more; a failure has one of three details. */
static void add_session(struct session_writer *store, int domain, bool is_failed, int variant)
{
    static const char *const HOSTS[] = {"mx1.example", "say \"mx2\", {\\}", "NULL"};
    static const char *strings[] = {"version: STSv1", "mode: enforce"};
    char name[32];
    struct failure_detail detail = {.result_type = RESULT_CERTIFICATE_EXPIRED,
                                    .receiving_mx_hostname = HOSTS[variant % 3]};
    struct result_policy policy = {
        .policy = {.type = variant % 2 != 0 ? POLICY_STS : POLICY_NO_POLICY_FOUND,
                   .domain = domain_name(domain, name),
                   .strings = {strings, variant % 2 != 0 ? ARRAY_COUNT(strings) : 0}},
        .is_failed = is_failed,
        .details = &detail,
        .detail_count = is_failed ? 1 : 0};
    const struct session_result result = {.domain = name,
                                          .record = "v=TLSRPTv1; rua=mailto:a@b.example",
                                          .policies = &policy,
                                          .policy_count = 1};
    struct err err;
    struct tally_plan plan;

    assert_int_equal(session_writer_add(store, &result, DAY, 1, NOW_S, &plan, &err), ST_OK);
    session_writer_bump(store, COUNTER_STORED, 1);
    ++*(is_failed ? &world.failure[domain] : &world.success[domain]);
}

static struct session_writer *begin_counting(void)
{
    const struct session_limits limits = {.max_policies = 100, .max_details = 1000, .max_subdomains = 1000};
    struct session_writer *store = NULL;
    struct err err;

    assert_int_equal(session_writer_open(world.sessions, &limits, &store, &err), ST_OK);
    assert_int_equal(session_writer_begin(store, &err), ST_OK);
    return store;
}

static void end_counting(struct session_writer *store)
{
    const struct session_mark mark = {.counted_through_s = NOW_S + (int64_t)world.sequence,
                                      .ring_sequence = ++world.sequence};
    struct err err;

    assert_int_equal(session_writer_set_mark(store, &mark, &err), ST_OK);
    assert_int_equal(session_writer_commit(store, &err), ST_OK);
    session_writer_close(&store);
}

static void restart_collector(void)
{
    struct session_writer *store = begin_counting();
    static unsigned starts;
    struct err err;

    (void)snprintf(world.instance, sizeof world.instance, "%032x", ++starts);
    assert_int_equal(session_writer_set_note(store, SESSION_INSTANCE_NOTE, world.instance, &err), ST_OK);
    end_counting(store);
}

/* A whole push, as generate/push.c does it. */
static enum status push(struct fleet_pushed *pushed_out, struct err *err)
{
    const struct fleet_settings settings = {.conninfo = "", .password_file = "", .host = "mx1"};
    struct session_reader *sessions = NULL;
    struct fleet *fleet = NULL;
    enum status status = fleet_open(&settings, &fleet, err);

    if (status == ST_OK)
        status = fleet_join(fleet, world.push, err);
    if (status == ST_OK)
        status = session_reader_open(world.sessions, SESSION_READ, &sessions, err);
    if (status == ST_OK)
        status = fleet_push(fleet, sessions, DAY - 3, NOW_S + 1000, pushed_out, err);
    session_reader_close(&sessions);
    fleet_close(&fleet);
    return status;
}

/* The texts of a tally are there, or its counts would be in no report. */
static void check_texts(const char *key, const char *what)
{
    char domain[64], day[16], policy[64], detail[64], name[KEY_SIZE];

    assert_int_equal(sscanf(key, "%*c %63s %15s %63s %63s", domain, day, policy, detail), 4);
    (void)snprintf(name, sizeof name, "P %s %s %s", domain, day, policy);
    if (find(name)->a != 1)
        fail_msg("%s: no text of %s", what, key);
    (void)snprintf(name, sizeof name, "D %s %s %s", domain, day, detail);
    if (key[0] == 'd' && find(name)->a != 1)
        fail_msg("%s: no text of %s", what, key);
}

struct sums {
    int64_t success[MANY], failure[MANY], detailed[MANY];
};

static void sum_up(struct sums *sums_out, const char *what)
{
    memset(sums_out, 0, sizeof *sums_out);
    for (size_t i = 0; i < SLOTS; i++) {
        const struct session_slot *slot = &database.slots[i];
        int domain = -1;

        if (sscanf(slot->key, "%*c d%d.example", &domain) != 1)
            continue;
        if (slot->key[0] == 'T') {
            sums_out->success[domain] += slot->a;
            sums_out->failure[domain] += slot->b;
        } else if (slot->key[0] == 'd') {
            sums_out->detailed[domain] += slot->a;
        } else {
            continue;
        }
        check_texts(slot->key, what);
    }
}

/* is_whole: not less either. */
static void check_database(bool is_whole, const char *what)
{
    static struct sums sums;

    sum_up(&sums, what);
    for (int i = 0; i < MANY; i++) {
        if (sums.success[i] > world.success[i] || sums.failure[i] > world.failure[i] ||
            sums.detailed[i] > world.failure[i])
            fail_msg("%s: d%d.example: more than senders saw: %lld and %lld of %lld and %lld", what, i,
                     (long long)sums.success[i], (long long)sums.failure[i], (long long)world.success[i],
                     (long long)world.failure[i]);
        if (is_whole && (sums.success[i] < world.success[i] || sums.failure[i] < world.failure[i] ||
                         sums.detailed[i] < world.failure[i]))
            fail_msg("%s: d%d.example: less than senders saw: %lld and %lld of %lld and %lld", what, i,
                     (long long)sums.success[i], (long long)sums.failure[i], (long long)world.success[i],
                     (long long)world.failure[i]);
    }
}

/* Undisturbed; then everything is there, and every earlier instance has ended. */
static void push_and_check(const char *what)
{
    struct fleet_pushed totals;
    char key[KEY_SIZE];
    struct err err;
    int open = 0;

    disturb(NONE, GONE);
    if (push(&totals, &err) != ST_OK)
        fail_msg("%s: %s", what, err.text);
    check_database(true, what);
    (void)snprintf(key, sizeof key, "I %s", world.instance);
    assert_int_equal(find(key)->a,
                     NOW_S + (int64_t)world.sequence - 1); /* the mark, not the time of the push */
    assert_int_equal(find(key)->b, 0);
    for (size_t i = 0; i < SLOTS; i++)
        open += database.slots[i].key[0] == 'I' && database.slots[i].b == 0;
    assert_int_equal(open, 1);
}

/* ---- tests ---- */

static void count_some(unsigned *seed)
{
    struct session_writer *store = begin_counting();

    for (int i = rand_r(seed) % 12; i >= 0; i--)
        add_session(store, rand_r(seed) % DOMAINS, rand_r(seed) % 2 != 0, rand_r(seed) % 6);
    end_counting(store);
}

static void take_step(unsigned *seed, const char *what)
{
    struct fleet_pushed totals;
    struct err err;

    switch (rand_r(seed) % 6) {
    case 0:
    case 1:
        count_some(seed);
        break;
    case 2:
        restart_collector();
        break;
    case 3:
        replay((size_t)rand_r(seed));
        break;
    default:
        disturb(rand_r(seed) % 4, rand_r(seed) % 2 != 0 ? GONE : SILENT);
        if (push(&totals, &err) != ST_OK)
            assert_string_not_equal(err.text, "");
        break;
    }
    check_database(false, what);
}

static void test_totals_are_the_truth_whatever_fails(void **state)
{
    char what[64];

    (void)state;
    for (unsigned first = 1; first <= SEEDS; first++) {
        unsigned seed = first;

        begin_anew();
        database.remembers = true;
        restart_collector();
        for (int step = 0; step < STEPS; step++) {
            (void)snprintf(what, sizeof what, "seed %u, step %d", first, step);
            take_step(&seed, what);
        }
        push_and_check(what);
        push_and_check(what);
    }
}

/* Two instances, and something of the first that did not arrive. */
static void prepare_two_instances(void)
{
    struct fleet_pushed totals;
    unsigned seed = 7;
    struct err err;

    begin_anew();
    restart_collector();
    count_some(&seed);
    disturb(0, GONE);
    assert_int_equal(push(&totals, &err), ST_TEMPORARY);
    disturb(NONE, GONE);
    count_some(&seed);
    restart_collector();
    count_some(&seed);
}

static bool push_without_memory(unsigned nth, enum fault_mode mode)
{
    struct fleet_pushed totals;
    struct err err = {0};
    char what[64];
    enum status status;
    bool is_refused;

    prepare_two_instances();
    (void)snprintf(what, sizeof what, "allocation %u fails", nth);
    fault_arm(nth, mode);
    status = push(&totals, &err);
    is_refused = fault_disarm();
    if (status != ST_OK && (status != ST_NOMEM || err.text[0] == '\0' || !is_refused))
        fail_msg("%s: status %s: %s", what, status_name(status), err.text);
    check_database(status == ST_OK, what);
    push_and_check(what);
    return is_refused;
}

static void test_memory_runs_out(void **state)
{
    unsigned tried = 0;

    (void)state;
    for (int mode = FAULT_ONCE; mode <= FAULT_FOREVER; mode++)
        for (unsigned nth = 0; push_without_memory(nth, (enum fault_mode)mode); nth += 13) {
            tried++;
            assert_true(nth < N_MAX);
        }
    print_message("# a push: %u times without memory\n", tried);
}

/* More rows than one transaction takes. */
static void count_many(void)
{
    struct session_writer *store = begin_counting();

    for (int i = 0; i < MANY; i++) {
        add_session(store, i, false, i);
        add_session(store, i, true, i);
    }
    end_counting(store);
}

static void test_every_transaction_may_fail(void **state)
{
    struct fleet_pushed totals;
    struct err err;
    char what[64];

    (void)state;
    for (int how = GONE; how <= SILENT; how++)
        for (int64_t batch = 0;; batch++) {
            enum status status;

            begin_anew();
            restart_collector();
            count_many();
            disturb(batch, (enum disturbance)how);
            status = push(&totals, &err);
            (void)snprintf(what, sizeof what, "transaction %d, way %d", (int)batch, how);
            check_database(status == ST_OK, what);
            restart_collector(); /* what was given to the first instance stays its own */
            push_and_check(what);
            if (status == ST_OK) {
                assert_true(batch >= 3);
                assert_int_equal(totals.sent, totals.examined);
                break;
            }
            assert_int_equal(status, ST_TEMPORARY);
        }
}

static void test_a_store_without_news_is_not_examined(void **state)
{
    struct fleet_pushed totals;
    struct err err;

    (void)state;
    prepare_two_instances();
    push_and_check("first");
    assert_int_equal(push(&totals, &err), ST_OK);
    assert_int_equal(totals.examined, 0);
    assert_int_equal(totals.sent, 0);
    assert_int_equal(totals.complete_through_s, NOW_S + (int64_t)world.sequence - 1);
}

static void test_days_reported_alone_are_not_pushed(void **state)
{
    struct session_reader *reader = NULL;
    struct fleet_pushed totals;
    struct err err;

    (void)state;
    prepare_two_instances();
    forget_database();
    remove_files(world.push);
    assert_int_equal(session_reader_open(world.sessions, SESSION_MAINTAIN, &reader, &err), ST_OK);
    assert_int_equal(session_reader_close_day(reader, DAY, NOW_S, &err), ST_OK);
    session_reader_close(&reader);
    assert_int_equal(push(&totals, &err), ST_OK);
    assert_int_equal(totals.sent, 0);
}

static int make_world(void **state)
{
    (void)state;
    fault_install();
    strcpy(world.folder,
           access("/dev/shm", W_OK) == 0 ? "/dev/shm/push_test.XXXXXX" : "/tmp/push_test.XXXXXX");
    if (mkdtemp(world.folder) == NULL)
        return -1;
    (void)snprintf(world.sessions, sizeof world.sessions, "%s/sessions.db", world.folder);
    (void)snprintf(world.push, sizeof world.push, "%s/push.db", world.folder);
    return 0;
}

static int end_world(void **state)
{
    (void)state;
    begin_anew();
    return rmdir(world.folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_totals_are_the_truth_whatever_fails),
        cmocka_unit_test(test_memory_runs_out),
        cmocka_unit_test(test_every_transaction_may_fail),
        cmocka_unit_test(test_a_store_without_news_is_not_examined),
        cmocka_unit_test(test_days_reported_alone_are_not_pushed),
    };

    return cmocka_run_group_tests(tests, make_world, end_world);
}
