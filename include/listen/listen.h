/* SPDX-License-Identifier: MIT */
/*
 * listen.h - sockets in the file system: datagram sockets, and taking many datagrams from one at once.
 *
 * In: paths, or sockets that the service manager holds open for us (LISTEN_FDS).  Out: datagrams with their
 * length, whether they were cut, and who sent them.
 * Limits: LISTEN_BYTES_MAX per datagram, LISTEN_BATCH per call, LISTEN_SOCKETS_MAX sockets.
 */
#ifndef LISTEN_LISTEN_H
#define LISTEN_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include "base/err.h"

#define LISTEN_BYTES_MAX   (256 * 1024)
#define LISTEN_BATCH       32
#define LISTEN_SOCKETS_MAX 16

struct listener {
    int fd;            /* non-blocking; -1: closed */
    bool is_inherited; /* the service manager's: stays bound when we end */
    bool is_stream;    /* it listens for connections (exim_stream.h) instead of datagrams */
    bool wants_uid;
    struct sockaddr_un address;
    dev_t device; /* which file the socket is, so that we remove only our own */
    ino_t inode;
};

/*
 * Make a socket at path.  A file that is there already is replaced only if it is a socket on which nobody
 * listens.  group "" leaves the group as it is.
 * ST_BUSY    somebody listens there
 * ST_DENIED  something else than a socket is there, or the permissions do not suffice
 * ST_CONFIG  no such group, no such folder, or the path is too long
 * ST_IO
 */
MUST_CHECK enum status listen_open(const char *path, mode_t mode, const char *group,
                                   struct listener *listener_out, struct err *err);

/* As listen_open, but a stream socket, on which connections wait for exim_stream. */
MUST_CHECK enum status listen_open_stream(const char *path, mode_t mode, const char *group,
                                          struct listener *listener_out, struct err *err);

/*
 * The sockets that the service manager passed (environment LISTEN_PID, LISTEN_FDS; sd_listen_fds(3)), at most
 * max of them; *count_out may be 0.  The variables are taken out of the environment.
 * ST_CONFIG  one of them is neither a datagram nor a listening stream socket of the file system, or
 *            they are too many
 */
MUST_CHECK enum status listen_inherit(struct listener *listeners, size_t max, size_t *count_out,
                                      struct err *err);

/* Was the socket made in our own network name space, whose net.unix.max_dgram_qlen we can read?  Kernels
 * before 5.14 do not tell: then yes is assumed. */
bool listen_is_at_home(const struct listener *listener);

/* Ask the kernel to tell the sender's user id with each datagram.  ST_IO. */
MUST_CHECK enum status listen_want_uid(struct listener *listener, struct err *err);

/*
 * From now on senders get EPIPE, and what is queued can still be received: so a collector that ends loses
 * nothing that a sender believes sent.  Not for an inherited socket, whose queue waits for the next
 * collector: nothing happens then.
 */
void listen_stop(struct listener *listener);

/* Close; the file of a socket that we made is removed if it is still ours. */
void listen_close(struct listener *listener);

/* ---- receiving ---- */

struct listen_batch; /* room for LISTEN_BATCH datagrams */

struct listen_datagram {
    const char *bytes;
    size_t len;        /* of what is in bytes */
    bool is_truncated; /* it was longer than LISTEN_BYTES_MAX */
    bool has_uid;      /* listen_want_uid was asked */
    uid_t uid;
};

MUST_CHECK struct listen_batch *listen_batch_new(void); /* NULL: out of memory */
void listen_batch_free(struct listen_batch **batch);

/*
 * Take what is queued, without waiting.  Returns how many datagrams came (0: none waits), or -1 with errno.
 * Read them with listen_batch_get before the next call.
 */
int listen_receive(const struct listener *listener, struct listen_batch *batch);
void listen_batch_get(const struct listen_batch *batch, size_t index, struct listen_datagram *datagram_out);

#endif
