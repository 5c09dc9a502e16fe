/* SPDX-License-Identifier: MIT */
/*
 * named_file.h - is a file that a setting names of the right kind?  Checked at start, so that a wrong file is
 * not found only when the first report is due.
 */
#ifndef APP_NAMED_FILE_H
#define APP_NAMED_FILE_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"

enum named_file_kind {
    NAMED_FILE_ANY,    /* it can be read */
    NAMED_FILE_SECRET, /* and its first line is USER:PASSWORD, and others than owner and group are kept out */
    NAMED_FILE_PASSWORD,     /* and its first line is one, and others are kept out likewise */
    NAMED_FILE_CERTIFICATES, /* and a certificate in PEM form is in it */
};

/* What is wrong with it; both are static texts. */
struct named_file_fault {
    const char *what; /* NULL: it cannot be read, errno says why */
    const char *fix;
    bool is_mode; /* fix is "run chmod o=": append the path */
};

/* False: *fault_out is filled. */
MUST_CHECK bool named_file_is_good(enum named_file_kind kind, const char *path,
                                   struct named_file_fault *fault_out);

/*
 * User and password of a NAMED_FILE_SECRET; both live as long as arena.
 * ST_CONFIG  it is not one; err names path and fix
 * ST_NOMEM
 */
MUST_CHECK enum status named_file_read_secret(const char *path, struct arena *arena, const char **user_out,
                                              const char **password_out, struct err *err);

#endif
