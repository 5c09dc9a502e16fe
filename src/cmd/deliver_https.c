/* SPDX-License-Identifier: MIT */
#include "cmd/deliver_https.h"

#include <stdlib.h>
#include <string.h>

#include "deliver/guard.h"
#include "deliver/https.h"
#include "model/rua.h"

/* Deliveries that are marked "sending" together. */
#define BATCH_MAX 64

#define HOSTS_ARENA_MAX (256u << 20)
#define BATCH_ARENA_MAX (1u << 30)

/* A host and what its name stands for, looked up once: what was checked is what is connected to (R61). */
struct host {
    const char *name;
    enum resolve_outcome outcome;
    const char *reason;
    struct address addresses[HTTPS_ADDRESSES_MAX];
    size_t address_count;
    struct arena *arena;
};

struct post_batch {
    struct arena arena; /* reports and parsed URLs */
    size_t open;        /* posts that are not done */
};

struct post_run {
    struct courier *courier;
    struct courier_item *items;
    size_t count;
    size_t next;
    struct guard guard;
    struct arena arena;
    struct host *hosts; /* in the items' order */
    size_t host_count;
    size_t host_at; /* the host of the item that comes next, or one before it */
    struct post_batch *batch;
    size_t batch_end; /* items[next..batch_end) are marked */
};

/* ---- look-ups --------------------------------------------------------------------------------------------
 */

static void take_addresses(void *context, const struct resolve_answer *answer)
{
    struct host *host = context;

    host->outcome = answer->outcome;
    host->reason = arena_copy_text(host->arena, answer->reason, strlen(answer->reason));
    for (size_t i = 0; i < answer->address_count && i < HTTPS_ADDRESSES_MAX; i++)
        host->addresses[host->address_count++] = answer->addresses[i];
}

static enum status add_host(struct post_run *run, const char *name, struct err *err)
{
    struct host *host = &run->hosts[run->host_count++];
    struct address address;
    enum status status;

    *host = (struct host){.name = name, .outcome = RESOLVE_NONE, .reason = "", .arena = &run->arena};
    if (address_parse(name, strlen(name), &address)) {
        host->outcome = RESOLVE_FOUND;
        host->addresses[host->address_count++] = address;
        return ST_OK;
    }
    status =
        resolve_add(run->courier->generator->resolver, RESOLVE_ADDRESSES, name, take_addresses, host, err);
    return status == ST_SYNTAX || status == ST_RANGE ? ST_OK : status;
}

/* Every host once; the items are sorted by host. */
static enum status look_up_hosts(struct post_run *run, struct err *err)
{
    enum status status = ST_OK;

    run->hosts = calloc(run->count, sizeof *run->hosts);
    if (run->hosts == NULL)
        return err_set(err, ST_NOMEM, "hosts: out of memory");
    for (size_t i = 0; status == ST_OK && i < run->count; i++)
        if (i == 0 || strcmp(run->items[i].row.host, run->items[i - 1].row.host) != 0)
            status = add_host(run, run->items[i].row.host, err);
    if (status == ST_OK)
        resolve_run(run->courier->generator->resolver, NULL);
    return status;
}

static const struct host *host_of(struct post_run *run, const struct courier_item *item)
{
    while (strcmp(run->hosts[run->host_at].name, item->row.host) != 0)
        run->host_at++;
    return &run->hosts[run->host_at];
}

/* ---- posts -----------------------------------------------------------------------------------------------
 */

static void release(struct post_batch *batch)
{
    if (batch == NULL || --batch->open > 0)
        return;
    arena_done(&batch->arena);
    free(batch);
}

/* Mark the next items and read their reports.  The run itself holds the batch until it is handed out whole.
 */
static bool begin_batch(struct post_run *run)
{
    size_t count = run->count - run->next < BATCH_MAX ? run->count - run->next : BATCH_MAX;

    release(run->batch);
    run->batch = count > 0 ? calloc(1, sizeof *run->batch) : NULL;
    if (run->batch == NULL)
        return false;
    run->batch->open = 1;
    arena_init(&run->batch->arena, BATCH_ARENA_MAX);
    if (!courier_begin(run->courier, run->items + run->next, count, &run->batch->arena))
        return false;
    run->batch_end = run->next + count;
    return true;
}

