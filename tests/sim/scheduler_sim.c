/* SPDX-License-Identifier: MIT */
/*
 * Runs the scheduler against simulated owners and destinations, and checks what scheduler.h promises.
 *
 * Usage: scheduler_sim [SEEDS [FIRST]]   (default: 40 seeds from 1)  Prints TAP and figures.
 *
 * Each seed is a world (world.h): honest owners, hostile ones with up to 90 % of the rows, and a kind of delivery.  The
 * same healthy rows are delivered twice, once alone and once among all others, in one run of 30 minutes and then
 * one of ten minutes each hour, for a little more than a day.  The simulator plays the ledger, with pages in the
 * order that scheduler.h asks for, and the transports, with their limits of time.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "deliver/scheduler.h"
#include "model/schedule.h"
#include "world.h"

#define FIRST_RUN_MS         1800000
#define RUN_MS               600000
#define PERIOD_MS            3600000 /* from one run to the next */
#define RUNS                 27
#define DELIVERY_MS_OF_A_DAY (FIRST_RUN_MS + 23 * RUN_MS)
#define EXPIRY_MS            (INT64_C(1000) * SCHEDULER_EXPIRY_S)
#define BACKOFF_MS           900000
#define TIME_SLOT_MS         900000
#define CONNECT_MS           30
#define NO_NAME_MS           20
#define LOOKUP_MS            40
#define BATCH_MAX            100
#define EVENTS_MAX           512
#define QUIET_MS             30000               /* a session with less time than this begins no new mail */
#define BEGIN_S              INT64_C(1767258000) /* 2026-01-01T09:00:00Z */
#define SAFE_PERCENT         150
#define SHARE_OF_PAGE        8      /* rows of an owner */
#define CHECKED_MS           900000 /* longer bounds may not end in the run that a row is due in */

enum promise {
    PROMISE_HEALTHY,
    PROMISE_DELIVERED,
    PROMISE_AGE,
    PROMISE_BUDGETS,
    PROMISE_SLOTS,
    PROMISE_ONCE,
    PROMISE_LIMITS,
    PROMISE_REST,
    PROMISE_MEMORY,
    PROMISE_COUNT,
};

static const char *const PROMISES[PROMISE_COUNT] = {
    [PROMISE_HEALTHY] =
        "healthy destinations get their rows in 1.5 times the time they take alone and one limit",
    [PROMISE_DELIVERED] = "every row to a healthy destination is delivered",
    [PROMISE_AGE] = "no row is open for longer than 24 hours and until the end of the next run",
    [PROMISE_BUDGETS] = "budgets per day hold",
    [PROMISE_SLOTS] = "slots, their shares and lookups stay within their limits",
    [PROMISE_ONCE] = "every row is started only while it is due and not under way",
    [PROMISE_LIMITS] = "nothing is under way for longer than its limit or than the run",
    [PROMISE_REST] = "an owner's way to a destination that fails is left alone until the next run",
    [PROMISE_MEMORY] = "memory is allocated by scheduler_new alone, which knows no row",
};

enum row_status {
    ROW_DUE,
    ROW_UNDER_WAY,
    ROW_DELIVERED,
    ROW_GIVEN_UP,
    ROW_EXPIRED,
    ROW_LEFT_OUT, /* of the run of healthy rows alone */
};

struct row_state {
    enum row_status status;
    uint32_t tries;
    uint32_t turn; /* one more for each time that it was put off */
    bool is_known; /* the half that it is in */
    int64_t next_ms;
    int64_t done_ms;
};

/* What a transport or the resolver does next. */
enum event_kind {
    EVENT_LOOKUP,
    EVENT_CONNECT,
    EVENT_ANSWER,
    EVENT_SILENCE, /* until the limit */
};

struct event {
    int64_t at_ms;
    uint64_t order;
    enum event_kind kind;
    uint32_t index; /* of the row or slot */
};

struct sim_slot {
    uint32_t numbers[BATCH_MAX]; /* of the rows */
    uint32_t count;
    uint32_t at;
    uint32_t destination;
    int64_t started_ms;
    bool is_busy;
};

struct destination_state {
    uint32_t accepts;
    uint32_t slots;
    bool is_trusted;  /* in this run */
    bool is_known;    /* to the ledger: it has accepted a report lately */
    uint32_t answers; /* in this run */
    int64_t day;
    uint64_t begun;
};

struct flow_state {
    uint32_t failures; /* in a row, in this run */
    int64_t day;
    uint64_t begun;
};

/* The ledger's index: open rows in the order of turn, time slot and place. */
struct due_list {
    struct due_entry {
        uint64_t key;
        uint32_t row;
    } * entries;
    uint32_t count;
};

