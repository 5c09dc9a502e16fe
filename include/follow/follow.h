/* SPDX-License-Identifier: MIT */
/*
 * follow.h - the lines of a log that grows, through rotation and restarts: none twice, none lost.
 *
 * In:     the path of a log, and the checkpoint where reading ended last time.
 * Out:    lines with their offset in a stream of all files read since follow_open (it only grows), and for each
 *         line whether its results were emitted before.
 * Limits: FOLLOW_FILES_MAX files back; lines as in lines.h.
 *
 * It handles: rename and create (the old file is read until its end first), copy and truncate (the rest is read
 * from the copy), files rotated while nobody followed (several, also gzipped: "LOG.1", "LOG-20261121",
 * "LOG.2.gz"), a last line without its newline (it waits until it is whole, or its file is over).  Lines written
 * between a rotator's copy and its truncation are lost: no file has them.
 */
#ifndef FOLLOW_FOLLOW_H
#define FOLLOW_FOLLOW_H

#include "follow/checkpoint.h"
#include "follow/lines.h"

#define FOLLOW_FILES_MAX 64

struct follow;

struct follow_line {
    struct span text;         /* lives until the next call */
    uint64_t offset;          /* in the stream */
    bool is_replayed;         /* emitted before; only to restore what was open */
    uint64_t emitted_results; /* of the line that was interrupted: results already emitted; else 0 */
};

enum follow_mode {
    FOLLOW_TO_END,  /* what is there now */
    FOLLOW_FOREVER, /* the newest file may grow and be rotated */
};

/*
 * checkpoint: where to go on; NULL: at the start of the file.  All borrowed for the life of *follow_out.
 * *is_lost_out: the checkpoint's file is gone; everything newer is read.
 * ST_NOT_FOUND  FOLLOW_TO_END only
 * ST_SYNTAX     not a regular file
 * ST_DENIED
 * ST_IO
 * ST_NOMEM
 */
MUST_CHECK enum status follow_open(const char *path, enum follow_mode mode,
                                   const struct checkpoint *checkpoint, struct follow **follow_out,
                                   bool *is_lost_out, struct err *err);
void follow_close(struct follow **follow);

/*
 * The next line, without waiting.
 * ST_NOT_FOUND  none now (FOLLOW_TO_END: the end)
 * ST_SYNTAX     broken gzip
 * ST_IO
 * ST_NOMEM
 */
MUST_CHECK enum status follow_next(struct follow *follow, struct follow_line *line_out, struct err *err);

/* Offset in the stream of the line that comes next. */
uint64_t follow_offset(const struct follow *follow);

/*
 * Fill the file and offset fields of checkpoint: done_offset for the line at the stream offset done (the current
 * file), replay_offset for replay (the current file or the one before; older ones are clamped).
 */
void follow_get_checkpoint(const struct follow *follow, uint64_t done, uint64_t replay,
                           struct checkpoint *checkpoint);

/* How many times the log was rotated or truncated since follow_open. */
unsigned follow_rotations(const struct follow *follow);

#endif
