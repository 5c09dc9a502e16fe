/* SPDX-License-Identifier: MIT */
#include "model/delivery.h"

static const char *const KIND_NAMES[DELIVERY_KIND_COUNT] = {
    [DELIVERY_MAIL] = "mailto",
    [DELIVERY_HTTPS] = "https",
};

static const char *const STATE_NAMES[DELIVERY_STATE_COUNT] = {
    [DELIVERY_DUE] = "due",
    [DELIVERY_SENDING] = "sending",
    [DELIVERY_DELIVERED] = "delivered",
    [DELIVERY_GIVEN_UP] = "given-up",
    [DELIVERY_SUPPRESSED] = "suppressed",
    [DELIVERY_EXPIRED] = "expired",
};

const char *delivery_kind_name(enum delivery_kind kind)
{
    return (unsigned)kind < DELIVERY_KIND_COUNT ? KIND_NAMES[kind] : "unknown";
}

const char *delivery_state_name(enum delivery_state state)
{
    return (unsigned)state < DELIVERY_STATE_COUNT ? STATE_NAMES[state] : "unknown";
}

bool delivery_state_is_open(enum delivery_state state)
{
    return state == DELIVERY_DUE || state == DELIVERY_SENDING;
}
