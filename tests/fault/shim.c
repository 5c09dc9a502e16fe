/* SPDX-License-Identifier: MIT */
/*
 * shim.c - LD_PRELOAD library that makes one kind of call fail, for whole programs.
 *
 *   SHIM_FAULT=KIND:NTH[:ERRNO]   call number NTH (from 0) of that kind fails, once; with "+" before ERRNO all after
 *                                 it fail too
 *   SHIM_FAULT_SEEN=FILE          made when the fault happens
 *
 * Kinds: malloc, write, read, stat, send (datagrams on this host), query (those to a DNS server), fsync, mmap, rename, open (files, sockets, pipes), short (each read
 * and write moves half of what was asked), eintr (every third call that may wait is interrupted).  The last
 * two take no number.  die: the process is killed right behind its send number NTH.
 *
 *   SHIM_HURRY=TIMES   the monotonic clock runs so many times as fast
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum kind {
    KIND_NONE,
    KIND_MALLOC,
    KIND_WRITE,
    KIND_READ,
    KIND_STAT,
    KIND_SEND,
    KIND_FSYNC,
    KIND_MMAP,
    KIND_RENAME,
    KIND_OPEN,
    KIND_SHORT,
    KIND_EINTR,
    KIND_DIE,
    KIND_QUERY,
    KIND_COUNT,
};

static const char *const NAMES[KIND_COUNT] = {"",     "malloc", "write", "read",  "stat",  "send", "fsync",
                                              "mmap", "rename", "open",  "short", "eintr", "die",  "query"};

static enum kind kind;
static bool is_forever, is_ready;
static int error_number;
static _Atomic long left;
static _Atomic unsigned waits;
static _Thread_local int clock_fd = -1; /* the last one opened */

void *__libc_malloc(size_t size);                // NOLINT
void *__libc_calloc(size_t count, size_t size);  // NOLINT
void *__libc_realloc(void *memory, size_t size); // NOLINT

static void read_orders(void)
{
    const char *orders = getenv("SHIM_FAULT");
    char *rest;

    is_ready = true;
    if (orders == NULL)
        return;
    for (int i = 1; i < KIND_COUNT; i++)
        if (strncmp(orders, NAMES[i], strlen(NAMES[i])) == 0)
            kind = (enum kind)i;
    orders += strcspn(orders, ":");
    atomic_store(&left, *orders == ':' ? strtol(orders + 1, &rest, 10) : 0);
    if (*orders == ':' && *rest == ':') {
        is_forever = rest[1] == '+';
        error_number = (int)strtol(rest + 1, NULL, 10);
    }
}

static void tell_seen(void)
{
    const char *file = getenv("SHIM_FAULT_SEEN");
    long fd = file != NULL ? syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) : -1;

    if (fd >= 0)
        (void)syscall(SYS_close, fd);
}

/* Is this call the one?  errno is set then. */
static bool fails(enum kind asked, int otherwise)
{
    long now;

    if (!is_ready)
        read_orders();
    if (kind != asked)
        return false;
    now = atomic_fetch_sub(&left, 1);
    if (now > 0 || (now < 0 && !is_forever))
        return false;
    tell_seen();
    errno = error_number != 0 ? error_number : otherwise;
    return true;
}

static bool is_interrupted(void)
{
    if (!is_ready)
        read_orders();
    if (kind != KIND_EINTR || atomic_fetch_add(&waits, 1) % 3 != 1)
        return false;
    errno = EINTR;
    return true;
}

static size_t shortened(size_t size)
{
    return kind == KIND_SHORT && size > 1 ? size / 2 : size;
}

