/* SPDX-License-Identifier: MIT */
/*
 * listen.h - open sockets in the file system, and receive many datagrams with one call.
 *
 * In:     paths, or sockets that the service manager opened (LISTEN_FDS).
 * Out:    datagrams: bytes, length, whether they were cut, and the sender's user id.
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
    bool is_inherited; /* it stays bound when the process ends: the service manager's, or listen_keep */
    bool is_stream;    /* for connections (exim_stream.h), not for datagrams */
    bool wants_uid;
    struct sockaddr_un address;
    dev_t device; /* with inode: the socket's file, so that listen_close removes no other one */
    ino_t inode;
};

/*
 * Make a datagram socket at path.  An existing file is replaced only if it is a socket without a listener.
 * group "" leaves the group as it is.
 * ST_BUSY    another program listens there
 * ST_DENIED  the file is no socket, or permissions are missing
 * ST_CONFIG  no such group, no such folder, or the path is too long
 * ST_IO
 */
MUST_CHECK enum status listen_open(const char *path, mode_t mode, const char *group,
                                   struct listener *listener_out, struct err *err);

/* As listen_open, but a listening stream socket, for exim_stream. */
MUST_CHECK enum status listen_open_stream(const char *path, mode_t mode, const char *group,
                                          struct listener *listener_out, struct err *err);

/*
 * Take the sockets that the service manager passed (environment LISTEN_PID, LISTEN_FDS; sd_listen_fds(3)), at
 * most max; *count_out may be 0.  The variables are removed from the environment.
 * ST_CONFIG  too many, or one is neither a datagram nor a listening stream socket of the file system
 * ST_IO
 */
MUST_CHECK enum status listen_inherit(struct listener *listeners, size_t max, size_t *count_out,
                                      struct err *err);

/*
 * Does the socket belong to this process's network namespace, whose net.unix.max_dgram_qlen can be read?
 * Kernels before 5.14 do not say; the answer is then yes.
 */
bool listen_is_at_home(const struct listener *listener);

/*
 * Ask the kernel for the sender's user id with each datagram.
 * ST_IO
 */
MUST_CHECK enum status listen_want_uid(struct listener *listener, struct err *err);

/*
 * From now on senders get EPIPE, but queued datagrams can still be received: so a collector that stops loses
 * nothing that a sender believes sent.  Does nothing to an inherited socket, whose queue the next collector
 * reads.
 */
void listen_stop(struct listener *listener);

/* Close; also removes the file that listen_open made, if it is still the same one. */
void listen_close(struct listener *listener);

/* ---- passing the sockets on ---- */

/* For a program that will replace this one: from now on the socket is as an inherited one. */
void listen_keep(struct listener *listener);

/*
 * A copy of the descriptor that stays open when the listener is closed and in a new program; give it to listen_pass.
 * ST_IO
 */
MUST_CHECK enum status listen_copy(const struct listener *listener, int *fd_out, struct err *err);

/*
 * Right before exec: let listen_inherit of the new program find these copies.  They take the descriptors behind standard
 * error, which must not be in use any more.
 * ST_IO
 */
MUST_CHECK enum status listen_pass(const int *fds, size_t count, struct err *err);

/* ---- receiving ---- */

struct listen_batch; /* room for LISTEN_BATCH datagrams */

struct listen_datagram {
    const char *bytes;
    size_t len;        /* of what is in bytes */
    bool is_truncated; /* it was longer than LISTEN_BYTES_MAX */
    bool has_uid;      /* after listen_want_uid */
    uid_t uid;
};

MUST_CHECK struct listen_batch *listen_batch_new(void); /* NULL: out of memory */
void listen_batch_free(struct listen_batch **batch);

/*
 * Receive what is queued, without waiting: how many datagrams (0: none), or -1 with errno.  Read them with
 * listen_batch_get before the next call.
 */
int listen_receive(const struct listener *listener, struct listen_batch *batch);
void listen_batch_get(const struct listen_batch *batch, size_t index, struct listen_datagram *datagram_out);

#endif
