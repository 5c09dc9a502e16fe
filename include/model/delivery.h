/* SPDX-License-Identifier: MIT */
/*
 * delivery.h - one report on its way to one destination: kinds and states, with their words.
 *
 *   due --> sending --> delivered
 *    ^         |------> given up    the destination refused for good
 *    |         |------> expired     24 hours of trying are over
 *    '---------'                    try later; also after a crash while sending
 *   suppressed                      a rule of ours: not sent at all
 */
#ifndef MODEL_DELIVERY_H
#define MODEL_DELIVERY_H

#include <stdbool.h>

/* The numbers are stored in the ledger: never change them. */
enum delivery_kind {
    DELIVERY_MAIL = 0,
    DELIVERY_HTTPS = 1,
    DELIVERY_KIND_COUNT,
};

enum delivery_state {
    DELIVERY_DUE = 0,
    DELIVERY_SENDING = 1,
    DELIVERY_DELIVERED = 2,
    DELIVERY_GIVEN_UP = 3,
    DELIVERY_SUPPRESSED = 4,
    DELIVERY_EXPIRED = 5,
    DELIVERY_STATE_COUNT,
};

/* "mailto", "https" */
const char *delivery_kind_name(enum delivery_kind kind);

/* "due", "sending", "delivered", "given-up", "suppressed", "expired" */
const char *delivery_state_name(enum delivery_state state);

/* True for due and sending: something is still to be done. */
bool delivery_state_is_open(enum delivery_state state);

#endif
