/* SPDX-License-Identifier: MIT */
/*
 * postconf(1) is started without a shell, its answer is read from a pipe, and its exit code decides.
 */
#include "app/postconf.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cursor.h"
#include "base/file.h"
#include "base/strbuf.h"

#define VERSION_PART_MAX 999

static int spawn_postconf(const char *const argv[], int out_fd, bool is_quiet, pid_t *pid_out)
{
    posix_spawn_file_actions_t actions;
    char **arguments = (char **)(uintptr_t)argv; /* posix_spawn does not write to them */
    int error = posix_spawn_file_actions_init(&actions);

    if (error != 0)
        return error;
    error = posix_spawn_file_actions_adddup2(&actions, out_fd, STDOUT_FILENO);
    if (error == 0 && is_quiet)
        error = posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    if (error == 0)
        error = posix_spawnp(pid_out, argv[0], &actions, NULL, arguments, environ);
    if (error == ENOENT) /* sbin is often missing from PATH */
        error = posix_spawn(pid_out, "/usr/sbin/postconf", &actions, NULL, arguments, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    return error;
}

/* Run postconf and take its first line (without the newline) into answer_out; ST_NOT_FOUND if there is no
 * postconf. */
static enum status postconf(const char *const argv[], bool is_quiet, char *answer_out, size_t size,
                            struct err *err)
{
    struct strbuf output;
    enum status status;
    pid_t pid;
    int pipe_fd[2], error, how;

    if (pipe2(pipe_fd, O_CLOEXEC) != 0)
        return err_set_errno(err, ST_IO, errno, "pipe");
    strbuf_init(&output, POSTCONF_VALUE_MAX);
    error = spawn_postconf(argv, pipe_fd[1], is_quiet, &pid);
    (void)close(pipe_fd[1]);
    if (error != 0) {
        status = err_set_errno(err, error == ENOENT ? ST_NOT_FOUND : ST_IO, error, "postconf");
        goto out;
    }
    status = file_read_fd(pipe_fd[0], "postconf", &output, err);
    while (waitpid(pid, &how, 0) < 0)
        if (errno != EINTR) {
            status = err_set_errno(err, ST_IO, errno, "postconf");
            goto out;
        }
    if (status == ST_OK && (!WIFEXITED(how) || WEXITSTATUS(how) != 0))
        status = err_set(err, ST_IO, "postconf %s failed", argv[1]);
    if (status == ST_OK)
        (void)snprintf(answer_out, size, "%.*s", (int)strcspn(output.data, "\n"), output.data);
out:
    (void)close(pipe_fd[0]);
    strbuf_done(&output);
    return status;
}

enum status postconf_get(const char *name, char *value_out, size_t size, struct err *err)
{
    const char *const argv[] = {"postconf", "-h", name, NULL};

    return postconf(argv, true, value_out, size, err);
}

enum status postconf_set(const char *name, const char *value, struct err *err)
{
    char assignment[POSTCONF_VALUE_MAX], nothing[16];
    const char *const argv[] = {"postconf", "-e", assignment, NULL};
    int len = snprintf(assignment, sizeof(assignment), "%s = %s", name, value);

    if (len < 0 || (size_t)len >= sizeof(assignment))
        return err_set(err, ST_RANGE, "postconf -e %s: the value is too long", name);
    return postconf(argv, false, nothing, sizeof(nothing), err);
}

uint64_t postfix_version_parse(const char *text)
{
    uint64_t major, minor, patch = 0;
    struct cursor cursor;

    cursor_init(&cursor, text, strlen(text));
    major = cursor_take_number(&cursor, VERSION_PART_MAX);
    cursor_expect(&cursor, ".");
    minor = cursor_take_number(&cursor, VERSION_PART_MAX);
    if (cursor_skip_word(&cursor, "."))
        patch = cursor_take_number(&cursor, VERSION_PART_MAX);
    return cursor.is_failed ? 0 : POSTFIX_VERSION(major, minor, patch);
}
