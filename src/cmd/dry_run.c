/* SPDX-License-Identifier: MIT */
/* The first half of a run in memory: the same days, look-ups and reports, shown instead of frozen and sent.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/build_reports.h"
#include "cmd/candidates.h"
#include "cmd/json_out.h"
#include "cmd/program.h"
#include "cmd/report_mail.h"
#include "cmd/run.h"
#include "model/utc_day.h"

#define LINE_MAX_BYTES (300u << 20)

struct rehearsal;

/* One way to show a candidate; begin and end may be NULL. */
struct view {
    void (*begin)(struct rehearsal *rehearsal);
    enum status (*report)(struct rehearsal *rehearsal, const struct candidate *candidate, struct arena *arena,
                          struct err *err);
    enum status (*skip)(struct rehearsal *rehearsal, const struct candidate *candidate, struct err *err);
    enum status (*end)(struct rehearsal *rehearsal, struct err *err);
    bool needs_json;
};

struct rehearsal {
    struct generator generator;
    const struct dry_run_options *options;
    const struct view *view;
    int32_t utc_day;
    char day[UTC_DAY_TEXT_SIZE];
    struct report_file file;
    struct strbuf text; /* one line or message */
    struct strbuf held; /* view mail: the first message, until it is known whether it is the only one */
    uint64_t shown;     /* reports and skipped domains */
    uint64_t messages;
    struct session_counts sessions;
};

/* ---- table -----------------------------------------------------------------------------------------------
 */

static void table_begin(struct rehearsal *rehearsal)
{
    (void)rehearsal;
    (void)printf("%-10s  %-24s %8s %8s  %-25s %7s  %s\n", "day", "domain", "ok", "failed",
                 "most frequent failure", "bytes", "destinations");
}

static void table_line(const struct rehearsal *rehearsal, const struct candidate *candidate,
                       const char *failure, size_t bytes)
{
    (void)printf("%-10s  %-24s %8llu %8llu  %-25s %7zu  ", rehearsal->day, candidate->domain,
                 (unsigned long long)candidate->sessions.success,
                 (unsigned long long)candidate->sessions.failure, failure, bytes);
}

static enum status table_report(struct rehearsal *rehearsal, const struct candidate *candidate,
                                struct arena *arena, struct err *err)
{
    enum result_type top = report_summary_top(&rehearsal->file.built.summary);

    (void)arena;
    (void)err;
    table_line(rehearsal, candidate, top < RESULT_TYPE_COUNT ? result_type_name(top) : "-",
               rehearsal->file.gzip.len);
    for (size_t i = 0; i < candidate->record.rua_count; i++)
        (void)printf("%s%s", i > 0 ? ", " : "", candidate->record.ruas[i].uri);
    (void)printf("\n");
    return ST_OK;
}

static enum status table_skip(struct rehearsal *rehearsal, const struct candidate *candidate, struct err *err)
{
    (void)err;
    table_line(rehearsal, candidate, "-", 0);
    (void)printf("no report: %s\n", candidate->reason);
    return ST_OK;
}

/* ---- json ------------------------------------------------------------------------------------------------
 */

static enum status json_line(struct rehearsal *rehearsal, const struct candidate *candidate, bool has_report,
                             struct err *err)
{
    struct json_out json;

    strbuf_reset(&rehearsal->text);
    json_out_init(&json, &rehearsal->text, 0);
    json_out_begin_object(&json, NULL);
    json_out_text(&json, "day", rehearsal->day);
    json_out_text(&json, "domain", candidate->domain);
    json_out_begin_array(&json, "rua");
    for (size_t i = 0; i < candidate->record.rua_count; i++)
        json_out_text(&json, NULL, candidate->record.ruas[i].uri);
    json_out_end_array(&json);
    if (has_report)
        json_out_raw(&json, "report", rehearsal->file.json.data, rehearsal->file.json.len);
    else
        json_out_text(&json, "skipped", candidate->reason);
    json_out_end_object(&json);
    if (strbuf_is_failed(&rehearsal->text))
        return err_set(err, ST_NOMEM, "%s: out of memory", candidate->domain);
    (void)printf("%s\n", rehearsal->text.data);
    return ST_OK;
}

