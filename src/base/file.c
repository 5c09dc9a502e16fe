/* SPDX-License-Identifier: MIT */
/*
 * A file is replaced by a temporary file beside it, fsync and rename, so that readers see the old or the new one.
 * Locks are flock(2): the kernel releases them when the process ends, however it ends.
 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/strbuf.h"

#define LOCK_LIST  "/proc/locks"
#define LOCK_LOOKS 5

enum status file_read_fd(int fd, const char *name, struct strbuf *out, struct err *err)
{
    char chunk[16384];

    for (;;) {
        ssize_t got = read(fd, chunk, sizeof chunk);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_set_errno(err, ST_IO, errno, "read %s", name);
        if (got == 0)
            return ST_OK;
        if ((size_t)got > out->max_bytes - out->len)
            return err_set(err, ST_RANGE, "%s: larger than %zu bytes", name, out->max_bytes);
        strbuf_add(out, chunk, (size_t)got);
        if (strbuf_is_failed(out))
            return err_set(err, ST_NOMEM, "%s: out of memory", name);
    }
}

enum status file_read(const char *path, struct strbuf *out, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    enum status status;

    if (fd < 0)
        return err_set_errno(err, errno == ENOENT ? ST_NOT_FOUND : ST_IO, errno, "open %s", path);
    status = file_read_fd(fd, path, out, err);
    (void)close(fd);
    return status;
}

int file_write_all(int fd, const void *bytes, size_t len)
{
    const char *at = bytes;

    while (len > 0) {
        ssize_t written = write(fd, at, len);

        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -1;
        at += written;
        len -= (size_t)written;
    }
    return 0;
}

enum status file_replace(const char *path, const void *bytes, size_t len, mode_t mode, struct err *err)
{
    char temporary[PATH_MAX];
    int saved_errno;
    int fd;

    if ((size_t)snprintf(temporary, sizeof temporary, "%s.%ld.tmp", path, (long)getpid()) >= sizeof temporary)
        return err_set(err, ST_RANGE, "%s: path is too long", path);
    fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return err_set_errno(err, ST_IO, errno, "create %s", temporary);
    if (file_write_all(fd, bytes, len) != 0 || fsync(fd) != 0) {
        saved_errno = errno;
        (void)close(fd);
        goto fail;
    }
    if (close(fd) == 0 && rename(temporary, path) == 0)
        return file_sync_folder(path, err);
    saved_errno = errno;
fail:
    (void)unlink(temporary);
    return err_set_errno(err, ST_IO, saved_errno, "write %s", path);
}

/* A file with a name: on XFS one without may need less. */
bool file_folder_is_full(const char *path)
{
    char probe[PATH_MAX];
    int fd;

    if (snprintf(probe, sizeof probe, "%s.probe", path) >= (int)sizeof probe)
        return false;
    fd = open(probe, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno == ENOSPC || errno == EDQUOT;
    (void)close(fd);
    (void)unlink(probe);
    return false;
}

enum status file_sync_folder(const char *path, struct err *err)
{
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
    char folder[PATH_MAX];
    enum status status = ST_OK;
    int fd;

    if (len >= sizeof folder)
        return err_set(err, ST_RANGE, "%s: path is too long", path);
    (void)snprintf(folder, sizeof folder, "%.*s", len > 0 ? (int)len : 1, len > 0 ? path : ".");
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno == EACCES ? ST_OK : err_set_errno(err, ST_IO, errno, "open %s", folder);
    if (fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP)
        status = err_set_errno(err, ST_IO, errno, "flush %s", folder);
    (void)close(fd);
    return status;
}

void file_set_in_place(int fd)
{
    struct statfs system;
    int flags = 0;

    if (fstatfs(fd, &system) != 0 || system.f_type != BTRFS_SUPER_MAGIC ||
        ioctl(fd, FS_IOC_GETFLAGS, &flags) != 0)
        return;
    flags |= FS_NOCOW_FL;
    (void)ioctl(fd, FS_IOC_SETFLAGS, &flags);
}

enum status file_make_folders(const char *path, mode_t mode, struct err *err)
{
    char folder[PATH_MAX];

    if (strlen(path) >= sizeof folder)
        return err_set(err, ST_RANGE, "%s: path is too long", path);
    for (size_t i = 1; i <= strlen(path); i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(folder, path, i);
        folder[i] = '\0';
        if (mkdir(folder, mode) == 0) {
            enum status status = file_sync_folder(folder, err);

            if (status != ST_OK)
                return status;
        } else if (errno != EEXIST) {
            return err_set_errno(err, ST_IO, errno, "create folder %s", folder);
        }
    }
    return ST_OK;
}

enum status file_lock(const char *path, int *fd_out, struct err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
    int saved_errno;

    if (fd < 0)
        return err_set_errno(err, ST_IO, errno, "open %s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
        *fd_out = fd;
        return ST_OK;
    }
    saved_errno = errno;
    (void)close(fd);
    if (saved_errno == EWOULDBLOCK)
        return err_set(err, ST_BUSY, "%s: held by another process", path);
    return err_set_errno(err, ST_IO, saved_errno, "lock %s", path);
}

/*
 * One look through the kernel's list of locks for that inode: "1: FLOCK  ADVISORY  WRITE 4711 fd:01:1234 0
 * EOF". Only the inode counts: the device may differ from stat's on layered file systems.
 */
static bool is_in_lock_list(unsigned long long inode)
{
    FILE *list = fopen(LOCK_LIST, "re");
    char line[256];
    bool is_found = false;

    if (list == NULL)
        return false;
    while (!is_found && fgets(line, sizeof line, list) != NULL) {
        const char *colon = strrchr(line, ':');

        is_found = strstr(line, " FLOCK ") != NULL && colon != NULL && strtoull(colon + 1, NULL, 10) == inode;
    }
    (void)fclose(list);
    return is_found;
}

bool file_lock_is_held(const char *path)
{
    struct stat found;
    bool is_held = false;

    if (stat(path, &found) != 0)
        return false;
    /* The list may change between two reads of it, and a row be missed. */
    for (int look = 0; look < LOCK_LOOKS && !is_held; look++)
        is_held = is_in_lock_list((unsigned long long)found.st_ino);
    return is_held;
}

void file_pid_namespace(char name_out[FILE_PID_NAMESPACE_SIZE])
{
    ssize_t len = readlink("/proc/self/ns/pid", name_out, FILE_PID_NAMESPACE_SIZE - 1);

    name_out[len > 0 ? len : 0] = '\0';
}

/* A namespace shows its descendants too, but only its own name can be compared. */
bool file_lock_list_shows(const char *pid_namespace)
{
    char own[FILE_PID_NAMESPACE_SIZE];

    file_pid_namespace(own);
    return own[0] != '\0' && strcmp(own, pid_namespace) == 0 && access(LOCK_LIST, R_OK) == 0;
}
