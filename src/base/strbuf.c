/* SPDX-License-Identifier: MIT */
/*
 * The memory doubles when it is full.  The first failure sticks, so that callers check once, at the end.
 */
#include "base/strbuf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 256

static char EMPTY[1] = "";

void strbuf_init(struct strbuf *buf, size_t max_bytes)
{
    *buf = (struct strbuf){.data = EMPTY, .max_bytes = max_bytes};
}

void strbuf_done(struct strbuf *buf)
{
    if (buf->data != EMPTY)
        free(buf->data);
    strbuf_init(buf, buf->max_bytes);
}

void strbuf_reset(struct strbuf *buf)
{
    buf->len = 0;
    buf->is_failed = false;
    buf->lacks_memory = false;
    if (buf->data != EMPTY)
        buf->data[0] = '\0';
}

/* Make room for more bytes and the NUL; false (and failed) if that is not to be had. */
static bool reserve(struct strbuf *buf, size_t more)
{
    size_t capacity = buf->capacity > 0 ? buf->capacity : FIRST_CAPACITY;
    char *data;

    if (!buf->is_failed && more > buf->max_bytes - buf->len)
        buf->is_failed = true;
    if (buf->is_failed)
        return false;
    if (buf->capacity > buf->len + more)
        return true;
    while (capacity <= buf->len + more)
        capacity *= 2;
    data = realloc(buf->data == EMPTY ? NULL : buf->data, capacity);
    if (data == NULL) {
        buf->is_failed = true;
        buf->lacks_memory = true;
        return false;
    }
    buf->data = data;
    buf->capacity = capacity;
    return true;
}

void strbuf_add(struct strbuf *buf, const void *bytes, size_t len)
{
    if (len == 0 || !reserve(buf, len))
        return;
    memcpy(buf->data + buf->len, bytes, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
}

void strbuf_add_text(struct strbuf *buf, const char *text)
{
    strbuf_add(buf, text, strlen(text));
}

void strbuf_add_char(struct strbuf *buf, char byte)
{
    strbuf_add(buf, &byte, 1);
}

void strbuf_addf(struct strbuf *buf, const char *format, ...)
{
    va_list args;
    int len;

    va_start(args, format);
    len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0)
        buf->is_failed = true;
    if (len <= 0 || !reserve(buf, (size_t)len))
        return;
    va_start(args, format);
    (void)vsnprintf(buf->data + buf->len, (size_t)len + 1, format, args);
    va_end(args);
    buf->len += (size_t)len;
}

void strbuf_add_printable(struct strbuf *buf, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)text[i];

        if (byte < ' ' || byte >= 0x7F)
            strbuf_addf(buf, "\\x%02x", byte);
        else
            strbuf_add_char(buf, text[i]);
    }
}

bool strbuf_is_failed(const struct strbuf *buf)
{
    return buf->is_failed;
}

bool strbuf_lacks_memory(const struct strbuf *buf)
{
    return buf->lacks_memory;
}