static enum status json_report(struct rehearsal *rehearsal, const struct candidate *candidate,
                               struct arena *arena, struct err *err)
{
    (void)arena;
    return json_line(rehearsal, candidate, true, err);
}

static enum status json_skip(struct rehearsal *rehearsal, const struct candidate *candidate, struct err *err)
{
    return json_line(rehearsal, candidate, false, err);
}

/* ---- mail ------------------------------------------------------------------------------------------------
 */

static void print_bytes(const struct strbuf *buf)
{
    (void)fwrite(buf->data, 1, buf->len, stdout);
}

/* One message is printed bare; from the second on they are an mbox. */
static void print_message(struct rehearsal *rehearsal)
{
    static const char SEPARATOR[] = "From MAILER-DAEMON Thu Jan  1 00:00:00 1970\r\n";

    rehearsal->messages++;
    if (rehearsal->messages == 1) {
        strbuf_reset(&rehearsal->held);
        strbuf_add(&rehearsal->held, rehearsal->text.data, rehearsal->text.len);
        return;
    }
    if (rehearsal->messages == 2) {
        (void)printf("%s", SEPARATOR);
        print_bytes(&rehearsal->held);
    }
    (void)printf("\r\n%s", SEPARATOR);
    print_bytes(&rehearsal->text);
}

static enum status mail_one(struct rehearsal *rehearsal, const struct rua *rua, unsigned number,
                            struct arena *arena, struct err *err)
{
    const struct report_file *file = &rehearsal->file;
    struct mail_parts parts = {
        .meta = &file->meta,
        .summary = &file->built.summary,
        .from = rehearsal->generator.config->from,
        .to = rua->address,
        .date_s = rehearsal->generator.now_s,
        .file_name = file->file_name,
        .gzip = file->gzip.data,
        .gzip_len = file->gzip.len,
    };
    enum status status =
        report_message_id_format(file->meta.report_id, number, arena, &parts.message_id, err);

    strbuf_reset(&rehearsal->text);
    if (status == ST_OK)
        status = report_mail_write(&rehearsal->generator, &parts, &rehearsal->text, err);
    if (status == ST_OK)
        print_message(rehearsal);
    return status;
}

static enum status mail_report(struct rehearsal *rehearsal, const struct candidate *candidate,
                               struct arena *arena, struct err *err)
{
    enum status status = ST_OK;

    for (size_t i = 0; status == ST_OK && i < candidate->record.rua_count; i++)
        if (candidate->record.ruas[i].kind == RUA_MAILTO)
            status = mail_one(rehearsal, &candidate->record.ruas[i], (unsigned)i + 1, arena, err);
    return status;
}

static enum status mail_skip(struct rehearsal *rehearsal, const struct candidate *candidate, struct err *err)
{
    (void)rehearsal;
    (void)candidate;
    (void)err;
    return ST_OK;
}

static enum status mail_end(struct rehearsal *rehearsal, struct err *err)
{
    if (rehearsal->messages == 1)
        print_bytes(&rehearsal->held);
    if (strbuf_is_failed(&rehearsal->held))
        return err_set(err, ST_NOMEM, "message: out of memory");
    return ST_OK;
}

static const struct view VIEWS[] = {
    [DRY_RUN_TABLE] = {.begin = table_begin, .report = table_report, .skip = table_skip},
    [DRY_RUN_JSON] = {.report = json_report, .skip = json_skip, .needs_json = true},
    [DRY_RUN_MAIL] = {.report = mail_report, .skip = mail_skip, .end = mail_end},
};

/* ---- the rehearsal ---------------------------------------------------------------------------------------
 */

static enum status is_wanted(void *context, const char *domain, bool *is_wanted_out, struct err *err)
{
    struct rehearsal *rehearsal = context;
    enum ledger_entry entry = LEDGER_NOTHING;
    enum status status = ST_OK;

