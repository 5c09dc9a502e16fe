/* SPDX-License-Identifier: MIT */
/*
 * How it works.  Every host is looked up once, before the first post.  The queue says which item may be
 * posted next, and https_deliver asks for one post at a time (next_post).  To save transactions, an item is
 * marked in the ledger together with those that will most likely be taken next; at the end, marked items that
 * were not started are put back.
 */
#include "by_https.h"

#include <stdlib.h>
#include <string.h>

#include "deliver/address_policy.h"
#include "deliver/https.h"
#include "deliver/queue.h"
#include "model/rua.h"

/* Deliveries that are marked "sending" together. */
#define BATCH_MAX 64

#define AT_ONCE_PER_HOST 8
#define FAILURES_MAX     5 /* circuit breaker */

#define HOSTS_ARENA_MAX (256u << 20)
#define BATCH_ARENA_MAX (1u << 30)

/* A host, looked up once: the addresses that were checked are those that we connect to (R61). */
struct host {
    const char *name;
    enum resolve_result result;
    const char *reason;
    struct address addresses[HTTPS_ADDRESSES_MAX];
    size_t address_count;
    struct arena *arena;
};

/* Items that were marked, and whose reports were read, together. */
struct post_batch {
    struct arena arena; /* the reports */
    size_t open;        /* posts that are not done */
};

/* What belongs to one item. */
struct post {
    const struct host *host;
    struct post_batch *batch; /* NULL: not marked as being sent */
    bool is_begun;
};

struct post_run {
    struct delivery *delivery;
    struct delivery_item *items;
    struct post *posts; /* one for each item */
    size_t count;
    struct address_policy address_policy;
    struct queue queue;
    struct arena arena;
    struct host *hosts; /* in the order of the items */
    size_t host_count;
};

/* ---- lookups ---- */

static void take_addresses(void *context, const struct resolve_answer *answer)
{
    struct host *host = context;

    host->result = answer->result;
    host->reason = arena_copy_text(host->arena, answer->reason, strlen(answer->reason));
    for (size_t i = 0; i < answer->address_count && host->address_count < HTTPS_ADDRESSES_MAX; i++)
        host->addresses[host->address_count++] = answer->addresses[i];
}

static enum status ask(struct post_run *run, struct host *host, const char *name, struct err *err)
{
    struct address address;
    enum status status;

    *host = (struct host){.name = name, .result = RESOLVE_NONE, .reason = "", .arena = &run->arena};
    if (address_parse(name, strlen(name), &address)) {
        host->result = RESOLVE_FOUND;
        host->addresses[host->address_count++] = address;
        return ST_OK;
    }
    status =
        resolve_add(run->delivery->generator->resolver, RESOLVE_ADDRESSES, name, take_addresses, host, err);
    return status == ST_SYNTAX || status == ST_RANGE ? ST_OK : status;
}

/* Every host once; the items are sorted by host. */
static enum status resolve_hosts(struct post_run *run, struct err *err)
{
    enum status status = ST_OK;

    run->hosts = calloc(run->count, sizeof *run->hosts);
    run->posts = calloc(run->count, sizeof *run->posts);
    if (run->hosts == NULL || run->posts == NULL)
        return err_set(err, ST_NOMEM, "hosts: out of memory");
    for (size_t i = 0; status == ST_OK && i < run->count; i++) {
        if (i == 0 || strcmp(run->items[i].row.host, run->items[i - 1].row.host) != 0)
            status = ask(run, &run->hosts[run->host_count++], run->items[i].row.host, err);
        run->posts[i].host = &run->hosts[run->host_count - 1];
    }
    resolve_run(run->delivery->generator->resolver,
                NULL); /* also after a failure: run dies with our caller */
    return status;
}

/* Look up a redirect's host; the other posts wait meanwhile, for a few seconds at most. */
static size_t locate(void *context, const char *name, struct address *addresses_out, size_t max)
{
    struct post_run *run = context;
    struct host host;
    size_t count;

    if (ask(run, &host, name, NULL) != ST_OK)
        return 0;
    resolve_run(run->delivery->generator->resolver, NULL);
    count = host.address_count < max ? host.address_count : max;
    memcpy(addresses_out, host.addresses, count * sizeof *addresses_out);
    return count;
}

/* ---- marking ---- */

static void release(struct post *post)
{
    struct post_batch *batch = post->batch;

    post->batch = NULL;
    if (batch == NULL || --batch->open > 0)
        return;
    arena_done(&batch->arena);
    free(batch);
}

/* Mark an item and those that will come next as being sent, and read their reports. */
static bool mark(struct post_run *run, size_t index)
{
    struct post_batch *batch = calloc(1, sizeof *batch);
    struct delivery_item *items[BATCH_MAX] = {&run->items[index]};
    size_t indexes[BATCH_MAX];
    size_t count = queue_preview(&run->queue, indexes, BATCH_MAX - 1);

    if (batch == NULL)
        return false;
    arena_init(&batch->arena, BATCH_ARENA_MAX);
    run->posts[index].batch = batch;
    batch->open = 1;
    for (size_t i = 0; i < count; i++)
        if (run->posts[indexes[i]].batch == NULL) {
            items[batch->open++] = &run->items[indexes[i]];
            run->posts[indexes[i]].batch = batch;
        }
    return delivery_begin(run->delivery, items, batch->open, &batch->arena);
}

