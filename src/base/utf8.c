/* SPDX-License-Identifier: MIT */
#include "base/utf8.h"

/* Second byte's range by first byte (RFC 3629 section 4); all later bytes are 80..BF. */
static const struct {
    uint8_t first_low, first_high, second_low, second_high, len;
} SEQUENCES[] = {
    {0x00, 0x7F, 0x00, 0x00, 1}, {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3},
    {0xE1, 0xEC, 0x80, 0xBF, 3}, {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3},
    {0xF0, 0xF0, 0x90, 0xBF, 4}, {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
};

static bool is_tail(char byte)
{
    return ((unsigned char)byte & 0xC0) == 0x80;
}

size_t utf8_sequence_len(const char *text, size_t len)
{
    uint8_t first = len > 0 ? (uint8_t)text[0] : 0xFF;

    for (size_t i = 0; i < ARRAY_COUNT(SEQUENCES); i++) {
        size_t need = SEQUENCES[i].len;

        if (first < SEQUENCES[i].first_low || first > SEQUENCES[i].first_high)
            continue;
        if (need > len)
            return 0;
        if (need > 1 &&
            ((uint8_t)text[1] < SEQUENCES[i].second_low || (uint8_t)text[1] > SEQUENCES[i].second_high))
            return 0;
        for (size_t tail = 2; tail < need; tail++)
            if (!is_tail(text[tail]))
                return 0;
        return need;
    }
    return 0;
}

bool utf8_is_valid(const char *text, size_t len)
{
    for (size_t at = 0; at < len;) {
        size_t step = utf8_sequence_len(text + at, len - at);

        if (step == 0)
            return false;
        at += step;
    }
    return true;
}

size_t utf8_repair(const char *text, size_t len, struct strbuf *out)
{
    size_t repaired = 0;

    for (size_t at = 0; at < len;) {
        size_t step = utf8_sequence_len(text + at, len - at);

        if (step == 0) {
            strbuf_add_text(out, "\xEF\xBF\xBD");
            repaired++;
            at++;
            continue;
        }
        strbuf_add(out, text + at, step);
        at += step;
    }
    return repaired;
}

uint32_t utf8_code_point(const char *text, size_t len)
{
    static const uint8_t FIRST_BITS[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    uint32_t code = (uint8_t)text[0] & FIRST_BITS[len];

    for (size_t i = 1; i < len; i++)
        code = code << 6 | ((uint8_t)text[i] & 0x3FU);
    return code;
}

bool utf8_is_control(uint32_t code)
{
    return code < 0x20 || (code >= 0x7F && code < 0xA0);
}

bool utf8_is_noncharacter(uint32_t code)
{
    return (code & 0xFFFE) == 0xFFFE || (code >= 0xFDD0 && code <= 0xFDEF);
}
