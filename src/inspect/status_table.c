/* SPDX-License-Identifier: MIT */
/*
 * The facts for a person, from top to bottom: collector, counters, warnings, days, deliveries, errors.
 */
#include <string.h>

#include "app/table.h"
#include "status_facts.h"

#define LABEL_COLUMNS 12
#define DAYS_SHOWN    14
#define LIST_SHOWN    20
#define MEBIBYTE      (1ULL << 20)

/* The kernel's default queue of 11 datagrams loses outcomes in bursts. */
#define QUEUE_LEN_WANTED 512

struct status_screen {
    const struct status_facts *facts;
    const struct terminal *terminal;
    FILE *out;
};

static void print_label(const struct status_screen *screen, const char *label)
{
    (void)fprintf(screen->out, "%s%-*s%s", terminal_begin(screen->terminal, STYLE_BOLD), LABEL_COLUMNS, label,
                  terminal_end(screen->terminal, STYLE_BOLD));
}

static void print_line(const struct status_screen *screen, const char *label, const char *text)
{
    print_label(screen, label);
    table_print_wrapped(screen->terminal, LABEL_COLUMNS, LABEL_COLUMNS, text, screen->out);
}

void status_print_line(const struct terminal *terminal, const char *label, const char *text, FILE *out)
{
    const struct status_screen screen = {.terminal = terminal, .out = out};

    print_line(&screen, label, text);
}

const char *status_format_time(int64_t utc_s, char text_out[UTC_STAMP_TEXT_SIZE])
{
    if (utc_s <= 0)
        return "never";
    utc_stamp_format(utc_s, text_out);
    text_out[10] = ' ';
    text_out[19] = '\0';
    return text_out;
}

/* ---- the collector ---- */

static void print_collector(const struct status_screen *screen)
{
    static const enum terminal_style STYLES[] = {[COLLECTOR_NEVER] = STYLE_BAD,
                                                 [COLLECTOR_UP] = STYLE_GOOD,
                                                 [COLLECTOR_STUCK] = STYLE_BAD,
                                                 [COLLECTOR_SILENT] = STYLE_BAD};
    static const char *const WORDS[] = {[COLLECTOR_NEVER] = "never ran",
                                        [COLLECTOR_UP] = "up",
                                        [COLLECTOR_STUCK] = "runs, but counts nothing;",
                                        [COLLECTOR_SILENT] = "not running;"};
    const struct status_facts *facts = screen->facts;
    char stamp[UTC_STAMP_TEXT_SIZE], age[TABLE_NUMBER_SIZE], text[200] = "";

    if (facts->collector.liveness == COLLECTOR_UP && facts->collector.started_s > 0)
        (void)snprintf(text, sizeof text, "since %s UTC (%s)",
                       status_format_time(facts->collector.started_s, stamp),
                       table_duration(facts->now_s - facts->collector.started_s, age));
    if (facts->collector.liveness == COLLECTOR_SILENT || facts->collector.liveness == COLLECTOR_STUCK)
        (void)snprintf(text, sizeof text, "it has counted through %s UTC (%s ago)",
                       status_format_time(facts->collector.alive_s, stamp),
                       table_duration(facts->now_s - facts->collector.alive_s, age));
    print_label(screen, "collector");
    table_print_text(screen->terminal, STYLES[facts->collector.liveness], WORDS[facts->collector.liveness],
                     screen->out);
    (void)fputc(' ', screen->out);
    table_print_wrapped(screen->terminal, LABEL_COLUMNS + strlen(WORDS[facts->collector.liveness]) + 1,
                        LABEL_COLUMNS, text, screen->out);
}

/* "received 1,234, stored 1,230", those that are 0 left out but for the first two. */
static void print_counters(const struct status_screen *screen)
{
    struct strbuf text;

    strbuf_init(&text, 4096);
    for (enum session_counter i = 0; i < COUNTER_COUNT; i++) {
        char number[TABLE_NUMBER_SIZE];

        if (i == COUNTER_RING_HIGH_WATER ||
            (screen->facts->collector.counters[i] == 0 && i != COUNTER_RECEIVED && i != COUNTER_STORED))
            continue;
        strbuf_addf(&text, "%s%s %s", text.len > 0 ? ", " : "", session_counter_name(i),
                    table_number(screen->facts->collector.counters[i], number));
    }
    print_line(screen, "outcomes", text.data);
    strbuf_done(&text);
}