/* Marked items that were not started become due as before. */
static void put_back_rest(struct post_run *run)
{
    for (size_t i = 0; run->posts != NULL && i < run->count; i++) {
        struct post *post = &run->posts[i];

        if (post->batch == NULL)
            continue;
        if (!post->is_begun)
            delivery_put_back(run->delivery, &run->items[i]);
        release(post);
    }
}

/* ---- posts ---- */

static void settle_item(struct post_run *run, size_t index, const struct delivery_result *result)
{
    delivery_record(run->delivery, &run->items[index], result);
    queue_settle(&run->queue, index, result->kind);
}

static void fail(struct post_run *run, size_t index, enum delivery_result_kind kind,
                 enum delivery_stage stage, const char *text)
{
    struct delivery_result result;

    delivery_result_set(&result, kind, stage, 0, "%s", text);
    settle_item(run, index, &result);
    queue_release(&run->queue, index);
    release(&run->posts[index]);
}

/* Fill *post_out for an item; false if its result is known already. */
static bool prepare(struct post_run *run, size_t index, struct https_post *post_out)
{
    const struct delivery_item *item = &run->items[index];
    const struct host *host = run->posts[index].host;
    struct rua rua;
    struct err err;

    run->posts[index].is_begun = true;
    if (rua_parse(item->row.rua, strlen(item->row.rua), &run->posts[index].batch->arena, &rua, &err) !=
        ST_OK) {
        fail(run, index, DELIVERY_RESULT_GIVE_UP, DELIVERY_AT_START, err.text);
        return false;
    }
    if (host->result != RESOLVE_FOUND) {
        fail(run, index, DELIVERY_RESULT_TRY_LATER, DELIVERY_AT_RESOLVE,
             host->result == RESOLVE_NONE ? "the host name has no address" : host->reason);
        return false;
    }
    *post_out = (struct https_post){
        .id = (int64_t)index,
        .url = item->row.rua,
        .host = host->name,
        .port = rua.port,
        .addresses = host->addresses,
        .address_count = host->address_count,
        .body = item->report.gzip,
        .len = item->report.gzip_len,
    };
    return true;
}

/* ---- hooks of https_deliver ---- */

static bool next_post(void *context, struct https_post *post_out)
{
    struct post_run *run = context;
    size_t index;

    while (run->delivery->status == ST_OK && !generator_is_stopping && queue_take(&run->queue, &index)) {
        if (run->posts[index].batch == NULL && !mark(run, index))
            return false;
        if (prepare(run, index, post_out))
            return true;
    }
    return false;
}

static void take_result(void *context, int64_t id, const struct delivery_result *result)
{
    struct post_run *run = context;

    settle_item(run, (size_t)id, result);
}

static void settle(void *context)
{
    struct post_run *run = context;

    delivery_commit(run->delivery);
}

static void finish_post(void *context, const struct https_post *post)
{
    struct post_run *run = context;

    queue_release(&run->queue, (size_t)post->id);
    release(&run->posts[post->id]);
}

/* ---- the run ---- */

static enum status post_all(struct post_run *run, struct err *err)
{
    const struct config *config = run->delivery->generator->config;
    const struct https_settings settings = {
        .address_policy = &run->address_policy,
        .verify = (enum https_verify)config->https_verify,
        .ca_file = config->https_ca_file,
        .user_agent = "tlsrpt-gen/" TLSRPT_GEN_VERSION,
        .redirects = (unsigned)config->https_redirects,
        .parallel = HTTPS_PARALLEL_DEFAULT,
        .connect_timeout_ms = HTTPS_CONNECT_TIMEOUT_MS,
        .total_timeout_ms = HTTPS_TOTAL_TIMEOUT_MS,
        .stop_at_ms = run->delivery->stop_at_ms,
    };
    const struct https_hooks hooks = {.context = run,
                                      .next = next_post,
                                      .result = take_result,
                                      .settled = settle,
                                      .post_done = finish_post,
                                      .locate = locate};
    enum status status = https_deliver(&settings, &hooks, err);

    put_back_rest(run);
    delivery_commit(run->delivery);
    delivery_log_left(&run->queue, DELIVERY_HTTPS);
    if (status == ST_OK && run->delivery->status != ST_OK) {
        *err = run->delivery->err;
        status = run->delivery->status;
    }
    return status;
}

static const char *host_of(void *context, size_t index)
{
    const struct post_run *run = context;

    return run->items[index].row.host;
}

enum status deliver_https(struct delivery *delivery, struct err *err)
{
    const struct option_list *allow = &delivery->generator->config->https_allow;
    const struct queue_limits limits = delivery_limits(delivery, AT_ONCE_PER_HOST, FAILURES_MAX);
    struct post_run run = {.delivery = delivery};
    enum status status;

    run.items = delivery_items_of(delivery, DELIVERY_HTTPS, &run.count);
    if (run.count == 0)
        return ST_OK;
    arena_init(&run.arena, HOSTS_ARENA_MAX);
    status =
        address_policy_init(&run.address_policy, ADDRESS_POLICY_HTTPS_PORT, allow->items, allow->count, err);
    if (status == ST_OK)
        status = resolve_hosts(&run, err);
    if (status == ST_OK)
        status = queue_open(&run.queue, &limits, run.count, host_of, &run, err);
    if (status == ST_OK)
        status = post_all(&run, err);
    queue_close(&run.queue);
    free(run.hosts);
    free(run.posts);
    arena_done(&run.arena);
    return status;
}
