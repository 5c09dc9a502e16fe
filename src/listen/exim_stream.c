/* SPDX-License-Identifier: MIT */
/*
 * Connections are slots of one array.  A list orders those in use by the time of their last byte, so the one
 * to close is always the first; another list has the free ones.  One epoll descriptor watches all of them and
 * the listening sockets; exim_stream_serve reads connections before it accepts new ones, because the ones
 * read and closed make room.  If every slot is in use, the listening sockets are taken out of epoll (is_deaf)
 * and clients wait in the kernel's queue.
 */
#include "listen/exim_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES   65536
#define READS_MAX    4   /* of one connection in one round, so that it cannot hold up the others */
#define YIELD_MS     250 /* a connection that is idle for longer is closed if a new one needs its slot */
#define ROUNDS_MAX   16  /* of one call: the datagram sockets wait meanwhile */
#define LISTEN_MAX   EXIM_STREAM_SOCKETS_MAX
#define EVENTS_MAX   (EXIM_STREAM_CONNECTIONS_MAX + LISTEN_MAX)
#define LISTENER_BIT (UINT64_C(1) << 32) /* of an epoll event's data: it is a listening socket */

struct exim_connection {
    int fd; /* -1: unused */
    uid_t uid;
    bool is_skipping; /* to the end of a line that was too long */
    int64_t last_ms;
    char *line; /* the start of a line whose end has not come; NULL: nothing */
    size_t len;
    int older, newer; /* -1: none */
};

struct exim_stream {
    int epoll_fd;
    int oldest, newest; /* by last_ms; -1: none */
    int unused;         /* list of free slots through newer; -1: none */
    int listen_fds[LISTEN_MAX];
    size_t listen_count;
    bool is_deaf; /* all slots are in use: new connections wait in the kernel */
    struct exim_connection connections[EXIM_STREAM_CONNECTIONS_MAX];
    char buffer[READ_BYTES];
};

/* ---- connections ---- */

static void join_newest(struct exim_stream *stream, int index)
{
    struct exim_connection *connection = &stream->connections[index];

    connection->older = stream->newest;
    connection->newer = -1;
    if (stream->newest >= 0)
        stream->connections[stream->newest].newer = index;
    else
        stream->oldest = index;
    stream->newest = index;
}

static void leave_list(struct exim_stream *stream, int index)
{
    const struct exim_connection *connection = &stream->connections[index];

    if (connection->older >= 0)
        stream->connections[connection->older].newer = connection->newer;
    else
        stream->oldest = connection->newer;
    if (connection->newer >= 0)
        stream->connections[connection->newer].older = connection->older;
    else
        stream->newest = connection->older;
}

static void end_connection(struct exim_stream *stream, int index)
{
    struct exim_connection *connection = &stream->connections[index];

    leave_list(stream, index);
    (void)close(connection->fd); /* which also takes it out of epoll */
    free(connection->line);
    *connection = (struct exim_connection){.fd = -1, .newer = stream->unused};
    stream->unused = index;
}

static uid_t peer_uid(int fd)
{
    struct ucred credentials;
    socklen_t len = sizeof credentials;

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &len) == 0 ? credentials.uid : (uid_t)-1;
}

/* ---- lines ---- */

struct stream_reading {
    exim_stream_line_fn *on_line;
    void *context;
};

/* Keep the start of a line.  If it is too long, or memory runs out, pass it on as cut and skip the rest. */
static void keep(struct exim_connection *connection, const char *bytes, size_t len,
                 const struct stream_reading *reading)
{
    char *grown;

    if (connection->is_skipping || len == 0)
        return;
    grown = connection->len + len <= EXIM_STREAM_LINE_MAX ? realloc(connection->line, connection->len + len)
                                                          : NULL;
    if (grown == NULL) {
        reading->on_line(reading->context, connection->len > 0 ? connection->line : bytes,
                         connection->len > 0 ? connection->len : len, true, connection->uid);
        connection->is_skipping = true;
        connection->len = 0;
        return;
    }
    connection->line = grown;
    memcpy(connection->line + connection->len, bytes, len);
    connection->len += len;
}

static void end_line(struct exim_connection *connection, const char *bytes, size_t len,
                     const struct stream_reading *reading)
{
    if (connection->len > 0) {
        keep(connection, bytes, len, reading);
        bytes = connection->line;
        len = connection->len;
    }
    if (!connection->is_skipping && len > 0)
        reading->on_line(reading->context, bytes, len > EXIM_STREAM_LINE_MAX ? EXIM_STREAM_LINE_MAX : len,
                         len > EXIM_STREAM_LINE_MAX, connection->uid);
    connection->is_skipping = false;
    connection->len = 0;
}

static void take_bytes(struct exim_connection *connection, const char *bytes, size_t len,
                       const struct stream_reading *reading)
{
    while (len > 0) {
        const char *newline = memchr(bytes, '\n', len);
        size_t line_len = newline != NULL ? (size_t)(newline - bytes) : len;

        if (newline == NULL) {
            keep(connection, bytes, len, reading);
            return;
        }
        end_line(connection, bytes, line_len, reading);
        bytes += line_len + 1;
        len -= line_len + 1;
    }
}

/* Read what has arrived; at the end of the connection, close it. */
static void read_connection(struct exim_stream *stream, int index, int64_t now_ms,
                            const struct stream_reading *reading)
{
    struct exim_connection *connection = &stream->connections[index];

    for (int i = 0; i < READS_MAX; i++) {
        ssize_t got = recv(connection->fd, stream->buffer, sizeof stream->buffer, 0);

        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (got <= 0) {
            end_line(connection, "", 0, reading); /* a last line without its newline */
            end_connection(stream, index);
            return;
        }
        connection->last_ms = now_ms;
        leave_list(stream, index);
        join_newest(stream, index);
        take_bytes(connection, stream->buffer, (size_t)got, reading);
    }
}

