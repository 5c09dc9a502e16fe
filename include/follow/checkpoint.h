/* SPDX-License-Identifier: MIT */
/*
 * checkpoint.h - how far a followed log was read, kept through restarts, kill -9 and power cuts.
 *
 * The file has two records that are written in turn, each with a checksum, so that one is always whole.  What
 * was written stays when the process is killed; after a power cut it may be as old as the last
 * checkpoint_flush.  The file is created with all its blocks: on file systems that overwrite in place, saving
 * works on a full disk too.
 */
#ifndef FOLLOW_CHECKPOINT_H
#define FOLLOW_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define CHECKPOINT_HEAD_MAX 1024
#define CHECKPOINT_MEMORY   8

/* Which file it is: rename keeps inode and head, copying and gzip keep the head, truncation keeps the inode. */
struct file_mark {
    uint64_t device, inode;
    uint64_t head_hash; /* of the first head_len bytes of what is in it (inflated) */
    uint32_t head_len;  /* up to CHECKPOINT_HEAD_MAX; 0: nothing is in it */
    uint32_t is_known;
};

struct checkpoint {
    /* everything before this was read, and its results were emitted */
    struct file_mark done_file;
    uint64_t done_offset;
    uint64_t done_results; /* of the line at done_offset, already emitted; the highest bit is the caller's */
    /* reading again from here, without emitting, restores what was open at done_offset */
    struct file_mark replay_file;
    uint64_t replay_offset;
    uint64_t memory[CHECKPOINT_MEMORY]; /* the reader's; opaque here */
    uint64_t log_id;                    /* this log's random name */
    uint64_t log_number;                /* results emitted under it */
    int64_t saved_s;
};

struct checkpoint_file {
    int lock_fd; /* of PATH.lock; its content is the caller's */
    int fd;
    int sys_errno; /* of the last save, 0 if it succeeded */
    uint64_t sequence;
};

/*
 * Open or make the file at path and hold it for this process alone.  *has_checkpoint_out: *checkpoint_out was
 * saved before.  A file that is damaged or of another version is started anew.
 * ST_BUSY   another process follows this log
 * ST_FULL   no room for the file
 * ST_RANGE  path is too long
 * ST_IO
 */
MUST_CHECK enum status checkpoint_open(const char *path, struct checkpoint_file *keeper_out,
                                       struct checkpoint *checkpoint_out, bool *has_checkpoint_out,
                                       struct err *err);
void checkpoint_close(struct checkpoint_file *keeper);

/*
 * If it fails, the previous checkpoint stays, and checkpoint_flush returns why: after a kill the results since
 * then are emitted again, with the same numbers, and the collector counts each once.
 */
void checkpoint_save(struct checkpoint_file *keeper, const struct checkpoint *checkpoint);

/*
 * Write it to the disk.
 * ST_FULL, ST_IO  the last save, or flushing, failed
 */
MUST_CHECK enum status checkpoint_flush(const struct checkpoint_file *keeper, struct err *err);

#endif
