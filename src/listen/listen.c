/* SPDX-License-Identifier: MIT */
/*
 * Sockets that we open get a file of their own: a stale one is removed, but only if connect says that nobody
 * listens on it; the new one is bound without any permissions, then gets its group and mode.  Sockets that
 * the service manager passes are checked and used as they are.
 */
#include "listen/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cursor.h"

#define FIRST_INHERITED_FD 3

/* ---- our own sockets ---- */

static int new_socket(int type)
{
    return socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static enum status find_group(const char *name, gid_t *gid_out, struct err *err)
{
    const struct group *group;

    errno = 0;
    group = getgrnam(name);
    if (group == NULL && errno != 0 && errno != ENOENT)
        return err_set_errno(err, ST_IO, errno, "look up group %s", name);
    if (group == NULL)
        return err_set(err, ST_CONFIG, "there is no group %s; change socket_group or make the group", name);
    *gid_out = group->gr_gid;
    return ST_OK;
}

/* Does a program listen at that address?  Only connect can say. */
static bool is_in_use(const struct sockaddr_un *address, int type)
{
    int fd = new_socket(type);
    bool is_connected;

    if (fd < 0)
        return true;
    is_connected =
        connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 || errno != ECONNREFUSED;
    (void)close(fd);
    return is_connected;
}

/* Remove the socket that a killed collector left behind, and nothing else. */
static enum status remove_stale(const struct sockaddr_un *address, int type, struct err *err)
{
    struct stat file;

    if (lstat(address->sun_path, &file) != 0)
        return errno == ENOENT ? ST_OK
                               : err_set_errno(err, ST_DENIED, errno, "look at %s", address->sun_path);
    if (!S_ISSOCK(file.st_mode))
        return err_set(err, ST_DENIED, "%s exists and is no socket; remove it or change socket",
                       address->sun_path);
    if (is_in_use(address, type))
        return err_set(err, ST_BUSY, "somebody listens on %s already; stop that program or change socket",
                       address->sun_path);
    if (unlink(address->sun_path) != 0 && errno != ENOENT)
        return err_set_errno(err, ST_DENIED, errno, "remove the stale socket %s", address->sun_path);
    return ST_OK;
}

static enum status bind_failure(const char *path, struct err *err)
{
    if (errno == ENOENT || errno == ENOTDIR)
        return err_set_errno(err, ST_CONFIG, errno, "make socket %s: make its folder first", path);
    return err_set_errno(err, errno == EACCES || errno == EPERM || errno == EROFS ? ST_DENIED : ST_IO, errno,
                         "make socket %s", path);
}

/* Bound without any permissions: nobody can connect before group and mode are set. */
static enum status bind_and_permit(int fd, const struct sockaddr_un *address, mode_t mode, const char *group,
                                   struct err *err)
{
    const char *path = address->sun_path;
    mode_t before = umask(0777);
    int bound = bind(fd, (const struct sockaddr *)address, sizeof *address);
    enum status status = bound == 0 ? ST_OK : bind_failure(path, err);
    gid_t gid = (gid_t)-1;

    (void)umask(before);
    if (status == ST_OK && *group != '\0')
        status = find_group(group, &gid, err);
    if (status == ST_OK && *group != '\0' && lchown(path, (uid_t)-1, gid) != 0)
        status = err_set_errno(err, ST_DENIED, errno, "give socket %s to group %s", path, group);
    if (status == ST_OK && chmod(path, mode) != 0)
        status = err_set_errno(err, ST_DENIED, errno, "set the mode of socket %s", path);
    if (status != ST_OK && bound == 0)
        (void)unlink(path);
    return status;
}

static enum status open_socket(const char *path, int type, mode_t mode, const char *group,
                               struct listener *listener_out, struct err *err)
{
    struct listener listener = {
        .fd = -1, .is_stream = type == SOCK_STREAM, .address = {.sun_family = AF_UNIX}};
    struct stat file;
    enum status status;

    if (strlen(path) >= sizeof listener.address.sun_path)
        return err_set(err, ST_CONFIG, "socket path %s is longer than %zu bytes", path,
                       sizeof listener.address.sun_path - 1);
    memcpy(listener.address.sun_path, path, strlen(path) + 1);
    status = remove_stale(&listener.address, type, err);
    if (status != ST_OK)
        return status;
    listener.fd = new_socket(type);
    if (listener.fd < 0)
        return err_set_errno(err, ST_IO, errno, "make a socket");
    status = bind_and_permit(listener.fd, &listener.address, mode, group, err);
    if (status == ST_OK && listener.is_stream && listen(listener.fd, SOMAXCONN) != 0)
        status = err_set_errno(err, ST_IO, errno, "listen on %s", path);
    if (status == ST_OK && lstat(path, &file) != 0)
        status = err_set_errno(err, ST_IO, errno, "look at %s", path);
    if (status != ST_OK) {
        (void)close(listener.fd);
        return status;
    }
    listener.device = file.st_dev;
    listener.inode = file.st_ino;
    *listener_out = listener;
    return ST_OK;
}

enum status listen_open(const char *path, mode_t mode, const char *group, struct listener *listener_out,
                        struct err *err)
{
    return open_socket(path, SOCK_DGRAM, mode, group, listener_out, err);
}

enum status listen_open_stream(const char *path, mode_t mode, const char *group,
                               struct listener *listener_out, struct err *err)
{
    return open_socket(path, SOCK_STREAM, mode, group, listener_out, err);
}

/* ---- inherited sockets ---- */

/* A whole environment variable as a number; 0 if it is missing or something else. */
static uint64_t take_variable(const char *name, uint64_t max)
{
    const char *text = getenv(name);
    struct cursor cursor;
    uint64_t number;

    if (text == NULL)
        return 0;
    cursor_init(&cursor, text, strlen(text));
    number = cursor_take_number(&cursor, max);
    (void)unsetenv(name);
    return cursor.is_failed ? 0 : number;
}

/* An int of a socket's options; -1 if it has none. */
static int get_option(int fd, int name)
{
    socklen_t len = sizeof(int);
    int value;

    return getsockopt(fd, SOL_SOCKET, name, &value, &len) == 0 ? value : -1;
}

static enum status inherit_one(int fd, struct listener *listener, struct err *err)
{
    socklen_t address_len = sizeof listener->address;
    int type = get_option(fd, SO_TYPE);
    bool is_usable = type == SOCK_DGRAM || (type == SOCK_STREAM && get_option(fd, SO_ACCEPTCONN) == 1);

    *listener = (struct listener){.fd = fd, .is_inherited = true, .is_stream = type == SOCK_STREAM};
    if (!is_usable || getsockname(fd, (struct sockaddr *)&listener->address, &address_len) != 0 ||
        listener->address.sun_family != AF_UNIX)
        return err_set(err, ST_CONFIG,
                       "inherited descriptor %d is no socket of the file system that can be used; use "
                       "ListenDatagram= with a path, or ListenStream= for Exim",
                       fd);
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 || fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0)
        return err_set_errno(err, ST_IO, errno, "inherited descriptor %d", fd);
    return ST_OK;
}