struct figures {
    uint64_t seeds, rows, hostile_rows, starts, page_rows;
    uint64_t strict, general, unchecked; /* destinations by how they were checked */
    double worst_strict;                 /* share of the bound that was used */
    double worst_general;
    int64_t oldest_ms; /* the longest that a row was open beyond 24 hours */
    size_t bytes;      /* the most that a scheduler allocated */
    uint64_t broken[PROMISE_COUNT];
};

struct sim {
    const struct world *world;
    bool is_alone;
    bool is_hopeless; /* the day is too short to find out about all that do not work */
    uint64_t seed;
    uint64_t random;
    struct scheduler *scheduler;
    int64_t now_ms;
    int64_t begin_ms; /* of the run */
    int64_t end_ms;
    struct row_state *states;
    struct destination_state *destinations;
    struct flow_state *flows;
    uint32_t *row_of;       /* by number */
    struct due_list due[2]; /* [is_known] */
    uint32_t *page;         /* rows to offer */
    struct sim_slot *slots;
    uint32_t lookups, busy, untrusted;
    uint32_t failed_flows; /* in this run */
    struct event *events;
    uint32_t event_count;
    uint64_t order;
    struct figures *figures;
};

static void broken(struct sim *sim, enum promise promise, const char *format, ...) PRINTF_LIKE(3, 4);

static void broken(struct sim *sim, enum promise promise, const char *format, ...)
{
    va_list arguments;

    if (sim->figures->broken[promise]++ >= 5)
        return;
    (void)printf("# seed %" PRIu64 "%s, at %.1f s: ", sim->seed, sim->is_alone ? " alone" : "",
                 (double)sim->now_ms / 1000);
    va_start(arguments, format);
    (void)vprintf(format, arguments);
    va_end(arguments);
    (void)printf("\n");
}

/* ---- events ----------------------------------------------------------------------------------------------- */

static void push(struct sim *sim, int64_t after_ms, enum event_kind kind, uint32_t index)
{
    if (sim->event_count == EVENTS_MAX)
        abort();
    sim->events[sim->event_count++] =
        (struct event){.at_ms = sim->now_ms + after_ms, .order = ++sim->order, .kind = kind, .index = index};
}

/* NULL if there is none. */
static struct event *first_event(const struct sim *sim)
{
    struct event *first = NULL;

    for (uint32_t i = 0; i < sim->event_count; i++) {
        struct event *event = &sim->events[i];

        if (first == NULL || event->at_ms < first->at_ms ||
            (event->at_ms == first->at_ms && event->order < first->order))
            first = event;
    }
    return first;
}

/* ---- the ledger ------------------------------------------------------------------------------------------- */

static const struct sim_row *row_at(const struct sim *sim, uint32_t number)
{
    return &sim->world->rows[sim->row_of[number]];
}

static struct row_state *state_at(struct sim *sim, uint32_t number)
{
    return &sim->states[sim->row_of[number]];
}

static struct due_entry entry_of(const struct sim *sim, uint32_t row)
{
    const struct row_state *state = &sim->states[row];
    uint64_t key = (uint64_t)state->turn << 24 | (uint64_t)(state->next_ms / TIME_SLOT_MS);

    return (struct due_entry){.key = key << 32 | sim->world->rows[row].place, .row = row};
}

/* Where a row is in its list, or belongs. */
static struct due_entry *find_entry(const struct due_list *list, const struct due_entry *wanted)
{
    uint32_t low = 0, high = list->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct due_entry *entry = &list->entries[middle];

        if (entry->key < wanted->key || (entry->key == wanted->key && entry->row < wanted->row))
            low = middle + 1;
        else
            high = middle;
    }
    return &list->entries[low];
}

static void list_row(struct sim *sim, uint32_t row)
{
    struct row_state *state = &sim->states[row];
    const struct due_entry wanted = entry_of(sim, row);
    struct due_list *list;
    struct due_entry *entry;

    state->is_known = sim->destinations[sim->world->rows[row].destination].is_known;
    list = &sim->due[state->is_known];
    entry = find_entry(list, &wanted);
    memmove(entry + 1, entry, (size_t)(list->entries + list->count++ - entry) * sizeof *entry);
    *entry = wanted;
}

static void unlist_row(struct sim *sim, uint32_t row)
{
    const struct due_entry wanted = entry_of(sim, row);
    struct due_list *list = &sim->due[sim->states[row].is_known];
    struct due_entry *entry = find_entry(list, &wanted);

    memmove(entry, entry + 1, (size_t)(list->entries + --list->count - entry) * sizeof *entry);
}

