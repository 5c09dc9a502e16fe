/* SPDX-License-Identifier: MIT */
#include "report_text.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/utf8.h"

#define REPLACEMENT "\xEF\xBF\xBD"

/* The code point of a valid sequence of len bytes (RFC 3629). */
static uint32_t code_point(const char *text, size_t len)
{
    static const uint8_t FIRST_MASK[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    uint32_t point = (uint8_t)text[0] & FIRST_MASK[len];

    for (size_t i = 1; i < len; i++)
        point = point << 6 | ((uint8_t)text[i] & 0x3FU);
    return point;
}

static bool is_control(uint32_t point)
{
    return point < 0x20 || (point >= 0x7F && point < 0xA0) || point == 0x2028 || point == 0x2029;
}

static bool is_noncharacter(uint32_t point)
{
    return (point & 0xFFFE) == 0xFFFE || (point >= 0xFDD0 && point <= 0xFDEF);
}

/* How many bytes of printable ASCII stand at the begin: nearly always all. */
static size_t plain_len(const char *text, size_t len)
{
    size_t plain = 0;

    while (plain < len && text[plain] >= ' ' && text[plain] <= '~')
        plain++;
    return plain;
}

void report_text_clean(const char *text, size_t len, size_t max_bytes, struct strbuf *out)
{
    size_t used = plain_len(text, len < max_bytes ? len : max_bytes);

    strbuf_add(out, text, used);
    for (size_t at = used; at < len;) {
        size_t step = utf8_sequence_len(text + at, len - at);
        uint32_t point = step > 0 ? code_point(text + at, step) : 0xFFFE;
        const char *piece = text + at;
        size_t piece_len = step;

        if (is_noncharacter(point)) {
            piece = REPLACEMENT;
            piece_len = strlen(REPLACEMENT);
        } else if (is_control(point)) {
            piece = " ";
            piece_len = 1;
        }
        if (piece_len > max_bytes - used)
            return;
        strbuf_add(out, piece, piece_len);
        used += piece_len;
        at += step > 0 ? step : 1;
    }
}
