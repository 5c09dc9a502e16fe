/* SPDX-License-Identifier: MIT */
/*
 * The ledger in a fleet's database.  Changes are gathered, and sent as one transaction behind the fence of
 * the leases that are held; each of them is harmless when it is done twice, because a commit whose answer was
 * lost is sent again.  What was changed is not seen by reading until it is sent.
 */
#include <stdlib.h>
#include <string.h>

#include "fleet_inside.h"
#include "model/schedule.h"
#include "model/utc_day.h"
#include "pg_array.h"
#include "store/ledger_methods.h"

#define PART_BYTES_MAX   ((size_t)32 << 20) /* a transaction is sent in parts, each of whole domains */
#define NAMES_BYTES_MAX  ((size_t)1 << 20)
#define COUNTED_DAYS_MAX 400

/* What is known of a domain's day that was asked for in advance. */
struct found {
    const char *domain;
    struct ledger_found what;
};

struct counted_day {
    int32_t utc_day;
    struct ledger_counts counts;
};

struct ledger_fleet {
    struct ledger base;
    struct fleet_pgsql *fleet;
    struct pg_batch *batch;
    bool is_in_transaction;

    struct arena arena;  /* holds the names below */
    struct found *found; /* by domain */
    size_t found_count;
    int32_t found_day;

    struct counted_day *counted; /* NULL: not counted since the last change */
    size_t counted_count;
};

static struct ledger_fleet *fleet_of(struct ledger *ledger)
{
    return (struct ledger_fleet *)ledger;
}

static enum status no_memory(struct err *err)
{
    return err_set(err, ST_NOMEM, "fleet's ledger: out of memory");
}

/* ---- transactions ---- */

static void forget_counts(struct ledger_fleet *ledger)
{
    free(ledger->counted);
    ledger->counted = NULL;
    ledger->counted_count = 0;
}

static void forget_found(struct ledger_fleet *ledger)
{
    arena_reset(&ledger->arena);
    ledger->found = NULL;
    ledger->found_count = 0;
}

static enum status send(struct ledger_fleet *ledger, struct err *err)
{
    enum status status = pg_batch_run(ledger->fleet->pg, ledger->batch, err);

    pg_batch_reset(ledger->batch);
    forget_counts(ledger);
    return status;
}

/* The first change of a transaction comes after the fence. */
static enum status add(struct ledger_fleet *ledger, enum fleet_statement statement,
                       const struct bind_value *values, size_t count, int64_t least_rows, struct err *err)
{
    enum status status = ST_OK;

    if (pg_batch_count(ledger->batch) == 0)
        status = fleet_add_fence(ledger->fleet, ledger->batch, err);
    if (status == ST_OK)
        status = pg_batch_add(ledger->batch, statement, values, count, least_rows, err);
    return status;
}

/* After the changes of one function: alone they are a transaction, and a large one is sent in parts. */
static enum status settle(struct ledger_fleet *ledger, enum status status, struct err *err)
{
    bool is_due = !ledger->is_in_transaction || pg_batch_bytes(ledger->batch) > PART_BYTES_MAX;

    if (status == ST_OK && is_due)
        return send(ledger, err);
    if (status != ST_OK && !ledger->is_in_transaction)
        pg_batch_reset(ledger->batch);
    return status;
}

/* A function that is one change. */
static enum status change(struct ledger *base, enum fleet_statement statement,
                          const struct bind_value *values, size_t count, int64_t least_rows, struct err *err)
{
    struct ledger_fleet *ledger = fleet_of(base);

    return settle(ledger, add(ledger, statement, values, count, least_rows, err), err);
}

static enum status fleet_begin(struct ledger *base, struct err *err)
{
    struct ledger_fleet *ledger = fleet_of(base);

    (void)err;
    pg_batch_reset(ledger->batch);
    ledger->is_in_transaction = true;
    return ST_OK;
}

static enum status fleet_commit(struct ledger *base, struct err *err)
{
    struct ledger_fleet *ledger = fleet_of(base);

    ledger->is_in_transaction = false;
    return send(ledger, err);
}

static void fleet_rollback(struct ledger *base)
{
    struct ledger_fleet *ledger = fleet_of(base);

    ledger->is_in_transaction = false;
    pg_batch_reset(ledger->batch);
    forget_found(ledger);
}

static struct pg *pg_of(struct ledger *base)
{
    return fleet_of(base)->fleet->pg;
}

/* ---- days and domains ---- */

static int compare_found(const void *a, const void *b)
{
    return strcmp(((const struct found *)a)->domain, ((const struct found *)b)->domain);
}

