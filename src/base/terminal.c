/* SPDX-License-Identifier: MIT */
/*
 * A text is walked one UTF-8 sequence at a time; three tables say which characters are invisible, combining or
 * two columns wide.  Cleaning writes invisible ones as escapes, so that cleaned texts can be measured and cut.
 */
#include "base/terminal.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/utf8.h"

struct code_range {
    uint32_t first, last;
};

/* Characters that nobody sees but that move, hide or turn the text beside them. */
static const struct code_range INVISIBLE[] = {
    {0x0000, 0x001F}, {0x007F, 0x009F}, {0x00AD, 0x00AD},   {0x061C, 0x061C},
    {0x180E, 0x180E}, {0x200B, 0x200F}, {0x2028, 0x202E},   {0x2060, 0x206F},
    {0xFEFF, 0xFEFF}, {0xFFF9, 0xFFFB}, {0xE0000, 0xE0FFF},
};

/* Marks on the character before them. */
static const struct code_range COMBINING[] = {
    {0x0300, 0x036F}, {0x0483, 0x0489}, {0x0591, 0x05BD}, {0x0610, 0x061A}, {0x064B, 0x065F},
    {0x1AB0, 0x1AFF}, {0x1DC0, 0x1DFF}, {0x20D0, 0x20FF}, {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F},
};

/* Characters that take two columns. */
static const struct code_range WIDE[] = {
    {0x1100, 0x115F},   {0x2E80, 0x303E},   {0x3041, 0xA4CF},   {0xAC00, 0xD7A3},
    {0xF900, 0xFAFF},   {0xFE30, 0xFE6F},   {0xFF00, 0xFF60},   {0xFFE0, 0xFFE6},
    {0x1F300, 0x1F64F}, {0x1F900, 0x1F9FF}, {0x20000, 0x3FFFD},
};

static const char *const STYLES[STYLE_COUNT] = {
    [STYLE_PLAIN] = "",        [STYLE_BOLD] = "\033[1m",  [STYLE_DIM] = "\033[2m",
    [STYLE_GOOD] = "\033[32m", [STYLE_WARN] = "\033[33m", [STYLE_BAD] = "\033[31m",
};

static bool is_in(const struct code_range *ranges, size_t count, uint32_t code)
{
    for (size_t i = 0; i < count; i++)
        if (code >= ranges[i].first && code <= ranges[i].last)
            return true;
    return false;
}

/* ---- the screen ---- */

static bool is_utf8_locale(void)
{
    static const char *const NAMES[] = {"LC_ALL", "LC_CTYPE", "LANG"};

    for (size_t i = 0; i < ARRAY_COUNT(NAMES); i++) {
        const char *value = getenv(NAMES[i]);

        if (value != NULL && *value != '\0')
            return strcasestr(value, "utf-8") != NULL || strcasestr(value, "utf8") != NULL;
    }
    return false;
}

static size_t count_columns(int fd)
{
    const char *wanted = getenv("COLUMNS");
    struct winsize size;
    unsigned long columns = wanted != NULL ? strtoul(wanted, NULL, 10) : 0;

    if (columns == 0 && ioctl(fd, TIOCGWINSZ, &size) == 0)
        columns = size.ws_col;
    if (columns == 0)
        columns = TERMINAL_COLUMNS_DEFAULT;
    if (columns < TERMINAL_COLUMNS_MIN)
        return TERMINAL_COLUMNS_MIN;
    return columns > TERMINAL_COLUMNS_MAX ? TERMINAL_COLUMNS_MAX : (size_t)columns;
}

bool terminal_is_there(int fd)
{
    return isatty(fd) == 1;
}

void terminal_detect(int fd, struct terminal *terminal_out)
{
    const char *no_color = getenv("NO_COLOR");
    const char *term = getenv("TERM");

    terminal_out->columns = count_columns(fd);
    terminal_out->is_utf8 = is_utf8_locale();
    terminal_out->has_color = terminal_is_there(fd) && (no_color == NULL || *no_color == '\0') &&
                              term != NULL && *term != '\0' && strcmp(term, "dumb") != 0;
}

const char *terminal_begin(const struct terminal *terminal, enum terminal_style style)
{
    return terminal->has_color ? STYLES[style] : "";
}

const char *terminal_end(const struct terminal *terminal, enum terminal_style style)
{
    return terminal->has_color && style != STYLE_PLAIN ? "\033[0m" : "";
}

/* ---- text ---- */

/* The character whose valid sequence of len bytes (1..4) begins at text. */
static uint32_t decode(const char *text, size_t len)
{
    static const uint8_t FIRST_BITS[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    uint32_t code = (uint8_t)text[0] & FIRST_BITS[len];

    for (size_t i = 1; i < len; i++)
        code = code << 6 | ((uint8_t)text[i] & 0x3FU);
    return code;
}

void terminal_clean(const struct terminal *terminal, const char *text, size_t len, struct strbuf *out)
{
    for (size_t at = 0; at < len;) {
        size_t step = utf8_sequence_len(text + at, len - at);
        uint32_t code = step > 0 ? decode(text + at, step) : 0;

        if (step == 0 && terminal->is_utf8)
            strbuf_add_text(out, "\xEF\xBF\xBD");
        else if (step == 0 || (code < 0x80 && is_in(INVISIBLE, ARRAY_COUNT(INVISIBLE), code)))
            strbuf_addf(out, "\\x%02x", (unsigned)(uint8_t)text[at]);
        else if (code >= 0x80 && (!terminal->is_utf8 || is_in(INVISIBLE, ARRAY_COUNT(INVISIBLE), code)))
            strbuf_addf(out, "\\u{%x}", (unsigned)code);
        else
            strbuf_add(out, text + at, step);
        at += step > 0 ? step : 1;
    }
}

static size_t columns_of(uint32_t code)
{
    if (is_in(COMBINING, ARRAY_COUNT(COMBINING), code))
        return 0;
    return is_in(WIDE, ARRAY_COUNT(WIDE), code) ? 2 : 1;
}

/* Step through a clean text up to columns; bytes and columns taken. */
static size_t walk(const char *text, size_t columns, size_t *columns_out)
{
    size_t len = strlen(text), at = 0, used = 0;

    while (at < len) {
        size_t step = utf8_sequence_len(text + at, len - at);
        size_t width = step > 0 ? columns_of(decode(text + at, step)) : 1;

        if (used + width > columns)
            break;
        used += width;
        at += step > 0 ? step : 1;
    }
    *columns_out = used;
    return at;
}

size_t terminal_width(const char *text)
{
    size_t columns;

    (void)walk(text, SIZE_MAX / 2, &columns);
    return columns;
}

size_t terminal_cut(const char *text, size_t columns)
{
    size_t used;

    return walk(text, columns, &used);
}
