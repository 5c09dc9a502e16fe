/* SPDX-License-Identifier: MIT */
/*
 * Patterns are brought into canonical form once, at start; then each domain is held against the lists in the
 * order never, only, exceptions, number of sessions, and the first that applies gives the reason.
 */
#include "model/send_rules.h"

#include <string.h>

#include "model/domain.h"

#define SCRATCH_BYTES 8192

const char *const SEND_WORDS[] = {"all", "failures", "off", NULL};

static bool word_of(const char *text, enum send_what *what_out)
{
    for (int i = 0; SEND_WORDS[i] != NULL; i++)
        if (strcmp(text, SEND_WORDS[i]) == 0) {
            *what_out = (enum send_what)i;
            return true;
        }
    return false;
}

const char *send_rules_check_pattern(const char *value)
{
    struct arena arena;
    const char *pattern;
    enum status status;

    arena_init(&arena, SCRATCH_BYTES);
    status = domain_pattern_normalise(value, strlen(value), &arena, &pattern, NULL);
    arena_done(&arena);
    return status == ST_OK ? NULL : "not a domain; use example.org, or *.example.org for all below it";
}

const char *send_rules_check_exception(const char *value)
{
    const char *colon = strrchr(value, ':');
    const char *fault = "not an exception; use DOMAIN:all, DOMAIN:failures or DOMAIN:off";
    const char *pattern;
    enum send_what what;
    struct arena arena;

    if (colon == NULL || !word_of(colon + 1, &what))
        return fault;
    arena_init(&arena, SCRATCH_BYTES);
    if (domain_pattern_normalise(value, (size_t)(colon - value), &arena, &pattern, NULL) == ST_OK)
        fault = NULL;
    arena_done(&arena);
    return fault;
}

/* The items of a list up to ':' (or the end) as patterns, with what stands behind it. */
static enum status normalise_list(struct option_list *list, struct arena *arena, struct err *err)
{
    const char **items = arena_alloc_array(arena, list->count + 1, sizeof *items);

    if (items == NULL)
        return err_set(err, ST_NOMEM, "out of memory");
    for (size_t i = 0; i < list->count; i++) {
        size_t len = strcspn(list->items[i], ":");
        const char *pattern;
        enum status status = domain_pattern_normalise(list->items[i], len, arena, &pattern, err);

        if (status != ST_OK)
            return status;
        items[i] = arena_format(arena, "%s%s", pattern, list->items[i] + len);
        if (items[i] == NULL)
            return err_set(err, ST_NOMEM, "out of memory");
    }
    list->items = items;
    return ST_OK;
}

enum status send_rules_normalise(struct send_rules *rules, struct arena *arena, struct err *err)
{
    enum status status = normalise_list(&rules->only, arena, err);

    if (status == ST_OK)
        status = normalise_list(&rules->never, arena, err);
    if (status == ST_OK)
        status = normalise_list(&rules->except, arena, err);
    return status;
}

static bool is_listed(const struct option_list *list, const char *domain)
{
    for (size_t i = 0; i < list->count; i++)
        if (domain_matches(domain, list->items[i]))
            return true;
    return false;
}

/* What is sent for this domain. */
static enum send_what what_for(const struct send_rules *rules, const char *domain)
{
    for (size_t i = 0; i < rules->except.count; i++) {
        char pattern[DOMAIN_NAME_MAX + 3];
        const char *item = rules->except.items[i];
        size_t len = strcspn(item, ":");
        enum send_what what;

        if (len >= sizeof pattern)
            continue;
        memcpy(pattern, item, len);
        pattern[len] = '\0';
        if (domain_matches(domain, pattern) && item[len] == ':' && word_of(item + len + 1, &what))
            return what;
    }
    return (enum send_what)rules->what;
}

const char *send_rules_refuse(const struct send_rules *rules, const char *domain,
                              const struct session_counts *sessions)
{
    enum send_what what = what_for(rules, domain);

    if (is_listed(&rules->never, domain))
        return "the settings say never";
    if (rules->only.count > 0 && !is_listed(&rules->only, domain))
        return "the settings name only other domains";
    if (what == SEND_OFF)
        return "the settings say that nothing is sent";
    if (what == SEND_FAILURES && sessions->failure == 0)
        return "no session failed, and the settings want failures only";
    if (sessions->success + sessions->failure < (uint64_t)rules->min_sessions)
        return "fewer sessions than min_sessions";
    return NULL;
}