static struct found *find_found(const struct ledger_fleet *ledger, const char *domain)
{
    const struct found key = {.domain = domain};

    return ledger->found_count > 0
               ? bsearch(&key, ledger->found, ledger->found_count, sizeof key, compare_found)
               : NULL;
}

static enum status take_found(void *context, const struct pg_row *row, struct err *err)
{
    struct found *found = find_found(context, pg_text(row, 0));

    (void)err;
    if (found == NULL)
        return ST_OK;
    found->what =
        (struct ledger_found){(enum ledger_entry)(pg_int(row, 1) & 3), pg_int(row, 2), pg_int(row, 3)};
    return ST_OK;
}

static enum status make_slots(struct ledger_fleet *ledger, const char *const *domains, size_t count,
                              struct strbuf *names, struct err *err)
{
    forget_found(ledger);
    ledger->found = arena_alloc_array(&ledger->arena, count + 1, sizeof ledger->found[0]);
    if (ledger->found == NULL)
        return no_memory(err);
    pg_array_begin(names);
    for (size_t i = 0; i < count; i++) {
        const char *domain = arena_copy_text(&ledger->arena, domains[i], strlen(domains[i]));

        if (domain == NULL)
            return no_memory(err);
        ledger->found[i] = (struct found){.domain = domain};
        pg_array_add_text(names, domain);
    }
    pg_array_end(names);
    qsort(ledger->found, count, sizeof ledger->found[0], compare_found);
    ledger->found_count = count;
    return strbuf_is_failed(names) ? no_memory(err) : ST_OK;
}

static enum status fleet_prefetch(struct ledger *base, int32_t utc_day, const char *const *domains,
                                  size_t count, struct err *err)
{
    struct ledger_fleet *ledger = fleet_of(base);
    struct strbuf names;
    enum status status;

    strbuf_init(&names, NAMES_BYTES_MAX);
    status = make_slots(ledger, domains, count, &names, err);
    if (status == ST_OK)
        status =
            pg_query(pg_of(base), FLEET_FIND, BIND(TEXT(names.data), INT(utc_day)), take_found, ledger, err);
    ledger->found_day = utc_day;
    if (status != ST_OK)
        forget_found(ledger);
    strbuf_done(&names);
    return status;
}

static enum status find_or_ask(struct ledger_fleet *ledger, int32_t utc_day, const char *domain,
                               const struct found **found_out, struct err *err)
{
    const struct found *found = ledger->found_day == utc_day ? find_found(ledger, domain) : NULL;
    enum status status = ST_OK;

    if (found == NULL) {
        status = fleet_prefetch(&ledger->base, utc_day, &domain, 1, err);
        found = status == ST_OK ? find_found(ledger, domain) : NULL;
    }
    if (found == NULL)
        return status != ST_OK ? status : no_memory(err);
    *found_out = found;
    return ST_OK;
}

static enum status fleet_find(struct ledger *base, int32_t utc_day, const char *domain,
                              struct ledger_found *found_out, struct err *err)
{
    const struct found *found = NULL;
    enum status status = find_or_ask(fleet_of(base), utc_day, domain, &found, err);

    if (status == ST_OK)
        *found_out = found->what;
    return status;
}

/* What we enter ourselves is known from then on. */
static void note_found(struct ledger_fleet *ledger, int32_t utc_day, const char *domain,
                       enum ledger_entry entry, int64_t since_s)
{
    struct found *found = ledger->found_day == utc_day ? find_found(ledger, domain) : NULL;

    if (found == NULL || (found->what.entry == entry && entry != LEDGER_NOTHING))
        return;
    found->what = (struct ledger_found){.entry = entry, .since_s = since_s};
}

static enum status insert_report(struct ledger_fleet *ledger, const struct ledger_report *report,
                                 struct err *err)
{
    return add(ledger, FLEET_ADD_REPORT,
               BIND(INT(report->utc_day), TEXT(report->domain), TEXT(report->report_id),
                    INT(report->created_at_s), TEXT(report->organization_name), TEXT(report->contact_info),
                    TEXT(report->from), TEXT(report->envelope_from), TEXT(report->file_name),
                    INT(report->inflated_bytes), INT(report->success), INT(report->failure),
                    TEXT(report->note), INT(fleet_bucket(report->domain)),
                    BYTES(report->gzip, report->gzip_len)),
               1, err);
}

