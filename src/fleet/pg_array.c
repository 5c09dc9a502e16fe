/* SPDX-License-Identifier: MIT */
#include "pg_array.h"

#include <string.h>

void pg_array_begin(struct strbuf *array)
{
    strbuf_reset(array);
    strbuf_add_char(array, '{');
}

static void add_comma(struct strbuf *array)
{
    if (array->len > 1)
        strbuf_add_char(array, ',');
}

void pg_array_add_text(struct strbuf *array, const char *text)
{
    add_comma(array);
    strbuf_add_char(array, '"');
    while (*text != '\0') {
        size_t plain = strcspn(text, "\"\\");

        strbuf_add(array, text, plain);
        text += plain;
        if (*text == '\0')
            break;
        strbuf_add_char(array, '\\');
        strbuf_add_char(array, *text++);
    }
    strbuf_add_char(array, '"');
}

void pg_array_add_int(struct strbuf *array, int64_t value)
{
    add_comma(array);
    strbuf_addf(array, "%lld", (long long)value);
}

void pg_array_end(struct strbuf *array)
{
    strbuf_add_char(array, '}');
}
