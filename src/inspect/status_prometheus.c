/* SPDX-License-Identifier: MIT */
/*
 * The text format of Prometheus, for node_exporter's textfile collector.  The only outside text in labels are
 * domains, canonical names of letters, digits, '-', '_' and '.'.
 */
#include <inttypes.h>

#include "model/utc_day.h"
#include "status_facts.h"

#define PREFIX "tlsrpt_gen_"

static void begin(FILE *out, const char *name, const char *type, const char *help)
{
    (void)fprintf(out, "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s %s\n", name, help, name, type);
}

static void gauge(FILE *out, const char *name, const char *help, int64_t value)
{
    begin(out, name, "gauge", help);
    (void)fprintf(out, PREFIX "%s %" PRId64 "\n", name, value);
}

static void print_counters(const struct status_facts *facts, FILE *out)
{
    for (enum session_counter i = 0; i < COUNTER_COUNT; i++) {
        char name[64];

        if (i == COUNTER_RING_HIGH_WATER)
            continue;
        (void)snprintf(name, sizeof name, "collector_%s_total", session_counter_name(i));
        begin(out, name, "counter", session_counter_help(i));
        (void)fprintf(out, PREFIX "%s %" PRIu64 "\n", name, facts->collector.counters[i]);
    }
    gauge(out, "ring_high_water_bytes", session_counter_help(COUNTER_RING_HIGH_WATER),
          (int64_t)facts->collector.counters[COUNTER_RING_HIGH_WATER]);
    gauge(out, "ring_used_bytes", "bytes that wait in the ring to be counted",
          (int64_t)facts->collector.ring_used);
    gauge(out, "ring_capacity_bytes", "bytes that the ring can hold",
          (int64_t)facts->collector.ring_capacity);
}

static void print_over_budget(const struct status_facts *facts, FILE *out)
{
    char day[UTC_DAY_TEXT_SIZE];

    begin(out, "over_budget_sessions", "gauge",
          "sessions of subdomains beyond max_subdomains, in no report, by the domain above them");
    for (size_t i = 0; i < facts->over_budget_count; i++) {
        utc_day_format(facts->over_budget[i].utc_day, day);
        (void)fprintf(out, PREFIX "over_budget_sessions{day=\"%s\",domain=\"%s\"} %" PRIu64 "\n", day,
                      facts->over_budget[i].organization, facts->over_budget[i].sessions);
    }
}

/* Counts of the newest day before today: the one that is reported now. */
static void print_yesterday(const struct status_facts *facts, FILE *out)
{
    static const struct status_day NONE = {0};
    const struct status_day *day = &NONE;
    int32_t yesterday = utc_day_of(facts->now_s) - 1;

    for (size_t i = 0; i < facts->day_count; i++)
        if (facts->days[i].utc_day == yesterday)
            day = &facts->days[i];
    gauge(out, "yesterday_domains", "domains with sessions on the last complete UTC day",
          (int64_t)day->domains);
    begin(out, "yesterday_sessions", "gauge", "sessions on the last complete UTC day, by outcome");
    (void)fprintf(out, PREFIX "yesterday_sessions{outcome=\"ok\"} %" PRIu64 "\n", day->sessions.success);
    (void)fprintf(out, PREFIX "yesterday_sessions{outcome=\"failed\"} %" PRIu64 "\n", day->sessions.failure);
    gauge(out, "yesterday_reports", "reports built for the last complete UTC day", day->ledger.reports);
    gauge(out, "yesterday_skipped", "domains of the last complete UTC day that get no report",
          day->ledger.skipped);
    gauge(out, "yesterday_waiting", "domains of the last complete UTC day whose record could not be read yet",
          day->ledger.waiting);
}

static void print_deliveries(const struct status_facts *facts, FILE *out)
{
    begin(out, "deliveries", "gauge", "deliveries that are kept, by state");
    for (enum delivery_state state = DELIVERY_DUE; state < DELIVERY_STATE_COUNT; state++)
        (void)fprintf(out, PREFIX "deliveries{state=\"%s\"} %" PRId64 "\n", delivery_state_name(state),
                      facts->totals.by_state[state]);
    gauge(out, "deliveries_overdue", "open deliveries whose time has come", (int64_t)facts->overdue);
    gauge(out, "oldest_due_timestamp_seconds", "first try of the oldest open delivery, 0 if there is none",
          facts->has_due ? facts->oldest_due_s : 0);
    gauge(out, "next_attempt_timestamp_seconds", "when the next open delivery is tried, 0 if there is none",
          facts->has_due ? facts->next_attempt_s : 0);
    gauge(out, "reports", "reports that are kept", facts->totals.reports);
    gauge(out, "budgets_reached", "delivery budgets of today that are used up, at most 20",
          (int64_t)facts->budget_count);
    gauge(out, "suppressed_addresses", "addresses that get no report for a while because they refused one",
          (int64_t)facts->suppressed_total);
}

/* Only where a fleet is set: a single host has none of these. */
static void print_fleet(const struct status_facts *facts, FILE *out)
{
    const struct status_fleet *fleet = &facts->fleet;
    int64_t complete_s = 0, late = 0;

    if (!fleet->is_set)
        return;
    for (size_t i = 0; i < fleet->host_count; i++)
        if (i == 0 || fleet->hosts[i].complete_through_s < complete_s)
            complete_s = fleet->hosts[i].complete_through_s;
    for (size_t i = 0; i < facts->day_count; i++)
        late += (int64_t)facts->days[i].late;
    gauge(out, "fleet_up", "1 if the fleet's database can be read, 0 if not; then what it holds is left out",
          fleet->trouble == NULL);
    if (fleet->trouble != NULL)
        return;
    gauge(out, "fleet_hosts", "hosts that pushed to the fleet's database lately", (int64_t)fleet->host_count);
    gauge(out, "fleet_complete_through_timestamp_seconds", "what every host of the fleet has pushed through",
          complete_s);
    gauge(out, "fleet_missed", "hosts whose counts a day was closed without, over the days that are kept",
          (int64_t)fleet->missed_count);
    gauge(out, "fleet_late_sessions",
          "sessions pushed after their report was built, over the days that are kept", late);
}

void status_print_prometheus(const struct status_facts *facts, FILE *out)
{
    gauge(out, "configured",
          "1 if organization_name and contact_info are set, 0 if nothing is sent until they are",
          facts->missing_setting == NULL);
    gauge(out, "collector_up", "1 if the collector counts, 0 if not",
          facts->collector.liveness == COLLECTOR_UP);
    gauge(out, "collector_start_timestamp_seconds", "when the collector was started, 0 if that is not known",
          facts->collector.started_s);
    gauge(out, "counted_through_timestamp_seconds", "everything that arrived before this time is counted",
          facts->collector.mark.counted_through_s);
    print_fleet(facts, out);
    print_counters(facts, out);
    print_over_budget(facts, out);
    if (facts->fleet.trouble != NULL)
        return; /* a 0 would be taken for the truth */
    print_yesterday(facts, out);
    print_deliveries(facts, out);
}