static enum status insert_delivery(struct ledger_fleet *ledger, const struct ledger_report *report,
                                   const struct ledger_delivery *delivery, size_t number, struct err *err)
{
    return add(ledger, FLEET_ADD_DELIVERY,
               BIND(TEXT(report->domain), INT(report->utc_day), INT((int64_t)number),
                    INT(fleet_bucket(report->domain)), TEXT(delivery->rua), INT(delivery->kind),
                    TEXT(delivery->host), TEXT_OR_EMPTY(delivery->message_id), INT(delivery->state),
                    INT(delivery->next_at_s), TEXT_OR_EMPTY(delivery->last_text), TEXT(delivery->owner),
                    TEXT(delivery->destination), INT(delivery->due_at_s), INT(delivery->turn)),
               0, err);
}

static bool is_repeated(const struct ledger_delivery *deliveries, size_t number)
{
    for (size_t i = 0; i < number; i++)
        if (strcmp(deliveries[i].rua, deliveries[number].rua) == 0)
            return true;
    return false;
}

static enum status fleet_add_report(struct ledger *base, const struct ledger_report *report,
                                    const struct ledger_delivery *deliveries, size_t count,
                                    enum ledger_entry was, struct err *err)
{
    struct ledger_fleet *ledger = fleet_of(base);
    enum status status = insert_report(ledger, report, err);

    for (size_t i = 0; i < count && status == ST_OK; i++)
        if (!is_repeated(deliveries, i))
            status = insert_delivery(ledger, report, &deliveries[i], i + 1, err);
    if (status == ST_OK && was != LEDGER_NOTHING)
        status = add(ledger, was == LEDGER_SKIPPED ? FLEET_UNSKIP : FLEET_UNWAIT,
                     BIND(TEXT(report->domain), INT(report->utc_day)), 0, err);
    if (status == ST_OK)
        note_found(ledger, report->utc_day, report->domain, LEDGER_REPORT, report->created_at_s);
    return settle(ledger, status, err);
}

static enum status fleet_add_skipped(struct ledger *base, int32_t utc_day, const char *domain,
                                     const char *reason, int64_t now_s, struct err *err)
{
    struct ledger_fleet *ledger = fleet_of(base);
    enum status status =
        add(ledger, FLEET_SKIP,
            BIND(TEXT(domain), INT(utc_day), INT(fleet_bucket(domain)), TEXT(reason), INT(now_s)), 0, err);

    if (status == ST_OK)
        status = add(ledger, FLEET_UNWAIT, BIND(TEXT(domain), INT(utc_day)), 0, err);
    note_found(ledger, utc_day, domain, LEDGER_SKIPPED, now_s);
    return settle(ledger, status, err);
}

static enum status fleet_add_waiting(struct ledger *base, int32_t utc_day, const char *domain,
                                     const char *reason, int64_t now_s, int64_t next_at_s, struct err *err)
{
    note_found(fleet_of(base), utc_day, domain, LEDGER_WAITING, now_s);
    return change(
        base, FLEET_WAIT,
        BIND(TEXT(domain), INT(utc_day), INT(fleet_bucket(domain)), TEXT(reason), INT(now_s), INT(next_at_s)),
        0, err);
}

/* A walk's callback, and what the rows are. */
struct ledger_walk {
    void *context;
    ledger_domain_fn *domain;
    ledger_day_fn *day;
    ledger_report_fn *report;
    ledger_delivery_fn *delivery;
    ledger_suppression_fn *suppression;
    ledger_budget_fn *budget;
};

static enum status give_domain(void *context, const struct pg_row *row, struct err *err)
{
    const struct ledger_walk *walk = context;

    return walk->domain(walk->context, (int32_t)pg_int(row, 0), pg_text(row, 1), pg_text(row, 2),
                        pg_int(row, 3), err);
}

static enum status fleet_each_skipped(struct ledger *base, int32_t utc_day, ledger_domain_fn *fn,
                                      void *context, struct err *err)
{
    struct ledger_walk walk = {.context = context, .domain = fn};

    return pg_query(pg_of(base), FLEET_EACH_SKIPPED, BIND(INT(utc_day)), give_domain, &walk, err);
}

static enum status fleet_each_waiting(struct ledger *base, int32_t utc_day, ledger_domain_fn *fn,
                                      void *context, struct err *err)
{
    struct ledger_walk walk = {.context = context, .domain = fn};

    return pg_query(pg_of(base), FLEET_EACH_WAITING, BIND(INT(utc_day)), give_domain, &walk, err);
}

/* Closed for the buckets that are ours. */
static enum status fleet_close_day(struct ledger *base, int32_t utc_day, int64_t now_s, struct err *err)
{
    char buckets[FLEET_BUCKETS_TEXT];

