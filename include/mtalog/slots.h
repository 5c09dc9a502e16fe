/* SPDX-License-Identifier: MIT */
/*
 * slots.h - a table of a fixed number of items, found by key; when it is full, the least recently used one
 * makes room.  So the log reader's memory does not depend on the log.
 *
 * A key is a keyed 64-bit hash of the item's name (slots_key): nobody outside can aim at a collision, and
 * without aim one does not happen.  Each item begins with a struct session_slot.
 */
#ifndef MTALOG_SLOTS_H
#define MTALOG_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/cursor.h"

struct session_slot {
    uint64_t key;
    uint32_t chain_next; /* next with the same bucket, or in the free list */
    uint32_t older, newer;
    bool is_used;
};

/* Called with the item that makes room, before it is removed. */
typedef void slots_evict_fn(void *context, struct session_slot *slot);

struct slots {
    char *memory;
    uint32_t *buckets;
    size_t slot_size;
    size_t clear_bytes;
    uint32_t capacity;
    uint32_t used;
    uint32_t never_used; /* slots from here on were never handed out */
    uint32_t free, oldest, newest;
    uint64_t secret;
    slots_evict_fn *evict; /* may be NULL */
    void *context;
};

/*
 * capacity: a power of two.  Of a new item only the first clear_bytes are zero (slot_size: all).
 * False: out of memory; slots_done may still be called.
 */
MUST_CHECK bool slots_init(struct slots *slots, size_t slot_size, size_t clear_bytes, uint32_t capacity,
                           slots_evict_fn *evict, void *context);
void slots_done(struct slots *slots);

/* Key of a name in up to three parts. */
uint64_t slots_key(const struct slots *slots, struct span a, struct span b, struct span c);

/* NULL if there is none.  Does not touch. */
struct session_slot *slots_find(const struct slots *slots, uint64_t key);

/* The one with this key, or a new one; it is now the newest.  Never NULL. */
struct session_slot *slots_get(struct slots *slots, uint64_t key);

void slots_remove(struct slots *slots, struct session_slot *slot);

/* From the least recently used one; NULL at the end.  Ask for the next one before removing one. */
struct session_slot *slots_oldest(const struct slots *slots);
struct session_slot *slots_next(const struct slots *slots, const struct session_slot *slot);

#endif
