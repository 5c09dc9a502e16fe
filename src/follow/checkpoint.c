/* SPDX-License-Identifier: MIT */
/*
 * The file holds two records, each with a sequence number and a checksum.  A save overwrites the older one; a
 * reader takes the newer one that is whole.  So a kill in the middle of a save costs that save only.
 */
#include "follow/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
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

static enum status map(const char *path, struct checkpoint_file *keeper, struct err *err)
{
    keeper->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (keeper->fd < 0)
        return err_set_errno(err, ST_IO, errno, "open %s", path);
    if (ftruncate(keeper->fd, FILE_BYTES) != 0)
        return err_set_errno(err, ST_IO, errno, "write %s", path);
    keeper->mapped = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, keeper->fd, 0);
    if (keeper->mapped == MAP_FAILED) {
        keeper->mapped = NULL;
        return err_set_errno(err, ST_IO, errno, "map %s", path);
    }
    return ST_OK;
}

enum status checkpoint_open(const char *path, struct checkpoint_file *keeper_out,
                            struct checkpoint *checkpoint_out, bool *has_checkpoint_out, struct err *err)
{
    struct checkpoint_file keeper = {.lock_fd = -1, .fd = -1};
    char lock_path[PATH_MAX];
    const struct checkpoint_record *record;
    enum status status;

    if ((size_t)snprintf(lock_path, sizeof lock_path, "%s.lock", path) >= sizeof lock_path)
        return err_set(err, ST_RANGE, "%s: path is too long", path);
    status = file_lock(lock_path, &keeper.lock_fd, err);
    if (status == ST_OK)
        status = map(path, &keeper, err);
    if (status != ST_OK) {
        checkpoint_close(&keeper);
        return status;
    }
    record = keeper.mapped != NULL ? newest(keeper.mapped) : NULL;
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
    if (keeper->mapped != NULL) {
        checkpoint_flush(keeper);
        (void)munmap(keeper->mapped, FILE_BYTES);
    }
    if (keeper->fd >= 0)
        (void)close(keeper->fd);
    if (keeper->lock_fd >= 0)
        (void)close(keeper->lock_fd);
    *keeper = (struct checkpoint_file){.lock_fd = -1, .fd = -1};
}

void checkpoint_save(struct checkpoint_file *keeper, const struct checkpoint *checkpoint)
{
    struct checkpoint_record *records = keeper->mapped;
    struct checkpoint_record record;

    memset(&record, 0, sizeof record); /* padding is part of the checksum */
    record.magic = MAGIC;
    record.sequence = ++keeper->sequence;
    record.checkpoint = *checkpoint;
    record.checksum = checksum_of(&record);
    memcpy(&records[record.sequence & 1], &record, sizeof record);
    atomic_signal_fence(memory_order_seq_cst);
}

void checkpoint_flush(const struct checkpoint_file *keeper)
{
    (void)msync(keeper->mapped, FILE_BYTES, MS_SYNC);
}
