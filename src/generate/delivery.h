/* SPDX-License-Identifier: MIT */
/*
 * delivery.h - what mail and HTTPS share: which deliveries are due, and what the ledger records before and
 * after each attempt ("sending" before the first byte, the result after the last).
 *
 * The first error of the ledger is kept in delivery.status; after it no further delivery is started.
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

/* One report to one destination that is due; its texts live as long as struct delivery. */
struct delivery_item {
    struct ledger_delivery row;
    struct ledger_report report; /* set by delivery_begin; gzip lives in the arena given there */
    enum delivery_stage reached; /* set by delivery_record */
};

/* Everything that one run delivers. */
struct delivery {
    struct generator *generator;
    struct arena arena;
    struct delivery_item *items; /* by kind, host and age */
    size_t count;
    size_t capacity;
    int64_t stop_at_ms; /* clock_monotonic_ms: start no delivery after that */
    struct delivery_totals *totals;
    bool is_in_transaction;
    enum status status; /* first failure of the ledger */
    struct err err;
};

/*
 * Collect what is due at due_s or before; results will be added to *totals.  Free with delivery_close, also
 * after a failure.
 * ST_NOMEM
 * else      as ledger_each_due
 */
MUST_CHECK enum status delivery_open(struct delivery *delivery, struct generator *generator, int64_t due_s,
                                     struct delivery_totals *totals, struct err *err);
void delivery_close(struct delivery *delivery);

/* The items of one kind: the first, and how many follow one another. */
struct delivery_item *delivery_items_of(const struct delivery *delivery, enum delivery_kind kind,
                                        size_t *count_out);

/* ---- one attempt ---- */

/* Mark these items as being sent, in one transaction, and read their reports.  False: see delivery.status. */
bool delivery_begin(struct delivery *delivery, struct delivery_item *const *items, size_t count,
                    struct arena *arena);

/*
 * What became of an item; the next delivery_commit makes it durable.
 *   record             delivered, due again, expired or given up; a mailbox that refused for good is
 *                      suppressed for some days
 *   record_suppressed  not sent because its mailbox is suppressed
 *   put_back           marked but not tried: due as before
 */
void delivery_record(struct delivery *delivery, struct delivery_item *item,
                     const struct delivery_result *result);
void delivery_record_suppressed(struct delivery *delivery, const struct delivery_item *item);
void delivery_put_back(struct delivery *delivery, const struct delivery_item *item);
void delivery_commit(struct delivery *delivery);

/* Is the item's mailbox suppressed now?  False also if the ledger cannot be read: see delivery.status. */
bool delivery_is_suppressed(struct delivery *delivery, const struct delivery_item *item);

/* ---- limits ---- */

/* at_once and failures are the transport's; the others are settings. */
struct queue_limits delivery_limits(const struct delivery *delivery, size_t at_once, size_t failures);

/* Log what was not started, and why: one line for each failing host, one for each other reason. */
void delivery_log_left(const struct queue *queue, enum delivery_kind kind);

#endif
