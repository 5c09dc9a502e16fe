/* SPDX-License-Identifier: MIT */
#include "cmd/run.h"

#include "base/clock.h"
#include "cmd/build_reports.h"
#include "cmd/deliver_https.h"
#include "cmd/deliver_mail.h"
#include "cmd/log_events.h"
#include "cmd/program.h"
#include "model/utc_day.h"

/* How long the ledger remembers a day after it can no longer be reported. */
#define LEDGER_KEEP_DAYS 60

static enum status recover(struct generator *generator, struct err *err)
{
    int64_t count = 0;
    enum status status = ledger_recover(generator->ledger, generator->now_s, &count, err);

    if (status == ST_OK && count > 0)
        LOG_FACT(EV_DELIVERIES_RECOVERED, log_number("deliveries", count));
    return status;
}

static enum status deliver(struct generator *generator, struct delivery_totals *totals_out, struct err *err)
{
    const int64_t begin_ms = clock_monotonic_ms();
    const int64_t limit_ms = generator->config->run_limit_s * 1000;
    struct courier courier;
    size_t posts = 0;
    enum status status = courier_open(&courier, generator, err);

    if (status == ST_OK)
        (void)courier_items_of(&courier, DELIVERY_HTTPS, &posts);
    courier.stop_at_ms = begin_ms + (posts > 0 ? limit_ms / 2 : limit_ms); /* mail must not use up all time */
    if (status == ST_OK)
        status = deliver_mail(&courier, err);
    courier.stop_at_ms = begin_ms + limit_ms;
    if (status == ST_OK)
        status = deliver_https(&courier, err);
    *totals_out = courier.totals;
    courier_close(&courier);
    return status;
}

/* Days that can be neither reported nor asked about any more go. */
static enum status forget_old_days(struct generator *generator, struct err *err)
{
    int32_t today = utc_day_of(generator->now_s);
    int32_t oldest = today - (int32_t)generator->config->max_age_days;
    enum status status = ST_OK;
    int64_t forgotten;

    if (generator->sessions != NULL && oldest > 0)
        status = session_store_delete_before(generator->sessions, oldest, err);
    if (status == ST_OK && oldest > LEDGER_KEEP_DAYS)
        status = ledger_delete_before(generator->ledger, oldest - LEDGER_KEEP_DAYS, generator->now_s,
                                      &forgotten, err);
    return status;
}

/* R44: reports must be signed; without a key of ours that is the relay's work.  Said once. */
static void tell_about_signing(const struct generator *generator)
{
    if (generator->is_first_run && generator->keys == NULL)
        LOG_FACT(EV_RELAY_MUST_SIGN, log_text("relay", generator->config->relay),
                 log_text("domain", generator->config->dkim_domain), log_text("mend", "or set dkim_key"));
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

/* The first failure is the run's; what does not depend on it is done all the same. */
static void keep_first(enum status status, const struct err *err, struct err *first)
{
    if (status != ST_OK && first->code == ST_OK)
        *first = *err;
}

static void run(struct generator *generator, struct err *first)
{
    struct build_totals built = {0};
    struct delivery_totals sent = {0};
    struct err err;

    tell_about_signing(generator);
    keep_first(recover(generator, &err), &err, first);
    keep_first(build_reports(generator, &built, &err), &err, first);
    keep_first(deliver(generator, &sent, &err), &err, first);
    keep_first(forget_old_days(generator, &err), &err, first);
    log_summary(&built, &sent);
}

int cmd_run(const struct config *config)
{
    struct program program = {.name = "tlsrpt-gen"};
    struct generator generator;
    struct err err = {.code = ST_OK};
    enum status status = generator_open(&generator, config, GENERATOR_RUN, &err);

    if (status == ST_BUSY) {
        LOG_FACT(EV_RUN_BUSY, log_text("reason", err.text));
        return 0;
    }
    if (status != ST_OK)
        return program_fail(&program, &err);
    run(&generator, &err);
    generator_close(&generator);
    return err.code == ST_OK ? 0 : program_fail(&program, &err);
}