static void finish(struct sim *sim, uint32_t row, enum row_status status)
{
    struct row_state *state = &sim->states[row];
    int64_t age_ms = sim->now_ms - sim->world->rows[row].due_ms - EXPIRY_MS;

    unlist_row(sim, row);
    state->status = status;
    state->done_ms = sim->now_ms;
    if (age_ms > sim->figures->oldest_ms)
        sim->figures->oldest_ms = age_ms;
    if (age_ms > PERIOD_MS + RUN_MS + sim->world->settings.delivery_ms)
        broken(sim, PROMISE_AGE, "row %u is %.1f s older than 24 hours", row, (double)age_ms / 1000);
    if (status != ROW_DELIVERED && sim->world->rows[row].is_healthy && !sim->is_hopeless)
        broken(sim, PROMISE_DELIVERED, "healthy row %u has status %d after %u tries", row, (int)status,
               sim->states[row].tries);
}

/* As model/backoff: doubled with each try, up to 20 % more or less, and the last one at the end. */
static void put_off(struct sim *sim, uint32_t row)
{
    struct row_state *state = &sim->states[row];
    int64_t last_ms = sim->world->rows[row].due_ms + EXPIRY_MS;
    int64_t after_ms = (int64_t)BACKOFF_MS << (state->tries < 7 ? state->tries : 7) >> (state->tries > 0);

    if (sim->now_ms >= last_ms) {
        finish(sim, row, ROW_EXPIRED);
        return;
    }
    after_ms += after_ms * ((int64_t)(sim_random(&sim->random) % 41) - 20) / 100;
    unlist_row(sim, row);
    state->turn += state->turn + 1 < SCHEDULE_TURNS;
    state->status = ROW_DUE;
    state->next_ms = sim->now_ms + after_ms < last_ms ? sim->now_ms + after_ms : last_ms;
    list_row(sim, row);
}

static int64_t day_of(const struct sim *sim)
{
    return (BEGIN_S + sim->now_ms / 1000) / 86400;
}

static uint64_t begun_today(const struct sim *sim, int64_t day, uint64_t begun)
{
    return day == day_of(sim) ? begun : 0;
}

/* It counts when it is started for the first time. */
static void count_start(struct sim *sim, const struct sim_row *row)
{
    struct destination_state *destination = &sim->destinations[row->destination];
    struct flow_state *flow = &sim->flows[row->flow];
    const struct scheduler_settings *settings = &sim->world->settings;

    destination->begun = begun_today(sim, destination->day, destination->begun) + 1;
    flow->begun = begun_today(sim, flow->day, flow->begun) + 1;
    destination->day = flow->day = day_of(sim);
    if (destination->begun > settings->max_per_destination)
        broken(sim, PROMISE_BUDGETS, "destination %u has %" PRIu64, row->destination, destination->begun);
    if (flow->begun > settings->max_per_owner_and_destination)
        broken(sim, PROMISE_BUDGETS, "flow %u has %" PRIu64, row->flow, flow->begun);
}

static void uncount_start(struct sim *sim, const struct sim_row *row)
{
    sim->destinations[row->destination].begun--;
    sim->flows[row->flow].begun--;
}

static void take_disposition(struct sim *sim, uint32_t row, enum scheduler_disposition disposition)
{
    switch (disposition) {
    case SCHEDULER_CLOSED:
        put_off(sim, row);
        break;
    case SCHEDULER_EXPIRED:
        finish(sim, row, ROW_EXPIRED);
        break;
    case SCHEDULER_OVER_DESTINATION:
    case SCHEDULER_OVER_OWNER:
        finish(sim, row, ROW_GIVEN_UP);
        break;
    case SCHEDULER_ADDED:
    case SCHEDULER_PRESENT:
    case SCHEDULER_LATER:
    case SCHEDULER_LEFT:
        break;
    }
}

static void offer(struct sim *sim, uint32_t index)
{
    const struct sim_row *row = &sim->world->rows[index];
    const struct destination_state *destination = &sim->destinations[row->destination];
    uint32_t number;
    const struct scheduler_row offered = {
        .id = (int64_t)index + 1,
        .owner = sim->world->names[row->owner].text,
        .destination = sim->world->names[row->destination].text,
        .due_at_s = BEGIN_S + row->due_ms / 1000,
        .is_known = sim->states[index].is_known,
        .was_tried = sim->states[index].tries > 0,
        .destination_used = begun_today(sim, destination->day, destination->begun),
        .flow_used = begun_today(sim, sim->flows[row->flow].day, sim->flows[row->flow].begun),
    };
    enum scheduler_disposition disposition;

    disposition = scheduler_add(sim->scheduler, &offered, &number);
    if (disposition == SCHEDULER_ADDED)
        sim->row_of[number] = index;
    take_disposition(sim, index, disposition);
}

static bool is_due(const struct sim *sim, uint32_t index)
{
    return sim->states[index].status == ROW_DUE && sim->states[index].next_ms <= sim->now_ms;
}

