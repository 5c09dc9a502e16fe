/* SPDX-License-Identifier: MIT */
#include "follow/lines.h"

#include <stdlib.h>
#include <string.h>

enum status lines_init(struct lines *lines, struct err *err)
{
    *lines = (struct lines){.buffer = malloc(LINES_BUFFER_BYTES)};
    return lines->buffer != NULL ? ST_OK : err_set(err, ST_NOMEM, "lines: out of memory");
}

void lines_done(struct lines *lines)
{
    free(lines->buffer);
    *lines = (struct lines){.buffer = NULL};
}

void lines_begin(struct lines *lines, uint64_t offset)
{
    lines->begin = lines->end = 0;
    lines->offset = offset;
    lines->is_skipping = false;
}

static void consume(struct lines *lines, size_t len)
{
    lines->begin += len;
    lines->offset += len;
}

/* Hand out what is in the buffer: a whole line, or the begin of one that is too long. */
static bool take_buffered(struct lines *lines, struct span *line_out, uint64_t *offset_out)
{
    bool was_skipping;

    do {
        const char *begin = lines->buffer + lines->begin;
        size_t available = lines->end - lines->begin;
        const char *newline = memchr(begin, '\n', available);
        size_t len = newline != NULL ? (size_t)(newline - begin) : available;

        was_skipping = lines->is_skipping; /* then only the rest of a long line ends here, or not yet */
        if (newline == NULL && !was_skipping && available <= LINES_MAX)
            return false;
        *line_out = (struct span){begin, len <= LINES_MAX ? len : LINES_MAX + 1};
        *offset_out = lines->offset;
        consume(lines, newline != NULL ? len + 1 : len);
        lines->is_skipping = newline == NULL;
    } while (was_skipping && !lines->is_skipping && lines->begin < lines->end);
    return !was_skipping;
}

static enum status fill(struct lines *lines, struct source *source, struct err *err)
{
    enum status status;
    size_t got = 0;

    memmove(lines->buffer, lines->buffer + lines->begin, lines->end - lines->begin);
    lines->end -= lines->begin;
    lines->begin = 0;
    status = source_read(source, lines->buffer + lines->end, LINES_BUFFER_BYTES - lines->end, &got, err);
    lines->end += got;
    if (status == ST_OK && got == 0)
        return ST_NOT_FOUND;
    return status;
}

enum status lines_next(struct lines *lines, struct source *source, struct span *line_out,
                       uint64_t *offset_out, struct err *err)
{
    enum status status = ST_OK;

    while (status == ST_OK) {
        if (lines->begin < lines->end && take_buffered(lines, line_out, offset_out))
            return ST_OK;
        status = fill(lines, source, err);
    }
    return status;
}

bool lines_take_rest(struct lines *lines, struct span *line_out, uint64_t *offset_out)
{
    if (lines->begin == lines->end || lines->is_skipping)
        return false;
    *line_out = (struct span){lines->buffer + lines->begin, lines->end - lines->begin};
    *offset_out = lines->offset;
    consume(lines, line_out->len);
    return true;
}
