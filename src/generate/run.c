/* SPDX-License-Identifier: MIT */
#include "generate/run.h"

#include <signal.h>

#include "app/log_events.h"
#include "app/program.h"
#include "base/clock.h"
#include "build_reports.h"
#include "by_https.h"
#include "by_mail.h"
#include "clock_guard.h"
#include "generate/push.h"
#include "model/utc_day.h"
#include "retention.h"

#define LINGER_RETRY_S (15 * 60)   /* for what waits, and what a run left */
#define LINGER_MAX_S   (26 * 3600) /* whatever is open then is for the next run */
#define LINGER_POLL_MS 250         /* how often a sleeper looks at the clock, which may be set */

static enum status recover(struct generator *generator, struct err *err)
{
    int64_t count = 0;
    enum status status = ledger_recover(generator->ledger, generator->now_s, &count, err);

    if (status == ST_OK && count > 0)
        LOG_FACT(EV_DELIVERIES_RECOVERED, log_number("deliveries", count));
    return status;
}

/* The first failure is the run's; what does not depend on it is done all the same. */
static void keep_first(enum status status, const struct err *err, struct err *first)
{
    if (status != ST_OK && first->code == ST_OK)
        *first = *err;
}

/* Both ways in turn; mail must not use up all the time. */
static void deliver(struct generator *generator, int64_t due_s, struct delivery_totals *totals_out,
                    struct err *first)
{
    const int64_t begin_ms = clock_monotonic_ms();
    const int64_t limit_ms = generator->config->run_limit_s * 1000;
    struct delivery delivery;
    struct err err;
    enum status status = delivery_open(&delivery, generator, due_s, &err);
    size_t posts = 0;

    keep_first(status, &err, first);
    if (status == ST_OK) {
        (void)delivery_items_of(&delivery, DELIVERY_HTTPS, &posts);
        delivery.stop_at_ms = begin_ms + (posts > 0 ? limit_ms / 2 : limit_ms);
        keep_first(deliver_mail(&delivery, &err), &err, first);
        delivery.stop_at_ms = begin_ms + limit_ms;
        keep_first(deliver_https(&delivery, &err), &err, first);
    }
    *totals_out = delivery.totals;
    delivery_close(&delivery);
}

/* False: the clock is not trusted, and this run must not do anything. */
static bool begin_run(struct generator *generator, bool is_clock_accepted, struct err *first)
{
    struct retention_time time = {.now_s = generator->now_s};
    struct clock_answer clock;
    struct err err;

    keep_first(clock_guard_check(generator->config, generator->now_s, is_clock_accepted, &clock, &err), &err,
               first);
    time.ledger_s = clock.ledger_s;
    if (clock.is_trusted && generator->sessions != NULL)
        keep_first(retention_run(generator->config, generator->sessions, generator->ledger, &time, &err),
                   &err, first);
    return clock.is_trusted;
}

/* R44: reports must be signed; without a key of ours that is the relay's work.  Said once. */
static void log_signing(const struct generator *generator)
{
    if (generator->is_first_run && generator->keys == NULL)
        LOG_FACT(EV_RELAY_MUST_SIGN, log_text("relay", generator->config->relay),
                 log_text("domain", generator->config->dkim_domain),
                 log_text("mend", "let it sign mail of that domain, or set dkim_key"));
}

static void log_summary(const struct build_totals *built, const struct delivery_totals *sent)
{
    LOG_FACT(EV_RUN_DONE, log_number("days", (int64_t)built->days),
             log_number("reports", (int64_t)built->reports), log_number("skipped", (int64_t)built->skipped),
             log_number("waiting", (int64_t)built->waiting),
             log_number("delivered", (int64_t)sent->delivered), log_number("later", (int64_t)sent->later),
             log_number("given_up", (int64_t)sent->given_up), log_number("expired", (int64_t)sent->expired),
             log_number("suppressed", (int64_t)sent->suppressed));
}

struct run_totals {
    struct build_totals built;
    struct delivery_totals sent;
    bool is_begun; /* there was something to work on */
};

static void add_totals(struct run_totals *totals, const struct build_totals *built,
                       const struct delivery_totals *sent)
{
    totals->is_begun = true;
    totals->built.days += built->days;
    totals->built.reports += built->reports;
    totals->built.skipped += built->skipped;
    totals->built.waiting += built->waiting;
    totals->sent.delivered += sent->delivered;
    totals->sent.later += sent->later;
    totals->sent.given_up += sent->given_up;
    totals->sent.expired += sent->expired;
    totals->sent.suppressed += sent->suppressed;
}

/* Build and deliver: all there is, or the share of the fleet's work that we hold. */
static void work(struct generator *generator, bool is_flush, struct run_totals *totals, struct err *first)
{
    struct build_totals built = {0};
    struct delivery_totals sent = {0};
    struct err err;

    keep_first(recover(generator, &err), &err, first);
    keep_first(build_reports(generator, &built, &err), &err, first);
    deliver(generator, is_flush ? INT64_MAX : generator->now_s, &sent, first);
    add_totals(totals, &built, &sent);
}

/* Without the push there is still the other hosts' work to be done. */
static void push(struct generator *generator, struct err *first)
{
    struct err err;

    if (push_now(generator->config, generator->fleet, generator->owner, &err) == ST_OK)
        return;
    LOG_FACT(EV_PUSH_FAILED, log_text("reason", err.text));
    keep_first(err.code, &err, first);
}

