/* SPDX-License-Identifier: MIT */
/*
 * How it works.  Mail and HTTPS are two lanes, each with a scheduler that decides and a transport that sends.  One turn
 * of the loop, for each lane (turn):
 *
 * 1. Read the next page of due rows, if the scheduler's window has room.
 * 2. Record the rows that leave the window untried: expired, over a budget, at a destination that fails.
 * 3. Start the lookups and deliveries that the scheduler names.  Their rows are marked "sending".
 * 4. Commit: before the first byte of a delivery leaves, and then at least every SETTLE_MS.
 * 5. Wait for DNS servers, workers and HTTPS servers together (wait_for_news), let them work and take the results.
 *
 * The run ends when nothing is left, or END_MS after its limit: then whatever is under way is ended and recorded.
 */
#include "dispatch.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/log_events.h"
#include "base/attr.h"
#include "base/clock.h"
#include "by_https.h"
#include "lane.h"
#include "model/domain.h"
#include "model/utc_day.h"

#define WINDOW     1024 /* rows of a half */
#define PAGE       ((uint64_t)WINDOW * SCHEDULER_PAGE_WINDOWS)
#define SETTLE_MS  20    /* results wait at most so long for others, so that one commit is enough for many */
#define END_MS     60000 /* for what is under way when the run's time is up */
#define WAIT_MS    1000
#define LAST_TRY_S (15 * 60) /* the try at 24 hours is made by the next run of cron or the timer */

enum {
    MAIL,
    HTTPS
};

static const struct lane_methods *const METHODS[] = {[MAIL] = &LANE_MAIL, [HTTPS] = &LANE_HTTPS};

#define LANES ARRAY_COUNT(METHODS)

struct dispatch {
    struct generator *generator;
    struct delivery delivery;
    struct lane lanes[LANES];
    int64_t end_at_ms;
    bool is_stopping;   /* a signal came */
    enum status status; /* first failure of a transport: the run ends */
    struct err err;
    enum status open_status; /* first failure to open a lane: the other one works */
    struct err open_err;
};

/* ---- rows ---- */

static void drop_item(struct lane *lane, uint32_t row)
{
    delivery_item_done(lane->items[row]);
    free(lane->items[row]);
    lane->items[row] = NULL;
    lane->lookups[row] = 0;
}

static void log_over_budget(const struct ledger_delivery *row, const char *setting, int64_t limit)
{
    LOG_FACT(EV_BUDGET_REACHED, log_text("domain", row->domain), log_text("destination", row->destination),
             log_text("owner", row->owner), log_text("setting", setting), log_number("limit", limit));
}

/* Count a delivery that this run does not try because others to its host failed. */
static void note_left(struct lane *lane, const char *host)
{
    size_t i = 0;

    while (i < LANE_LEFT_MAX - 1 && lane->left[i].count > 0 && strcmp(lane->left[i].host, host) != 0)
        i++;
    if (lane->left[i].count++ == 0)
        (void)snprintf(lane->left[i].host, sizeof lane->left[i].host, "%s",
                       i < LANE_LEFT_MAX - 1 ? host : "(other hosts)");
}

static void log_left(const struct lane *lane, const char *host, uint64_t count, const char *reason)
{
    LOG_FACT(EV_DELIVERIES_LEFT, log_text("kind", delivery_kind_name(lane->methods->kind)),
             log_text("host", host), log_number("deliveries", (int64_t)count), log_text("reason", reason));
}

/* A row that the scheduler does not take: its disposition is recorded now. */
static void record_refused(struct lane *lane, struct delivery_item *item,
                           enum scheduler_disposition disposition)
{
    const struct config *config = lane->generator->config;
    bool is_owner = disposition == SCHEDULER_OVER_OWNER;
    const char *setting = is_owner ? "max_per_owner_and_destination" : "max_per_destination";
    int64_t limit = is_owner ? config->max_per_owner_and_destination : config->max_per_destination;
    struct delivery_result result;

