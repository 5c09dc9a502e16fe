/* SPDX-License-Identifier: MIT */
/*
 * How it works.  The scheduler asks for the addresses of each destination once (look_up); they are kept with the
 * destination's number.  A post that may start is read from the ledger and marked (start), and handed to libcurl when
 * the mark is on the disk (flush).  A redirect's host is looked up like any other; its post waits for the answer.
 */
#include "by_https.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "deliver/address_policy.h"
#include "model/rua.h"

#define POSTS_AT_ONCE HTTPS_PARALLEL_DEFAULT
#define LOOKUP_MS     (RESOLVE_DEADLINE_MS + 2000)

/* A host and its addresses, looked up once: the addresses that were checked are connected to (R61). */
struct host {
    struct address addresses[HTTPS_ADDRESSES_MAX];
    size_t address_count;
};

struct https_lane {
    struct https_settings settings;
    struct https_pool *pool;
    struct host *hosts; /* by destination number */
    size_t host_count;
    struct https_post waiting[POSTS_AT_ONCE]; /* for the commit of their marks */
    size_t waiting_count;
};

static struct https_lane *https_of(const struct lane *lane)
{
    return lane->transport;
}

struct https_pool *by_https_pool(const struct lane *lane)
{
    return https_of(lane)->pool;
}

/* ---- lookups ---- */

/* What is asked of the resolver; lives until the answer comes, which may be after the row has gone. */
struct host_lookup {
    struct lane *lane;
    uint64_t number; /* of lane->lookups */
    uint32_t row;
    uint32_t destination;
};

static void take_addresses(struct host *host, const struct resolve_answer *answer)
{
    host->address_count = 0;
    for (size_t i = 0; i < answer->address_count && host->address_count < HTTPS_ADDRESSES_MAX; i++)
        host->addresses[host->address_count++] = answer->addresses[i];
}

static void fail_lookup(struct lane *lane, uint32_t row, const char *reason)
{
    struct delivery_result result;

    delivery_result_set(&result, DELIVERY_RESULT_TRY_LATER, DELIVERY_AT_RESOLVE, 0, "%s", reason);
    lane_result(lane, row, &result);
}

static void on_host(void *context, const struct resolve_answer *answer)
{
    struct host_lookup lookup = *(struct host_lookup *)context;
    struct lane *lane = lookup.lane;

    free(context);
    if (lane->lookups[lookup.row] != lookup.number)
        return;
    if (answer->result != RESOLVE_FOUND) {
        fail_lookup(lane, lookup.row,
                    answer->result == RESOLVE_NONE ? "the host name has no address" : answer->reason);
        return;
    }
    take_addresses(&https_of(lane)->hosts[lookup.destination], answer);
    lane_resolved(lane, lookup.row);
}

static void look_up(struct lane *lane, const struct scheduler_start *start)
{
    const char *name = lane->items[start->row]->row.host;
    struct host *host = &https_of(lane)->hosts[start->destination];
    struct host_lookup *lookup;
    struct err err;

    if (address_parse(name, strlen(name), &host->addresses[0])) {
        host->address_count = 1;
        lane_resolved(lane, start->row);
        return;
    }
    lookup = malloc(sizeof *lookup);
    if (lookup == NULL) {
        fail_lookup(lane, start->row, "out of memory");
        return;
    }
    *lookup = (struct host_lookup){lane, lane->lookups[start->row], start->row, start->destination};
    if (resolve_add(lane->generator->resolver, RESOLVE_ADDRESSES, name, on_host, lookup, &err) == ST_OK)
        return;
    free(lookup);
    fail_lookup(lane, start->row, err.text);
}

/* ---- redirects ---- */

static void on_redirect_host(void *context, const struct resolve_answer *answer)
{
    struct host_lookup lookup = *(struct host_lookup *)context;
    struct host host;

    free(context);
    if (lookup.lane->scheduler == NULL)
        return;
    take_addresses(&host, answer);
    https_locate(https_of(lookup.lane)->pool, lookup.row, host.addresses, host.address_count,
                 answer->result == RESOLVE_TEMPORARY ? answer->reason : NULL);
}

static void look_up_redirects(struct lane *lane)
{
    struct https_pool *pool = https_of(lane)->pool;
    const char *name;
    int64_t id;

    while (https_wants_addresses(pool, &id, &name)) {
        struct host_lookup *lookup = malloc(sizeof *lookup);

        if (lookup != NULL) {
            *lookup = (struct host_lookup){.lane = lane, .row = (uint32_t)id};
            if (resolve_add(lane->generator->resolver, RESOLVE_ADDRESSES, name, on_redirect_host, lookup,
                            NULL) == ST_OK)
                continue;
        }
        free(lookup);
        https_locate(pool, id, NULL, 0, "out of memory");
    }
}

