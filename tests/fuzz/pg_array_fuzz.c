/* SPDX-License-Identifier: MIT */
/*
 * Texts, one between two NULs of the input, as an array of SQL: read by PostgreSQL's rules they are the same
 * texts, none of them NULL.  Eight bytes of each as a number, likewise.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "array_literal.h"
#include "fleet/pg_array.h"

#define ARRAY_MAX (1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool is_true)
{
    if (!is_true)
        abort();
}

/* The array holds the texts of [text, end), each with a NUL behind it, and nothing else. */
static void check_texts(const char *array, const char *text, const char *end, char *item)
{
    const char *at = array;
    bool is_null, is_good;

    for (; text < end; text += strlen(text) + 1)
        require(array_literal_next(&at, item, &is_null, &is_good) && !is_null && strcmp(item, text) == 0);
    require(!array_literal_next(&at, item, &is_null, &is_good) && is_good);
}

static void check_numbers(struct strbuf *array, const char *bytes, size_t size, char *item)
{
    const char *at;
    bool is_null, is_good;
    int64_t number;

    pg_array_begin(array);
    for (size_t i = 0; i + sizeof number <= size; i += sizeof number) {
        memcpy(&number, bytes + i, sizeof number);
        pg_array_add_int(array, number);
    }
    pg_array_end(array);
    at = array->data;
    for (size_t i = 0; i + sizeof number <= size; i += sizeof number) {
        memcpy(&number, bytes + i, sizeof number);
        require(array_literal_next(&at, item, &is_null, &is_good) && !is_null &&
                strtoimax(item, NULL, 10) == number);
    }
    require(!array_literal_next(&at, item, &is_null, &is_good) && is_good);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size + 1), *item = malloc(ARRAY_MAX);
    struct strbuf array;

    require(copy != NULL && item != NULL);
    memcpy(copy, data, size);
    copy[size] = '\0';
    strbuf_init(&array, ARRAY_MAX);
    pg_array_begin(&array);
    for (const char *text = copy; text < copy + size; text += strlen(text) + 1)
        pg_array_add_text(&array, text);
    pg_array_end(&array);
    if (!strbuf_is_failed(&array))
        check_texts(array.data, copy, copy + size, item);
    check_numbers(&array, copy, size, item);
    strbuf_done(&array);
    free(copy);
    free(item);
    return 0;
}
