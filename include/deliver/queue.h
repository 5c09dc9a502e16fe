/* SPDX-License-Identifier: MIT */
/*
 * queue.h - which delivery comes next, so that no destination host gets too much and none holds up the rest.
 *
 * In:     a list of items sorted by host; what became of those that were taken.
 * Out:    the next item that may be begun now.
 * Source: RFC 8460 section 7 (a rua is a stranger's wish: whoever publishes it may aim it at
 *         somebody else).
 * Limits: per host: attempts under way, attempts of the run, failures; and attempts of the whole run.
 *
 * The first host that may have more gets it, so that few hosts are at work at a time and connections are used
 * again.  A host that has
 * not yet taken anything gets at most as many attempts at once as it has failures left: so a dead host costs
 * exactly `failures` attempts, however many wait for it.
 */
#ifndef DELIVER_QUEUE_H
#define DELIVER_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "model/delivery_result.h"

struct queue_limits {
    size_t at_once;  /* attempts under way at one host; 0: no limit */
    size_t failures; /* after so many "try later"s a host is left alone; 0: never */
    size_t per_host; /* attempts of this run at one host; 0: no limit */
    size_t per_run;  /* attempts of this run; 0: no limit */
};

/* Why items were not taken. */
enum queue_left {
    QUEUE_LEFT_TIME,   /* there was no time */
    QUEUE_LEFT_FAILED, /* the host failed too often */
    QUEUE_LEFT_HOST,   /* the host had its share */
    QUEUE_LEFT_RUN,    /* the run had its share */
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

/* Host names are borrowed for the queue's life; equal ones must stand side by side.  ST_NOMEM. */
MUST_CHECK enum status queue_open(struct queue *queue, const struct queue_limits *limits, size_t count,
                                  queue_host_fn *host_of, void *context, struct err *err);
void queue_close(struct queue *queue);

/* The next item that may be begun; false: none just now (ask again after queue_release). */
bool queue_take(struct queue *queue, size_t *index_out);

/* One more item of the same host as index, to go along with it in the same attempt; false: none. */
bool queue_take_along(struct queue *queue, size_t index, size_t *index_out);

/* Up to max items that will most likely be taken next; returns how many. */
size_t queue_preview(const struct queue *queue, size_t *indexes_out, size_t max);

/* What became of a taken item. */
void queue_settle(struct queue *queue, size_t index, enum delivery_result_kind kind);

/* The attempt that queue_take gave index for is over. */
void queue_release(struct queue *queue, size_t index);

/* Every host with items that were not taken. */
void queue_each_left(const struct queue *queue, queue_left_fn *fn, void *context);

/* "no time left", "host fails", ... */
const char *queue_left_words(enum queue_left why);

#endif