static void read_page(struct sim *sim, bool is_known)
{
    const struct due_list *list = &sim->due[is_known];
    uint32_t max = SCHEDULER_PAGE_WINDOWS * sim->world->settings.window;
    uint32_t count = 0;

    for (uint32_t i = 0; i < list->count && count < max; i++)
        if (is_due(sim, list->entries[i].row))
            sim->page[count++] = list->entries[i].row;
    for (uint32_t i = 0; i < count; i++)
        offer(sim, sim->page[i]);
    sim->figures->page_rows += count;
    scheduler_end_page(sim->scheduler, is_known, count < max);
}

/* A row is marked when it is listed; those whose destination has become known since then, when a run begins. */
static void mark_known(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->world->row_count; i++)
        if (sim->states[i].status == ROW_DUE &&
            sim->states[i].is_known != sim->destinations[sim->world->rows[i].destination].is_known) {
            unlist_row(sim, i);
            list_row(sim, i);
        }
}

/* What a run does before and after delivering. */
static void expire_old(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->world->row_count; i++)
        if (sim->states[i].status == ROW_DUE && sim->now_ms - sim->world->rows[i].due_ms >= EXPIRY_MS)
            finish(sim, i, ROW_EXPIRED);
}

/* ---- starting --------------------------------------------------------------------------------------------- */

static void begin_row(struct sim *sim, const struct scheduler_start *start)
{
    struct row_state *state = state_at(sim, start->row);

    if (start->id != (int64_t)sim->row_of[start->row] + 1 || state->status != ROW_DUE ||
        state->next_ms > sim->now_ms)
        broken(sim, PROMISE_ONCE, "row %" PRId64 " has status %d", start->id, (int)state->status);
    state->status = ROW_UNDER_WAY;
    sim->figures->starts++;
}

static void start_lookup(struct sim *sim, const struct scheduler_start *start)
{
    enum behaviour behaviour = row_at(sim, start->row)->behaviour;

    begin_row(sim, start);
    if (++sim->lookups > sim->world->settings.lookups)
        broken(sim, PROMISE_SLOTS, "%u lookups", sim->lookups);
    push(sim,
         behaviour == BEHAVIOUR_DEAD_NAME ? sim->world->limits.lookup_ms
         : behaviour == BEHAVIOUR_NO_NAME ? NO_NAME_MS
                                          : LOOKUP_MS,
         EVENT_LOOKUP, start->row);
}

static void begin_delivery(struct sim *sim, const struct scheduler_start *start)
{
    const struct sim_row *row = row_at(sim, start->row);
    struct row_state *state = state_at(sim, start->row);

    begin_row(sim, start);
    if (sim->now_ms - row->due_ms > EXPIRY_MS)
        broken(sim, PROMISE_AGE, "row %" PRId64 " is started after 24 hours", start->id);
    if (sim->flows[row->flow].failures >= SCHEDULER_FLOW_FAILURES && sim->now_ms < sim->begin_ms + RUN_MS &&
        sim->failed_flows <= 2 * sim->world->settings.window)
        broken(sim, PROMISE_REST, "flow %u is tried after %u failures", row->flow,
               sim->flows[row->flow].failures);
    if (state->tries++ == 0)
        count_start(sim, row);
}

static void check_slots(struct sim *sim, const struct sim_slot *slot)
{
    const struct scheduler_settings *settings = &sim->world->settings;
    const struct destination_state *destination = &sim->destinations[slot->destination];
    uint32_t quarter = settings->slots / 4 > 0 ? settings->slots / 4 : 1;

    if (sim->busy > settings->slots)
        broken(sim, PROMISE_SLOTS, "%u slots are busy", sim->busy);
    if (settings->is_relay)
        return;
    if (sim->untrusted > quarter)
        broken(sim, PROMISE_SLOTS, "%u slots are at destinations without a success", sim->untrusted);
    if (destination->slots > settings->destination_slots ||
        destination->slots > settings->destination_slots_first + destination->answers)
        broken(sim, PROMISE_SLOTS, "%u slots are at one destination", destination->slots);
}

static bool is_blackhole(const struct sim *sim, const struct sim_slot *slot)
{
    return !sim->world->settings.is_relay && row_at(sim, slot->numbers[0])->behaviour == BEHAVIOUR_BLACKHOLE;
}

static void start_session(struct sim *sim, const struct scheduler_start *first)
{
    struct sim_slot *slot = &sim->slots[first->slot];
    struct scheduler_start start = *first;

    if (slot->is_busy)
        broken(sim, PROMISE_ONCE, "slot %u is started twice", first->slot);
    *slot = (struct sim_slot){
        .destination = row_at(sim, start.row)->destination, .started_ms = sim->now_ms, .is_busy = true};
    sim->busy++;
    sim->destinations[slot->destination].slots++;
    sim->untrusted += !sim->destinations[slot->destination].is_trusted;
    check_slots(sim, slot);
    do {
        begin_delivery(sim, &start);
        slot->numbers[slot->count++] = start.row;
    } while (slot->count < sim->world->batch_max &&
             scheduler_next_along(sim->scheduler, first->slot, &start));
    push(sim, is_blackhole(sim, slot) ? sim->world->limits.connect_ms : CONNECT_MS, EVENT_CONNECT,
         first->slot);
}

