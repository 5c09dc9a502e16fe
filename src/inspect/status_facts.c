/* SPDX-License-Identifier: MIT */
/*
 * This host's session store gives the collector's state; the days come from it or from the fleet's database, and
 * deliveries from the ledger.  Lists are bounded: the newest days, the latest errors.
 */
#include "status_facts.h"

#include <string.h>
#include <unistd.h>

#include "app/last_run.h"
#include "app/stores.h"
#include "base/clock.h"
#include "model/utc_day.h"

#define ARENA_BYTES_MAX (16UL << 20)
#define ERROR_DAYS      3 /* newest days whose finished deliveries are looked at for errors */
#define TEXT_BYTES      300

/* One store to be read, and where its facts go. */
struct gathering {
    const struct config *config;
    struct status_facts *facts;
    struct session_reader *sessions; /* of this host */
    struct fleet *fleet;
    struct session_reader *all_sessions; /* of the fleet */
    struct ledger *ledger;
};

const char *status_facts_copy(struct status_facts *facts, const char *text)
{
    const char *made = arena_copy_text(&facts->arena, text, strnlen(text, TEXT_BYTES));

    return made != NULL ? made : "";
}

/* ---- days ---- */

struct status_day *status_facts_day(struct status_facts *facts, int32_t utc_day)
{
    size_t at = facts->day_count;

    while (at > 0 && facts->days[at - 1].utc_day > utc_day)
        at--;
    if (at > 0 && facts->days[at - 1].utc_day == utc_day)
        return &facts->days[at - 1];
    if (facts->day_count == STATUS_DAYS_MAX) {
        if (at == 0)
            return NULL;
        memmove(&facts->days[0], &facts->days[1], (at - 1) * sizeof facts->days[0]);
        at--;
    } else {
        memmove(&facts->days[at + 1], &facts->days[at], (facts->day_count - at) * sizeof facts->days[0]);
        facts->day_count++;
    }
    facts->days[at] = (struct status_day){.utc_day = utc_day};
    return &facts->days[at];
}

static enum status take_session_day(void *context, const struct session_day *day, struct err *err)
{
    struct gathering *gathering = context;
    struct status_day *row = status_facts_day(gathering->facts, day->utc_day);

    (void)err;
    if (row == NULL)
        return ST_OK;
    row->has_sessions = true;
    row->is_closed = day->is_closed;
    row->domains = day->domains;
    row->sessions = day->sessions;
    return ST_OK;
}

static enum status take_closed_day(void *context, int32_t utc_day, int64_t closed_at_s, struct err *err)
{
    struct gathering *gathering = context;
    struct status_day *row = status_facts_day(gathering->facts, utc_day);

    (void)err;
    (void)closed_at_s;
    if (row != NULL)
        row->is_closed = true;
    return ST_OK;
}

/* ---- the collector ---- */

static enum status take_refused(void *context, int64_t uid, uint64_t count, struct err *err)
{
    struct status_facts *facts = ((struct gathering *)context)->facts;

    (void)err;
    if (facts->refused_count < STATUS_LIST_MAX)
        facts->refused[facts->refused_count++] = (struct status_refused){uid, count};
    return ST_OK;
}

static enum status take_over_budget(void *context, const struct session_over_budget *over, struct err *err)
{
    struct status_facts *facts = ((struct gathering *)context)->facts;
    struct session_over_budget *row = &facts->over_budget[facts->over_budget_count++];

    (void)err;
    *row = *over;
    row->organization = status_facts_copy(facts, over->organization);
    return ST_OK;
}

static enum status gather_sessions(struct gathering *gathering, struct err *err)
{
    struct status_facts *facts = gathering->facts;
    enum status status = collector_state_read(gathering->config, gathering->sessions, facts->now_s,
                                              &facts->arena, &facts->collector, err);

    if (status == ST_OK)
        status = session_reader_each_refused(gathering->sessions, take_refused, gathering, err);
    if (status == ST_OK)
        status = session_reader_each_over_budget(gathering->sessions, STATUS_OVER_MAX, take_over_budget,
                                                 gathering, err);
    if (status == ST_OK && gathering->fleet == NULL)
        status = session_reader_each_day(gathering->sessions, take_session_day, gathering, err);
    return status;
}

/* ---- deliveries ---- */

