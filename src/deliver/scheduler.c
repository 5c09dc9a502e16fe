/* SPDX-License-Identifier: MIT */
/*
 * How it works.  The window is an array of rows.  Each has an owner, a destination and a flow, which are found in
 * arrays by the hashes of their names (take_place).  What to start is found by looking at every row (choose): the first
 * in the order of is_before among those that may start.  A few thousand rows take microseconds, so nothing is sorted.
 */
#include "deliver/scheduler.h"

#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "model/utc_day.h"

/* Owners, destinations and flows that there are places for, for each that can be in use: as many are remembered. */
#define PLACES 2

/* A hash tells the places among which a name has its own.  In practice they are never all in use. */
#define PLACES_TO_SEARCH 64

/* An owner that used so much slot time is worth remembering. */
#define TROUBLE_MS 10000

/* Owners whose slot time differs by less are alike. */
#define CHARGE_STEP_MS 1000

/* A session gets so many rows even if other sessions could share them. */
#define SESSION_ROWS 10

/* First member of owner, destination and flow. */
struct place {
    uint64_t hash;
    uint32_t uses;
    uint64_t rests_since; /* what nobody has used for longest is forgotten first */
};

struct owner {
    struct place place;
    uint32_t waiting;  /* rows */
    int64_t charge_ms; /* slot time used, and delivery_ms for each row under way */
};

enum resolution {
    RESOLUTION_NEEDED,
    RESOLUTION_RUNNING,
    RESOLUTION_DONE,
};

struct destination {
    struct place place;
    enum resolution resolution;
    bool is_trusted;
    bool is_closed;
    uint32_t waiting; /* rows */
    uint32_t limit;   /* slots that it may use */
    uint32_t used;
    uint32_t failed_owners; /* different ones since its last answer, */
    uint32_t answers;       /*   which was this one */
    uint64_t begun;         /* reports started today */
};

struct flow {
    struct place place;
    uint32_t failures;  /* in a row */
    uint32_t failed_at; /* after this answer of the destination: it is among failed_owners */
    uint64_t last_start;
    uint64_t begun;
};

enum row_state {
    ROW_FREE,
    ROW_WAITING,
    ROW_LOOKUP, /* its destination is being looked up for it */
    ROW_STARTED,
};

struct row {
    enum row_state state;
    bool is_known;
    bool is_fresh;   /* counts against the budgets, */
    bool is_counted; /*   and has been counted today */
    struct owner *owner;
    struct destination *destination;
    struct flow *flow;
    struct row *next; /* in its bucket */
    int64_t id;
    int64_t due_at_s;
    int64_t started_ms;
    uint64_t order; /* in which they were added */
    uint32_t slot;
};

struct slot {
    struct destination *destination; /* NULL: free */
    uint32_t rows;                   /* started in it */
    bool has_result;                 /* of any of them */
    int64_t last_ms;                 /* when the delivery under way began */
};

struct half {
    uint32_t count;
    uint32_t full_from; /* for a row of this rank there is no room, since the last change */
    bool is_cut;        /* rows of the page that is read now found no room */
    bool has_more;      /* rows are due that are not in the window */
    int64_t next_page_ms;
};

struct scheduler {
    struct scheduler_settings settings;
    int64_t now_ms, now_s;
    int32_t utc_day;
    bool is_stopped;
    bool has_leavers;         /* perhaps */
    uint32_t failed_sessions; /* in a row */
    uint32_t busy_slots, lookups;
    uint64_t order;
    uint32_t row_count, place_count;
    struct half halves[2]; /* [is_known] */
    struct row *rows;
    struct row **buckets; /* by id */
    struct owner *owners;
    struct destination *destinations;
    struct flow *flows;
    struct slot *slots;
};

bool scheduler_is_over(const struct scheduler *scheduler)
{
    return scheduler->is_stopped || scheduler->now_ms >= scheduler->settings.stop_at_ms;
}

