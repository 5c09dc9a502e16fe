/* SPDX-License-Identifier: MIT */
/*
 * postconf(1) is started without a shell, its answer is read from a pipe, and its exit code decides.
 */
#include "app/postconf.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cursor.h"
#include "base/file.h"
#include "base/strbuf.h"

#define VERSION_PART_MAX 999

static int spawn_tool(const char *const argv[], int out_fd, bool is_quiet, pid_t *pid_out)
{
    posix_spawn_file_actions_t actions;
    char **arguments = (char **)(uintptr_t)argv; /* posix_spawn does not write to them */
    int error = posix_spawn_file_actions_init(&actions);
    char path[64];

    if (error != 0)
        return error;
    error = posix_spawn_file_actions_adddup2(&actions, out_fd, STDOUT_FILENO);
    if (error == 0 && is_quiet)
        error = posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    if (error == 0)
        error = posix_spawnp(pid_out, argv[0], &actions, NULL, arguments, environ);
    if (error == ENOENT) { /* sbin is often missing from PATH */
        (void)snprintf(path, sizeof(path), "/usr/sbin/%s", argv[0]);
        error = posix_spawn(pid_out, path, &actions, NULL, arguments, environ);
    }
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
    error = spawn_tool(argv, pipe_fd[1], is_quiet, &pid);
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

enum status postconf_edit(const char *option, const char *argument, struct err *err)
{
    const char *const argv[] = {"postconf", option, argument, NULL};
    char nothing[16];

    return postconf(argv, false, nothing, sizeof(nothing), err);
}

/* Is there something to read, or the end, before the time is over? */
static bool wait_readable(int fd, int64_t deadline_ms)
{
    int64_t left_ms = deadline_ms - clock_monotonic_ms();
    struct pollfd one = {.fd = fd, .events = POLLIN};

    return left_ms > 0 && poll(&one, 1, (int)left_ms) == 1;
}

/* Its whole answer, one line; false: it took too long. */
static bool read_answer(int fd, int timeout_ms, char *value_out, size_t size)
{
    int64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
    size_t len = 0;
    ssize_t got = 1;

    while (got > 0 && len < size - 1) {
        if (!wait_readable(fd, deadline_ms))
            return false;
        got = read(fd, value_out + len, size - 1 - len);
        len += got > 0 ? (size_t)got : 0;
    }
    value_out[len] = '\0';
    value_out[strcspn(value_out, "\n")] = '\0';
    return true;
}

enum status postmap_query(const char *table, const char *key, int timeout_ms, char *value_out, size_t size,
                          struct err *err)
{
    const char *const argv[] = {"postmap", "-q", key, table, NULL};
    bool is_answered;
    pid_t pid;
    int pipe_fd[2], error, how;

    if (pipe2(pipe_fd, O_CLOEXEC) != 0)
        return err_set_errno(err, ST_IO, errno, "pipe");
    error = spawn_tool(argv, pipe_fd[1], true, &pid);
    (void)close(pipe_fd[1]);
    is_answered = error == 0 && read_answer(pipe_fd[0], timeout_ms, value_out, size);
    (void)close(pipe_fd[0]);
    if (error != 0)
        return err_set_errno(err, error == ENOENT ? ST_NOT_FOUND : ST_IO, error, "postmap");
    (void)kill(pid, SIGKILL); /* it has answered, or has taken too long */
    while (waitpid(pid, &how, 0) < 0 && errno == EINTR) {
    }
    return is_answered ? ST_OK : err_set(err, ST_TEMPORARY, "%s: no answer in %d ms", table, timeout_ms);
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
