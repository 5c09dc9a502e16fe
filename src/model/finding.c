/* SPDX-License-Identifier: MIT */
#include "model/finding.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TEXT_SIZE 400

void finding_list_init(struct finding_list *list, struct arena *arena)
{
    *list = (struct finding_list){.arena = arena};
}

/* The last member name of a path, without the indexes behind it. */
static const char *leaf_of(const char *where, size_t *len_out)
{
    const char *dot = strrchr(where, '.');
    const char *leaf = dot != NULL ? dot + 1 : where;

    *len_out = strcspn(leaf, "[");
    return leaf;
}

static bool is_same_leaf(const char *a, const char *b)
{
    size_t a_len, b_len;

    a = leaf_of(a, &a_len);
    b = leaf_of(b, &b_len);
    return a_len == b_len && memcmp(a, b, a_len) == 0;
}

static struct finding *find_same(struct finding_list *list, const void *kind, const char *rule,
                                 const char *where)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].kind == kind && strcmp(list->items[i].rule, rule) == 0 &&
            is_same_leaf(list->items[i].where, where))
            return &list->items[i];
    return NULL;
}

/* The next free item, or NULL if there is none. */
static struct finding *new_item(struct finding_list *list)
{
    if (list->items == NULL)
        list->items = arena_alloc_array(list->arena, FINDINGS_MAX, sizeof *list->items);
    if (list->items == NULL || list->count == FINDINGS_MAX)
        return NULL;
    return &list->items[list->count];
}

void finding_add(struct finding_list *list, enum finding_level level, const char *rule, const char *where,
                 const char *format, ...)
{
    struct finding *item = find_same(list, format, rule, where);
    char text[TEXT_SIZE];
    va_list args;

    list->totals[level]++;
    if (item != NULL) {
        item->count++;
        return;
    }
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    item = new_item(list);
    if (item != NULL)
        *item = (struct finding){.level = level,
                                 .rule = rule,
                                 .where = arena_copy_text(list->arena, where, strlen(where)),
                                 .text = arena_copy_text(list->arena, text, strlen(text)),
                                 .kind = format,
                                 .count = 1};
    if (item == NULL || item->where == NULL || item->text == NULL)
        list->left_out++;
    else
        list->count++;
}

const char *finding_level_name(enum finding_level level)
{
    static const char *const NAMES[FINDING_LEVEL_COUNT] = {
        [FINDING_MUST] = "MUST", [FINDING_SHOULD] = "SHOULD", [FINDING_NOTE] = "note"};

    return NAMES[level];
}