enum status listen_inherit(struct listener *listeners, size_t max, size_t *count_out, struct err *err)
{
    uint64_t pid = take_variable("LISTEN_PID", INT32_MAX);
    uint64_t count = take_variable("LISTEN_FDS", INT32_MAX - FIRST_INHERITED_FD);

    (void)unsetenv("LISTEN_FDNAMES");
    if (pid != (uint64_t)getpid())
        count = 0;
    if (count > max)
        return err_set(err, ST_CONFIG, "%llu sockets were inherited; the most are %zu",
                       (unsigned long long)count, max);
    for (size_t i = 0; i < count; i++) {
        enum status status = inherit_one(FIRST_INHERITED_FD + (int)i, &listeners[i], err);

        if (status != ST_OK)
            return status;
    }
    *count_out = (size_t)count;
    return ST_OK;
}

/* ---- passed on ---- */

void listen_keep(struct listener *listener)
{
    listener->is_inherited = true;
}

/* Above the descriptors that listen_pass fills. */
enum status listen_copy(const struct listener *listener, int *fd_out, struct err *err)
{
    int fd = fcntl(listener->fd, F_DUPFD, FIRST_INHERITED_FD + LISTEN_SOCKETS_MAX);

    if (fd < 0)
        return err_set_errno(err, ST_IO, errno, "copy a socket's descriptor");
    *fd_out = fd;
    return ST_OK;
}

enum status listen_pass(const int *fds, size_t count, struct err *err)
{
    char number[24], pid[24];

    for (size_t i = 0; i < count; i++) {
        if (dup2(fds[i], FIRST_INHERITED_FD + (int)i) < 0)
            return err_set_errno(err, ST_IO, errno, "pass a socket on");
        (void)close(fds[i]);
    }
    (void)snprintf(number, sizeof number, "%zu", count);
    (void)snprintf(pid, sizeof pid, "%ld", (long)getpid());
    if (setenv("LISTEN_FDS", number, 1) != 0 || setenv("LISTEN_PID", pid, 1) != 0)
        return err_set_errno(err, ST_IO, errno, "set LISTEN_FDS");
    return ST_OK;
}

/* ---- both ---- */

static bool read_cookie(int fd, uint64_t *cookie_out)
{
#ifdef SO_NETNS_COOKIE
    socklen_t len = sizeof *cookie_out;

    return getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, cookie_out, &len) == 0;
#else
    (void)fd;
    (void)cookie_out;
    return false;
#endif
}

bool listen_is_at_home(const struct listener *listener)
{
    uint64_t theirs = 0, ours = 0;
    bool is_known;
    int fd;

    if (!listener->is_inherited)
        return true;
    fd = new_socket(SOCK_DGRAM);
    if (fd < 0)
        return true;
    is_known = read_cookie(listener->fd, &theirs) && read_cookie(fd, &ours);
    (void)close(fd);
    return !is_known || theirs == ours;
}

enum status listen_want_uid(struct listener *listener, struct err *err)
{
    int on = 1;

    if (setsockopt(listener->fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0)
        return err_set_errno(err, ST_IO, errno, "ask for senders' user ids on %s",
                             listener->address.sun_path);
    listener->wants_uid = true;
    return ST_OK;
}

void listen_stop(struct listener *listener)
{
    if (!listener->is_inherited && listener->fd >= 0)
        (void)shutdown(listener->fd, SHUT_RD);
}

void listen_close(struct listener *listener)
{
    struct stat file;

    if (listener->fd < 0)
        return;
    if (!listener->is_inherited && lstat(listener->address.sun_path, &file) == 0 &&
        file.st_dev == listener->device && file.st_ino == listener->inode)
        (void)unlink(listener->address.sun_path);
    (void)close(listener->fd);
    listener->fd = -1;
}