/* SCHEDULER_ADDED if a row may wait and start, or else how it leaves. */
static enum scheduler_disposition fate_of(const struct scheduler *scheduler, const struct row *row)
{
    uint64_t limit = scheduler->settings.max_per_destination;

    if (scheduler->now_s - row->due_at_s >= SCHEDULER_EXPIRY_S)
        return SCHEDULER_EXPIRED;
    if (row->destination->is_closed || row->flow->failures >= SCHEDULER_FLOW_FAILURES)
        return SCHEDULER_CLOSED;
    if (scheduler_is_over(scheduler))
        return SCHEDULER_LEFT;
    if (!row->is_fresh || row->is_counted)
        return SCHEDULER_ADDED;
    if (row->flow->begun >= scheduler->settings.max_per_owner_and_destination)
        return SCHEDULER_OVER_OWNER;
    if (row->flow->begun > 0)
        limit -= limit / 4;
    return row->destination->begun >= limit ? SCHEDULER_OVER_DESTINATION : SCHEDULER_ADDED;
}

/* ---- owners, destinations, flows -------------------------------------------------------------------------- */

static uint64_t hash_of(const struct scheduler *scheduler, const void *bytes, size_t len)
{
    return hash_bytes(&scheduler->settings.key, bytes, len).words[0];
}

/* The entry with this name, zeroed if it is new; release it with drop_place.  NULL: all places are in use. */
static void *take_place(const struct scheduler *scheduler, void *array, size_t size, uint64_t hash)
{
    size_t sets = scheduler->place_count / PLACES_TO_SEARCH;
    unsigned char *at = (unsigned char *)array + hash % sets * PLACES_TO_SEARCH * size;
    struct place *best = NULL;

    for (size_t i = 0; i < PLACES_TO_SEARCH; i++, at += size) {
        struct place *place = (void *)at;

        if (place->hash == hash) {
            place->uses++;
            return place;
        }
        if (place->uses == 0 && (best == NULL || place->rests_since < best->rests_since))
            best = place;
    }
    if (best == NULL)
        return NULL;
    memset(best, 0, size);
    *best = (struct place){.hash = hash, .uses = 1};
    return best;
}

/* Entries with failures are forgotten last. */
static void drop_place(struct scheduler *scheduler, struct place *place, bool is_in_trouble)
{
    place->uses--;
    place->rests_since = ++scheduler->order + (is_in_trouble ? UINT64_MAX / 2 : 0);
}

