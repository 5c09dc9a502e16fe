/* SPDX-License-Identifier: MIT */
/*
 * How it works.  The steps of a run (run_once, and work for each share):
 *
 * 1. Check the clock (clock_guard.c), and delete old days (retention.c).  By a clock that jumped nothing else
 *    is done.
 * 2. In a fleet: push what this host counted, then take a share of the work.  Steps 3 to 5 are done for one
 *    share after the other.
 * 3. Recover deliveries that a crash interrupted.
 * 4. Build the reports of complete days (build_reports.c).
 * 5. Deliver what is due, mail and HTTPS at the same time (dispatch.c).
 * 6. Log a summary.
 * 7. With --linger: wait until something is due, and start again.
 *
 * The first failure decides the exit code; steps that do not depend on what failed are done all the same.
 *
 * SIGTERM and SIGINT only set a flag: nothing more is built or sent, what is being sent is finished and recorded,
 * and the run ends.  A second one kills.
 */
#include "generate/run.h"

#include <signal.h>

#include "app/clock_guard.h"
#include "app/last_run.h"
#include "app/log_events.h"
#include "app/program.h"
#include "base/clock.h"
#include "build_reports.h"
#include "dispatch.h"
#include "generate/push.h"
#include "model/utc_day.h"
#include "reportable_days.h"
#include "retention.h"

#define LINGER_RETRY_S (15 * 60)   /* for what waits, and for what a run's limits left */
#define LINGER_MAX_S   (26 * 3600) /* what is still open then is left to the next run */
#define LINGER_POLL_MS 250         /* the clock may be set while we sleep */
#define NOTE_EVERY_S   (5 * 60)    /* while lingering: that all is done is noted again */

struct generator_run {
    struct generator generator;
    bool is_flush;
    bool has_worked; /* steps 3 to 5 were done at least once */
    struct build_totals built;
    struct delivery_totals sent;
    struct err err;  /* first failure */
    bool has_failed; /* since the last step 1 */
    int64_t noted_s; /* when success was noted last */
};

static void keep_first(struct generator_run *run, enum status status, const struct err *err)
{
    if (status == ST_OK)
        return;
    run->has_failed = true;
    if (run->err.code == ST_OK)
        run->err = *err;
}

static void note_success(struct generator_run *run)
{
    int64_t now_s = clock_utc_s();

    if (run->has_failed || (now_s >= run->noted_s && now_s < run->noted_s + NOTE_EVERY_S))
        return;
    last_run_note(run->generator.lock_fd, now_s);
    run->noted_s = now_s;
}

/* ---- step 1: the clock, and old days ---- */

/* False: the clock jumped. */
static bool begin_run(struct generator_run *run, bool is_clock_accepted)
{
    struct generator *generator = &run->generator;
    struct retention_time time = {.now_s = generator->now_s};
    struct clock_answer clock;
    struct err err;
    enum status status;

    run->has_failed = false;
    status = clock_guard_check(generator->config, generator->now_s, is_clock_accepted, &clock, &err);

    keep_first(run, status, &err);
    time.ledger_s = clock.ledger_s;
    if (clock.is_trusted && generator->sessions != NULL) {
        status = retention_run(generator->config, generator->sessions, generator->ledger, &time, &err);
        keep_first(run, status, &err);
    }
    return clock.is_trusted;
}

/* ---- steps 3 to 5: all work, or one share of it ---- */

static enum status recover(struct generator *generator, struct err *err)
{
    int64_t count = 0;
    enum status status = ledger_recover(generator->ledger, generator->now_s, &count, err);

    if (status == ST_OK && count > 0)
        LOG_FACT(EV_DELIVERIES_RECOVERED, log_number("deliveries", count));
    return status;
}

static void work(struct generator_run *run)
{
    struct err err;

    run->has_worked = true;
    keep_first(run, recover(&run->generator, &err), &err);
    keep_first(run, build_reports(&run->generator, run->is_flush, &run->built, &err), &err);
    if (run->is_flush)
        keep_first(run, ledger_make_due(run->generator.ledger, run->generator.now_s, &err), &err);
    keep_first(run, dispatch(&run->generator, &run->sent, &err), &err);
}

/* ---- step 2: the work of a fleet ---- */

/* If it fails, there is still work of other hosts to do. */
static void push(struct generator_run *run)
{
    struct err err;

    if (push_now(run->generator.config, run->generator.fleet, &err) == ST_OK)
        return;
    LOG_FACT(EV_PUSH_FAILED, log_text("reason", err.text));
    keep_first(run, err.code, &err);
}

/* Until other generators hold all the rest, or the time is up: then the next run goes on. */
static void work_in_shares(struct generator_run *run)
{
    struct fleet *fleet = run->generator.fleet;
    const int64_t stop_at_ms = clock_monotonic_ms() + run->generator.config->run_limit_s * 1000;
    struct err err;
    enum status status;
    int buckets;

    if (*fleet->owner == '\0')
        return; /* the push failed before it knew who we are */
    while ((status = fleet_take_share(fleet, !run->has_worked, &buckets, &err)) == ST_OK) {
        LOG_FACT(EV_FLEET_SHARE, log_number("buckets", buckets), log_text("generator", fleet->owner));
        work(run);
        fleet_release_share(fleet);
        if (generator_is_stopping || clock_monotonic_ms() >= stop_at_ms)
            return;
    }
    if (status != ST_NOT_FOUND)
        keep_first(run, status, &err);
    else if (!run->has_worked)
        LOG_FACT(EV_FLEET_BUSY, log_text("reason", err.text));
}