static void fail(struct post_run *run, const struct courier_item *item, enum outcome_kind kind,
                 enum outcome_stage stage, const char *text)
{
    struct outcome outcome;

    outcome_set(&outcome, kind, stage, 0, "%s", text);
    courier_record(run->courier, item, &outcome);
}

/* Fill *post_out for an item; false if its outcome is known already. */
static bool prepare(struct post_run *run, struct courier_item *item, struct https_post *post_out)
{
    const struct host *host = host_of(run, item);
    struct rua rua;
    struct err err;

    if (rua_parse(item->row.rua, strlen(item->row.rua), &run->batch->arena, &rua, &err) != ST_OK) {
        fail(run, item, OUTCOME_GIVE_UP, OUTCOME_AT_START, err.text);
        return false;
    }
    if (host->outcome != RESOLVE_FOUND) {
        fail(run, item, OUTCOME_TRY_LATER, OUTCOME_AT_RESOLVE,
             host->outcome == RESOLVE_NONE ? "the host name has no address" : host->reason);
        return false;
    }
    *post_out = (struct https_post){
        .id = item - run->items,
        .url = item->row.rua,
        .host = host->name,
        .port = rua.port,
        .addresses = host->addresses,
        .address_count = host->address_count,
        .body = item->report.gzip,
        .len = item->report.gzip_len,
        .owner = run->batch,
    };
    return true;
}

static bool next_post(void *context, struct https_post *post_out)
{
    struct post_run *run = context;

    while (run->next < run->count) {
        if (run->next == run->batch_end && !begin_batch(run))
            return false;
        if (prepare(run, &run->items[run->next++], post_out)) {
            run->batch->open++;
            return true;
        }
    }
    return false;
}

static void take_outcome(void *context, int64_t id, const struct outcome *outcome)
{
    struct post_run *run = context;

    courier_record(run->courier, &run->items[id], outcome);
}

static void settle(void *context)
{
    struct post_run *run = context;

    courier_commit(run->courier);
}

static void finish_post(void *context, const struct https_post *post)
{
    (void)context;
    release(post->owner);
}

static enum status post_all(struct post_run *run, struct err *err)
{
    const struct config *config = run->courier->generator->config;
    struct https_settings settings = {
        .guard = &run->guard,
        .verify = HTTPS_VERIFY_FALLBACK,
        .ca_file = config->https_ca_file,
        .user_agent = "tlsrpt-gen/" TLSRPT_GEN_VERSION,
        .parallel = HTTPS_PARALLEL_DEFAULT,
        .connect_timeout_ms = HTTPS_CONNECT_TIMEOUT_MS,
        .total_timeout_ms = HTTPS_TOTAL_TIMEOUT_MS,
    };
    struct https_hooks hooks = {.context = run,
                                .next = next_post,
                                .outcome = take_outcome,
                                .settled = settle,
                                .post_done = finish_post};
    enum status status = https_deliver(&settings, &hooks, err);

    courier_commit(run->courier);
    if (status == ST_OK && run->courier->status != ST_OK) {
        *err = run->courier->err;
        status = run->courier->status;
    }
    return status;
}

enum status deliver_https(struct courier *courier, struct err *err)
{
    const struct option_list *allow = &courier->generator->config->https_allow;
    struct post_run run = {.courier = courier};
    enum status status;

    run.items = courier_items_of(courier, DELIVERY_HTTPS, &run.count);
    if (run.count == 0)
        return ST_OK;
    arena_init(&run.arena, HOSTS_ARENA_MAX);
    status = guard_init(&run.guard, GUARD_HTTPS_PORT, allow->items, allow->count, err);
    if (status == ST_OK)
        status = look_up_hosts(&run, err);
    if (status == ST_OK)
        status = post_all(&run, err);
    release(run.batch);
    free(run.hosts);
    arena_done(&run.arena);
    return status;
}
