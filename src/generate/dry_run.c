/* SPDX-License-Identifier: MIT */
/*
 * How it works.  The first half of a run, with the same days, lookups and reports, which are shown instead of
 * frozen and sent.  A view (VIEWS) is one format: it gets every candidate of a day in turn.  If there was
 * none at all, stderr says why.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/json_out.h"
#include "app/program.h"
#include "app/table.h"
#include "dry_run.h"
#include "report_mail.h"
#include "reportable_days.h"

#define BATCH_ARENA_MAX (64u << 20)
#define LINE_MAX_BYTES  (300u << 20)

/* ---- json ---- */

static enum status json_show(struct dry_run *dry_run, const struct candidate *candidate, struct err *err)
{
    struct json_out json;

    strbuf_reset(&dry_run->text);
    json_out_init(&json, &dry_run->text, 0);
    json_out_begin_object(&json, NULL);
    json_out_text(&json, "day", dry_run->day);
    json_out_text(&json, "domain", candidate->domain);
    json_out_begin_array(&json, "rua");
    for (size_t i = 0; i < candidate->record.rua_count; i++)
        json_out_text(&json, NULL, candidate->record.ruas[i].uri);
    json_out_end_array(&json);
    if (candidate->disposition == CANDIDATE_REPORT)
        json_out_raw(&json, "report", dry_run->file.json.data, dry_run->file.json.len);
    else
        json_out_text(&json, "skipped", candidate->reason);
    json_out_end_object(&json);
    if (strbuf_is_failed(&dry_run->text))
        return err_set(err, ST_NOMEM, "%s: out of memory", candidate->domain);
    (void)printf("%s\n", dry_run->text.data);
    return ST_OK;
}

/* ---- mail ---- */

static void print_bytes(const struct strbuf *buf)
{
    (void)fwrite(buf->data, 1, buf->len, stdout);
}

/* One message is printed bare; from the second on they are an mbox. */
static void print_message(struct dry_run *dry_run)
{
    static const char SEPARATOR[] = "From MAILER-DAEMON Thu Jan  1 00:00:00 1970\r\n";

    dry_run->messages++;
    if (dry_run->messages == 1) {
        strbuf_reset(&dry_run->held);
        strbuf_add(&dry_run->held, dry_run->text.data, dry_run->text.len);
        return;
    }
    if (dry_run->messages == 2) {
        (void)printf("%s", SEPARATOR);
        print_bytes(&dry_run->held);
    }
    (void)printf("\r\n%s", SEPARATOR);
    print_bytes(&dry_run->text);
}

static enum status mail_one(struct dry_run *dry_run, const struct rua *rua, unsigned number, struct err *err)
{
    const struct report_file *file = &dry_run->file;
    struct mail_parts parts = {
        .meta = &file->meta,
        .summary = &file->built.summary,
        .from = dry_run->generator.config->from,
        .to = rua->address,
        .date_s = dry_run->generator.now_s,
        .file_name = file->file_name,
        .gzip = file->gzip.data,
        .gzip_len = file->gzip.len,
    };
    enum status status =
        report_message_id_format(file->meta.report_id, number, &dry_run->arena, &parts.message_id, err);

    strbuf_reset(&dry_run->text);
    if (status == ST_OK)
        status = report_mail_write(&dry_run->generator, &parts, &dry_run->text, err);
    if (status == ST_OK)
        print_message(dry_run);
    return status;
}

static enum status mail_show(struct dry_run *dry_run, const struct candidate *candidate, struct err *err)
{
    enum status status = ST_OK;

    if (candidate->disposition != CANDIDATE_REPORT)
        return ST_OK;
    for (size_t i = 0; status == ST_OK && i < candidate->record.rua_count; i++)
        if (candidate->record.ruas[i].kind == RUA_MAILTO)
            status = mail_one(dry_run, &candidate->record.ruas[i], (unsigned)i + 1, err);
    return status;
}

static enum status mail_end(struct dry_run *dry_run, struct err *err)
{
    if (dry_run->messages == 1)
        print_bytes(&dry_run->held);
    if (strbuf_is_failed(&dry_run->held))
        return err_set(err, ST_NOMEM, "message: out of memory");
    return ST_OK;
}

static const struct view VIEWS[] = {
    [DRY_RUN_TABLE] = {.begin_day = dry_run_table_begin_day,
                       .show = dry_run_table_show,
                       .end_day = dry_run_table_end_day},
    [DRY_RUN_JSON] = {.show = json_show, .needs_json = true},
    [DRY_RUN_MAIL] = {.show = mail_show, .end = mail_end},
};

