/* SPDX-License-Identifier: MIT */
/*
 * table.h - rows for a person: aligned, at most as wide as the terminal, harmless whatever the cells hold; and
 * the other shapes that our screens share (bar, wrapped paragraph, numbers with groups of three).
 */
#ifndef APP_TABLE_H
#define APP_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/terminal.h"

#define TABLE_COLUMNS_MAX 12
#define TABLE_NUMBER_SIZE 28 /* "18,446,744,073,709,551,615" and NUL */

struct table_column {
    const char *title;
    size_t min;     /* cut to this on a narrow terminal, below it only if nothing else helps; 0: never cut */
    bool is_right;  /* numbers */
    bool is_hidden; /* left out before any column is cut */
};

struct table_cell {
    const char *text; /* clean */
    size_t width;
    enum terminal_style style;
};

struct table_row {
    struct table_row *next;
    bool is_rule; /* a line between the rows above and below */
    struct table_cell cells[TABLE_COLUMNS_MAX];
};

struct table {
    const struct terminal *terminal;
    const struct table_column *columns;
    size_t count;
    struct arena arena;
    struct table_row *first, **end;
    struct table_row *row; /* the one being filled */
    size_t at;             /* its next cell */
    bool is_failed;        /* memory ran out; table_print says so */
};

/* terminal and columns are borrowed.  Free with table_done. */
void table_init(struct table *table, const struct terminal *terminal, const struct table_column *columns,
                size_t count);
void table_done(struct table *table);

/* Start a row, then add its cells from left to right; missing cells are empty.  text is cleaned and copied. */
void table_add_row(struct table *table);
void table_add_cell(struct table *table, enum terminal_style style, const char *text);
void table_add_cellf(struct table *table, enum terminal_style style, const char *format, ...)
    PRINTF_LIKE(3, 4);
void table_add_number(struct table *table, enum terminal_style style, uint64_t number);

/* A line across. */
void table_add_rule(struct table *table);

/* Titles and rows.  ST_NOMEM if a row is missing. */
MUST_CHECK enum status table_print(const struct table *table, FILE *out, struct err *err);

/* "1,234,567" */
const char *table_number(uint64_t number, char text_out[TABLE_NUMBER_SIZE]);

/* "10 min", "4 h", "2 d 3 h": the two largest units. */
const char *table_duration(int64_t seconds, char text_out[TABLE_NUMBER_SIZE]);

/* The two shares of a whole as a bar of that many columns; each that is not 0 shows. */
void table_print_bar(const struct terminal *terminal, uint64_t good, uint64_t bad, size_t columns, FILE *out);

/*
 * Text, cleaned, broken at blanks (longer words anywhere) so that no line passes the terminal's width; the
 * first line begins at column first (already printed by the caller), the others at column indent.  Ends the
 * line.
 */
void table_print_wrapped(const struct terminal *terminal, size_t first, size_t indent, const char *text,
                         FILE *out);

/* Text, cleaned, in a style. */
void table_print_text(const struct terminal *terminal, enum terminal_style style, const char *text,
                      FILE *out);

#endif
