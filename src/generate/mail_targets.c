/* SPDX-License-Identifier: MIT */
/*
 * How it works.  Relay: one route for all mail, from the settings.  Direct: one route for each mailbox
 * domain, found in two rounds of lookups, the MX of all domains and then the addresses of all mail hosts; the
 * addresses that the policy allows become the route's targets, in the order to try them.  A domain without a
 * target gets a fault, which is the result of its deliveries.
 */
#include "mail_targets.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/named_file.h"
#include "base/cursor.h"
#include "base/strbuf.h"

#define RELAY_PORT     25
#define TARGETS_ARENA  (256u << 20)
#define MX_HOSTS_MAX   5 /* mail hosts of a domain whose addresses are looked up */
#define HOST_ADDRESSES 4 /* addresses of one mail host */

/* ---- both modes ---- */

/* This host's name in EHLO. */
static const char *ehlo_name(struct mail_targets *targets, const struct config *config)
{
    char name[HOST_NAME_MAX + 1] = "";

    if (*config->ehlo_name != '\0')
        return config->ehlo_name;
    if (gethostname(name, sizeof name - 1) != 0 || *name == '\0')
        return "localhost";
    return arena_copy_text(&targets->arena, name, strlen(name));
}

static enum status allocate(struct mail_targets *targets, size_t count, struct err *err)
{
    targets->routes = calloc(count, sizeof *targets->routes);
    return targets->routes != NULL ? ST_OK : err_set(err, ST_NOMEM, "mail targets: out of memory");
}

/* ---- relay ---- */

/* The options table has checked that it is "host" or "host:port". */
static enum status open_relay(struct mail_targets *targets, const struct config *config, struct err *err)
{
    enum status status = allocate(targets, 1, err);
    struct smtp_target *target;
    struct cursor cursor;
    struct span host;

    if (status != ST_OK)
        return status;
    targets->route_count = 1;
    targets->routes[0] = (struct mail_route){.domain = "", .target_count = 1};
    target = &targets->routes[0].targets[0];
    cursor_init(&cursor, config->relay, strlen(config->relay));
    host = cursor_take_until(&cursor, ":");
    *target = (struct smtp_target){
        .host = arena_copy_text(&targets->arena, host.at, host.len),
        .port = RELAY_PORT,
        .address = "",
        .ehlo_name = ehlo_name(targets, config),
        .tls = (enum smtp_tls)config->relay_tls,
        .ca_file = config->relay_ca_file,
        .user = "",
        .password = "",
    };
    if (cursor_skip_word(&cursor, ":"))
        target->port = (uint16_t)cursor_take_number(&cursor, UINT16_MAX);
    if (*config->relay_auth != '\0')
        status = named_file_read_secret(config->relay_auth, &targets->arena, &target->user, &target->password,
                                        err);
    if (status == ST_OK && (target->host == NULL || target->ehlo_name == NULL))
        status = err_set(err, ST_NOMEM, "relay: out of memory");
    return status;
}

/* ---- direct ---- */

/* One mailbox domain during the lookups. */
struct target_search {
    struct mail_targets *targets;
    struct mail_route *route;
    struct {
        const char *host; /* NULL: none */
        struct address addresses[HOST_ADDRESSES];
        size_t address_count;
        bool is_temporary;
    } hosts[MX_HOSTS_MAX];
    size_t host_count;
};

static void set_fault(struct mail_route *route, enum delivery_result_kind kind, const char *words)
{
    delivery_result_set(&route->fault, kind, DELIVERY_AT_RESOLVE, 0, "%s: %s", route->domain, words);
}

static void take_mail_hosts(void *context, const struct resolve_answer *answer)
{
    struct target_search *search = context;

    if (answer->is_null_mx)
        set_fault(search->route, DELIVERY_RESULT_GIVE_UP, "the domain says that it takes no mail");
    else if (answer->result == RESOLVE_NONE)
        set_fault(search->route, DELIVERY_RESULT_TRY_LATER, "the domain has no mail host");
    else if (answer->result == RESOLVE_TEMPORARY)
        set_fault(search->route, DELIVERY_RESULT_TRY_LATER, answer->reason);
    for (size_t i = 0; i < answer->mx_count && search->host_count < MX_HOSTS_MAX; i++) {
        const char *host = answer->mx_hosts[i].host;

        search->hosts[search->host_count++].host =
            arena_copy_text(&search->targets->arena, host, strlen(host));
    }
}

static void take_addresses(void *context, const struct resolve_answer *answer)
{
    struct target_search *search = context;

    for (size_t i = 0; i < search->host_count; i++) {
        if (search->hosts[i].host == NULL || strcmp(search->hosts[i].host, answer->name) != 0)
            continue;
        search->hosts[i].is_temporary = answer->result == RESOLVE_TEMPORARY;
        for (size_t k = 0; k < answer->address_count && search->hosts[i].address_count < HOST_ADDRESSES; k++)
            search->hosts[i].addresses[search->hosts[i].address_count++] = answer->addresses[k];
    }
}

/* One mail host's allowed addresses become targets; true if one was not allowed. */
static bool add_targets(struct target_search *search, size_t at, const struct smtp_target *base)
{
    struct mail_route *route = search->route;
    bool is_refused = false;

    for (size_t k = 0; k < search->hosts[at].address_count && route->target_count < MAIL_TARGETS_MAX; k++) {
        const struct address *address = &search->hosts[at].addresses[k];
        char text[ADDRESS_TEXT_SIZE];
        struct smtp_target target = *base;

        if (!address_policy_allows(&search->targets->address_policy, address, base->port)) {
            is_refused = true;
            continue;
        }
        address_format(address, text);
        target.host = search->hosts[at].host;
        target.address = arena_copy_text(&search->targets->arena, text, strlen(text));
        if (target.address != NULL)
            route->targets[route->target_count++] = target;
    }
    return is_refused;
}

