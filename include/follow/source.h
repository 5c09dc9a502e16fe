/* SPDX-License-Identifier: MIT */
/*
 * source.h - bytes of a log, from a plain file, a gzip file (recognised by its first two bytes) or a pipe.
 */
#ifndef FOLLOW_SOURCE_H
#define FOLLOW_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct source {
    int fd;           /* -1: closed */
    void *gzip;       /* zlib's handle, or NULL for plain bytes */
    const char *name; /* for error texts; borrowed */
    bool is_standard; /* standard input: not ours to close */
    int idle_ms;      /* standard input: how long a read waits before it says ST_BUSY; -1: for ever */
};

/*
 * name is borrowed.
 * ST_SYNTAX  not a regular file
 * ST_NOT_FOUND
 * ST_DENIED
 * ST_IO
 * ST_NOMEM
 */
MUST_CHECK enum status source_open(const char *name, struct source *source_out, struct err *err);

/* Standard input, as it comes; a signal ends the waiting too. */
void source_open_standard(int idle_ms, struct source *source_out);

void source_close(struct source *source);

/*
 * Read at most size bytes into buffer; *len_out 0 at the end (a plain file may have more later).
 * ST_BUSY    standard input: nothing came for idle_ms, or a signal did
 * ST_SYNTAX  broken gzip
 * ST_IO
 * ST_NOMEM
 */
MUST_CHECK enum status source_read(struct source *source, char *buffer, size_t size, size_t *len_out,
                                   struct err *err);

/*
 * The first bytes of the file that is open as fd, as they are stored; fewer than size only if it has no more.
 * The file offset does not change.
 * ST_IO
 */
MUST_CHECK enum status source_peek(int fd, const char *name, char *buffer, size_t size, size_t *len_out,
                                   struct err *err);

/*
 * Skip the first offset bytes of a source that was just opened.
 * ST_RANGE  it has fewer
 * ST_IO
 */
MUST_CHECK enum status source_seek(struct source *source, uint64_t offset, struct err *err);

#endif
