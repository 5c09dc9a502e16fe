/* SPDX-License-Identifier: MIT */
#include "base/memory.h"

#include <stdlib.h>

static _Thread_local bool was_refused;

void *memory_alloc(size_t size)
{
    void *memory = malloc(size);

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
