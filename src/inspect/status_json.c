/* SPDX-License-Identifier: MIT */
/*
 * The facts as one JSON object, member by member in a fixed order.
 */
#include "app/json_out.h"
#include "model/utc_day.h"
#include "status_facts.h"

#define OUTPUT_BYTES_MAX (4UL << 20)

/* RFC 3339, or null for 0. */
static void add_time(struct json_out *json, const char *key, int64_t utc_s)
{
    char text[UTC_STAMP_TEXT_SIZE];

    utc_stamp_format(utc_s, text);
    json_out_text(json, key, utc_s > 0 ? text : NULL);
}

static void add_over_budget(struct json_out *json, const struct status_facts *facts)
{
    char day[UTC_DAY_TEXT_SIZE];

    json_out_begin_array(json, "over_budget");
    for (size_t i = 0; i < facts->over_budget_count; i++) {
        utc_day_format(facts->over_budget[i].utc_day, day);
        json_out_begin_object(json, NULL);
        json_out_text(json, "day", day);
        json_out_text(json, "domain", facts->over_budget[i].organization);
        json_out_number(json, "subdomains", (int64_t)facts->over_budget[i].subdomains);
        json_out_number(json, "sessions", (int64_t)facts->over_budget[i].sessions);
        json_out_end_object(json);
    }
    json_out_end_array(json);
}

static void add_collector(struct json_out *json, const struct status_facts *facts)
{
    static const char *const STATES[] = {[COLLECTOR_NEVER] = "never",
                                         [COLLECTOR_UP] = "up",
                                         [COLLECTOR_STUCK] = "stuck",
                                         [COLLECTOR_SILENT] = "silent"};

    json_out_begin_object(json, "collector");
    json_out_text(json, "state", STATES[facts->collector.liveness]);
    add_time(json, "started", facts->collector.started_s);
    add_time(json, "counted_through", facts->collector.mark.counted_through_s);
    json_out_begin_object(json, "counters");
    for (enum session_counter i = 0; i < COUNTER_COUNT; i++)
        json_out_number(json, session_counter_name(i), (int64_t)facts->collector.counters[i]);
    json_out_end_object(json);
    json_out_begin_object(json, "ring");
    json_out_number(json, "used_bytes", (int64_t)facts->collector.ring_used);
    json_out_number(json, "capacity_bytes", (int64_t)facts->collector.ring_capacity);
    json_out_end_object(json);
    json_out_begin_array(json, "refused");
    for (size_t i = 0; i < facts->refused_count; i++) {
        json_out_begin_object(json, NULL);
        json_out_number(json, "uid", facts->refused[i].uid);
        json_out_number(json, "datagrams", (int64_t)facts->refused[i].count);
        json_out_end_object(json);
    }
    json_out_end_array(json);
    add_over_budget(json, facts);
    json_out_begin_object(json, "notes");
    for (size_t i = 0; i < facts->collector.note_count; i++)
        json_out_text(json, facts->collector.notes[i].name, facts->collector.notes[i].text);
    json_out_end_object(json);
    json_out_end_object(json);
}

static void add_counts(struct json_out *json, const struct ledger_counts *counts)
{
    json_out_number(json, "reports", counts->reports);
    json_out_number(json, "skipped", counts->skipped);
    json_out_number(json, "waiting", counts->waiting);
    json_out_begin_object(json, "deliveries");
    for (enum delivery_state state = DELIVERY_DUE; state < DELIVERY_STATE_COUNT; state++)
        json_out_number(json, delivery_state_name(state), counts->by_state[state]);
    json_out_end_object(json);
}

/* What became of the day is not known while the fleet's database, which holds it, cannot be read. */
static void add_day(struct json_out *json, const struct status_facts *facts, const struct status_day *day)
{
    char text[UTC_DAY_TEXT_SIZE];

    utc_day_format(day->utc_day, text);
    json_out_begin_object(json, NULL);
    json_out_text(json, "day", text);
    json_out_number(json, "domains", (int64_t)day->domains);
    json_out_number(json, "sessions_ok", (int64_t)day->sessions.success);
    json_out_number(json, "sessions_failed", (int64_t)day->sessions.failure);
    if (facts->fleet.trouble == NULL) {
        json_out_number(json, "sessions_late", (int64_t)day->late);
        json_out_bool(json, "closed", day->is_closed);
        add_counts(json, &day->ledger);
    }
    json_out_end_object(json);
}

