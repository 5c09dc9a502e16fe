/* SPDX-License-Identifier: MIT */
/*
 * A JSON text laid out as `jq .` does, by a walk over the tree with a stack of levels of its own: no recursion.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "report/report_read.h"
#include "report_json.h"

#define LEVELS_MAX 256 /* objects and arrays inside one another */

/* Bytes that must or should be escaped: C0, DEL, and what a terminal may obey (C1, bidirectional). */
static bool wants_escape(const char *text, size_t len, unsigned *code_out)
{
    const unsigned char *bytes = (const unsigned char *)text;

    if (len == 1)
        *code_out = bytes[0];
    else if (len == 2)
        *code_out = (bytes[0] & 0x1FU) << 6 | (bytes[1] & 0x3FU);
    else if (len == 3)
        *code_out = (bytes[0] & 0x0FU) << 12 | (bytes[1] & 0x3FU) << 6 | (bytes[2] & 0x3FU);
    else
        return false;
    return *code_out < 0x20 || (*code_out >= 0x7F && *code_out <= 0x9F) ||
           (*code_out >= 0x200B && *code_out <= 0x200F) || (*code_out >= 0x2028 && *code_out <= 0x202E) ||
           (*code_out >= 0x2060 && *code_out <= 0x206F) || *code_out == 0xFEFF;
}

static void add_text(struct strbuf *out, const char *text, size_t len)
{
    static const char SHORT[] = "\b\f\n\r\t\"\\", LETTERS[] = "bfnrt\"\\";

    strbuf_add_char(out, '"');
    for (size_t at = 0; at < len;) {
        size_t step = utf8_sequence_len(text + at, len - at);
        const char *found = text[at] != '\0' ? strchr(SHORT, text[at]) : NULL;
        unsigned code;

        if (step == 0)
            step = 1; /* cannot be: the tree holds UTF-8 only */
        if (found != NULL)
            strbuf_addf(out, "\\%c", LETTERS[found - SHORT]);
        else if (wants_escape(text + at, step, &code))
            strbuf_addf(out, "\\u%04x", code);
        else
            strbuf_add(out, text + at, step);
        at += step;
    }
    strbuf_add_char(out, '"');
}

static void add_real(struct strbuf *out, double number)
{
    char text[32];

    if (number > -1e17 && number < 1e17 && number == (double)(int64_t)number) {
        strbuf_addf(out, "%lld", (long long)number);
        return;
    }
    /* The shortest form that reads back as the same number. */
    for (int digits = 1; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, number);
        if (strtod(text, NULL) == number)
            break;
    }
    strbuf_add_text(out, text);
}

/* Anything but an object or array with something inside. */
static void add_scalar(struct strbuf *out, const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_STRING:
        add_text(out, json_string_value(value), json_string_length(value));
        return;
    case JSON_INTEGER:
        strbuf_addf(out, "%lld", (long long)json_integer_value(value));
        return;
    case JSON_REAL:
        add_real(out, json_real_value(value));
        return;
    case JSON_OBJECT:
        strbuf_add_text(out, "{}");
        return;
    case JSON_ARRAY:
        strbuf_add_text(out, "[]");
        return;
    case JSON_TRUE:
    case JSON_FALSE:
    case JSON_NULL:
        break;
    }
    strbuf_add_text(out, json_is_null(value) ? "null" : json_is_true(value) ? "true" : "false");
}

struct level {
    json_t *value;
    void *member; /* the next one of an object; NULL at the end */
    size_t index; /* the next item of an array, and how many members were written */
};

static bool has_inside(const json_t *value)
{
    return json_object_size(value) > 0 || json_array_size(value) > 0;
}

static void add_line(struct strbuf *out, size_t depth)
{
    strbuf_add_char(out, '\n');
    for (size_t i = 0; i < depth; i++)
        strbuf_add_text(out, "  ");
}

/* The next item or member of level, its name and comma written; NULL at the end. */
static json_t *next_inside(struct strbuf *out, struct level *level, size_t depth)
{
    bool is_object = json_is_object(level->value);
    json_t *inside = NULL;

    if (is_object ? level->member == NULL : level->index == json_array_size(level->value))
        return NULL;
    if (level->index > 0)
        strbuf_add_char(out, ',');
    add_line(out, depth);
    if (is_object) {
        const char *name = json_object_iter_key(level->member);

        add_text(out, name, strlen(name));
        strbuf_add_text(out, ": ");
        inside = json_object_iter_value(level->member);
        level->member = json_object_iter_next(level->value, level->member);
    } else {
        inside = json_array_get(level->value, level->index);
    }
    level->index++;
    return inside;
}

static void open_level(struct strbuf *out, struct level *level, json_t *value)
{
    *level = (struct level){.value = value, .member = json_object_iter(value)};
    strbuf_add_char(out, json_is_object(value) ? '{' : '[');
}

static enum status add_tree(struct strbuf *out, json_t *tree, struct err *err)
{
    struct level levels[LEVELS_MAX];
    size_t depth = 0;

    if (!has_inside(tree)) {
        add_scalar(out, tree);
        return ST_OK;
    }
    open_level(out, &levels[depth++], tree);
    while (depth > 0) {
        json_t *inside = next_inside(out, &levels[depth - 1], depth);

        if (inside == NULL) {
            depth--;
            add_line(out, depth);
            strbuf_add_char(out, json_is_object(levels[depth].value) ? '}' : ']');
        } else if (!has_inside(inside)) {
            add_scalar(out, inside);
        } else if (depth == LEVELS_MAX) {
            return err_set(err, ST_RANGE, "JSON of more than %d levels", LEVELS_MAX);
        } else {
            open_level(out, &levels[depth++], inside);
        }
    }
    return ST_OK;
}

enum status report_format_pretty(const char *json, size_t len, struct strbuf *out, struct err *err)
{
    struct arena arena;
    json_t *tree = NULL;
    enum status status;

    arena_init(&arena, REPORT_JSON_ARENA_BYTES);
    status = report_json_load(&arena, json, len, NULL, &tree, err);
    if (status == ST_OK)
        status = add_tree(out, tree, err);
    arena_done(&arena);
    strbuf_add_char(out, '\n');
    if (status == ST_OK && strbuf_lacks_memory(out))
        return err_set(err, ST_NOMEM, "out of memory");
    if (status == ST_OK && strbuf_is_failed(out))
        return err_set(err, ST_RANGE, "the report is too large to be shown");
    return status;
}