static void print_ring(const struct status_screen *screen)
{
    const struct status_facts *facts = screen->facts;
    double capacity = (double)facts->collector.ring_capacity;
    char text[200];

    if (facts->collector.ring_capacity == 0)
        return;
    (void)snprintf(text, sizeof text, "%.1f %% of %llu MiB wait to be counted, at most %.1f %% so far",
                   100.0 * (double)facts->collector.ring_used / capacity,
                   (unsigned long long)(facts->collector.ring_capacity + MEBIBYTE - 1) / MEBIBYTE,
                   100.0 * (double)facts->collector.counters[COUNTER_RING_HIGH_WATER] / capacity);
    print_line(screen, "ring", text);
}

static void print_over_budget(const struct status_screen *screen)
{
    const struct status_facts *facts = screen->facts;

    for (size_t i = 0; i < facts->over_budget_count; i++) {
        const struct session_over_budget *over = &facts->over_budget[i];
        char text[1200], day[UTC_DAY_TEXT_SIZE], sessions[TABLE_NUMBER_SIZE], subdomains[TABLE_NUMBER_SIZE];

        utc_day_format(over->utc_day, day);
        (void)snprintf(
            text, sizeof text,
            "over budget: %s sessions of %s on %s are in no report, because %s of its subdomains are "
            "counted already; if they are real recipients, set max_subdomains higher",
            table_number(over->sessions, sessions), over->organization, day,
            table_number(over->subdomains, subdomains));
        print_line(screen, "warning", text);
    }
}

static void print_warnings(const struct status_screen *screen)
{
    const struct status_facts *facts = screen->facts;
    char text[1200], number[TABLE_NUMBER_SIZE];

    if (facts->missing_setting != NULL) {
        (void)snprintf(text, sizeof text, "nothing is sent until %s is set in %s", facts->missing_setting,
                       facts->settings_file);
        print_line(screen, "warning", text);
    }
    if (facts->collector.queue_len > 0 && facts->collector.queue_len < QUEUE_LEN_WANTED) {
        (void)snprintf(
            text, sizeof text,
            "the sockets queue only %lld datagrams (net.unix.max_dgram_qlen): set it to 512 or more and "
            "restart the collector",
            (long long)facts->collector.queue_len);
        print_line(screen, "warning", text);
    }
    if (facts->collector.counters[COUNTER_DROPPED] > 0) {
        (void)snprintf(text, sizeof text,
                       "%s outcomes were lost because the ring was full: set ring_size higher",
                       table_number(facts->collector.counters[COUNTER_DROPPED], number));
        print_line(screen, "warning", text);
    }
    for (size_t i = 0; i < facts->refused_count && i < LIST_SHOWN; i++) {
        (void)snprintf(
            text, sizeof text,
            "%s datagrams of user id %lld were refused: add it to allow_uid if they are meant to count",
            table_number(facts->refused[i].count, number), (long long)facts->refused[i].uid);
        print_line(screen, "warning", text);
    }
    print_over_budget(screen);
}

/* ---- days ---- */

#define DAY_COLUMNS_LEFT                                                                                     \
    {.title = "day"}, {.title = "domains", .is_right = true}, {.title = "ok", .is_right = true},             \
    {                                                                                                        \
        .title = "failed", .is_right = true                                                                  \
    }
#define DAY_COLUMNS_RIGHT                                                                                    \
    {.title = "built", .is_right = true}, {.title = "skipped", .is_right = true, .is_hidden = true},         \
        {.title = "sent", .is_right = true}, {.title = "due", .is_right = true},                             \
        {.title = "lost", .is_right = true},                                                                 \
    {                                                                                                        \
        .title = "state"                                                                                     \
    }

#define RESULT_COLUMNS 6 /* DAY_COLUMNS_RIGHT */

static const struct table_column DAY_COLUMNS[] = {DAY_COLUMNS_LEFT, DAY_COLUMNS_RIGHT};
static const struct table_column FLEET_DAY_COLUMNS[] = {
    DAY_COLUMNS_LEFT, {.title = "late", .is_right = true}, DAY_COLUMNS_RIGHT};

static uint64_t open_count(const struct ledger_counts *counts)
{
    return (uint64_t)(counts->by_state[DELIVERY_DUE] + counts->by_state[DELIVERY_SENDING]);
}

static uint64_t lost_count(const struct ledger_counts *counts)
{
    return (uint64_t)(counts->by_state[DELIVERY_GIVEN_UP] + counts->by_state[DELIVERY_EXPIRED]);
}