    if (disposition == SCHEDULER_EXPIRED) {
        delivery_record_expired(lane->delivery, item);
    } else if (disposition == SCHEDULER_CLOSED) {
        delivery_put_off(lane->delivery, item);
        note_left(lane, item->row.host);
    } else if (disposition == SCHEDULER_OVER_DESTINATION || is_owner) {
        delivery_result_set(&result, DELIVERY_RESULT_GIVE_UP, DELIVERY_AT_START, 0,
                            "%s = %lld a day is reached for %s", setting, (long long)limit,
                            item->row.destination);
        delivery_record(lane->delivery, item, &result);
        log_over_budget(&item->row, setting, limit);
    }
}

struct page {
    struct lane *lane;
    uint64_t rows;
};

static uint64_t row_id(const struct lane *lane, const struct ledger_delivery *row)
{
    char text[DOMAIN_NAME_MAX + 64];
    int len = snprintf(text, sizeof text, "%d %lld %s", row->utc_day, (long long)row->id, row->domain);
    size_t used = len > 0 && (size_t)len < sizeof text ? (size_t)len : sizeof text - 1;

    return hash_bytes(&lane->settings.key, text, used).words[0] >> 1;
}

static uint64_t count_of(int64_t stored)
{
    return stored > 0 ? (uint64_t)stored : 0;
}

/* True: the scheduler took the item. */
static bool offer(struct lane *lane, struct delivery_item *item)
{
    const struct ledger_delivery *row = &item->row;
    const struct scheduler_row offered = {.id = (int64_t)row_id(lane, row),
                                          .owner = row->owner,
                                          .destination = row->destination,
                                          .due_at_s = row->due_at_s + LAST_TRY_S,
                                          .is_known = row->is_known,
                                          .was_tried = row->first_at_s > 0,
                                          .destination_used = count_of(row->destination_started),
                                          .flow_used = count_of(row->owner_started)};
    uint32_t number;
    enum scheduler_disposition disposition = scheduler_add(lane->scheduler, &offered, &number);

    if (disposition != SCHEDULER_ADDED) {
        record_refused(lane, item, disposition);
        return false;
    }
    if (lane->items[number] != NULL)
        drop_item(lane, number); /* it made room */
    lane->items[number] = item;
    return true;
}

static enum status take_row(void *context, const struct ledger_delivery *row, struct err *err)
{
    struct page *page = context;
    struct delivery_item *item = calloc(1, sizeof *item);
    bool is_kept = false;
    enum status status;

    if (item == NULL)
        return err_set(err, ST_NOMEM, "deliveries: out of memory");
    page->rows++;
    status = delivery_item_init(item, row, err);
    if (status == ST_OK)
        is_kept = offer(page->lane, item);
    if (!is_kept) {
        delivery_item_done(item);
        free(item);
    }
    return status;
}

static enum status read_page(struct lane *lane, bool is_known, struct err *err)
{
    struct page page = {.lane = lane};
    enum status status = ledger_read_page(lane->generator->ledger,
                                          &(struct ledger_page){.kind = lane->methods->kind,
                                                                .is_known = is_known,
                                                                .due_s = clock_utc_s(),
                                                                .now_s = clock_utc_s(),
                                                                .max = PAGE},
                                          take_row, &page, err);

    scheduler_end_page(lane->scheduler, is_known, page.rows < PAGE);
    return status;
}

/* ---- what a transport says ---- */

void lane_resolved(struct lane *lane, uint32_t row)
{
    lane->lookups[row] = 0;
    scheduler_resolved(lane->scheduler, row);
}

static enum scheduler_result scheduler_result_of(const struct delivery_result *result)
{
    if (result->kind == DELIVERY_RESULT_DELIVERED)
        return SCHEDULER_ACCEPTED;
    if (result->stage == DELIVERY_AT_START)
        return SCHEDULER_DROPPED; /* our own trouble, or a rule of ours */
    return result->kind == DELIVERY_RESULT_GIVE_UP && result->code > 0 ? SCHEDULER_REFUSED : SCHEDULER_FAILED;
}

