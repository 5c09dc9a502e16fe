/* SPDX-License-Identifier: MIT */
/*
 * The fleet's part of status: its hosts, the days that were closed without one of them, and sessions that came
 * after their report was built.
 */
#include <stdio.h>

#include "app/table.h"
#include "status_facts.h"

#define SHOWN_DAYS 14        /* of which missed hosts and late sessions are shown */
#define STALE_S    (10 * 60) /* a host should push every minute */

static enum status take_host(void *context, const struct fleet_instance *instance, struct err *err)
{
    struct status_facts *facts = context;
    struct status_fleet *fleet = &facts->fleet;

    (void)err;
    if (fleet->host_count < STATUS_LIST_MAX)
        fleet->hosts[fleet->host_count++] =
            (struct status_host){.name = status_facts_copy(facts, instance->host),
                                 .last_seen_s = instance->last_seen_s,
                                 .complete_through_s = instance->complete_through_s,
                                 .received = (uint64_t)instance->received,
                                 .stored = (uint64_t)instance->stored,
                                 .dropped = (uint64_t)instance->dropped};
    return ST_OK;
}

static enum status take_missed(void *context, int32_t utc_day, const char *host, int64_t complete_through_s,
                               struct err *err)
{
    struct status_facts *facts = context;
    struct status_fleet *fleet = &facts->fleet;

    (void)err;
    if (fleet->missed_count < STATUS_LIST_MAX)
        fleet->missed[fleet->missed_count++] =
            (struct status_missed){utc_day, status_facts_copy(facts, host), complete_through_s};
    return ST_OK;
}

static enum status take_late(void *context, int32_t utc_day, int64_t sessions, struct err *err)
{
    struct status_day *day = status_facts_day(context, utc_day);

    (void)err;
    if (day != NULL && sessions > 0)
        day->late = (uint64_t)sessions;
    return ST_OK;
}

enum status status_fleet_gather(struct status_facts *facts, struct fleet *fleet, struct err *err)
{
    int32_t from_day = utc_day_of(facts->now_s) - SHOWN_DAYS;
    enum status status = fleet_each_instance(fleet, facts->now_s, take_host, facts, err);

    if (status == ST_OK)
        status = fleet_each_missed(fleet, from_day, take_missed, facts, err);
    if (status == ST_OK)
        status = fleet_each_late(fleet, from_day, take_late, facts, err);
    return status;
}

/* ---- the table ---- */

static const struct table_column HOST_COLUMNS[] = {
    {.title = "host", .min = 8},           {.title = "pushed"},
    {.title = "complete through"},         {.title = "received", .is_right = true, .is_hidden = true},
    {.title = "stored", .is_right = true}, {.title = "lost", .is_right = true},
};

static void add_host(struct table *table, const struct status_facts *facts, const struct status_host *host)
{
    char through[UTC_STAMP_TEXT_SIZE], age[TABLE_NUMBER_SIZE];
    int64_t age_s = facts->now_s > host->last_seen_s ? facts->now_s - host->last_seen_s : 0;
    bool is_stale = age_s > STALE_S;

    table_add_row(table);
    table_add_cell(table, STYLE_PLAIN, host->name);
    table_add_cellf(table, is_stale ? STYLE_BAD : STYLE_GOOD, "%s ago", table_duration(age_s, age));
    table_add_cell(table, facts->now_s - host->complete_through_s > STALE_S ? STYLE_WARN : STYLE_PLAIN,
                   status_format_time(host->complete_through_s, through));
    table_add_number(table, STYLE_PLAIN, host->received);
    table_add_number(table, STYLE_PLAIN, host->stored);
    table_add_number(table, host->dropped > 0 ? STYLE_BAD : STYLE_PLAIN, host->dropped);
}

static void print_missed(const struct status_missed *missed, const struct terminal *terminal, FILE *out)
{
    char day[UTC_DAY_TEXT_SIZE], through[UTC_STAMP_TEXT_SIZE], text[600];

    utc_day_format(missed->utc_day, day);
    (void)snprintf(
        text, sizeof text,
        "%s was closed without all of %s, which had pushed through %s; what it pushed later is not "
        "reported",
        day, missed->host, status_format_time(missed->complete_through_s, through));
    status_print_line(terminal, "warning", text, out);
}

static enum status print_hosts(const struct status_facts *facts, const struct terminal *terminal, FILE *out,
                               struct err *err)
{
    struct table table;
    enum status status;

    (void)fputc('\n', out);
    if (facts->fleet.host_count == 0) {
        (void)fputs("No host of the fleet has pushed lately.\n", out);
        return ST_OK;
    }
    table_init(&table, terminal, HOST_COLUMNS, ARRAY_COUNT(HOST_COLUMNS));
    for (size_t i = 0; i < facts->fleet.host_count; i++)
        add_host(&table, facts, &facts->fleet.hosts[i]);
    status = table_print(&table, out, err);
    table_done(&table);
    return status;
}

enum status status_fleet_print_table(const struct status_facts *facts, const struct terminal *terminal,
                                     FILE *out, struct err *err)
{
    const struct status_fleet *fleet = &facts->fleet;
    char text[700];

    if (!fleet->is_set)
        return ST_OK;
    for (size_t i = 0; i < fleet->missed_count; i++)
        print_missed(&fleet->missed[i], terminal, out);
    if (fleet->trouble == NULL)
        return print_hosts(facts, terminal, out, err);
    (void)snprintf(text, sizeof text, "%s; what follows is this host's alone, and it goes on counting",
                   fleet->trouble);
    status_print_line(terminal, "fleet", text, out);
    return ST_OK;
}
