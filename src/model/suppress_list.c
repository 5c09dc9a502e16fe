/* SPDX-License-Identifier: MIT */
/*
 * All lines become canonical items in one sorted array; a destination is found by binary search for its address,
 * its domain, and "*." with each domain above it.
 */
#include "model/suppress_list.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "identity.h"
#include "model/domain.h"

#define ARENA_MAX (64u << 20)
#define BLANKS    " \t\r"

void suppress_list_init(struct suppress_list *list)
{
    *list = (struct suppress_list){.items = NULL};
    arena_init(&list->arena, ARENA_MAX);
}

void suppress_list_done(struct suppress_list *list)
{
    arena_done(&list->arena);
    list->items = NULL;
    list->count = 0;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool has(const struct suppress_list *list, const char *key)
{
    return list->count > 0 && bsearch(&key, list->items, list->count, sizeof *list->items, compare) != NULL;
}

/* ASCII letters only: what was normalised holds no others. */
static char *lower_case(char *text)
{
    for (char *at = text; *at != '\0'; at++)
        *at = (char)tolower((unsigned char)*at);
    return text;
}

/* An address in lower case, or a pattern of domain.h. */
static enum status normalise(struct suppress_list *list, const char *item, size_t len, const char **item_out,
                             struct err *err)
{
    char *copy = arena_copy_text(&list->arena, item, len);
    const char *mailbox, *domain;
    enum status status;

    if (copy == NULL)
        return err_set(err, ST_NOMEM, "out of memory");
    if (memchr(item, '@', len) == NULL)
        return domain_pattern_normalise(item, len, &list->arena, item_out, err);
    status = identity_mailbox_normalise(copy, &list->arena, &mailbox, &domain, err);
    if (status != ST_OK)
        return status;
    copy = arena_copy_text(&list->arena, mailbox, strlen(mailbox));
    if (copy == NULL)
        return err_set(err, ST_NOMEM, "out of memory");
    *item_out = lower_case(copy);
    return ST_OK;
}

/* What stands in one line without comment and blanks around it; may be empty. */
static struct span item_of(struct span line)
{
    struct cursor cursor;
    struct span item;

    cursor_init(&cursor, line.at, line.len);
    (void)cursor_skip_any(&cursor, BLANKS);
    item = cursor_take_until(&cursor, "#");
    while (item.len > 0 && strchr(BLANKS, item.at[item.len - 1]) != NULL)
        item.len--;
    return item;
}

static size_t count_lines(const char *text, size_t len)
{
    size_t count = 1;

    for (size_t i = 0; i < len; i++)
        count += text[i] == '\n';
    return count;
}

enum status suppress_list_read(struct suppress_list *list, const char *name, const char *text, size_t len,
                               struct err *err)
{
    size_t room = list->count + count_lines(text, len);
    const char **items = arena_alloc_array(&list->arena, room, sizeof *items);
    struct cursor cursor;

    if (items == NULL)
        return err_set(err, ST_NOMEM, "%s: out of memory", name);
    if (list->count > 0)
        memcpy(items, list->items, list->count * sizeof *items);
    list->items = items;
    cursor_init(&cursor, text, len);
    for (size_t line = 1; !cursor_at_end(&cursor); line++) {
        struct span item = item_of(cursor_take_until(&cursor, "\n"));
        enum status status = ST_OK;

        (void)cursor_skip_word(&cursor, "\n");
        if (item.len > 0)
            status = normalise(list, item.at, item.len, &list->items[list->count], err);
        if (status == ST_NOMEM)
            return err_wrap(err, "%s", name);
        if (status != ST_OK)
            return err_set(err, ST_CONFIG,
                           "%s:%zu: \"%.*s\" is no address, domain or *.domain; mend or remove the line",
                           name, line, (int)(item.len < 80 ? item.len : 80), item.at);
        list->count += item.len > 0;
    }
    if (list->count > 0)
        qsort(list->items, list->count, sizeof *list->items, compare);
    return ST_OK;
}

/* The domain itself, or "*." and any domain above it. */
static bool has_domain(const struct suppress_list *list, const char *domain)
{
    char pattern[DOMAIN_NAME_MAX + 3];

    if (has(list, domain))
        return true;
    for (const char *dot = strchr(domain, '.'); dot != NULL; dot = strchr(dot + 1, '.')) {
        (void)snprintf(pattern, sizeof pattern, "*%s", dot);
        if (has(list, pattern))
            return true;
    }
    return false;
}

bool suppress_list_has(const struct suppress_list *list, const struct rua *rua)
{
    char address[RUA_ADDRESS_MAX + 1];

    if (rua->kind == RUA_HTTPS)
        return has_domain(list, rua->host);
    (void)snprintf(address, sizeof address, "%s", rua->address);
    return has(list, lower_case(address)) || has_domain(list, rua->domain);
}
