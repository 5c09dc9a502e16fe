/* SPDX-License-Identifier: MIT */
/*
 * arena.h - memory for things that die together: one datagram, one record, one report.
 *
 * Limits: an arena never holds more than the max_bytes given at its birth; past that, and when memory is
 * out, arena_alloc returns NULL.  Not for use by two threads at once.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

#include "base/attr.h"

struct arena_block;

struct arena {
    struct arena_block *blocks; /* newest first */
    size_t used_bytes;          /* handed out since the last reset */
    size_t max_bytes;
};

/* Prepare an empty arena; allocates nothing. */
void arena_init(struct arena *arena, size_t max_bytes);

/* Free everything the arena gave; it may be used again after arena_init. */
void arena_done(struct arena *arena);

/* Forget everything the arena gave but keep its newest block for the next round. */
void arena_reset(struct arena *arena);

/* size zeroed bytes, aligned for any type; NULL if over the limit or out of memory. */
MUST_CHECK void *arena_alloc(struct arena *arena, size_t size);

/* count zeroed elements of size bytes; NULL also if the product overflows. */
MUST_CHECK void *arena_alloc_array(struct arena *arena, size_t count, size_t size);

/* A NUL-terminated copy of text[0..len); NULL as arena_alloc. */
MUST_CHECK char *arena_copy_text(struct arena *arena, const char *text, size_t len);

/* printf into the arena; NULL as arena_alloc. */
MUST_CHECK char *arena_format(struct arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
