/* SPDX-License-Identifier: MIT */
#include "follow/source.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

static enum status open_gzip(struct source *source, struct err *err)
{
    int copy = fcntl(source->fd, F_DUPFD_CLOEXEC, 3);

    if (copy < 0)
        return err_set_errno(err, ST_IO, errno, "open %s", source->name);
    source->gzip = gzdopen(copy, "rb");
    if (source->gzip != NULL)
        return ST_OK;
    (void)close(copy);
    return err_set(err, ST_NOMEM, "open %s: out of memory", source->name);
}

static bool is_gzip(int fd)
{
    unsigned char magic[2];

    return pread(fd, magic, sizeof magic, 0) == (ssize_t)sizeof magic && magic[0] == 0x1f && magic[1] == 0x8b;
}

static enum status status_of_errno(int code)
{
    return code == ENOENT ? ST_NOT_FOUND : code == EACCES ? ST_DENIED : ST_IO;
}

enum status source_open(const char *name, struct source *source_out, struct err *err)
{
    struct source source = {.fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), .name = name};
    enum status status = ST_OK;
    struct stat stat;

    if (source.fd < 0)
        return err_set_errno(err, status_of_errno(errno), errno, "open %s", name);
    if (fstat(source.fd, &stat) != 0)
        status = err_set_errno(err, ST_IO, errno, "stat %s", name);
    else if (!S_ISREG(stat.st_mode))
        status = err_set(err, ST_SYNTAX, "%s is not a regular file; use - to read a pipe", name);
    else if (is_gzip(source.fd))
        status = open_gzip(&source, err);
    if (status == ST_OK)
        *source_out = source;
    else
        source_close(&source);
    return status;
}

void source_open_standard(int idle_ms, struct source *source_out)
{
    *source_out = (struct source){
        .fd = STDIN_FILENO, .name = "standard input", .is_standard = true, .idle_ms = idle_ms};
}

void source_close(struct source *source)
{
    if (source->gzip != NULL)
        (void)gzclose(source->gzip);
    if (source->fd >= 0 && !source->is_standard)
        (void)close(source->fd);
    source->gzip = NULL;
    source->fd = -1;
}

static enum status read_gzip(struct source *source, char *buffer, size_t size, size_t *len_out,
                             struct err *err)
{
    int got = gzread(source->gzip, buffer, size > 1024 * 1024 ? 1024 * 1024 : (unsigned)size);
    int code;

    if (got < 0)
        return err_set(err, ST_SYNTAX, "%s: %s", source->name, gzerror(source->gzip, &code));
    *len_out = (size_t)got;
    return ST_OK;
}

enum status source_read(struct source *source, char *buffer, size_t size, size_t *len_out, struct err *err)
{
    struct pollfd wait = {.fd = source->fd, .events = POLLIN};
    ssize_t got;

    if (source->gzip != NULL)
        return read_gzip(source, buffer, size, len_out, err);
    if (source->is_standard && poll(&wait, 1, source->idle_ms) <= 0)
        return err_set(err, ST_BUSY, "%s: nothing yet", source->name);
    got = read(source->fd, buffer, size);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return err_set(err, ST_BUSY, "%s: nothing yet", source->name);
    if (got < 0)
        return err_set_errno(err, ST_IO, errno, "read %s", source->name);
    *len_out = (size_t)got;
    return ST_OK;
}

enum status source_seek(struct source *source, uint64_t offset, struct err *err)
{
    struct stat stat;

    if (source->gzip != NULL)
        return gzseek(source->gzip, (z_off_t)offset, SEEK_SET) == (z_off_t)offset
                   ? ST_OK
                   : err_set(err, ST_RANGE, "%s: fewer than %llu bytes", source->name,
                             (unsigned long long)offset);
    if (fstat(source->fd, &stat) != 0 || (uint64_t)stat.st_size < offset)
        return err_set(err, ST_RANGE, "%s: fewer than %llu bytes", source->name, (unsigned long long)offset);
    if (lseek(source->fd, (off_t)offset, SEEK_SET) < 0)
        return err_set_errno(err, ST_IO, errno, "seek in %s", source->name);
    return ST_OK;
}
