/* SPDX-License-Identifier: MIT */
/*
 * The ledger's rows are visited three times: reports with their deliveries, skipped days, waiting days.  The
 * newest report is read in full afterwards.
 */
#include "show_ledger.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/stores.h"
#include "app/table.h"
#include "model/report_summary.h"
#include "model/utc_day.h"

struct show_walk {
    struct ledger *ledger;
    const char *domain;
    int32_t utc_day;
    bool is_verbose;
    struct terminal terminal;
    bool has_report;
    int32_t newest_day; /* of the newest report */
    size_t entries;     /* reports, skipped and waiting days */
};

static const enum terminal_style STATE_STYLES[DELIVERY_STATE_COUNT] = {
    [DELIVERY_DUE] = STYLE_WARN,     [DELIVERY_SENDING] = STYLE_WARN,     [DELIVERY_DELIVERED] = STYLE_GOOD,
    [DELIVERY_GIVEN_UP] = STYLE_BAD, [DELIVERY_SUPPRESSED] = STYLE_PLAIN, [DELIVERY_EXPIRED] = STYLE_BAD,
};

static void print_wrapped(const struct show_walk *walk, const char *text)
{
    (void)fputs("      ", stdout);
    table_print_wrapped(&walk->terminal, 6, 6, text, stdout);
}

/* When it was tried and when it is tried again. */
static void print_times(const struct show_walk *walk, const struct ledger_delivery *row)
{
    char last[UTC_STAMP_TEXT_SIZE], next[UTC_STAMP_TEXT_SIZE], text[200];

    utc_stamp_format(row->last_at_s, last);
    utc_stamp_format(row->next_at_s, next);
    if (row->last_at_s > 0 && delivery_state_is_open(row->state))
        (void)snprintf(text, sizeof text, "tries %lld, the last at %s; next at %s", (long long)row->tries,
                       last, next);
    else if (row->last_at_s > 0)
        (void)snprintf(text, sizeof text, "tries %lld, the last at %s", (long long)row->tries, last);
    else if (delivery_state_is_open(row->state))
        (void)snprintf(text, sizeof text, "not tried yet; due at %s", next);
    else
        return;
    print_wrapped(walk, text);
}

static enum status print_delivery(void *context, const struct ledger_delivery *row, struct err *err)
{
    const struct show_walk *walk = context;

    (void)err;
    (void)fputs("    ", stdout);
    table_print_text(&walk->terminal, STATE_STYLES[row->state], delivery_state_name(row->state), stdout);
    (void)fputs("  ", stdout);
    table_print_text(&walk->terminal, STYLE_PLAIN, row->kind == DELIVERY_MAIL ? "mailto:" : "", stdout);
    table_print_text(&walk->terminal, STYLE_PLAIN, row->rua, stdout);
    (void)fputc('\n', stdout);
    print_times(walk, row);
    if (*row->last_text != '\0')
        print_wrapped(walk, row->last_text);
    return ST_OK;
}

/* What was left out of the report for its size's sake. */
static void print_folded(const struct show_walk *walk, const char *note)
{
    struct report_summary summary;
    char text[200];

    if (report_summary_parse(note, &summary, NULL) != ST_OK || summary.folded == 0)
        return;
    (void)snprintf(text, sizeof text, "of %llu failure details the %llu rarest are summed up by result type",
                   (unsigned long long)summary.details, (unsigned long long)summary.folded);
    print_wrapped(walk, text);
}

static enum status visit_report(void *context, const struct ledger_report *row, struct err *err)
{
    struct show_walk *walk = context;
    char day[UTC_DAY_TEXT_SIZE], ok_text[TABLE_NUMBER_SIZE], failed_text[TABLE_NUMBER_SIZE];

    if (strcmp(row->domain, walk->domain) != 0)
        return ST_OK;
    walk->entries++;
    if (!walk->has_report)
        walk->newest_day = row->utc_day;
    walk->has_report = true;
    if (!walk->is_verbose)
        return ST_OK;
    utc_day_format(row->utc_day, day);
    (void)printf("%s%s%s  %s ok, %s failed, %zu bytes of gzip\n", terminal_begin(&walk->terminal, STYLE_BOLD),
                 day, terminal_end(&walk->terminal, STYLE_BOLD),
                 table_number((uint64_t)row->success, ok_text),
                 table_number((uint64_t)row->failure, failed_text), row->gzip_len);
    print_folded(walk, row->note);
    return ledger_each_delivery_of(walk->ledger, row->utc_day, row->domain, print_delivery, walk, err);
}

