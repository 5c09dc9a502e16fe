/* SPDX-License-Identifier: MIT */
/*
 * bind.h - the values of a statement's parameters, for SQLite (store/db.h) and PostgreSQL (fleet) alike.
 *
 * A call such as  db_change(db, Q_SKIP, BIND(TEXT(domain), INT(utc_day)), err)  binds them in order.  Values
 * are always bound, never pasted into SQL.
 */
#ifndef STORE_BIND_H
#define STORE_BIND_H

#include <stddef.h>
#include <stdint.h>

enum bind_kind {
    BIND_INT,
    BIND_TEXT,
    BIND_BYTES,
};

struct bind_value {
    enum bind_kind kind;
    size_t len; /* BIND_BYTES only */
    union {
        int64_t number;
        const char *text; /* borrowed for the call; NULL: SQL NULL */
        const void *bytes;
    } as;
};

// clang-format off
#define INT(value)        {BIND_INT, 0, {.number = (value)}}
#define TEXT(value)       {BIND_TEXT, 0, {.text = (value)}}
#define BYTES(value, len) {BIND_BYTES, (len), {.bytes = (value)}}
// clang-format on

/* A text that may be NULL, which is kept as "". */
#define TEXT_OR_EMPTY(value) TEXT((value) != NULL ? (value) : "")

/* Two arguments of a call: the values, and how many they are. */
#define BIND(...)                                                                                            \
    (const struct bind_value[]){__VA_ARGS__},                                                                \
        sizeof((const struct bind_value[]){__VA_ARGS__}) / sizeof(struct bind_value)
#define BIND_NOTHING NULL, 0

#endif
