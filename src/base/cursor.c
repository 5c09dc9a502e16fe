/* SPDX-License-Identifier: MIT */
/*
 * Every read checks the end first and sets is_failed instead of going past it; a failed cursor reads nothing more.
 */
#include "base/cursor.h"

#include <string.h>

static bool is_in(char byte, const char *set)
{
    return byte != '\0' && strchr(set, byte) != NULL;
}

void cursor_init(struct cursor *cursor, const char *text, size_t len)
{
    *cursor = (struct cursor){.begin = text, .at = text, .end = text + len};
}

bool cursor_at_end(const struct cursor *cursor)
{
    return cursor->is_failed || cursor->at == cursor->end;
}

size_t cursor_offset(const struct cursor *cursor)
{
    return (size_t)(cursor->at - cursor->begin);
}

void cursor_fail(struct cursor *cursor)
{
    if (cursor->is_failed)
        return;
    cursor->is_failed = true;
    cursor->error_at = cursor_offset(cursor);
}

char cursor_peek(const struct cursor *cursor)
{
    return cursor_at_end(cursor) ? '\0' : *cursor->at;
}

char cursor_take_byte(struct cursor *cursor)
{
    if (cursor_at_end(cursor)) {
        cursor_fail(cursor);
        return '\0';
    }
    return *cursor->at++;
}

bool cursor_skip_word(struct cursor *cursor, const char *word)
{
    size_t len = strlen(word);

    if (cursor->is_failed || (size_t)(cursor->end - cursor->at) < len || memcmp(cursor->at, word, len) != 0)
        return false;
    cursor->at += len;
    return true;
}

size_t cursor_skip_any(struct cursor *cursor, const char *set)
{
    return cursor_take_while(cursor, set).len;
}

void cursor_expect(struct cursor *cursor, const char *word)
{
    if (!cursor_skip_word(cursor, word))
        cursor_fail(cursor);
}

static struct span take(struct cursor *cursor, const char *set, bool while_in_set)
{
    struct span span = {.at = cursor->at, .len = 0};

    while (!cursor_at_end(cursor) && is_in(*cursor->at, set) == while_in_set)
        cursor->at++;
    span.len = (size_t)(cursor->at - span.at);
    return span;
}

struct span cursor_take_until(struct cursor *cursor, const char *set)
{
    return take(cursor, set, false);
}

struct span cursor_take_while(struct cursor *cursor, const char *set)
{
    return take(cursor, set, true);
}

uint64_t cursor_take_number(struct cursor *cursor, uint64_t max)
{
    struct span digits = cursor_take_while(cursor, "0123456789");
    uint64_t number = 0;

    if (digits.len == 0)
        cursor_fail(cursor);
    for (size_t i = 0; i < digits.len && !cursor->is_failed; i++) {
        uint64_t digit = (uint64_t)(digits.at[i] - '0');

        if (number > (max - digit) / 10 || digit > max)
            cursor_fail(cursor);
        number = number * 10 + digit;
    }
    return cursor->is_failed ? 0 : number;
}

bool span_is(struct span span, const char *word)
{
    return span.len == strlen(word) && memcmp(span.at, word, span.len) == 0;
}
