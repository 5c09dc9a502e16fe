/* SPDX-License-Identifier: MIT */
#include "base64.h"

#include <stdint.h>

static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(const void *bytes, size_t len, size_t line_len, const char *separator, struct strbuf *out)
{
    const uint8_t *in = bytes;
    size_t column = 0;

    for (size_t at = 0; at < len; at += 3) {
        size_t count = len - at < 3 ? len - at : 3;
        uint32_t group = (uint32_t)in[at] << 16;
        char four[4];

        if (count > 1)
            group |= (uint32_t)in[at + 1] << 8;
        if (count > 2)
            group |= in[at + 2];
        for (size_t i = 0; i < 4; i++)
            four[i] = i > count ? '=' : ALPHABET[group >> (18 - 6 * i) & 63];
        if (line_len > 0 && column == line_len) {
            strbuf_add_text(out, separator);
            column = 0;
        }
        strbuf_add(out, four, sizeof four);
        column += sizeof four;
    }
}