/* ---- posts ---- */

static void start(struct lane *lane, const struct scheduler_start *start)
{
    struct https_lane *https = https_of(lane);
    struct delivery_item *item = lane->items[start->row];
    const struct host *host = &https->hosts[start->destination];
    struct delivery_result result;
    struct rua rua;
    struct err err;

    item->slot = start->slot;
    if (!lane_begin(lane, start->row)) {
        scheduler_release(lane->scheduler, start->slot);
        return;
    }
    if (rua_parse(item->row.rua, strlen(item->row.rua), &item->body, &rua, &err) != ST_OK) {
        delivery_result_set(&result, DELIVERY_RESULT_GIVE_UP, DELIVERY_AT_START, 0, "%s", err.text);
        lane_result(lane, start->row, &result);
        scheduler_release(lane->scheduler, start->slot);
        return;
    }
    lane->has_starts = true;
    https->waiting[https->waiting_count++] = (struct https_post){
        .id = start->row,
        .url = item->row.rua,
        .host = item->row.host,
        .port = rua.port,
        .addresses = host->addresses,
        .address_count = host->address_count,
        .body = item->report.gzip,
        .len = item->report.gzip_len,
        .deadline_ms = clock_monotonic_ms() + HTTPS_TOTAL_TIMEOUT_MS,
    };
}

static void flush(struct lane *lane)
{
    struct https_lane *https = https_of(lane);

    for (size_t i = 0; i < https->waiting_count; i++)
        https_start(https->pool, &https->waiting[i]);
    https->waiting_count = 0;
    lane->has_starts = false;
}

static void collect(struct lane *lane)
{
    struct https_lane *https = https_of(lane);
    struct delivery_result result;
    int64_t id;

    look_up_redirects(lane);
    while (https_take(https->pool, &id, &result)) {
        uint32_t slot = lane->items[id]->slot;

        lane_result(lane, (uint32_t)id, &result);
        scheduler_release(lane->scheduler, slot);
    }
}

/* What was marked and has not been handed to curl was not tried. */
static void end(struct lane *lane, const char *reason)
{
    struct https_lane *https = https_of(lane);

    for (size_t i = 0; i < https->waiting_count; i++) {
        uint32_t row = (uint32_t)https->waiting[i].id, slot = lane->items[row]->slot;

        lane_untried(lane, row, reason);
        scheduler_release(lane->scheduler, slot);
    }
    https->waiting_count = 0;
    https_end(https->pool, reason);
}

/* curl waits for its sockets itself (https_poll). */
static size_t prepare(struct lane *lane, struct pollfd *fds_out, int *wait_ms_out)
{
    (void)lane;
    (void)fds_out;
    *wait_ms_out = -1;
    return 0;
}

static void step(struct lane *lane, const struct pollfd *fds, size_t count)
{
    (void)lane;
    (void)fds;
    (void)count;
}

/* ---- the lane ---- */

static enum status open_https(struct lane *lane, struct err *err)
{
    const struct config *config = lane->generator->config;
    struct https_lane *https = calloc(1, sizeof *https);

    lane->transport = https;
    if (https != NULL)
        https->hosts = calloc(scheduler_destinations_max(&lane->settings), sizeof *https->hosts);
    if (https == NULL || https->hosts == NULL)
        return err_set(err, ST_NOMEM, "deliveries: out of memory");
    https->settings = (struct https_settings){
        .address_policy = &lane->generator->https_policy,
        .verify = (enum https_verify)config->https_verify,
        .ca_file = config->https_ca_file,
        .user_agent = "tlsrpt-gen/" TLSRPT_GEN_VERSION,
        .redirects = (unsigned)config->https_redirects,
        .parallel = POSTS_AT_ONCE,
        .connect_timeout_ms = HTTPS_CONNECT_TIMEOUT_MS,
        .total_timeout_ms = HTTPS_TOTAL_TIMEOUT_MS,
    };
    return https_open(&https->settings, &https->pool, err);
}

static void close_https(struct lane *lane)
{
    struct https_lane *https = https_of(lane);

    if (https == NULL)
        return;
    https_close(&https->pool);
    free(https->hosts);
    free(https);
    lane->transport = NULL;
}

const struct lane_methods LANE_HTTPS = {
    .kind = DELIVERY_HTTPS,
    .settings = {.slots = POSTS_AT_ONCE,
                 .lookups = POSTS_AT_ONCE,
                 .destination_slots_first = 2,
                 .destination_slots = 8,
                 .delivery_ms = LOOKUP_MS + HTTPS_TOTAL_TIMEOUT_MS},
    .open = open_https,
    .close = close_https,
    .look_up = look_up,
    .start = start,
    .flush = flush,
    .prepare = prepare,
    .step = step,
    .collect = collect,
    .end = end,
};