    return change(base, FLEET_CLOSE_DAY,
                  BIND(TEXT(fleet_scope(fleet_of(base)->fleet, buckets)), INT(utc_day), INT(now_s)), 0, err);
}

static enum status fleet_day_is_closed(struct ledger *base, int32_t utc_day, bool *is_closed_out,
                                       struct err *err)
{
    const struct fleet_pgsql *fleet = fleet_of(base)->fleet;
    char buckets[FLEET_BUCKETS_TEXT];
    int64_t count = 0;
    enum status status =
        pg_query(fleet->pg, FLEET_CLOSED_BUCKETS, BIND(TEXT(fleet_scope(fleet, buckets)), INT(utc_day)),
                 fleet_take_number, &count, err);

    if (status == ST_OK)
        *is_closed_out = count >= fleet_scope_count(fleet);
    return status;
}

static enum status give_day(void *context, const struct pg_row *row, struct err *err)
{
    const struct ledger_walk *walk = context;

    return walk->day(walk->context, (int32_t)pg_int(row, 0), pg_int(row, 1), err);
}

static enum status fleet_each_closed_day(struct ledger *base, ledger_day_fn *fn, void *context,
                                         struct err *err)
{
    struct ledger_walk walk = {.context = context, .day = fn};

    return pg_query(pg_of(base), FLEET_EACH_CLOSED_DAY, BIND(INT(FLEET_BUCKETS)), give_day, &walk, err);
}

/* ---- reports ---- */

/* The columns of REPORT_COLUMNS; texts belong to the row. */
static struct ledger_report report_row(const struct pg_row *row)
{
    return (struct ledger_report){
        .utc_day = (int32_t)pg_int(row, 0),
        .domain = pg_text(row, 1),
        .report_id = pg_text(row, 2),
        .created_at_s = pg_int(row, 3),
        .organization_name = pg_text(row, 4),
        .contact_info = pg_text(row, 5),
        .from = pg_text(row, 6),
        .envelope_from = pg_text(row, 7),
        .file_name = pg_text(row, 8),
        .inflated_bytes = pg_count(row, 9),
        .success = pg_count(row, 10),
        .failure = pg_count(row, 11),
        .note = pg_text(row, 12),
    };
}

static enum status give_report(void *context, const struct pg_row *row, struct err *err)
{
    const struct ledger_walk *walk = context;
    struct ledger_report report = report_row(row);

    report.gzip_len = (size_t)pg_count(row, 13);
    return walk->report(walk->context, &report, err);
}

static enum status fleet_each_report(struct ledger *base, int32_t utc_day, ledger_report_fn *fn,
                                     void *context, struct err *err)
{
    struct ledger_walk walk = {.context = context, .report = fn};

    return pg_query(pg_of(base), FLEET_EACH_REPORT, BIND(INT(utc_day)), give_report, &walk, err);
}

struct wanted_report {
    struct arena *arena;
    struct ledger_report report;
    bool is_there;
};

static enum status take_report(void *context, const struct pg_row *row, struct err *err)
{
    struct wanted_report *wanted = context;
    struct ledger_report *report = &wanted->report;

    *report = report_row(row);
    report->gzip = pg_bytes(row, 13, wanted->arena, &report->gzip_len);
    wanted->is_there = true;
    return report->gzip != NULL && ledger_report_keep(report, wanted->arena) ? ST_OK : no_memory(err);
}

static enum status fleet_read_report(struct ledger *base, int32_t utc_day, const char *domain,
                                     struct arena *arena, struct ledger_report *report_out, struct err *err)
{
    struct wanted_report wanted = {.arena = arena};
    enum status status =
        pg_query(pg_of(base), FLEET_READ_REPORT, BIND(TEXT(domain), INT(utc_day)), take_report, &wanted, err);

    if (status == ST_OK && !wanted.is_there)
        return ST_NOT_FOUND;
    if (status == ST_OK)
        *report_out = wanted.report;
    return status;
}

/* ---- deliveries ---- */

/* The columns of DELIVERY_SELECT. */
static struct ledger_delivery delivery_row(const struct pg_row *row)
{
    return (struct ledger_delivery){
        .id = pg_int(row, 0),
        .utc_day = (int32_t)pg_int(row, 1),
        .domain = pg_text(row, 2),
        .report_id = pg_text(row, 3),
        .kind = ledger_kind_of(pg_int(row, 4)),
        .rua = pg_text(row, 5),
        .host = pg_text(row, 6),
        .message_id = pg_text(row, 7),
        .state = ledger_state_of(pg_int(row, 8)),
        .tries = pg_count(row, 9),
        .first_at_s = pg_int(row, 10),
        .next_at_s = pg_int(row, 11),
        .last_at_s = pg_int(row, 12),
        .last_code = pg_int(row, 13),
        .last_text = pg_text(row, 14),
        .owner = pg_text(row, 15),
        .destination = pg_text(row, 16),
        .due_at_s = pg_int(row, 17),
        .turn = (uint32_t)pg_count(row, 18),
        .is_known = pg_int(row, 19) != 0,
    };
}

