/* SPDX-License-Identifier: MIT */
/*
 * exim_stream.h - stream sockets on which Exim's event action leaves its lines.
 *
 * Exim connects, writes one line, shuts its side down and waits up to 1 s for ours: so a connection is read
 * to its end and closed in the same call that saw it, and nothing is ever written to it.
 *
 * In: listening sockets (listen_open_stream), and whatever their clients write.  Out: lines, through a
 * callback. Limits: EXIM_STREAM_LINE_MAX per line; EXIM_STREAM_CONNECTIONS_MAX connections, of which the
 * longest idle one is closed to let a new one in; one that is idle for EXIM_STREAM_IDLE_MS is closed. For one
 * thread.
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
 * One line without its newline; is_cut: it was longer than EXIM_STREAM_LINE_MAX, and bytes are its begin.
 * uid: whose process connected.
 */
typedef void exim_stream_line_fn(void *context, const char *bytes, size_t len, bool is_cut, uid_t uid);

struct exim_stream;

/* At most EXIM_STREAM_SOCKETS_MAX listen_fds, which are borrowed.  ST_NOMEM, ST_IO */
MUST_CHECK enum status exim_stream_new(const int *listen_fds, size_t count, struct exim_stream **stream_out,
                                       struct err *err);
void exim_stream_free(struct exim_stream **stream);

/* Readable when exim_stream_serve has something to do. */
int exim_stream_fd(const struct exim_stream *stream);

/* Take everything that is there, without waiting; close what is done or idle.  now_ms: clock_monotonic_ms. */
void exim_stream_serve(struct exim_stream *stream, int64_t now_ms, exim_stream_line_fn *on_line,
                       void *context);

/* When exim_stream_serve is due though its descriptor says nothing, in milliseconds from now_ms; -1: there is
 * none. */
int exim_stream_timeout_ms(const struct exim_stream *stream, int64_t now_ms);

/* Connections that were closed to let others in, or because they were idle, before their line was whole. */
uint64_t exim_stream_given_up(const struct exim_stream *stream);

#endif
