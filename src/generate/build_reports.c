/* SPDX-License-Identifier: MIT */
/*
 * How it works.  Each complete day is built in three steps (build_day):
 *
 * 1. The day is closed in the session store: results that come from now on are late, so that the reports hold
 *    all there is.
 * 2. Batch by batch (build_domains): take domains that have no report yet and whose records are looked up, build
 *    their reports and freeze them with their deliveries in the ledger, in one transaction.  After a crash, or when
 *    the time for lookups is up, the next run takes what is left.
 * 3. The day is closed in the ledger when no domain waits for its record.
 *
 * One domain cannot stop a run: if its record cannot be read or its report cannot be built, it waits, for at
 * most CANDIDATES_WAIT_S; then it gets no report.  A failure of a store stops the run.
 */
#include "build_reports.h"

#include <stdlib.h>

#include "app/log_events.h"
#include "base/clock.h"
#include "base/sketch.h"
#include "candidates.h"
#include "model/organization.h"
#include "model/schedule.h"
#include "model/utc_day.h"
#include "reportable_days.h"

#define RECORD_RETRY_S (15 * 60)

#define BATCH_ARENA_MAX (64u << 20)

struct day_build {
    struct generator *generator;
    enum day_domains_scope scope;
    struct build_totals *totals;
    struct sketch *deliveries; /* that were planned in this run */
    struct sketch *silent;     /* records that got no answer in this run */
    struct candidates *candidates;
    int64_t stop_at_ms; /* clock_monotonic_ms: look up no further domain */
    struct arena arena; /* of one batch */
    struct report_file file;
    int32_t utc_day;
    char day[UTC_DAY_TEXT_SIZE];
    uint64_t waiting; /* domains of this day */
    bool is_cut;      /* the run's time for lookups was up before every domain had its turn */
};

/* ---- one domain ---- */

/* One delivery for each destination (R55, R63), due at its domain's time (R62). */
static enum status plan_deliveries(const struct day_build *build, const struct candidate *candidate,
                                   struct arena *arena, struct ledger_delivery *deliveries, struct err *err)
{
    const struct config *config = build->generator->config;
    const char *owner = organization_of(candidate->domain);
    int64_t due_s = schedule_due_s(build->utc_day, candidate->domain, config->submitter, config->min_delay_s,
                                   config->spread_s);

    for (size_t i = 0; i < candidate->record.rua_count; i++) {
        const struct rua *rua = &candidate->record.ruas[i];
        bool is_mail = rua->kind == RUA_MAILTO;
        enum status status = ST_OK;

        deliveries[i] = (struct ledger_delivery){
            .kind = is_mail ? DELIVERY_MAIL : DELIVERY_HTTPS,
            .rua = is_mail ? rua->address : rua->uri,
            .host = is_mail ? rua->domain : rua->host,
            .message_id = "",
            .state = DELIVERY_DUE,
            .next_at_s = due_s,
            .last_text = "",
            .owner = owner,
            .destination =
                is_mail ? rua->domain : arena_format(arena, "%s:%u", rua->host, (unsigned)rua->port),
            .due_at_s = due_s > build->generator->now_s ? due_s : build->generator->now_s,
            .turn = schedule_turn(sketch_get(build->deliveries, owner)),
        };
        sketch_add(build->deliveries, owner);
        if (deliveries[i].destination == NULL)
            return err_set(err, ST_NOMEM, "%s: out of memory", candidate->domain);
        if (is_mail)
            status = report_message_id_format(build->file.meta.report_id, (unsigned)i + 1, arena,
                                              &deliveries[i].message_id, err);
        if (status != ST_OK)
            return status;
    }
    return ST_OK;
}

static enum status freeze(struct day_build *build, const struct candidate *candidate, struct arena *arena,
                          struct err *err)
{
    const struct config *config = build->generator->config;
    const struct report_file *file = &build->file;
    struct ledger_delivery deliveries[TLSRPT_RUA_MAX];
    struct ledger_report report;
    struct strbuf note;
    enum status status;

