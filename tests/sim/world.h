/* SPDX-License-Identifier: MIT */
/*
 * world.h - owners, destinations and rows for the scheduler's simulator, all from one seed.
 */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "deliver/scheduler.h"

/* What a row meets at its destination. */
enum behaviour {
    BEHAVIOUR_HEALTHY,   /* is accepted within a second or two */
    BEHAVIOUR_SLOW,      /* is accepted after up to half the limit */
    BEHAVIOUR_NO_NAME,   /* the lookup fails at once */
    BEHAVIOUR_DEAD_NAME, /* name servers never answer */
    BEHAVIOUR_BLACKHOLE, /* the connection never comes up */
    BEHAVIOUR_ERROR,     /* a quick "not now" */
    BEHAVIOUR_DRIP,      /* connects and never answers */
    BEHAVIOUR_TURNCOAT,  /* accepts a few, then drips */
    BEHAVIOUR_COUNT,
};

enum lane {
    LANE_HTTPS,
    LANE_DIRECT,
    LANE_RELAY,
    LANE_COUNT,
};

/* The transports' limits of time. */
struct sim_limits {
    int64_t lookup_ms;
    int64_t connect_ms;
    int64_t delivery_ms;
    int64_t session_ms; /* all deliveries of a session together */
};

struct sim_name {
    char text[12];
};

struct sim_destination {
    bool is_known;
    uint32_t will_accept; /* BEHAVIOUR_TURNCOAT */
};

struct sim_row {
    uint32_t owner;
    uint32_t destination;
    uint32_t flow;
    enum behaviour behaviour;
    uint32_t service_ms;
    int64_t due_ms; /* since the first run began */
    uint32_t turn;
    uint32_t place;
    bool is_healthy; /* an honest owner's to a healthy destination */
};

struct world {
    enum lane lane;
    struct scheduler_settings settings;
    struct sim_limits limits;
    uint32_t batch_max;
    struct sim_row *rows;
    uint32_t row_count;
    struct sim_destination *destinations;
    uint32_t destination_count;
    uint32_t owner_count;
    struct sim_name *names; /* of owners and of destinations, by number */
    uint32_t flow_count;
    uint32_t hostile_rows;
    bool is_relay_down;
    /* What the bound depends on: slot time of what is accepted of others, and of finding out about those that hang. */
    int64_t bad_known_ms;
    int64_t bad_new_ms;
    int64_t bad_lookups_ms;
};

/* A random number that depends on seed and its state. */
uint64_t sim_random(uint64_t *state);

/* Exits if memory runs out.  Free with world_close. */
void world_open(struct world *world, uint64_t seed);
void world_close(struct world *world);

/*
 * What a destination may take besides 1.5 times the time alone: one limit of a delivery, and one more each time that all
 * slots which it can use can be held by owners whose trouble nobody knew before.  With a relay that counts twice: what is
 * stuck in a session also holds the rows behind it.
 */
int64_t world_allowance_ms(const struct world *world, bool is_known);

#endif