    if (rehearsal->options->domain != NULL && strcmp(domain, rehearsal->options->domain) != 0) {
        *is_wanted_out = false;
        return ST_OK;
    }
    if (rehearsal->options->days == DRY_RUN_OPEN_DAYS && rehearsal->generator.ledger != NULL)
        status = ledger_find(rehearsal->generator.ledger, rehearsal->utc_day, domain, &entry, NULL, err);
    *is_wanted_out = entry == LEDGER_NOTHING || entry == LEDGER_WAITING;
    return status;
}

static enum status show_batch(void *context, struct candidate *candidates, size_t count, struct arena *arena,
                              struct err *err)
{
    struct rehearsal *rehearsal = context;
    const struct view *view = rehearsal->view;
    enum status status = ST_OK;

    for (size_t i = 0; status == ST_OK && i < count; i++) {
        if (rehearsal->shown++ == 0 && view->begin != NULL)
            view->begin(rehearsal);
        if (candidates[i].fate != CANDIDATE_REPORT) {
            status = view->skip(rehearsal, &candidates[i], err);
            continue;
        }
        status = report_file_build(&rehearsal->generator, rehearsal->utc_day, candidates[i].domain,
                                   view->needs_json, arena, &rehearsal->file, err);
        if (status == ST_OK)
            status = view->report(rehearsal, &candidates[i], arena, err);
    }
    return status;
}

static enum status show_day(struct rehearsal *rehearsal, int32_t utc_day, struct err *err)
{
    rehearsal->utc_day = utc_day;
    utc_day_format(utc_day, rehearsal->day);
    return candidates_each(&rehearsal->generator, utc_day, is_wanted, show_batch, rehearsal, err);
}

static enum status show_days(struct rehearsal *rehearsal, struct err *err)
{
    struct reportable_days days;
    enum status status;

    if (rehearsal->generator.sessions == NULL)
        return ST_OK;
    if (rehearsal->options->days == DRY_RUN_ONE_DAY)
        return show_day(rehearsal, rehearsal->options->utc_day, err);
    status = reportable_days_find(&rehearsal->generator, &days, err);
    for (size_t i = 0; status == ST_OK && i < days.count; i++)
        if (days.items[i].is_complete)
            status = show_day(rehearsal, days.items[i].utc_day, err);
    return status;
}

static void say_nothing_shown(const struct rehearsal *rehearsal)
{
    const char *why = "no complete day is waiting to be reported; try --day today";

    if (rehearsal->generator.sessions == NULL)
        why = "no outcome has been counted yet; is tlsrpt-gen-collect running?";
    else if (rehearsal->options->days == DRY_RUN_ONE_DAY)
        why = "no sessions on that day";
    (void)fprintf(stderr, "tlsrpt-gen: nothing to send: %s\n", why);
}

int cmd_dry_run(const struct config *config, const struct dry_run_options *options)
{
    struct rehearsal rehearsal = {.options = options, .view = &VIEWS[options->format]};
    struct program program = {.name = "tlsrpt-gen"};
    struct err err;
    enum status status;

    report_file_init(&rehearsal.file);
    strbuf_init(&rehearsal.text, LINE_MAX_BYTES);
    strbuf_init(&rehearsal.held, REPORT_MAIL_MAX);
    status = generator_open(&rehearsal.generator, config, GENERATOR_REHEARSE, &err);
    if (status == ST_OK)
        status = show_days(&rehearsal, &err);
    if (status == ST_OK && rehearsal.view->end != NULL)
        status = rehearsal.view->end(&rehearsal, &err);
    if (status == ST_OK && rehearsal.shown == 0)
        say_nothing_shown(&rehearsal);
    if (status == ST_OK && fflush(stdout) != 0)
        status = err_set(&err, ST_IO, "standard output: write failed");
    generator_close(&rehearsal.generator);
    strbuf_done(&rehearsal.held);
    strbuf_done(&rehearsal.text);
    report_file_done(&rehearsal.file);
    return status == ST_OK ? 0 : program_fail(&program, &err);
}
