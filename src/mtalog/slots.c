/* SPDX-License-Identifier: MIT */
/*
 * A hash table with chains, and a list of all used slots from least to most recently used.  All memory is
 * allocated at once; a full table evicts the least recently used slot.
 */
#include "mtalog/slots.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define NONE UINT32_MAX

/* index is not NONE. */
static struct session_slot *slot_at(const struct slots *slots, uint32_t index)
{
    return (struct session_slot *)(void *)(slots->memory + (size_t)index * slots->slot_size);
}

static struct session_slot *slot_or_null(const struct slots *slots, uint32_t index)
{
    return index == NONE ? NULL : slot_at(slots, index);
}

static uint32_t index_of(const struct slots *slots, const struct session_slot *slot)
{
    return (uint32_t)((size_t)((const char *)slot - slots->memory) / slots->slot_size);
}

bool slots_init(struct slots *slots, size_t slot_size, size_t clear_bytes, uint32_t capacity,
                slots_evict_fn *evict, void *context)
{
    *slots = (struct slots){.slot_size = slot_size,
                            .clear_bytes = clear_bytes,
                            .capacity = capacity,
                            .free = NONE,
                            .oldest = NONE,
                            .newest = NONE,
                            .evict = evict,
                            .context = context};
    slots->memory = calloc(capacity, slot_size);
    slots->buckets = malloc(capacity * sizeof *slots->buckets);
    if (slots->memory == NULL || slots->buckets == NULL)
        return false;
    memset(slots->buckets, 0xff, capacity * sizeof *slots->buckets);
    return getrandom(&slots->secret, sizeof slots->secret, GRND_NONBLOCK) == (ssize_t)sizeof slots->secret;
}

void slots_done(struct slots *slots)
{
    free(slots->memory);
    free(slots->buckets);
    *slots = (struct slots){.free = NONE, .oldest = NONE, .newest = NONE};
}

static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ (hash >> 29) ^ (hash << 31);
}

static uint64_t add_bytes(uint64_t hash, uint64_t secret, struct span span)
{
    uint64_t word;
    size_t at = 0;

    for (; at + sizeof word <= span.len; at += sizeof word) {
        memcpy(&word, span.at + at, sizeof word);
        hash = mix(hash, word + secret);
    }
    word = 0;
    if (at < span.len)
        memcpy(&word, span.at + at, span.len - at);
    hash = mix(hash, word + secret);
    return mix(hash, span.len + secret);
}

uint64_t slots_key(const struct slots *slots, struct span a, struct span b, struct span c)
{
    uint64_t hash = add_bytes(~slots->secret, slots->secret, a);

    hash = add_bytes(hash, slots->secret, b);
    return add_bytes(hash, slots->secret, c);
}

static uint32_t *bucket_of(const struct slots *slots, uint64_t key)
{
    return &slots->buckets[(key ^ (key >> 32)) & (slots->capacity - 1)];
}

struct session_slot *slots_find(const struct slots *slots, uint64_t key)
{
    struct session_slot *slot = slot_or_null(slots, *bucket_of(slots, key));

    while (slot != NULL && slot->key != key)
        slot = slot_or_null(slots, slot->chain_next);
    return slot;
}

static void leave_age_list(struct slots *slots, struct session_slot *slot)
{
    if (slot->older != NONE)
        slot_at(slots, slot->older)->newer = slot->newer;
    else
        slots->oldest = slot->newer;
    if (slot->newer != NONE)
        slot_at(slots, slot->newer)->older = slot->older;
    else
        slots->newest = slot->older;
}

static void become_newest(struct slots *slots, struct session_slot *slot)
{
    slot->older = slots->newest;
    slot->newer = NONE;
    if (slots->newest != NONE)
        slot_at(slots, slots->newest)->newer = index_of(slots, slot);
    else
        slots->oldest = index_of(slots, slot);
    slots->newest = index_of(slots, slot);
}

void slots_remove(struct slots *slots, struct session_slot *slot)
{
    uint32_t index = index_of(slots, slot);
    uint32_t *link = bucket_of(slots, slot->key);

    while (*link != index)
        link = &slot_at(slots, *link)->chain_next;
    *link = slot->chain_next;
    leave_age_list(slots, slot);
    slot->is_used = false;
    slot->chain_next = slots->free;
    slots->free = index;
    slots->used--;
}

/* An unused slot; if there is none, the oldest makes room. */
static struct session_slot *take_unused(struct slots *slots)
{
    struct session_slot *slot;

    if (slots->free == NONE && slots->never_used < slots->capacity)
        return slot_at(slots, slots->never_used++);
    if (slots->free == NONE) {
        slot = slot_at(slots, slots->oldest);
        if (slots->evict != NULL)
            slots->evict(slots->context, slot);
        slots_remove(slots, slot);
    }
    slot = slot_at(slots, slots->free);
    slots->free = slot->chain_next;
    memset(slot, 0, slots->clear_bytes);
    return slot;
}

struct session_slot *slots_get(struct slots *slots, uint64_t key)
{
    struct session_slot *slot = slots_find(slots, key);
    uint32_t *bucket = bucket_of(slots, key);

    if (slot != NULL) {
        leave_age_list(slots, slot);
    } else {
        slot = take_unused(slots);
        slot->key = key;
        slot->is_used = true;
        slot->chain_next = *bucket;
        *bucket = index_of(slots, slot);
        slots->used++;
    }
    become_newest(slots, slot);
    return slot;
}

struct session_slot *slots_oldest(const struct slots *slots)
{
    return slot_or_null(slots, slots->oldest);
}

struct session_slot *slots_next(const struct slots *slots, const struct session_slot *slot)
{
    return slot_or_null(slots, slot->newer);
}
