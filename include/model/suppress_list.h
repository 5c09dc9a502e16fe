/* SPDX-License-Identifier: MIT */
/*
 * suppress_list.h - destinations that the operator wants left alone.
 *
 * In:     a text; each line a mail address, a domain (of mailboxes, or a URL's host), or "*.domain" for
 *         everything below it; '#' begins a comment.
 * Out:    is this destination among them?
 * Limits: SUPPRESS_LIST_MAX bytes of text.
 */
#ifndef MODEL_SUPPRESS_LIST_H
#define MODEL_SUPPRESS_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "model/rua.h"

#define SUPPRESS_LIST_MAX (4u << 20)

struct suppress_list {
    struct arena arena;
    const char **items; /* canonical, sorted */
    size_t count;
};

/* An empty list; needs no done. */
void suppress_list_init(struct suppress_list *list);
void suppress_list_done(struct suppress_list *list);

/*
 * Add every line of text[0..len), of a file called name.
 * ST_CONFIG  a line is none of these; err names file and line
 * ST_NOMEM
 */
MUST_CHECK enum status suppress_list_read(struct suppress_list *list, const char *name, const char *text,
                                          size_t len, struct err *err);

/* Is its address, its domain or host, or a domain above that listed?  Addresses are compared without case. */
bool suppress_list_has(const struct suppress_list *list, const struct rua *rua);

#endif