/* Make sure that a slot is free, if need be by closing the longest idle connection.  False: none is idle. */
static bool make_room(struct exim_stream *stream, int64_t now_ms)
{
    if (stream->unused < 0 && now_ms - stream->connections[stream->oldest].last_ms >= YIELD_MS)
        end_connection(stream, stream->oldest);
    return stream->unused >= 0;
}

static void begin_connection(struct exim_stream *stream, int fd, int64_t now_ms,
                             const struct stream_reading *reading)
{
    int index = stream->unused;
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)index};

    if (epoll_ctl(stream->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
        (void)close(fd);
        return;
    }
    stream->unused = stream->connections[index].newer;
    stream->connections[index] = (struct exim_connection){.fd = fd, .uid = peer_uid(fd), .last_ms = now_ms};
    join_newest(stream, index);
    read_connection(stream, index, now_ms, reading); /* most lines have arrived already */
}

static void accept_some(struct exim_stream *stream, int listen_fd, int64_t now_ms,
                        const struct stream_reading *reading)
{
    for (int i = 0; i < EXIM_STREAM_CONNECTIONS_MAX && make_room(stream, now_ms); i++) {
        int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0)
            return;
        begin_connection(stream, fd, now_ms, reading);
    }
}

/* A listening socket that nobody can serve stays readable and would wake the thread again and again. */
static void set_deaf(struct exim_stream *stream, bool is_deaf)
{
    for (size_t i = 0; i < stream->listen_count && stream->is_deaf != is_deaf; i++) {
        struct epoll_event event = {.events = is_deaf ? 0 : EPOLLIN,
                                    .data.u64 = LISTENER_BIT | (uint32_t)stream->listen_fds[i]};

        (void)epoll_ctl(stream->epoll_fd, EPOLL_CTL_MOD, stream->listen_fds[i], &event);
    }
    stream->is_deaf = is_deaf;
}

static void close_idle(struct exim_stream *stream, int64_t now_ms)
{
    while (stream->oldest >= 0 && now_ms - stream->connections[stream->oldest].last_ms >= EXIM_STREAM_IDLE_MS)
        end_connection(stream, stream->oldest);
}

void exim_stream_serve(struct exim_stream *stream, int64_t now_ms, exim_stream_line_fn *on_line,
                       void *context)
{
    const struct stream_reading reading = {.on_line = on_line, .context = context};
    struct epoll_event events[EVENTS_MAX];

    set_deaf(stream, false);
    for (int round = 0; round < ROUNDS_MAX; round++) {
        int count = epoll_wait(stream->epoll_fd, events, EVENTS_MAX, 0);
        bool is_busy = false;

        for (int i = 0; i < count; i++) { /* the connections first: each that ends makes room */
            uint64_t data = events[i].data.u64;

            if ((data & LISTENER_BIT) == 0 && stream->connections[data].fd >= 0) {
                read_connection(stream, (int)data, now_ms, &reading);
                is_busy = true;
            }
        }
        for (int i = 0; i < count; i++)
            if ((events[i].data.u64 & LISTENER_BIT) != 0 && make_room(stream, now_ms)) {
                accept_some(stream, (int)(uint32_t)events[i].data.u64, now_ms, &reading);
                is_busy = true;
            }
        if (!is_busy)
            break;
    }
    close_idle(stream, now_ms);
    set_deaf(stream, stream->unused < 0);
}

/* ---- the rest ---- */

enum status exim_stream_new(const int *listen_fds, size_t count, struct exim_stream **stream_out,
                            struct err *err)
{
    struct exim_stream *stream = calloc(1, sizeof *stream);

    if (stream == NULL)
        return err_set(err, ST_NOMEM, "stream sockets: out of memory");
    stream->oldest = stream->newest = -1;
    for (int i = 0; i < EXIM_STREAM_CONNECTIONS_MAX; i++)
        stream->connections[i] =
            (struct exim_connection){.fd = -1, .newer = i + 1 < EXIM_STREAM_CONNECTIONS_MAX ? i + 1 : -1};
    stream->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (size_t i = 0; stream->epoll_fd >= 0 && i < count && i < LISTEN_MAX; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u64 = LISTENER_BIT | (uint32_t)listen_fds[i]};

        if (epoll_ctl(stream->epoll_fd, EPOLL_CTL_ADD, listen_fds[i], &event) != 0) {
            (void)close(stream->epoll_fd);
            stream->epoll_fd = -1;
        }
        stream->listen_fds[stream->listen_count++] = listen_fds[i];
    }
    if (stream->epoll_fd < 0) {
        free(stream);
        return err_set_errno(err, ST_IO, errno, "stream sockets: epoll");
    }
    *stream_out = stream;
    return ST_OK;
}

void exim_stream_free(struct exim_stream **stream)
{
    if (*stream == NULL)
        return;
    while ((*stream)->oldest >= 0)
        end_connection(*stream, (*stream)->oldest);
    (void)close((*stream)->epoll_fd);
    free(*stream);
    *stream = NULL;
}

int exim_stream_fd(const struct exim_stream *stream)
{
    return stream->epoll_fd;
}

int exim_stream_timeout_ms(const struct exim_stream *stream, int64_t now_ms)
{
    int64_t left_ms;

    if (stream->oldest < 0)
        return -1;
    left_ms = stream->connections[stream->oldest].last_ms - now_ms;
    left_ms += stream->is_deaf ? YIELD_MS : EXIM_STREAM_IDLE_MS;
    return left_ms > 0 ? (int)left_ms : 0;
}
