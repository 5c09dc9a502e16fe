/* SPDX-License-Identifier: MIT */
/*
 * queue.h - which delivery comes next, so that no destination host gets too much and none delays the others.
 *
 * In:     a list of items sorted by host; the results of those that were taken.
 * Out:    the next item that may be started now.
 * Source: RFC 8460 section 7 (whoever publishes a rua may aim it at somebody else).
 * Limits: per host: attempts in progress, attempts of the run, failures; and attempts of the whole run.
 *
 * The first host that may have more gets it, so that few hosts are busy at a time and connections are
 * reused.  A host that has not accepted anything yet gets at most as many attempts at once as it has failures
 * left: so a dead host costs exactly `failures` attempts, however many items wait for it.
 */
#ifndef DELIVER_QUEUE_H
#define DELIVER_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "model/delivery_result.h"

struct queue_limits {
    size_t at_once;  /* attempts in progress at one host; 0: no limit */
    size_t failures; /* a host gets no more attempts after this many "try later"; 0: no limit */
    size_t per_host; /* attempts of this run at one host; 0: no limit */
    size_t per_run;  /* attempts of this run; 0: no limit */
};

/* Why items were not taken. */
enum queue_left {
    QUEUE_LEFT_TIME,   /* the time was up */
    QUEUE_LEFT_FAILED, /* limits.failures */
    QUEUE_LEFT_HOST,   /* limits.per_host */
    QUEUE_LEFT_RUN,    /* limits.per_run */
};

struct queue_host;

struct queue {
    struct queue_limits limits;
    struct queue_host *hosts;
    size_t host_count;
    size_t first; /* of the hosts with items that may be taken; host_count: none */
    size_t taken;
};

/* The host of item index. */
typedef const char *queue_host_fn(void *context, size_t index);

/* count of items left at a host, and why. */
typedef void queue_left_fn(void *context, const char *host, size_t count, enum queue_left why);

/* Host names are borrowed while the queue is open; items of the same host must be adjacent.  ST_NOMEM. */
MUST_CHECK enum status queue_open(struct queue *queue, const struct queue_limits *limits, size_t count,
                                  queue_host_fn *host_of, void *context, struct err *err);
void queue_close(struct queue *queue);

/* The next item that may be started; false: none now (ask again after queue_release). */
bool queue_take(struct queue *queue, size_t *index_out);

/* One more item of the same host as index, for the same attempt; false: none. */
bool queue_take_along(struct queue *queue, size_t index, size_t *index_out);

/* Up to max items that will most likely be taken next; returns the number. */
size_t queue_preview(const struct queue *queue, size_t *indexes_out, size_t max);

/* The result of an item that was taken. */
void queue_settle(struct queue *queue, size_t index, enum delivery_result_kind kind);

/* The attempt for which queue_take gave index is over. */
void queue_release(struct queue *queue, size_t index);

/* Every host with items that were not taken. */
void queue_each_left(const struct queue *queue, queue_left_fn *fn, void *context);

/* "no time left", "host fails", ... */
const char *queue_left_words(enum queue_left why);

#endif
