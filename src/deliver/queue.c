/* SPDX-License-Identifier: MIT */
/*
 * How it works.  Each host has a range of the caller's items, of which those before next are taken.  Hosts
 * that may still get attempts are in a linked list, in the order of the items; find_host takes the first one
 * that can start something, and removes those that can start nothing any more.
 */
#include "deliver/queue.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Items [begin, end) of the caller's list; those before next are taken. */
struct queue_host {
    const char *name;
    size_t begin, next, end;
    size_t at_once;
    size_t failures;
    bool has_success;
    size_t after, before; /* neighbours in the list; host_count: none */
};

enum status queue_open(struct queue *queue, const struct queue_limits *limits, size_t count,
                       queue_host_fn *host_of, void *context, struct err *err)
{
    const char *previous = "";

    *queue = (struct queue){.limits = *limits};
    queue->hosts = calloc(count + 1, sizeof *queue->hosts);
    if (queue->hosts == NULL)
        return err_set(err, ST_NOMEM, "queue: out of memory");
    for (size_t i = 0; i < count; i++) {
        const char *name = host_of(context, i);

        if (queue->host_count == 0 || strcmp(previous, name) != 0)
            queue->hosts[queue->host_count++] = (struct queue_host){.name = name, .begin = i, .next = i};
        queue->hosts[queue->host_count - 1].end = i + 1;
        previous = name;
    }
    for (size_t i = 0; i < queue->host_count; i++) {
        queue->hosts[i].after = i + 1;
        queue->hosts[i].before = i > 0 ? i - 1 : queue->host_count;
    }
    return ST_OK;
}

void queue_close(struct queue *queue)
{
    free(queue->hosts);
    queue->hosts = NULL;
    queue->host_count = 0;
}

/* The host that item index belongs to. */
static struct queue_host *host_of_item(const struct queue *queue, size_t index)
{
    size_t low = 0;
    size_t high = queue->host_count;

    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;

        if (queue->hosts[middle].begin <= index)
            low = middle;
        else
            high = middle;
    }
    return &queue->hosts[low];
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* What is left of a limit; 0 means that there is no limit. */
static size_t left_of(size_t limit, size_t used)
{
    if (limit == 0)
        return SIZE_MAX;
    return limit > used ? limit - used : 0;
}

static bool is_broken(const struct queue *queue, const struct queue_host *host)
{
    return left_of(queue->limits.failures, host->failures) == 0;
}

/* How many more of its items may be taken in this run. */
static size_t may_take(const struct queue *queue, const struct queue_host *host)
{
    if (is_broken(queue, host))
        return 0;
    return smaller(smaller(host->end - host->next, left_of(queue->limits.per_host, host->next - host->begin)),
                   left_of(queue->limits.per_run, queue->taken));
}

/* Attempts that may be in progress: few until the host has accepted something, and again once it fails. */
static size_t may_run(const struct queue *queue, const struct queue_host *host)
{
    size_t limit = queue->limits.at_once != 0 ? queue->limits.at_once : SIZE_MAX;

    if (host->has_success && host->failures == 0)
        return limit;
    return smaller(limit, left_of(queue->limits.failures, host->failures));
}

static bool can_begin(const struct queue *queue, const struct queue_host *host)
{
    return may_take(queue, host) > 0 && host->at_once < may_run(queue, host);
}

/* Remove a host from the list. */
static void close_host(struct queue *queue, const struct queue_host *host)
{
    if (host->before < queue->host_count)
        queue->hosts[host->before].after = host->after;
    else
        queue->first = host->after;
    if (host->after < queue->host_count)
        queue->hosts[host->after].before = host->before;
}

/* The first host that can start something, or NULL.  Those before it, never many, wait for their attempts. */
static struct queue_host *find_host(struct queue *queue)
{
    for (size_t at = queue->first; at < queue->host_count; at = queue->hosts[at].after) {
        struct queue_host *host = &queue->hosts[at];

        if (can_begin(queue, host))
            return host;
        if (may_take(queue, host) == 0)
            close_host(queue, host);
    }
    return NULL;
}

bool queue_take(struct queue *queue, size_t *index_out)
{
    struct queue_host *host = find_host(queue);

    if (host == NULL)
        return false;
    host->at_once++;
    queue->taken++;
    *index_out = host->next++;
    return true;
}

bool queue_take_along(struct queue *queue, size_t index, size_t *index_out)
{
    struct queue_host *host = host_of_item(queue, index);

    if (may_take(queue, host) == 0)
        return false;
    queue->taken++;
    *index_out = host->next++;
    return true;
}

size_t queue_preview(const struct queue *queue, size_t *indexes_out, size_t max)
{
    size_t count = 0;

    for (size_t at = queue->first; at < queue->host_count && count < max; at = queue->hosts[at].after) {
        const struct queue_host *host = &queue->hosts[at];
        size_t wanted = may_take(queue, host);

        if (!host->has_success || host->failures > 0)
            wanted = smaller(wanted, left_of(may_run(queue, host), host->at_once));
        for (size_t i = 0; i < wanted && count < max; i++)
            indexes_out[count++] = host->next + i;
    }
    return count;
}

void queue_settle(struct queue *queue, size_t index, enum delivery_result_kind kind)
{
    struct queue_host *host = host_of_item(queue, index);

    host->failures += kind == DELIVERY_RESULT_TRY_LATER;
    host->has_success = host->has_success || kind != DELIVERY_RESULT_TRY_LATER; /* a refusal is an answer */
}

void queue_release(struct queue *queue, size_t index)
{
    host_of_item(queue, index)->at_once--;
}

void queue_each_left(const struct queue *queue, queue_left_fn *fn, void *context)
{
    for (size_t i = 0; i < queue->host_count; i++) {
        const struct queue_host *host = &queue->hosts[i];
        enum queue_left why = QUEUE_LEFT_TIME;

        if (host->next == host->end)
            continue;
        if (is_broken(queue, host))
            why = QUEUE_LEFT_FAILED;
        else if (left_of(queue->limits.per_host, host->next - host->begin) == 0)
            why = QUEUE_LEFT_HOST;
        else if (left_of(queue->limits.per_run, queue->taken) == 0)
            why = QUEUE_LEFT_RUN;
        fn(context, host->name, host->end - host->next, why);
    }
}

const char *queue_left_words(enum queue_left why)
{
    switch (why) {
    case QUEUE_LEFT_TIME:
        return "the run's time was up";
    case QUEUE_LEFT_FAILED:
        return "the host failed too often";
    case QUEUE_LEFT_HOST:
        return "the host had as many as one run may send it";
    case QUEUE_LEFT_RUN:
        return "the run had as many as it may send";
    }
    return "";
}
