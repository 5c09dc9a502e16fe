/* SPDX-License-Identifier: MIT */
/*
 * strbuf.h - a growing byte buffer with a limit from birth and a failure that sticks.
 *
 * Add, add, add, then ask strbuf_is_failed once: true when the limit was hit or memory ran out.  data is
 * always NUL-terminated behind len bytes ("" when empty).  The bytes may contain NUL themselves.
 */
#ifndef BASE_STRBUF_H
#define BASE_STRBUF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"

struct strbuf {
    char *data;
    size_t len;
    size_t capacity;
    size_t max_bytes;
    bool is_failed;
    bool lacks_memory; /* and that is why it failed, not the limit */
};

/* Prepare an empty buffer that will hold at most max_bytes; allocates nothing. */
void strbuf_init(struct strbuf *buf, size_t max_bytes);
void strbuf_done(struct strbuf *buf);

/* Empty it, forget a failure, keep the memory. */
void strbuf_reset(struct strbuf *buf);

void strbuf_add(struct strbuf *buf, const void *bytes, size_t len);
void strbuf_add_text(struct strbuf *buf, const char *text);
void strbuf_add_char(struct strbuf *buf, char byte);
void strbuf_addf(struct strbuf *buf, const char *format, ...) PRINTF_LIKE(2, 3);

/* Add text with every byte that is not printable ASCII as \\xHH: safe to show on a terminal. */
void strbuf_add_printable(struct strbuf *buf, const char *text, size_t len);

MUST_CHECK bool strbuf_is_failed(const struct strbuf *buf);

/* Did it fail because memory ran out, and not because of its limit? */
MUST_CHECK bool strbuf_lacks_memory(const struct strbuf *buf);

#endif
