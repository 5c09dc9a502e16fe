/* SPDX-License-Identifier: MIT */
#include "exim_sts.h"

#include <string.h>

#include "model/detail_text.h"
#include "model/domain.h"

static struct span trimmed(struct span text)
{
    while (text.len > 0 && strchr(" \t\r", text.at[0]) != NULL)
        text = (struct span){text.at + 1, text.len - 1};
    while (text.len > 0 && strchr(" \t\r", text.at[text.len - 1]) != NULL)
        text.len--;
    return text;
}

/* The value of a line "NAME: VALUE"; false if it has another name. */
static bool has_name(struct span line, const char *name, struct span *value_out)
{
    struct cursor cursor;
    struct span found;

    cursor_init(&cursor, line.at, line.len);
    found = trimmed(cursor_take_until(&cursor, ":"));
    if (!cursor_skip_word(&cursor, ":") || !span_is(found, name))
        return false;
    *value_out = trimmed((struct span){cursor.at, (size_t)(cursor.end - cursor.at)});
    return true;
}

static enum status add_line(struct span line, struct arena *arena, struct exim_sts *sts)
{
    struct span value;
    enum status status = detail_text_policy_line(line, arena, &sts->lines.items[sts->lines.count]);

    if (status == ST_NOMEM)
        return ST_NOMEM;
    sts->lines.count += status == ST_OK;
    if (has_name(line, "mode", &value))
        sts->mode = span_is(value, "enforce")   ? EXIM_STS_ENFORCE
                    : span_is(value, "testing") ? EXIM_STS_TESTING
                                                : EXIM_STS_NONE;
    if (!has_name(line, "mx", &value))
        return ST_OK;
    status =
        domain_pattern_normalise(value.at, value.len, arena, &sts->patterns.items[sts->patterns.count], NULL);
    sts->patterns.count += status == ST_OK;
    return status == ST_NOMEM ? ST_NOMEM : ST_OK; /* a bad pattern allows no host */
}

enum status exim_sts_parse(struct span text, struct arena *arena, struct exim_sts *sts_out)
{
    struct exim_sts sts = {.mode = EXIM_STS_NONE};
    enum status status = ST_OK;
    struct cursor cursor;

    *sts_out = sts;
    if (text.len == 0)
        return ST_OK;
    sts.lines.items = arena_alloc_array(arena, POLICY_LINES_MAX, sizeof sts.lines.items[0]);
    sts.patterns.items = arena_alloc_array(arena, POLICY_LINES_MAX, sizeof sts.patterns.items[0]);
    if (sts.lines.items == NULL || sts.patterns.items == NULL)
        return ST_NOMEM;
    cursor_init(&cursor, text.at, text.len);
    while (status == ST_OK && !cursor_at_end(&cursor) && sts.lines.count < POLICY_LINES_MAX) {
        struct span line = trimmed(cursor_take_until(&cursor, "|"));

        (void)cursor_skip_word(&cursor, "|");
        if (line.len > 0)
            status = add_line(line, arena, &sts);
    }
    if (status == ST_OK)
        *sts_out = sts;
    return status;
}

bool exim_sts_allows(const struct exim_sts *sts, const char *mx)
{
    const char *parent = strchr(mx, '.');

    for (size_t i = 0; i < sts->patterns.count; i++) {
        const char *pattern = sts->patterns.items[i];

        if (strcmp(pattern, mx) == 0 ||
            (strncmp(pattern, "*.", 2) == 0 && parent != NULL && strcmp(pattern + 1, parent) == 0))
            return true;
    }
    return false;
}