/* The slot for a host's error: its own, a free one, or that of the oldest error; NULL if this one is older. */
static struct status_error *find_slot(struct status_facts *facts, const char *host, int64_t at_s)
{
    struct status_error *oldest = &facts->errors[0];

    for (size_t i = 0; i < facts->error_count; i++) {
        if (strcmp(facts->errors[i].host, host) == 0)
            return facts->errors[i].at_s < at_s ? &facts->errors[i] : NULL;
        if (facts->errors[i].at_s < oldest->at_s)
            oldest = &facts->errors[i];
    }
    if (facts->error_count < STATUS_ERRORS_MAX)
        return &facts->errors[facts->error_count++];
    return oldest->at_s < at_s ? oldest : NULL;
}

static bool has_failed(const struct ledger_delivery *row)
{
    return row->last_at_s > 0 && *row->last_text != '\0' && row->state != DELIVERY_DELIVERED &&
           row->state != DELIVERY_SUPPRESSED;
}

static void fill_error(struct status_error *slot, const struct ledger_delivery *row)
{
    *slot = (struct status_error){.at_s = row->last_at_s, .state = row->state, .next_at_s = row->next_at_s};
    (void)snprintf(slot->host, sizeof slot->host, "%s", row->host);
    (void)snprintf(slot->domain, sizeof slot->domain, "%s", row->domain);
    (void)snprintf(slot->text, sizeof slot->text, "%s", row->last_text);
}

static enum status take_error(void *context, const struct ledger_delivery *row, struct err *err)
{
    struct status_facts *facts = ((struct gathering *)context)->facts;
    struct status_error *slot = has_failed(row) ? find_slot(facts, row->host, row->last_at_s) : NULL;

    (void)err;
    if (slot != NULL)
        fill_error(slot, row);
    return ST_OK;
}

static enum status take_open(void *context, const struct ledger_delivery *row, struct err *err)
{
    struct status_facts *facts = ((struct gathering *)context)->facts;
    int64_t since_s = row->first_at_s > 0 ? row->first_at_s : row->next_at_s;

    if (row->next_at_s <= facts->now_s)
        facts->overdue++;
    if (!facts->has_due || since_s < facts->oldest_due_s) {
        facts->oldest_due_s = since_s;
        (void)snprintf(facts->oldest_due_domain, sizeof facts->oldest_due_domain, "%s", row->domain);
        (void)snprintf(facts->oldest_due_host, sizeof facts->oldest_due_host, "%s", row->host);
    }
    if (!facts->has_due || row->next_at_s < facts->next_attempt_s)
        facts->next_attempt_s = row->next_at_s;
    facts->has_due = true;
    return take_error(context, row, err);
}

static enum status take_suppressed(void *context, const char *address, int64_t until_s, int64_t strikes,
                                   const char *reason, struct err *err)
{
    struct status_facts *facts = ((struct gathering *)context)->facts;

    (void)err;
    (void)strikes;
    facts->suppressed_total++;
    if (facts->suppressed_count < STATUS_LIST_MAX)
        facts->suppressed[facts->suppressed_count++] = (struct status_suppressed){
            status_facts_copy(facts, address), status_facts_copy(facts, reason), until_s};
    return ST_OK;
}

static enum status take_budget(void *context, const struct ledger_budget *row, struct err *err)
{
    struct status_facts *facts = ((struct gathering *)context)->facts;

    (void)err;
    facts->budgets[facts->budget_count++] = (struct status_budget){
        .destination = status_facts_copy(facts, row->destination),
        .owner = status_facts_copy(facts, row->owner),
        .setting = *row->owner != '\0' ? "max_per_owner_and_destination" : "max_per_destination",
        .reports = (uint64_t)row->started};
    return ST_OK;
}

/* By destination, so that it is found again. */
static void sort_errors(struct status_facts *facts)
{
    for (size_t i = 1; i < facts->error_count; i++)
        for (size_t j = i; j > 0 && strcmp(facts->errors[j - 1].host, facts->errors[j].host) > 0; j--) {
            struct status_error swapped = facts->errors[j];

            facts->errors[j] = facts->errors[j - 1];
            facts->errors[j - 1] = swapped;
        }
}

static enum status gather_days_of_ledger(struct gathering *gathering, struct err *err)
{
    struct status_facts *facts = gathering->facts;
    enum status status = ledger_each_closed_day(gathering->ledger, take_closed_day, gathering, err);

