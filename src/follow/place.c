/* SPDX-License-Identifier: MIT */
#include "follow/place.h"

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

#define MAGIC      UINT64_C(0x31306563616c7074) /* "tplace01" */
#define FILE_BYTES 4096

struct record {
    uint64_t magic;
    uint64_t sequence;
    struct place place;
    uint64_t checksum;
};

_Static_assert(2 * sizeof(struct record) <= FILE_BYTES, "two records fit into the file");

static uint64_t checksum_of(const struct record *record)
{
    const unsigned char *bytes = (const unsigned char *)record;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < offsetof(struct record, checksum); i++)
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static bool is_whole(const struct record *record)
{
    return record->magic == MAGIC && record->checksum == checksum_of(record);
}

/* The newer of the two whole records; NULL if there is none. */
static const struct record *newest(const struct record *records)
{
    bool is_first = is_whole(&records[0]), is_second = is_whole(&records[1]);

    if (is_first && is_second)
        return &records[records[1].sequence > records[0].sequence];
    return is_first ? &records[0] : is_second ? &records[1] : NULL;
}

static enum status map(const char *path, struct place_keeper *keeper, struct err *err)
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

enum status place_open(const char *path, struct place_keeper *keeper_out, struct place *place_out,
                       bool *has_place_out, struct err *err)
{
    struct place_keeper keeper = {.lock_fd = -1, .fd = -1};
    char lock_path[PATH_MAX];
    const struct record *record;
    enum status status;

    if ((size_t)snprintf(lock_path, sizeof lock_path, "%s.lock", path) >= sizeof lock_path)
        return err_set(err, ST_RANGE, "%s: path is too long", path);
    status = file_lock(lock_path, &keeper.lock_fd, err);
    if (status == ST_OK)
        status = map(path, &keeper, err);
    if (status != ST_OK) {
        place_close(&keeper);
        return status;
    }
    record = keeper.mapped != NULL ? newest(keeper.mapped) : NULL;
    *has_place_out = record != NULL;
    if (record != NULL) {
        keeper.sequence = record->sequence;
        *place_out = record->place;
    }
    *keeper_out = keeper;
    return ST_OK;
}

void place_close(struct place_keeper *keeper)
{
    if (keeper->mapped != NULL) {
        place_flush(keeper);
        (void)munmap(keeper->mapped, FILE_BYTES);
    }
    if (keeper->fd >= 0)
        (void)close(keeper->fd);
    if (keeper->lock_fd >= 0)
        (void)close(keeper->lock_fd);
    *keeper = (struct place_keeper){.lock_fd = -1, .fd = -1};
}

void place_save(struct place_keeper *keeper, const struct place *place)
{
    struct record *records = keeper->mapped;
    struct record record;

    memset(&record, 0, sizeof record); /* padding is part of the checksum */
    record.magic = MAGIC;
    record.sequence = ++keeper->sequence;
    record.place = *place;
    record.checksum = checksum_of(&record);
    memcpy(&records[record.sequence & 1], &record, sizeof record);
    atomic_signal_fence(memory_order_seq_cst);
}

void place_flush(const struct place_keeper *keeper)
{
    (void)msync(keeper->mapped, FILE_BYTES, MS_SYNC);
}
