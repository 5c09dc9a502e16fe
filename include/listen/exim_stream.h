/* SPDX-License-Identifier: MIT */
/*
 * exim_stream.h - stream sockets to which Exim's event action writes its lines.
 *
 * Exim connects, writes one line, shuts down its side and waits up to 1 s for us to close: so a connection is
 * read to its end and closed in the call that accepted it, and nothing is ever written to it.
 *
 * In:     listening sockets (listen_open_stream), and whatever their clients write.
 * Out:    lines, through a callback.
 * Limits: EXIM_STREAM_LINE_MAX per line; EXIM_STREAM_CONNECTIONS_MAX connections: if there is one more, the
 *         one that has been idle for longest is closed; a connection that is idle for EXIM_STREAM_IDLE_MS is
 *         closed.  For one thread.
 */
#ifndef LISTEN_EXIM_STREAM_H
#define LISTEN_EXIM_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

#define EXIM_STREAM_LINE_MAX        65536
#define EXIM_STREAM_CONNECTIONS_MAX 256
#define EXIM_STREAM_SOCKETS_MAX     16
#define EXIM_STREAM_IDLE_MS         5000

/*
 * One line without its newline.  is_cut: it was longer than EXIM_STREAM_LINE_MAX, and bytes are its start.
 * uid: of the process that connected.
 */
typedef void exim_stream_line_fn(void *context, const char *bytes, size_t len, bool is_cut, uid_t uid);

struct exim_stream;

/*
 * At most EXIM_STREAM_SOCKETS_MAX listen_fds, which are borrowed.
 * ST_NOMEM
 * ST_IO     epoll
 */
MUST_CHECK enum status exim_stream_new(const int *listen_fds, size_t count, struct exim_stream **stream_out,
                                       struct err *err);
void exim_stream_free(struct exim_stream **stream);

/* Readable when exim_stream_serve has something to do. */
int exim_stream_fd(const struct exim_stream *stream);

/* Take everything that arrived, without waiting; close what is done or idle.  now_ms: clock_monotonic_ms. */
void exim_stream_serve(struct exim_stream *stream, int64_t now_ms, exim_stream_line_fn *on_line,
                       void *context);

/* Milliseconds from now_ms until exim_stream_serve must close an idle connection; -1: there is none. */
int exim_stream_timeout_ms(const struct exim_stream *stream, int64_t now_ms);

#endif