void lane_result(struct lane *lane, uint32_t row, const struct delivery_result *result)
{
    delivery_record(lane->delivery, lane->items[row], result);
    drop_item(lane, row);
    scheduler_result(lane->scheduler, row, scheduler_result_of(result));
}

void lane_untried(struct lane *lane, uint32_t row, const char *reason)
{
    delivery_put_back(lane->delivery, lane->items[row], reason);
    delivery_item_drop_body(lane->items[row]);
    scheduler_result(lane->scheduler, row, SCHEDULER_UNTRIED);
}

bool lane_begin(struct lane *lane, uint32_t row)
{
    struct delivery_item *item = lane->items[row];
    struct delivery_result fault;

    if (item->row.kind == DELIVERY_MAIL && delivery_is_suppressed(lane->delivery, item)) {
        delivery_record_suppressed(lane->delivery, item);
        drop_item(lane, row);
        scheduler_result(lane->scheduler, row, SCHEDULER_DROPPED);
        return false;
    }
    if (delivery_begin(lane->delivery, item, &fault))
        return true;
    if (lane->delivery->status == ST_OK)
        lane_result(lane, row, &fault);
    else
        scheduler_result(lane->scheduler, row, SCHEDULER_UNTRIED);
    return false;
}

/* ---- one turn ---- */

static void keep_failure(struct dispatch *dispatch, enum status status, const struct err *err)
{
    if (status == ST_OK || dispatch->status != ST_OK)
        return;
    dispatch->status = status;
    dispatch->err = *err;
}

static void read_pages(struct dispatch *dispatch, struct lane *lane)
{
    struct err err;

    for (int is_known = 1; is_known >= 0; is_known--)
        if (scheduler_wants_page(lane->scheduler, is_known != 0) && delivery_commit(&dispatch->delivery)) {
            enum status status = read_page(lane, is_known != 0, &err);

            if (status != ST_OK && dispatch->delivery.status == ST_OK) {
                dispatch->delivery.status = status;
                dispatch->delivery.err = err;
            }
        }
}

static void record_leavers(struct lane *lane)
{
    struct scheduler_leaver leaver;

    while (scheduler_next_leaver(lane->scheduler, &leaver)) {
        record_refused(lane, lane->items[leaver.row], leaver.disposition);
        drop_item(lane, leaver.row);
    }
}

static void start_all(struct lane *lane)
{
    struct scheduler_start start;

    while (scheduler_next_lookup(lane->scheduler, &start)) {
        lane->lookups[start.row] = ++lane->lookup_count;
        lane->methods->look_up(lane, &start);
    }
    while (lane->delivery->status == ST_OK && scheduler_next(lane->scheduler, &start))
        lane->methods->start(lane, &start);
}

/* Once the run is to stop, its time is up: nothing more is started, and what is under way is finished. */
static void tick(struct lane *lane)
{
    int64_t now_ms = clock_monotonic_ms();

    if (generator_is_stopping && now_ms < lane->settings.stop_at_ms)
        now_ms = lane->settings.stop_at_ms;
    scheduler_tick(lane->scheduler, now_ms, clock_utc_s());
}

static void turn(struct dispatch *dispatch, struct lane *lane)
{
    tick(lane);
    read_pages(dispatch, lane); /* 1 */
    record_leavers(lane);       /* 2 */
    start_all(lane);            /* 3 */
    record_leavers(lane);
}

static bool is_change_old(const struct delivery *delivery)
{
    return delivery->is_in_transaction && clock_monotonic_ms() >= delivery->changed_ms + SETTLE_MS;
}

/* 4.  A delivery that could not be marked durably is not made. */
static void commit(struct dispatch *dispatch)
{
    bool has_starts = false;

    for (size_t i = 0; i < LANES; i++)
        has_starts |= dispatch->lanes[i].has_starts;
    if (!has_starts && !is_change_old(&dispatch->delivery))
        return;
    if (!delivery_commit(&dispatch->delivery))
        return;
    for (size_t i = 0; i < LANES; i++)
        if (dispatch->lanes[i].has_starts)
            dispatch->lanes[i].methods->flush(&dispatch->lanes[i]);
}

