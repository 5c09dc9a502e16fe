/* SPDX-License-Identifier: MIT */
/*
 * err.h - how a function says that it failed: a status code, and words in a struct the caller owns.
 *
 * A function that can fail in more than one way returns enum status and takes a struct err * last.  On
 * failure its outputs are untouched and err holds the code, errno (0 if none) and one line of text that
 * says what, where and, if known, how to fix it.  Nothing is allocated on the way out.  err may be NULL
 * for callers that do not want the text.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "base/attr.h"

enum status {
    ST_OK = 0,
    ST_NOT_FOUND,   /* there is none, and that is an answer */
    ST_SYNTAX,      /* input does not follow its grammar */
    ST_RANGE,       /* input is well formed but outside a stated limit */
    ST_CONFIG,      /* a setting is wrong or missing; the operator must change it */
    ST_UNSUPPORTED, /* a version or kind that this program does not know */
    ST_DENIED,      /* permission, or a policy of ours, forbids it */
    ST_BUSY,        /* somebody else holds it; try later */
    ST_TEMPORARY,   /* failed now, may work later (network, DNS, remote server) */
    ST_FULL,        /* no room: ring, disk or a cap */
    ST_IO,          /* the operating system refused; errno is set */
    ST_NOMEM,       /* memory ran out */
    ST_INTERNAL,    /* a bug of ours, noticed */
};

#define ERR_TEXT_MAX 512

struct err {
    enum status code;
    int sys_errno;           /* errno of the failing call, or 0 */
    char text[ERR_TEXT_MAX]; /* NUL-terminated, cut if too long, never empty after a failure */
};

/* Fill err (if not NULL) and return code, so that a caller can write: return err_set(err, ST_RANGE, ...). */
enum status err_set(struct err *err, enum status code, const char *format, ...) PRINTF_LIKE(3, 4);

/* As err_set, but keeps errno and appends its words: "open /x: Permission denied". */
enum status err_set_errno(struct err *err, enum status code, int sys_errno, const char *format, ...)
    PRINTF_LIKE(4, 5);

#ifdef __clang_analyzer__ /* it sees one file at a time: tell it that the code comes back */
#define err_set(err, code, ...) ((void)err_set((err), (code), __VA_ARGS__), (code))
#define err_set_errno(err, code, sys_errno, ...)                                                             \
    ((void)err_set_errno((err), (code), (sys_errno), __VA_ARGS__), (code))
#endif

/* Put "context: " before the text that err already holds; returns err's code (ST_INTERNAL if err is NULL). */
enum status err_wrap(struct err *err, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