    strbuf_init(&note, REPORT_SUMMARY_TEXT_MAX);
    report_summary_format(&file->built.summary, &note);
    report = (struct ledger_report){
        .utc_day = build->utc_day,
        .domain = candidate->domain,
        .report_id = file->meta.report_id,
        .created_at_s = build->generator->now_s,
        .organization_name = config->organization_name,
        .contact_info = config->contact_info,
        .from = config->from,
        .envelope_from = config->envelope_from,
        .file_name = file->file_name,
        .gzip = file->gzip.data,
        .gzip_len = file->gzip.len,
        .inflated_bytes = (int64_t)file->built.json_bytes,
        .success = (int64_t)file->built.summary.sessions.success,
        .failure = (int64_t)file->built.summary.sessions.failure,
        .note = note.data,
    };
    status = plan_deliveries(build, candidate, arena, deliveries, err);
    if (status == ST_OK && strbuf_is_failed(&note))
        status = err_set(err, ST_NOMEM, "%s: out of memory", candidate->domain);
    if (status == ST_OK)
        status = ledger_add_report(build->generator->ledger, &report, deliveries, candidate->record.rua_count,
                                   err);
    strbuf_done(&note);
    return status;
}

static enum status skip_one(struct day_build *build, const struct candidate *candidate, const char *reason,
                            struct err *err)
{
    build->totals->skipped++;
    return ledger_skip(build->generator->ledger, build->utc_day, candidate->domain, reason,
                       build->generator->now_s, err);
}

static enum status wait_one(struct day_build *build, const struct candidate *candidate, const char *reason,
                            struct err *err)
{
    struct ledger *ledger = build->generator->ledger;
    int64_t now_s = build->generator->now_s;
    struct ledger_found found;
    int64_t waited_s, next_at_s;
    enum status status = ledger_find(ledger, build->utc_day, candidate->domain, &found, err);

    if (status != ST_OK)
        return status;
    waited_s = found.entry == LEDGER_WAITING ? now_s - found.since_s : 0;
    if (waited_s >= CANDIDATES_WAIT_S)
        return skip_one(build, candidate, reason, err);
    build->waiting++;
    next_at_s = now_s + (waited_s > RECORD_RETRY_S ? waited_s : RECORD_RETRY_S); /* as long again */
    if (next_at_s > now_s - waited_s + CANDIDATES_WAIT_S)
        next_at_s = now_s - waited_s + CANDIDATES_WAIT_S;
    return ledger_wait(ledger, build->utc_day, candidate->domain, reason, now_s, next_at_s, err);
}

static void log_built(const struct day_build *build, const struct candidate *candidate)
{
    const struct report_built *built = &build->file.built;

    if (built->summary.clamped > 0)
        LOG_FACT(EV_COUNT_CLAMPED, log_text("day", build->day), log_text("domain", candidate->domain),
                 log_number("counts", (int64_t)built->summary.clamped));
    if (built->summary.folded > 0)
        LOG_FACT(EV_REPORT_FOLDED, log_text("day", build->day), log_text("domain", candidate->domain),
                 log_number("details", (int64_t)built->summary.folded));
    LOG_FACT(EV_REPORT_BUILT, log_text("day", build->day), log_text("domain", candidate->domain),
             log_number("destinations", (int64_t)candidate->record.rua_count),
             log_number("bytes", (int64_t)build->file.gzip.len));
}

/* A failure of the store, which would affect every other domain too. */
static bool is_of_store(enum status status)
{
    return status == ST_BUSY || status == ST_IO || status == ST_UNSUPPORTED || status == ST_TEMPORARY;
}

static enum status build_one(struct day_build *build, const struct candidate *candidate, struct arena *arena,
                             struct err *err)
{
    enum status status = report_file_build(build->generator, build->utc_day, candidate->domain, false, arena,
                                           &build->file, err);

    if (is_of_store(status))
        return status;
    if (status == ST_OK) {
        status = freeze(build, candidate, arena, err);
        if (status == ST_OK) {
            log_built(build, candidate);
            build->totals->reports++;
        }
        if (status != ST_RANGE) /* larger than the ledger takes */
            return status;
    }
    LOG_FACT(EV_REPORT_FAILED, log_text("day", build->day), log_text("domain", candidate->domain),
             log_text("reason", err->text));
    return wait_one(build, candidate, "the report could not be built", err);
}