static void start_all(struct sim *sim)
{
    struct scheduler_start start;

    while (scheduler_next_lookup(sim->scheduler, &start))
        start_lookup(sim, &start);
    while (scheduler_next(sim->scheduler, &start))
        start_session(sim, &start);
}

/* ---- what becomes of them --------------------------------------------------------------------------------- */

static void release(struct sim *sim, uint32_t index)
{
    struct sim_slot *slot = &sim->slots[index];
    struct destination_state *destination = &sim->destinations[slot->destination];

    if (sim->now_ms - slot->started_ms > sim->world->limits.session_ms || sim->now_ms > sim->end_ms)
        broken(sim, PROMISE_LIMITS, "a session ends after %.1f s",
               (double)(sim->now_ms - slot->started_ms) / 1000);
    slot->is_busy = false;
    sim->busy--;
    destination->slots--;
    sim->untrusted -= !destination->is_trusted;
    scheduler_release(sim->scheduler, index);
}

static void give_back(struct sim *sim, uint32_t number)
{
    struct row_state *state = state_at(sim, number);

    if (--state->tries == 0)
        uncount_start(sim, row_at(sim, number));
    state->status = ROW_DUE;
    scheduler_result(sim->scheduler, number, SCHEDULER_UNTRIED);
}

static void fail_row(struct sim *sim, uint32_t number)
{
    uint32_t row = sim->row_of[number];

    sim->failed_flows += sim->flows[sim->world->rows[row].flow].failures++ == 0;
    scheduler_result(sim->scheduler, number, SCHEDULER_FAILED);
    put_off(sim, row);
}

/* The rest of a session is not tried. */
static void cut_session(struct sim *sim, uint32_t index)
{
    struct sim_slot *slot = &sim->slots[index];

    while (slot->at < slot->count)
        give_back(sim, slot->numbers[slot->at++]);
    release(sim, index);
}

static void accept_row(struct sim *sim, uint32_t number)
{
    const struct sim_row *row = row_at(sim, number);
    struct destination_state *destination = &sim->destinations[row->destination];

    finish(sim, sim->row_of[number], ROW_DELIVERED);
    destination->accepts++;
    destination->answers++;
    sim->flows[row->flow].failures = 0;
    if (!destination->is_trusted)
        sim->untrusted -= destination->slots;
    destination->is_trusted = true;
    destination->is_known = true;
    scheduler_result(sim->scheduler, number, SCHEDULER_ACCEPTED);
}