static int shorter(int a, int b)
{
    if (a < 0 || b < 0)
        return a < 0 ? b : a;
    return a < b ? a : b;
}

/* How long the loop may sleep if no descriptor becomes ready. */
static int wait_limit_ms(struct dispatch *dispatch)
{
    int64_t now_ms = clock_monotonic_ms();
    int64_t until_ms = now_ms + WAIT_MS;

    for (size_t i = 0; i < LANES; i++)
        if (dispatch->lanes[i].scheduler != NULL &&
            scheduler_wake_ms(dispatch->lanes[i].scheduler) < until_ms)
            until_ms = scheduler_wake_ms(dispatch->lanes[i].scheduler);
    if (dispatch->delivery.is_in_transaction && dispatch->delivery.changed_ms + SETTLE_MS < until_ms)
        until_ms = dispatch->delivery.changed_ms + SETTLE_MS;
    return until_ms > now_ms ? (int)(until_ms - now_ms) : 0;
}

_Static_assert(RESOLVE_SOCKETS_MAX + LANES * LANE_POLL_MAX <= HTTPS_POLL_MAX,
               "https_poll waits for all of them");

struct waiting_for {
    struct pollfd fds[RESOLVE_SOCKETS_MAX + LANES * LANE_POLL_MAX];
    size_t of_resolver;
    size_t of_lane[LANES];
};

static int prepare_wait(struct dispatch *dispatch, struct waiting_for *waiting)
{
    int wait_ms = wait_limit_ms(dispatch), own_ms;
    size_t count = resolve_prepare(dispatch->generator->resolver, waiting->fds, &own_ms);

    waiting->of_resolver = count;
    wait_ms = shorter(wait_ms, own_ms);
    for (size_t i = 0; i < LANES; i++) {
        struct lane *lane = &dispatch->lanes[i];

        waiting->of_lane[i] = 0;
        if (lane->scheduler == NULL)
            continue;
        waiting->of_lane[i] = lane->methods->prepare(lane, waiting->fds + count, &own_ms);
        count += waiting->of_lane[i];
        wait_ms = shorter(wait_ms, own_ms);
    }
    return wait_ms;
}

static size_t descriptor_count(const struct waiting_for *waiting)
{
    size_t count = waiting->of_resolver;

    for (size_t i = 0; i < LANES; i++)
        count += waiting->of_lane[i];
    return count;
}

/* libcurl polls its own sockets; curl_multi_poll also polls ours. */
static enum status wait_with(struct dispatch *dispatch, struct waiting_for *waiting, int wait_ms,
                             struct err *err)
{
    struct lane *https = &dispatch->lanes[HTTPS];

    if (https->scheduler != NULL)
        return https_poll(by_https_pool(https), waiting->fds, descriptor_count(waiting), wait_ms, err);
    if (poll(waiting->fds, descriptor_count(waiting), wait_ms) < 0)
        for (size_t i = 0; i < descriptor_count(waiting); i++)
            waiting->fds[i].revents = 0;
    return ST_OK;
}

/* 5 */
static void wait_for_news(struct dispatch *dispatch)
{
    struct waiting_for waiting;
    struct err err;
    int wait_ms = prepare_wait(dispatch, &waiting);
    enum status status = wait_with(dispatch, &waiting, wait_ms, &err);
    const struct pollfd *fds = waiting.fds + waiting.of_resolver;

    keep_failure(dispatch, status, &err);
    resolve_process(dispatch->generator->resolver, waiting.fds, waiting.of_resolver);
    for (size_t i = 0; i < LANES; i++) {
        struct lane *lane = &dispatch->lanes[i];

        if (lane->scheduler == NULL)
            continue;
        tick(lane);
        lane->methods->step(lane, fds, waiting.of_lane[i]);
        lane->methods->collect(lane);
        fds += waiting.of_lane[i];
    }
}