/* One share after the other, until the rest is held by others, or the time is up: then it is for the next
 * run. */
static void work_in_shares(struct generator *generator, bool is_flush, struct run_totals *totals,
                           struct err *first)
{
    const int64_t stop_at_ms = clock_monotonic_ms() + generator->config->run_limit_s * 1000;
    bool has_worked = false;
    struct err err;
    enum status status;

    push(generator, first);
    if (*generator->owner == '\0')
        return;
    fleet_begin_run(generator->fleet);
    while ((status = fleet_take_share(generator->fleet, generator->owner, &err)) == ST_OK) {
        LOG_FACT(EV_FLEET_SHARE, log_number("buckets", fleet_share_size(generator->fleet)),
                 log_text("generator", generator->owner));
        work(generator, is_flush, totals, first);
        fleet_release_share(generator->fleet);
        has_worked = true;
        if (clock_monotonic_ms() >= stop_at_ms)
            return;
    }
    if (status != ST_NOT_FOUND)
        keep_first(status, &err, first);
    else if (!has_worked)
        LOG_FACT(EV_FLEET_BUSY, log_text("reason", err.text));
}

/* True if it built a report: its deliveries are new. */
static bool run(struct generator *generator, bool is_flush, struct err *first)
{
    struct run_totals totals = {.built = {0}};

    if (generator->fleet != NULL)
        work_in_shares(generator, is_flush, &totals, first);
    else
        work(generator, is_flush, &totals, first);
    if (totals.is_begun || first->code == ST_OK)
        log_summary(&totals.built, &totals.sent);
    return totals.built.reports > 0;
}

/* ---- lingering ---- */

struct open_work {
    int32_t oldest_day; /* that can still be reported */
    size_t domains;
};

static enum status count_domain(void *context, int32_t utc_day, const char *domain, const char *reason,
                                int64_t since_s, struct err *err)
{
    struct open_work *waiting = context;

    (void)domain;
    (void)reason;
    (void)since_s;
    (void)err;
    waiting->domains += utc_day >= waiting->oldest_day;
    return ST_OK;
}

/*
 * When the next run is wanted: at the next delivery's time, but soon if a day or a domain waits, and only
 * after a pause if the last run left something for its limits. ST_NOT_FOUND  nothing is open: no run is
 * wanted
 */
static enum status find_next_run(struct generator *generator, int64_t *next_s_out, struct err *err)
{
    const int64_t retry_s = clock_utc_s() + LINGER_RETRY_S;
    struct open_work waiting = {.oldest_day =
                                    utc_day_of(generator->now_s) - (int32_t)generator->config->max_age_days};
    struct reportable_days days;
    int64_t next_s = INT64_MAX;
    enum status status = ledger_next_due(generator->ledger, &next_s, err);

    if (status != ST_OK && status != ST_NOT_FOUND)
        return status;
    status = reportable_days_find(generator, &days, err);
    if (status == ST_OK)
        status = ledger_each_waiting(generator->ledger, -1, count_domain, &waiting, err);
    if (status != ST_OK)
        return status;
    if (next_s <= generator->now_s || ((waiting.domains > 0 || days.count > 0) && next_s > retry_s))
        next_s = retry_s;
    if (next_s == INT64_MAX)
        return ST_NOT_FOUND;
    *next_s_out = next_s;
    return ST_OK;
}

/* Sleep until it is time for another run; false if there is nothing left to do for now. */
static bool linger(struct generator *generator, int64_t begin_s, struct err *first)
{
    struct err err;
    int64_t next_s = 0;
    enum status status;

    status = find_next_run(generator, &next_s, &err);
    if (status == ST_NOT_FOUND)
        return false;
    keep_first(status, &err, first);
    if (status != ST_OK || next_s > begin_s + LINGER_MAX_S)
        return false;
    while (clock_utc_s() < next_s) {
        if (clock_utc_s() < generator->now_s - LINGER_RETRY_S)
            return false; /* the clock was set back: do not sit here for as long as that */
        clock_sleep_ms(LINGER_POLL_MS);
    }
    generator->now_s = clock_utc_s();
    return true;
}

int cmd_run(const struct config *config, const struct run_options *options)
{
    struct program program = {.name = "tlsrpt-gen"};
    struct generator generator;
    struct err err = {.code = ST_OK};
    bool is_flush = options->is_flush;
    int64_t begin_s;
    enum status status = generator_open(&generator, config, GENERATOR_RUN, &err);

    if (status == ST_BUSY) {
        LOG_FACT(EV_RUN_BUSY, log_text("reason", err.text));
        return 0;
    }
    if (status != ST_OK)
        return program_fail(&program, &err);
    (void)signal(SIGPIPE, SIG_IGN); /* a server that goes away in the middle of a post */
    log_signing(&generator);
    begin_s = generator.now_s;
    do {
        if (!begin_run(&generator, options->is_clock_accepted, &err))
            break;
        if (run(&generator, is_flush, &err))
            begin_s = generator.now_s; /* what cron started meanwhile left this day to us */
        is_flush = false;
    } while (options->is_linger && linger(&generator, begin_s, &err));
    generator_close(&generator);
    return err.code == ST_OK ? 0 : program_fail(&program, &err);
}