static enum status give_delivery(void *context, const struct pg_row *row, struct err *err)
{
    const struct ledger_walk *walk = context;
    const struct ledger_delivery delivery = delivery_row(row);

    return walk->delivery(walk->context, &delivery, err);
}

static enum status fleet_each_open(struct ledger *base, ledger_delivery_fn *fn, void *context,
                                   struct err *err)
{
    struct ledger_walk walk = {.context = context, .delivery = fn};

    return pg_query(pg_of(base), FLEET_EACH_OPEN, BIND_NOTHING, give_delivery, &walk, err);
}

struct minimum {
    bool is_there;
    int64_t value;
};

static enum status take_minimum(void *context, const struct pg_row *row, struct err *err)
{
    struct minimum *minimum = context;

    (void)err;
    minimum->is_there = !pg_is_null(row, 0);
    minimum->value = pg_int(row, 0);
    return ST_OK;
}

static enum status fleet_make_due(struct ledger *base, int64_t now_s, struct err *err)
{
    char buckets[FLEET_BUCKETS_TEXT];

    return change(base, FLEET_MAKE_DUE, BIND(INT(now_s), TEXT(fleet_scope(fleet_of(base)->fleet, buckets))),
                  0, err);
}

struct page_walk {
    ledger_delivery_fn *fn;
    void *context;
    int64_t left;
};

static enum status give_page_row(void *context, const struct pg_row *row, struct err *err)
{
    struct page_walk *walk = context;
    struct ledger_delivery delivery = delivery_row(row);

    delivery.destination_started = pg_count(row, 20);
    delivery.owner_started = pg_count(row, 21);
    walk->left--;
    return walk->fn(walk->context, &delivery, err);
}

/* Turn by turn, so that rows of a turn that are not due yet cost nothing. */
static enum status fleet_read_page(struct ledger *base, const struct ledger_page *page,
                                   ledger_delivery_fn *fn, void *context, struct err *err)
{
    struct page_walk walk = {fn, context, page->max};
    const int64_t utc_day = utc_day_of(page->now_s);
    char text[FLEET_BUCKETS_TEXT];
    const char *buckets = fleet_scope(fleet_of(base)->fleet, text);
    struct minimum turn = {true, 0};
    enum status status = ST_OK;

    for (int64_t least = 0; status == ST_OK && walk.left > 0 && least < SCHEDULE_TURNS;
         least = turn.value + 1) {
        status = pg_query(pg_of(base), FLEET_NEXT_TURN,
                          BIND(INT(page->kind), INT(page->is_known), INT(least), TEXT(buckets)), take_minimum,
                          &turn, err);
        if (status != ST_OK || !turn.is_there || turn.value < least)
            break;
        status = pg_query(pg_of(base), FLEET_READ_PAGE,
                          BIND(INT(page->kind), INT(page->is_known), INT(turn.value), INT(page->due_s),
                               INT(walk.left), INT(utc_day), TEXT(buckets)),
                          give_page_row, &walk, err);
    }
    return status;
}

static enum status fleet_each_delivery(struct ledger *base, int32_t utc_day, ledger_delivery_fn *fn,
                                       void *context, struct err *err)
{
    struct ledger_walk walk = {.context = context, .delivery = fn};

    return pg_query(pg_of(base), FLEET_EACH_DELIVERY, BIND(INT(utc_day)), give_delivery, &walk, err);
}

static enum status fleet_each_delivery_of(struct ledger *base, int32_t utc_day, const char *domain,
                                          ledger_delivery_fn *fn, void *context, struct err *err)
{
    struct ledger_walk walk = {.context = context, .delivery = fn};

    return pg_query(pg_of(base), FLEET_EACH_DELIVERY_OF, BIND(TEXT(domain), INT(utc_day)), give_delivery,
                    &walk, err);
}

static enum status fleet_next_due(struct ledger *base, int64_t *next_at_s_out, struct err *err)
{
    struct minimum minimum = {false, 0};
    enum status status = pg_query(pg_of(base), FLEET_NEXT_DUE, BIND_NOTHING, take_minimum, &minimum, err);