    for (size_t i = 0; status == ST_OK && i < facts->day_count; i++)
        status = ledger_count(gathering->ledger, facts->days[i].utc_day, &facts->days[i].ledger, err);
    return status;
}

static enum status gather_ledger(struct gathering *gathering, struct err *err)
{
    struct status_facts *facts = gathering->facts;
    size_t first;
    enum status status = gather_days_of_ledger(gathering, err);

    if (status == ST_OK)
        status = ledger_count(gathering->ledger, -1, &facts->totals, err);
    if (status == ST_OK)
        status = ledger_each_open(gathering->ledger, take_open, gathering, err);
    first = facts->day_count > ERROR_DAYS ? facts->day_count - ERROR_DAYS : 0;
    for (size_t i = first; status == ST_OK && i < facts->day_count; i++)
        status = ledger_each_delivery(gathering->ledger, facts->days[i].utc_day, take_error, gathering, err);
    if (status == ST_OK)
        status = ledger_each_suppression(gathering->ledger, facts->now_s, take_suppressed, gathering, err);
    if (status == ST_OK)
        status = ledger_each_budget(
            gathering->ledger, utc_day_of(facts->now_s), gathering->config->max_per_destination,
            gathering->config->max_per_owner_and_destination, STATUS_OVER_MAX, take_budget, gathering, err);
    sort_errors(facts);
    return status;
}

/* ---- both stores ---- */

/* If the fleet cannot be reached or refuses us, that is shown, and so is everything else. */
static enum status open_fleet(struct gathering *gathering, struct err *err)
{
    struct status_facts *facts = gathering->facts;
    enum status status = stores_open_fleet(gathering->config, &gathering->fleet, err);

    facts->fleet.is_set = *gathering->config->fleet != '\0';
    if (status != ST_OK && status != ST_NOMEM) {
        facts->fleet.trouble = status_facts_copy(facts, err->text);
        return ST_OK;
    }
    if (status == ST_OK && gathering->fleet != NULL)
        status = fleet_open_sessions(gathering->fleet, &gathering->all_sessions, err);
    return status;
}

static enum status open_stores(struct gathering *gathering, struct err *err)
{
    enum status status = stores_open_sessions(gathering->config, SESSION_READ, &gathering->sessions, err);

    if (status == ST_OK)
        status = open_fleet(gathering, err);
    if (status == ST_OK && gathering->facts->fleet.trouble == NULL)
        status = stores_open_ledger(gathering->config, gathering->fleet, LEDGER_READ, &gathering->ledger,
                                    NULL, err);
    if (status != ST_OK)
        return status;
    if (gathering->sessions == NULL && gathering->ledger == NULL && !gathering->facts->fleet.is_set)
        return err_set(err, ST_NOT_FOUND,
                       "%s holds neither sessions.db nor reports.db: the collector has not run yet; start "
                       "tlsrpt-gen-collect, or give the right settings with -c",
                       gathering->config->state_dir);
    return ST_OK;
}

static enum status gather_fleet(struct gathering *gathering, struct err *err)
{
    enum status status = session_reader_each_day(gathering->all_sessions, take_session_day, gathering, err);

    return status == ST_OK ? status_fleet_gather(gathering->facts, gathering->fleet, err) : status;
}

enum status status_facts_gather(const struct config *config, struct status_facts *facts, struct err *err)
{
    struct gathering gathering = {.config = config, .facts = facts};
    enum status status;

    *facts = (struct status_facts){.now_s = clock_utc_s(),
                                   .last_run_s = last_run_read(config),
                                   .missing_setting = config_missing_identity(config),
                                   .settings_file = config->file};
    arena_init(&facts->arena, ARENA_BYTES_MAX);
    status = open_stores(&gathering, err);
    if (status == ST_OK && gathering.sessions != NULL)
        status = gather_sessions(&gathering, err);
    if (status == ST_OK && gathering.fleet != NULL)
        status = gather_fleet(&gathering, err);
    facts->has_ledger = gathering.ledger != NULL;
    if (status == ST_OK && gathering.ledger != NULL)
        status = gather_ledger(&gathering, err);
    session_reader_close(&gathering.sessions);
    session_reader_close(&gathering.all_sessions);
    ledger_close(&gathering.ledger);
    fleet_close(&gathering.fleet);
    return status;
}

void status_facts_done(struct status_facts *facts)
{
    arena_done(&facts->arena);
}