static void let_go(struct scheduler *scheduler, const struct row *row)
{
    if (row->owner != NULL)
        drop_place(scheduler, &row->owner->place, row->owner->charge_ms >= TROUBLE_MS);
    if (row->destination != NULL)
        drop_place(scheduler, &row->destination->place, row->destination->failed_owners > 0);
    if (row->flow != NULL)
        drop_place(scheduler, &row->flow->place, row->flow->failures > 0);
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Find the row's owner, destination and flow, and use them until let_go.  False: there is no room for them. */
static bool hold(struct scheduler *scheduler, struct row *row, const struct scheduler_row *offered)
{
    const uint64_t names[2] = {hash_of(scheduler, offered->owner, strlen(offered->owner)),
                               hash_of(scheduler, offered->destination, strlen(offered->destination))};
    uint64_t name = hash_of(scheduler, names, sizeof names);

    row->owner = take_place(scheduler, scheduler->owners, sizeof *row->owner, names[0]);
    row->destination = take_place(scheduler, scheduler->destinations, sizeof *row->destination, names[1]);
    row->flow = take_place(scheduler, scheduler->flows, sizeof *row->flow, name);
    if (row->owner == NULL || row->destination == NULL || row->flow == NULL)
        return false;
    if (row->destination->limit == 0) {
        row->destination->limit = scheduler->settings.destination_slots_first;
        row->destination->answers = 1;
        row->destination->resolution = scheduler->settings.lookups > 0 ? RESOLUTION_NEEDED : RESOLUTION_DONE;
    }
    row->destination->is_trusted |= offered->is_known;
    row->destination->begun = larger(row->destination->begun, offered->destination_used);
    row->flow->begun = larger(row->flow->begun, offered->flow_used);
    return true;
}

/* ---- rows in ---------------------------------------------------------------------------------------------- */

static struct row **bucket_of(const struct scheduler *scheduler, int64_t id)
{
    return &scheduler->buckets[hash_of(scheduler, &id, sizeof id) % scheduler->row_count];
}

static bool is_present(const struct scheduler *scheduler, int64_t id)
{
    const struct row *row = *bucket_of(scheduler, id);

    while (row != NULL && row->id != id)
        row = row->next;
    return row != NULL;
}

static void set_state(struct scheduler *scheduler, struct row *row, enum row_state state)
{
    uint32_t change = (uint32_t)(state == ROW_WAITING) - (uint32_t)(row->state == ROW_WAITING);

    row->owner->waiting += change;
    row->destination->waiting += change;
    row->state = state;
    scheduler->halves[row->is_known].full_from = UINT32_MAX;
}

static void free_row(struct scheduler *scheduler, struct row *row)
{
    struct row **at = bucket_of(scheduler, row->id);

    while (*at != row)
        at = &(*at)->next;
    *at = row->next;
    scheduler->halves[row->is_known].count--;
    set_state(scheduler, row, ROW_FREE);
    let_go(scheduler, row);
}

/* How many rows its owner, or its destination if they are more, has waiting. */
static uint32_t rank_of(const struct row *row)
{
    return row->owner->waiting > row->destination->waiting ? row->owner->waiting : row->destination->waiting;
}

/* In a full half a waiting row of the highest rank makes room for one whose rank will be lower. */
static bool make_room(struct scheduler *scheduler, const struct row *for_row)
{
    struct half *half = &scheduler->halves[for_row->is_known];
    struct row *highest = NULL;

    if (half->count < scheduler->settings.window)
        return true;
    if (rank_of(for_row) >= half->full_from)
        return false;
    for (struct row *row = scheduler->rows; row < scheduler->rows + scheduler->row_count; row++)
        if (row->state == ROW_WAITING && row->is_known == for_row->is_known &&
            (highest == NULL || rank_of(row) > rank_of(highest) ||
             (rank_of(row) == rank_of(highest) && row->order > highest->order)))
            highest = row;
    half->full_from = highest != NULL ? rank_of(highest) - 1 : 0;
    if (rank_of(for_row) >= half->full_from)
        return false;
    free_row(scheduler, highest);
    return true;
}

static uint32_t put_in(struct scheduler *scheduler, const struct row *row)
{
    struct row **bucket = bucket_of(scheduler, row->id);
    uint32_t number = 0;

    while (scheduler->rows[number].state != ROW_FREE)
        number++;
    scheduler->rows[number] = *row;
    set_state(scheduler, &scheduler->rows[number], ROW_WAITING);
    scheduler->rows[number].next = *bucket;
    *bucket = &scheduler->rows[number];
    scheduler->halves[row->is_known].count++;
    return number;
}

enum scheduler_disposition scheduler_add(struct scheduler *scheduler, const struct scheduler_row *offered,
                                         uint32_t *row_out)
{
    enum scheduler_disposition disposition = SCHEDULER_LATER;
    struct row row = {.id = offered->id,
                      .due_at_s = offered->due_at_s,
                      .order = ++scheduler->order,
                      .is_known = offered->is_known,
                      .is_fresh = !offered->was_tried};

    if (is_present(scheduler, row.id))
        return SCHEDULER_PRESENT;
    if (hold(scheduler, &row, offered))
        disposition = fate_of(scheduler, &row);
    if (disposition == SCHEDULER_ADDED && !make_room(scheduler, &row))
        disposition = SCHEDULER_LATER;
    if (disposition == SCHEDULER_ADDED)
        *row_out = put_in(scheduler, &row);
    else
        let_go(scheduler, &row);
    scheduler->halves[row.is_known].is_cut |= disposition == SCHEDULER_LATER;
    return disposition;
}

bool scheduler_wants_page(const struct scheduler *scheduler, bool is_known)
{
    const struct half *half = &scheduler->halves[is_known];

    return !scheduler_is_over(scheduler) &&
           (scheduler->now_ms >= half->next_page_ms ||
            (half->has_more && half->count <= scheduler->settings.window / 2));
}

void scheduler_end_page(struct scheduler *scheduler, bool is_known, bool is_last)
{
    struct half *half = &scheduler->halves[is_known];

    half->has_more = !is_last || half->is_cut;
    half->is_cut = false;
    half->next_page_ms = scheduler->now_ms + SCHEDULER_PAGE_MS;
}

int64_t scheduler_wake_ms(const struct scheduler *scheduler)
{
    int64_t wake_ms = scheduler->settings.stop_at_ms;

    if (scheduler_is_over(scheduler))
        return INT64_MAX;
    for (size_t i = 0; i < ARRAY_COUNT(scheduler->halves); i++)
        if (scheduler->halves[i].next_page_ms < wake_ms)
            wake_ms = scheduler->halves[i].next_page_ms;
    return wake_ms;
}

/* ---- starts ----------------------------------------------------------------------------------------------- */

/* What a row is chosen for: a lookup, to go along in a session (slot), or a new session. */
struct choice {
    bool is_lookup;
    const struct slot *slot;
    bool is_quarter_full; /* by destinations that are not trusted */
};

static bool may_start(const struct scheduler *scheduler, const struct row *row, const struct choice *choice)
{
    const struct destination *destination = row->destination;

    if (destination->resolution != (choice->is_lookup ? RESOLUTION_NEEDED : RESOLUTION_DONE))
        return false;
    if (choice->is_lookup || scheduler->settings.is_relay)
        return true;
    if (choice->slot != NULL)
        return choice->slot->destination == destination;
    return destination->used < destination->limit && (destination->is_trusted || !choice->is_quarter_full);
}

static uint32_t untrusted_slots(const struct row *row)
{
    return row->destination->is_trusted ? 0 : row->destination->used;
}

/* Rules 1 and 3. */
static bool is_before(const struct row *a, const struct row *b, bool is_lookup)
{
    if (is_lookup && a->destination->is_trusted != b->destination->is_trusted)
        return a->destination->is_trusted;
    if (a->owner->charge_ms / CHARGE_STEP_MS != b->owner->charge_ms / CHARGE_STEP_MS)
        return a->owner->charge_ms < b->owner->charge_ms;
    if (untrusted_slots(a) != untrusted_slots(b))
        return untrusted_slots(a) < untrusted_slots(b); /* each new destination once before any twice */
    if (a->owner->charge_ms != b->owner->charge_ms)
        return a->owner->charge_ms < b->owner->charge_ms;
    if (a->flow->last_start != b->flow->last_start)
        return a->flow->last_start < b->flow->last_start;
    return a->order < b->order;
}

/* NULL: there is none. */
static struct row *choose(const struct scheduler *scheduler, const struct choice *choice)
{
    struct row *first = NULL;

    for (struct row *row = scheduler->rows; row < scheduler->rows + scheduler->row_count; row++)
        if (row->state == ROW_WAITING && (first == NULL || is_before(row, first, choice->is_lookup)) &&
            may_start(scheduler, row, choice) && fate_of(scheduler, row) == SCHEDULER_ADDED)
            first = row;
    return first;
}

static void start(struct scheduler *scheduler, struct row *row, struct scheduler_start *start_out)
{
    row->started_ms = scheduler->now_ms;
    row->owner->charge_ms += scheduler->settings.delivery_ms;
    row->flow->last_start = ++scheduler->order;
    *start_out =
        (struct scheduler_start){.id = row->id,
                                 .row = (uint32_t)(row - scheduler->rows),
                                 .slot = row->slot,
                                 .destination = (uint32_t)(row->destination - scheduler->destinations)};
}

bool scheduler_next_lookup(struct scheduler *scheduler, struct scheduler_start *start_out)
{
    struct row *row = NULL;

    if (scheduler->lookups < scheduler->settings.lookups)
        row = choose(scheduler, &(struct choice){.is_lookup = true});
    if (row == NULL)
        return false;
    scheduler->lookups++;
    set_state(scheduler, row, ROW_LOOKUP);
    row->destination->resolution = RESOLUTION_RUNNING;
    start(scheduler, row, start_out);
    return true;
}

/* A report counts against the budgets when it is started for the first time. */
static void count_start(struct scheduler *scheduler, struct row *row)
{
    const struct scheduler_settings *settings = &scheduler->settings;

    if (!row->is_fresh || row->is_counted)
        return;
    row->is_counted = true;
    row->destination->begun++;
    row->flow->begun++;
    scheduler->has_leavers |=
        row->flow->begun >= settings->max_per_owner_and_destination ||
        row->destination->begun >= settings->max_per_destination - settings->max_per_destination / 4;
}

static void start_delivery(struct scheduler *scheduler, struct row *row, uint32_t slot,
                           struct scheduler_start *start_out)
{
    count_start(scheduler, row);
    set_state(scheduler, row, ROW_STARTED);
    row->slot = slot;
    scheduler->slots[slot].rows++;
    start(scheduler, row, start_out);
}

static bool is_quarter_full(const struct scheduler *scheduler)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < scheduler->settings.slots; i++)
        count += scheduler->slots[i].destination != NULL && !scheduler->slots[i].destination->is_trusted;
    return count > 0 && count >= scheduler->settings.slots / 4;
}

