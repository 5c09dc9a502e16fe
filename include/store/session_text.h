/* SPDX-License-Identifier: MIT */
/*
 * session_text.h - lists of texts as the session stores keep them: the items with a newline between.
 */
#ifndef STORE_SESSION_TEXT_H
#define STORE_SESSION_TEXT_H

#include "base/arena.h"
#include "base/err.h"
#include "model/policy.h"

/* The items live in arena; at most POLICY_LINES_MAX.  ST_NOMEM */
MUST_CHECK enum status session_text_split(const char *joined, struct arena *arena, struct text_list *list_out,
                                          struct err *err);

#endif
