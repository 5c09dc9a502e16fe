/* SPDX-License-Identifier: MIT */
#include "exim_sts.h"

#include <string.h>

#include "model/detail_text.h"
#include "model/domain.h"

#define SCRATCH_BYTES 8192 /* a name and the labels that it is made from */

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

/* A parse in progress. */
struct parse {
    const char *mx;
    struct arena *arena;
    struct arena scratch; /* for one pattern */
    struct exim_sts sts;
    bool has_mode;
};

static bool does_match(const char *pattern, const char *mx)
{
    const char *parent = strchr(mx, '.');

    return strcmp(pattern, mx) == 0 ||
           (strncmp(pattern, "*.", 2) == 0 && parent != NULL && strcmp(pattern + 1, parent) == 0);
}

/* A bad pattern allows no host. */
static enum status add_pattern(struct parse *parse, struct span value)
{
    struct text_list *patterns = &parse->sts.patterns;
    const char *pattern;
    enum status status;

    arena_reset(&parse->scratch);
    status = domain_pattern_normalise(value.at, value.len, &parse->scratch, &pattern, NULL);
    if (status != ST_OK)
        return status == ST_NOMEM ? ST_NOMEM : ST_OK;
    parse->sts.allows_mx = parse->sts.allows_mx || (parse->mx != NULL && does_match(pattern, parse->mx));
    if (patterns->count == POLICY_LINES_MAX)
        return ST_OK;
    pattern = arena_copy_text(parse->arena, pattern, strlen(pattern));
    if (pattern == NULL)
        return ST_NOMEM;
    patterns->items[patterns->count++] = pattern;
    return ST_OK;
}

/* Of a field that is repeated only the first counts, except for mx (RFC 8461 section 3.2). */
static void set_mode(struct parse *parse, struct span value)
{
    if (parse->has_mode)
        return;
    parse->has_mode = true;
    parse->sts.mode = span_is(value, "enforce")   ? EXIM_STS_ENFORCE
                      : span_is(value, "testing") ? EXIM_STS_TESTING
                                                  : EXIM_STS_NONE;
}

/* In place of a policy; another result type is no error of a policy. */
static void set_error(struct parse *parse, struct span value)
{
    static const enum result_type TYPES[] = {RESULT_STS_POLICY_FETCH_ERROR, RESULT_STS_POLICY_INVALID,
                                             RESULT_STS_WEBPKI_INVALID};

    for (size_t i = 0; i < ARRAY_COUNT(TYPES) && !parse->has_mode; i++)
        if (span_is(value, result_type_name(TYPES[i]))) {
            parse->has_mode = true;
            parse->sts.mode = EXIM_STS_ERROR;
            parse->sts.error = TYPES[i];
        }
}

static enum status add_line(struct parse *parse, struct span line)
{
    struct text_list *lines = &parse->sts.lines;
    struct span value;
    enum status status = ST_OK;

    if (lines->count < POLICY_LINES_MAX) {
        status = detail_text_policy_line(line, parse->arena, &lines->items[lines->count]);
        lines->count += status == ST_OK;
    }
    if (status == ST_NOMEM)
        return ST_NOMEM;
    if (has_name(line, "mode", &value))
        set_mode(parse, value);
    if (has_name(line, "error", &value))
        set_error(parse, value);
    return has_name(line, "mx", &value) ? add_pattern(parse, value) : ST_OK;
}

static enum status add_lines(struct parse *parse, struct span text)
{
    struct exim_sts *sts = &parse->sts;
    enum status status = ST_OK;
    struct cursor cursor;

    sts->lines.items = arena_alloc_array(parse->arena, POLICY_LINES_MAX, sizeof sts->lines.items[0]);
    sts->patterns.items = arena_alloc_array(parse->arena, POLICY_LINES_MAX, sizeof sts->patterns.items[0]);
    if (sts->lines.items == NULL || sts->patterns.items == NULL)
        return ST_NOMEM;
    cursor_init(&cursor, text.at, text.len);
    while (status == ST_OK && !cursor_at_end(&cursor)) {
        struct span line = trimmed(cursor_take_until(&cursor, "|"));

        (void)cursor_skip_word(&cursor, "|");
        if (line.len > 0)
            status = add_line(parse, line);
    }
    return status;
}

enum status exim_sts_parse(struct span text, const char *mx, struct arena *arena, struct exim_sts *sts_out)
{
    struct parse parse = {.mx = mx, .arena = arena, .sts = {.mode = EXIM_STS_NONE}};
    enum status status;

    *sts_out = parse.sts;
    if (text.len == 0)
        return ST_OK;
    arena_init(&parse.scratch, SCRATCH_BYTES);
    status = add_lines(&parse, text);
    if (status == ST_OK)
        *sts_out = parse.sts;
    arena_done(&parse.scratch);
    return status;
}