/* Does the row at hand get no answer? */
static bool hangs(const struct sim *sim, const struct sim_slot *slot)
{
    const struct sim_row *row = row_at(sim, slot->numbers[slot->at]);

    return row->behaviour == BEHAVIOUR_DRIP || (row->behaviour == BEHAVIOUR_TURNCOAT &&
                                                sim->destinations[row->destination].accepts >=
                                                    sim->world->destinations[row->destination].will_accept);
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Begin with the row at hand; end the session if there is none or little time. */
static void go_on(struct sim *sim, uint32_t index)
{
    struct sim_slot *slot = &sim->slots[index];
    int64_t left_ms = slot->started_ms + sim->world->limits.session_ms - sim->now_ms;

    if (slot->at == slot->count || (slot->at > 0 && left_ms < QUIET_MS))
        cut_session(sim, index);
    else if (hangs(sim, slot))
        push(sim, smaller(left_ms, sim->world->limits.delivery_ms), EVENT_SILENCE, index);
    else
        push(sim, row_at(sim, slot->numbers[slot->at])->service_ms, EVENT_ANSWER, index);
}

/* The session breaks at the row at hand. */
static void break_session(struct sim *sim, uint32_t index)
{
    struct sim_slot *slot = &sim->slots[index];

    fail_row(sim, slot->numbers[slot->at++]);
    cut_session(sim, index);
}

static void take_answer(struct sim *sim, uint32_t index)
{
    struct sim_slot *slot = &sim->slots[index];
    uint32_t number = slot->numbers[slot->at++];

    if (row_at(sim, number)->behaviour == BEHAVIOUR_ERROR)
        fail_row(sim, number);
    else
        accept_row(sim, number);
    go_on(sim, index);
}

static void take_lookup(struct sim *sim, uint32_t number)
{
    enum behaviour behaviour = row_at(sim, number)->behaviour;

    sim->lookups--;
    if (behaviour == BEHAVIOUR_NO_NAME || behaviour == BEHAVIOUR_DEAD_NAME) {
        fail_row(sim, number);
        return;
    }
    state_at(sim, number)->status = ROW_DUE;
    scheduler_resolved(sim->scheduler, number);
}

static void take_connection(struct sim *sim, uint32_t index)
{
    if (sim->world->is_relay_down)
        cut_session(sim, index);
    else if (is_blackhole(sim, &sim->slots[index]))
        break_session(sim, index);
    else
        go_on(sim, index);
}

static void take_event(struct sim *sim, struct event *at)
{
    struct event event = *at;

    *at = sim->events[--sim->event_count];
    switch (event.kind) {
    case EVENT_LOOKUP:
        take_lookup(sim, event.index);
        break;
    case EVENT_CONNECT:
        take_connection(sim, event.index);
        break;
    case EVENT_ANSWER:
        take_answer(sim, event.index);
        break;
    case EVENT_SILENCE:
        break_session(sim, event.index);
        break;
    }
}

/* The run's time is up. */
static void end_all(struct sim *sim)
{
    while (sim->event_count > 0) {
        struct event event = sim->events[--sim->event_count];

        if (event.kind != EVENT_LOOKUP) {
            break_session(sim, event.index);
            continue;
        }
        sim->lookups--;
        fail_row(sim, event.index);
    }
}

static void take_leavers(struct sim *sim)
{
    struct scheduler_leaver leaver;

    while (scheduler_next_leaver(sim->scheduler, &leaver)) {
        if (state_at(sim, leaver.row)->status != ROW_DUE || leaver.id != (int64_t)sim->row_of[leaver.row] + 1)
            broken(sim, PROMISE_ONCE, "row %" PRId64 " leaves with status %d", leaver.id,
                   (int)state_at(sim, leaver.row)->status);
        take_disposition(sim, sim->row_of[leaver.row], leaver.disposition);
    }
}

/* ---- a run ------------------------------------------------------------------------------------------------ */

/* All of the program's allocations pass here (the linker's --wrap). */
static size_t allocated_bytes;

void *__real_malloc(size_t size);               // NOLINT
void *__real_calloc(size_t count, size_t size); // NOLINT
void *__wrap_malloc(size_t size);               // NOLINT
void *__wrap_calloc(size_t count, size_t size); // NOLINT

void *__wrap_malloc(size_t size) // NOLINT
{
    allocated_bytes += size;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size) // NOLINT
{
    allocated_bytes += count * size;
    return __real_calloc(count, size);
}

/* Is anything left that this run can do? */
static bool has_work(const struct sim *sim, int64_t stop_ms)
{
    if (!scheduler_is_empty(sim->scheduler))
        return true;
    for (uint32_t i = 0; i < sim->world->row_count; i++)
        if (sim->states[i].status == ROW_DUE && sim->states[i].next_ms < stop_ms)
            return scheduler_wake_ms(sim->scheduler) != INT64_MAX;
    return false;
}

static void advance(struct sim *sim)
{
    struct event *event = first_event(sim);
    int64_t next_ms = scheduler_wake_ms(sim->scheduler);

    if (event != NULL)
        next_ms = smaller(smaller(next_ms, event->at_ms), sim->end_ms);
    if (next_ms > sim->now_ms)
        sim->now_ms = next_ms;
    scheduler_tick(sim->scheduler, sim->now_ms, BEGIN_S + sim->now_ms / 1000);
    while ((event = first_event(sim)) != NULL && event->at_ms <= sim->now_ms)
        take_event(sim, event);
    if (sim->now_ms >= sim->end_ms)
        end_all(sim);
}

static void deliver(struct sim *sim, int64_t stop_ms)
{
    do {
        for (int is_known = 0; is_known < 2; is_known++)
            while (scheduler_wants_page(sim->scheduler, is_known != 0))
                read_page(sim, is_known != 0);
        start_all(sim);
        take_leavers(sim);
        if (!scheduler_is_empty(sim->scheduler) || has_work(sim, stop_ms))
            advance(sim);
    } while (has_work(sim, stop_ms));
}

static void run_once(struct sim *sim, int64_t begin_ms, int64_t run_ms)
{
    struct scheduler_settings settings = sim->world->settings;
    size_t bytes = allocated_bytes;
    struct err err;

    sim->now_ms = begin_ms;
    sim->begin_ms = begin_ms;
    sim->failed_flows = 0;
    settings.stop_at_ms = begin_ms + run_ms;
    sim->end_ms = settings.stop_at_ms + settings.delivery_ms;
    if (scheduler_new(&settings, &sim->scheduler, &err) != ST_OK) {
        (void)printf("Bail out! %s\n", err.text);
        exit(1);
    }
    if (allocated_bytes - bytes > sim->figures->bytes)
        sim->figures->bytes = allocated_bytes - bytes;
    bytes = allocated_bytes;
    for (uint32_t i = 0; i < sim->world->destination_count; i++) {
        sim->destinations[i].is_trusted = sim->destinations[i].is_known;
        sim->destinations[i].answers = 0;
    }
    for (uint32_t i = 0; i < sim->world->flow_count; i++)
        sim->flows[i].failures = 0;
    scheduler_tick(sim->scheduler, sim->now_ms, BEGIN_S + sim->now_ms / 1000);
    mark_known(sim);
    expire_old(sim);
    deliver(sim, settings.stop_at_ms);
    expire_old(sim);
    if (allocated_bytes != bytes)
        broken(sim, PROMISE_MEMORY, "memory was allocated during the run");
    scheduler_free(&sim->scheduler);
}

static bool is_finished(const struct sim *sim)
{
    for (uint32_t i = 0; i < sim->world->row_count; i++)
        if (sim->states[i].status == ROW_DUE)
            return false;
    return true;
}

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count + 1, size);

    if (memory == NULL) {
        (void)printf("Bail out! out of memory\n");
        exit(1);
    }
    return memory;
}

