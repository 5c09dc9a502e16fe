/* SPDX-License-Identifier: MIT */
/*
 * terminal.h - what the reader's screen can do, and outside text made harmless for it.
 *
 * Colour is used only where the output is a terminal, TERM is not "dumb" and NO_COLOR is unset or empty.
 * Letters other than ASCII are used only where LC_ALL, LC_CTYPE or LANG (the first that is set) says UTF-8.
 */
#ifndef BASE_TERMINAL_H
#define BASE_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/strbuf.h"

#define TERMINAL_COLUMNS_DEFAULT 80
#define TERMINAL_COLUMNS_MIN     40
#define TERMINAL_COLUMNS_MAX     1000

struct terminal {
    size_t columns;
    bool has_color;
    bool is_utf8;
};

enum terminal_style {
    STYLE_PLAIN,
    STYLE_BOLD,
    STYLE_DIM,
    STYLE_GOOD, /* green */
    STYLE_WARN, /* yellow */
    STYLE_BAD,  /* red */
    STYLE_COUNT,
};

/*
 * Columns: the environment's COLUMNS, else what the terminal says, else TERMINAL_COLUMNS_DEFAULT; always
 * between the two limits.
 */
void terminal_detect(int fd, struct terminal *terminal_out);

/* True if fd is a terminal. */
bool terminal_is_there(int fd);

/*
 * Append text[0..len) to out with nothing left that could move the cursor, change colours or turn the
 * direction: control and invisible characters become \xHH or \u{HEX}, invalid UTF-8 becomes U+FFFD (\xHH on a
 * terminal that has no UTF-8).
 */
void terminal_clean(const struct terminal *terminal, const char *text, size_t len, struct strbuf *out);

/* Columns that a clean text takes. */
size_t terminal_width(const char *text);

/* Bytes of the longest beginning of a clean text that takes at most that many columns. */
size_t terminal_cut(const char *text, size_t columns);

/* The escape sequence that begins a style, and the one that ends it; "" without colour or for STYLE_PLAIN. */
const char *terminal_begin(const struct terminal *terminal, enum terminal_style style);
const char *terminal_end(const struct terminal *terminal, enum terminal_style style);

#endif
