/* SPDX-License-Identifier: MIT */
/*
 * json_out.h - machine output: write one JSON value into a buffer, member by member, in the order of the
 * calls.
 *
 * Texts are escaped by Jansson and come out as ASCII; invalid UTF-8 in them is repaired.  A key is NULL for
 * the outermost value and inside arrays.  Failure sticks in the buffer (strbuf_is_failed).
 * Limits: JSON_OUT_DEPTH_MAX objects and arrays inside one another.
 */
#ifndef APP_JSON_OUT_H
#define APP_JSON_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/strbuf.h"

#define JSON_OUT_DEPTH_MAX 16

struct json_out {
    struct strbuf *out; /* borrowed */
    int indent;         /* blanks for each level, as jq does with 2; 0: one line */
    size_t depth;
    bool has_member[JSON_OUT_DEPTH_MAX];
};

void json_out_init(struct json_out *json, struct strbuf *out, int indent);

void json_out_begin_object(struct json_out *json, const char *key);
void json_out_end_object(struct json_out *json);
void json_out_begin_array(struct json_out *json, const char *key);
void json_out_end_array(struct json_out *json);

/* A NULL text is written as null. */
void json_out_text(struct json_out *json, const char *key, const char *text);
void json_out_number(struct json_out *json, const char *key, int64_t number);
void json_out_bool(struct json_out *json, const char *key, bool is_true);

/* Bytes that are JSON already. */
void json_out_raw(struct json_out *json, const char *key, const char *bytes, size_t len);

#endif