static void make_route(struct target_search *search, const struct smtp_target *base)
{
    struct mail_route *route = search->route;
    bool is_refused = false;

    if (search->host_count == 0)
        return; /* the fault is set */
    set_fault(route, DELIVERY_RESULT_TRY_LATER, "its mail hosts have no address");
    for (size_t i = 0; i < search->host_count; i++) {
        if (search->hosts[i].host != NULL && add_targets(search, i, base))
            is_refused = true;
        if (search->hosts[i].is_temporary)
            set_fault(route, DELIVERY_RESULT_TRY_LATER,
                      "the addresses of its mail hosts cannot be looked up now");
    }
    if (route->target_count == 0 && is_refused)
        delivery_result_set(&route->fault, DELIVERY_RESULT_GIVE_UP, DELIVERY_AT_ADDRESS_POLICY, 0,
                            "%s: the addresses of its mail hosts are neither public nor in smtp_allow",
                            route->domain);
}

/* A name that cannot be looked up gets no answer. */
static enum status ask(struct generator *generator, enum resolve_kind kind, const char *name,
                       resolve_callback_fn *callback, struct target_search *search, struct err *err)
{
    enum status status = resolve_add(generator->resolver, kind, name, callback, search, err);

    return status == ST_SYNTAX || status == ST_RANGE ? ST_OK : status;
}

static enum status search_all(struct mail_targets *targets, struct generator *generator,
                              struct target_search *searches, struct err *err)
{
    enum status status = ST_OK;

    for (size_t i = 0; i < targets->route_count && status == ST_OK; i++) {
        searches[i] = (struct target_search){.targets = targets, .route = &targets->routes[i]};
        set_fault(searches[i].route, DELIVERY_RESULT_GIVE_UP, "not a name that can be looked up");
        status = ask(generator, RESOLVE_MX, searches[i].route->domain, take_mail_hosts, &searches[i], err);
    }
    resolve_run(generator->resolver, NULL); /* also after a failure: the searches die with our caller */
    for (size_t i = 0; i < targets->route_count && status == ST_OK; i++)
        for (size_t k = 0; k < searches[i].host_count && status == ST_OK; k++)
            if (searches[i].hosts[k].host != NULL)
                status = ask(generator, RESOLVE_ADDRESSES, searches[i].hosts[k].host, take_addresses,
                             &searches[i], err);
    resolve_run(generator->resolver, NULL);
    return status;
}

/* One route for each domain of the items, which are sorted by it. */
static enum status list_domains(struct mail_targets *targets, const struct delivery_item *items, size_t count,
                                struct err *err)
{
    enum status status = allocate(targets, count, err);

    for (size_t i = 0; status == ST_OK && i < count; i++)
        if (i == 0 || strcmp(items[i].row.host, items[i - 1].row.host) != 0)
            targets->routes[targets->route_count++].domain = items[i].row.host;
    return status;
}

static enum status find_routes(struct mail_targets *targets, struct generator *generator,
                               const struct smtp_target *base, struct err *err)
{
    struct target_search *searches = calloc(targets->route_count, sizeof *searches);
    enum status status;

    if (searches == NULL)
        return err_set(err, ST_NOMEM, "mail targets: out of memory");
    status = search_all(targets, generator, searches, err);
    for (size_t i = 0; status == ST_OK && i < targets->route_count; i++)
        make_route(&searches[i], base);
    free(searches);
    return status;
}

static enum status open_direct(struct mail_targets *targets, struct generator *generator,
                               const struct delivery_item *items, size_t count, struct err *err)
{
    const struct config *config = generator->config;
    const struct smtp_target base = {.port = (uint16_t)config->smtp_port,
                                     .ehlo_name = ehlo_name(targets, config),
                                     .tls = SMTP_TLS_OPPORTUNISTIC,
                                     .ca_file = "",
                                     .user = "",
                                     .password = ""};
    enum status status = address_policy_init(&targets->address_policy, base.port, config->smtp_allow.items,
                                             config->smtp_allow.count, err);

    if (status == ST_OK && base.ehlo_name == NULL)
        status = err_set(err, ST_NOMEM, "mail targets: out of memory");
    if (status == ST_OK)
        status = list_domains(targets, items, count, err);
    if (status == ST_OK)
        status = find_routes(targets, generator, &base, err);
    return status;
}

/* ---- opening ---- */

enum status mail_targets_open(struct mail_targets *targets, struct generator *generator,
                              const struct delivery_item *items, size_t count, struct err *err)
{
    *targets = (struct mail_targets){.is_direct = generator->config->smtp_mode == CONFIG_SMTP_DIRECT};
    arena_init(&targets->arena, TARGETS_ARENA);
    return targets->is_direct ? open_direct(targets, generator, items, count, err)
                              : open_relay(targets, generator->config, err);
}

void mail_targets_close(struct mail_targets *targets)
{
    arena_done(&targets->arena);
    free(targets->routes);
    targets->routes = NULL;
}

static int compare_route(const void *key, const void *route)
{
    return strcmp(key, ((const struct mail_route *)route)->domain);
}

const struct mail_route *mail_targets_of(const struct mail_targets *targets, const struct delivery_item *item)
{
    if (!targets->is_direct)
        return &targets->routes[0];
    return bsearch(item->row.host, targets->routes, targets->route_count, sizeof *targets->routes,
                   compare_route);
}
