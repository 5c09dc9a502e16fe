/* SPDX-License-Identifier: MIT */
/*
 * courier.h - what both ways of delivery share: which deliveries are due, and the ledger's word before and
 * after each attempt ("sending" before the first byte, the outcome after the last).
 *
 * Errors of the ledger stick: no further delivery is begun, and courier.status is the run's.
 */
#ifndef CMD_COURIER_H
#define CMD_COURIER_H

#include <stdbool.h>
#include <stdint.h>

#include "cmd/generator.h"
#include "model/delivery.h"
#include "model/outcome.h"

struct delivery_totals {
    uint64_t delivered;
    uint64_t later;
    uint64_t given_up;
    uint64_t expired;
};

/* One delivery that is due; its texts live as long as the courier. */
struct courier_item {
    struct ledger_delivery row;
    struct ledger_report report; /* set by courier_begin; gzip lives in the arena given there */
};

struct courier {
    struct generator *generator;
    struct arena arena;
    struct courier_item *items; /* by kind, host and age */
    size_t count;
    size_t capacity;
    struct delivery_totals totals;
    bool is_in_transaction;
    enum status status; /* first failure of the ledger */
    struct err err;
};

/* Collect what is due now.  Statuses of the ledger.  Free with courier_close, also after a failure. */
MUST_CHECK enum status courier_open(struct courier *courier, struct generator *generator, struct err *err);
void courier_close(struct courier *courier);

/* The items of one kind: the first, and how many follow one another. */
struct courier_item *courier_items_of(const struct courier *courier, enum delivery_kind kind,
                                      size_t *count_out);

/* Mark items[0..count) as being sent, in one transaction, and read their reports.  False: courier.status. */
bool courier_begin(struct courier *courier, struct courier_item *items, size_t count, struct arena *arena);

/* What became of one: delivered, due again, expired or given up; kept by the next courier_commit. */
void courier_record(struct courier *courier, const struct courier_item *item, const struct outcome *outcome);

/* Make what was recorded durable. */
void courier_commit(struct courier *courier);

#endif
