/* SPDX-License-Identifier: MIT */
#include "base/memory.h"

#include <stdlib.h>

#include "base/arena.h"

static _Thread_local bool was_refused;
static _Thread_local struct arena *entered; /* NULL: the heap */
static _Thread_local jmp_buf *way_out;

void memory_enter(struct arena *arena, jmp_buf *escape)
{
    entered = arena;
    way_out = escape;
}

void memory_leave(void)
{
    entered = NULL;
}

void memory_free(void *memory)
{
    if (entered == NULL)
        free(memory);
}

static void *take_from_arena(size_t size)
{
    void *memory = arena_alloc(entered, size);

    if (memory == NULL) {
        memory_leave();
        longjmp(*way_out, 1);
    }
    return memory;
}

void *memory_alloc(size_t size)
{
    void *memory = entered != NULL ? take_from_arena(size) : malloc(size);

    if (memory == NULL)
        was_refused = true;
    return memory;
}

bool memory_was_short(void)
{
    bool answer = was_refused;

    was_refused = false;
    return answer;
}