static void add_row(struct sim *sim, uint32_t index)
{
    const struct sim_row *row = &sim->world->rows[index];
    struct row_state *state = &sim->states[index];

    state->next_ms = row->due_ms;
    state->turn = row->turn;
    if (sim->is_alone && !row->is_healthy)
        state->status = ROW_LEFT_OUT;
    else
        list_row(sim, index);
}

static void sim_open(struct sim *sim, const struct world *world, uint64_t seed, bool is_alone,
                     struct figures *figures)
{
    *sim =
        (struct sim){.world = world, .is_alone = is_alone, .seed = seed, .random = seed, .figures = figures};
    sim->is_hopeless = world->is_relay_down || world_allowance_ms(world, false) > DELIVERY_MS_OF_A_DAY / 2;
    for (int half = 0; half < 2; half++)
        sim->due[half].entries = allocate(world->row_count, sizeof(struct due_entry));
    sim->states = allocate(world->row_count, sizeof *sim->states);
    sim->destinations = allocate(world->destination_count, sizeof *sim->destinations);
    sim->flows = allocate(world->flow_count, sizeof *sim->flows);
    sim->row_of = allocate((size_t)world->settings.window * 2, sizeof *sim->row_of);
    sim->page = allocate((size_t)SCHEDULER_PAGE_WINDOWS * world->settings.window, sizeof *sim->page);
    sim->slots = allocate(world->settings.slots, sizeof *sim->slots);
    sim->events = allocate(EVENTS_MAX, sizeof *sim->events);
    for (uint32_t i = 0; i < world->destination_count; i++)
        sim->destinations[i].is_known = world->destinations[i].is_known;
    for (uint32_t i = 0; i < world->row_count; i++)
        add_row(sim, i);
}

static void sim_close(struct sim *sim)
{
    free(sim->states);
    free(sim->destinations);
    free(sim->flows);
    free(sim->row_of);
    free(sim->page);
    free(sim->due[0].entries);
    free(sim->due[1].entries);
    free(sim->slots);
    free(sim->events);
}

static void run_all(struct sim *sim)
{
    for (int64_t i = 0; i < RUNS && !is_finished(sim); i++)
        run_once(sim, i * PERIOD_MS, i == 0 ? FIRST_RUN_MS : RUN_MS);
    for (uint32_t i = 0; i < sim->world->row_count; i++)
        if (sim->states[i].status == ROW_DUE)
            broken(sim, PROMISE_AGE, "row %u is still due", i);
}

/* ---- the bound -------------------------------------------------------------------------------------------- */

/* The longest wait of its healthy rows. */
static int64_t *waits_of(const struct sim *sim)
{
    int64_t *waits = allocate(sim->world->destination_count, sizeof *waits);

    for (uint32_t i = 0; i < sim->world->row_count; i++) {
        const struct sim_row *row = &sim->world->rows[i];
        int64_t wait_ms = sim->states[i].done_ms - row->due_ms;

        if (row->is_healthy && wait_ms > waits[row->destination])
            waits[row->destination] = wait_ms;
    }
    return waits;
}

static void check_destination(struct sim *mixed, uint32_t destination, int64_t alone_ms, int64_t mixed_ms)
{
    const struct world *world = mixed->world;
    struct figures *figures = mixed->figures;
    int64_t allowed_ms = world_allowance_ms(world, world->destinations[destination].is_known);
    int64_t bound_ms = alone_ms * SAFE_PERCENT / 100 + allowed_ms;
    bool is_strict = allowed_ms <= world->limits.session_ms;
    double share = (double)mixed_ms / (double)bound_ms;
    double *worst = is_strict ? &figures->worst_strict : &figures->worst_general;

    if (bound_ms >= CHECKED_MS) {
        figures->unchecked++;
        return;
    }
    figures->strict += is_strict;
    figures->general += !is_strict;
    if (share > *worst)
        *worst = share;
    if (mixed_ms > bound_ms)
        broken(mixed, PROMISE_HEALTHY, "destination %u took %.1f s, alone %.1f s, bound %.1f s", destination,
               (double)mixed_ms / 1000, (double)alone_ms / 1000, (double)bound_ms / 1000);
}

