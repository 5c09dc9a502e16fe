/* SPDX-License-Identifier: MIT */
/*
 * sketch.h - a number for each of any number of texts, roughly, in a fixed amount of memory.
 *
 * Source: Cormode and Muthukrishnan, "An improved data stream summary: the count-min sketch and its applications".
 * Limits: SKETCH_COUNTERS counters twice.  Two texts may share a counter, and which ones nobody outside can know.  A
 *         number is never too small.
 */
#ifndef BASE_SKETCH_H
#define BASE_SKETCH_H

#include <stdint.h>

#include "base/attr.h"
#include "base/keyed_hash.h"

#define SKETCH_COUNTERS 65536 /* a power of two */

struct sketch {
    struct hash_key key;
    uint32_t counts[2][SKETCH_COUNTERS];
};

/* All 0.  Free with free(); NULL: out of memory. */
MUST_CHECK struct sketch *sketch_new(void);

uint32_t sketch_get(const struct sketch *sketch, const char *text);
void sketch_add(struct sketch *sketch, const char *text);

#endif
