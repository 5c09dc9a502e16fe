/* SPDX-License-Identifier: MIT */
/*
 * Options, settings, exit codes, and the change from root to the owner of state_dir: the same in each program.
 */
#include "app/program.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/terminal.h"
#include "model/utc_day.h"

static const int EXIT_CODES[] = {
    [ST_OK] = 0,
    [ST_NOT_FOUND] = EXIT_NO_INPUT,
    [ST_SYNTAX] = EXIT_DATA,
    [ST_RANGE] = EXIT_DATA,
    [ST_CONFIG] = EXIT_CONFIGURATION,
    [ST_UNSUPPORTED] = EXIT_DATA,
    [ST_DENIED] = EXIT_NO_PERMISSION,
    [ST_BUSY] = EXIT_TEMPORARY,
    [ST_TEMPORARY] = EXIT_TEMPORARY,
    [ST_FULL] = EXIT_CANT_CREATE,
    [ST_IO] = EXIT_IO,
    [ST_NOMEM] = EXIT_SYSTEM,
    [ST_INTERNAL] = EXIT_BUG,
};

int program_exit_code(enum status status)
{
    return (size_t)status < ARRAY_COUNT(EXIT_CODES) ? EXIT_CODES[status] : EXIT_BUG;
}

/* The text may hold outside bytes; they must not reach the terminal as they are. */
int program_fail(const struct program *program, const struct err *err)
{
    struct terminal terminal;
    struct strbuf text;

    terminal_detect(STDERR_FILENO, &terminal);
    strbuf_init(&text, (size_t)ERR_TEXT_MAX * 8);
    terminal_clean(&terminal, err->text, strlen(err->text), &text);
    (void)fprintf(stderr, "%s: %s\n", program->name, text.data);
    strbuf_done(&text);
    return program_exit_code(err->code);
}

int program_refuse_option(const char *name, char *const *argv)
{
    (void)fprintf(stderr, "%s: \"%.80s\": no such option, or its value is missing; see %s --help\n", name,
                  argv[optind - 1], name);
    return EXIT_USAGE;
}

bool program_take_option(struct program *program, int option, const char *argument)
{
    if (option == 'c') {
        program->config_path = argument;
        program->is_path_given = true;
        return true;
    }
    if (option != 'o' || program->override_count == ARRAY_COUNT(program->overrides))
        return false;
    program->overrides[program->override_count++] = argument;
    return true;
}

enum status program_parse_day(const char *text, int32_t *utc_day_out, struct err *err)
{
    int32_t today = utc_day_of(clock_utc_s());

    if (strcmp(text, "today") == 0)
        *utc_day_out = today;
    else if (strcmp(text, "yesterday") == 0)
        *utc_day_out = today > 0 ? today - 1 : 0;
    else if (!utc_day_parse(text, utc_day_out))
        return err_set(err, ST_SYNTAX, "--day \"%.40s\": use YYYY-MM-DD, yesterday or today", text);
    return ST_OK;
}

/* Without -c a missing default file is no error unless an identity is needed. */
static enum status load(struct program *program, bool needs_identity, struct err *err)
{
    const char *path = program->is_path_given ? program->config_path : CONFIG_DEFAULT_FILE;
    enum status status;

    status =
        config_load(path, program->overrides, program->override_count, needs_identity, &program->config, err);
    if (status != ST_NOT_FOUND || program->is_path_given)
        return status == ST_NOT_FOUND
                   ? err_set(err, ST_CONFIG, "%s: no such file; see tlsrpt-gen.conf(5)", path)
                   : status;
    config_done(&program->config);
    status =
        config_load("", program->overrides, program->override_count, needs_identity, &program->config, err);
    return status == ST_CONFIG ? err_wrap(err, "%s does not exist", CONFIG_DEFAULT_FILE) : status;
}

enum status program_load_config(struct program *program, bool needs_identity, struct err *err)
{
    enum status status = load(program, needs_identity, err);

    if (status == ST_OK && program->config.log_to == CONFIG_LOG_TO_SYSLOG)
        log_open(program->name, LOG_TO_SYSLOG);
    return status;
}

enum status program_leave_root(const char *state_dir, struct err *err)
{
    const struct passwd *owner;
    struct stat info;

    if (geteuid() != 0 || stat(state_dir, &info) != 0 || info.st_uid == 0)
        return ST_OK;
    owner = getpwuid(info.st_uid);
    if (owner == NULL)
        return err_set(err, ST_DENIED, "state_dir %s belongs to uid %lu, which has no account; chown it",
                       state_dir, (unsigned long)info.st_uid);
    if (initgroups(owner->pw_name, owner->pw_gid) != 0 || setgid(owner->pw_gid) != 0 ||
        setuid(owner->pw_uid) != 0)
        return err_set_errno(err, ST_DENIED, errno, "become %s, the owner of %s", owner->pw_name, state_dir);
    return ST_OK;
}

void program_print_version(const struct program *program)
{
    (void)printf("%s %s\n", program->name, TLSRPT_GEN_VERSION);
}