bool scheduler_next(struct scheduler *scheduler, struct scheduler_start *start_out)
{
    struct row *row = NULL;
    uint32_t slot = 0;

    if (scheduler->busy_slots < scheduler->settings.slots)
        row = choose(scheduler, &(struct choice){.is_quarter_full = is_quarter_full(scheduler)});
    if (row == NULL)
        return false;
    while (scheduler->slots[slot].destination != NULL)
        slot++;
    scheduler->slots[slot] = (struct slot){.destination = row->destination, .last_ms = scheduler->now_ms};
    scheduler->busy_slots++;
    row->destination->used++;
    row->destination->place.uses++;
    start_delivery(scheduler, row, slot, start_out);
    return true;
}

/* Rows are divided by the sessions that there may be, so that one that gets stuck does not hold all of them. */
static bool has_its_share(const struct scheduler *scheduler, const struct slot *slot)
{
    const struct scheduler_settings *settings = &scheduler->settings;
    uint32_t sessions = settings->is_relay ? settings->slots : settings->destination_slots;
    uint32_t rows = settings->is_relay ? scheduler->halves[0].count + scheduler->halves[1].count
                                       : slot->destination->waiting + slot->rows;

    return slot->rows >= SESSION_ROWS && slot->rows >= rows / sessions;
}