static void add_fleet(struct json_out *json, const struct status_fleet *fleet)
{
    char day[UTC_DAY_TEXT_SIZE];

    if (!fleet->is_set)
        return;
    json_out_begin_object(json, "fleet");
    json_out_text(json, "trouble", fleet->trouble);
    json_out_begin_array(json, "hosts");
    for (size_t i = 0; i < fleet->host_count; i++) {
        json_out_begin_object(json, NULL);
        json_out_text(json, "host", fleet->hosts[i].name);
        add_time(json, "pushed", fleet->hosts[i].last_seen_s);
        add_time(json, "complete_through", fleet->hosts[i].complete_through_s);
        json_out_number(json, "received", (int64_t)fleet->hosts[i].received);
        json_out_number(json, "stored", (int64_t)fleet->hosts[i].stored);
        json_out_number(json, "dropped", (int64_t)fleet->hosts[i].dropped);
        json_out_end_object(json);
    }
    json_out_end_array(json);
    json_out_begin_array(json, "missed");
    for (size_t i = 0; i < fleet->missed_count; i++) {
        utc_day_format(fleet->missed[i].utc_day, day);
        json_out_begin_object(json, NULL);
        json_out_text(json, "day", day);
        json_out_text(json, "host", fleet->missed[i].host);
        add_time(json, "complete_through", fleet->missed[i].complete_through_s);
        json_out_end_object(json);
    }
    json_out_end_array(json);
    json_out_end_object(json);
}

static void add_errors(struct json_out *json, const struct status_facts *facts)
{
    json_out_begin_array(json, "last_errors");
    for (size_t i = 0; i < facts->error_count; i++) {
        const struct status_error *error = &facts->errors[i];

        json_out_begin_object(json, NULL);
        json_out_text(json, "destination", error->host);
        json_out_text(json, "domain", error->domain);
        json_out_text(json, "state", delivery_state_name(error->state));
        add_time(json, "at", error->at_s);
        add_time(json, "next", delivery_state_is_open(error->state) ? error->next_at_s : 0);
        json_out_text(json, "text", error->text);
        json_out_end_object(json);
    }
    json_out_end_array(json);
    json_out_begin_array(json, "budgets_reached");
    for (size_t i = 0; i < facts->budget_count; i++) {
        const struct status_budget *budget = &facts->budgets[i];

        json_out_begin_object(json, NULL);
        json_out_text(json, "destination", budget->destination);
        json_out_text(json, "owner", *budget->owner != '\0' ? budget->owner : NULL);
        json_out_text(json, "setting", budget->setting);
        json_out_number(json, "reports", (int64_t)budget->reports);
        json_out_end_object(json);
    }
    json_out_end_array(json);
    json_out_begin_array(json, "suppressed");
    for (size_t i = 0; i < facts->suppressed_count; i++) {
        json_out_begin_object(json, NULL);
        json_out_text(json, "address", facts->suppressed[i].address);
        add_time(json, "until", facts->suppressed[i].until_s);
        json_out_text(json, "reason", facts->suppressed[i].reason);
        json_out_end_object(json);
    }
    json_out_end_array(json);
}

enum status status_print_json(const struct status_facts *facts, FILE *out, struct err *err)
{
    struct json_out json;
    struct strbuf text;
    enum status status = ST_OK;

    strbuf_init(&text, OUTPUT_BYTES_MAX);
    json_out_init(&json, &text, 2);
    json_out_begin_object(&json, NULL);
    add_time(&json, "now", facts->now_s);
    json_out_text(&json, "missing_setting", facts->missing_setting);
    add_collector(&json, facts);
    add_fleet(&json, &facts->fleet);
    json_out_begin_array(&json, "days");
    for (size_t i = 0; i < facts->day_count; i++)
        add_day(&json, facts, &facts->days[i]);
    json_out_end_array(&json);
    if (facts->fleet.trouble == NULL) {
        json_out_begin_object(&json, "totals");
        add_counts(&json, &facts->totals);
        json_out_end_object(&json);
    }
    add_time(&json, "oldest_due", facts->has_due ? facts->oldest_due_s : 0);
    add_time(&json, "next_attempt", facts->has_due ? facts->next_attempt_s : 0);
    add_errors(&json, facts);
    json_out_end_object(&json);
    if (strbuf_is_failed(&text))
        status = err_set(err, ST_NOMEM, "out of memory");
    else
        (void)fprintf(out, "%s\n", text.data);
    strbuf_done(&text);
    return status;
}