/* ---- one batch ---- */

/* Stores that are far away read the whole batch at once. */
static enum status prefetch(const struct day_build *build, const struct candidates *batch, struct err *err)
{
    const char *names[CANDIDATES_AT_ONCE];
    size_t wanted = 0;
    enum status status;

    for (size_t i = 0; i < batch->count; i++)
        names[i] = batch->items[i]->domain;
    status = ledger_prefetch(build->generator->ledger, build->utc_day, names, batch->count, err);
    if (status != ST_OK)
        return status;
    for (size_t i = 0; i < batch->count; i++)
        if (batch->items[i]->disposition == CANDIDATE_REPORT)
            names[wanted++] = batch->items[i]->domain;
    return session_reader_prefetch(build->generator->sessions, build->utc_day, names, wanted, err);
}

static enum status settle_one(struct day_build *build, const struct candidate *candidate, struct arena *arena,
                              struct err *err)
{
    struct ledger_found found;
    enum status status =
        ledger_find(build->generator->ledger, build->utc_day, candidate->domain, &found, err);

    if (status != ST_OK || found.entry == LEDGER_REPORT || found.entry == LEDGER_SKIPPED)
        return status; /* settled meanwhile, by another generator of the fleet */
    switch (candidate->disposition) {
    case CANDIDATE_REPORT:
        return build_one(build, candidate, arena, err);
    case CANDIDATE_SKIP:
        return skip_one(build, candidate, candidate->reason, err);
    case CANDIDATE_WAIT:
        return wait_one(build, candidate, candidate->reason, err);
    }
    return ST_OK;
}

/* In one transaction: a crash leaves the batch built or not built, never half. */
static enum status build_batch(struct day_build *build, struct candidates *batch, struct err *err)
{
    struct ledger *ledger = build->generator->ledger;
    enum status status = prefetch(build, batch, err);

    arena_reset(&build->arena);
    if (status == ST_OK)
        status = ledger_begin(ledger, err);
    if (status != ST_OK)
        return status;
    for (size_t i = 0; status == ST_OK && i < batch->count; i++)
        status = settle_one(build, batch->items[i], &build->arena, err);
    if (status == ST_OK)
        status = ledger_commit(ledger, err);
    if (status != ST_OK)
        ledger_rollback(ledger);
    return status;
}

/* ---- one day ---- */

static enum status build_domains(struct day_build *build, struct err *err)
{
    struct candidates *batch = build->candidates;
    enum status status;

    candidates_open(batch, &(struct candidates_order){.generator = build->generator,
                                                      .utc_day = build->utc_day,
                                                      .scope = build->scope,
                                                      .silent = build->silent,
                                                      .stop_at_ms = build->stop_at_ms});
    while ((status = candidates_next(batch, err)) == ST_OK && batch->count > 0)
        if ((status = build_batch(build, batch, err)) != ST_OK)
            break;
    build->waiting += batch->domains.waiting;
    build->is_cut = batch->is_cut;
    candidates_close(batch);
    return status;
}

struct closed_day_search {
    int32_t utc_day;
    bool is_closed;
};

static enum status compare_day(void *context, int32_t utc_day, int64_t closed_at_s, struct err *err)
{
    struct closed_day_search *search = context;

    (void)closed_at_s;
    (void)err;
    search->is_closed = search->is_closed || utc_day == search->utc_day;
    return ST_OK;
}

/* A generator of a fleet closes its share of a day; the day is closed with the last share. */
static enum status close_in_ledger(struct day_build *build, struct err *err)
{
    struct generator *generator = build->generator;
    struct closed_day_search search = {.utc_day = build->utc_day};
    enum status status = ledger_close_day(generator->ledger, build->utc_day, generator->now_s, err);

    if (status == ST_OK)
        status = ledger_each_closed_day(generator->ledger, compare_day, &search, err);
    if (status != ST_OK || !search.is_closed)
        return status;
    build->totals->days++;
    LOG_FACT(EV_DAY_CLOSED, log_text("day", build->day));
    return ST_OK;
}

