/* SPDX-License-Identifier: MIT */
/*
 * memory.h - an allocator for libraries that do not always tell when memory ran out.
 *
 * Jansson (2.14) is one: when its buffer cannot grow while it reads a text, it can leave out a byte of it and
 * say that all went well.
 */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>

struct arena;

/* malloc(3), but a refusal is remembered for this thread. */
void *memory_alloc(size_t size);
void memory_free(void *memory);

/*
 * Between enter and leave, what this thread allocates here comes from arena, and memory_free does nothing: a
 * tree that is only looked at needs no taking apart.  Nothing allocated before may be freed in between, and
 * nothing allocated in between afterwards.  When the arena refuses, the library is left at once, with a
 * longjmp to escape after memory_leave: it holds nothing but what the arena holds.
 */
void memory_enter(struct arena *arena, jmp_buf *escape);
void memory_leave(void);

/* Was memory_alloc refused in this thread since this was last asked? */
bool memory_was_short(void);

#endif