static const char *day_state(const struct status_facts *facts, const struct status_day *day)
{
    if (day->utc_day >= utc_day_of(facts->now_s))
        return "today";
    if (!day->is_closed)
        return day->ledger.waiting > 0 ? "waits" : "open";
    return open_count(&day->ledger) > 0 ? "sending" : "done";
}

static void add_dashes(struct table *table, size_t count)
{
    for (size_t i = 0; i < count; i++)
        table_add_cell(table, STYLE_DIM, "-");
}

/* What became of the day's domains; not known while the fleet's database, which holds it, cannot be read. */
static void add_result(struct table *table, const struct status_facts *facts, const struct status_day *day)
{
    uint64_t due = open_count(&day->ledger), lost = lost_count(&day->ledger);

    if (facts->fleet.trouble != NULL) {
        add_dashes(table, RESULT_COLUMNS);
        return;
    }
    table_add_number(table, STYLE_PLAIN, (uint64_t)day->ledger.reports);
    table_add_number(table, STYLE_PLAIN, (uint64_t)day->ledger.skipped);
    table_add_number(table, STYLE_PLAIN, (uint64_t)day->ledger.by_state[DELIVERY_DELIVERED]);
    table_add_number(table, due > 0 ? STYLE_WARN : STYLE_PLAIN, due);
    table_add_number(table, lost > 0 ? STYLE_BAD : STYLE_PLAIN, lost);
    table_add_cell(table, STYLE_PLAIN, day_state(facts, day));
}

static void add_day(struct table *table, const struct status_facts *facts, const struct status_day *day)
{
    char text[UTC_DAY_TEXT_SIZE];

    utc_day_format(day->utc_day, text);
    table_add_row(table);
    table_add_cell(table, STYLE_PLAIN, text);
    if (day->has_sessions) {
        table_add_number(table, STYLE_PLAIN, day->domains);
        table_add_number(table, STYLE_PLAIN, day->sessions.success);
        table_add_number(table, day->sessions.failure > 0 ? STYLE_BAD : STYLE_PLAIN, day->sessions.failure);
    } else {
        add_dashes(table, 3);
    }
    if (facts->fleet.trouble != NULL)
        add_dashes(table, 1);
    else if (facts->fleet.is_set)
        table_add_number(table, day->late > 0 ? STYLE_WARN : STYLE_PLAIN, day->late);
    add_result(table, facts, day);
}

static enum status print_days(const struct status_screen *screen, struct err *err)
{
    const struct status_facts *facts = screen->facts;
    size_t first = facts->day_count > DAYS_SHOWN ? facts->day_count - DAYS_SHOWN : 0;
    struct table table;
    enum status status;

    (void)fputc('\n', screen->out);
    if (facts->day_count == 0) {
        (void)fputs("No outcome has been counted yet.\n", screen->out);
        return ST_OK;
    }
    if (facts->fleet.is_set)
        table_init(&table, screen->terminal, FLEET_DAY_COLUMNS, ARRAY_COUNT(FLEET_DAY_COLUMNS));
    else
        table_init(&table, screen->terminal, DAY_COLUMNS, ARRAY_COUNT(DAY_COLUMNS));
    for (size_t i = first; i < facts->day_count; i++)
        add_day(&table, facts, &facts->days[i]);
    status = table_print(&table, screen->out, err);
    table_done(&table);
    if (first > 0)
        (void)fprintf(screen->out, "(%zu older days: --format json)\n", first);
    return status;
}

/* ---- deliveries ---- */

static void print_totals(const struct status_screen *screen)
{
    const struct ledger_counts *totals = &screen->facts->totals;
    struct strbuf text;

    strbuf_init(&text, 1024);
    for (enum delivery_state state = DELIVERY_DUE; state < DELIVERY_STATE_COUNT; state++) {
        char number[TABLE_NUMBER_SIZE];

        if (totals->by_state[state] > 0)
            strbuf_addf(&text, "%s%s %s", text.len > 0 ? ", " : "",
                        table_number((uint64_t)totals->by_state[state], number), delivery_state_name(state));
    }
    (void)fputc('\n', screen->out);
    if (screen->facts->fleet.trouble != NULL)
        print_line(screen, "deliveries", "not known while the fleet's database cannot be read");
    else
        print_line(screen, "deliveries", text.len > 0 ? text.data : "none yet");
    strbuf_done(&text);
}