/* ---- the dry run ---- */

static enum status show_one(struct dry_run *dry_run, const struct candidate *candidate, struct err *err)
{
    enum status status = ST_OK;

    dry_run->shown++;
    if (candidate->disposition == CANDIDATE_REPORT)
        status = report_file_build(&dry_run->generator, dry_run->utc_day, candidate->domain,
                                   dry_run->needs_json, &dry_run->arena, &dry_run->file, err);
    return status == ST_OK ? dry_run->view->show(dry_run, candidate, err) : status;
}

static void show_progress(struct progress *progress, uint64_t done)
{
    char done_text[TABLE_NUMBER_SIZE], total_text[TABLE_NUMBER_SIZE];

    progress->done += done;
    if (progress->is_wanted)
        (void)fprintf(stderr, "\r%s of %s domains\033[K", table_number(progress->done, done_text),
                      table_number(progress->total, total_text));
}

static enum status take_total(void *context, const struct session_day *day, struct err *err)
{
    struct dry_run *dry_run = context;

    (void)err;
    if (day->utc_day == dry_run->utc_day)
        dry_run->progress.total = day->domains;
    return ST_OK;
}

/* Not if each domain's output scrolls by on the same terminal. */
static enum status begin_progress(struct dry_run *dry_run, struct err *err)
{
    struct progress *progress = &dry_run->progress;
    enum status status;

    *progress = (struct progress){0};
    if (!terminal_is_there(STDERR_FILENO) || dry_run->options->domain != NULL ||
        (dry_run->view->end_day == NULL && terminal_is_there(STDOUT_FILENO)))
        return ST_OK;
    status = session_reader_each_day(dry_run->generator.sessions, take_total, dry_run, err);
    progress->is_wanted = progress->total > CANDIDATES_AT_ONCE;
    show_progress(progress, 0);
    return status;
}

static void end_progress(const struct progress *progress)
{
    if (progress->is_wanted)
        (void)fputs("\r\033[K", stderr);
}

static enum status show_domains(struct dry_run *dry_run, struct err *err)
{
    struct candidates *batch = &dry_run->batch;
    enum status status;

    candidates_open(batch, &(struct candidates_order){.generator = &dry_run->generator,
                                                      .utc_day = dry_run->utc_day,
                                                      .scope = dry_run->options->days == DRY_RUN_OPEN_DAYS
                                                                   ? DAY_DOMAINS_OPEN
                                                                   : DAY_DOMAINS_ALL,
                                                      .only = dry_run->options->domain,
                                                      .is_sorted = true});
    while ((status = candidates_next(batch, err)) == ST_OK && batch->count > 0) {
        arena_reset(&dry_run->arena);
        for (size_t i = 0; status == ST_OK && i < batch->count; i++)
            status = show_one(dry_run, batch->items[i], err);
        if (status != ST_OK)
            break;
        show_progress(&dry_run->progress, batch->count);
    }
    candidates_close(batch);
    return status;
}

static enum status show_day(struct dry_run *dry_run, int32_t utc_day, struct err *err)
{
    const struct view *view = dry_run->view;
    enum status status;

    dry_run->utc_day = utc_day;
    utc_day_format(utc_day, dry_run->day);
    status = begin_progress(dry_run, err);
    if (status == ST_OK && view->begin_day != NULL)
        status = view->begin_day(dry_run, err);
    if (status == ST_OK)
        status = show_domains(dry_run, err);
    end_progress(&dry_run->progress);
    if (status == ST_OK && view->end_day != NULL)
        status = view->end_day(dry_run, err);
    return status;
}

static enum status show_days(struct dry_run *dry_run, struct err *err)
{
    struct reportable_days days;
    enum status status;

    if (dry_run->generator.sessions == NULL)
        return ST_OK;
    if (dry_run->options->days == DRY_RUN_ONE_DAY)
        return show_day(dry_run, dry_run->options->utc_day, err);
    status = reportable_days_find(&dry_run->generator, &days, err);
    for (size_t i = 0; status == ST_OK && i < days.count; i++)
        if (days.items[i].is_complete)
            status = show_day(dry_run, days.items[i].utc_day, err);
    return status;
}

/* ---- why there is nothing to send ---- */

struct day_survey {
    struct dry_run *dry_run;
    uint64_t domains_today;
    int32_t newest_past; /* the newest day before today; -1: none */
};

