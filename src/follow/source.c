/* SPDX-License-Identifier: MIT */
/*
 * A plain file is read with read(2), a gzip file through zlib on a copy of the descriptor, standard input after a
 * poll(2) with the caller's time limit.
 */
#include "follow/source.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
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

enum status source_peek(int fd, const char *name, char *buffer, size_t size, size_t *len_out, struct err *err)
{
    size_t len = 0;
    ssize_t got = 1;

    while (len < size && got != 0) {
        got = pread(fd, buffer + len, size - len, (off_t)len);
        if (got < 0 && errno != EINTR)
            return err_set_errno(err, ST_IO, errno, "read %s", name);
        len += got > 0 ? (size_t)got : 0;
    }
    *len_out = len;
    return ST_OK;
}

/* Open zlib's handle if the file begins as gzip does. */
static enum status detect_gzip(struct source *source, struct err *err)
{
    char magic[2] = "";
    size_t len = 0;
    enum status status = source_peek(source->fd, source->name, magic, sizeof magic, &len, err);

    return status == ST_OK && memcmp(magic, "\x1f\x8b", sizeof magic) == 0 ? open_gzip(source, err) : status;
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
    else
        status = detect_gzip(&source, err);
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
    const char *words;
    int code;

    if (got < 0) {
        words = gzerror(source->gzip, &code);
        return err_set(err,
                       code == Z_MEM_ERROR ? ST_NOMEM
                       : code == Z_ERRNO   ? ST_IO
                                           : ST_SYNTAX,
                       "%s: %s", source->name, words);
    }
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
    do
        got = read(source->fd, buffer, size);
    while (got < 0 && errno == EINTR && !source->is_standard);
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
    if (fstat(source->fd, &stat) != 0)
        return err_set_errno(err, ST_IO, errno, "stat %s", source->name);
    if ((uint64_t)stat.st_size < offset)
        return err_set(err, ST_RANGE, "%s: fewer than %llu bytes", source->name, (unsigned long long)offset);
    if (lseek(source->fd, (off_t)offset, SEEK_SET) < 0)
        return err_set_errno(err, ST_IO, errno, "seek in %s", source->name);
    return ST_OK;
}
