/* SPDX-License-Identifier: MIT */
#include "build_reports.h"

#include "app/log_events.h"
#include "candidates.h"
#include "model/schedule.h"
#include "model/utc_day.h"

/* A domain whose record cannot be read for that long gets no report. */
#define RECORD_WAIT_S (24 * 3600)

#define NOTE_MAX_BYTES REPORT_SUMMARY_TEXT_MAX

struct day_build {
    struct generator *generator;
    int32_t utc_day;
    struct report_file file;
    struct build_totals totals;
    uint64_t waiting; /* on this day */
};

static enum status is_open(void *context, const char *domain, bool *is_wanted_out, struct err *err)
{
    struct day_build *build = context;
    enum ledger_entry entry;
    enum status status = ledger_find(build->generator->ledger, build->utc_day, domain, &entry, NULL, err);

    if (status == ST_OK)
        *is_wanted_out = entry == LEDGER_NOTHING || entry == LEDGER_WAITING;
    return status;
}

/* One delivery for each destination (R55, R63), due when its domain's time has come (R62). */
static enum status plan_deliveries(const struct day_build *build, const struct candidate *candidate,
                                   struct arena *arena, struct ledger_delivery *deliveries, struct err *err)
{
    const struct config *config = build->generator->config;
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
        };
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

    strbuf_init(&note, NOTE_MAX_BYTES);
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
    build->totals.skipped++;
    return ledger_skip(build->generator->ledger, build->utc_day, candidate->domain, reason,
                       build->generator->now_s, err);
}

/* No record, or no report, for now: wait, but not for ever (rfc8460.md A.1.5). */
static enum status wait_one(struct day_build *build, const struct candidate *candidate, struct err *err)
{
    struct ledger *ledger = build->generator->ledger;
    int64_t now_s = build->generator->now_s;
    enum ledger_entry entry;
    int64_t since_s = now_s;
    enum status status = ledger_find(ledger, build->utc_day, candidate->domain, &entry, &since_s, err);

    if (status != ST_OK)
        return status;
    if (entry == LEDGER_WAITING && now_s - since_s >= RECORD_WAIT_S)
        return skip_one(build, candidate, candidate->reason, err);
    build->waiting++;
    return ledger_wait(ledger, build->utc_day, candidate->domain, candidate->reason, now_s, err);
}

static void log_built(const struct day_build *build, const struct candidate *candidate)
{
    const struct report_built *built = &build->file.built;
    char day[UTC_DAY_TEXT_SIZE];

    utc_day_format(build->utc_day, day);
    if (built->summary.clamped > 0)
        LOG_FACT(EV_COUNT_CLAMPED, log_text("day", day), log_text("domain", candidate->domain),
                 log_number("counts", (int64_t)built->summary.clamped));
    if (built->summary.folded > 0)
        LOG_FACT(EV_REPORT_FOLDED, log_text("day", day), log_text("domain", candidate->domain),
                 log_number("details", (int64_t)built->summary.folded));
    LOG_FACT(EV_REPORT_BUILT, log_text("day", day), log_text("domain", candidate->domain),
             log_number("destinations", (int64_t)candidate->record.rua_count),
             log_number("bytes", (int64_t)build->file.gzip.len));
}

/* What is the store's trouble, and not this one domain's: no other domain would fare better. */
static bool is_of_store(enum status status)
{
    return status == ST_BUSY || status == ST_IO || status == ST_UNSUPPORTED || status == ST_TEMPORARY;
}

/* No domain can stop a run: one whose report cannot be built waits, and is told. */
static enum status build_one(struct day_build *build, struct candidate *candidate, struct arena *arena,
                             struct err *err)
{
    char day[UTC_DAY_TEXT_SIZE];
    enum status status = report_file_build(build->generator, build->utc_day, candidate->domain, false, arena,
                                           &build->file, err);

    if (status == ST_OK) {
        status = freeze(build, candidate, arena, err);
        if (status == ST_OK)
            log_built(build, candidate);
        build->totals.reports += status == ST_OK;
        if (status != ST_RANGE) /* larger than the ledger takes: only this one's trouble */
            return status;
    }
    if (is_of_store(status))
        return status;
    utc_day_format(build->utc_day, day);
    LOG_FACT(EV_REPORT_FAILED, log_text("day", day), log_text("domain", candidate->domain),
             log_text("reason", err->text));
    candidate->reason = "the report could not be built";
    return wait_one(build, candidate, err);
}

/* What the batch will ask of the stores, in as few questions as there can be. */
static enum status prefetch(const struct day_build *build, const struct candidate *candidates, size_t count,
                            struct err *err)
{
    const char *names[CANDIDATES_AT_ONCE];
    size_t wanted = 0;

    for (size_t i = 0; i < count; i++)
        if (candidates[i].disposition == CANDIDATE_REPORT)
            names[wanted++] = candidates[i].domain;
    return session_store_prefetch(build->generator->sessions, build->utc_day, names, wanted, err);
}

/* One transaction for the batch: a crash leaves it built or not built, never half. */
static enum status build_batch(void *context, struct candidate *candidates, size_t count, struct arena *arena,
                               struct err *err)
{
    struct day_build *build = context;
    struct ledger *ledger = build->generator->ledger;
    enum status status = prefetch(build, candidates, count, err);

