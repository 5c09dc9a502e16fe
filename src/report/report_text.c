/* SPDX-License-Identifier: MIT */
#include "report_text.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/utf8.h"

#define REPLACEMENT "\xEF\xBF\xBD"

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
        uint32_t point = step > 0 ? utf8_code_point(text + at, step) : 0xFFFE;
        const char *piece = text + at;
        size_t piece_len = step;

        if (utf8_is_noncharacter(point)) {
            piece = REPLACEMENT;
            piece_len = strlen(REPLACEMENT);
        } else if (utf8_is_control(point) || point == 0x2028 || point == 0x2029) {
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
