/* SPDX-License-Identifier: MIT */
/*
 * The writer only remembers how deep it is and, for each level, whether a member was written before: that
 * decides the comma, the line break and the indent in front of the next value.
 */
#include "app/json_out.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

void json_out_init(struct json_out *json, struct strbuf *out, int indent)
{
    *json = (struct json_out){.out = out, .indent = indent};
}

static int add_bytes(const char *bytes, size_t len, void *context)
{
    strbuf_add(context, bytes, len);
    return 0;
}

static void add_text(struct strbuf *out, const char *text)
{
    struct strbuf repaired;
    json_t *value;

    strbuf_init(&repaired, out->max_bytes);
    (void)utf8_repair(text, strlen(text), &repaired);
    value = strbuf_is_failed(&repaired) ? NULL : json_stringn_nocheck(repaired.data, repaired.len);
    if (value == NULL || json_dump_callback(value, add_bytes, out, JSON_ENCODE_ANY | JSON_ENSURE_ASCII) != 0)
        out->is_failed = true;
    json_decref(value);
    strbuf_done(&repaired);
}

static void new_line(struct json_out *json)
{
    if (json->indent > 0)
        strbuf_addf(json->out, "\n%*s", json->indent * (int)json->depth, "");
}

/* What comes before a value: the comma, the line break, the key. */
static void begin_value(struct json_out *json, const char *key)
{
    if (json->depth > 0) {
        if (json->has_member[json->depth - 1])
            strbuf_add_char(json->out, ',');
        json->has_member[json->depth - 1] = true;
        new_line(json);
    }
    if (key == NULL)
        return;
    add_text(json->out, key);
    strbuf_add_text(json->out, json->indent > 0 ? ": " : ":");
}

static void begin_nested(struct json_out *json, const char *key, char bracket)
{
    begin_value(json, key);
    if (json->depth == JSON_OUT_DEPTH_MAX) {
        json->out->is_failed = true;
        return;
    }
    strbuf_add_char(json->out, bracket);
    json->has_member[json->depth++] = false;
}

static void end_nested(struct json_out *json, char bracket)
{
    if (json->depth == 0) {
        json->out->is_failed = true;
        return;
    }
    json->depth--;
    if (json->has_member[json->depth])
        new_line(json);
    strbuf_add_char(json->out, bracket);
}

void json_out_begin_object(struct json_out *json, const char *key)
{
    begin_nested(json, key, '{');
}

void json_out_end_object(struct json_out *json)
{
    end_nested(json, '}');
}

void json_out_begin_array(struct json_out *json, const char *key)
{
    begin_nested(json, key, '[');
}

void json_out_end_array(struct json_out *json)
{
    end_nested(json, ']');
}

void json_out_text(struct json_out *json, const char *key, const char *text)
{
    begin_value(json, key);
    if (text != NULL)
        add_text(json->out, text);
    else
        strbuf_add_text(json->out, "null");
}

void json_out_number(struct json_out *json, const char *key, int64_t number)
{
    begin_value(json, key);
    strbuf_addf(json->out, "%lld", (long long)number);
}

void json_out_bool(struct json_out *json, const char *key, bool is_true)
{
    begin_value(json, key);
    strbuf_add_text(json->out, is_true ? "true" : "false");
}

void json_out_raw(struct json_out *json, const char *key, const char *bytes, size_t len)
{
    begin_value(json, key);
    strbuf_add(json->out, bytes, len);
}
