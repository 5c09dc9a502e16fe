/* SPDX-License-Identifier: MIT */
/* json_text.h - inside datagram: Jansson's parser, with every lack of memory noticed (base/memory.h). */
#ifndef DATAGRAM_JSON_TEXT_H
#define DATAGRAM_JSON_TEXT_H

#include <jansson.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/attr.h"
#include "base/err.h"

/*
 * Parse text[0..len); datagram_init came before.
 * ST_OK      *root_out is the caller's, to be freed with json_decref
 * ST_SYNTAX  *error says where
 * ST_NOMEM
 */
MUST_CHECK enum status json_text_load(const char *text, size_t len, json_t **root_out, json_error_t *error);

/* As json_text_load, but *root_out lives in arena and with it: never json_decref it. */
MUST_CHECK enum status json_text_load_in(struct arena *arena, const char *text, size_t len, json_t **root_out,
                                         json_error_t *error);

#endif
