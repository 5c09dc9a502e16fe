/* SPDX-License-Identifier: MIT */
/*
 * report_json.h - a JSON text of any origin as a tree; faults that can be ignored become findings.
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
 * A byte order mark, doubled names (the last counts), text after the value and invalid UTF-8 become findings
 * (findings may be NULL), and reading goes on.  *tree_out lives as long as arena, whose limit should be
 * REPORT_JSON_ARENA_BYTES.
 * ST_SYNTAX  err names line and column
 * ST_NOMEM
 */
MUST_CHECK enum status report_json_load(struct arena *arena, const char *json, size_t len,
                                        struct finding_list *findings, json_t **tree_out, struct err *err);

#endif
