/* SPDX-License-Identifier: MIT */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "model/schedule.h"

#define ROWS_MAX     65536
#define RUN_MS       1800000 /* a run's time to start deliveries in */
#define LATE_MS      900000  /* rows that become due during the first run do so before */
#define SMALL_BUDGET 1000 /* more than honest owners need of one destination, less than strangers would use */
#define SHARED_MAX   20
#define HEAVY_ROWS   60

/* What kind of trouble a seed has. */
struct mix {
    uint32_t honest_owners;
    uint32_t shared;          /* healthy destinations of many owners */
    uint32_t known_percent;   /* of healthy destinations */
    uint32_t broken_percent;  /* of honest owners: with a destination that does not work */
    uint32_t hostile_percent; /* of all rows */
    uint32_t hostile_owners;
    uint32_t turncoats;         /* hostile owners whose destinations worked before */
    uint32_t failing_customers; /* of each shared destination; three times as many of known ones */
    enum behaviour only;        /* of hostile owners; BEHAVIOUR_COUNT: all kinds */
    uint32_t honest_due_ms;     /* when the rows of honest owners become due, after all others */
    uint32_t strangers;         /* hostile owners that aim at a healthy mailbox */
};

struct builder {
    struct world *world;
    uint64_t random;
    uint32_t owner;      /* the one that rows are added for */
    uint32_t owner_rows; /* it has so far */
    uint32_t honest_due_ms;
    int64_t used_ms; /* by what others accept of it */
    uint32_t stuck;  /* its rows that hang */
    int64_t known_cost_ms;
    int64_t new_cost_ms;
    int64_t lookup_cost_ms;
};

uint64_t sim_random(uint64_t *state)
{
    uint64_t mixed = *state += UINT64_C(0x9e3779b97f4a7c15);

    mixed = (mixed ^ mixed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ mixed >> 31;
}

/* A number from min to max. */
static uint32_t between(struct builder *builder, uint32_t min, uint32_t max)
{
    return min + (uint32_t)(sim_random(&builder->random) % (max - min + 1));
}

static bool is_in_percent(struct builder *builder, uint32_t percent)
{
    return between(builder, 0, 99) < percent;
}

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);

    if (memory == NULL) {
        (void)fprintf(stderr, "scheduler_sim: out of memory\n");
        exit(1);
    }
    return memory;
}

/* ---- rows ------------------------------------------------------------------------------------------------- */

static uint32_t add_destination(struct builder *builder, bool is_known)
{
    struct world *world = builder->world;

    world->destinations[world->destination_count] =
        (struct sim_destination){.is_known = is_known, .will_accept = between(builder, 0, 3)};
    return world->destination_count++;
}

