/* SPDX-License-Identifier: MIT */
/*
 * text.h - inside mtalog: small steps over a line, in the header because every line takes many of them.
 */
#ifndef MTALOG_TEXT_H
#define MTALOG_TEXT_H

#include <string.h>

#include "base/cursor.h"

static inline bool begins(struct span span, const char *word)
{
    size_t len = strlen(word);

    return span.len >= len && memcmp(span.at, word, len) == 0;
}

static inline struct span behind(struct span span, size_t len)
{
    return (struct span){span.at + len, span.len - len};
}

/* What the cursor did not read; nothing after a failure. */
static inline struct span rest_of(const struct cursor *cursor)
{
    return (struct span){cursor->at, cursor->is_failed ? 0 : (size_t)(cursor->end - cursor->at)};
}

/* Up to the next such byte, or to the end. */
static inline struct span take_until(struct cursor *cursor, char byte)
{
    struct span rest = rest_of(cursor);
    const char *found = memchr(rest.at, byte, rest.len);

    if (found != NULL)
        rest.len = (size_t)(found - rest.at);
    if (!cursor->is_failed)
        cursor->at += rest.len;
    return rest;
}

#endif