bool scheduler_next_along(struct scheduler *scheduler, uint32_t slot, struct scheduler_start *start_out)
{
    struct row *row = NULL;

    if (!has_its_share(scheduler, &scheduler->slots[slot]))
        row = choose(scheduler, &(struct choice){.slot = &scheduler->slots[slot]});
    if (row == NULL)
        return false;
    start_delivery(scheduler, row, slot, start_out);
    return true;
}

/* ---- what became of them ---------------------------------------------------------------------------------- */

static void note_answer(const struct scheduler *scheduler, const struct row *row)
{
    struct destination *destination = row->destination;

    row->flow->failures = 0;
    destination->answers++;
    destination->failed_owners = 0;
    destination->is_trusted = true;
    destination->limit += destination->limit < scheduler->settings.destination_slots;
}

static void note_failure(struct scheduler *scheduler, const struct row *row)
{
    struct destination *destination = row->destination;

    row->flow->failures++;
    destination->failed_owners += row->flow->failed_at != destination->answers;
    row->flow->failed_at = destination->answers;
    destination->is_closed |= destination->failed_owners >=
                              (destination->is_trusted ? SCHEDULER_FAILURES_TRUSTED : SCHEDULER_FAILURES);
    destination->limit -= destination->limit > scheduler->settings.destination_slots_first;
    scheduler->has_leavers = true;
}

