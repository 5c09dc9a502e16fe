/* SPDX-License-Identifier: MIT */
/*
 * tally.h - which counters of a store one session result adds to: what is left of it once its texts have
 * numbers.
 */
#ifndef MODEL_TALLY_H
#define MODEL_TALLY_H

#include <stdint.h>

/* Enough for what MTAs send (one policy, at most one detail); others are counted without a plan. */
#define TALLY_TARGETS_MAX 2

enum tally_kind {
    TALLY_SUCCESS, /* sessions that met the policy */
    TALLY_FAILURE, /* sessions that did not */
    TALLY_DETAIL,  /* sessions with that failure detail */
};

struct tally_target {
    int64_t policy_id;
    int64_t detail_id; /* TALLY_DETAIL only, else 0 */
};

struct tally_plan {
    int64_t domain_id;
    int64_t record_id;     /* the TLSRPT record that came with it; 0: none */
    int64_t record_seen_s; /* when that record was last noted */
    int32_t utc_day;
    uint8_t target_count;
    uint8_t kinds[TALLY_TARGETS_MAX]; /* enum tally_kind */
    uint8_t folded_policies;          /* how many of its policies and details were over the caps */
    uint8_t folded_details;
    struct tally_target targets[TALLY_TARGETS_MAX];
};

#endif
