/* SPDX-License-Identifier: MIT */
/*
 * gzip.h - bytes into one gzip member and back.
 *
 * Out: one member without file name or comment and with time 0, so that the same input gives the same bytes
 * (R38; RFC 1952, rfc8460.md C.2).
 * Limits: both directions stop at the max_bytes of the buffer that takes the result.
 */
#ifndef COMPRESS_GZIP_H
#define COMPRESS_GZIP_H

#include <stddef.h>

#include "base/err.h"
#include "base/strbuf.h"

struct z_stream_s;

/* A compressor; its memory (about 270 KB) serves one member after the other. */
struct gzip {
    struct z_stream_s *stream;
    struct strbuf *out; /* borrowed */
};

/* ST_NOMEM.  Free with gzip_close, also after a failure. */
MUST_CHECK enum status gzip_open(struct gzip *gzip, struct err *err);
void gzip_close(struct gzip *gzip);

/* Begin a member, dropping an unfinished one.  It is appended to out, which is borrowed until gzip_end. */
void gzip_begin(struct gzip *gzip, struct strbuf *out);

/*
 * Add len bytes.
 * ST_FULL  out's limit is reached
 * ST_NOMEM
 */
MUST_CHECK enum status gzip_add(struct gzip *gzip, const void *bytes, size_t len, struct err *err);

/* End the member.  Statuses as gzip_add. */
MUST_CHECK enum status gzip_end(struct gzip *gzip, struct err *err);

/*
 * Append the bytes that the one gzip member bytes[0..len) holds to out.
 * ST_SYNTAX  not gzip, cut short, damaged, or followed by something
 * ST_RANGE   more than out may hold
 * ST_NOMEM
 */
MUST_CHECK enum status gzip_inflate(const void *bytes, size_t len, struct strbuf *out, struct err *err);

#endif
