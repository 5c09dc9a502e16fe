/* SPDX-License-Identifier: MIT */
/* Each text has a counter in each of two rows; the smaller one is its number, and only the smaller one grows. */
#include "base/sketch.h"

#include <stdlib.h>
#include <string.h>

struct sketch *sketch_new(void)
{
    struct sketch *sketch = calloc(1, sizeof *sketch);

    if (sketch != NULL)
        sketch->key = hash_key_new();
    return sketch;
}

static struct hash hash_of(const struct sketch *sketch, const char *text)
{
    return hash_bytes(&sketch->key, text, strlen(text));
}

uint32_t sketch_get(const struct sketch *sketch, const char *text)
{
    const struct hash hash = hash_of(sketch, text);
    const uint32_t a = sketch->counts[0][hash.words[0] % SKETCH_COUNTERS];
    const uint32_t b = sketch->counts[1][hash.words[1] % SKETCH_COUNTERS];

    return a < b ? a : b;
}

void sketch_add(struct sketch *sketch, const char *text)
{
    const struct hash hash = hash_of(sketch, text);
    const uint32_t number = sketch_get(sketch, text);
    uint32_t *a = &sketch->counts[0][hash.words[0] % SKETCH_COUNTERS];
    uint32_t *b = &sketch->counts[1][hash.words[1] % SKETCH_COUNTERS];

    if (number == UINT32_MAX)
        return;
    *a += *a == number;
    *b += *b == number;
}
