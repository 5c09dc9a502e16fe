/* SPDX-License-Identifier: MIT */
/*
 * How it works.  Relay: one route, made when the settings are read.  Direct: for each mailbox domain a search asks for
 * its MX records (take_mail_hosts), then for the addresses of all its mail hosts at once (take_addresses).  With the
 * last answer the addresses that the policy allows become the domain's route (finish).
 */
#include "mail_route.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/named_file.h"
#include "base/cursor.h"
#include "deliver/address_policy.h"

#define RELAY_PORT     25
#define MX_HOSTS_MAX   5 /* mail hosts of a domain whose addresses are asked for */
#define HOST_ADDRESSES 4 /* addresses of one of them */
#define ARENA_MAX      65536
#define NAME_SIZE      256

/* A route of direct mode and the texts that its targets point to. */
struct direct_route {
    struct mail_route route;
    char hosts[MAIL_TARGETS_MAX][NAME_SIZE];
    char addresses[MAIL_TARGETS_MAX][ADDRESS_TEXT_SIZE];
};

struct mail_routes {
    struct arena arena; /* the relay's texts */
    bool is_direct;
    struct mail_route relay;
    struct smtp_target base; /* of every target in direct mode */
    struct address_policy address_policy;
    struct direct_route *direct; /* by destination number */
};

/* One mailbox domain while the DNS is asked; it frees itself with the last answer. */
struct route_search {
    struct mail_routes *routes;
    struct lane *lane;
    uint64_t number; /* of lane->lookups */
    uint32_t row;
    uint32_t destination;
    struct {
        char name[NAME_SIZE];
        struct address addresses[HOST_ADDRESSES];
        size_t address_count;
        bool is_temporary;
    } hosts[MX_HOSTS_MAX];
    size_t host_count;
    size_t open_questions;
};

/* ---- what both modes share ---- */

/* This host's name in EHLO. */
static const char *ehlo_name(struct mail_routes *routes, const struct config *config)
{
    char name[HOST_NAME_MAX + 1] = "";

    if (*config->ehlo_name != '\0')
        return config->ehlo_name;
    if (gethostname(name, sizeof name - 1) != 0 || *name == '\0')
        return "localhost";
    return arena_copy_text(&routes->arena, name, strlen(name));
}

/* ---- relay ---- */

/* "host" or "host:port", as the options table has checked. */
static enum status open_relay(struct mail_routes *routes, const struct config *config, struct err *err)
{
    struct smtp_target *target = &routes->relay.targets[0];
    enum status status = ST_OK;
    struct cursor cursor;
    struct span host;

    routes->relay.target_count = 1;
    cursor_init(&cursor, config->relay, strlen(config->relay));
    host = cursor_take_until(&cursor, ":");
    *target = (struct smtp_target){
        .host = arena_copy_text(&routes->arena, host.at, host.len),
        .port = RELAY_PORT,
        .address = "",
        .ehlo_name = ehlo_name(routes, config),
        .tls = (enum smtp_tls)config->relay_tls,
        .ca_file = config->relay_ca_file,
        .user = "",
        .password = "",
    };
    if (cursor_skip_word(&cursor, ":"))
        target->port = (uint16_t)cursor_take_number(&cursor, UINT16_MAX);
    if (*config->relay_auth != '\0')
        status =
            named_file_read_secret(config->relay_auth, &routes->arena, &target->user, &target->password, err);
    if (status == ST_OK && (target->host == NULL || target->ehlo_name == NULL))
        status = err_set(err, ST_NOMEM, "relay: out of memory");
    return status;
}

/* ---- direct: the end of a search ---- */

static void fail(struct route_search *search, enum delivery_result_kind kind, enum delivery_stage stage,
                 const char *words)
{
    struct delivery_result result;

    delivery_result_set(&result, kind, stage, 0, "%s: %s", search->lane->items[search->row]->row.host, words);
    lane_result(search->lane, search->row, &result);
}

/* One mail host's allowed addresses become targets; true if one was not allowed. */
static bool add_targets(struct route_search *search, size_t at, struct direct_route *direct)
{
    struct mail_routes *routes = search->routes;
    bool is_refused = false;

    for (size_t k = 0; k < search->hosts[at].address_count && direct->route.target_count < MAIL_TARGETS_MAX;
         k++) {
        const struct address *address = &search->hosts[at].addresses[k];
        size_t number = direct->route.target_count;
        struct smtp_target *target = &direct->route.targets[number];

        if (!address_policy_allows(&routes->address_policy, address, routes->base.port)) {
            is_refused = true;
            continue;
        }
        memcpy(direct->hosts[number], search->hosts[at].name, NAME_SIZE);
        address_format(address, direct->addresses[number]);
        *target = routes->base;
        target->host = direct->hosts[number];
        target->address = direct->addresses[number];
        direct->route.target_count++;
    }
    return is_refused;
}

static void make_route(struct route_search *search)
{
    struct direct_route *direct = &search->routes->direct[search->destination];
    bool is_refused = false, is_temporary = false;

    direct->route.target_count = 0;
    for (size_t i = 0; i < search->host_count; i++) {
        is_refused = add_targets(search, i, direct) || is_refused;
        is_temporary = is_temporary || search->hosts[i].is_temporary;
    }
    if (direct->route.target_count > 0)
        lane_resolved(search->lane, search->row);
    else if (is_temporary)
        fail(search, DELIVERY_RESULT_TRY_LATER, DELIVERY_AT_RESOLVE,
             "the addresses of its mail hosts cannot be looked up now");
    else if (is_refused)
        fail(search, DELIVERY_RESULT_GIVE_UP, DELIVERY_AT_ADDRESS_POLICY,
             "the addresses of its mail hosts are neither public nor in smtp_allow");
    else
        fail(search, DELIVERY_RESULT_TRY_LATER, DELIVERY_AT_RESOLVE, "its mail hosts have no address");
}