    if (status == ST_OK)
        status = ledger_begin(ledger, err);
    if (status != ST_OK)
        return status;
    for (size_t i = 0; status == ST_OK && i < count; i++) {
        switch (candidates[i].disposition) {
        case CANDIDATE_REPORT:
            status = build_one(build, &candidates[i], arena, err);
            break;
        case CANDIDATE_SKIP:
            status = skip_one(build, &candidates[i], candidates[i].reason, err);
            break;
        case CANDIDATE_WAIT:
            status = wait_one(build, &candidates[i], err);
            break;
        }
    }
    if (status == ST_OK)
        status = ledger_commit(ledger, err);
    if (status != ST_OK)
        ledger_rollback(ledger);
    return status;
}

struct closed_day_search {
    int32_t utc_day;
    bool is_closed;
};

static enum status compare_day(void *context, int32_t utc_day, int64_t closed_at_s, struct err *err)
{
    struct closed_day_search *day = context;

    (void)closed_at_s;
    (void)err;
    day->is_closed = day->is_closed || utc_day == day->utc_day;
    return ST_OK;
}

/* Of a fleet's day we may have closed one share of many: only the last one closes it. */
static enum status log_closed(struct day_build *build, const char *day_text, struct err *err)
{
    struct closed_day_search day = {.utc_day = build->utc_day};
    enum status status = ledger_each_closed_day(build->generator->ledger, compare_day, &day, err);

    if (status != ST_OK || !day.is_closed)
        return status;
    build->totals.days++;
    LOG_FACT(EV_DAY_CLOSED, log_text("day", day_text));
    return ST_OK;
}

/*
 * 1. From now on outcomes for the day are late, so that what is built is all there is.
 * 2. Build what has no report yet: after a crash, only the rest.
 * 3. The day is closed when no domain waits for its record.
 */
static enum status build_day(struct day_build *build, struct err *err)
{
    struct generator *generator = build->generator;
    char day[UTC_DAY_TEXT_SIZE];
    enum status status;

    utc_day_format(build->utc_day, day);
    build->waiting = 0;
    status = session_store_close_day(generator->sessions, build->utc_day, generator->now_s, err); /* 1 */
    if (status == ST_OK)
        status = candidates_each(generator, build->utc_day, is_open, build_batch, build, err); /* 2 */
    if (status != ST_OK)
        return err_wrap(err, "day %s", day);
    build->totals.waiting += build->waiting;
    if (build->waiting > 0) {
        LOG_FACT(EV_RECORDS_WAIT, log_text("day", day), log_number("domains", (int64_t)build->waiting));
        return ST_OK;
    }
    status = ledger_close_day(generator->ledger, build->utc_day, generator->now_s, err); /* 3 */
    if (status == ST_OK)
        status = log_closed(build, day, err);
    return status == ST_OK ? ST_OK : err_wrap(err, "day %s", day);
}

/* ---- the fleet ---- */

struct missing {
    struct generator *generator;
    int32_t utc_day;
};

static enum status note_missing(void *context, const struct fleet_instance *instance, struct err *err)
{
    const struct missing *missing = context;
    char day[UTC_DAY_TEXT_SIZE], through[UTC_STAMP_TEXT_SIZE];
    bool is_new = false;
    enum status status;

    if (instance->complete_through_s > utc_day_last_s(missing->utc_day))
        return ST_OK;
    status = fleet_note_missed(missing->generator->fleet, missing->utc_day, instance, &is_new, err);
    if (!is_new)
        return status;
    utc_day_format(missing->utc_day, day);
    utc_stamp_format(instance->complete_through_s, through);
    LOG_FACT(EV_FLEET_HOST_MISSED, log_text("day", day), log_text("host", instance->host),
             log_text("complete_through", through));
    return ST_OK;
}

/* The wait is over: name the hosts whose counts the reports of the day will lack. */
static enum status name_missing(struct generator *generator, int32_t utc_day, struct err *err)
{
    struct missing missing = {generator, utc_day};

    return fleet_each_instance(generator->fleet, generator->now_s, note_missing, &missing, err);
}

enum status build_reports(struct generator *generator, struct build_totals *totals_out, struct err *err)
{
    struct day_build build = {.generator = generator};
    struct reportable_days days;
    enum status status = reportable_days_find(generator, &days, err);

    if (status != ST_OK)
        return status;
    if (days.missed > 0)
        LOG_FACT(EV_DAYS_MISSED, log_number("days", (int64_t)days.missed),
                 log_number("max_age_days", generator->config->max_age_days));
    report_file_init(&build.file);
    for (size_t i = 0; status == ST_OK && i < days.count; i++) {
        char day[UTC_DAY_TEXT_SIZE];

        build.utc_day = days.items[i].utc_day;
        utc_day_format(build.utc_day, day);
        if (days.items[i].is_waited && generator->fleet != NULL)
            status = name_missing(generator, build.utc_day, err);
        if (status == ST_OK && days.items[i].is_complete)
            status = build_day(&build, err);
        else if (status == ST_OK)
            LOG_FACT(EV_DAY_WAITS, log_text("day", day),
                     log_text("reason", generator->fleet != NULL
                                            ? "not every host of the fleet has pushed to its end"
                                            : "the collector has not counted to its end"));
    }
    report_file_done(&build.file);
    *totals_out = build.totals;
    return status;
}
