/* SPDX-License-Identifier: MIT */
/*
 * report_json.h - somebody's JSON text as a tree, forgiving what can be forgiven and saying so.
 */
#ifndef REPORT_REPORT_JSON_H
#define REPORT_REPORT_JSON_H

#include <jansson.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "model/finding.h"

/* What a tree may take; those of the largest reports that are sent take a fifth of it. */
#define REPORT_JSON_ARENA_BYTES ((size_t)1 << 30)

/*
 * A byte order mark, doubled names (the last counts), text behind the value and invalid UTF-8 are findings
 * (findings may be NULL) and are got over.  *tree_out lives in arena, which should be allowed
 * REPORT_JSON_ARENA_BYTES, and with it.
 * ST_SYNTAX  err names line and column;  ST_NOMEM
 */
MUST_CHECK enum status report_json_load(struct arena *arena, const char *json, size_t len,
                                        struct finding_list *findings, json_t **tree_out, struct err *err);

#endif
