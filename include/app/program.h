/* SPDX-License-Identifier: MIT */
/*
 * program.h - what all our programs share: the options -c, -o, --help and --version, and how a status becomes an exit
 * code of sysexits.h.
 */
#ifndef APP_PROGRAM_H
#define APP_PROGRAM_H

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "model/config.h"

#define PROGRAM_OVERRIDES_MAX 64

/* Exit codes, from 64 on as sysexits.h numbers them. */
enum {
    EXIT_NEGATIVE = 1,       /* what was asked about does not work: check, explain, status --require */
    EXIT_USAGE = 64,         /* wrong words on the command line */
    EXIT_DATA = 65,          /* input is not what it should be */
    EXIT_NO_INPUT = 66,      /* a named file is not there */
    EXIT_UNAVAILABLE = 69,   /* something that is needed is not there */
    EXIT_BUG = 70,           /* an error of the program itself */
    EXIT_SYSTEM = 71,        /* the operating system refused (memory, processes) */
    EXIT_CANT_CREATE = 73,   /* a file could not be made, or the disk is full */
    EXIT_IO = 74,            /* reading or writing failed */
    EXIT_TEMPORARY = 75,     /* try again later */
    EXIT_NO_PERMISSION = 77, /* permission denied */
    EXIT_CONFIGURATION = 78, /* a setting is wrong or missing */
};

struct program {
    const char *name;
    const char *config_path; /* CONFIG_DEFAULT_FILE unless -c */
    bool is_path_given;
    const char *overrides[PROGRAM_OVERRIDES_MAX];
    size_t override_count;
    struct config config;
};

/* Short and long options that every program takes; put both first in the program's own lists. */
#define PROGRAM_SHORT_OPTIONS "c:o:hV"
// clang-format off
#define PROGRAM_LONG_OPTIONS \
    {"config",  required_argument, NULL, 'c'}, \
    {"help",    no_argument,       NULL, 'h'}, \
    {"version", no_argument,       NULL, 'V'}
// clang-format on

/* sysexits code of a status; 0 for ST_OK. */
int program_exit_code(enum status status);

/* Print err on stderr as "name: text" and return its exit code. */
int program_fail(const struct program *program, const struct err *err);

/* Print on stderr that getopt refused argv[optind - 1]; EXIT_USAGE. */
int program_refuse_option(const char *name, char *const *argv);

/* Take -c or -o; false if it is neither, or one -o too many. */
bool program_take_option(struct program *program, int option, const char *argument);

/* "YYYY-MM-DD", "today" or "yesterday", for --day.  ST_SYNTAX */
MUST_CHECK enum status program_parse_day(const char *text, int32_t *utc_day_out, struct err *err);

/* Load the settings.  Without -c, a missing default file is no error unless an identity is needed. */
MUST_CHECK enum status program_load_config(struct program *program, bool needs_identity, struct err *err);

/*
 * If this process is root and state_dir belongs to another user, become that user, so that a run by hand
 * leaves no file that the service cannot open.  Without a state_dir this does nothing.
 * ST_DENIED  the owner has no account, or the system refused
 */
MUST_CHECK enum status program_leave_root(const char *state_dir, struct err *err);

/* One line: "name version". */
void program_print_version(const struct program *program);

#endif