    if (status == ST_OK && !minimum.is_there)
        return ST_NOT_FOUND;
    if (status == ST_OK)
        *next_at_s_out = minimum.value;
    return status;
}

/* After a change of a delivery: only its first try counts against the budgets. */
static enum status count_started(struct ledger *base, const struct ledger_delivery *delivery,
                                 enum fleet_statement statement, int64_t at_s, struct err *err)
{
    return delivery->first_at_s > 0
               ? ST_OK
               : change(base, statement,
                        BIND(TEXT(delivery->destination), INT(utc_day_of(at_s)), TEXT(delivery->owner)), 0,
                        err);
}

static enum status fleet_mark_sending(struct ledger *base, const struct ledger_delivery *delivery,
                                      int64_t now_s, struct err *err)
{
    enum status status =
        change(base, FLEET_MARK_SENDING,
               BIND(TEXT(delivery->domain), INT(delivery->utc_day), INT(delivery->id), INT(now_s)), 0, err);

    return status == ST_OK ? count_started(base, delivery, FLEET_ADD_STARTED, now_s, err) : status;
}

static enum status fleet_put_back(struct ledger *base, const struct ledger_delivery *delivery,
                                  const char *reason, int64_t marked_at_s, struct err *err)
{
    enum status status =
        change(base, FLEET_PUT_BACK,
               BIND(TEXT(delivery->domain), INT(delivery->utc_day), INT(delivery->id), TEXT(reason)), 0, err);

    return status == ST_OK ? count_started(base, delivery, FLEET_TAKE_STARTED, marked_at_s, err) : status;
}

static enum status give_budget(void *context, const struct pg_row *row, struct err *err)
{
    const struct ledger_walk *walk = context;
    const struct ledger_budget budget = {pg_text(row, 0), pg_text(row, 1), pg_count(row, 2)};

    return walk->budget(walk->context, &budget, err);
}

static enum status fleet_each_budget(struct ledger *base, int32_t utc_day, int64_t destination_limit,
                                     int64_t owner_limit, int64_t max, ledger_budget_fn *fn, void *context,
                                     struct err *err)
{
    struct ledger_walk walk = {.context = context, .budget = fn};

    return pg_query(pg_of(base), FLEET_EACH_BUDGET,
                    BIND(INT(utc_day), INT(destination_limit), INT(owner_limit), INT(max)), give_budget,
                    &walk, err);
}

static enum status fleet_add_known(struct ledger *base, const struct ledger_delivery *delivery, int64_t now_s,
                                   struct err *err)
{
    return change(base, FLEET_ADD_KNOWN, BIND(INT(delivery->kind), TEXT(delivery->destination), INT(now_s)),
                  0, err);
}

static enum status fleet_record_result(struct ledger *base, const struct ledger_delivery *delivery,
                                       enum delivery_state state, int64_t next_at_s,
                                       const struct delivery_result *result, int64_t now_s, struct err *err)
{
    return change(base, FLEET_RECORD_RESULT,
                  BIND(TEXT(delivery->domain), INT(delivery->utc_day), INT(delivery->id), INT(state),
                       INT(next_at_s), INT(now_s), INT(result->code), TEXT(result->text)),
                  1, err);
}

/* Of the buckets whose leases we have taken: behind the fence, nobody else can be sending them. */
static enum status fleet_recover(struct ledger *base, int64_t now_s, int64_t *count_out, struct err *err)
{
    struct ledger_fleet *ledger = fleet_of(base);
    char text[FLEET_BUCKETS_TEXT];
    const char *buckets = fleet_scope(ledger->fleet, text);
    enum status status;

    forget_found(ledger);
    forget_counts(ledger);
    status = add(ledger, FLEET_RECOVER, BIND(INT(now_s), TEXT(buckets)), 0, err);
    if (status == ST_OK)
        status = pg_batch_run(ledger->fleet->pg, ledger->batch, err);
    if (status == ST_OK)
        *count_out = pg_batch_changed(ledger->batch);
    pg_batch_reset(ledger->batch);
    return status == ST_OK ? change(base, FLEET_RECOGNISE, BIND(TEXT(buckets)), 0, err) : status;
}

/* ---- counts ---- */

static struct ledger_counts *counts_of(struct ledger_fleet *ledger, int32_t utc_day)
{
    for (size_t i = 0; i < ledger->counted_count; i++)
        if (ledger->counted[i].utc_day == utc_day)
            return &ledger->counted[i].counts;
    if (ledger->counted_count == COUNTED_DAYS_MAX)
        return NULL;
    ledger->counted[ledger->counted_count] = (struct counted_day){.utc_day = utc_day};
    return &ledger->counted[ledger->counted_count++].counts;
}

