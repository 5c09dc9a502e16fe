/* SPDX-License-Identifier: MIT */
/*
 * options.h - a settings file described by one table.
 *
 * Grammar (as Postfix's main.cf): "name = value"; a line that begins with a blank continues the one before;
 * '#' as first non-blank byte makes a comment; blank lines are ignored.  A name that appears twice, is
 * unknown, or has a bad value is an error that names file, line, key and fix.
 *
 * Units: durations take s, min, h, d (a bare number is seconds); sizes take K, M, G (powers of 1024).
 *
 * Precedence: -o overrides the environment, which overrides the file, which overrides the default.
 */
#ifndef BASE_OPTIONS_H
#define BASE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/err.h"

#define OPTIONS_FILE_MAX (1024 * 1024)
#define OPTIONS_MAX      96

enum option_kind {
    OPTION_TEXT,     /* const char * */
    OPTION_LIST,     /* struct option_list: items between commas or blanks */
    OPTION_NUMBER,   /* int64_t */
    OPTION_DURATION, /* int64_t seconds */
    OPTION_SIZE,     /* int64_t bytes */
    OPTION_MODE,     /* int64_t, octal permission bits */
    OPTION_CHOICE,   /* int: index into choices */
    OPTION_OBSOLETE, /* an older program's: any value is taken and nothing is done with it; help says what replaces it */
};

struct option_list {
    const char **items;
    size_t count;
};

/* What a check returns when memory ran out. */
extern const char OPTION_NO_MEMORY[];

/* A further check of one value (of each item, for a list): NULL if fine, else what is wrong and how to fix it. */
typedef const char *option_check_fn(const char *value);

struct option_row {
    const char *name;
    enum option_kind kind;
    size_t offset;              /* of its field in the values struct */
    const char *default_value;  /* as written in the file; "" : unset */
    int64_t min, max;           /* numbers, durations, sizes, modes */
    const char *const *choices; /* OPTION_CHOICE: NULL-terminated words */
    option_check_fn *check;     /* may be NULL */
    const char *help;           /* one sentence */
};

struct option_origin {
    const char *file; /* NULL: the default; "-o": command line; or a variable of the environment */
    unsigned line;
    const char *text; /* value as written */
};

struct options {
    const struct option_row *table;
    size_t count;
    void *values;
    struct option_origin origins[OPTIONS_MAX];
    struct arena arena; /* holds every text */
};

/*
 * Set every value to its default.  table and values are borrowed.
 * ST_INTERNAL  a default is bad
 * ST_NOMEM
 */
MUST_CHECK enum status options_init(struct options *options, const struct option_row *table, size_t count,
                                    void *values, struct err *err);
void options_done(struct options *options);

/*
 * Read a file.
 * ST_CONFIG     a line is wrong
 * ST_RANGE      the file is larger than OPTIONS_FILE_MAX
 * ST_NOT_FOUND
 * ST_IO
 * ST_NOMEM
 */
MUST_CHECK enum status options_read_file(struct options *options, const char *path, struct err *err);

/*
 * Take each variable of environment ("NAME=value" texts, NULL-terminated) whose name is prefix and a setting's
 * name in capitals; it overrides the file.  Variables in others (names, NULL-terminated) are skipped.
 * ST_CONFIG  a value is wrong, or no setting has that name; err names the variable
 * ST_NOMEM
 */
MUST_CHECK enum status options_read_environment(struct options *options, const char *prefix,
                                                const char *const *others, char *const *environment,
                                                struct err *err);

/*
 * One "name=value" from the command line; it overrides the file and the environment.
 * ST_CONFIG  it is wrong
 * ST_NOMEM
 */
MUST_CHECK enum status options_override(struct options *options, const char *assignment, struct err *err);

/* "FILE:LINE", "-o", the variable's name or "default", for messages about this option. */
void options_origin_format(const struct options *options, const char *name, char *text_out, size_t size);

/* The first obsolete setting behind after (NULL: of all) that somebody has set; NULL: none. */
const struct option_row *options_next_obsolete(const struct options *options, const struct option_row *after);

/* "name = value   # from" for each row. */
void options_show(const struct options *options, FILE *out);

/* Name, default and help of each row of a table. */
void options_help(const struct option_row *table, size_t count, FILE *out);

#endif