/* ---- step 6: the end of a run ---- */

static void log_summary(const struct build_totals *built, const struct delivery_totals *sent)
{
    LOG_FACT(EV_RUN_DONE, log_number("days", (int64_t)built->days),
             log_number("reports", (int64_t)built->reports), log_number("skipped", (int64_t)built->skipped),
             log_number("waiting", (int64_t)built->waiting),
             log_number("delivered", (int64_t)sent->delivered), log_number("later", (int64_t)sent->later),
             log_number("given_up", (int64_t)sent->given_up), log_number("expired", (int64_t)sent->expired),
             log_number("suppressed", (int64_t)sent->suppressed));
}

static void run_once(struct generator_run *run)
{
    run->has_worked = false;
    run->built = (struct build_totals){0};
    run->sent = (struct delivery_totals){0};
    if (run->generator.fleet != NULL) {
        push(run);
        work_in_shares(run);
    } else {
        work(run);
    }
    if (run->has_worked || run->err.code == ST_OK)
        log_summary(&run->built, &run->sent);
}

/* ---- step 7: lingering ---- */

struct waiting_domains {
    int32_t oldest_day; /* that can still be reported */
    size_t count;
};

static enum status count_domain(void *context, int32_t utc_day, const char *domain, const char *reason,
                                int64_t since_s, struct err *err)
{
    struct waiting_domains *waiting = context;

    (void)domain;
    (void)reason;
    (void)since_s;
    (void)err;
    waiting->count += utc_day >= waiting->oldest_day;
    return ST_OK;
}

/*
 * When the next run is wanted: when the next delivery is due, but soon if a day or a domain waits, and only
 * after a pause if the last run's limits left something.
 * ST_NOT_FOUND  nothing is open: no run is wanted
 * else          statuses of the stores
 */
static enum status find_next_run(struct generator *generator, int64_t *next_s_out, struct err *err)
{
    const int64_t retry_s = clock_utc_s() + LINGER_RETRY_S;
    const int32_t today = utc_day_of(generator->now_s);
    struct waiting_domains waiting = {.oldest_day = today - (int32_t)generator->config->max_age_days};
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
    if (next_s <= generator->now_s || ((waiting.count > 0 || days.count > 0) && next_s > retry_s))
        next_s = retry_s;
    if (next_s == INT64_MAX)
        return ST_NOT_FOUND;
    *next_s_out = next_s;
    return ST_OK;
}

/* Sleep until it is time for another run; false if none is wanted before begin_s + LINGER_MAX_S, or at all. */
static bool linger(struct generator_run *run, int64_t begin_s)
{
    struct generator *generator = &run->generator;
    struct err err;
    int64_t next_s = 0;
    enum status status = find_next_run(generator, &next_s, &err);

    if (status == ST_NOT_FOUND)
        return false;
    keep_first(run, status, &err);
    if (status != ST_OK || next_s > begin_s + LINGER_MAX_S)
        return false;
    while (clock_utc_s() < next_s && !generator_is_stopping) {
        if (clock_utc_s() < generator->now_s - LINGER_RETRY_S)
            return false; /* the clock was set back: next_s may be very far away now */
        note_success(run);
        clock_sleep_ms(LINGER_POLL_MS);
    }
    generator->now_s = clock_utc_s();
    return !generator_is_stopping;
}

/* ---- the command ---- */

/* R44: mails must be signed; without a key of ours the relay must do it.  Logged by the first run only. */
static void log_signing(const struct generator *generator)
{
    if (generator->is_first_run && generator->keys == NULL)
        LOG_FACT(EV_RELAY_MUST_SIGN, log_text("relay", generator->config->relay),
                 log_text("domain", generator->config->dkim_domain),
                 log_text("mend", "let it sign mail of that domain, or set dkim_key"));
}

static void stop(int signal_number)
{
    (void)signal_number;
    generator_is_stopping = 1;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = stop, .sa_flags = (int)SA_RESETHAND};

    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    (void)signal(SIGPIPE, SIG_IGN); /* a server that closes its connection during a post */
}

int cmd_run(const struct config *config, const struct run_options *options)
{
    struct program program = {.name = "tlsrpt-gen"};
    struct generator_run run = {.is_flush = options->is_flush};
    int64_t begin_s;
    enum status status = generator_open(&run.generator, config, GENERATOR_RUN, &run.err);

    if (status == ST_BUSY) {
        LOG_FACT(EV_RUN_BUSY, log_text("reason", run.err.text));
        return 0;
    }
    if (status != ST_OK)
        return program_fail(&program, &run.err);
    catch_signals();
    log_signing(&run.generator);
    begin_s = run.generator.now_s;
    do {
        if (!begin_run(&run, options->is_clock_accepted))
            break;
        run_once(&run);
        if (!generator_is_stopping)
            note_success(&run);
        run.is_flush = false;
        if (run.built.reports > 0)
            begin_s = run.generator.now_s; /* runs that cron started meanwhile left these deliveries to us */
    } while (options->is_linger && linger(&run, begin_s));
    generator_close(&run.generator);
    return run.err.code == ST_OK ? 0 : program_fail(&program, &run.err);
}
