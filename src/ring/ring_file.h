/* SPDX-License-Identifier: MIT */
/*
 * ring_file.h - the ring's file in memory, on file systems of every kind.
 *
 * A file system that overwrites allocated blocks in place (ext2, ext3, ext4, tmpfs) can be written through a
 * shared mapping: the kernel writes the pages in its own time, and a full disk does no harm.  Elsewhere
 * (btrfs, XFS with reflinks, overlays) such a write may need new blocks, and a full disk would end the process
 * with SIGBUS.  There the mapping is private, and the changes are written to the file with ring_file_write.
 */
#ifndef RING_RING_FILE_H
#define RING_RING_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct ring_file {
    char *memory; /* NULL: closed */
    size_t size;
    int fd;
    bool is_shared; /* memory is the file; else see ring_file_write */
};

/*
 * Create a file of size bytes that begins with header_len bytes of header, allocated and durable.  Until it is
 * complete it has another name, and a file that is at path stays as it is.  Then that one is replaced; or kept, if
 * keeps_old, as "PATH.unreadable-1", and what has that name becomes -2, and -2 becomes -3.  So three are kept.
 * ST_FULL
 * ST_IO
 */
MUST_CHECK enum status ring_file_create(const char *path, size_t size, const void *header, size_t header_len,
                                        bool keeps_old, struct err *err);

/*
 * ST_NOT_FOUND
 * ST_RANGE      smaller than size_min
 * ST_IO
 */
MUST_CHECK enum status ring_file_open(const char *path, size_t size_min, struct ring_file *file_out,
                                      struct err *err);
void ring_file_close(struct ring_file *file);

/*
 * Write bytes to the file at offset.
 * ST_FULL
 * ST_IO
 */
MUST_CHECK enum status ring_file_write(const struct ring_file *file, size_t offset, const void *bytes,
                                       size_t len, struct err *err);

/* Flush the file to the disk.  ST_FULL, ST_IO. */
MUST_CHECK enum status ring_file_sync(const struct ring_file *file, struct err *err);

#endif