/* Instead of delivery_ms, the owner is charged for what it used. */
static void settle(const struct scheduler *scheduler, const struct row *row, int64_t used_ms)
{
    row->owner->charge_ms += used_ms - scheduler->settings.delivery_ms;
}

static void end_lookup(struct scheduler *scheduler, const struct row *row, enum resolution resolution)
{
    scheduler->lookups--;
    row->destination->resolution = resolution;
    settle(scheduler, row, scheduler->now_ms - row->started_ms);
}

/* One delivery of a session is over and the next begins. */
static void end_delivery(const struct scheduler *scheduler, const struct row *row)
{
    struct slot *slot = &scheduler->slots[row->slot];

    settle(scheduler, row, scheduler->now_ms - slot->last_ms);
    slot->last_ms = scheduler->now_ms;
    slot->has_result = true;
}

/* It waits again, and is the next of its owner. */
static void put_back(struct scheduler *scheduler, struct row *row)
{
    row->flow->last_start = 0;
    set_state(scheduler, row, ROW_WAITING);
    scheduler->has_leavers = true;
}

void scheduler_resolved(struct scheduler *scheduler, uint32_t row)
{
    end_lookup(scheduler, &scheduler->rows[row], RESOLUTION_DONE);
    put_back(scheduler, &scheduler->rows[row]);
}

void scheduler_result(struct scheduler *scheduler, uint32_t number, enum scheduler_result result)
{
    struct row *row = &scheduler->rows[number];

    if (row->state == ROW_LOOKUP)
        end_lookup(scheduler, row, RESOLUTION_NEEDED);
    else if (result == SCHEDULER_UNTRIED || result == SCHEDULER_DROPPED)
        settle(scheduler, row, 0);
    else
        end_delivery(scheduler, row);
    if (result == SCHEDULER_UNTRIED) {
        put_back(scheduler, row);
        return;
    }
    if (result == SCHEDULER_FAILED)
        note_failure(scheduler, row);
    else if (result != SCHEDULER_DROPPED)
        note_answer(scheduler, row);
    free_row(scheduler, row);
}

void scheduler_release(struct scheduler *scheduler, uint32_t number)
{
    struct slot *slot = &scheduler->slots[number];

    scheduler->failed_sessions = slot->has_result ? 0 : scheduler->failed_sessions + 1;
    scheduler->is_stopped |= scheduler->failed_sessions >= SCHEDULER_SESSION_FAILURES;
    scheduler->has_leavers |= scheduler->is_stopped;
    scheduler->busy_slots--;
    slot->destination->used--;
    drop_place(scheduler, &slot->destination->place, slot->destination->failed_owners > 0);
    slot->destination = NULL;
}

/* ---- rows out --------------------------------------------------------------------------------------------- */