static void print_due(const struct status_screen *screen)
{
    const struct status_facts *facts = screen->facts;
    char stamp[UTC_STAMP_TEXT_SIZE], age[TABLE_NUMBER_SIZE], text[1024];

    if (!facts->has_due)
        return;
    (void)snprintf(text, sizeof text, "%s to %s, %s %s UTC", facts->oldest_due_domain, facts->oldest_due_host,
                   facts->oldest_due_s <= facts->now_s ? "since" : "from",
                   status_format_time(facts->oldest_due_s, stamp));
    print_line(screen, "oldest due", text);
    if (facts->overdue > 0)
        (void)snprintf(text, sizeof text, "with the next run of tlsrpt-gen: %s are due now",
                       table_number(facts->overdue, age));
    else
        (void)snprintf(text, sizeof text, "%s UTC, in %s", status_format_time(facts->next_attempt_s, stamp),
                       table_duration(facts->next_attempt_s - facts->now_s, age));
    print_line(screen, "next try", text);
}

static void print_errors(const struct status_screen *screen)
{
    const struct status_facts *facts = screen->facts;

    if (facts->error_count > 0)
        (void)fprintf(screen->out, "\n%sLast errors by destination%s\n",
                      terminal_begin(screen->terminal, STYLE_BOLD),
                      terminal_end(screen->terminal, STYLE_BOLD));
    for (size_t i = 0; i < facts->error_count; i++) {
        const struct status_error *error = &facts->errors[i];
        char at[UTC_STAMP_TEXT_SIZE], next[UTC_STAMP_TEXT_SIZE], text[1200];
        bool is_open = delivery_state_is_open(error->state);

        (void)fputs("  ", screen->out);
        table_print_text(screen->terminal, is_open ? STYLE_WARN : STYLE_BAD, error->host, screen->out);
        (void)snprintf(text, sizeof text, " %s, %s%s", status_format_time(error->at_s, at),
                       is_open ? "next try " : delivery_state_name(error->state),
                       is_open ? status_format_time(error->next_at_s, next) : "");
        (void)fputc(' ', screen->out);
        table_print_wrapped(screen->terminal, terminal_width(error->host) + 3, 4, text, screen->out);
        (void)snprintf(text, sizeof text, "report for %s: %s", error->domain, error->text);
        (void)fputs("    ", screen->out);
        table_print_wrapped(screen->terminal, 4, 4, text, screen->out);
    }
}

static void print_budgets(const struct status_screen *screen)
{
    const struct status_facts *facts = screen->facts;

    for (size_t i = 0; i < facts->budget_count; i++) {
        const struct status_budget *budget = &facts->budgets[i];
        char text[1200], reports[TABLE_NUMBER_SIZE];

        (void)snprintf(
            text, sizeof text,
            "%s got %s reports%s%s today, as many as %s allows; further ones are given up: set it higher if "
            "they are wanted",
            budget->destination, table_number(budget->reports, reports),
            *budget->owner != '\0' ? " about domains of " : "", budget->owner, budget->setting);
        print_line(screen, "warning", text);
    }
}

static void print_suppressed(const struct status_screen *screen)
{
    const struct status_facts *facts = screen->facts;

    if (facts->suppressed_count > 0)
        (void)fprintf(screen->out, "\n%sSuppressed addresses%s\n",
                      terminal_begin(screen->terminal, STYLE_BOLD),
                      terminal_end(screen->terminal, STYLE_BOLD));
    for (size_t i = 0; i < facts->suppressed_count && i < LIST_SHOWN; i++) {
        char until[UTC_STAMP_TEXT_SIZE], text[1200];

        (void)snprintf(text, sizeof text, "%s until %s: %s", facts->suppressed[i].address,
                       status_format_time(facts->suppressed[i].until_s, until), facts->suppressed[i].reason);
        (void)fputs("  ", screen->out);
        table_print_wrapped(screen->terminal, 2, 4, text, screen->out);
    }
    if (facts->suppressed_total > LIST_SHOWN)
        (void)fprintf(screen->out, "  (%zu more)\n", facts->suppressed_total - LIST_SHOWN);
}

enum status status_print_table(const struct status_facts *facts, const struct terminal *terminal, FILE *out,
                               struct err *err)
{
    const struct status_screen screen = {facts, terminal, out};
    enum status status;

    print_collector(&screen);
    print_counters(&screen);
    print_ring(&screen);
    print_warnings(&screen);
    status = status_fleet_print_table(facts, terminal, out, err);
    if (status == ST_OK)
        status = print_days(&screen, err);
    print_totals(&screen);
    print_due(&screen);
    print_errors(&screen);
    print_suppressed(&screen);
    print_budgets(&screen);
    return status;
}
