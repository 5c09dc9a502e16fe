/* SPDX-License-Identifier: MIT */
/*
 * The file holds two records, each with a sequence number and a checksum.  A save overwrites the older one; a
 * reader takes the newer one that is whole.  So a kill in the middle of a save costs that save only.
 */
#include "follow/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/fnv1a.h"

#define MAGIC      UINT64_C(0x31306563616c7074) /* "tplace01" */
#define FILE_BYTES 4096

struct checkpoint_record {
    uint64_t magic;
    uint64_t sequence;
    struct checkpoint checkpoint;
    uint64_t checksum;
};

_Static_assert(2 * sizeof(struct checkpoint_record) <= FILE_BYTES, "two records fit into the file");

static uint64_t checksum_of(const struct checkpoint_record *record)
{
    return fnv1a(FNV1A_START, record, offsetof(struct checkpoint_record, checksum));
}

static bool is_whole(const struct checkpoint_record *record)
{
    return record->magic == MAGIC && record->checksum == checksum_of(record);
}

/* The newer of the two whole records; NULL if there is none. */
static const struct checkpoint_record *newest(const struct checkpoint_record *records)
{
    bool is_first = is_whole(&records[0]), is_second = is_whole(&records[1]);

    if (is_first && is_second)
        return &records[records[1].sequence > records[0].sequence];
    return is_first ? &records[0] : is_second ? &records[1] : NULL;
}

static enum status io_error(int sys_errno, const char *doing, const char *path, struct err *err)
{
    bool is_full = sys_errno == ENOSPC || sys_errno == EDQUOT;

    return err_set_errno(err, is_full ? ST_FULL : ST_IO, sys_errno, "%s %s", doing, path);
}

static int write_at(int fd, const void *bytes, size_t len, off_t offset)
{
    ssize_t written;

    do
        written = pwrite(fd, bytes, len, offset);
    while (written < 0 && errno == EINTR);
    if (written == (ssize_t)len)
        return 0;
    return written < 0 ? errno : ENOSPC;
}

/* A file that is shorter than it must be is new, or its creation was interrupted. */
static enum status fill(int fd, const char *path, struct err *err)
{
    static const char ZEROS[FILE_BYTES] = {0};
    struct stat file;
    int code;

    if (fstat(fd, &file) != 0)
        return io_error(errno, "read", path, err);
    if (file.st_size >= FILE_BYTES)
        return ST_OK;
    file_set_in_place(fd);
    code = write_at(fd, ZEROS + file.st_size, (size_t)(FILE_BYTES - file.st_size), file.st_size);
    if (code == 0 && fsync(fd) != 0)
        code = errno;
    return code == 0 ? file_sync_folder(path, err) : io_error(code, "write", path, err);
}

static enum status open_file(const char *path, struct checkpoint_file *keeper,
                             struct checkpoint_record records_out[2], struct err *err)
{
    enum status status;

    keeper->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (keeper->fd < 0)
        return io_error(errno, "open", path, err);
    status = fill(keeper->fd, path, err);
    if (status != ST_OK)
        return status;
    if (pread(keeper->fd, records_out, 2 * sizeof *records_out, 0) != (ssize_t)(2 * sizeof *records_out))
        return io_error(errno, "read", path, err);
    return ST_OK;
}

enum status checkpoint_open(const char *path, struct checkpoint_file *keeper_out,
                            struct checkpoint *checkpoint_out, bool *has_checkpoint_out, struct err *err)
{
    struct checkpoint_file keeper = {.lock_fd = -1, .fd = -1};
    struct checkpoint_record records[2];
    char lock_path[PATH_MAX];
    const struct checkpoint_record *record;
    enum status status;

    if ((size_t)snprintf(lock_path, sizeof lock_path, "%s.lock", path) >= sizeof lock_path)
        return err_set(err, ST_RANGE, "%s: path is too long", path);
    status = file_lock(lock_path, &keeper.lock_fd, err);
    if (status == ST_OK)
        status = open_file(path, &keeper, records, err);
    if (status != ST_OK) {
        checkpoint_close(&keeper);
        return status;
    }
    record = newest(records);
    *has_checkpoint_out = record != NULL;
    if (record != NULL) {
        keeper.sequence = record->sequence;
        *checkpoint_out = record->checkpoint;
    }
    *keeper_out = keeper;
    return ST_OK;
}

void checkpoint_close(struct checkpoint_file *keeper)
{
    if (keeper->fd >= 0) {
        (void)fdatasync(keeper->fd);
        (void)close(keeper->fd);
    }
    if (keeper->lock_fd >= 0)
        (void)close(keeper->lock_fd);
    *keeper = (struct checkpoint_file){.lock_fd = -1, .fd = -1};
}

/* After a failure the next save goes to the same record: the other one is whole. */
void checkpoint_save(struct checkpoint_file *keeper, const struct checkpoint *checkpoint)
{
    struct checkpoint_record record;

    memset(&record, 0, sizeof record); /* padding is part of the checksum */
    record.magic = MAGIC;
    record.sequence = keeper->sequence + 1;
    record.checkpoint = *checkpoint;
    record.checksum = checksum_of(&record);
    keeper->sys_errno =
        write_at(keeper->fd, &record, sizeof record, (off_t)((record.sequence & 1) * sizeof record));
    if (keeper->sys_errno == 0)
        keeper->sequence = record.sequence;
}

enum status checkpoint_flush(const struct checkpoint_file *keeper, struct err *err)
{
    int code = keeper->sys_errno;

    if (code == 0 && fdatasync(keeper->fd) != 0)
        code = errno;
    return code == 0 ? ST_OK : io_error(code, "write", "the checkpoint", err);
}