#define NEXT(name)                                                                                           \
    static __typeof__(name) *next;                                                                           \
    if (next == NULL)                                                                                        \
    *(void **)&next = dlsym(RTLD_NEXT, #name)

/* The C library's own names of the parameters are not ours. */
// NOLINTBEGIN(readability-inconsistent-declaration-parameter-name)

/* ---- memory ---- */

void *malloc(size_t size)
{
    return fails(KIND_MALLOC, ENOMEM) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return fails(KIND_MALLOC, ENOMEM) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
    return fails(KIND_MALLOC, ENOMEM) ? NULL : __libc_realloc(memory, size);
}

/* ---- files ---- */

ssize_t write(int fd, const void *bytes, size_t size)
{
    NEXT(write);
    return (fd > 2 && fails(KIND_WRITE, ENOSPC)) || is_interrupted() ? -1 : next(fd, bytes, shortened(size));
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at)
{
    NEXT(pwrite);
    return fails(KIND_WRITE, ENOSPC) || is_interrupted() ? -1 : next(fd, bytes, shortened(size), at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at)
{
    NEXT(pwrite64);
    return fails(KIND_WRITE, ENOSPC) || is_interrupted() ? -1 : next(fd, bytes, shortened(size), at);
}

int posix_fallocate(int fd, off_t at, off_t size)
{
    NEXT(posix_fallocate);
    return fails(KIND_WRITE, ENOSPC) ? errno : next(fd, at, size);
}

int ftruncate(int fd, off_t size)
{
    NEXT(ftruncate);
    return fails(KIND_WRITE, ENOSPC) ? -1 : next(fd, size);
}

int fsync(int fd)
{
    NEXT(fsync);
    return fails(KIND_FSYNC, EIO) ? -1 : next(fd);
}

int fdatasync(int fd)
{
    NEXT(fdatasync);
    return fails(KIND_FSYNC, EIO) ? -1 : next(fd);
}

void *mmap(void *place, size_t size, int protection, int flags, int fd, off_t at)
{
    NEXT(mmap);
    return fails(KIND_MMAP, ENOMEM) ? MAP_FAILED : next(place, size, protection, flags, fd, at);
}

void *mmap64(void *place, size_t size, int protection, int flags, int fd, off64_t at)
{
    NEXT(mmap64);
    return fails(KIND_MMAP, ENOMEM) ? MAP_FAILED : next(place, size, protection, flags, fd, at);
}

int rename(const char *from, const char *to)
{
    NEXT(rename);
    return fails(KIND_RENAME, EIO) ? -1 : next(from, to);
}

int stat(const char *path, struct stat *found)
{
    NEXT(stat);
    return fails(KIND_STAT, EIO) ? -1 : next(path, found);
}

int stat64(const char *path, struct stat64 *found)
{
    NEXT(stat64);
    return fails(KIND_STAT, EIO) ? -1 : next(path, found);
}

int lstat(const char *path, struct stat *found)
{
    NEXT(lstat);
    return fails(KIND_STAT, EIO) ? -1 : next(path, found);
}

int lstat64(const char *path, struct stat64 *found)
{
    NEXT(lstat64);
    return fails(KIND_STAT, EIO) ? -1 : next(path, found);
}

int fstat(int fd, struct stat *found)
{
    NEXT(fstat);
    return fails(KIND_STAT, EIO) ? -1 : next(fd, found);
}

int fstat64(int fd, struct stat64 *found)
{
    NEXT(fstat64);
    return fails(KIND_STAT, EIO) ? -1 : next(fd, found);
}

/* ---- descriptors ---- */

static mode_t mode_of(int flags, va_list arguments)
{
    return (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
}

/* A program that cannot read the dry run's clock would believe that it is another day. */
static bool is_clock(const char *path)
{
    const char *clock = getenv("TLSRPT_GEN_CLOCK");

    return clock != NULL && strcmp(clock, path) == 0;
}

int open(const char *path, int flags, ...)
{
    NEXT(open);
    va_list arguments;
    mode_t mode;

    va_start(arguments, flags);
    mode = mode_of(flags, arguments);
    va_end(arguments);
    if (is_clock(path))
        return clock_fd = next(path, flags, mode);
    return fails(KIND_OPEN, EMFILE) ? -1 : next(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    NEXT(open64);
    va_list arguments;
    mode_t mode;

    va_start(arguments, flags);
    mode = mode_of(flags, arguments);
    va_end(arguments);
    if (is_clock(path))
        return clock_fd = next(path, flags, mode);
    return fails(KIND_OPEN, EMFILE) ? -1 : next(path, flags, mode);
}

int socket(int domain, int type, int protocol)
{
    NEXT(socket);
    return fails(KIND_OPEN, EMFILE) ? -1 : next(domain, type, protocol);
}

int pipe2(int fds[2], int flags)
{
    NEXT(pipe2);
    return fails(KIND_OPEN, EMFILE) ? -1 : next(fds, flags);
}

int socketpair(int domain, int type, int protocol, int fds[2])
{
    NEXT(socketpair);
    return fails(KIND_OPEN, EMFILE) ? -1 : next(domain, type, protocol, fds);
}

int epoll_create1(int flags)
{
    NEXT(epoll_create1);
    return fails(KIND_OPEN, EMFILE) ? -1 : next(flags);
}

/* ---- calls that may wait, or move less than was asked ---- */

ssize_t read(int fd, void *bytes, size_t size)
{
    NEXT(read);
    if (fd == clock_fd)
        return next(fd, bytes, size);
    return fails(KIND_READ, EIO) || is_interrupted() ? -1 : next(fd, bytes, shortened(size));
}

ssize_t pread(int fd, void *bytes, size_t size, off_t at)
{
    NEXT(pread);
    return fails(KIND_READ, EIO) || is_interrupted() ? -1 : next(fd, bytes, shortened(size), at);
}

ssize_t pread64(int fd, void *bytes, size_t size, off64_t at)
{
    NEXT(pread64);
    return fails(KIND_READ, EIO) || is_interrupted() ? -1 : next(fd, bytes, shortened(size), at);
}

int poll(struct pollfd *fds, nfds_t count, int timeout)
{
    NEXT(poll);
    return is_interrupted() ? -1 : next(fds, count, timeout);
}

int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask)
{
    NEXT(ppoll);
    return is_interrupted() ? -1 : next(fds, count, timeout, mask);
}

int epoll_wait(int fd, struct epoll_event *events, int max, int timeout)
{
    NEXT(epoll_wait);
    return is_interrupted() ? -1 : next(fd, events, max, timeout);
}

int recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout)
{
    NEXT(recvmmsg);
    return is_interrupted() ? -1 : next(fd, messages, count, flags, timeout);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    NEXT(recvmsg);
    return is_interrupted() ? -1 : next(fd, message, flags);
}

static bool is_local(int fd)
{
    int domain = 0;
    socklen_t len = sizeof domain;

    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX;
}

ssize_t send(int fd, const void *bytes, size_t size, int flags)
{
    NEXT(send);
    bool is_query = !is_local(fd);
    ssize_t sent = fails(is_query ? KIND_QUERY : KIND_SEND, ENOBUFS) || is_interrupted()
                       ? -1
                       : next(fd, bytes, size, flags);

    if (!is_query && sent >= 0 && fails(KIND_DIE, 0))
        (void)raise(SIGKILL);
    return sent;
}

/* ---- time ---- */

int clock_gettime(clockid_t clock, struct timespec *now)
{
    NEXT(clock_gettime);
    const char *hurry = clock == CLOCK_MONOTONIC ? getenv("SHIM_HURRY") : NULL;
    int result = next(clock, now);

    if (hurry != NULL && result == 0)
        now->tv_sec = (now->tv_sec * 1000 + now->tv_nsec / 1000000) * strtol(hurry, NULL, 10) / 1000;
    return result;
}

// NOLINTEND(readability-inconsistent-declaration-parameter-name)
