/* SPDX-License-Identifier: MIT */
/*
 * tally.h - what the session store keeps in mind about a session result: which of its rows the result adds to,
 * so that equal ones are counted without their texts.
 */
#ifndef MODEL_TALLY_H
#define MODEL_TALLY_H

#include <stdbool.h>
#include <stdint.h>

#define TALLY_PLAN_WORDS 8

struct tally_plan {
    bool is_made; /* false: the result adds to more rows than fit; add it each time */
    int32_t utc_day;
    uint64_t rows[TALLY_PLAN_WORDS]; /* the store's own */
};

#endif
