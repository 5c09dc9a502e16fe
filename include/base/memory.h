/* SPDX-License-Identifier: MIT */
/*
 * memory.h - an allocator for libraries that do not always tell when memory ran out.
 *
 * Jansson (2.14) is one: when its buffer cannot grow while it reads a text, it can leave out a byte of it and
 * say that all went well.
 */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/* malloc(3), but a refusal is remembered for this thread.  Free with free(3). */
void *memory_alloc(size_t size);

/* Was memory_alloc refused in this thread since this was last asked? */
bool memory_was_short(void);

#endif
