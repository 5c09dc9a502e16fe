/* SPDX-License-Identifier: MIT */
/*
 * delivery.h - what mail and HTTPS share: what the ledger records before and after each attempt ("sending" before
 * the first byte, the result after the last), and the totals of a run.
 *
 * The first error of the ledger is kept in delivery.status; after it no further delivery is started.
 */
#ifndef GENERATE_DELIVERY_H
#define GENERATE_DELIVERY_H

#include <stdbool.h>
#include <stdint.h>

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

/* One report to one destination that is due. */
struct delivery_item {
    struct ledger_delivery row;  /* its texts live in texts */
    struct ledger_report report; /* set by delivery_begin; lives in body until delivery_item_drop_body */
    uint32_t slot;               /* of the scheduler, once started */
    int64_t marked_at_s;         /* set by delivery_begin, */
    bool is_marked;              /*   which marked it */
    bool is_copied;              /* its copy for bcc has been taken */
    struct arena texts;
    struct arena body;
};

struct delivery {
    struct generator *generator;
    struct delivery_totals *totals;
    bool is_in_transaction;
    int64_t changed_ms; /* clock_monotonic_ms of the first change that is not committed */
    enum status status; /* first failure of the ledger */
    struct err err;
};

/* Copy row with its texts; ST_NOMEM.  Free with delivery_item_done, also after a failure. */
MUST_CHECK enum status delivery_item_init(struct delivery_item *item, const struct ledger_delivery *row,
                                          struct err *err);
void delivery_item_drop_body(struct delivery_item *item);
void delivery_item_done(struct delivery_item *item);

/* ---- one attempt ---- */

/*
 * Mark the item as being sent and read its report; nothing may be sent before delivery_commit.  False: the ledger fails,
 * see status; or, if that is ST_OK, only this report cannot be read, and *fault_out is its result.
 */
bool delivery_begin(struct delivery *delivery, struct delivery_item *item, struct delivery_result *fault_out);

/*
 * What became of an item; the next delivery_commit makes it durable.
 * After a failure of the ledger nothing is recorded, logged or counted any more: it stays "sending", in doubt.
 *   record             delivered, due again, expired or given up; a mailbox that refused for good is
 *                      suppressed for some days
 *   record_suppressed  not sent because its mailbox is suppressed
 *   record_expired     not delivered within 24 hours after it was due
 *   put_back           marked but not tried: due as before
 *   put_off            not tried because others to the same destination failed: due later, as after a failure
 */
void delivery_record(struct delivery *delivery, struct delivery_item *item,
                     const struct delivery_result *result);
void delivery_record_suppressed(struct delivery *delivery, const struct delivery_item *item);
void delivery_record_expired(struct delivery *delivery, const struct delivery_item *item);
void delivery_put_back(struct delivery *delivery, const struct delivery_item *item, const char *reason);

void delivery_put_off(struct delivery *delivery, const struct delivery_item *item);

/* Make all of the above durable.  False: see status. */
bool delivery_commit(struct delivery *delivery);

/* Is the item's mailbox suppressed now?  False also if the ledger cannot be read: see status. */
bool delivery_is_suppressed(struct delivery *delivery, const struct delivery_item *item);

#endif