static enum status take_states(void *context, const struct pg_row *row, struct err *err)
{
    struct ledger_counts *counts = counts_of(context, (int32_t)pg_int(row, 0));
    int64_t state = pg_int(row, 1);

    (void)err;
    if (counts != NULL && state >= 0 && state < DELIVERY_STATE_COUNT)
        counts->by_state[state] = pg_count(row, 2);
    return ST_OK;
}

static enum status take_entries(void *context, const struct pg_row *row, struct err *err)
{
    struct ledger_counts *counts = counts_of(context, (int32_t)pg_int(row, 0));

    (void)err;
    if (counts == NULL)
        return ST_OK;
    switch (pg_int(row, 1)) {
    case 1:
        counts->reports = pg_count(row, 2);
        break;
    case 2:
        counts->skipped = pg_count(row, 2);
        break;
    default:
        counts->waiting = pg_count(row, 2);
        break;
    }
    return ST_OK;
}

/* All days at once: each would be a pass over the tables. */
static enum status count_all(struct ledger_fleet *ledger, struct err *err)
{
    struct pg *pg = ledger->fleet->pg;
    enum status status;

    if (ledger->counted != NULL)
        return ST_OK;
    ledger->counted = calloc(COUNTED_DAYS_MAX, sizeof ledger->counted[0]);
    if (ledger->counted == NULL)
        return no_memory(err);
    status = pg_query(pg, FLEET_COUNT_STATES, BIND_NOTHING, take_states, ledger, err);
    if (status == ST_OK)
        status = pg_query(pg, FLEET_COUNT_ENTRIES, BIND_NOTHING, take_entries, ledger, err);
    if (status != ST_OK)
        forget_counts(ledger);
    return status;
}

static void add_counts(struct ledger_counts *sum, const struct ledger_counts *counts)
{
    for (size_t i = 0; i < DELIVERY_STATE_COUNT; i++)
        sum->by_state[i] += counts->by_state[i];
    sum->reports += counts->reports;
    sum->skipped += counts->skipped;
    sum->waiting += counts->waiting;
}

static enum status fleet_count(struct ledger *base, int32_t utc_day, struct ledger_counts *counts_out,
                               struct err *err)
{
    struct ledger_fleet *ledger = fleet_of(base);
    struct ledger_counts sum = {.reports = 0};
    enum status status = count_all(ledger, err);

    if (status != ST_OK)
        return status;
    for (size_t i = 0; i < ledger->counted_count; i++)
        if (utc_day < 0 || ledger->counted[i].utc_day == utc_day)
            add_counts(&sum, &ledger->counted[i].counts);
    *counts_out = sum;
    return ST_OK;
}

/* ---- clean-up ---- */

/* The first generator that comes to a day deletes for all.  A delivery goes only when none of its report is
 * open, a report only when its deliveries went. */
static enum status fleet_delete_before(struct ledger *base, const struct ledger_retention *limits,
                                       int64_t suppressed_s, int64_t *count_out, struct err *err)
{
    static const enum fleet_statement BY_DAY[] = {FLEET_DELETE_SKIPPED, FLEET_DELETE_WAITING,
                                                  FLEET_DELETE_KNOWN,   FLEET_DELETE_CLOSED,
                                                  FLEET_DELETE_MISSED,  FLEET_DELETE_DELIVERIES};
    struct pg *pg = pg_of(base);
    int64_t is_first = 0;
    enum status status =
        pg_change(pg, FLEET_BEGIN_CLEANUP, BIND(TEXT("ledger"), INT(limits->utc_day)), &is_first, err);

    *count_out = 0;
    if (status != ST_OK || is_first == 0)
        return status;
    for (size_t i = 0; status == ST_OK && i < ARRAY_COUNT(BY_DAY); i++)
        status = pg_change(pg, BY_DAY[i], BIND(INT(limits->utc_day)), NULL, err);
    if (status == ST_OK)
        status = pg_change(pg, FLEET_DELETE_REPORTS, BIND(INT(limits->utc_day)), count_out, err);
    if (status == ST_OK)
        status = pg_change(pg, FLEET_DELETE_STARTED, BIND(INT(utc_day_of(limits->now_s))), NULL, err);
    if (status == ST_OK)
        status = pg_change(pg, FLEET_DELETE_SUPPRESSIONS, BIND(INT(suppressed_s)), NULL, err);
    if (status == ST_OK)
        status = pg_change(pg, FLEET_DELETE_GENERATORS, BIND_NOTHING, NULL, err);
    return status;
}

