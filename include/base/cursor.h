/* SPDX-License-Identifier: MIT */
/*
 * cursor.h - read a text from left to right with checks that stick: read, read, read, then ask once.
 *
 * A cursor borrows the text.  After the first failed read is_failed stays true, the cursor does not move and
 * every read gives '\0', 0 or an empty span; error_at is the byte offset of that first failure.
 */
#ifndef BASE_CURSOR_H
#define BASE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A piece of somebody else's text; not NUL-terminated. */
struct span {
    const char *at;
    size_t len;
};

struct cursor {
    const char *begin;
    const char *at;
    const char *end;
    bool is_failed;
    size_t error_at; /* byte offset of the first failure */
};

void cursor_init(struct cursor *cursor, const char *text, size_t len);

/* True when all was read or a read failed. */
bool cursor_at_end(const struct cursor *cursor);

/* Byte offset from the text's begin. */
size_t cursor_offset(const struct cursor *cursor);

/* Mark as failed here (for a rule the cursor does not know). */
void cursor_fail(struct cursor *cursor);

/* The next byte without moving, '\0' at the end. */
char cursor_peek(const struct cursor *cursor);

/* The next byte, and step over it; at the end it is a failure. */
char cursor_take_byte(struct cursor *cursor);

/* If the next bytes are exactly word, step over them and return true; else false, not a failure. */
bool cursor_skip_word(struct cursor *cursor, const char *word);

/* Step over as many bytes of set as there are; returns how many. */
size_t cursor_skip_any(struct cursor *cursor, const char *set);

/* As cursor_skip_word, but a mismatch is a failure. */
void cursor_expect(struct cursor *cursor, const char *word);

/* All bytes up to the first one in set, or to the end; may be empty. */
struct span cursor_take_until(struct cursor *cursor, const char *set);

/* All following bytes that are in set; may be empty. */
struct span cursor_take_while(struct cursor *cursor, const char *set);

/* Decimal digits up to max; no digit or a larger number is a failure. */
uint64_t cursor_take_number(struct cursor *cursor, uint64_t max);

/* True if span is exactly the NUL-terminated word. */
bool span_is(struct span span, const char *word);

#endif
