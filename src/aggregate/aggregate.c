/* SPDX-License-Identifier: MIT */
/*
 * A hash table with open addressing.  Slots hold numbers of entries; entries never move, so the caller may
 * keep pointers to them, and only the slots are made anew when the table grows.  The key of the hashes is
 * random and secret, so their bits select the slot as they are.  Entries counted in this batch form a list.
 */
#include "aggregate/aggregate.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_ENTRIES 512
#define CHUNKS_MAX    (AGGREGATE_MAX / CHUNK_ENTRIES)
#define SLOTS_MIN     1024
#define NONE          UINT32_MAX /* no entry */

struct aggregate {
    struct aggregate_entry *chunks[CHUNKS_MAX];
    uint32_t *slots;
    size_t slot_count; /* a power of two; at most two thirds are used */
    uint32_t entry_count;
    uint32_t first; /* of this batch */
};

static struct aggregate_entry *entry_at(const struct aggregate *aggregate, uint32_t number)
{
    return &aggregate->chunks[number / CHUNK_ENTRIES][number % CHUNK_ENTRIES];
}

/* NULL: out of memory. */
static uint32_t *new_slots(size_t count)
{
    uint32_t *slots = malloc(count * sizeof *slots);

    if (slots != NULL)
        memset(slots, 0xFF, count * sizeof *slots);
    return slots;
}

struct aggregate *aggregate_new(void)
{
    struct aggregate *aggregate = calloc(1, sizeof *aggregate);

    if (aggregate == NULL)
        return NULL;
    aggregate->first = NONE;
    aggregate->slot_count = SLOTS_MIN;
    aggregate->slots = new_slots(SLOTS_MIN);
    if (aggregate->slots == NULL)
        aggregate_free(&aggregate);
    return aggregate;
}

static void free_chunks(struct aggregate *aggregate)
{
    for (size_t i = 0; i < CHUNKS_MAX; i++) {
        free(aggregate->chunks[i]);
        aggregate->chunks[i] = NULL;
    }
}

void aggregate_free(struct aggregate **aggregate)
{
    if (*aggregate != NULL) {
        free_chunks(*aggregate);
        free((*aggregate)->slots);
    }
    free(*aggregate);
    *aggregate = NULL;
}

/* The day is part of the key. */
static size_t slot_of(const struct aggregate *aggregate, const struct hash *hash, int32_t arrival_day)
{
    return (size_t)(hash->words[0] + (uint64_t)arrival_day) & (aggregate->slot_count - 1);
}

static bool is_same(const struct aggregate_entry *entry, const struct hash *hash, int32_t arrival_day)
{
    return entry->hash.words[0] == hash->words[0] && entry->hash.words[1] == hash->words[1] &&
           entry->arrival_day == arrival_day;
}

/* The slot that holds the entry, or the free one where it belongs. */
static uint32_t *find_slot(const struct aggregate *aggregate, const struct hash *hash, int32_t arrival_day)
{
    size_t slot = slot_of(aggregate, hash, arrival_day);

    while (aggregate->slots[slot] != NONE &&
           !is_same(entry_at(aggregate, aggregate->slots[slot]), hash, arrival_day))
        slot = (slot + 1) & (aggregate->slot_count - 1);
    return &aggregate->slots[slot];
}

static bool grow(struct aggregate *aggregate)
{
    uint32_t *old = aggregate->slots;
    uint32_t *slots = new_slots(2 * aggregate->slot_count);

    if (slots == NULL)
        return false;
    aggregate->slots = slots;
    aggregate->slot_count *= 2;
    for (uint32_t i = 0; i < aggregate->entry_count; i++) {
        const struct aggregate_entry *entry = entry_at(aggregate, i);

        *find_slot(aggregate, &entry->hash, entry->arrival_day) = i;
    }
    free(old);
    return true;
}

/* A new entry in the table; NULL: out of memory or full. */
static struct aggregate_entry *add_entry(struct aggregate *aggregate, const struct hash *hash,
                                         int32_t arrival_day)
{
    struct aggregate_entry **chunk = &aggregate->chunks[aggregate->entry_count / CHUNK_ENTRIES];
    struct aggregate_entry *entry;

    if (aggregate->entry_count >= AGGREGATE_MAX)
        return NULL;
    if ((size_t)(aggregate->entry_count + 1) * 3 > aggregate->slot_count * 2 && !grow(aggregate))
        return NULL;
    if (*chunk == NULL)
        *chunk = malloc(CHUNK_ENTRIES * sizeof **chunk);
    if (*chunk == NULL)
        return NULL;
    *find_slot(aggregate, hash, arrival_day) = aggregate->entry_count;
    entry = entry_at(aggregate, aggregate->entry_count++);
    *entry = (struct aggregate_entry){.hash = *hash, .arrival_day = arrival_day, .state = AGGREGATE_NEW};
    return entry;
}

bool aggregate_add(struct aggregate *aggregate, const struct hash *hash, int32_t arrival_day,
                   uint64_t sequence, int64_t arrival_s)
{
    uint32_t number = *find_slot(aggregate, hash, arrival_day);
    struct aggregate_entry *entry = number != NONE ? entry_at(aggregate, number) : NULL;

    if (entry == NULL) {
        number = aggregate->entry_count;
        entry = add_entry(aggregate, hash, arrival_day);
    }
    if (entry == NULL)
        return false;
    if (entry->count++ == 0) {
        entry->sequence = sequence;
        entry->next = aggregate->first;
        aggregate->first = number;
    }
    entry->last_arrival_s = arrival_s;
    return true;
}

struct aggregate_entry *aggregate_first(struct aggregate *aggregate)
{
    return aggregate->first != NONE ? entry_at(aggregate, aggregate->first) : NULL;
}

struct aggregate_entry *aggregate_next(struct aggregate *aggregate, const struct aggregate_entry *entry)
{
    return entry->next != NONE ? entry_at(aggregate, entry->next) : NULL;
}

void aggregate_end_batch(struct aggregate *aggregate)
{
    for (struct aggregate_entry *entry = aggregate_first(aggregate); entry != NULL;
         entry = aggregate_next(aggregate, entry))
        entry->count = 0;
    aggregate->first = NONE;
    if (aggregate->entry_count > AGGREGATE_MAX / 2)
        aggregate_clear(aggregate);
}

void aggregate_clear(struct aggregate *aggregate)
{
    memset(aggregate->slots, 0xFF, aggregate->slot_count * sizeof *aggregate->slots);
    aggregate->entry_count = 0;
    aggregate->first = NONE;
}
