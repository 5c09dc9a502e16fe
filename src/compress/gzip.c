/* SPDX-License-Identifier: MIT */
/*
 * zlib works in chunks on the stack; each chunk goes to the caller's buffer, whose limit stops both directions,
 * so that a small file which inflates to gigabytes (a "zip bomb") costs no more than that buffer.
 */
#include "compress/gzip.h"

#include <stdlib.h>
#include <string.h>
#define ZLIB_CONST /* next_in is const */
#include <zlib.h>

#define GZIP_WINDOW_BITS (15 + 16) /* zlib: the largest window, with a gzip header */
#define MEMORY_LEVEL     8
#define CHUNK_BYTES      16384
#define FEED_BYTES       (1U << 30)

static enum status out_of_memory(struct err *err)
{
    return err_set(err, ST_NOMEM, "gzip: out of memory");
}

enum status gzip_open(struct gzip *gzip, struct err *err)
{
    *gzip = (struct gzip){.stream = calloc(1, sizeof *gzip->stream)};
    if (gzip->stream == NULL)
        return out_of_memory(err);
    if (deflateInit2(gzip->stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_WINDOW_BITS, MEMORY_LEVEL,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
        free(gzip->stream);
        gzip->stream = NULL;
        return out_of_memory(err);
    }
    return ST_OK;
}

void gzip_close(struct gzip *gzip)
{
    if (gzip->stream != NULL)
        (void)deflateEnd(gzip->stream);
    free(gzip->stream);
    gzip->stream = NULL;
}

void gzip_begin(struct gzip *gzip, struct strbuf *out)
{
    (void)deflateReset(gzip->stream); /* fails only for a stream that deflateInit2 did not make */
    gzip->out = out;
}

/* Compress what next_in holds, and with Z_FINISH end the member. */
static enum status deflate_all(struct gzip *gzip, int flush, struct err *err)
{
    unsigned char chunk[CHUNK_BYTES];

    do {
        gzip->stream->next_out = chunk;
        gzip->stream->avail_out = sizeof chunk;
        (void)deflate(gzip->stream, flush); /* Z_BUF_ERROR only says: nothing to do */
        strbuf_add(gzip->out, chunk, sizeof chunk - gzip->stream->avail_out);
    } while (gzip->stream->avail_out == 0);
    if (strbuf_lacks_memory(gzip->out))
        return out_of_memory(err);
    if (strbuf_is_failed(gzip->out))
        return err_set(err, ST_FULL, "gzip: the result does not fit in %zu bytes", gzip->out->max_bytes);
    return ST_OK;
}

enum status gzip_add(struct gzip *gzip, const void *bytes, size_t len, struct err *err)
{
    enum status status = ST_OK;

    for (size_t at = 0; at < len && status == ST_OK;) {
        size_t step = len - at < FEED_BYTES ? len - at : FEED_BYTES;

        gzip->stream->next_in = (const Bytef *)bytes + at;
        gzip->stream->avail_in = (uInt)step;
        status = deflate_all(gzip, Z_NO_FLUSH, err);
        at += step;
    }
    return status;
}

enum status gzip_end(struct gzip *gzip, struct err *err)
{
    gzip->stream->next_in = NULL;
    gzip->stream->avail_in = 0;
    return deflate_all(gzip, Z_FINISH, err);
}

/* Step until the member ends; stream's input is set. */
static enum status inflate_all(z_stream *stream, struct strbuf *out, struct err *err)
{
    unsigned char chunk[CHUNK_BYTES];
    int code;

    do {
        stream->next_out = chunk;
        stream->avail_out = sizeof chunk;
        code = inflate(stream, Z_NO_FLUSH);
        strbuf_add(out, chunk, sizeof chunk - stream->avail_out);
        if (code == Z_MEM_ERROR || strbuf_lacks_memory(out))
            return out_of_memory(err);
        if (strbuf_is_failed(out))
            return err_set(err, ST_RANGE, "gzip: more than %zu bytes inside", out->max_bytes);
    } while (code == Z_OK);
    if (code == Z_BUF_ERROR)
        return err_set(err, ST_SYNTAX, "gzip: cut short");
    if (code != Z_STREAM_END)
        return err_set(err, ST_SYNTAX, "gzip: %s", stream->msg != NULL ? stream->msg : "damaged");
    return stream->avail_in == 0 ? ST_OK : err_set(err, ST_SYNTAX, "gzip: something follows the member");
}

enum status gzip_inflate(const void *bytes, size_t len, struct strbuf *out, struct err *err)
{
    z_stream stream;
    enum status status;

    if (len > FEED_BYTES)
        return err_set(err, ST_RANGE, "gzip: larger than %u bytes", FEED_BYTES);
    memset(&stream, 0, sizeof stream);
    if (inflateInit2(&stream, GZIP_WINDOW_BITS) != Z_OK)
        return out_of_memory(err);
    stream.next_in = bytes;
    stream.avail_in = (uInt)len;
    status = inflate_all(&stream, out, err);
    (void)inflateEnd(&stream);
    return status;
}
