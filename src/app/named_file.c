/* SPDX-License-Identifier: MIT */
/*
 * Each kind has its own check: mode bits for secrets, the first line for passwords, a PEM marker for
 * certificates.  The faults are a table, so that program start and `check` print the same text and fix.
 */
#include "app/named_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cursor.h"
#include "base/file.h"
#include "base/strbuf.h"

#define SECRET_FILE_MAX 4096

static const struct named_file_fault UNREADABLE = {NULL, "name a file that can, or remove the line", false};
static const struct named_file_fault OPEN_TO_ALL = {"may be read by everybody", "run chmod o=", true};
static const struct named_file_fault NO_SECRET = {"does not begin with a line USER:PASSWORD", "write it so",
                                                  false};
static const struct named_file_fault NO_PASSWORD = {"has nothing in its first line",
                                                    "write the password there", false};
static const struct named_file_fault NO_CERTIFICATE = {"holds no certificate in PEM form",
                                                       "name a file that does, or remove the line", false};

static bool split_secret(const struct strbuf *text, struct span *user_out, struct span *password_out)
{
    struct cursor cursor;

    cursor_init(&cursor, text->data, text->len);
    *user_out = cursor_take_until(&cursor, ":\r\n");
    cursor_expect(&cursor, ":");
    *password_out = cursor_take_until(&cursor, "\r\n");
    return !cursor.is_failed && user_out->len > 0 && password_out->len > 0;
}

static bool is_secret(const char *path)
{
    struct span user, password;
    struct strbuf text;
    bool is_good;

    strbuf_init(&text, SECRET_FILE_MAX);
    is_good = file_read(path, &text, NULL) == ST_OK && split_secret(&text, &user, &password);
    strbuf_done(&text);
    return is_good;
}

static bool has_password(const char *path)
{
    struct strbuf text;
    bool is_good;

    strbuf_init(&text, SECRET_FILE_MAX);
    is_good = file_read(path, &text, NULL) == ST_OK && text.len > 0 && strcspn(text.data, "\r\n") > 0;
    strbuf_done(&text);
    return is_good;
}

/* Whoever made the file put its certificates behind comments, or not; the first one is enough for us. */
static bool has_certificate(const char *path)
{
    static const char BEGIN[] = "-----BEGIN CERTIFICATE-----",
                      TRUSTED[] = "-----BEGIN TRUSTED CERTIFICATE-----";
    FILE *file = fopen(path, "re");
    char line[256];
    bool is_found = false;

    if (file == NULL)
        return false;
    while (!is_found && fgets(line, sizeof line, file) != NULL)
        is_found = strncmp(line, BEGIN, strlen(BEGIN)) == 0 || strncmp(line, TRUSTED, strlen(TRUSTED)) == 0;
    (void)fclose(file);
    return is_found;
}

bool named_file_is_good(enum named_file_kind kind, const char *path, struct named_file_fault *fault_out)
{
    struct stat found;

    errno = 0;
    if (access(path, R_OK) != 0 || stat(path, &found) != 0) {
        *fault_out = UNREADABLE;
        return false;
    }
    if ((kind == NAMED_FILE_SECRET || kind == NAMED_FILE_PASSWORD) && (found.st_mode & S_IRWXO) != 0)
        *fault_out = OPEN_TO_ALL;
    else if (kind == NAMED_FILE_PASSWORD && !has_password(path))
        *fault_out = NO_PASSWORD;
    else if (kind == NAMED_FILE_SECRET && !is_secret(path))
        *fault_out = NO_SECRET;
    else if (kind == NAMED_FILE_CERTIFICATES && !has_certificate(path))
        *fault_out = NO_CERTIFICATE;
    else
        return true;
    return false;
}

enum status named_file_read_secret(const char *path, struct arena *arena, const char **user_out,
                                   const char **password_out, struct err *err)
{
    struct named_file_fault fault;
    struct span user, password;
    struct strbuf text;
    enum status status = ST_OK;

    if (!named_file_is_good(NAMED_FILE_SECRET, path, &fault))
        return err_set(err, ST_CONFIG, "%s %s; %s%s%s", path,
                       fault.what != NULL ? fault.what : "cannot be read", fault.fix,
                       fault.is_mode ? " " : "", fault.is_mode ? path : "");
    strbuf_init(&text, SECRET_FILE_MAX);
    if (file_read(path, &text, NULL) != ST_OK || !split_secret(&text, &user, &password)) {
        status = err_set(err, ST_CONFIG, "%s cannot be read any more", path);
    } else {
        *user_out = arena_copy_text(arena, user.at, user.len);
        *password_out = arena_copy_text(arena, password.at, password.len);
        if (*user_out == NULL || *password_out == NULL)
            status = err_set(err, ST_NOMEM, "out of memory");
    }
    strbuf_done(&text);
    return status;
}
