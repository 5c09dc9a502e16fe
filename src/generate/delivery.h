/* SPDX-License-Identifier: MIT */
/*
 * delivery.h - what both ways of delivery share: which deliveries are due, and the ledger's word before and
 * after each attempt ("sending" before the first byte, the outcome after the last).
 *
 * Errors of the ledger stick: no further delivery is begun, and delivery.status is the run's.
 */
#ifndef GENERATE_DELIVERY_H
#define GENERATE_DELIVERY_H

#include <stdbool.h>
#include <stdint.h>

#include "deliver/queue.h"
#include "generator.h"
#include "model/delivery.h"
#include "model/delivery_result.h"

struct delivery_totals {
    uint64_t delivered;
    uint64_t later;
    uint64_t given_up;
    uint64_t expired;
    uint64_t suppressed;
};

/* One delivery that is due; its texts live as long as the delivery. */
struct delivery_item {
    struct ledger_delivery row;
    struct ledger_report report; /* set by delivery_begin; gzip lives in the arena given there */
    enum delivery_stage reached; /* set by delivery_record */
};

struct delivery {
    struct generator *generator;
    struct arena arena;
    struct delivery_item *items; /* by kind, host and age */
    size_t count;
    size_t capacity;
    int64_t stop_at_ms; /* clock_monotonic_ms: begin no delivery after that */
    struct delivery_totals totals;
    bool is_in_transaction;
    enum status status; /* first failure of the ledger */
    struct err err;
};

/* Collect what is due at due_s or before.  Statuses of the ledger.  Free with delivery_close, also after a
 * failure. */
MUST_CHECK enum status delivery_open(struct delivery *delivery, struct generator *generator, int64_t due_s,
                                     struct err *err);
void delivery_close(struct delivery *delivery);

/* The items of one kind: the first, and how many follow one another. */
struct delivery_item *delivery_items_of(const struct delivery *delivery, enum delivery_kind kind,
                                        size_t *count_out);

/* Mark these items as being sent, in one transaction, and read their reports.  False: delivery.status. */
bool delivery_begin(struct delivery *delivery, struct delivery_item *const *items, size_t count,
                    struct arena *arena);

/* An item was marked and is not tried after all: as it was; kept by the next delivery_commit. */
void delivery_put_back(struct delivery *delivery, const struct delivery_item *item);

/*
 * What became of one: delivered, due again, expired or given up; kept by the next delivery_commit.  A mailbox
 * that refused for good is left alone for some days from now on.
 */
void delivery_record(struct delivery *delivery, struct delivery_item *item,
                     const struct delivery_result *result);

/* True if the item's mailbox is left alone just now: then that is recorded, and there is nothing more to do.
 */
bool delivery_is_suppressed(struct delivery *delivery, struct delivery_item *item);

/* Tell the log what was not begun, and why: each failing host, and the rest in one line a reason. */
void delivery_log_left(const struct queue *queue, enum delivery_kind kind);

/* What the operator set for both ways. */
struct queue_limits delivery_limits(const struct delivery *delivery, size_t at_once, size_t failures);

/* Make what was recorded durable. */
void delivery_commit(struct delivery *delivery);

#endif