/*
 * An owner's destinations are served in turn, in an order that the others' rows change.  So where an owner has several,
 * the time alone is that of all.
 */
static void join_destinations(const struct world *world, int64_t *alone_ms)
{
    uint32_t *first = allocate(world->owner_count, sizeof *first); /* destination by owner, plus 1 */
    int64_t all_ms = 0;

    for (uint32_t i = 0; i < world->destination_count; i++)
        all_ms = alone_ms[i] > all_ms ? alone_ms[i] : all_ms;
    for (uint32_t i = 0; i < world->row_count; i++) {
        const struct sim_row *row = &world->rows[i];

        if (first[row->owner] == 0)
            first[row->owner] = row->destination + 1;
        if (first[row->owner] == row->destination + 1)
            continue;
        for (int k = 0; k < 2; k++) {
            uint32_t destination = k == 0 ? row->destination : first[row->owner] - 1;

            if (alone_ms[destination] > 0)
                alone_ms[destination] = all_ms;
        }
    }
    free(first);
}

/* An owner's rows to a new destination, beyond its share of a page, may wait for the next run, which knows it. */
static void leave_out_heavy(const struct world *world, int64_t *alone_ms, struct figures *figures)
{
    for (uint32_t i = 0; i < world->row_count; i++) {
        const struct sim_row *row = &world->rows[i];

        if (row->turn < SHARE_OF_PAGE || world->destinations[row->destination].is_known ||
            alone_ms[row->destination] == 0)
            continue;
        alone_ms[row->destination] = 0;
        figures->unchecked++;
    }
}

static void check_bound(const struct sim *alone, struct sim *mixed)
{
    int64_t *alone_ms = waits_of(alone);
    int64_t *mixed_ms = waits_of(mixed);

    join_destinations(mixed->world, alone_ms);
    leave_out_heavy(mixed->world, alone_ms, mixed->figures);
    for (uint32_t i = 0; i < mixed->world->destination_count; i++)
        if (alone_ms[i] > 0 && !mixed->world->is_relay_down)
            check_destination(mixed, i, alone_ms[i], mixed_ms[i]);
    free(alone_ms);
    free(mixed_ms);
}

static void run_seed(uint64_t seed, struct figures *figures)
{
    struct world world;
    struct sim alone, mixed;

    world_open(&world, seed);
    sim_open(&alone, &world, seed, true, figures);
    sim_open(&mixed, &world, seed, false, figures);
    run_all(&alone);
    run_all(&mixed);
    check_bound(&alone, &mixed);
    figures->seeds++;
    figures->rows += world.row_count;
    figures->hostile_rows += world.hostile_rows;
    sim_close(&mixed);
    sim_close(&alone);
    world_close(&world);
}

static int report(const struct figures *figures)
{
    int failed = 0;

    (void)printf("# %" PRIu64 " seeds, %" PRIu64 " rows, %.1f %% of them hostile, %" PRIu64
                 " lookups and deliveries, %.2f rows read a row\n",
                 figures->seeds, figures->rows, 100.0 * (double)figures->hostile_rows / (double)figures->rows,
                 figures->starts, (double)figures->page_rows / (double)figures->rows);
    (void)printf(
        "# healthy destinations: %" PRIu64 " within 1.5 times alone and one limit (at most %.0f %% of it), "
        "%" PRIu64 " within more limits (at most %.0f %%), %" PRIu64 " whose bound is too long to tell\n",
        figures->strict, 100 * figures->worst_strict, figures->general, 100 * figures->worst_general,
        figures->unchecked);
    (void)printf("# oldest row: 24 h and %.0f s\n", (double)figures->oldest_ms / 1000);
    (void)printf("# memory: at most %zu KiB\n", figures->bytes / 1024);
    (void)printf("1..%d\n", (int)PROMISE_COUNT);
    for (int i = 0; i < PROMISE_COUNT; i++) {
        (void)printf("%sok %d - %s", figures->broken[i] > 0 ? "not " : "", i + 1, PROMISES[i]);
        if (figures->broken[i] > 0)
            (void)printf(" (broken %" PRIu64 " times)", figures->broken[i]);
        (void)printf("\n");
        failed += figures->broken[i] > 0;
    }
    return failed > 0 ? 1 : 0;
}

int main(int count, char **arguments)
{
    uint64_t seeds = count > 1 ? strtoull(arguments[1], NULL, 10) : 40;
    uint64_t first = count > 2 ? strtoull(arguments[2], NULL, 10) : 1;
    static struct figures figures;

    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    for (uint64_t seed = first; seed < first + seeds; seed++)
        run_seed(seed, &figures);
    return report(&figures);
}