/* ---- mailboxes ---- */

struct wanted_suppression {
    struct ledger_suppression *suppression;
    bool is_there;
};

static enum status take_suppression(void *context, const struct pg_row *row, struct err *err)
{
    struct wanted_suppression *wanted = context;

    (void)err;
    *wanted->suppression = (struct ledger_suppression){pg_int(row, 0), pg_count(row, 1)};
    wanted->is_there = true;
    return ST_OK;
}

static enum status fleet_find_suppression(struct ledger *base, const char *address,
                                          struct ledger_suppression *suppression_out, struct err *err)
{
    struct wanted_suppression wanted = {.suppression = suppression_out};
    enum status status =
        pg_query(pg_of(base), FLEET_SUPPRESSION, BIND(TEXT(address)), take_suppression, &wanted, err);

    return status == ST_OK && !wanted.is_there ? ST_NOT_FOUND : status;
}

static enum status fleet_set_suppression(struct ledger *base, const char *address,
                                         const struct ledger_suppression *suppression, const char *reason,
                                         struct err *err)
{
    return change(base, FLEET_SUPPRESS,
                  BIND(TEXT(address), INT(suppression->until_s), INT(suppression->strikes), TEXT(reason)), 1,
                  err);
}

static enum status fleet_unsuppress(struct ledger *base, const char *address, struct err *err)
{
    return change(base, FLEET_UNSUPPRESS, BIND(TEXT(address)), 0, err);
}

static enum status give_suppression(void *context, const struct pg_row *row, struct err *err)
{
    const struct ledger_walk *walk = context;

    return walk->suppression(walk->context, pg_text(row, 0), pg_int(row, 1), pg_int(row, 2), pg_text(row, 3),
                             err);
}

static enum status fleet_each_suppression(struct ledger *base, int64_t now_s, ledger_suppression_fn *fn,
                                          void *context, struct err *err)
{
    struct ledger_walk walk = {.context = context, .suppression = fn};

    return pg_query(pg_of(base), FLEET_EACH_SUPPRESSION, BIND(INT(now_s)), give_suppression, &walk, err);
}

/* ---- the method table ---- */

static void fleet_close_ledger(struct ledger *base)
{
    struct ledger_fleet *ledger = fleet_of(base);

    forget_counts(ledger);
    arena_done(&ledger->arena);
    pg_batch_free(&ledger->batch);
    free(ledger);
}

static const struct ledger_methods METHODS = {
    .close = fleet_close_ledger,
    .begin = fleet_begin,
    .commit = fleet_commit,
    .rollback = fleet_rollback,
    .find = fleet_find,
    .prefetch = fleet_prefetch,
    .add_report = fleet_add_report,
    .add_skipped = fleet_add_skipped,
    .add_waiting = fleet_add_waiting,
    .each_skipped = fleet_each_skipped,
    .each_waiting = fleet_each_waiting,
    .close_day = fleet_close_day,
    .day_is_closed = fleet_day_is_closed,
    .each_closed_day = fleet_each_closed_day,
    .each_report = fleet_each_report,
    .read_report = fleet_read_report,
    .each_open = fleet_each_open,
    .make_due = fleet_make_due,
    .read_page = fleet_read_page,
    .each_budget = fleet_each_budget,
    .add_known = fleet_add_known,
    .each_delivery = fleet_each_delivery,
    .each_delivery_of = fleet_each_delivery_of,
    .next_due = fleet_next_due,
    .mark_sending = fleet_mark_sending,
    .put_back = fleet_put_back,
    .record_result = fleet_record_result,
    .recover = fleet_recover,
    .count = fleet_count,
    .delete_before = fleet_delete_before,
    .find_suppression = fleet_find_suppression,
    .set_suppression = fleet_set_suppression,
    .unsuppress = fleet_unsuppress,
    .each_suppression = fleet_each_suppression,
};

enum status fleet_pgsql_open_ledger(struct fleet *fleet, struct ledger **ledger_out, struct err *err)
{
    struct ledger_fleet *ledger = calloc(1, sizeof *ledger);
    enum status status;

    if (ledger == NULL)
        return no_memory(err);
    ledger->base.methods = &METHODS;
    ledger->fleet = fleet_pgsql_of(fleet);
    arena_init(&ledger->arena, (size_t)2 * NAMES_BYTES_MAX);
    status = pg_batch_new(&ledger->batch, err);
    if (status == ST_OK)
        *ledger_out = &ledger->base;
    else
        free(ledger);
    return status;
}