bool scheduler_next_leaver(struct scheduler *scheduler, struct scheduler_leaver *leaver_out)
{
    for (uint32_t i = 0; scheduler->has_leavers && i < scheduler->row_count; i++) {
        struct row *row = &scheduler->rows[i];
        enum scheduler_disposition disposition =
            row->state == ROW_WAITING ? fate_of(scheduler, row) : SCHEDULER_ADDED;

        if (disposition == SCHEDULER_ADDED)
            continue;
        *leaver_out = (struct scheduler_leaver){.id = row->id, .row = i, .disposition = disposition};
        free_row(scheduler, row);
        return true;
    }
    scheduler->has_leavers = false;
    return false;
}

bool scheduler_is_empty(const struct scheduler *scheduler)
{
    return scheduler->halves[0].count == 0 && scheduler->halves[1].count == 0 && scheduler->busy_slots == 0;
}

static void begin_day(struct scheduler *scheduler, int32_t utc_day)
{
    scheduler->utc_day = utc_day;
    for (uint32_t i = 0; i < scheduler->place_count; i++)
        scheduler->flows[i].begun = scheduler->destinations[i].begun = 0;
    for (uint32_t i = 0; i < scheduler->row_count; i++)
        scheduler->rows[i].is_counted = false;
}

void scheduler_tick(struct scheduler *scheduler, int64_t now_ms, int64_t now_s)
{
    if (utc_day_of(now_s) != scheduler->utc_day)
        begin_day(scheduler, utc_day_of(now_s));
    scheduler->has_leavers |= now_s != scheduler->now_s || now_ms >= scheduler->settings.stop_at_ms;
    scheduler->now_ms = now_ms;
    scheduler->now_s = now_s;
}

/* ---- setting up ------------------------------------------------------------------------------------------- */

uint32_t scheduler_destinations_max(const struct scheduler_settings *settings)
{
    uint32_t in_use_max = 2 * settings->window + settings->slots;

    return (in_use_max * PLACES / PLACES_TO_SEARCH + 1) * PLACES_TO_SEARCH;
}

static bool allocate(struct scheduler *scheduler)
{
    scheduler->row_count = 2 * scheduler->settings.window;
    scheduler->place_count = scheduler_destinations_max(&scheduler->settings);
    scheduler->rows = calloc(scheduler->row_count, sizeof *scheduler->rows);
    scheduler->buckets = calloc(scheduler->row_count, sizeof(struct row *));
    scheduler->owners = calloc(scheduler->place_count, sizeof *scheduler->owners);
    scheduler->destinations = calloc(scheduler->place_count, sizeof *scheduler->destinations);
    scheduler->flows = calloc(scheduler->place_count, sizeof *scheduler->flows);
    scheduler->slots = calloc(scheduler->settings.slots, sizeof *scheduler->slots);
    return scheduler->rows != NULL && scheduler->buckets != NULL && scheduler->owners != NULL &&
           scheduler->destinations != NULL && scheduler->flows != NULL && scheduler->slots != NULL;
}

enum status scheduler_new(const struct scheduler_settings *settings, struct scheduler **scheduler_out,
                          struct err *err)
{
    struct scheduler *scheduler = calloc(1, sizeof *scheduler);

    if (scheduler == NULL)
        return err_set(err, ST_NOMEM, "scheduler: out of memory");
    scheduler->settings = *settings;
    if (settings->max_per_destination == 0)
        scheduler->settings.max_per_destination = UINT64_MAX;
    if (settings->max_per_owner_and_destination == 0)
        scheduler->settings.max_per_owner_and_destination = UINT64_MAX;
    if (!allocate(scheduler)) {
        scheduler_free(&scheduler);
        return err_set(err, ST_NOMEM, "scheduler: out of memory");
    }
    *scheduler_out = scheduler;
    return ST_OK;
}

void scheduler_free(struct scheduler **scheduler)
{
    if (*scheduler == NULL)
        return;
    free((*scheduler)->rows);
    free((void *)(*scheduler)->buckets);
    free((*scheduler)->owners);
    free((*scheduler)->destinations);
    free((*scheduler)->flows);
    free((*scheduler)->slots);
    free(*scheduler);
    *scheduler = NULL;
}