/* What a try of a row can cost before anybody knows that it is slow. */
static int64_t cost_of(const struct world *world, const struct sim_row *row)
{
    switch (row->behaviour) {
    case BEHAVIOUR_DRIP:
    case BEHAVIOUR_TURNCOAT:
        return world->limits.delivery_ms;
    case BEHAVIOUR_BLACKHOLE:
        return world->limits.connect_ms;
    case BEHAVIOUR_SLOW:
        return row->service_ms;
    case BEHAVIOUR_HEALTHY:
    case BEHAVIOUR_ERROR:
    case BEHAVIOUR_NO_NAME:
    case BEHAVIOUR_DEAD_NAME:
    case BEHAVIOUR_COUNT:
        break;
    }
    return 0;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Before any row of an owner is stuck, each session of a relay may have got one. */
static void note_relay_cost(struct builder *builder, int64_t cost_ms)
{
    if (cost_ms > 0 && builder->stuck++ < builder->world->settings.slots)
        builder->used_ms += cost_ms;
}

static void note_cost(struct builder *builder, const struct sim_row *row, uint32_t number)
{
    const struct sim_destination *destination = &builder->world->destinations[row->destination];
    int64_t cost_ms = cost_of(builder->world, row);

    if (row->behaviour == BEHAVIOUR_DEAD_NAME)
        builder->lookup_cost_ms = builder->world->limits.lookup_ms;
    if (!row->is_healthy && (row->behaviour == BEHAVIOUR_HEALTHY ||
                             (row->behaviour == BEHAVIOUR_TURNCOAT && number < destination->will_accept)))
        builder->used_ms += row->service_ms;
    if (builder->world->settings.is_relay)
        note_relay_cost(builder, cost_ms);
    else if (destination->is_known)
        builder->known_cost_ms = larger(builder->known_cost_ms, cost_ms);
    else
        builder->new_cost_ms = larger(builder->new_cost_ms, cost_ms);
}

static void next_owner(struct builder *builder)
{
    builder->world->bad_known_ms += builder->known_cost_ms + builder->used_ms;
    builder->world->bad_new_ms += builder->new_cost_ms;
    builder->world->bad_lookups_ms += builder->lookup_cost_ms;
    builder->known_cost_ms = 0;
    builder->new_cost_ms = 0;
    builder->used_ms = 0;
    builder->lookup_cost_ms = 0;
    builder->owner = builder->world->owner_count++;
    builder->owner_rows = 0;
    builder->stuck = 0;
}

static uint32_t service_ms(struct builder *builder, enum behaviour behaviour)
{
    bool is_relay = builder->world->lane == LANE_RELAY;

    if (behaviour == BEHAVIOUR_SLOW)
        return between(builder, 5000, 30000);
    return is_relay ? between(builder, 5, 50) : between(builder, 50, 1500);
}

static int64_t due_ms(struct builder *builder, bool is_honest)
{
    uint32_t first_ms = is_honest ? builder->honest_due_ms : 0;

    return is_in_percent(builder, 10) ? between(builder, first_ms, LATE_MS) : first_ms;
}

/* A flow of count rows of the builder's owner. */
static void add_rows(struct builder *builder, uint32_t destination, enum behaviour behaviour, uint32_t count,
                     bool is_honest)
{
    struct world *world = builder->world;
    uint32_t flow = world->flow_count++;

    for (uint32_t i = 0; i < count && world->row_count < ROWS_MAX; i++) {
        struct sim_row *row = &world->rows[world->row_count++];

        *row = (struct sim_row){
            .owner = builder->owner,
            .destination = destination,
            .flow = flow,
            .behaviour = behaviour,
            .service_ms = service_ms(builder, behaviour),
            .due_ms = due_ms(builder, is_honest),
            .turn = schedule_turn(builder->owner_rows++),
            .place = (uint32_t)sim_random(&builder->random),
            .is_healthy = is_honest && behaviour == BEHAVIOUR_HEALTHY,
        };
        note_cost(builder, row, i);
        world->hostile_rows += !is_honest;
    }
}

/* ---- owners ----------------------------------------------------------------------------------------------- */

static enum behaviour broken_behaviour(struct builder *builder)
{
    static const enum behaviour ALL[] = {BEHAVIOUR_SLOW,      BEHAVIOUR_NO_NAME, BEHAVIOUR_DEAD_NAME,
                                         BEHAVIOUR_BLACKHOLE, BEHAVIOUR_ERROR,   BEHAVIOUR_DRIP};

    return ALL[between(builder, 0, ARRAY_COUNT(ALL) - 1)];
}

/* Destinations 0 .. shared - 1 are shared by many owners. */
static void add_honest(struct builder *builder, const struct mix *mix)
{
    next_owner(builder);
    if (is_in_percent(builder, mix->broken_percent)) {
        add_rows(builder, add_destination(builder, is_in_percent(builder, 50)), broken_behaviour(builder), 1,
                 true);
        return;
    }
    if (mix->shared > 0 && is_in_percent(builder, 60)) {
        add_rows(builder, between(builder, 0, mix->shared - 1), BEHAVIOUR_HEALTHY, 1, true);
        if (!is_in_percent(builder, 20))
            return;
    }
    add_rows(builder, add_destination(builder, is_in_percent(builder, mix->known_percent)), BEHAVIOUR_HEALTHY,
             is_in_percent(builder, 1) ? HEAVY_ROWS : between(builder, 1, 3), true);
}

/* Rows of one hostile owner, to many destinations of its own or to few. */
static void add_hostile(struct builder *builder, uint32_t rows, bool is_turncoat, enum behaviour only)
{
    static const enum behaviour NEW[] = {BEHAVIOUR_DRIP, BEHAVIOUR_DRIP, BEHAVIOUR_BLACKHOLE,
                                         BEHAVIOUR_DEAD_NAME, BEHAVIOUR_ERROR};
    enum behaviour behaviour =
        only != BEHAVIOUR_COUNT ? only : NEW[between(builder, 0, ARRAY_COUNT(NEW) - 1)];
    uint32_t per_flow = is_in_percent(builder, 50) ? 1 : between(builder, 1, 40);

    if (is_turncoat)
        behaviour = BEHAVIOUR_TURNCOAT;
    next_owner(builder);
    while (rows > 0) {
        uint32_t count = rows < per_flow ? rows : per_flow;

        add_rows(builder, add_destination(builder, is_turncoat), behaviour, count, false);
        rows -= count;
    }
}

/* Customers of shared destinations whose own paths fail: one that never answers, the others at once. */
static void add_failing_customers(struct builder *builder, const struct mix *mix)
{
    for (uint32_t destination = 0; destination < mix->shared; destination++) {
        bool is_known = builder->world->destinations[destination].is_known;

        for (uint32_t i = 0; i < mix->failing_customers * (is_known ? 3 : 1); i++) {
            next_owner(builder);
            add_rows(builder, destination, i == 0 ? BEHAVIOUR_DRIP : BEHAVIOUR_ERROR, between(builder, 1, 10),
                     false);
        }
    }
}

/* Owners that aim more reports at a healthy destination than its budget has room for. */
static void add_strangers(struct builder *builder, const struct mix *mix)
{
    uint32_t victim = add_destination(builder, is_in_percent(builder, mix->known_percent));

    for (uint32_t i = 0; i < mix->strangers; i++) {
        next_owner(builder);
        add_rows(builder, victim, BEHAVIOUR_HEALTHY, between(builder, 1, 150), false);
    }
    next_owner(builder);
    add_rows(builder, victim, BEHAVIOUR_HEALTHY, 1, true);
}

static void add_all_hostile(struct builder *builder, const struct mix *mix)
{
    uint32_t honest = builder->world->row_count;
    uint32_t rows = (uint32_t)((uint64_t)honest * mix->hostile_percent / (100 - mix->hostile_percent));
    uint32_t owners = mix->hostile_owners + mix->turncoats;

    for (uint32_t i = 0; i < owners && rows > 0; i++) {
        uint32_t share = rows / (owners - i) > 0 ? rows / (owners - i) : 1;

        add_hostile(builder, share, i < mix->turncoats, mix->only);
        rows -= share;
    }
}

/* ---- the world -------------------------------------------------------------------------------------------- */

static void choose_settings(struct builder *builder, uint64_t seed)
{
    static const struct {
        struct scheduler_settings settings;
        struct sim_limits limits;
        uint32_t batch_max;
    } LANES[LANE_COUNT] = {
        [LANE_HTTPS] = {{.slots = 32, .lookups = 256, .destination_slots_first = 2, .destination_slots = 8},
                        {10000, 10000, 60000, 60000},
                        1},
        [LANE_DIRECT] = {{.slots = 16, .lookups = 256, .destination_slots_first = 2, .destination_slots = 2},
                         {10000, 30000, 60000, 300000},
                         20},
        [LANE_RELAY] = {{.slots = 4, .destination_slots_first = 1, .destination_slots = 1, .is_relay = true},
                        {10000, 30000, 60000, 300000},
                        100},
    };
    struct world *world = builder->world;

    world->lane = (enum lane)(seed % LANE_COUNT);
    world->settings = LANES[world->lane].settings;
    world->limits = LANES[world->lane].limits;
    world->batch_max = LANES[world->lane].batch_max;
    world->settings.key = (struct hash_key){{seed, ~seed}};
    world->settings.window = 512u << between(builder, 0, 2);
    world->settings.delivery_ms = world->limits.delivery_ms;
    world->settings.max_per_owner_and_destination = 100;
    world->settings.max_per_destination = 10000;
}

/*
 * Four kinds of seeds: few hostile owners with most of the rows; many of them, none of whose destinations ever worked;
 * an ordinary day with broken destinations; shared destinations and victims.
 */
static struct mix choose_mix(struct builder *builder)
{
    static const enum behaviour ONLY[] = {BEHAVIOUR_DEAD_NAME, BEHAVIOUR_BLACKHOLE, BEHAVIOUR_DRIP};
    const struct scheduler_settings *settings = &builder->world->settings;
    bool is_relay = settings->is_relay;
    uint32_t quarter = settings->slots / 4;
    struct mix mix = {
        .honest_owners = between(builder, 10, between(builder, 0, 3) == 0 ? 2000 : 400),
        .shared = between(builder, 0, SHARED_MAX),
        .known_percent = between(builder, 0, 100),
        .only = BEHAVIOUR_COUNT,
        .honest_due_ms = is_in_percent(builder, 30) ? between(builder, 30000, 300000) : 0,
    };

    switch (between(builder, 0, 3)) {
    case 0:
        mix.hostile_percent = between(builder, 30, 90);
        mix.hostile_owners = between(builder, 0, quarter - 1) + is_relay;
        mix.turncoats = is_relay ? 0 : between(builder, 0, settings->slots - quarter - 1);
        break;
    case 1:
        mix.known_percent = 90;
        mix.hostile_percent = between(builder, 50, 90);
        mix.hostile_owners = is_relay ? between(builder, 1, 20) : between(builder, 10, 4000);
        if (is_in_percent(builder, 50))
            mix.only = ONLY[between(builder, 0, ARRAY_COUNT(ONLY) - 1)];
        mix.turncoats = is_relay ? 0 : between(builder, 0, 8);
        break;
    case 2:
        mix.broken_percent = between(builder, 1, 10);
        break;
    default:
        mix.broken_percent = between(builder, 0, 2);
        mix.failing_customers = between(builder, 1, 4);
        mix.strangers = between(builder, 1, 40);
        break;
    }
    return mix;
}

void world_open(struct world *world, uint64_t seed)
{
    struct builder builder = {.world = world, .random = seed};
    struct mix mix;

    *world = (struct world){.owner_count = 0};
    world->rows = allocate(ROWS_MAX, sizeof *world->rows);
    world->destinations = allocate(ROWS_MAX, sizeof *world->destinations);
    world->names = allocate(ROWS_MAX, sizeof *world->names);
    for (uint32_t i = 0; i < ROWS_MAX; i++)
        (void)snprintf(world->names[i].text, sizeof world->names[i].text, "%u", i);
    choose_settings(&builder, seed);
    mix = choose_mix(&builder);
    if (mix.honest_owners < SMALL_BUDGET / 2 && is_in_percent(&builder, 50))
        world->settings.max_per_destination = SMALL_BUDGET;
    world->is_relay_down = world->lane == LANE_RELAY && is_in_percent(&builder, 5);
    builder.honest_due_ms = mix.honest_due_ms;
    for (uint32_t i = 0; i < mix.shared; i++)
        (void)add_destination(&builder, is_in_percent(&builder, mix.known_percent));
    for (uint32_t i = 0; i < mix.honest_owners; i++)
        add_honest(&builder, &mix);
    add_all_hostile(&builder, &mix);
    add_failing_customers(&builder, &mix);
    if (mix.strangers > 0)
        add_strangers(&builder, &mix);
    next_owner(&builder);
}

int64_t world_allowance_ms(const struct world *world, bool is_known)
{
    const struct scheduler_settings *settings = &world->settings;
    int64_t limit_ms = world->limits.session_ms;
    int64_t quarter = settings->slots / 4 > 0 ? settings->slots / 4 : 1;
    int64_t others_ms = world->bad_known_ms / (settings->slots - quarter);
    int64_t lookups_ms = settings->is_relay || is_known ? 0 : world->bad_lookups_ms / settings->lookups;

    if (settings->is_relay)
        others_ms = 2 * (world->bad_known_ms + world->bad_new_ms) / settings->slots;
    else if (!is_known)
        others_ms += world->bad_new_ms / quarter;
    if (!is_known && !settings->is_relay && others_ms + lookups_ms > 0)
        others_ms += limit_ms;
    others_ms += lookups_ms + limit_ms - 1; /* a part counts as a whole */
    return limit_ms * (1 + others_ms / limit_ms);
}

void world_close(struct world *world)
{
    free(world->rows);
    free(world->names);
    free(world->destinations);
}