static enum status build_day(struct day_build *build, struct err *err)
{
    struct generator *generator = build->generator;
    enum status status;

    build->waiting = 0;
    status = session_reader_close_day(generator->sessions, build->utc_day, generator->now_s, err); /* 1 */
    if (status == ST_OK)
        status = build_domains(build, err); /* 2 */
    if (status == ST_OK && build->waiting == 0 && !build->is_cut)
        status = close_in_ledger(build, err); /* 3 */
    if (status != ST_OK)
        return err_wrap(err, "day %s", build->day);
    build->totals->waiting += build->waiting;
    if (build->waiting > 0)
        LOG_FACT(EV_RECORDS_WAIT, log_text("day", build->day),
                 log_number("domains", (int64_t)build->waiting));
    if (build->is_cut)
        LOG_FACT(EV_DAY_WAITS, log_text("day", build->day),
                 log_text("reason", "the run's time for lookups was up; the next run goes on"));
    return ST_OK;
}

/* ---- all days ---- */

/* A host of the fleet whose results of the day are not all there. */
static enum status note_missing(void *context, const struct fleet_instance *instance, struct err *err)
{
    const struct day_build *build = context;
    char through[UTC_STAMP_TEXT_SIZE];
    bool is_new = false;
    enum status status;

    if (instance->complete_through_s > utc_day_last_s(build->utc_day))
        return ST_OK;
    status = fleet_note_missed(build->generator->fleet, build->utc_day, instance, &is_new, err);
    if (!is_new)
        return status;
    utc_stamp_format(instance->complete_through_s, through);
    LOG_FACT(EV_FLEET_HOST_MISSED, log_text("day", build->day), log_text("host", instance->host),
             log_text("complete_through", through));
    return ST_OK;
}

static enum status take_day(struct day_build *build, const struct reportable_day *day, struct err *err)
{
    struct generator *generator = build->generator;
    enum status status = ST_OK;

    build->utc_day = day->utc_day;
    utc_day_format(day->utc_day, build->day);
    if (day->is_waited && generator->fleet != NULL)
        status = fleet_each_instance(generator->fleet, generator->now_s, note_missing, build, err);
    if (status == ST_OK && day->is_complete)
        return build_day(build, err);
    if (status == ST_OK)
        LOG_FACT(EV_DAY_WAITS, log_text("day", build->day),
                 log_text("reason", generator->fleet != NULL
                                        ? "not every host of the fleet has pushed to its end"
                                        : "the collector has not counted to its end"));
    return status;
}

/* False: out of memory.  Needs close_build all the same. */
static bool open_build(struct day_build *build)
{
    arena_init(&build->arena, BATCH_ARENA_MAX);
    report_file_init(&build->file);
    build->stop_at_ms = clock_monotonic_ms() + build->generator->config->run_limit_s * 1000 / 2;
    build->candidates = malloc(sizeof *build->candidates);
    build->deliveries = sketch_new();
    build->silent = sketch_new();
    return build->candidates != NULL && build->deliveries != NULL && build->silent != NULL;
}

static void close_build(struct day_build *build)
{
    report_file_done(&build->file);
    arena_done(&build->arena);
    free(build->candidates);
    free(build->deliveries);
    free(build->silent);
}

enum status build_reports(struct generator *generator, bool is_flush, struct build_totals *totals,
                          struct err *err)
{
    struct day_build build = {
        .generator = generator, .scope = is_flush ? DAY_DOMAINS_OPEN : DAY_DOMAINS_DUE, .totals = totals};
    struct reportable_days days;
    enum status status = reportable_days_find(generator, &days, err);

    if (status != ST_OK)
        return status;
    if (!open_build(&build))
        status = err_set(err, ST_NOMEM, "reports: out of memory");
    if (days.missed > 0)
        LOG_FACT(EV_DAYS_MISSED, log_number("days", (int64_t)days.missed),
                 log_number("max_age_days", generator->config->max_age_days));
    for (size_t i = 0; status == ST_OK && i < days.count && !generator_is_stopping; i++)
        status = take_day(&build, &days.items[i], err);
    close_build(&build);
    return status;
}
