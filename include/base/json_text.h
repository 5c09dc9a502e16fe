/* SPDX-License-Identifier: MIT */
/*
 * json_text.h - Jansson's parser, safe where memory runs out.
 *
 * Jansson (2.14) may leave out a byte of a text, or write behind its buffer, when it goes on after a refused
 * allocation.  So what it builds comes from an arena, and a refusal ends it at once.
 */
#ifndef BASE_JSON_TEXT_H
#define BASE_JSON_TEXT_H

#include <jansson.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/attr.h"
#include "base/cursor.h"
#include "base/err.h"

/* For what an MTA writes: a name that appears twice is an error, a NUL in a string is not. */
#define JSON_TEXT_OURS (JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL)

/* A tree takes at most so many bytes for each byte of its text; 77 were seen ("[{},{},..."). */
#define JSON_TEXT_GROWTH_MAX 128

/*
 * Parse text[0..len) by Jansson's decoding flags.  *root_out lives in arena, and with it: never json_decref
 * it, nor change it.
 * ST_SYNTAX  *error says what and where
 * ST_NOMEM   also where the arena's limit does not suffice
 */
MUST_CHECK enum status json_text_load(struct arena *arena, const char *text, size_t len, size_t flags,
                                      json_t **root_out, json_error_t *error);

/* As json_text_load, but what is not UTF-8 is read as U+FFFD. */
MUST_CHECK enum status json_text_load_repaired(struct arena *arena, const char *text, size_t len,
                                               size_t flags, json_t **root_out, json_error_t *error);

/* The string's bytes, borrowed; an empty span if value is NULL or no string. */
struct span json_text_span(const json_t *value);

#endif
