/* SPDX-License-Identifier: MIT */
/*
 * How it works.  A new ring is written whole before it is mapped, so that every block is allocated, and it gets its
 * name only after it is on the disk: a power cut leaves the old file or the new one.  A ring that cannot be read is
 * renamed, not deleted, once the new one is complete; at most ASIDE_MAX such files are kept.  Only filesystems that overwrite blocks
 * in place (ext4, tmpfs) are written through a shared mapping; elsewhere an allocated block is no promise, so the
 * mapping is private and ring_file_write writes the file.
 */
#include "ring_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/file.h"

#define ASIDE_MAX  3  /* files that are kept */
#define SUFFIX_MAX 24 /* of a path */

static enum status io_error(int sys_errno, const char *doing, const char *path, struct err *err)
{
    bool is_full = sys_errno == ENOSPC || sys_errno == EDQUOT;

    return err_set_errno(err, is_full ? ST_FULL : ST_IO, sys_errno, "%s ring %s", doing, path);
}

/* 0, or an errno. */
static int write_all_at(int fd, const char *bytes, size_t len, size_t offset)
{
    while (len > 0) {
        ssize_t written = pwrite(fd, bytes, len, (off_t)offset);

        if (written < 0 && errno != EINTR)
            return errno;
        if (written > 0) {
            bytes += written;
            offset += (size_t)written;
            len -= (size_t)written;
        }
    }
    return 0;
}

/* ---- creating ---- */

/*
 * Zeros are written, not only allocated: then a page can be changed even after its file system has become
 * full or read-only.
 */
static int fill_with_zeros(int fd, size_t size)
{
    static const char ZEROS[65536];
    int code = posix_fallocate(fd, 0, (off_t)size);

    for (size_t at = 0; code == 0 && at < size; at += sizeof ZEROS)
        code = write_all_at(fd, ZEROS, size - at < sizeof ZEROS ? size - at : sizeof ZEROS, at);
    return code;
}

/* 0, or an errno. */
static int set_aside(const char *path)
{
    char names[ASIDE_MAX + 1][PATH_MAX];

    (void)snprintf(names[0], PATH_MAX, "%s", path);
    for (int i = 1; i <= ASIDE_MAX; i++)
        (void)snprintf(names[i], PATH_MAX, "%.*s.unreadable-%d", PATH_MAX - SUFFIX_MAX, path, i);
    for (int i = ASIDE_MAX; i > 0; i--)
        if (rename(names[i - 1], names[i]) != 0 && (errno != ENOENT || i == 1))
            return errno;
    return 0;
}

enum status ring_file_create(const char *path, size_t size, const void *header, size_t header_len,
                             bool keeps_old, struct err *err)
{
    char temporary[PATH_MAX];
    int code, fd;

    if (snprintf(temporary, sizeof temporary, "%s.new", path) >= PATH_MAX - SUFFIX_MAX)
        return err_set(err, ST_IO, "path of the ring is too long");
    fd = open(temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return io_error(errno, "create", temporary, err);
    file_set_in_place(fd);
    code = fill_with_zeros(fd, size);
    if (code == 0)
        code = write_all_at(fd, header, header_len, 0);
    if (code == 0 && fsync(fd) != 0)
        code = errno;
    if (code == 0 && keeps_old)
        code = set_aside(path);
    if (code == 0 && rename(temporary, path) != 0)
        code = errno;
    if (code != 0)
        (void)unlink(temporary);
    (void)close(fd);
    return code == 0 ? file_sync_folder(path, err) : io_error(code, "create", path, err);
}

/* ---- opening ---- */

static bool overwrites_in_place(int fd)
{
    struct statfs system;

    return fstatfs(fd, &system) == 0 && (system.f_type == EXT4_SUPER_MAGIC || system.f_type == TMPFS_MAGIC);
}

enum status ring_file_open(const char *path, size_t size_min, struct ring_file *file_out, struct err *err)
{
    struct ring_file file = {.fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW)};
    struct stat info;

    if (file.fd < 0)
        return err_set_errno(err, errno == ENOENT ? ST_NOT_FOUND : ST_IO, errno, "open ring %s", path);
    if (fstat(file.fd, &info) != 0 || (size_t)info.st_size < size_min) {
        (void)close(file.fd);
        return err_set(err, ST_RANGE, "ring %s is too small", path);
    }
    file.size = (size_t)info.st_size;
    file.is_shared = overwrites_in_place(file.fd);
    file.memory =
        mmap(NULL, file.size, PROT_READ | PROT_WRITE, file.is_shared ? MAP_SHARED : MAP_PRIVATE, file.fd, 0);
    if (file.memory == MAP_FAILED) {
        enum status status = io_error(errno, "map", path, err);

        (void)close(file.fd);
        return status;
    }
    *file_out = file;
    return ST_OK;
}

void ring_file_close(struct ring_file *file)
{
    if (file->memory == NULL)
        return;
    (void)munmap(file->memory, file->size);
    (void)close(file->fd);
    file->memory = NULL;
}

enum status ring_file_write(const struct ring_file *file, size_t offset, const void *bytes, size_t len,
                            struct err *err)
{
    int code = write_all_at(file->fd, bytes, len, offset);

    return code == 0 ? ST_OK : io_error(code, "write", "file", err);
}

enum status ring_file_sync(const struct ring_file *file, struct err *err)
{
    return fdatasync(file->fd) == 0 ? ST_OK : io_error(errno, "flush", "file", err);
}