static enum status visit_without(struct show_walk *walk, int32_t utc_day, const char *domain,
                                 const char *words, const char *reason)
{
    char day[UTC_DAY_TEXT_SIZE];

    if (strcmp(domain, walk->domain) != 0)
        return ST_OK;
    walk->entries++;
    if (!walk->is_verbose)
        return ST_OK;
    utc_day_format(utc_day, day);
    (void)printf("%s%s%s  %s\n", terminal_begin(&walk->terminal, STYLE_BOLD), day,
                 terminal_end(&walk->terminal, STYLE_BOLD), words);
    print_wrapped(walk, reason);
    print_wrapped(walk, "\"tlsrpt-gen explain\" with its name tells what its DNS record says now");
    return ST_OK;
}

static enum status visit_skipped(void *context, int32_t utc_day, const char *domain, const char *reason,
                                 int64_t since_s, struct err *err)
{
    (void)since_s;
    (void)err;
    return visit_without(context, utc_day, domain, "no report", reason);
}

static enum status visit_waiting(void *context, int32_t utc_day, const char *domain, const char *reason,
                                 int64_t since_s, struct err *err)
{
    (void)since_s;
    (void)err;
    return visit_without(context, utc_day, domain, "not built yet", reason);
}

static enum status print_unknown_domain(const struct show_walk *walk, struct err *err)
{
    char day[UTC_DAY_TEXT_SIZE] = "";

    if (walk->utc_day >= 0)
        utc_day_format(walk->utc_day, day);
    return err_set(
        err, ST_NOT_FOUND,
        "%s: no such file, and no report of that domain%s%s is in the ledger; "
        "\"tlsrpt-gen status\" tells of the days, \"tlsrpt-gen --dry-run --domain %s --day today\" of "
        "today",
        walk->domain, *day != '\0' ? " for " : "", day, walk->domain);
}

static enum status walk_all(struct show_walk *walk, struct arena *arena, ledger_report_fn *show,
                            void *context, struct err *err)
{
    struct ledger_report report;
    enum status status = ledger_each_report(walk->ledger, walk->utc_day, visit_report, walk, err);

    if (status == ST_OK)
        status = ledger_each_skipped(walk->ledger, walk->utc_day, visit_skipped, walk, err);
    if (status == ST_OK)
        status = ledger_each_waiting(walk->ledger, walk->utc_day, visit_waiting, walk, err);
    if (status == ST_OK && (walk->entries == 0 || (!walk->is_verbose && !walk->has_report)))
        status = print_unknown_domain(walk, err);
    if (status != ST_OK || !walk->has_report)
        return status;
    status = ledger_read_report(walk->ledger, walk->newest_day, walk->domain, arena, &report, err);
    if (status == ST_OK && walk->is_verbose)
        (void)fputc('\n', stdout);
    return status == ST_OK ? show(context, &report, err) : status;
}

enum status show_ledger(const struct config *config, const char *domain, int32_t utc_day, bool is_verbose,
                        struct arena *arena, ledger_report_fn *show, void *context, struct err *err)
{
    struct show_walk walk = {.domain = domain, .utc_day = utc_day, .is_verbose = is_verbose};
    struct fleet *fleet = NULL;
    enum status status;

    terminal_detect(STDOUT_FILENO, &walk.terminal);
    status = stores_open_fleet(config, &fleet, err);
    if (status == ST_OK)
        status = stores_open_ledger(config, fleet, LEDGER_READ, &walk.ledger, NULL, err);
    if (status == ST_OK && walk.ledger == NULL)
        status = err_set(err, ST_NOT_FOUND,
                         "%s: no such file, and there is no %s/reports.db yet to look the domain up in",
                         domain, config->state_dir);
    if (status == ST_OK)
        status = walk_all(&walk, arena, show, context, err);
    ledger_close(&walk.ledger);
    fleet_close(&fleet);
    return status;
}
