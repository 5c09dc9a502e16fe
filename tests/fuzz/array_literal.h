/* SPDX-License-Identifier: MIT */
/*
 * array_literal.h - an array of SQL read as PostgreSQL's manual says (Arrays, "Array Input and Output
 * Syntax"), written without a look at pg_array.c: one dimension, no white space between items.
 */
#ifndef TESTS_FUZZ_ARRAY_LITERAL_H
#define TESTS_FUZZ_ARRAY_LITERAL_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

/* The item at *at, unquoted, into item_out (as large as the whole text); *at moves to the ',' or '}' behind
 * it. False: no array. */
static inline bool array_literal_item(const char **at, char *item_out, bool *is_null_out)
{
    const char *text = *at;
    bool is_quoted = *text == '"';
    size_t len = 0;

    text += is_quoted;
    while (*text != '\0' && (is_quoted ? *text != '"' : strchr(",{}\"", *text) == NULL)) {
        if (*text == '\\' && *++text == '\0')
            return false;
        item_out[len++] = *text++;
    }
    item_out[len] = '\0';
    *is_null_out = !is_quoted && strcasecmp(item_out, "NULL") == 0;
    if (is_quoted && *text++ != '"')
        return false;
    *at = text;
    return (is_quoted || len > 0) && (*text == ',' || *text == '}');
}

/*
 * The next item of an array; *at is its text at first, and NULL behind the last item.  *is_good_out: false if
 * it is no array.
 */
static inline bool array_literal_next(const char **at, char *item_out, bool *is_null_out, bool *is_good_out)
{
    const char *text = *at;

    *is_good_out = true;
    if (text == NULL || strcmp(text, "}") == 0 || strcmp(text, "{}") == 0) {
        *at = NULL;
        return false;
    }
    text++; /* '{' or ',' */
    *is_good_out = (**at == '{' || **at == ',') && array_literal_item(&text, item_out, is_null_out);
    *at = *is_good_out ? text : NULL;
    return *is_good_out;
}

#endif
