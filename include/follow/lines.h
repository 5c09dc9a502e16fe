/* SPDX-License-Identifier: MIT */
/*
 * lines.h - the lines of a source, one after the other, without copying them.
 *
 * Limits: a line longer than LINES_MAX is handed out cut to LINES_MAX + 1 bytes; its rest is skipped.
 */
#ifndef FOLLOW_LINES_H
#define FOLLOW_LINES_H

#include "base/cursor.h"
#include "follow/source.h"

#define LINES_MAX          65536
#define LINES_BUFFER_BYTES (256 * 1024)

struct lines {
    char *buffer;
    size_t begin, end; /* of what was read and not handed out */
    uint64_t offset;   /* in the source, of begin */
    bool is_skipping;  /* the begin of a longer line was handed out */
};

/* ST_NOMEM */
MUST_CHECK enum status lines_init(struct lines *lines, struct err *err);
void lines_done(struct lines *lines);

/* Start with a fresh source, at that offset of it. */
void lines_begin(struct lines *lines, uint64_t offset);

/*
 * The next line without its newline; it lives until the next call.  *offset_out: where it begins.
 * ST_NOT_FOUND  no whole line there now (end of the file; the begin of a line may wait)
 * else          as source_read
 */
MUST_CHECK enum status lines_next(struct lines *lines, struct source *source, struct span *line_out,
                                  uint64_t *offset_out, struct err *err);

/* What waits for its newline, when none will come.  False: nothing waits. */
bool lines_take_rest(struct lines *lines, struct span *line_out, uint64_t *offset_out);

#endif