/* ---- the run ---- */

/*
 * The run's time is up, or it cannot go on: end what is under way.  Rows whose destination was being looked up stay due.
 */
static void end_lanes(struct dispatch *dispatch, const char *reason)
{
    static const volatile sig_atomic_t STOP = 1;

    for (size_t i = 0; i < LANES; i++)
        if (dispatch->lanes[i].lookups != NULL)
            memset(dispatch->lanes[i].lookups, 0, 2 * WINDOW * sizeof *dispatch->lanes[i].lookups);
    resolve_run(dispatch->generator->resolver, &STOP);
    for (size_t i = 0; i < LANES; i++) {
        struct lane *lane = &dispatch->lanes[i];

        if (lane->scheduler == NULL)
            continue;
        lane->methods->end(lane, reason);
        lane->methods->collect(lane);
    }
}

static const char *end_reason(const struct dispatch *dispatch)
{
    if (dispatch->delivery.status != ST_OK)
        return "the ledger failed";
    if (dispatch->status != ST_OK)
        return "a transport failed";
    return generator_is_stopping ? "a signal ended the run" : "the run's time was up";
}

/*
 * What was not tried, and why: one line for each host that failed; one for all that is open if the relay or the time
 * was the reason.
 */
static enum status log_all_left(struct dispatch *dispatch, struct err *err)
{
    const bool is_late = clock_monotonic_ms() >= dispatch->end_at_ms - END_MS;
    struct ledger_counts counts = {.reports = 0};
    enum status status = ST_OK;

    for (size_t i = 0; i < LANES; i++) {
        struct lane *lane = &dispatch->lanes[i];
        const char *reason = is_late || generator_is_stopping ? end_reason(dispatch) : lane->trouble;

        for (size_t k = 0; k < LANE_LEFT_MAX && lane->left[k].count > 0; k++)
            log_left(lane, lane->left[k].host, lane->left[k].count, "deliveries to this host failed");
        if (lane->scheduler == NULL || !scheduler_is_over(lane->scheduler) || *reason == '\0')
            continue;
        status = ledger_count(dispatch->generator->ledger, -1, &counts, err);
        if (status == ST_OK && counts.by_state[DELIVERY_DUE] > 0)
            log_left(lane, "", (uint64_t)counts.by_state[DELIVERY_DUE], reason);
    }
    return status;
}

static bool is_done(const struct dispatch *dispatch)
{
    for (size_t i = 0; i < LANES; i++) {
        const struct scheduler *scheduler = dispatch->lanes[i].scheduler;

        if (scheduler != NULL && (!scheduler_is_empty(scheduler) || scheduler_wants_page(scheduler, false) ||
                                  scheduler_wants_page(scheduler, true)))
            return false;
    }
    return true;
}

static bool must_end(const struct dispatch *dispatch)
{
    return clock_monotonic_ms() >= dispatch->end_at_ms || dispatch->status != ST_OK ||
           dispatch->delivery.status != ST_OK;
}

/* A signal came: what is under way gets at most END_MS. */
static void note_stop(struct dispatch *dispatch)
{
    int64_t end_at_ms = clock_monotonic_ms() + END_MS;

    if (!generator_is_stopping || dispatch->is_stopping)
        return;
    dispatch->is_stopping = true;
    if (end_at_ms < dispatch->end_at_ms)
        dispatch->end_at_ms = end_at_ms;
}

static void run(struct dispatch *dispatch)
{
    for (;;) {
        note_stop(dispatch);
        for (size_t i = 0; i < LANES; i++)
            if (dispatch->lanes[i].scheduler != NULL)
                turn(dispatch, &dispatch->lanes[i]);
        commit(dispatch);
        if (is_done(dispatch) || must_end(dispatch))
            break;
        wait_for_news(dispatch);
    }
    end_lanes(dispatch, end_reason(dispatch));
    (void)delivery_commit(&dispatch->delivery);
}