static bool is_wanted(const struct route_search *search)
{
    return search->lane->lookups[search->row] == search->number;
}

/* ---- direct: the questions ---- */

static void take_addresses(void *context, const struct resolve_answer *answer)
{
    struct route_search *search = context;

    for (size_t i = 0; i < search->host_count; i++) {
        if (strcmp(search->hosts[i].name, answer->name) != 0)
            continue;
        search->hosts[i].is_temporary = answer->result == RESOLVE_TEMPORARY;
        for (size_t k = 0; k < answer->address_count && search->hosts[i].address_count < HOST_ADDRESSES; k++)
            search->hosts[i].addresses[search->hosts[i].address_count++] = answer->addresses[k];
    }
    if (--search->open_questions > 0)
        return;
    if (is_wanted(search))
        make_route(search);
    free(search);
}

static void ask_for_addresses(struct route_search *search)
{
    search->open_questions = 1; /* ours: no answer ends the search before all are asked */
    for (size_t i = 0; i < search->host_count; i++)
        if (resolve_add(search->lane->generator->resolver, RESOLVE_ADDRESSES, search->hosts[i].name,
                        take_addresses, search, NULL) == ST_OK)
            search->open_questions++;
    if (--search->open_questions > 0)
        return;
    make_route(search);
    free(search);
}

static bool take_hosts(struct route_search *search, const struct resolve_answer *answer)
{
    for (size_t i = 0; i < answer->mx_count && search->host_count < MX_HOSTS_MAX; i++)
        (void)snprintf(search->hosts[search->host_count++].name, NAME_SIZE, "%s", answer->mx_hosts[i].host);
    if (answer->is_null_mx)
        fail(search, DELIVERY_RESULT_GIVE_UP, DELIVERY_AT_RESOLVE, "the domain says that it takes no mail");
    else if (answer->result == RESOLVE_NONE)
        fail(search, DELIVERY_RESULT_TRY_LATER, DELIVERY_AT_RESOLVE, "the domain has no mail host");
    else if (answer->result == RESOLVE_TEMPORARY)
        fail(search, DELIVERY_RESULT_TRY_LATER, DELIVERY_AT_RESOLVE, answer->reason);
    return answer->result == RESOLVE_FOUND;
}

static void take_mail_hosts(void *context, const struct resolve_answer *answer)
{
    struct route_search *search = context;

    if (is_wanted(search) && take_hosts(search, answer))
        ask_for_addresses(search);
    else
        free(search);
}

void mail_routes_look_up(struct mail_routes *routes, struct lane *lane, const struct scheduler_start *start)
{
    struct route_search *search = calloc(1, sizeof *search);
    const char *host = lane->items[start->row]->row.host;
    struct delivery_result result;
    enum status status = ST_NOMEM;

    if (search != NULL) {
        *search = (struct route_search){.routes = routes,
                                        .lane = lane,
                                        .number = lane->lookups[start->row],
                                        .row = start->row,
                                        .destination = start->destination};
        status = resolve_add(lane->generator->resolver, RESOLVE_MX, host, take_mail_hosts, search, NULL);
        if (status == ST_OK)
            return;
    }
    free(search);
    if (status == ST_NOMEM)
        delivery_result_set(&result, DELIVERY_RESULT_TRY_LATER, DELIVERY_AT_START, 0, "out of memory");
    else
        delivery_result_set(&result, DELIVERY_RESULT_GIVE_UP, DELIVERY_AT_RESOLVE, 0,
                            "%s: not a name that can be looked up", host);
    lane_result(lane, start->row, &result);
}

/* ---- the whole ---- */

static enum status open_direct(struct mail_routes *routes, const struct config *config, size_t destinations,
                               struct err *err)
{
    routes->base = (struct smtp_target){.port = (uint16_t)config->smtp_port,
                                        .ehlo_name = ehlo_name(routes, config),
                                        .tls = SMTP_TLS_OPPORTUNISTIC,
                                        .ca_file = "",
                                        .user = "",
                                        .password = ""};
    routes->direct = calloc(destinations, sizeof *routes->direct);
    if (routes->direct == NULL || routes->base.ehlo_name == NULL)
        return err_set(err, ST_NOMEM, "mail routes: out of memory");
    return address_policy_init(&routes->address_policy, routes->base.port, config->smtp_allow.items,
                               config->smtp_allow.count, err);
}

enum status mail_routes_open(struct mail_routes **routes_out, struct generator *generator,
                             size_t destinations, struct err *err)
{
    const struct config *config = generator->config;
    struct mail_routes *routes = calloc(1, sizeof *routes);

    *routes_out = routes;
    if (routes == NULL)
        return err_set(err, ST_NOMEM, "mail routes: out of memory");
    arena_init(&routes->arena, ARENA_MAX);
    routes->is_direct = config->smtp_mode == CONFIG_SMTP_DIRECT;
    return routes->is_direct ? open_direct(routes, config, destinations, err)
                             : open_relay(routes, config, err);
}

void mail_routes_close(struct mail_routes **routes)
{
    if (*routes == NULL)
        return;
    arena_done(&(*routes)->arena);
    free((*routes)->direct);
    free(*routes);
    *routes = NULL;
}

const struct mail_route *mail_routes_find(const struct mail_routes *routes, uint32_t destination)
{
    return routes->is_direct ? &routes->direct[destination].route : &routes->relay;
}