static enum status survey_day(void *context, const struct session_day *day, struct err *err)
{
    struct day_survey *survey = context;
    int32_t today = utc_day_of(survey->dry_run->generator.now_s);

    (void)err;
    if (day->utc_day >= today)
        survey->domains_today += day->domains;
    else if (day->domains > 0)
        survey->newest_past = day->utc_day;
    return ST_OK;
}

/* A day waits for the collector, or all complete days are reported, or no day is complete yet. */
static void explain_open_days(struct dry_run *dry_run, char *text_out, size_t size)
{
    struct day_survey survey = {.dry_run = dry_run, .newest_past = -1};
    struct reportable_days days = {0};
    char day[UTC_DAY_TEXT_SIZE] = "";

    if (reportable_days_find(&dry_run->generator, &days, NULL) != ST_OK ||
        session_reader_each_day(dry_run->generator.sessions, survey_day, &survey, NULL) != ST_OK)
        days.count = 0;
    for (size_t i = 0; i < days.count; i++)
        if (!days.items[i].is_complete)
            utc_day_format(days.items[i].utc_day, day);
    if (*day != '\0') {
        (void)snprintf(
            text_out, size,
            "%s is over, but the collector has not counted through its end yet; if that lasts, see "
            "tlsrpt-gen status",
            day);
    } else if (survey.newest_past >= 0) {
        utc_day_format(survey.newest_past, day);
        (void)snprintf(text_out, size,
                       "all complete days are reported, the last is %s; see tlsrpt-gen status", day);
    } else {
        (void)snprintf(text_out, size,
                       "no UTC day is complete yet; today has %llu domain%s so far: --day today shows them",
                       (unsigned long long)survey.domains_today, survey.domains_today == 1 ? "" : "s");
    }
}

static void say_nothing_shown(struct dry_run *dry_run)
{
    const struct dry_run_options *options = dry_run->options;
    char text[400];

    if (dry_run->generator.sessions == NULL)
        (void)snprintf(text, sizeof text,
                       "%s holds no outcome yet; is tlsrpt-gen-collect running? try: tlsrpt-gen check",
                       dry_run->generator.config->state_dir);
    else if (options->domain != NULL && options->days == DRY_RUN_ONE_DAY)
        (void)snprintf(text, sizeof text, "no sessions with %s on %s", options->domain, dry_run->day);
    else if (options->domain != NULL)
        (void)snprintf(text, sizeof text,
                       "no sessions with %s on a complete day that is not yet reported; try --day today, or "
                       "tlsrpt-gen show %s",
                       options->domain, options->domain);
    else if (options->days == DRY_RUN_ONE_DAY)
        (void)snprintf(text, sizeof text, "no sessions on %s", dry_run->day);
    else
        explain_open_days(dry_run, text, sizeof text);
    (void)fprintf(stderr, "tlsrpt-gen: nothing to send: %s\n", text);
}

int cmd_dry_run(const struct config *config, const struct dry_run_options *options)
{
    struct dry_run dry_run = {.options = options, .view = &VIEWS[options->format]};
    struct program program = {.name = "tlsrpt-gen"};
    struct err err;
    enum status status;

    dry_run.needs_json = dry_run.view->needs_json || (options->format == DRY_RUN_TABLE &&
                                                      (options->is_verbose || options->domain != NULL));
    arena_init(&dry_run.arena, BATCH_ARENA_MAX);
    report_file_init(&dry_run.file);
    strbuf_init(&dry_run.text, LINE_MAX_BYTES);
    strbuf_init(&dry_run.held, REPORT_MAIL_MAX);
    status = generator_open(&dry_run.generator, config, GENERATOR_DRY_RUN, &err);
    if (status == ST_OK)
        status = show_days(&dry_run, &err);
    if (status == ST_OK && dry_run.view->end != NULL)
        status = dry_run.view->end(&dry_run, &err);
    if (status == ST_OK && dry_run.shown == 0)
        say_nothing_shown(&dry_run);
    if (status == ST_OK && fflush(stdout) != 0)
        status = err_set(&err, ST_IO, "standard output: write failed");
    generator_close(&dry_run.generator);
    dry_run_table_free(&dry_run.table);
    strbuf_done(&dry_run.held);
    strbuf_done(&dry_run.text);
    report_file_done(&dry_run.file);
    arena_done(&dry_run.arena);
    return status == ST_OK ? 0 : program_fail(&program, &err);
}