static enum status note_any(void *context, const struct ledger_delivery *row, struct err *err)
{
    (void)row;
    (void)err;
    *(bool *)context = true;
    return ST_OK;
}

/* Also what becomes due during the run. */
static enum status find_any(struct lane *lane, bool *is_any_out, struct err *err)
{
    struct ledger_page page = {
        .kind = lane->methods->kind, .due_s = INT64_MAX, .now_s = clock_utc_s(), .max = 1};
    enum status status = ledger_read_page(lane->generator->ledger, &page, note_any, is_any_out, err);

    page.is_known = true;
    if (status == ST_OK)
        status = ledger_read_page(lane->generator->ledger, &page, note_any, is_any_out, err);
    return status;
}

static enum status open_lane(struct dispatch *dispatch, struct lane *lane, struct err *err)
{
    const struct config *config = dispatch->generator->config;
    const int64_t stop_at_ms = dispatch->end_at_ms - END_MS;
    bool is_any = false;
    enum status status = find_any(lane, &is_any, err);

    if (status != ST_OK || !is_any)
        return status;
    lane->settings = lane->methods->settings;
    lane->settings.key = hash_key_new();
    lane->settings.window = WINDOW;
    lane->settings.stop_at_ms = stop_at_ms;
    lane->end_at_ms = dispatch->end_at_ms;
    lane->settings.max_per_destination = (uint64_t)config->max_per_destination;
    lane->settings.max_per_owner_and_destination = (uint64_t)config->max_per_owner_and_destination;
    lane->items = calloc(2 * WINDOW, sizeof *lane->items);
    lane->lookups = calloc(2 * WINDOW, sizeof *lane->lookups);
    if (lane->items == NULL || lane->lookups == NULL)
        return err_set(err, ST_NOMEM, "deliveries: out of memory");
    status = lane->methods->open(lane, err);
    return status == ST_OK ? scheduler_new(&lane->settings, &lane->scheduler, err) : status;
}

static void close_lane(struct lane *lane)
{
    for (uint32_t row = 0; lane->items != NULL && row < 2 * WINDOW; row++)
        if (lane->items[row] != NULL)
            drop_item(lane, row);
    lane->methods->close(lane);
    scheduler_free(&lane->scheduler);
    free(lane->items);
    free(lane->lookups);
}

static enum status first_failure(const struct dispatch *dispatch, struct err *err)
{
    if (dispatch->delivery.status != ST_OK) {
        *err = dispatch->delivery.err;
        return dispatch->delivery.status;
    }
    *err = dispatch->status != ST_OK ? dispatch->err : dispatch->open_err;
    return dispatch->status != ST_OK ? dispatch->status : dispatch->open_status;
}

enum status dispatch(struct generator *generator, struct delivery_totals *totals, struct err *err)
{
    struct dispatch *dispatch = calloc(1, sizeof *dispatch);
    enum status status;

    if (dispatch == NULL)
        return err_set(err, ST_NOMEM, "deliveries: out of memory");
    dispatch->generator = generator;
    dispatch->delivery = (struct delivery){.generator = generator, .totals = totals};
    dispatch->end_at_ms = clock_monotonic_ms() + generator->config->run_limit_s * 1000 + END_MS;
    for (size_t i = 0; i < LANES; i++) {
        struct lane *lane = &dispatch->lanes[i];

        *lane = (struct lane){.methods = METHODS[i], .generator = generator, .delivery = &dispatch->delivery};
        status = open_lane(dispatch, lane, err);
        if (status != ST_OK && dispatch->open_status == ST_OK) {
            dispatch->open_status = status;
            dispatch->open_err = *err;
        }
    }
    run(dispatch);
    keep_failure(dispatch, log_all_left(dispatch, err), err);
    for (size_t i = 0; i < LANES; i++)
        close_lane(&dispatch->lanes[i]);
    status = first_failure(dispatch, err);
    free(dispatch);
    return status;
}
