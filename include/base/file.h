/* SPDX-License-Identifier: MIT */
/*
 * file.h - whole files in and out, safely.
 */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

struct strbuf;

/*
 * Append the file's bytes to out.
 * ST_NOT_FOUND  no such file
 * ST_RANGE      larger than out may hold
 * ST_IO         anything else; errno is kept
 * ST_NOMEM
 */
MUST_CHECK enum status file_read(const char *path, struct strbuf *out, struct err *err);

/* As file_read, from a descriptor that stays open; name is for the error text. */
MUST_CHECK enum status file_read_fd(int fd, const char *name, struct strbuf *out, struct err *err);

/*
 * Write bytes to a temporary file beside path, flush it to the disk, rename it over path and flush the folder,
 * so that a reader, a crash or a power cut leaves the old file or the new one.
 * ST_IO     errno is kept; path is as it was
 * ST_RANGE  path is too long
 */
MUST_CHECK enum status file_replace(const char *path, const void *bytes, size_t len, mode_t mode,
                                    struct err *err);

/* write(2) until all is written or an error other than EINTR; 0 or -1 with errno. */
MUST_CHECK int file_write_all(int fd, const void *bytes, size_t len);

/* Can no file be made beside path (PATH.probe for a moment), because its disk or the user's share of it is full? */
bool file_folder_is_full(const char *path);

/*
 * Flush the folder that holds path to the disk: after a power cut the names that were created in it, or
 * renamed, are there.  A file system that cannot flush a folder, or a folder that we may not read, is no error.
 * ST_IO
 * ST_RANGE  path is too long
 */
MUST_CHECK enum status file_sync_folder(const char *path, struct err *err);

/*
 * Ask a copy-on-write file system (btrfs) to overwrite this file in place, or each file that will be created in
 * this folder, so that writing to allocated blocks needs no free space.  fd: open, the file still empty.
 * Where that cannot be had nothing changes.
 */
void file_set_in_place(int fd);

/*
 * mkdir(2) of every missing folder on the way to path itself.
 * ST_IO
 * ST_RANGE  path is too long
 */
MUST_CHECK enum status file_make_folders(const char *path, mode_t mode, struct err *err);

/*
 * Hold path (made if missing) for this process alone until *fd_out is closed or the process ends.
 * ST_BUSY  another process holds it
 * ST_IO
 */
MUST_CHECK enum status file_lock(const char *path, int *fd_out, struct err *err);

/*
 * Does some process hold path's lock?  Reads the kernel's list of locks, so that no process that wants the lock
 * is disturbed; false also if the list does not show the process (file_lock_list_shows).
 */
bool file_lock_is_held(const char *path);

#define FILE_PID_NAMESPACE_SIZE 40

/* The name of this process's PID namespace, "pid:[4026531836]"; "" without /proc. */
void file_pid_namespace(char name_out[FILE_PID_NAMESPACE_SIZE]);

/* Does the kernel's list of locks certainly show this process the locks of that PID namespace? */
bool file_lock_list_shows(const char *pid_namespace);

#endif
